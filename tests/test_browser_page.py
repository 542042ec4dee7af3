"""The page of recipes/browser in Chromium, beside ONNX Runtime in Python."""

import csv
import functools
import http.server
import pathlib
import re
import shutil
import threading

import numpy as np
import pytest
import soundfile
from browser import needs_chromium, opened
from classifiers import RATE, small_classifier

PAGE = pathlib.Path(__file__).parent.parent / "recipes" / "browser"
NAMES = ("dog", "rain", 'Äpfel, "¼"')
WINDOW = 3200  # Samples of 0.4 s.

pytestmark = [
    pytest.mark.once,
    needs_chromium,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed (Debian: `apt install npm`)"),
    pytest.mark.skipif(
        not (PAGE / "node_modules" / "onnxruntime-web").is_dir(),
        reason="onnxruntime-web is not installed: `make recipes/browser/node_modules`",
    ),
]


class Files(http.server.SimpleHTTPRequestHandler):
    """The file server of `python -m http.server`, without its log."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the page beside a small model and a sound that rises."""
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from keras_audio_si.export.onnx_file import write_onnx

    folder = tmp_path_factory.mktemp("page")
    for file in [*PAGE.glob("*.js"), PAGE / "index.html"]:
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(PAGE / "node_modules")
    write_onnx(small_classifier(NAMES), folder / "model.onnx")
    noise = np.random.default_rng(5).uniform(-1, 1, 9000) * np.linspace(0.02, 0.8, 9000)
    soundfile.write(folder / "sound.wav", noise, RATE, "PCM_16")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def scores_in(page):
    """The table that the page offers: start, end and scores of each window."""
    with page.expect_download() as download:
        page.click("#table")
    header, *rows = csv.reader(download.value.path().read_text(encoding="utf-8").splitlines())
    assert header == ["start_seconds", "end_seconds", *NAMES]
    return np.array(rows, "float64")


def test_scores_of_a_file_are_those_of_onnx_runtime(folder, address, tmp_path):
    import onnxruntime

    soundfile.write(tmp_path / "longer.wav", np.zeros(WINDOW + WINDOW // 200), RATE)

    with opened(address, width=390, dark=True) as page:
        page.locator("#controls:enabled").wait_for()
        assert page.inner_text("#message") == f"Ready: 3 classes at {RATE} Hz"
        page.fill("#seconds", str(WINDOW / RATE))
        page.set_input_files("#file", folder / "sound.wav")
        page.get_by_text("sound.wav: 5 of 5 windows").wait_for()
        found = scores_in(page)
        page.evaluate("document.getElementById('player').play()")
        page.wait_for_function("document.getElementById('player').ended")
        assert page.inner_text("#heading") == "Highest scores, 0.7 to 1.1 s"  # Where the player is.
        last = page.locator("#top li span:last-child").all_inner_texts()
        assert page.evaluate("document.body.scrollWidth") <= 390
        page.set_input_files("#file", tmp_path / "longer.wav")
        page.get_by_text("longer.wav: 1 of 1 windows").wait_for()

    starts = [0, 1600, 3200, 4800, 9000 - WINDOW]
    np.testing.assert_allclose(found[:, :2], np.array([(s, s + WINDOW) for s in starts]) / RATE, rtol=0, atol=1e-9)
    sound, _ = soundfile.read(folder / "sound.wav", dtype="float32")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    windows = np.stack([sound[start : start + WINDOW] for start in starts])
    (scores,) = session.run(["scores"], {"waveforms": windows})
    np.testing.assert_allclose(found[:, 2:], scores, rtol=0, atol=1e-3)
    assert np.ptp(scores, axis=0).max() > 0.01
    np.testing.assert_allclose(np.float64(last), sorted(scores[-1], reverse=True), rtol=0, atol=6e-3)


def test_the_microphone(folder, address, tmp_path):
    import onnxruntime

    # A tone, which sounds the same wherever a window begins: the browser repeats the file.
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype("float32")
    soundfile.write(tmp_path / "tone.wav", tone, RATE, "PCM_16")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (scores,) = session.run(["scores"], {"waveforms": np.stack([tone[:WINDOW], 0 * tone[:WINDOW]])})
    assert np.abs(scores[0] - scores[1]).max() > 0.1  # Of silence.

    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with opened(address, flags=[*flags, f"--use-file-for-fake-audio-capture={tmp_path / 'tone.wav'}"]) as page:
        page.locator("#controls:enabled").wait_for()
        page.fill("#seconds", str(WINDOW / RATE))
        page.click("#record")
        page.get_by_text(re.compile(r"Highest scores, [1-9]")).wait_for()
        page.click("text=Stop")
        page.get_by_text("Stopped").wait_for()
        assert page.inner_text("#record") == "Record"
        found = scores_in(page)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], WINDOW / RATE)
    # The nearest window: on a machine that is busy, the browser drops parts of the sound.
    assert np.abs(found[:, 2:] - scores[0]).max(axis=1).min() < 0.02


def test_problems_are_said_on_the_page(folder, address, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    with opened(address) as page:  # Without the flags nobody allows the microphone.
        page.locator("#controls:enabled").wait_for()
        page.set_input_files("#file", tmp_path / "text.wav")
        page.get_by_text("text.wav is not audio that this browser can decode.").wait_for()
        page.click("#record")
        page.get_by_text("The microphone cannot be used: ").wait_for()
        page.fill("#seconds", "0")
        page.click("#record")
        page.get_by_text("A window must be 0.2 to 30 seconds long.").wait_for()
        assert page.locator("#message.error").is_visible() and page.locator("#result").is_hidden()


def test_without_a_model(folder, address):
    (folder / "model.onnx").rename(folder / "hidden.onnx")
    try:
        with pytest.raises(AssertionError, match="404"), opened(address) as page:
            page.get_by_text("There is no model.onnx beside this page: keras-audio-si export").wait_for()
            assert page.locator("#record").is_disabled()
    finally:
        (folder / "hidden.onnx").rename(folder / "model.onnx")
