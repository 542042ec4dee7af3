"""What users import: public names, what an import costs, and trainings without TensorFlow."""

import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_audio_si
from keras_audio_si import layers
from keras_audio_si.data import BackgroundNoise, ClipCache, PatchDataset, PatchSequence

ROOT = pathlib.Path(__file__).parent.parent


def python(code, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.once
class TestNames:
    def test_public_names_are_there_and_described(self):
        count = 0
        for room in keras_audio_si.__all__:
            module = getattr(keras_audio_si, room)
            assert module.__doc__ and module.__all__, room
            for name in module.__all__:
                thing = getattr(module, name)
                assert isinstance(thing, dict) or thing.__doc__, f"{room}.{name}"
                count += 1
        assert 130 < count < 220

    def test_a_name_that_is_not_there(self):
        for module in (keras_audio_si, keras_audio_si.training):
            with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
                module.nothing  # noqa: B018

    @pytest.mark.parametrize(
        "old, new",
        [
            ("RandomPolarity", "PolarityInversion"),
            ("PermanentDropout", "MonteCarloDropout"),
            ("class_names_of", "models"),
        ],
    )
    def test_old_names_name_the_new_ones(self, old, new):
        with pytest.raises(AttributeError, match=f"`{old}` is `.*{new}.*` since version 0.2.0"):
            getattr(layers, old)

    def test_old_arguments_name_the_new_ones(self):
        for build, old in ((keras_audio_si.models.VGG41, "in_channels"), (keras_audio_si.models.EAT, "input_length")):
            with pytest.raises(TypeError, match=f"`{old}` is `input_shape` since version 0.2.0"):
                build(3, **{old: 2})
        with pytest.raises(TypeError, match="`jit` is `jit_compile`"):
            keras_audio_si.training.TrainingSettings(jit=True)


@pytest.mark.once
def test_imports_are_light():
    heavy = {"tensorflow", "jax", "torch", "matplotlib", "soundfile", "soxr", "scipy", "sklearn"} - {
        keras.backend.backend()
    }
    loaded = "import sys, keras; before = set(sys.modules); import keras_audio_si; print(*(set(sys.modules) - before))"
    assert not heavy & set(python(loaded).split())
    loaded = "import sys; sys.argv = ['keras-audio-si']; import keras_audio_si.cli.main as m; m.build_parser(['train'])"
    assert "keras" not in python(f"{loaded}; print(*sys.modules)").split()


def noisy_patches(**options):
    rng = np.random.default_rng(0)
    waveforms = [rng.uniform(-1, 1, samples).astype("float32") for samples in (50, 270, 130, 100, 999)]
    cache = ClipCache.from_waveforms(waveforms, [("dog",), ("rain",), ("dog",), (), ("rain",)], 100)
    noise = BackgroundNoise(ClipCache.from_waveforms([rng.uniform(-1, 1, 500)], [()], 100, ("dog", "rain")))
    return PatchDataset(cache, 100, background=noise, **options)


class TestPatchSequence:
    @pytest.mark.parametrize("options", [{}, {"crops": "random", "short": "zero", "sampling": "class_balanced"}])
    def test_its_batches_are_those_of_tf_data(self, options):
        pytest.importorskip("tensorflow", reason="compares with a tf.data.Dataset")
        patches = noisy_patches(**options)
        sequence = PatchSequence(patches, 4, seed=3)
        steps = patches.steps_per_epoch(4)
        expected = list(itertools.islice(patches.batches(4, True, seed=3).as_numpy_iterator(), 2 * steps))
        found = [sequence[i] for i in range(len(sequence))]
        sequence.on_epoch_end()
        sequence[0]  # As Keras does to build a model.
        sequence.on_epoch_end()
        found += [sequence[i] for i in range(len(sequence))]
        endless = list(itertools.islice(patches.endless_batches(4, 3, start_epoch=1), steps))
        for (x, y), (expected_x, expected_y) in zip([*found, *endless], [*expected, *expected[steps:]], strict=True):
            np.testing.assert_array_equal(x, expected_x)
            np.testing.assert_array_equal(y, expected_y)
        evaluated = PatchSequence(patches, 4, training=False)
        for i, (x, y) in enumerate(patches.batches(4, False).as_numpy_iterator()):
            np.testing.assert_array_equal(evaluated[i][0], x)
            np.testing.assert_array_equal(evaluated[i][1], y)

    def test_processes_are_refused(self):
        with pytest.raises(ValueError, match="`use_multiprocessing` must be False, .*: use `workers`"):
            PatchSequence(noisy_patches(), 4, workers=2, use_multiprocessing=True)

    def test_fit_takes_it(self):
        patches = noisy_patches()
        model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(2, activation="sigmoid")])
        training = keras_audio_si.training.AugmentedModel(model, layers.MixUp(seed=0))
        training.compile("adam", "binary_crossentropy")
        mixed = PatchSequence(patches, 4, mixed=True)
        validation = PatchSequence(patches, 4, False, mixed=True)
        history = training.fit(mixed, epochs=3, validation_data=validation, shuffle=False, verbose=0)
        assert len(history.history["val_loss"]) == 3 and mixed.epoch == 3
        with pytest.raises(ValueError, match="takes pairs of inputs and labels"):
            training(np.zeros((4, 100), "float32"))


WITHOUT = """
import sys
sys.modules["tensorflow"] = None  # Importing it raises an ImportError.
import keras, numpy as np
from keras_audio_si import data, evaluation, inference, layers, models, training
manifest = data.assign_splits(data.write_dataset("sounds", 40, 8000, min_seconds=0.5, max_seconds=0.9))
clips = data.ClipCache.build(manifest, 8000, "cache", progress=False)
front_end = layers.LogMelSpectrogram(8000, num_mels=12)
x = inputs = keras.Input((16, 12))
x = keras.layers.Dense(10)(keras.layers.Flatten()(x))
network = keras.Model(inputs, layers.ClassScores("sigmoid", manifest.class_names)(x))
model = models.Classifier(front_end, network, input_samples=front_end.num_samples(16))
cut = {s: inference.patch_dataset(model, clips.select(split=s)) for s in ("train", "val", "test")}
settings = training.TrainingSettings(epochs=2, batch_size=16, learning_rate=0.01, mixup_alpha=0.5)
training.fit(model, cut["train"], cut["val"], settings, "run", verbose=0)
print("mAP", evaluation.evaluate_clips(model, cut["test"]).mAP)
print(len(list(inference.tag_files(model, inference.find_audio(["sounds/audio"])[:2]))), "tagged")
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="without TensorFlow there is no such backend")
def test_training_from_files_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = python(WITHOUT)
    assert "mAP 0." in out and "2 tagged" in out
    assert (tmp_path / "run" / "log.csv").exists() and not (tmp_path / "run" / "tensorboard").exists()
