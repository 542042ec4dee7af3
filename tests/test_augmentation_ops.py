"""Random numbers, noises, filters, delays and levels against scipy, NumPy and direct formulas."""

import numpy as np
import pytest
from harness import computed, numpy
from scipy import signal, stats

from keras_audio_si.ops.fir import band_taps, correlate_each, delay_taps, reflect_ends
from keras_audio_si.ops.keyed_random import keyed_normal, keyed_normal_pairs, keyed_uniform, random_bits
from keras_audio_si.ops.noise import (
    COLOURS,
    SLOPES,
    add_noise,
    add_sine,
    coloured_noise,
    fast_fft_length,
    perturb_phase,
    phase_frames,
    unit_power,
)
from keras_audio_si.ops.quantisation import quantise, quantise_mu_law
from keras_audio_si.ops.resampling import resample, resample_to_length
from keras_audio_si.ops.shifts import delay, shift_samples
from keras_audio_si.ops.trigonometry import cos_sin

KEYS = np.random.default_rng(5).integers(0, 2**31, (4, 2)).astype("int32")


def test_bits_are_those_of_the_formula():
    def mixed(value, key):  # With Python's integers, which do not wrap around by themselves.
        for shift, multiplier in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            value = ((value ^ (value >> shift)) * multiplier) % 2**32
            value ^= key if shift == 16 else 0
        return value ^ (value >> 16)

    wanted = [[mixed((n + int(a)) % 2**32, int(b)) for n in range(50)] for a, b in KEYS]
    np.testing.assert_array_equal(computed(random_bits, KEYS, count=50).astype("uint32"), np.array(wanted, "uint32"))


def test_uniform_values_are_uniform_and_independent():
    values = computed(keyed_uniform, KEYS, count=50_000).astype("float64")
    assert np.abs(values).max() < 1
    for row in values:
        assert stats.kstest(row, "uniform", (-1, 2)).pvalue > 1e-3
    assert np.abs(np.corrcoef(values) - np.eye(4)).max() < 0.02
    _check_white(values)


def test_normal_values_are_normal_and_independent():
    values = computed(keyed_normal, KEYS, count=50_001).astype("float64")
    for row in values:
        assert stats.kstest(row, "norm").pvalue > 1e-3
        assert abs(stats.kurtosis(row)) < 0.1
    assert np.abs(np.corrcoef(values) - np.eye(4)).max() < 0.02
    _check_white(values)
    real, imag = computed(keyed_normal_pairs, KEYS, count=25_001)
    np.testing.assert_array_equal(values[:, :25_001].astype("float32"), real)
    np.testing.assert_array_equal(values[:, 25_001:].astype("float32"), imag[:, :25_000])


def _check_white(values):
    for row in values:
        row = (row - row.mean()) / row.std()
        correlation = np.fft.irfft(np.abs(np.fft.rfft(row, 2 * len(row))) ** 2)[: len(row) // 2] / len(row)
        assert np.abs(correlation[1:]).max() < 6 / np.sqrt(len(row))
        assert abs(np.mean(row[1:] ** 2 * row[:-1] ** 2) - 1) < 0.1


def test_slopes_of_the_power_densities():
    samples = 2**15 - 7
    length = fast_fft_length(samples)
    spectrum = computed(keyed_normal_pairs, KEYS, count=length // 2 + 1)
    for colour, slope in SLOPES.items():
        place = np.int32([COLOURS.index(colour)] * 4)
        noise = computed(coloured_noise, *spectrum, place, num_samples=samples, fft_length=length).astype("float64")
        assert noise.shape == (4, samples)
        np.testing.assert_allclose((noise**2).mean(axis=1), 1, rtol=1e-5)
        frequency, density = signal.welch(noise, nperseg=2048, window="blackmanharris", detrend=False)
        band = (frequency > 0.005) & (frequency < 0.45)
        fitted = np.polyfit(np.log(frequency[band]), np.log(density.mean(axis=0)[band]), 1)[0]
        assert fitted == pytest.approx(slope, abs=0.05)


def test_released_noise_keeps_its_mean():
    red = np.int32([COLOURS.index("red")] * 4)
    spectrum = computed(keyed_normal_pairs, KEYS, count=51)
    exact, released = (
        computed(coloured_noise, *spectrum, red, num_samples=100, fft_length=100, variant=variant)
        for variant in ("exact", "released")
    )
    assert np.abs(exact.mean(axis=1)).max() < 1e-5 < 0.1 < np.abs(released.mean(axis=1)).max()


def test_fast_lengths():
    for samples in (1, 2, 3, 7, 101, 110249, 220500):
        length = fast_fft_length(samples)
        assert samples <= length < 1.2 * samples + 2 and length % 2 == 0
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        assert rest == 1


def test_ratio_of_signal_to_noise_is_exact(rng):
    x = rng.normal(size=(4, 3001)).astype("float32") * [[1], [0.01], [3], [0]]
    noise = numpy(unit_power(np.float32([[7], [1e-3], [1], [1]]) * rng.normal(size=(4, 3001)).astype("float32")))
    decibels = np.float32([20, 0, -6, 30])
    y = numpy(add_noise(x.astype("float32"), noise, decibels)).astype("float64")
    ratio = 10 * np.log10((x[:3] ** 2).mean(axis=1) / ((y - x)[:3] ** 2).mean(axis=1))
    np.testing.assert_allclose(ratio, decibels[:3], atol=1e-3)
    np.testing.assert_array_equal(y[3], 0)
    np.testing.assert_array_equal(numpy(unit_power(np.zeros((2, 5), "float32"))), 0)


def test_sine_is_the_formula(rng):
    x = rng.normal(size=(2, 800)).astype("float32")
    hertz, phase, decibels = np.float32([40, 3.3]), np.float32([0.2, 3]), np.float32([10, 30])
    y = computed(add_sine, x, hertz, phase, decibels, sample_rate=8000)
    level = np.sqrt(2 * (x**2).mean(axis=1)) * 10 ** (-decibels / 20)
    wave = np.sin(2 * np.pi * hertz[:, None] * np.arange(800) / 8000 + phase[:, None])
    np.testing.assert_allclose(y, x + level[:, None] * wave, atol=1e-5)


@pytest.mark.parametrize("samples, size", [(1, 64), (100, 64), (1001, 64), (1, 45), (240, 45)])
def test_phase_is_turned_bin_by_bin(rng, samples, size):
    x = rng.normal(size=(2, samples)).astype("float32")
    shape = (2, phase_frames(samples, size, 15), size // 2 + 1)
    none, half = np.zeros(shape, "float32"), np.full(shape, np.pi, "float32")
    settings = {"fft_length": size, "hop_length": 15}
    np.testing.assert_allclose(computed(perturb_phase, x, none, **settings), x, atol=1e-5)
    # A half turn of all bins is one of the signal, whatever is real among them.
    for turn in (half, 3 * half, -5 * half):
        np.testing.assert_allclose(computed(perturb_phase, x, turn, **settings), -x, atol=2e-5)


@pytest.mark.parametrize("num_taps", [1, 51])
def test_taps_are_those_of_scipy(num_taps):
    cutoff = np.float32([0.1, 0.45, 0.9])
    taps = {band: computed(band_taps, cutoff, num_taps=num_taps, band=band) for band in ("low", "high")}
    for row, value in enumerate(cutoff):
        for band, pass_zero in (("low", True), ("high", False)):
            if band == "high" and num_taps == 1:
                continue
            wanted = signal.firwin(num_taps, float(value), window="hamming", pass_zero=pass_zero)
            np.testing.assert_allclose(taps[band][row], wanted, atol=2e-6)


def test_filtering_is_the_sum(rng):
    x, taps = rng.normal(size=(3, 40)).astype("float32"), rng.normal(size=(3, 9)).astype("float32")
    wanted = [np.correlate(row, t, "valid") for row, t in zip(x, taps, strict=True)]
    np.testing.assert_allclose(computed(correlate_each, x, taps), wanted, atol=1e-5)
    for samples in (1, 5, 40):
        wide = np.pad(x[:, :samples], ((0, 0), (7, 7)), mode="reflect")
        np.testing.assert_array_equal(computed(reflect_ends, x[:, :samples], count=7), wide)


def test_cosine_and_sine():
    angle = np.linspace(-np.pi, np.pi, 1001).astype("float32")
    for got, wanted in zip(computed(cos_sin, angle), (np.cos(angle), np.sin(angle)), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_delays_have_the_response_of_a_delay():
    delay = np.float32([-0.5, -0.2, 0.0, 0.37, 0.5])
    taps = computed(delay_taps, delay).astype("float64")
    frequency = np.linspace(0, 0.8 * np.pi, 50)
    # A correlation with taps from -15 on: y[n] is the sum of taps[k] x[n + k - 15].
    response = taps @ np.exp(1j * np.outer(np.arange(31) - 15, frequency))
    np.testing.assert_allclose(response, np.exp(-1j * np.outer(delay, frequency)), atol=1e-3)


def test_shifts_are_those_of_numpy(rng):
    x = rng.normal(size=(5, 9)).astype("float32")
    samples = np.int32([0, 3, -4, 20, -9])
    rolled = [np.roll(row, n) for row, n in zip(x, samples, strict=True)]
    np.testing.assert_array_equal(computed(shift_samples, x, samples, circular=True), rolled)
    for row, n, got in zip(x, samples, computed(shift_samples, x, samples), strict=True):
        wanted = np.zeros(9)
        for i in range(9):
            if 0 <= i - n < 9:
                wanted[i] = row[i - n]
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("length", [100, 101])
def test_delay_of_a_sine(length):
    def wave(time):
        return np.sin(2 * np.pi * 7 * time / length)

    time, samples, fraction = np.arange(length), np.int32([3, -40]), np.float32([0.3, -0.45])
    x = np.stack([wave(time)] * 2).astype("float32")
    moved = time - (samples + fraction)[:, None]
    for interpolation, tolerance in (("fourier", 1e-5), ("sinc", 1e-3)):
        got = computed(delay, x, samples, fraction, circular=True, interpolation=interpolation)
        np.testing.assert_allclose(got, wave(moved), atol=tolerance)
    got = computed(delay, x, samples, fraction)
    inside = (moved > 16) & (moved < length - 17)
    np.testing.assert_allclose(got[inside], wave(moved)[inside], atol=1e-3)
    assert np.abs(got[(moved < -16) | (moved > length + 16)]).max(initial=0) == 0


def test_levels_are_rounded(rng):
    x = rng.uniform(-1, 1, (2, 300)).astype("float32")
    y = computed(quantise, x, np.float32([3, 8]))
    for row, got, bits in zip(x, y, (3, 8), strict=True):
        step = 2.0 ** (1 - bits)
        assert np.abs(got - row).max() <= step / 2 + 1e-7
        np.testing.assert_array_equal(got / step, np.round(got / step))
    y = computed(quantise_mu_law, x, np.float32([4, 8]))
    for row, got, mu in zip(x, y, (15, 255), strict=True):
        compressed = np.sign(row) * np.log1p(mu * np.abs(row)) / np.log1p(mu)
        again = np.sign(got) * np.log1p(mu * np.abs(got)) / np.log1p(mu)
        assert len(np.unique(np.round(again * mu, 2))) <= mu + 1
        assert np.abs(again - compressed).max() <= 1 / mu + 1e-5


def test_resampled_sine_keeps_its_wave():
    rate, samples = 8000, 3001
    for factor in (0.8, 1.2, 1.5):
        x = np.sin(2 * np.pi * 500 * np.arange(samples) / rate)[None].astype("float32")
        y = computed(resample, x, length_factor=factor)[0]
        wanted = np.sin(2 * np.pi * 500 / factor * np.arange(len(y)) / rate)
        np.testing.assert_allclose(y[200:-200], wanted[200:-200], atol=2e-4)


def test_what_does_not_fit_is_filtered_away(rng):
    tone = np.sin(2 * np.pi * 0.45 * np.arange(4000))[None].astype("float32")
    assert np.abs(computed(resample, tone, length_factor=0.8)[0, 300:-300]).max() < 1e-3


@pytest.mark.parametrize("samples", [1, 333])
def test_length_is_kept(samples):
    for factor in (0.8, 1.2):
        assert computed(resample_to_length, np.ones((2, samples), "float32"), length_factor=factor).shape == (
            2,
            samples,
        )


def test_wrong_arguments():
    x = np.zeros((1, 10), "float32")
    with pytest.raises(ValueError, match="`num_taps` must be odd"):
        band_taps(np.float32([0.5]), 4)
    with pytest.raises(ValueError, match="`band` must be one of 'low', 'high'"):
        band_taps(np.float32([0.5]), band="middle")
    with pytest.raises(ValueError, match="`variant` must be one of"):
        coloured_noise(x, x, np.int32([0]), 10, 18, "paper")
    with pytest.raises(ValueError, match="`length_factor` must be positive"):
        resample(x, 0)
    with pytest.raises(ValueError, match="`interpolation` must be one of"):
        delay(x, np.int32([1]), np.float32([0.1]), interpolation="linear")
