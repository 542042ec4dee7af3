"""Exports to LiteRT against the model, by the LiteRT interpreter, for the kinds of networks that it can run."""

import json
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile
from classifiers import RATE, small_classifier
from exported import MODELS, NAMES, tensorflow_alone, with_gamma

from keras_audio_si import layers
from keras_audio_si.cli import main as cli
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.export import check_export, formats, litert_file
from keras_audio_si.export.before_after import before_after, windows_over
from keras_audio_si.export.formats import export
from keras_audio_si.export.litert_file import litert_scores, write_litert
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.inference.tagging import find_audio, tag_files

pytest.importorskip("tensorflow", reason="a LiteRT file is written from TensorFlow")
interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra litert is not installed")


# What a user without Keras writes.
PLAIN = """
import json, sys
sys.modules.update({"keras": None, "keras_audio_si": None, "tensorflow": None})
import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, windows, result = sys.argv[1:]
model = Interpreter(path)
serve = model.get_signature_runner("serving_default")
np.save(result, np.concatenate([serve(waveforms=window[None])["scores"] for window in np.load(windows)]))
print(json.dumps(json.loads(model.get_signature_runner("metadata")()["json"].tobytes())))
"""


def windows_of(model, rng, seconds=None):
    samples = patch_layout(model, seconds).patch_samples
    return (rng.uniform(0.01, 0.5, (3, 1)) * rng.uniform(-1, 1, (3, samples))).astype("float32")


def scores_of(path, windows):
    serve = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    return np.concatenate([serve(waveforms=window[None])["scores"] for window in windows])


@tensorflow_alone
@pytest.mark.parametrize("name", MODELS)
def test_scores_of_windows(name, tmp_path, rng):
    model, path = MODELS[name](), tmp_path / "model.tflite"
    seconds = 0.25 if name == "open length" else None
    write_litert(model, path, window_seconds=seconds)
    windows = windows_of(model, rng, seconds)
    expected = model.predict(windows, verbose=0)
    np.testing.assert_allclose(scores_of(path, windows), expected, rtol=0, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-5


@tensorflow_alone
@pytest.mark.parametrize("name", MODELS)
def test_float16(name, tmp_path, rng):
    model, seconds = MODELS[name](), 0.25 if name == "open length" else None
    write_litert(model, tmp_path / "model.tflite", "float16", window_seconds=seconds)
    windows = windows_of(model, rng, seconds)
    windows[0] = 0.0  # Silence shows constants that 16 bits do not have.
    np.testing.assert_allclose(
        scores_of(tmp_path / "model.tflite", windows), model.predict(windows, verbose=0), rtol=0, atol=1e-2
    )


@tensorflow_alone
def test_float16_halves_the_weights(tmp_path):
    for precision in ("float32", "float16"):
        write_litert(MODELS["tlpf+aps"](), tmp_path / precision, precision)
    assert (tmp_path / "float16").stat().st_size < 0.7 * (tmp_path / "float32").stat().st_size


@tensorflow_alone
class TestInt8:
    def quantised(self, model, tmp_path, rng):
        """The path of the file of a model, whose scores are compared."""
        windows, path = np.concatenate([windows_of(model, rng) for _ in range(8)]), tmp_path / "model.tflite"
        np.save(tmp_path / "windows.npy", windows)
        write_litert(model, path, "int8", None, tmp_path / "windows.npy")
        expected = model.predict(windows, verbose=0)
        assert np.abs(litert_scores(path, windows) - expected).max() < 0.1 * np.ptp(expected)
        return path

    def test_networks_are_quantised_and_front_ends_are_not(self, tmp_path, rng):
        model = small_classifier(NAMES)
        path = self.quantised(model, tmp_path, rng)
        tensors = interpreter.Interpreter(str(path)).get_tensor_details()
        quantised = [tensor["name"] for tensor in tensors if tensor["dtype"] == np.int8]
        assert any("conv" in name for name in quantised)
        assert not any(model.layers[1].name in name or "/Abs" in name for name in quantised)
        metadata = interpreter.Interpreter(str(path)).get_signature_runner("metadata")()["json"].tobytes()
        assert json.loads(metadata)["class_names"] == list(NAMES)

    def test_merging_of_frames_stays_in_float32(self, tmp_path, rng):
        path = self.quantised(MODELS["diffres"](), tmp_path, rng)
        # What is rounded to 8 bits is not taken back to float32 at once, as the converter does with what is to stay.
        operations = interpreter.Interpreter(str(path))._get_ops_details()
        rounded = {number for one in operations if one["op_name"] == "QUANTIZE" for number in one["outputs"]}
        assert rounded
        assert not any(one["inputs"][0] in rounded for one in operations if one["op_name"] == "DEQUANTIZE")

    def test_another_top_class_in_too_many_windows(self, tmp_path, rng, monkeypatch):
        model = small_classifier(NAMES)
        monkeypatch.setattr(litert_file, "score_windows", lambda model, windows: np.eye(3, dtype="float32")[[0, 1, 2]])
        with pytest.raises(ValueError, match="in (33|67|100)% of 3 windows the largest score is that of another class"):
            export(model, tmp_path / "model.tflite", "litert", "int8", representative=windows_of(model, rng))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("scores", [[0.99], [0.04, 0.01, 0.0]])
    def test_scores_that_are_far_from_the_models(self, scores, tmp_path, monkeypatch):
        served = np.float32([[0.0, 0.0, 0.99] if len(scores) > 1 else [0.0]])
        monkeypatch.setitem(check_export.LOADERS, "litert", lambda path: ({}, lambda waveforms: served))
        cases = {"waveforms_0": np.zeros((1, 9)), "scores_0": np.float32([scores]), "metadata": "{}"}
        np.savez(tmp_path / "cases.npz", **cases, tolerance=np.inf, agreement=0.95)
        with pytest.raises(ValueError, match="in 100% of 1 windows the largest score is .* far from the model's"):
            check_export.check("litert", None, tmp_path / "cases.npz")

    def test_before_and_after(self, tmp_path, rng):
        model = small_classifier(NAMES)
        samples = patch_layout(model).patch_samples
        clips = [(rng.uniform(0.01, 0.5) * rng.uniform(-1, 1, samples + RATE * 3)).astype("float32") for _ in range(6)]
        labels = [(NAMES[number % 3],) for number in range(6)]
        cache = ClipCache.from_waveforms(clips, labels, RATE, NAMES)
        windows = windows_over(model, cache, 8)
        assert len(windows) == 8 and any(np.array_equal(windows[0], clips[0][:samples]) for _ in clips)
        export(model, tmp_path / "model.tflite", "litert", "int8", representative=windows)
        found = before_after(model, tmp_path / "model.tflite", cache)
        patches = patch_dataset(model, cache)
        scores = model.predict(patches.waveforms(np.arange(patches.num_patches)), verbose=0)
        of_file = litert_scores(tmp_path / "model.tflite", patches.waveforms(np.arange(patches.num_patches)))
        means = [np.stack([s[patches.patch_clip == clip].mean(axis=0) for clip in range(6)]) for s in (scores, of_file)]
        right = [(mean.argmax(axis=1) == np.arange(6) % 3).mean() for mean in means]
        assert [row["accuracy"] for row in found.rows] == pytest.approx(right)
        assert found.windows == len(scores) and found.largest == pytest.approx(np.abs(scores - of_file).max(), abs=1e-5)
        assert found.agreement == (scores.argmax(axis=1) == of_file.argmax(axis=1)).mean()
        assert "time-1 consistency (%)" in found.rows[1]


@pytest.mark.first
def test_command_writes_what_litert_alone_can_run(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    model = small_classifier(NAMES)
    model.save(tmp_path / "small.keras")
    path = tmp_path / "new" / "small.tflite"
    assert cli.main(["export", str(tmp_path / "small.keras"), "--to", "litert", "--output", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    assert [file.name for file in path.parent.iterdir()] == ["small.tflite"]

    windows = windows_of(model, rng)
    np.save(tmp_path / "windows.npy", windows)
    args = [path, tmp_path / "windows.npy", tmp_path / "scores.npy"]
    result = subprocess.run([sys.executable, "-P", "-c", PLAIN, *map(str, args)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    layout = patch_layout(model)
    assert json.loads(result.stdout) == {
        "class_names": list(NAMES),
        "sample_rate": RATE,
        "window_samples": layout.patch_samples,
        "hop_samples": layout.hop_samples,
        "short": "repeat",
        "peak": None,
    }
    expected = model.predict(windows, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=0, atol=1e-5)


@tensorflow_alone
@pytest.mark.parametrize("short, peak, samples", [("repeat", None, 900), ("zero", 0.9, 90), ("repeat", 0.9, 90)])
def test_the_example_gives_the_scores_of_tag(tmp_path, rng, monkeypatch, short, peak, samples):
    inputs = keras.Input((400,))
    x = keras.layers.Dense(3)(layers.FitLength(400, sample_rate=RATE, short=short, peak=peak)(inputs))
    model = keras.Model(inputs, layers.ClassScores(class_names=NAMES)(x))
    write_litert(model, tmp_path / "model.tflite")
    soundfile.write(tmp_path / "dog.wav", rng.uniform(-0.1, 0.1, samples), RATE, "FLOAT")
    page = (pathlib.Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if "Interpreter(" in block]
    monkeypatch.chdir(tmp_path)
    exec(example, found := {})
    (tagged,) = tag_files(model, find_audio(["dog.wav"]))
    np.testing.assert_allclose(found["scores"], tagged.scores[0], rtol=0, atol=1e-6)


@tensorflow_alone
def test_command_compares_a_model_of_any_length_on_audio(tmp_path, rng, monkeypatch, capsys):
    def export(model, path, to, precision, window_seconds, windows):
        """Without the comparison in another process."""
        assert windows.shape[1] == patch_layout(model, window_seconds).patch_samples
        write_litert(model, path, precision, window_seconds)
        return 0.0

    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):  # The command sets them.
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(formats, "export", export)
    monkeypatch.chdir(tmp_path)
    small_classifier(NAMES, open_length=True).save("any.keras")
    for name in NAMES[:2]:
        (tmp_path / "data" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / name / "a.wav", rng.uniform(-0.3, 0.3, 2 * RATE), RATE)
    arguments = ["--to", "litert", "--output", "any.tflite", "--data", "data", "--no-cache"]
    assert cli.main(["export", "any.keras", *arguments, "--window-seconds", "0.25"]) == 0
    out = capsys.readouterr().out
    assert "windows of 2 clips" in out and "time-1 consistency" in out


@tensorflow_alone
class TestErrors:
    def test_an_operation_that_litert_lacks(self, tmp_path):
        with pytest.raises(ValueError, match="LiteRT has no operation Igamma, which 'classifier' needs"):
            write_litert(with_gamma(), tmp_path / "model.tflite")
        assert not (tmp_path / "model.tflite").exists()

    def test_scores_that_differ_leave_the_file_as_it_was(self, tmp_path, monkeypatch):
        path, score = tmp_path / "model.tflite", litert_file.score_windows
        path.write_text("before")
        monkeypatch.setattr(litert_file, "score_windows", lambda model, windows: score(model, windows) + 1e-3)
        with pytest.raises(ValueError, match="does not give the model's scores.*: scores differ by 0.001"):
            export(small_classifier(NAMES), path, "litert")
        assert path.read_text() == "before" and [file.name for file in tmp_path.iterdir()] == ["model.tflite"]

    def test_usage(self, tmp_path, monkeypatch, capsys):
        model = str(tmp_path / "model.keras")
        small_classifier(NAMES).save(model)
        assert cli.main(["export", model, "--to", "onnx", "--precision", "float16", "--output", "m.onnx"]) == 2
        assert "`precision` and `window_seconds` are for `to='litert'`" in capsys.readouterr().err
        assert cli.main(["export", model, "--to", "litert", "--precision", "int8", "--output", "m.tflite"]) == 2
        assert "`--precision int8` needs `--data`" in capsys.readouterr().err
        with pytest.raises(ValueError, match="`representative` is needed for precision='int8'"):
            export(small_classifier(NAMES), tmp_path / "model.tflite", "litert", "int8")
        with pytest.raises(ValueError, match=r"`representative` must be \(windows, \d+\).*shape=\(2, 5\)"):
            export(small_classifier(NAMES), tmp_path / "model.tflite", "litert", representative=np.zeros((2, 5)))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ai_edge_litert" else name)
        with pytest.raises(ImportError, match="ai-edge-litert is not installed: pip install 'keras-audio-si"):
            export(small_classifier(NAMES), tmp_path / "model.tflite", "litert")
