"""The local page of the command `demo`: its analysis beside `tag_files`, and the page in Chromium."""

import re

import keras
import numpy as np
import pytest
import soundfile
from browser import needs_chromium, opened
from classifiers import RATE, small_classifier

from keras_audio_si import layers, models
from keras_audio_si.cli import main as cli
from keras_audio_si.data.audio_io import AudioError
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import FoundFile, tag_files

pytestmark = pytest.mark.once
pytest.importorskip("matplotlib", reason="the extra plots is not installed")

from keras_audio_si import demo_page  # noqa: E402

NAMES = ("dog", "rain", "<b>$x$</b>")
# When the page closes, an upload ends or the sound is removed, Chromium ends the player's reading and Gradio's streams
# of results and of progress; and Gradio's player reports a file that is no audio.
HARMLESS = (
    r"^((blob:|http://127\.0\.0\.1:\d+/gradio_api/(queue/data|upload_progress)).*net::ERR_ABORTED"
    r"|Waveform load error: MediaError)$"
)


@pytest.fixture(scope="module")
def model():
    return small_classifier(NAMES)


@pytest.fixture
def sound(tmp_path, rng):
    """1.3 s of noise that rises, in stereo at another rate than the model's."""
    noise = rng.uniform(-1, 1, (2 * 10400, 2)) * np.linspace(0.01, 0.9, 2 * 10400)[:, None]
    soundfile.write(tmp_path / "rising.wav", noise, 2 * RATE)
    return tmp_path / "rising.wav"


def diffres_classifier():
    keras.utils.set_random_seed(5)
    front_end = layers.LogMelSpectrogram(RATE, num_mels=12)
    inputs = keras.Input((None, 12, 3))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs))
    network = keras.Model(inputs, layers.ClassScores(class_names=NAMES)(x))
    return models.Classifier(front_end, network, layers.DiffResLayer(0.75), input_samples=front_end.num_samples(40))


class TestAnalysis:
    def test_scores_are_those_of_tag(self, model, sound):
        found = demo_page.analyse(model, sound)
        (clip,) = tag_files(model, [FoundFile(str(sound))])
        (windows,) = tag_files(model, [FoundFile(str(sound))], by_window=True)
        np.testing.assert_array_equal(found.scores, clip.scores[0])
        assert found.seconds == windows.seconds == pytest.approx(1.3)
        for step, scores in enumerate(found.steps):
            centre = (step + 0.5) * found.step_seconds
            inside = (windows.starts <= centre) & (centre < windows.ends)
            if inside.any():
                np.testing.assert_allclose(scores, windows.scores[inside].mean(axis=0), rtol=1e-5)
        layout = patch_layout(model)
        assert found.step_seconds == layout.hop_samples / RATE
        assert len(found.steps) == int(np.ceil(1.3 / found.step_seconds)) > 5

    def test_spectrogram_in_blocks_is_that_of_the_whole(self, monkeypatch, rng):
        waveform = rng.uniform(-0.5, 0.5, 10400).astype("float32")
        whole = keras.ops.convert_to_numpy(layers.LogMelSpectrogram(RATE, 0.05, num_mels=64)(waveform[None]))[0]
        monkeypatch.setattr(demo_page, "_BLOCK_FRAMES", 30)
        np.testing.assert_allclose(demo_page._spectrogram(waveform, RATE), whole, rtol=0, atol=1e-4)
        assert demo_page._spectrogram(waveform[:10], RATE).shape == (1, 64)

    def test_model_of_any_length_needs_a_window(self, sound):
        model = small_classifier(NAMES, open_length=True)
        assert len(demo_page.analyse(model, sound, window_seconds=0.5).steps) == 6
        with pytest.raises(ValueError, match="the length of the windows must be given"):
            demo_page.analyse(model, sound)

    def test_limits(self, model, sound, monkeypatch, tmp_path):
        (tmp_path / "text.wav").write_text("no audio")
        with pytest.raises(AudioError, match="is not audio that can be read"):
            demo_page.analyse(model, tmp_path / "text.wav")
        (tmp_path / "notes.txt").write_text("no audio")
        with pytest.raises(AudioError, match=r"must be an audio file: \.aif"):
            demo_page.analyse(model, tmp_path / "notes.txt")
        monkeypatch.setattr(demo_page, "LONGEST_MINUTES", 0.01)
        with pytest.raises(AudioError, match="is 0.0 minutes long, where this page takes up to 0.01"):
            demo_page.analyse(model, sound)
        monkeypatch.setattr(demo_page, "LARGEST_MEGABYTES", 0.05)
        with pytest.raises(AudioError, match="has 0 MB, where this page takes up to 0.05"):
            demo_page.analyse(model, sound)

    def test_figure_has_the_classes_with_the_highest_scores(self):
        steps = np.tile(np.linspace(0.1, 0.9, 40), (4, 1))
        analysis = demo_page.Analysis(2.0, steps[0], steps, 0.5, np.zeros((198, 96)), None)
        svg = demo_page.draw_analysis(analysis, [f"class {number} $" for number in range(40)])
        assert re.findall(r">class (\d+) \$<", svg) == [str(number) for number in range(25, 40)]


def test_without_gradio(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-audio-si\[demo\]'"):
        demo_page.demo_page(model, "small")


def test_command(model, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    served = []
    monkeypatch.setattr(demo_page, "serve_demo", lambda *arguments: served.append(arguments))
    model.save(tmp_path / "small.keras")
    assert cli.main(["demo", str(tmp_path / "small.keras"), "--port", "7999", "--no-browser"]) == 0
    ((page, *rest),) = served
    assert page.title == "keras-audio-si: small" and rest == [7999, False]
    assert cli.main(["demo", str(tmp_path / "small.keras"), "--window-seconds", "1"]) == 2  # It has its length.


@needs_chromium
def test_page(sound, tmp_path):
    gradio = pytest.importorskip("gradio", reason="the extra demo is not installed")
    model, requests = diffres_classifier(), []
    (tmp_path / "text.wav").write_text("no audio")
    served = demo_page.demo_page(model, "tiny")
    address = demo_page.serve_demo(served, open_browser=False, block=False)
    try:
        assert address.startswith("http://127.0.0.1:") and not gradio.analytics.analytics_enabled()
        with opened(address, width=390, dark=True, harmless=HARMLESS) as page:
            page.set_default_timeout(120_000)
            page.on("request", lambda request: requests.append(request.url))
            page.set_input_files("input[type=file]", sound)
            page.locator(".figure svg[role=img]").wait_for()
            (clip,) = tag_files(model, [FoundFile(str(sound))])
            percent = [f"{100 * score:.0f}%" for score in sorted(clip.scores[0], reverse=True)]
            assert re.findall(r"\d+%", page.inner_text("body")) == percent
            assert page.locator(".figure img").evaluate("image => image.naturalWidth") > 1000  # Of DiffRes.
            assert page.evaluate("document.body.scrollWidth") <= 390
            page.click("[aria-label=Play]")
            page.locator("[aria-label=Pause]").wait_for()
            page.locator("[aria-label=Play]").wait_for()  # The end.

            page.click("[aria-label=Clear]")
            page.locator(".figure svg[role=img]").wait_for(state="detached")
            page.set_input_files("input[type=file]", tmp_path / "text.wav")
            page.get_by_text("text.wav: is not audio that can be read").wait_for()
    finally:
        served.close()
    assert {re.match(r"blob:|data:|http://127\.0\.0\.1:", url) is not None for url in requests} == {True}


@needs_chromium
def test_recording(tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    tone, heard, analyse = tmp_path / "tone.wav", [], demo_page.analyse

    def analysed(model, path, window_seconds):
        heard.append(soundfile.read(path, always_2d=True))
        return analyse(model, path, window_seconds)

    monkeypatch.setattr(demo_page, "analyse", analysed)
    soundfile.write(tone, 0.5 * np.sin(2 * np.pi * 1000 / 48000 * np.arange(96000)), 48000)
    served = demo_page.demo_page(small_classifier(NAMES), "tiny")
    address = demo_page.serve_demo(served, open_browser=False, block=False)
    microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    try:
        with opened(
            address, flags=[*microphone, f"--use-file-for-fake-audio-capture={tone}"], harmless=HARMLESS
        ) as page:
            page.set_default_timeout(120_000)
            page.click("[aria-label='Record audio']")
            page.click(".record-button >> visible=true")
            page.wait_for_timeout(2000)
            page.click(".stop-button >> visible=true")
            page.locator(".figure svg[role=img]").wait_for()
    finally:
        served.close()
    ((samples, rate),) = heard
    assert len(samples) > rate
    # The middle second: a recording begins and ends as the buttons are pressed.
    middle = samples[len(samples) // 2 - rate // 2 :][:rate, 0]
    assert np.abs(np.fft.rfft(middle)).argmax() == pytest.approx(1000, abs=5)
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)  # No suppression of noise.
