"""PCEN against librosa and scipy, on the current backend."""

import keras
import numpy as np
import pytest
from harness import computed, gradients, numpy

from keras_audio_si import layers
from keras_audio_si.ops import pcen as ops_pcen

BANDS = np.array([0.0, 0.04, 0.5, 1.0])


def energies(rng, frames, bands=4, batch=2):
    return (rng.standard_normal((batch, frames, bands)) ** 2 * 10.0 ** rng.uniform(-6, 2, (1, 1, bands))).astype("f")


@pytest.mark.parametrize("frames", [1, 32, 45, 1100])
def test_smoothing_is_the_recursion(rng, frames):
    """One block, several of them, and blocks of blocks."""
    signal = pytest.importorskip("scipy.signal", reason="scipy is the reference here")
    x = energies(rng, frames)
    smoothed = computed(ops_pcen.smooth, x, np.float32(BANDS))
    for band, s in enumerate(BANDS):
        wanted = signal.lfilter([s], [1, s - 1], x[..., band], zi=(1 - s) * x[:, :1, band])[0]
        np.testing.assert_allclose(smoothed[..., band], wanted, rtol=2e-5)


def test_equals_librosa(rng):
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    x = energies(rng, 70)
    settings = {"gain": 0.8, "bias": 1.5, "root": 3.0, "smoothing": 0.1, "floor": 1e-5}
    layer = layers.PCEN(**settings)
    layer.build(x.shape)
    y = computed(layer, x)
    for example, got in zip(x.astype("float64"), y, strict=True):
        wanted = librosa.pcen(
            example.T, gain=0.8, bias=1.5, power=1 / 3, b=0.1, eps=1e-5, zi=0.9 * example[:1].T, axis=1
        )
        np.testing.assert_allclose(got, wanted.T, rtol=1e-4, atol=1e-6)


def test_levels_go_with_a_gain_of_1_and_quiet_bands_keep_their_digits(rng):
    x = energies(rng, 20)
    quiet, loud = (computed(ops_pcen.pcen, x * scale, 1.0, 2.0, 0.5, 0.1, floor=1e-30) for scale in (1e-3, 1e3))
    np.testing.assert_allclose(quiet, loud, rtol=1e-4)
    faint = computed(ops_pcen.pcen, x[:, :1] * 0 + 1e-9, 0.0, 2.0, 0.5, 0.1)
    np.testing.assert_allclose(faint, 1e-9 / (2 * np.sqrt(2)), rtol=1e-4)


def test_frames_do_not_depend_on_later_ones(rng):
    x = energies(rng, 50)
    changed = np.concatenate([x[:, :40], 100 * x[:, 40:]], axis=1)
    layer = layers.PCEN()
    layer.build(x.shape)
    np.testing.assert_allclose(computed(layer, changed)[:, :40], computed(layer, x)[:, :40], rtol=1e-6)


def test_weights_stay_in_their_ranges():
    layer = layers.PCEN()
    layer.build((None, None, 3))
    assert [weight.name for weight in layer.weights] == ["gain", "bias", "root", "smoothing"]
    keras.optimizers.SGD(1.0).apply([keras.ops.ones((3,))], [layer.gain])
    np.testing.assert_array_equal(numpy(layer.gain), 0.0)
    for value, bounds in ((-9.0, [0, 1e-3, 1, 0]), (9.0, [1, 9, 9, 1])):
        for weight, bound in zip(layer.weights, bounds, strict=True):
            np.testing.assert_allclose(numpy(weight.constraint(np.float32([value]))), bound)
    layer.set_weights([np.full(3, value, "float32") for value in (-5, -5, -5, 7)])  # Set by somebody else.
    assert np.isfinite(computed(layer, np.ones((1, 4, 3), "float32"))).all()


def test_weights_on_their_bounds_have_the_slope_inside(rng):
    x = np.abs(rng.standard_normal((1, 9, 1))).astype("float32")
    on, within = layers.PCEN(gain=1.0, smoothing=1.0), layers.PCEN(gain=1 - 1e-4, smoothing=1 - 1e-4)
    on.build(x.shape), within.build(x.shape)
    for got, wanted in zip(gradients(on, x)[1:], gradients(within, x)[1:], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_energies_of_a_loud_tone_reach_it_in_half_precision(policy):
    """They are above what float16 has, which ends at 65504."""
    x = 0.9 * np.sin(2 * np.pi * 0.1 * np.arange(22050, dtype="float32"))[None]
    results = []
    for name in ("float32", policy):
        keras.config.set_dtype_policy(name)
        try:
            inputs = keras.Input(x.shape[1:])
            energy = layers.LogMelSpectrogram(44100, num_mels=20, compression=None, fft_length=4096)(inputs)
            model = keras.Model(inputs, [energy, layers.PCEN()(energy)])
        finally:
            keras.config.set_dtype_policy("float32")
        results.append(computed(model, x))
    assert results[0][0].max() > 65504
    np.testing.assert_allclose(results[1][1].astype("float32"), results[0][1], rtol=0.02, atol=1e-3)


def test_masks_pass_through():
    inputs = keras.Input((None, 2))
    outputs = layers.PCEN()(keras.layers.Masking()(inputs))
    assert outputs._keras_mask is not None


def test_wrong_arguments_and_inputs():
    for settings, message in (
        ({"gain": 1.2}, r"`gain` must be in \[0, 1\]. Received: gain=1.2"),
        ({"bias": 0.0}, r"`bias` must be in \[0.001, inf\)"),
        ({"root": 0.5}, r"`root` must be in \[1, inf\)"),
        ({"smoothing": -0.1}, r"`smoothing` must be in \[0, 1\]"),
        ({"floor": 0.0}, "`floor` must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            layers.PCEN(**settings)
    with pytest.raises(ValueError, match=r"shape \(batch, time, bands\). Received: shape=\(2, 3\)"):
        layers.PCEN()(np.ones((2, 3), "float32"))
    with pytest.raises(TypeError, match="`energy` must be of a real float type"):
        layers.PCEN()(np.ones((2, 3, 1), "int32"))
