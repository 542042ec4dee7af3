"""TimeMix, FreqMix and PhaseMix: direct formulas, any length, silence, gradients, compilation, draws."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.signal import get_window
from test_signal import compiled, run, vjp

from keras_audio_si import layers
from keras_audio_si.layers import FreqMix, MixUp, PhaseMix, TimeMix
from keras_audio_si.layers.spectral_mixing import stft_sizes
from keras_audio_si.ops import mixing, spectrum

BACKEND = keras.backend.backend()
PARTNER = np.array([2, 0, 1])
# (samples, fft, hop): lengths that no hop divides, an odd transform, hops of half a frame, a clip shorter than a frame.
SETTINGS = [(1001, 128, 32), (777, 45, 11), (1000, 64, 32), (37, 128, 64)]


def analysed(x, fft, hop, window):
    """Short-time spectrum by NumPy in float64."""
    taps = get_window({"rectangular": "boxcar"}.get(window, window), fft)
    samples, margin = x.shape[-1], fft // 2
    extended = np.pad(x.astype("float64"), ((0, 0), (margin, fft - margin + -samples % hop)), mode="reflect")
    starts = range(0, extended.shape[-1] - fft + 1, hop)
    return np.fft.rfft(np.stack([extended[:, s : s + fft] * taps for s in starts], axis=1)), taps


def synthesised(spectra, taps, samples, hop):
    fft, margin = len(taps), len(taps) // 2
    frames = np.fft.irfft(spectra, fft)
    total = np.zeros((len(frames), samples + 2 * fft + hop))
    weight = np.zeros(total.shape[-1])
    for t in range(frames.shape[1]):
        total[:, t * hop : t * hop + fft] += frames[:, t] * taps
        weight[t * hop : t * hop + fft] += taps**2
    return (total / np.where(weight > 0, weight, 1))[:, margin : margin + samples]


def phase_mixed(x, weight, fft, hop, window="rectangular"):
    spectra, taps = analysed(x, fft, hop, window)
    phase = np.angle(spectra)
    weight = weight[:, None, None]
    phase = weight * phase + (1 - weight) * phase[PARTNER]
    return synthesised(np.abs(spectra) * np.exp(1j * phase), taps, x.shape[-1], hop)


def noise(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


@pytest.mark.parametrize("samples, fft, hop", SETTINGS)
def test_mix_in_frequency_is_the_formula(rng, samples, fft, hop):
    bins = "paper" if fft % 2 else "released"
    x, weight, high = noise(rng, 3, samples), np.float32([0.55, 0.8, 0.7]), np.array([True, False, True])
    spectra, taps = analysed(x, fft, hop, "hann")
    num_bins = fft // 2 + 1
    for i in range(3):
        replaced = int((1 - weight[i]) * num_bins) if bins == "released" else num_bins - int(weight[i] * num_bins)
        band = slice(num_bins - replaced, None) if high[i] else slice(0, replaced)
        spectra[i, :, band] = analysed(x[PARTNER[i]][None], fft, hop, "hann")[0][0, :, band]
    expected = synthesised(spectra, taps, samples, hop)
    mixed = run(lambda *v: mixing.mix_in_frequency(*v, fft, hop, bins=bins), x, PARTNER, weight, high)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_silence_behind_clips_stays_silent(rng):
    """Two frames share a transform, whose rounding must not reach a silent one: masks are made of zeros."""
    x = noise(rng, 3, 8000)
    x[:, 2000:] = 0.0
    weight, high = np.float32([0.55, 0.8, 0.7]), np.array([True, False, True])
    mixed = run(lambda *v: mixing.mix_in_frequency(*v, 512, 128, bins="paper"), x, PARTNER, weight, high)
    assert (mixed[:, 2000 + 512 :] == 0).all() and (mixed[:, :2000] != 0).any(axis=1).all()


@pytest.mark.parametrize("samples, fft, hop", SETTINGS[:2])
def test_mix_phases_is_the_formula(rng, samples, fft, hop):
    window = "hann" if fft % 2 else "rectangular"
    x, weight = noise(rng, 3, samples), np.float32([0.1, 0.5, 1.0])
    mixed = run(lambda *v: mixing.mix_phases(*v, fft, hop, window), x, PARTNER, weight)
    # Mirrored, the first frame has the phases 0 and pi, and rounding chooses the signs of pi.
    known = slice(fft // 2 + 1, None)
    np.testing.assert_allclose(mixed[:, known], phase_mixed(x, weight, fft, hop, window)[:, known], atol=1e-4)
    np.testing.assert_allclose(mixed[2], x[2], atol=1e-5)


def test_gradient_of_mixed_phases(rng):
    """Against differences of the formula, in float64, where rounding does not choose the phases."""
    fft, hop, samples = 16, 4, 62  # none of whose frames is centred on the last sample, where it would be symmetric
    x, weight, slope = noise(rng, 3, samples), np.float32([0.3, 0.6, 0.9]), noise(rng, 3, samples)
    cotangent = noise(rng, 3, samples)
    cotangent[:, : fft // 2 + 1] = 0.0
    gradient = vjp(compiled(lambda v: mixing.mix_phases(v, PARTNER, weight, fft, hop)), x, cotangent)
    step = 1e-6
    ahead, behind = (phase_mixed(x + sign * step * slope.astype("float64"), weight, fft, hop) for sign in (1, -1))
    expected = ((ahead - behind) * cotangent).sum() / (2 * step)
    np.testing.assert_allclose((gradient.astype("float64") * slope).sum(), expected, rtol=1e-3)


@pytest.mark.parametrize("mix", [mixing.mix_in_frequency, mixing.mix_phases])
def test_silence_stays_finite(rng, mix):
    x = noise(rng, 3, 200)
    x[0] = 0.0
    x[1, 50:] = 0.0
    more = (np.array([True, False, True]),) if mix is mixing.mix_in_frequency else ()

    def function(v):
        return mix(v, PARTNER, np.float32([0.4, 0.5, 0.6]), *more, 32, 8)

    assert np.isfinite(run(function, x)).all()
    assert np.isfinite(vjp(compiled(function), x, noise(rng, 3, 200))).all()
    silent = run(function, 0 * x)
    np.testing.assert_array_equal(silent, 0.0)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_shortest_clips(samples):
    x = np.full((3, samples), 0.5, "float32")
    real, imag = spectrum.analyse(x, 8, 2)
    np.testing.assert_allclose(ops.convert_to_numpy(spectrum.synthesise(real, imag, samples, 8, 2)), x, atol=1e-6)


@pytest.mark.parametrize("samples", [65, 70])
def test_spectra_of_symmetric_frames_are_real(rng, samples):
    x = noise(rng, 3, samples)
    real, imag = run(lambda v: spectrum.analyse(v, 16, 4), x)
    expected = analysed(x, 16, 4, "hann")[0]
    np.testing.assert_allclose(real + 1j * imag, expected, atol=1e-5)
    exact = (imag == 0).all(axis=(0, 2))
    np.testing.assert_array_equal(np.flatnonzero(exact), [0, 16] if samples == 65 else [0])
    assert not imag[..., [0, -1]].any()


def test_phase_of_every_quadrant(rng):
    real, imag = (axis.reshape(-1) for axis in np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-2, 2, 41)))
    expected = np.angle(real + 1j * imag)
    expected = np.stack([expected, expected])
    real, imag = np.float32([real, 1e-12 * real]), np.float32([imag, 1e-12 * imag])
    phase = run(spectrum.phase, real, imag)
    np.testing.assert_allclose(phase, expected, atol=1e-6)
    parts = run(spectrum.from_polar, np.full_like(phase, 2.0), phase)
    for part, wanted in zip(parts, (2 * np.cos(expected), 2 * np.sin(expected)), strict=True):
        np.testing.assert_allclose(part, wanted, atol=2e-6)


MIXINGS = [
    lambda: MixUp(1.0, "union", 3, gain_aware=True, weight_range=(0.1, 1.0), union_limit=0.9),
    lambda: TimeMix((0.0, 1.0), "anywhere", seed=3),
    lambda: FreqMix(8000, bins="paper", window="hamming", sizes=[(64, 16), (128, 64)], seed=3),
    lambda: PhaseMix(8000, label_rule="union", union_limit=0.8, sizes=[(32, 8)], seed=3),
]


@pytest.mark.parametrize("build", MIXINGS)
def test_calls_and_configs(rng, build):
    inputs = noise(rng, 4, 501), np.eye(4, dtype="float32")
    layer = build()
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    if BACKEND != "jax":  # where everything is compiled, and then again
        for a, b in zip(layer.apply(inputs, layer.draw(4)), copy(inputs, training=True), strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
        mixed, _ = layer((ops.cast(inputs[0], "bfloat16"), inputs[1]), training=True)
        assert keras.backend.standardize_dtype(mixed.dtype) == "bfloat16"
    for value, same in zip(layer(inputs, training=False), inputs, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), same)
    x, y = layer((keras.Input((501,)), keras.Input((4,))), training=True)
    assert (x.shape, y.shape) == ((None, 501), (None, 4))


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="torch.compile is not part of the contract")
@pytest.mark.parametrize("build", MIXINGS)
def test_compiles_for_any_batch(rng, build):
    layer = build()
    if BACKEND == "jax":
        state = [layer.seed_generator.state.value]
        step = compiled(lambda x, y, state: layer.stateless_call([], state, (x, y), training=True))
        x = ops.cast(noise(rng, 4, 501), "bfloat16")
        (mixed, labels), changed = step(x, np.eye(4, dtype="float32"), state)
        assert mixed.dtype == x.dtype
        mixed = np.asarray(mixed, "float32")
        assert not np.array_equal(changed[0], state[0])
        assert np.isfinite(mixed).all() and labels.shape == (4, 4)
        return
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None, 4))]
    for jit_compile in (False, True):
        function = tf.function(lambda x, y: layer((x, y), training=True), signature, jit_compile=jit_compile)
        for batch, samples in ((4, 501), (1, 300)):
            mixed, labels = function(noise(rng, batch, samples), np.eye(batch, 4, dtype="float32"))
            assert mixed.shape == (batch, samples) and labels.shape == (batch, 4)
            assert np.isfinite(mixed).all()


def test_the_drawn_size_is_taken(rng):
    x, labels = noise(rng, 3, 400), np.eye(3, dtype="float32")
    params = {"weight": np.full(3, 0.6, "float32"), "partner": PARTNER, "high": np.array([True, False, True])}
    both = FreqMix(8000, sizes=[(64, 16), (128, 32)])
    drawn = [run(lambda x, size: both.apply((x, labels), {**params, "size": size})[0], x, size) for size in (0, 1)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    for size, mixed in enumerate(drawn):
        known = run(lambda x, size=size: both.apply((x, labels), {**params, "size": size})[0], x)
        np.testing.assert_allclose(mixed, known, atol=1e-6)


def test_draws():
    for layer, low, high in (
        (TimeMix(seed=0), 0.5, 1),
        (FreqMix(16000, seed=0), 0.5, 1),
        (PhaseMix(16000, seed=0), 0, 1),
    ):
        draws = {name: ops.convert_to_numpy(value) for name, value in layer.draw(2000).items()}
        assert low <= draws["weight"].min() < low + 0.01 and high - 0.01 < draws["weight"].max() <= high
        np.testing.assert_array_equal(np.sort(draws["partner"]), np.arange(2000))
        sides = draws.get("position", draws.get("high"))
        if sides is not None:
            assert set(sides.tolist()) == {0, 1} and 0.45 < sides.mean() < 0.55
    assert {int(layer.draw(1)["size"]) for _ in range(30)} == {0, 1, 2}
    weight = ops.convert_to_numpy(MixUp(1.0, weight_range=(0.1, 1.0), seed=0).draw(2000)["weight"])
    assert 0.1 <= weight.min() < 0.11 and 0.54 < weight.mean() < 0.56
    anywhere = ops.convert_to_numpy(TimeMix(position="anywhere", seed=0).draw(2000)["position"])
    assert 0.45 < ((0.25 < anywhere) & (anywhere < 0.75)).mean() < 0.55


def test_gain_aware_weight(rng):
    loud, soft = noise(rng, 1, 3000), noise(rng, 1, 3000) * np.float32(0.1)
    x = np.concatenate([loud, soft, 0 * soft])
    weight = ops.convert_to_numpy(mixing.gain_aware_weight(x, PARTNER, np.float32([0.5, 0.5, 0.5])))
    levels = np.sqrt(np.maximum(1e-5, (x.astype("float64") ** 2).mean(axis=1)))
    decibels = 20 * np.log10(levels)
    np.testing.assert_allclose(weight, 1 / (1 + 10 ** ((decibels - decibels[PARTNER]) / 20)), rtol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000])
def test_sizes_follow_the_sample_rate(rate):
    for fft_length, hop_length in stft_sizes(rate):
        assert 0.01 < fft_length / rate < 0.1 and hop_length <= fft_length // 2


def test_the_lowest_sample_rate_has_a_hop():
    assert min(hop_length for _, hop_length in stft_sizes(100)) == 1


def test_wrong_arguments():
    stereo = np.zeros((4, 100, 2), "float32"), np.zeros((4, 3), "float32")
    for layer in (TimeMix(), FreqMix(16000), PhaseMix(16000)):
        with pytest.raises(ValueError, match=f"{type(layer).__name__} mixes waveforms of one channel.*100, 2"):
            layer(stereo, training=True)
    with pytest.raises(ValueError, match="`weight_range` must be"):
        TimeMix(weight_range=(0.5, 1.5))
    with pytest.raises(ValueError, match="`union_limit` must be.*convex"):
        TimeMix(union_limit=0.9)
    with pytest.raises(ValueError, match="`union_limit` must be.*1.5"):
        TimeMix(label_rule="union", union_limit=1.5)
    with pytest.raises(ValueError, match="`position` must be one of 'ends', 'anywhere'"):
        TimeMix(position="middle")
    with pytest.raises(ValueError, match="`bins` must be one of"):
        FreqMix(16000, bins="all")
    with pytest.raises(ValueError, match="`sizes` must be pairs"):
        FreqMix(16000, sizes=[(512, 400)])
    with pytest.raises(ValueError, match="`sizes` must hold at least one"):
        PhaseMix(16000, sizes=[])
    with pytest.raises(ValueError, match="`window` must be one of"):
        PhaseMix(16000, window="kaiser")
    with pytest.raises(ValueError, match="`sample_rate` must be at least"):
        PhaseMix(0)


def test_public_names():
    assert {"FreqMix", "MixUp", "PhaseMix", "TimeMix"} <= set(layers.__all__)
