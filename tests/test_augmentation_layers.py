"""What every random layer promises, and the ranges of their draws."""

import keras
import numpy as np
import pytest
from cases import RANDOM_LAYERS, RATE
from harness import computed, numpy
from keras import ops

from keras_audio_si import layers

every_layer = pytest.mark.parametrize("name", RANDOM_LAYERS)


def clips(rng, batch=3, samples=501):
    return (0.3 * rng.standard_normal((batch, samples))).astype("float32")


@every_layer
def test_config_round_trip_repeats_the_draws(name, rng):
    layer = RANDOM_LAYERS[name](probability=0.5, seed=3, name="mine")
    clone = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(clone) is type(layer) and clone.get_config() == layer.get_config()
    first, second = layer.draw(4, 501), clone.draw(4, 501)
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(numpy(first[key]), numpy(second[key]))


@pytest.mark.slow
@every_layer
def test_examples_go_by_their_own_draws(name, rng):
    x = clips(rng)
    layer = RANDOM_LAYERS[name](probability=0.7, seed=1)
    params = {key: numpy(value) for key, value in layer.draw(*x.shape).items()}
    y = computed(layer.apply, x, params)
    assert y.shape == x.shape and y.dtype == "float32" and np.isfinite(y).all()
    np.testing.assert_array_equal(y[~params["applied"]], x[~params["applied"]])
    assert (np.abs(y - x)[params["applied"]].max(axis=1) > 1e-6).all()
    louder = np.float32([30, 1, 30])[:, None] * x
    backwards = computed(layer.apply, louder[::-1].copy(), {key: value[::-1].copy() for key, value in params.items()})
    np.testing.assert_allclose(backwards[1], y[1], atol=1e-5)
    if keras.backend.backend() == "tensorflow":  # On JAX all of the above is compiled.
        import tensorflow as tf

        np.testing.assert_allclose(tf.function(layer.apply, jit_compile=True)(x, params), y, atol=1e-4, rtol=1e-4)


@every_layer
def test_silence_and_single_samples(name):
    x = np.float32([[0], [1]])
    layer = RANDOM_LAYERS[name](seed=1)
    y = computed(layer.apply, x, layer.draw(2, 1))
    assert y.shape == (2, 1) and np.isfinite(y).all()
    # An even number of mu-law levels has none at 0.
    assert abs(y[0, 0]) <= (0.02 if name == "mu_law" else 0)


@every_layer
def test_contract(name, rng):
    layer, x, labels = RANDOM_LAYERS[name](), clips(rng), np.eye(3, dtype="float32")
    for training in (False, None):
        np.testing.assert_array_equal(numpy(layer(x, training=training)), x)
        np.testing.assert_array_equal(numpy(layer((x, labels), training=training)[0]), x)
    symbolic = layer((keras.Input((501,)), keras.Input((3,))), training=True)
    assert [value.shape for value in symbolic] == [(None, 501), (None, 3)]
    assert layer(keras.Input((501,))).shape == (None, 501)
    with pytest.raises(ValueError, match=r"\(batch, samples\). Received: shape=\(3, 501, 2\).*channels.*mix them down"):
        layer(np.stack([x, x], -1), training=True)
    with pytest.raises(TypeError, match="waveforms.*int16"):
        layer(x.astype("int16"), training=True)


def test_float32_inside_whatever_the_policy(rng):
    x, policy = clips(rng), "mixed_bfloat16"
    for build in (layers.RandomGain, layers.RandomNoise, layers.Roll):
        layer = build(dtype=policy)
        params = layer.draw(*x.shape)
        wanted = computed(build().apply, x, params)
        np.testing.assert_array_equal(computed(layer.apply, x, params), wanted)

        def in_half_precision(x, params, layer=layer):
            half = layer.apply(ops.cast(x, "bfloat16"), params)
            assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"
            return ops.cast(half, "float32")

        np.testing.assert_allclose(computed(in_half_precision, x, params), wanted, atol=0.03)


def test_draws_cover_their_ranges():
    def drawn(layer, samples=4000):
        return {key: numpy(value) for key, value in layer.draw(2000, samples).items()}

    decibels = 20 * np.log10(drawn(layers.RandomGain((-20.0, 10.0), unit="decibels"))["gain"])
    assert -20.0 <= decibels.min() < -19.5 and 9.5 < decibels.max() <= 10.0 and abs(decibels.mean() + 5.0) < 0.7
    params = drawn(layers.RandomFragmentGain(RATE, seconds=(0.01, 0.02), gain=(0.5, 1.3), probability=0.3))
    assert set(params["length"]) == set(range(80, 161))
    assert params["start"].min() >= 0 and (params["start"] + params["length"]).max() in range(3990, 4001)
    assert 0.5 <= params["gain"].min() < 0.51 and 1.29 < params["gain"].max() < 1.3
    assert abs(params["applied"].mean() - 0.3) < 0.05
    params = drawn(layers.RandomTimeShift(RATE, max_seconds=0.002))
    assert set(params["samples"]) == set(range(-16, 17))
    assert -0.5 <= params["fraction"].min() < -0.49 and 0.49 < params["fraction"].max() <= 0.5
    assert set(drawn(layers.Roll(fractional=False), 7)["samples"]) == set(range(7))
    assert "fraction" not in drawn(layers.Roll(fractional=False), 7)
    assert set(drawn(layers.BitCrush((3, 6)))["bits"]) == {3, 4, 5, 6}
    assert set(drawn(layers.RandomSpeed())["factor"]) == {0, 1, 2, 3}
    decibels = drawn(layers.RandomNoise("red", (10, 30)))["decibels"]
    assert 10 <= decibels.min() < 10.2 and 29.8 < decibels.max() <= 30
    assert len(np.unique(drawn(layers.RandomNoise())["key"], axis=0)) == 2000
    low = drawn(layers.RandomLowPass((0.2, 0.6)))["cutoff"]
    assert 0.2 <= low.min() < 0.21 and 0.59 < low.max() <= 0.6


def test_noise_is_at_its_level_and_new_each_time(rng):
    x = clips(rng, samples=2000)
    layer = layers.RandomNoise("violet", (12.0, 12.0), seed=4)
    noises = [computed(layer.apply, x, layer.draw(*x.shape)) - x for _ in range(2)]
    for noise in noises:
        ratio = 10 * np.log10((x**2).mean(axis=1) / (noise.astype("float64") ** 2).mean(axis=1))
        np.testing.assert_allclose(ratio, 12, atol=0.01)
    correlation = np.corrcoef(np.concatenate(noises))
    assert np.abs(correlation - np.eye(6)).max() < 0.15


def test_fragment_longer_than_the_clip_is_the_clip():
    masked = layers.RandomTimeMask(RATE, seconds=(1.0, 2.0))(np.ones((2, 300), "float32"), training=True)
    np.testing.assert_array_equal(numpy(masked), 0)


def test_wrong_arguments():
    for build, message in (
        (lambda: layers.RandomGain(probability=1.5), r"`probability` must be in \[0, 1\]. Received: probability=1.5"),
        (lambda: layers.RandomGain((2.0, 1.0)), r"`gain` must be a range \(lowest, highest\)"),
        (lambda: layers.RandomGain(0.5), "`gain` must be a range"),
        (lambda: layers.RandomGain((0.0, 6.0), unit="dB"), "`unit` must be one of 'factor', 'decibels'"),
        (lambda: layers.RandomTimeMask(0), "`sample_rate` must be positive"),
        (lambda: layers.RandomTimeMask(RATE, (-1, 1)), "`seconds` must be a range .* from 0"),
        (lambda: layers.RandomMuLaw((0, 8)), "`bits` must be a range .* from 1 to 24"),
        (lambda: layers.BitCrush((8, 8.5)), r"`bits` must be a range of integers .* Received: bits=\(8, 8.5\)"),
        (lambda: layers.RandomTimeShift(RATE, interpolation="cubic"), "`interpolation` must be one of"),
        (lambda: layers.RandomLowPass((0.2, 1.5)), "`cutoff` must be a range .* from 0 to 1"),
        (lambda: layers.RandomLowPass((0.0, 0.5)), "`cutoff` must not be 0 for a low pass"),
        (lambda: layers.RandomHighPass((1.0, 1.0)), "`cutoff` must not be 1 for a high pass"),
        (lambda: layers.RandomHighPass(num_taps=4), "`num_taps` must be odd"),
        (lambda: layers.RandomHighPass(scale="max"), "`scale` must be one of"),
        (lambda: layers.RandomNoise("green"), "`kind` must be one of 'white'"),
        (lambda: layers.RandomNoise(("red", "uniform")), "`kind` must be one of .*or a sequence of"),
        (lambda: layers.RandomSpeed(()), "`length_factors` must be positive"),
        (lambda: layers.RandomPhaseNoise(RATE, sizes=[(64, 0)]), "`sizes` must be pairs"),
        (lambda: layers.RandomPhaseNoise(RATE, (0.02, 0.01)), "`radians` must be a range .* from 0"),
        (lambda: layers.RandomPhaseNoise(0), "`sample_rate` must be at least"),
        (lambda: layers.RandomFragmentGain(RATE, max_start_seconds=0), "`max_start_seconds` must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            build()


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="lengths are unknown in TensorFlow's graphs alone")
def test_unknown_lengths():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None))]
    names = ("gain", "time_mask", "mu_law", "cyclic_shift", "low_pass", "white_noise", "sine")
    chain = layers.AugmentationChain([RANDOM_LAYERS[name](seed=0) for name in names])
    for jit in (False, True):
        function = tf.function(lambda x: chain(x, training=True), signature, jit_compile=jit)
        assert np.isfinite(function(tf.ones((2, 41))).numpy()).all()
    for name in ("coloured_noise", "speed", "phase_noise"):
        with pytest.raises(ValueError, match="must know the number of samples"):
            tf.function(lambda x, name=name: RANDOM_LAYERS[name]()(x, training=True), signature)(tf.ones((2, 41)))
