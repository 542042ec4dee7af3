"""Exports to ONNX against the model, by ONNX Runtime, for every kind of network and any length and batch."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from classifiers import RATE, small_classifier
from exported import MODELS, NAMES, tensorflow_alone, with_gamma
from harness import numpy, run

from keras_audio_si import layers
from keras_audio_si.cli import main as cli
from keras_audio_si.export import onnx_file
from keras_audio_si.export.formats import export
from keras_audio_si.export.onnx_file import write_onnx
from keras_audio_si.export.saved_model import clip_scores
from keras_audio_si.models.precision import in_float32

pytest.importorskip("tensorflow", reason="an ONNX file is written from TensorFlow")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


# What a user without Keras writes.
PLAIN = """
import json, sys
sys.modules.update({"keras": None, "keras_audio_si": None, "tensorflow": None})
import numpy as np, onnxruntime

path, cases, result = sys.argv[1:]
session = onnxruntime.InferenceSession(path)
metadata = session.get_modelmeta().custom_metadata_map
cases = np.load(cases)
np.savez(result, **{name: session.run(["scores"], {"waveforms": cases[name]})[0] for name in cases})
print(json.dumps({name: json.loads(value) for name, value in metadata.items()}))
"""


@tensorflow_alone
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["tlpf+aps", "masked vgg", "eat", "efficientnet"])
def test_models_of_mixed_precision_are_exported_in_float32(name, policy, tmp_path, rng):
    full = MODELS[name]()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = MODELS[name]()
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(full.get_weights())
    x = rng.uniform(-0.3, 0.3, (2, full.input_shape[1])).astype("float32")
    assert np.abs(numpy(run(in_float32(mixed), x)) - numpy(run(full, x))).max() < 1e-6
    assert in_float32(full) is full
    if name == "tlpf+aps":
        assert export(mixed, tmp_path / "model.onnx", "onnx") < 1e-5


@tensorflow_alone
def test_layers_in_layers_are_in_float32_as_well(rng):
    def model(dtype):
        inner = layers.LogMelSpectrogram(RATE, num_mels=16, dtype=dtype)
        inputs = keras.Input((1600,))
        return keras.Model(inputs, layers.RescaledFrontEnd(inner, 0.1, 1.0, dtype=dtype)(inputs))

    x = rng.uniform(-0.3, 0.3, (1, 1600)).astype("float32")
    np.testing.assert_array_equal(in_float32(model("mixed_bfloat16"))(x), model("float32")(x))


@tensorflow_alone
@pytest.mark.parametrize("name", MODELS)
def test_scores_of_any_length_and_batch(name, tmp_path, rng):
    model = MODELS[name]()
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    patch = model.input_shape[1] or 2000
    for batch, samples in ((1, patch), (3, patch // 3), (2, 3 * patch + 17)):
        waveforms = rng.uniform(0.01, 0.5, (batch, 1)) * rng.uniform(-1, 1, (batch, samples))
        waveforms = waveforms.astype("float32")
        (scores,) = session.run(["scores"], {"waveforms": waveforms})
        np.testing.assert_allclose(scores, clip_scores(model, waveforms), rtol=0, atol=1e-5)
    assert np.ptp(scores, axis=0).max() > 1e-5


@pytest.mark.first
def test_command_writes_what_onnx_runtime_alone_can_run(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    model = small_classifier(NAMES)
    model.save(tmp_path / "small.keras")
    path = tmp_path / "new" / "small.onnx"
    assert cli.main(["export", str(tmp_path / "small.keras"), "--to", "onnx", "--output", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    assert [file.name for file in path.parent.iterdir()] == ["small.onnx"]

    patch = model.input_shape[1]
    shapes = {"one": (1, patch), "short": (3, 100), "long": (2, 9 * patch + 11)}
    waveforms = {name: rng.uniform(-0.3, 0.3, shape).astype("float32") for name, shape in shapes.items()}
    np.savez(tmp_path / "cases.npz", **waveforms)
    args = [path, tmp_path / "cases.npz", tmp_path / "result.npz"]
    result = subprocess.run([sys.executable, "-P", "-c", PLAIN, *map(str, args)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"class_names": list(NAMES), "sample_rate": RATE, "window_samples": patch}
    scores = np.load(tmp_path / "result.npz")
    for name, clips in waveforms.items():
        np.testing.assert_allclose(scores[name], clip_scores(model, clips), rtol=0, atol=1e-5)


@tensorflow_alone
class TestErrors:
    def test_an_operation_that_onnx_lacks(self, tmp_path):
        with pytest.raises(ValueError, match="ONNX has no operation Igamma, which .*gamma.* needs"):
            write_onnx(with_gamma(), tmp_path / "model.onnx")
        assert not (tmp_path / "model.onnx").exists()

    def test_scores_that_differ_leave_the_file_as_it_was(self, tmp_path, monkeypatch):
        path = tmp_path / "model.onnx"
        path.write_text("before")
        monkeypatch.setattr(onnx_file, "clip_scores", lambda model, x: clip_scores(model, x) + 1e-3)
        with pytest.raises(ValueError, match="does not give the model's scores.*: .* differ by 0.001"):
            export(small_classifier(NAMES), path, to="onnx")
        assert path.read_text() == "before" and [file.name for file in tmp_path.iterdir()] == ["model.onnx"]

    def test_without_the_extra(self, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tf2onnx" else name)
        with pytest.raises(ImportError, match="tf2onnx is not installed: pip install 'keras-audio-si"):
            export(small_classifier(NAMES), tmp_path / "model.onnx", to="onnx")
