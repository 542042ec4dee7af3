"""EAT beyond the published form: its switches, lengths, pooling, and a trained model on longer audio."""

import keras
import numpy as np
import pytest
from harness import numpy, run

from keras_audio_si import layers, models
from keras_audio_si.layers.transformer import interpolate_positions
from keras_audio_si.ops.convolution import convolve_time, convolve_time_by_channel

SMALL = {
    "factors": (4,),
    "channels": 2,
    "transformer_layers": 1,
    "heads": 2,
    "embedding_dim": 8,
    "feed_forward_dim": 12,
    "residual": "common",  # They compile faster under XLA, and only what is about the others needs them.
}


def shapes_only():
    """Builds models without values for their weights."""
    return keras.StatelessScope(initialize_variables=False)


def eat(num_classes=3, samples=1024, **kwargs):
    shape = samples if isinstance(samples, tuple) else (samples,)
    return models.EAT(num_classes, shape, **{"activation": None, **SMALL, **kwargs})


def names(model, kind):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


class TestConvolutions:
    """Against the definition, for every padding and for lengths that the dilation does not divide."""

    MODES = {"reflect": "reflect", "same": "constant", "edge": "edge", "circular": "wrap"}

    @pytest.mark.parametrize("padding", MODES)
    def test_across_channels(self, padding, rng):
        x, kernel = rng.standard_normal((2, 11, 3)), rng.standard_normal((4, 3, 5))
        padded = np.pad(x, ((0, 0), (1, 2), (0, 0)), mode=self.MODES[padding])
        wanted = sum(padded[:, i : i + 11] @ kernel[i] for i in range(4))
        got = convolve_time(*(keras.ops.convert_to_tensor(value, "float32") for value in (x, kernel)), padding)
        np.testing.assert_allclose(numpy(got), wanted, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("padding", MODES)
    def test_by_channel(self, padding, rng):
        x, taps = rng.standard_normal((2, 20, 3)), rng.standard_normal((5, 3))
        padded = np.pad(x, ((0, 0), (6, 6), (0, 0)), mode=self.MODES[padding])
        wanted = sum(padded[:, 3 * i : 3 * i + 20] * taps[i] for i in range(5))
        args = (keras.ops.convert_to_tensor(value, "float32") for value in (x, taps))
        np.testing.assert_allclose(numpy(convolve_time_by_channel(*args, 3, padding)), wanted, rtol=1e-4, atol=1e-5)


class TestSwitches:
    """Table 6b."""

    def test_dilated_is_the_default(self):
        settings = {name: value for name, value in SMALL.items() if name != "residual"}
        with shapes_only():
            model = models.EAT(3, (1024,), **settings)
        dilations = [block.by_channel.dilation for block in model.layers if isinstance(block, layers.TimeResidualBlock)]
        assert dilations == [1, 1, 3, 9, 1, 3, 9]

    def test_modified_has_no_dilation_and_as_many_parameters(self):
        with shapes_only():
            model, dilated = eat(residual="modified"), eat(residual="dilated")
        blocks = [layer for layer in model.layers if isinstance(layer, layers.TimeResidualBlock)]
        assert len(blocks) == 7 and {block.by_channel.dilation for block in blocks} == {1}
        assert model.count_params() == dilated.count_params()

    def test_common_blocks_add_their_input(self, rng):
        model = eat(residual="common")
        assert not names(model, layers.TimeResidualBlock)
        block = keras.Model(model.get_layer("down0_pool").output, model.get_layer("down0_residual").output)
        x = rng.standard_normal((2, 256, 4)).astype("float32")
        for name in ("down0_residuala", "down0_residualb"):
            model.get_layer(name).kernel.assign(np.zeros((3, 4, 4)))
        np.testing.assert_allclose(numpy(run(block, x)), np.where(x > 0, x, 0.2 * x), atol=1e-6)

    def test_convolution_in_place_of_the_transformer(self, rng):
        model = eat(aggregation="convolution")
        assert not names(model, (layers.ClassToken, layers.TransformerBlock))
        x = rng.standard_normal((2, 1024)).astype("float32")
        gathered = run(keras.Model(model.input, [model.get_layer(n).output for n in ("gather", "mean_time")]), x)
        np.testing.assert_allclose(numpy(gathered[0]).mean(axis=1), numpy(gathered[1]), atol=1e-6)

    def test_unknown_ones_are_named(self):
        with pytest.raises(ValueError, match="`residual` must be one of 'dilated', .* Received: residual='dense'"):
            eat(residual="dense")
        with pytest.raises(
            ValueError, match="`aggregation` must be one of 'transformer', .* Received: aggregation='mean'"
        ):
            eat(aggregation="mean")
        with pytest.raises(ValueError, match=r"`factors` must be integers of at least 2. Received: factors=\(4, 1\)"):
            eat(factors=(4, 1))
        with pytest.raises(ValueError, match="`heads` must divide the width of the tokens, 8. Received: heads=3"):
            eat(heads=3)
        with pytest.raises(ValueError, match="`padding` must keep the length"):
            eat(padding="valid")


class TestLength:
    def test_padded_with_silence_to_a_multiple(self, rng):
        model, x = eat(samples=1000), rng.standard_normal((2, 1000)).astype("float32")
        longer = eat(samples=1008)
        longer.set_weights(model.get_weights())
        assert model.get_layer("fit_length").output.shape == longer.get_layer("fit_length").output.shape == (None, 1008)
        padded = np.pad(x, ((0, 0), (0, 8)))
        np.testing.assert_allclose(numpy(run(model, x)), numpy(run(longer, padded)), atol=1e-6)

    def test_cut_to_a_multiple(self, rng):
        model, x = (
            eat(samples=1000, fit="cut"),
            rng.standard_normal(
                (
                    2,
                    1000,
                )
            ).astype("float32"),
        )
        shorter = eat(samples=992)
        shorter.set_weights(model.get_weights())
        np.testing.assert_allclose(numpy(run(model, x)), numpy(run(shorter, x[:, :992])), atol=1e-6)

    @pytest.mark.parametrize(
        "settings",
        [{"residual": "dilated"}, {"residual": "modified"}, {}, {"residual": "dilated", "padding": "circular"}],
    )
    def test_the_smallest_length_is_the_smallest_that_works(self, settings):
        """One multiple less would leave the padding without values, which the padding itself says."""
        with shapes_only():
            model = eat(samples=1, aggregation="convolution", **settings)
        smallest = model.get_layer("fit_length").smallest
        assert model.get_layer("fit_length").output.shape == (None, smallest)
        with pytest.raises(ValueError, match="takes at least"):
            eat(samples=smallest - 1, fit="cut", **settings)
        if settings:
            config = model.get_config()
            for layer in config["layers"]:
                if layer["name"] == "fit_length":
                    layer["config"]["smallest"] = smallest - 16
            with pytest.raises(ValueError, match="must have at least"):
                run(keras.Model.from_config(config), np.zeros((1, 1), "float32"))

    def test_default_factors_need_32768(self):
        with shapes_only():
            model = models.EATSmall(2, input_shape=(5000,))
        assert model.get_layer("fit_length").output.shape == (None, 32768)


class TestLongerAudio:
    def test_a_constant_position_stays(self):
        positions = np.full((1, 6, 3), 0.5)
        np.testing.assert_array_equal(interpolate_positions(positions, 13), np.full((1, 14, 3), 0.5))

    def test_same_length_same_scores(self, rng):
        model, x = eat(), rng.standard_normal((2, 1024)).astype("float32")
        model.get_layer("class_token").positions.assign(rng.standard_normal((1, 65, 8)))
        np.testing.assert_array_equal(numpy(run(models.with_input_length(model, 1024), x)), numpy(run(model, x)))

    def test_twice_as_long(self, rng):
        model = eat()
        token = model.get_layer("class_token")
        token.positions.assign(rng.standard_normal((1, 65, 8)))
        longer = models.with_input_length(model, 2048)
        assert longer.input_shape == (None, 2048) and model.input_shape == (None, 1024)
        positions = numpy(longer.get_layer("class_token").positions)
        old = numpy(token.positions)
        np.testing.assert_array_equal(positions[0, 0], old[0, 0])
        np.testing.assert_allclose(
            (positions[0, 2:-1:2] + positions[0, 3:-1:2]) / 2, (old[0, 1:-1] + old[0, 2:]) / 2, atol=1e-6
        )
        assert np.isfinite(numpy(run(longer, np.zeros((1, 2048), "float32")))).all()

    def test_without_positions_any_length(self, rng):
        model = eat(aggregation="convolution")
        longer = models.with_input_length(model, 2048)
        for old, new in zip(model.get_weights(), longer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_of_a_network_inside(self, rng):
        network = eat(aggregation="convolution")
        outer = models.Classifier(None, network)
        x = rng.normal(size=(2, 2048)).astype("float32")
        want = numpy(run(models.with_input_length(network, 2048), x))
        listed = keras.Model([network.input], [network.output])
        for model in (outer, listed):
            inputs = [x] if model is listed else x
            (got,) = keras.tree.flatten(run(models.with_input_length(model, 2048), inputs))
            np.testing.assert_allclose(numpy(got), want, rtol=1e-5, atol=1e-6)

    def test_of_a_classifier(self, rng):
        model = models.pretrained("vgg41-esc10")
        longer = models.with_input_length(model, 2 * model.input_shape[1])
        assert longer.input_shape == (None, 2 * model.input_shape[1])
        for old, new in zip(model.get_weights(), longer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    def test_other_weights_that_depend_on_the_length(self):
        inputs = keras.Input((8,))
        model = keras.Model(inputs, keras.layers.Dense(2, name="scores")(inputs))
        with pytest.raises(ValueError, match="The layer 'scores' cannot have another input length"):
            models.with_input_length(model, 16)


class TestPooling:
    def test_reaches_every_stage(self):
        with shapes_only():
            model = eat(factors=(4, 2), pooling="triangular+aps-l2", samples=4096)
        pools = [model.get_layer(f"{name}_pool") for name in ("down0", "down1", "refine0", "refine1")]
        assert all(isinstance(pool, layers.AdaptivePolyphasePool) for pool in pools)
        assert [pool.strides[0] for pool in pools] == [4, 2, 2, 2]
        assert [pool.filter_size[0] for pool in pools] == [9, 5, 5, 5]
        assert {(pool.filter, pool.criterion, pool.pool_size) for pool in pools} == {("triangular", "l2", (1, 1))}

    @pytest.mark.parametrize(
        "pooling", ["max", "average", "blur5", "tlpf3+aps", lambda strides: layers.AntiAliasPool(1, strides)]
    )
    def test_kinds(self, pooling):
        with shapes_only():
            assert eat(pooling=pooling).get_layer("project").output.shape == (None, 64, 8)

    def test_unknown_ones_are_named(self):
        with pytest.raises(ValueError, match="Received: pooling='triangle'. Did you mean 'triangular'"):
            eat(pooling="triangle")

    def test_adaptive_sampling_makes_it_invariant_to_circular_shifts(self, rng):
        x = rng.standard_normal((2, 1024)).astype("float32")
        shifted = np.concatenate([np.roll(x, shift, axis=1) for shift in (1, 5, 18)])
        changes = {}
        for pooling in ("triangular", "triangular+aps"):
            keras.utils.set_random_seed(3)
            model = eat(aggregation="convolution", padding="circular", pooling=pooling)
            for layer in model.layers:  # Feature maps of the size of the input, as after a training.
                for weight in layer.weights:
                    if weight.path.endswith("kernel"):
                        weight.assign(10 * numpy(weight))
            scores = numpy(run(model, np.concatenate([x, shifted])))
            changes[pooling] = np.abs(scores[2:].reshape(3, 2, -1) - scores[:2]).max() / np.abs(scores).max()
        assert changes["triangular+aps"] <= 1e-5
        assert changes["triangular"] > 1e-4


def test_two_channels_and_scores(rng):
    model = eat(samples=(1024, 2), activation="softmax", class_names=("a", "b", "c"), sample_rate=8000)
    assert model.input_shape == (None, 1024, 2) and models.class_names_of(model) == ("a", "b", "c")
    assert model.layers[-1].input is model.get_layer("logits").output
    scores = numpy(run(model, rng.standard_normal((2, 1024, 2)).astype("float32")))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert model.get_layer("fit_length").sample_rate == 8000


def test_dropout_in_training_alone(rng):
    block, x = layers.TransformerBlock(2, 8, dropout=0.5, seed=1), rng.standard_normal((2, 5, 4)).astype("float32")
    still = numpy(block(x))
    np.testing.assert_array_equal(still, numpy(block(x)))
    assert np.abs(still - numpy(block(x, training=True))).max() > 0.01


def test_frozen_normalisation_is_folded_in_training_too(rng):
    layer, x = layers.TimeConvolution(4, 3), rng.standard_normal((2, 9, 3)).astype("float32")
    wanted = numpy(layer(x))
    layer.norm.trainable = False
    np.testing.assert_array_equal(numpy(layer(x, training=True)), wanted)
