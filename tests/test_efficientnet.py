"""EfficientNets on spectrograms: sizes, weights of networks for images, and what is left out of those."""

import itertools
import sys

import keras
import numpy as np
import pytest
from cases import small_efficientnet
from harness import numpy, run

from keras_audio_si import layers
from keras_audio_si.experiments.model import build_model
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.layers import AttentionHead, ClassScores
from keras_audio_si.layers.nested import nested_layers
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


BANDS = 12


def padded_for(network, frames):
    """Set the padding of a network for images of open size as `keras.applications` does for one size."""
    size = (frames, BANDS)
    for layer, following in zip(network.layers, network.layers[1:], strict=False):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            half = following.kernel_size[0] // 2
            layer.padding = tuple((half - 1 + n % 2, half) for n in size)
            size = tuple(-(-n // 2) for n in size)
    return network


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


class TestOpenLength:
    """Networks of an open number of frames against those that `keras.applications` pads for one number."""

    @pytest.fixture(scope="class")
    def networks(self):
        keras.utils.set_random_seed(3)
        images = small_efficientnet(include_top=False, weights=None, input_shape=(None, None, 1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.applications, "EfficientNetB0", small_efficientnet)
            backbone = EfficientNetBackbone("B0", (None, BANDS, 1))
        rng = np.random.default_rng(3)
        first, values = images.get_weights()[:3], images.get_weights()[3:]  # Of the layer that normalises images.
        values = [rng.uniform(0.5, 1.5, value.shape) if value.ndim == 1 else value for value in values]
        images.set_weights([*first, *values])
        backbone.set_weights(values)
        return images, backbone

    @pytest.mark.parametrize("lengths", [(1, 7, 24, 49, 50), pytest.param(range(1, 102), marks=pytest.mark.slow)])
    def test_equals_the_network_of_its_length(self, networks, lengths, rng):
        images, backbone = networks
        for frames in lengths:
            x = rng.normal(size=(1, frames, BANDS, 1)).astype("float32")
            want = numpy(run(padded_for(images, frames), 255 * x))
            assert want.shape[1] == -(-frames // 32) and 0.1 < want.std() < 10
            np.testing.assert_allclose(numpy(run(backbone, x)), want, rtol=1e-4, atol=1e-5, err_msg=f"{frames} frames")

    def test_strided_convolutions_of_every_length(self, rng):
        """What depends on the length, with the padding of `keras.applications` for it, as sums over taps."""
        for frames, size in itertools.product(range(1, 102), (3, 5)):
            x, kernel = rng.normal(size=(frames, 1)), rng.normal(size=size)
            padded = np.pad(x[:, 0], (size // 2 - 1 + frames % 2, size // 2))
            want = [padded[start : start + size] @ kernel for start in range(0, len(padded) - size + 1, 2)]
            arrays = (array.astype("float32") for array in (x[None, :, None], kernel[:, None, None, None]))
            got = keras.ops.conv(*arrays, (2, 1), "same", data_format="channels_last")
            np.testing.assert_allclose(numpy(got)[0, :, 0, 0], want, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("variant", ["B0", "V2B0"])
    def test_nothing_is_made_for_one_length(self, variant):
        with keras.StatelessScope(initialize_variables=False):
            backbone = EfficientNetBackbone(variant, (None, 40))
        convolutions = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
        found = [layer for layer in nested_layers(backbone) if isinstance(layer, convolutions)]
        assert {layer.padding for layer in found} == {"same"} and sum(layer.strides == (2, 2) for layer in found) == 5
        assert not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in nested_layers(backbone))


def test_models_of_version_0_2_load(rng, tmp_path):
    """Those of one length, which have the layers that pad for it."""
    inputs = keras.Input((50, BANDS, 1))
    network = small_efficientnet(include_top=False, weights=None, input_tensor=keras.Input((50, BANDS, 1)))
    first = network.get_layer("stem_conv_pad")
    scores = AttentionHead(3)(keras.Model(first.input, network.output)(inputs))
    old = keras.Model(inputs, ClassScores(None, "abc")(scores))
    old.save(tmp_path / "old.keras")
    loaded, x = keras.models.load_model(tmp_path / "old.keras"), rng.normal(size=(2, 50, BANDS, 1)).astype("float32")
    np.testing.assert_array_equal(numpy(run(loaded, x)), numpy(run(old, x)))


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
