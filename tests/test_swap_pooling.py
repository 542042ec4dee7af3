"""Other people's models with the pooling of this package: nothing else changes, and what is promised holds exactly."""

import keras
import numpy as np
import pytest
from harness import Case, built, numpy, run
from keras import layers
from test_shift_invariance import all_shifts

from keras_audio_si.layers import (
    AdaptivePolyphasePool,
    AntiAliasPool,
    GlobalTimeMelPool,
    LogMelSpectrogram,
    SpatialPadding,
)
from keras_audio_si.models import VGG41, Classifier, swap_pooling

SUBSAMPLING_2D = (
    lambda: layers.MaxPooling2D(2),
    lambda: layers.MaxPooling2D(3, 2, "same"),
    lambda: layers.MaxPooling2D(3, (2, 1), "valid"),
    lambda: layers.MaxPooling2D(1, 2),
    lambda: layers.AveragePooling2D((3, 2), (2, 3), "same"),
    lambda: layers.AveragePooling2D(2),
    lambda: layers.Conv2D(4, 3, 2, "same", activation="relu"),
    lambda: layers.Conv2D(4, 4, 3, "same"),
    lambda: layers.Conv2D(4, (2, 5), 2, "valid"),
    lambda: layers.Conv2D(4, 1, 2, "same", use_bias=False),
    lambda: layers.DepthwiseConv2D(3, 2, "same"),
    lambda: layers.SeparableConv2D(4, 5, 2, "same"),
)
SUBSAMPLING_1D = (
    lambda: layers.MaxPooling1D(3, 2, "same"),
    lambda: layers.AveragePooling1D(4, 3),
    lambda: layers.Conv1D(4, 5, 2, "same"),
    lambda: layers.Conv1D(4, 3, 2, "causal"),
    lambda: layers.DepthwiseConv1D(3, 2, "same"),
    lambda: layers.SeparableConv1D(4, 3, 2, "valid"),
)


@pytest.fixture(autouse=True)
def no_random_initial_weights(monkeypatch):
    # JAX compiles one program for every shape. Where weights matter, `built` sets them.
    zeros = lambda self, shape, dtype: np.zeros(shape, dtype)  # noqa: E731
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


def plain_decimation(strides):
    return AntiAliasPool(strides, strides, filter_size=1)


def branches(shape, subsampling):
    inputs = keras.Input(shape)
    return keras.Model(inputs, [build()(inputs) for build in subsampling])


def with_random_weights(model):
    return built(Case("model", lambda: model, None), np.zeros((1, *model.input_shape[1:]), "float32"))


def names(model, kind=(AntiAliasPool, AdaptivePolyphasePool)):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("size", [(8, 9), (9, 10), (10, 8)])
def test_without_a_filter_the_copy_computes_what_the_model_did(rng, size):
    # The strongest check there is of windows, paddings and sampling phases, whatever the parity of the map.
    for shape, subsampling in (((*size, 3), SUBSAMPLING_2D), ((size[0], 3), SUBSAMPLING_1D)):
        model = with_random_weights(branches(shape, subsampling))
        swapped = swap_pooling(model, plain_decimation, strided_convolutions=True)
        assert len(names(swapped)) == len(subsampling)
        x = rng.standard_normal((2, *shape)).astype("float32")
        for got, wanted in zip(run(swapped, x), run(model, x), strict=True):
            np.testing.assert_allclose(numpy(got), numpy(wanted), rtol=1e-5, atol=1e-6)


def residual_network(size, shortcut_pool):
    """Circular convolutions and plain subsampling of four kinds, in a main path and a shortcut, twice."""

    def convolution(x, filters, size=3, strides=1):
        x = SpatialPadding(size, "circular")(x) if size > 1 else x
        return layers.Conv2D(filters, size, strides, "valid", activation="relu")(x)

    inputs = keras.Input((*size, 1))
    x = convolution(inputs, 6)
    main = layers.MaxPooling2D(2, name="main_pool")(convolution(x, 6))
    x = layers.Add()([main, layers.Conv2D(6, 1)(shortcut_pool(x))])
    x = layers.Add()([convolution(x, 8, 3, 2), layers.Conv2D(8, 1, 2)(x)])
    return with_random_weights(keras.Model(inputs, layers.Dense(4)(GlobalTimeMelPool("mean")(x))))


# The average pool of two by two is a binomial filter, after which the grids of a non-negative map tie in the l1 norm.
@pytest.mark.parametrize(
    "pooling, shortcut_pool",
    [
        ("aps", layers.MaxPooling2D(1, 2)),
        ("tlpf3+aps", layers.MaxPooling2D(2)),
        ("blur3+aps-l2", layers.AveragePooling2D(2)),
    ],
)
def test_a_plain_residual_network_becomes_invariant_to_every_circular_shift(rng, pooling, shortcut_pool):
    model = residual_network((12, 8), shortcut_pool)
    x = all_shifts(rng.standard_normal((1, 12, 8, 1)).astype("float32"))

    def spread(model):
        scores = numpy(run(model, x))
        return np.ptp(scores, axis=0).max() / np.abs(scores).max()

    assert spread(model) > 1e-3
    assert spread(swap_pooling(model, pooling, strided_convolutions=True, padding="circular")) < 1e-6


def test_weights_are_kept_and_the_copy_saves(rng, tmp_path):
    model = residual_network((12, 8), layers.AveragePooling2D(2))
    before = model.get_weights()
    swapped = swap_pooling(model, "tlpf3+aps", strided_convolutions=True)
    for layer in model.layers:
        for weight, copy in zip(layer.get_weights(), swapped.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(copy, weight)
    assert len(swapped.weights) == len(model.weights) + 4  # the taps
    swapped.layers[2].set_weights([0 * weight for weight in swapped.layers[2].get_weights()])
    for weight, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, weight)

    x = rng.standard_normal((2, 12, 8, 1)).astype("float32")
    swapped.save(tmp_path / "swapped.keras")
    loaded = keras.models.load_model(tmp_path / "swapped.keras")
    np.testing.assert_array_equal(numpy(run(loaded, x)), numpy(run(swapped, x)))


def test_triangular_taps_follow_the_strides():
    inputs = keras.Input((32, 32, 1))
    model = keras.Model(inputs, layers.MaxPooling2D((4, 2))(layers.MaxPooling2D(2)(inputs)))
    swapped = swap_pooling(model, "triangular")
    assert [swapped.get_layer(name).filter_size for name in names(swapped)] == [(5, 5), (9, 5)]


def test_published_network():
    resnet = keras.applications.ResNet50(weights=None, input_shape=(None, None, 3), include_top=False)
    swapped = swap_pooling(resnet, "aps", strided_convolutions=True)
    assert len(names(swapped)) == 8 and len(swapped.weights) == len(resnet.weights)
    # Main path and shortcut take the first one's grid.
    for block in ("conv3_block1", "conv4_block1"):
        samplers = [swapped.get_layer(f"{block}_{number}_conv_sample") for number in (0, 1)]
        assert sorted(len(keras.tree.flatten(sampler.input)) for sampler in samplers) == [1, 2]


def test_sequential_and_nested_models(rng):
    sequential = keras.Sequential([keras.Input((9, 3)), layers.Conv1D(4, 3), layers.MaxPooling1D(2), layers.Flatten()])
    sequential = with_random_weights(sequential)
    x = rng.standard_normal((2, 9, 3)).astype("float32")
    swapped = swap_pooling(sequential, plain_decimation)
    np.testing.assert_allclose(numpy(run(swapped, x)), numpy(run(sequential, x)), rtol=1e-6)
    assert swap_pooling(sequential, "aps").output_shape == sequential.output_shape

    front_end = LogMelSpectrogram(16000)
    model = Classifier(front_end, VGG41(3, (17, 96), width=0.1), input_samples=front_end.num_samples(17))
    swapped = swap_pooling(model, "aps")
    assert names(swapped.get_layer("vgg41")) == ["pool1_sample", "pool2_sample", "pool3_sample"]
    for weight, copy in zip(model.get_weights(), swapped.get_weights(), strict=True):
        np.testing.assert_array_equal(copy, weight)


def test_a_layer_that_is_used_twice_stays_one(rng):
    first, second = keras.Input((8, 8, 2)), keras.Input((8, 8, 2))
    convolution, pool = layers.Conv2D(3, 3, padding="same"), layers.MaxPooling2D(2)
    model = keras.Model([first, second], layers.Add()([pool(convolution(first)), pool(convolution(second))]))
    x = [rng.standard_normal((2, 8, 8, 2)).astype("float32") for _ in range(2)]
    swapped = swap_pooling(model, plain_decimation)
    np.testing.assert_allclose(numpy(run(swapped, x)), numpy(run(model, x)), rtol=1e-5, atol=1e-6)
    assert len(swap_pooling(model, "tlpf3+aps").weights) == len(model.weights) + 1


def test_pools_that_do_not_subsample_stay():
    inputs = keras.Input((8, 8, 2))
    dense = layers.MaxPooling2D(3, 1, "same", name="dense")(inputs)
    x = layers.AveragePooling2D(4, name="global")(layers.MaxPooling2D(2, name="pool")(dense))
    swapped = swap_pooling(keras.Model(inputs, x), "aps")
    assert names(swapped) == ["pool_sample"] and swapped.output_shape == (None, 1, 1, 2)


class TestRefusals:
    """Branches that meet on grids which are not known to match are refused where they meet."""

    def parallel(self, first, second, name="meeting"):
        inputs = keras.Input((16, 16, 4))
        return keras.Model(inputs, layers.Add(name=name)([first(inputs), second(inputs)]))

    def test_an_adaptive_and_a_strided_branch(self):
        model = self.parallel(layers.MaxPooling2D(2, name="pool"), layers.Conv2D(4, 1, 2, name="strided"))
        with pytest.raises(ValueError, match="'meeting'.*'pool' .adaptive.*'strided' .at fixed positions"):
            swap_pooling(model, "aps")
        swap_pooling(model, "aps", strided_convolutions=True)
        swap_pooling(model, "blur3")

    def test_one_step_against_two(self):
        two = keras.Sequential([keras.Input((16, 16, 4)), layers.MaxPooling2D(2), layers.MaxPooling2D(2)])
        for second in (two, lambda x: layers.MaxPooling2D(2)(layers.MaxPooling2D(2)(x))):
            model = self.parallel(layers.AveragePooling2D(4), second)
            with pytest.raises(ValueError, match="'meeting'"):
                swap_pooling(model, "aps")
            swap_pooling(model, "tlpf3")

    @pytest.mark.parametrize("size", [16, None])
    def test_a_skip_connection_around_an_upsampling(self, size):
        inputs = keras.Input((size, size, 4))
        up = layers.UpSampling2D(2, name="up")(layers.MaxPooling2D(2)(inputs))
        model = keras.Model(inputs, layers.Concatenate(name="skip")([inputs, layers.ReLU()(up)]))
        with pytest.raises(ValueError, match="'skip'.*'up'"):
            swap_pooling(model, "aps")

    def test_squeeze_and_excitation_is_no_such_branch(self):
        inputs = keras.Input((None, None, 4))
        x = layers.MaxPooling2D(2)(inputs)
        gate = layers.Conv2D(4, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        swap_pooling(keras.Model(inputs, layers.Multiply()([layers.ReLU()(x), gate])), "aps")

    def test_unknown_names_name_the_nearest(self):
        model = self.parallel(layers.MaxPooling2D(2), layers.MaxPooling2D(2))
        with pytest.raises(ValueError, match="'blurr5'. Did you mean 'blur5'"):
            swap_pooling(model, "blurr5")
        with pytest.raises(ValueError, match="anti-aliased or adaptive.*'max'"):
            swap_pooling(model, "max")
        with pytest.raises(ValueError, match="`padding` must be one of.*'same'"):
            swap_pooling(model, "aps", padding="same")

    def test_nothing_to_replace(self):
        model = self.parallel(layers.Conv2D(4, 1, 2, name="one"), layers.Conv2D(4, 1, 2, name="other"))
        with pytest.raises(ValueError, match="strided_convolutions=True would replace 'one', 'other'"):
            swap_pooling(model, "aps")
        with pytest.raises(ValueError, match="functional or Sequential"):
            swap_pooling(keras.Model(), "aps")

    def test_sizes(self):
        def model(size, layer):
            inputs = keras.Input((size, size, 4))
            return keras.Model(inputs, layer(inputs))

        with pytest.raises(ValueError, match="'pool'.*size of its input"):
            swap_pooling(model(None, layers.MaxPooling2D(3, 2, "same", name="pool")), "aps")
        with pytest.raises(ValueError, match="'pool'.*strides .* divide"):
            swap_pooling(model(9, layers.MaxPooling2D(2, name="pool")), "aps", padding="circular")
        with pytest.raises(ValueError, match="'pool'.*gives maps of shape"):
            swap_pooling(model(8, layers.MaxPooling2D(4, 2, name="pool")), "aps", padding="circular")
        with pytest.raises(ValueError, match="'conv'.*zeros"):
            swap_pooling(model(8, layers.Conv2D(4, 3, 2, "same", name="conv")), "aps", True, padding="circular")
