"""EfficientNets on spectrograms: sizes, weights of networks for images, and what is left out of those."""

import sys

import keras
import numpy as np
import pytest
from harness import numpy, run

from keras_audio_si import layers
from keras_audio_si.experiments.model import build_model
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.models import EfficientNetBackbone, EfficientNetTagger
from keras_audio_si.models.metadata import class_names_of


def tiny(include_top, weights, input_tensor=None, input_shape=None):
    """A network for images with the outline of those of `keras.applications`."""
    assert not include_top
    if weights == "imagenet":
        raise Exception("URL fetch failure on https://example.org: None -- no network")
    images = keras.Input(input_shape) if input_tensor is None else input_tensor
    x = keras.layers.Normalization()(keras.layers.Rescaling(1 / 255)(images))
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = keras.layers.Conv2D(4, 3, strides=2, use_bias=False, kernel_initializer="he_normal")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("swish")(keras.layers.DepthwiseConv2D(3, padding="same")(x))
    model = keras.Model(images, keras.layers.Conv2D(6, 1, kernel_initializer="he_normal")(x))
    if weights is not None:
        model.load_weights(weights)
    return model


@pytest.fixture(scope="module")
def network_for_images(tmp_path_factory):
    """A network for images, and a file of its weights."""
    path = tmp_path_factory.mktemp("weights") / "images.weights.h5"
    network = tiny(False, None, input_shape=(None, None, 3))
    network.save_weights(path)
    return network, path


@pytest.fixture
def images(network_for_images, monkeypatch):
    monkeypatch.setattr(keras.applications, "EfficientNetB0", tiny)
    return network_for_images


@pytest.mark.parametrize("variant, count", [("B2", 13640766), ("B0", 9407672)])
def test_parameter_counts(variant, count):
    with keras.StatelessScope(initialize_variables=False):  # Shapes alone.
        model = EfficientNetTagger(527, (1056, 128), variant, heads=4)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == count
    assert model.layers[1].output_shape[1:3] == (33, 4)


def test_bands_are_the_height_of_the_image(images, rng):
    spectrograms = rng.normal(size=(2, 16, 12)).astype("float32")
    image = 255 * np.repeat(spectrograms.swapaxes(1, 2)[..., None], 3, axis=-1)
    want = numpy(run(images[0], image)).swapaxes(1, 2)
    for channels in (1, 2):
        backbone = EfficientNetBackbone("B0", (16, 12, channels), weights=images[1])
        x = spectrograms if channels == 1 else np.repeat(spectrograms[..., None], channels, axis=-1)
        np.testing.assert_allclose(numpy(run(backbone, x)), want, rtol=1e-4, atol=1e-5)


def test_three_channels_are_the_colours(images, rng):
    maps = rng.normal(size=(2, 16, 12, 3)).astype("float32")
    want = numpy(run(images[0], 255 * maps.swapaxes(1, 2))).swapaxes(1, 2)
    backbone = EfficientNetBackbone("B0", (16, 12, 3), images[1], input_mean=1.0, input_deviation=(1.0, 2.0, 4.0))
    x = maps * np.float32([1, 2, 4]) + 1
    np.testing.assert_allclose(numpy(run(backbone, x)), want, rtol=1e-4, atol=1e-5)


def test_in_front_of_weights_the_input_is_standardised(images):
    settings = Settings().changed(network="efficientnet-b0", sample_rate=16000, frames=32, num_mels=24)
    with_weights = settings.changed(weights=str(images[1]))
    for changed, kinds in (
        (settings, ["LogMelSpectrogram", "Functional"]),
        (with_weights, ["LogMelSpectrogram", "Standardise", "Functional"]),
        (with_weights.changed(standardise="none"), ["LogMelSpectrogram", "Functional"]),
    ):
        assert [type(layer).__name__ for layer in build_model("ab", changed).layers[1:]] == kinds
    merged = build_model("ab", with_weights.changed(resolution="diffres", frames_per_second=50))
    (layer,) = (layer for layer in merged.layers if isinstance(layer, layers.Standardise))
    assert tuple(layer.mean.shape) == (3,)  # Mean, maximum and encoding have their own.


def test_open_length_and_momentum(images):
    with keras.StatelessScope(initialize_variables=False):
        tagger = EfficientNetTagger(3, (None, 12), "B0", heads=2, batch_norm_momentum=0.7, class_names="abc")
    assert tagger.layers[1].output_shape == (None, None, 6, 6)
    assert tagger.output_shape == (None, 3) and class_names_of(tagger) == ("a", "b", "c")
    (network,) = (layer for layer in tagger.layers[1].layers if isinstance(layer, keras.Model))
    assert [layer.momentum for layer in network.layers if hasattr(layer, "momentum")] == [0.7]
    assert not any(isinstance(layer, keras.layers.Normalization) for layer in network.layers)


def test_weights_that_are_not_there(images, tmp_path):
    with pytest.raises(
        OSError, match=r"efficientnetb0_notop.h5 \(URL fetch .*weights='path/to/efficientnetb0_notop.h5'"
    ):
        EfficientNetBackbone("B0", (16, 12), weights="imagenet")
    with pytest.raises(FileNotFoundError, match=r"such as efficientnetb0_notop.h5. There is no file .*gone.h5"):
        EfficientNetBackbone("B0", (16, 12), weights=tmp_path / "gone.h5")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="other.weights.h5 does not hold the weights of EfficientNetB0"):
        EfficientNetBackbone("B0", (16, 12), weights=tmp_path / "other.weights.h5")


def test_wrong_arguments(monkeypatch):
    with pytest.raises(ValueError, match="`variant` must be one of 'B0', .* Received: variant='B9'"):
        EfficientNetTagger(3, variant="B9")
    with pytest.raises(ValueError, match="`library` must be one of 'keras.applications', .* Received: library='timm'"):
        EfficientNetTagger(3, variant="B0", library="timm")
    with pytest.raises(ValueError, match="`variant` must be one of 'V2B0', .* Received: variant='B0'"):
        EfficientNetTagger(3, variant="B0", library="keras_cv")
    with pytest.raises(ValueError, match="`weights` must be None with `library`='keras_cv'"):
        EfficientNetTagger(3, variant="V2B0", library="keras_cv", weights="imagenet")
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-audio-si\[cv\]'"):
        EfficientNetTagger(3, (40, 24), "V2B0", library="keras_cv")


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX takes half a minute to draw the weights of B0")
def test_scores_of_b0(rng):
    model = EfficientNetTagger(3, (24, 40, 3), "B0")  # Fewer frames than Keras takes for images.
    x = rng.normal(size=(2, 24, 40, 3)).astype("float32")
    scores = numpy(model(x))
    assert (scores > 0).all() and (scores < 1).all()
    np.testing.assert_allclose(numpy(model(x[1:])), scores[1:], rtol=1e-4)
