"""Data at another rate, or of other classes, than a model was made for: said before a number comes out."""

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.evaluation.shift_clips import shift_patches
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.layers import ClassScores, LogMelSpectrogram

CLASSES = ("dog", "rain", "wind")


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((2000,))
    logits = keras.layers.Dense(3)(keras.ops.mean(LogMelSpectrogram(1000, num_mels=8)(inputs), axis=1))
    return keras.Model(inputs, ClassScores(class_names=CLASSES)(logits), name="net")


def cache(rate=1000, class_names=CLASSES):
    waveforms = np.random.default_rng(0).standard_normal((3, 4000)).astype("float32")
    return ClipCache.from_waveforms(waveforms, [(name,) for name in sorted(class_names)[:3]], rate, class_names)


def test_data_that_fit(model):
    assert evaluate_clips(model, patch_dataset(model, cache())).clips.scores.shape == (3, 3)


@pytest.mark.parametrize(
    "use",
    [
        patch_dataset,
        lambda model, cache: shift_patches(model, cache, ("time-1",)),
        lambda model, cache: evaluate_clips(model, PatchDataset(cache, 2000)),
    ],
    ids=["patch_dataset", "shift_patches", "evaluate_clips"],
)
def test_another_rate(model, use):
    with pytest.raises(ValueError, match="'net' takes audio at 1000 Hz, the data are at 800 Hz.*sample_rate=1000"):
        use(model, cache(rate=800))


def test_another_rate_than_that_of_a_network_without_a_front_end():
    layer = keras.layers.Dense(3)
    layer.sample_rate = 1000
    network = keras.Sequential([keras.Input((2000,)), layer], name="net")
    evaluate_clips(network, PatchDataset(cache(), 2000))
    with pytest.raises(ValueError, match="'net' takes audio at 1000 Hz, the data are at 800 Hz"):
        evaluate_clips(network, PatchDataset(cache(rate=800), 2000))


@pytest.mark.parametrize(
    ("class_names", "message"),
    [
        (("dog", "wind", "rain"), "in another order: class 1 is 'rain' there and 'wind' here"),
        (("cat", "dog", "rain"), "without 'wind' and with unknown 'cat'"),
        (("cat", *CLASSES), "with unknown 'cat'"),
    ],
)
def test_other_classes(model, class_names, message):
    data = PatchDataset(cache(class_names=class_names), 2000)
    with pytest.raises(ValueError, match=f"not those of the model 'net', but {message}"):
        evaluate_clips(model, data)


def test_a_model_that_says_nothing_takes_anything():
    inputs = keras.Input((2000,))
    model = keras.Model(inputs, keras.layers.Dense(3, "sigmoid")(inputs))
    assert evaluate_clips(model, PatchDataset(cache(rate=7), 2000)).clips.class_names == CLASSES
