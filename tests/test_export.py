import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from classifiers import RATE, small_classifier
from exported import NAMES, tensorflow_alone

from keras_audio_si import layers, models
from keras_audio_si.cli import main as cli
from keras_audio_si.export import saved_model
from keras_audio_si.export.formats import export
from keras_audio_si.export.saved_model import clip_scores, write_saved_model
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.layers import ClassScores
from keras_audio_si.models.metadata import front_end_of

pytest.importorskip("tensorflow", reason="a SavedModel is written by TensorFlow")

# What a user without this package writes. Nothing of Keras can be imported here.
PLAIN = """
import json, sys
sys.modules.update({"keras": None, "keras_audio_si": None})
import numpy as np, tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

folder, cases, result = sys.argv[1:]
loaded = tf.saved_model.load(folder)
metadata = loaded.signatures["metadata"]()
scores = {}
for name, waveforms in np.load(cases).items():
    scores[name] = loaded.signatures["serving_default"](waveforms=tf.constant(waveforms))["scores"].numpy()
np.savez(result, **scores)
with tf.GradientTape() as tape:
    x = tf.constant(np.load(cases)["long"])
    tape.watch(x)
    y = tf.reduce_sum(loaded.serving_default(x)["scores"])
graph = saved_model_pb2.SavedModel.FromString(open(folder + "/saved_model.pb", "rb").read()).meta_graphs[0].graph_def
nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
print(json.dumps({
    "class_names": [name.decode("utf-8") for name in metadata["class_names"].numpy()],
    "sample_rate": int(metadata["sample_rate"]),
    "window_samples": int(metadata["window_samples"]),
    "attributes": sorted({key for node in nodes for key in node.attr if "gradient" in key or "Xla" in key}),
    "slope": float(tf.norm(tape.gradient(y, x))),
}))
"""


def run_plain(folder, tmp_path, **waveforms):
    """Scores by TensorFlow alone, what it read from the metadata, and what it wrote to stderr."""
    np.savez(tmp_path / "cases.npz", **waveforms)
    args = [folder, tmp_path / "cases.npz", tmp_path / "result.npz"]
    result = subprocess.run([sys.executable, "-P", "-c", PLAIN, *map(str, args)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return np.load(tmp_path / "result.npz"), json.loads(result.stdout.splitlines()[-1]), result.stderr


class TestFixedLength:
    @pytest.mark.first
    def test_command_exports_what_tensorflow_alone_can_run(self, tmp_path, rng, capsys, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        monkeypatch.setenv("JAX_PLATFORMS", "cpu")
        model = small_classifier(NAMES)
        model.save(tmp_path / "small.keras")
        folder = tmp_path / "new" / "exported"
        args = ("export", tmp_path / "small.keras", "--to", "savedmodel", "--output", folder)
        assert cli.main([*map(str, args)]) == 0
        assert str(folder) in capsys.readouterr().out
        assert [path.name for path in folder.parent.iterdir()] == ["exported"]

        patch = model.input_shape[1]
        waveforms = {
            name: rng.uniform(-0.3, 0.3, (batch, samples)).astype("float32")
            for name, batch, samples in (
                ("one", 1, patch),
                ("short", 3, 100),
                ("long", 2, 9 * patch + 11),
                ("many", 21, patch + patch // 2),
                ("none", 0, patch),
            )
        }
        scores, found, stderr = run_plain(folder, tmp_path, **waveforms)
        for name, clips in waveforms.items():
            if name == "none":
                assert scores[name].shape == (0, 3)
                continue
            np.testing.assert_allclose(scores[name], clip_scores(model, clips), rtol=0, atol=1e-5)
        assert np.ptp(scores["many"], axis=0).max() > 1e-3
        assert found["class_names"] == list(NAMES) and found["sample_rate"] == RATE
        assert found["window_samples"] == model.input_shape[1]
        assert found["attributes"] == [] and found["slope"] > 0
        assert "custom gradient" not in stderr

    def test_what_is_expected_is_the_mean_over_patches(self, rng):
        model = small_classifier(NAMES)
        layout = patch_layout(model)
        waveform = rng.uniform(-0.3, 0.3, (1, layout.patch_samples + 2 * layout.hop_samples + 5)).astype("float32")
        patches = [waveform[0, start : start + layout.patch_samples] for start in layout.hop_samples * np.arange(3)]
        expected = np.mean(model.predict_on_batch(np.stack(patches)), axis=0)
        np.testing.assert_allclose(clip_scores(model, waveform)[0], expected, rtol=0, atol=1e-6)


@tensorflow_alone
def test_open_length_takes_clips_whole(tmp_path, rng):
    import tensorflow as tf

    model = small_classifier(NAMES, "tlpf3", open_length=True)
    write_saved_model(model, tmp_path / "exported")
    serve = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    frame = front_end_of(model, any_length=True).num_samples(1)
    long = rng.uniform(-0.3, 0.3, (2, 6001)).astype("float32")
    short = rng.uniform(-0.3, 0.3, (1, frame // 2 + 1)).astype("float32")
    scores = {name: serve(waveforms=tf.constant(x))["scores"] for name, x in (("long", long), ("short", short))}
    np.testing.assert_allclose(scores["long"], model.predict_on_batch(long), rtol=0, atol=1e-5)
    repeated = np.resize(short[0], (1, frame))
    np.testing.assert_allclose(scores["short"], model.predict_on_batch(repeated), rtol=0, atol=1e-5)


@tensorflow_alone
def test_adaptive_grids_of_open_length(tmp_path, rng):
    import tensorflow as tf

    model = small_classifier(NAMES, open_length=True)
    write_saved_model(model, tmp_path / "exported")
    serve = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    for samples in (4000, 4080, 4160):  # 48, 49 and 50 frames
        waveforms = rng.uniform(-0.3, 0.3, (2, samples)).astype("float32")
        scores = serve(waveforms=tf.constant(waveforms))["scores"]
        np.testing.assert_allclose(scores, model.predict_on_batch(waveforms), rtol=0, atol=1e-5)


@pytest.mark.slow
@tensorflow_alone
def test_masked_frames_of_open_length(tmp_path, rng):
    """The length of the clips, and how much of it is padding, change the frames that DiffRes makes of them."""
    import tensorflow as tf

    keras.utils.set_random_seed(4)
    front_end = layers.LogMelSpectrogram(RATE, num_mels=12)
    inputs = keras.Input((None, 12, 3))
    maps = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    head = keras.Sequential([layers.AttentionHead(3, heads=2), ClassScores(None, NAMES)])
    model = models.Classifier(front_end, maps, layers.DiffResLayer(0.6), head, lengths="zeros")
    write_saved_model(model, tmp_path / "exported")
    serve = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    found = []
    for samples in (2000, 4100):
        waveforms = rng.uniform(-0.3, 0.3, (3, samples)).astype("float32")
        waveforms[1, 1300:] = waveforms[2, 700:] = 0.0
        scores = serve(waveforms=tf.constant(waveforms))["scores"].numpy()
        np.testing.assert_allclose(scores, clip_scores(model, waveforms), rtol=0, atol=1e-5)
        found.append(scores)
    assert np.ptp(found[0], axis=0).max() > 1e-3


class TestErrors:
    @pytest.mark.slow
    @tensorflow_alone
    def test_scores_that_differ_leave_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(saved_model, "clip_scores", lambda *args: clip_scores(*args) + np.float32(2e-5))
        with pytest.raises(match="does not give the model's scores.* differ by 2"):
            export(small_classifier(NAMES), tmp_path / "exported")
        assert list(tmp_path.iterdir()) == []

    def test_output_exists(self, tmp_path):
        with pytest.raises(FileExistsError, match="exists: name a folder"):
            export(small_classifier(NAMES), tmp_path)

    @pytest.mark.parametrize("to", ["savedmodel", "onnx"])
    @pytest.mark.parametrize("options", [{"precision": "int8"}, {"window_seconds": 1.0}])
    def test_options_of_litert(self, to, options, tmp_path):
        with pytest.raises(ValueError, match="are for `to='litert'`"):
            export(small_classifier(NAMES), tmp_path / "exported", to, **options)

    def test_no_class_names(self, tmp_path):
        with pytest.raises(ValueError, match="does not name its classes"):
            export(small_classifier(None), tmp_path / "exported")

    def test_no_waveforms(self, tmp_path):
        with pytest.raises(ValueError, match="must take waveforms"):
            export(keras.Sequential([keras.Input((5, 3)), ClassScores(class_names=NAMES)]), tmp_path / "exported")

    def test_no_tensorflow(self, tmp_path, monkeypatch):
        monkeypatch.setattr(saved_model.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match="install the extra `tensorflow-cpu`"):
            export(small_classifier(NAMES), tmp_path / "exported")
        assert list(tmp_path.iterdir()) == []
