"""Filter formulas against scipy and slow formulas, framed filtering against slow loops."""

import math

import numpy as np
import pytest
from harness import computed

from keras_audio_si.ops import filter_frames, filterbanks

signal = pytest.importorskip("scipy.signal", reason="scipy is the reference here")

RATE, TAPS = 16000, 401


def response(taps, hz):
    """Magnitude of the frequency response of complex taps at frequencies in Hz."""
    return np.abs(signal.freqz(taps, worN=np.asarray(hz), fs=RATE)[1])


def mel_spaced(count, low, high):
    """Frequencies in Hz at equal distances on the mel scale."""
    return 700 * (10 ** np.linspace(np.log10(1 + low / 700), np.log10(1 + high / 700), count) - 1)


def complex_taps(taps):
    return taps[:, 0].astype("float64") + 1j * taps[:, 1]


def test_gabor_taps_equal_the_formula():
    centre, width = np.array([0.0, 0.3, 1.7, math.pi]), np.array([90.0, 60.0, 9.5, 1.6])
    times = np.arange(TAPS)[:, None] - 200
    wanted = np.exp(1j * centre * times - times**2 / (2 * width**2)) / (math.sqrt(2 * math.pi) * width)
    taps = complex_taps(computed(filterbanks.gabor_taps, np.float32(centre), np.float32(width), num_taps=TAPS))
    np.testing.assert_allclose(taps, wanted, atol=1e-4 * np.abs(wanted).max())


def test_gabor_filters_start_as_wide_as_mel_filters():
    """A mel filter is a triangle of energies; its square root is what the magnitude of the response is matched to."""
    centre, width = filterbanks.mel_gabor(40, RATE, 60.0, 7800.0)
    edges = mel_spaced(42, 60.0, 7800.0)
    np.testing.assert_allclose(centre * RATE / (2 * math.pi), edges[1:-1], rtol=1e-6)
    taps = complex_taps(computed(filterbanks.gabor_taps, np.float32(centre), np.float32(width), num_taps=TAPS))
    for n in (10, 25, 39):  # Below, the window cuts the envelope off.
        hz = np.linspace(edges[n], edges[n + 2], 2001)
        triangle = np.interp(hz, edges[n : n + 3], [0.0, 1.0, 0.0])
        magnitude = response(taps[:, n], hz)
        assert magnitude.max() == pytest.approx(1.0, abs=1e-3)
        assert hz[magnitude.argmax()] == pytest.approx(edges[n + 1], abs=2.0)
        as_wide = np.sqrt(triangle) >= 0.5
        assert np.ptp(hz[magnitude >= 0.5]) == pytest.approx(np.ptp(hz[as_wide]), rel=0.01)


def test_sinc_taps_equal_scipy():
    low, band = np.array([0.02, 0.1, 0.3]), np.array([0.01, 0.15, 0.18])
    taps = computed(filterbanks.sinc_taps, np.float32(low), np.float32(band), num_taps=TAPS)[:, 0]
    for n in range(3):
        cutoffs = [low[n], low[n] + band[n]]
        wanted = signal.firwin(TAPS, cutoffs, window="hamming", pass_zero=False, scale=False, fs=1.0) / (2 * band[n])
        np.testing.assert_allclose(taps[:, n], wanted, atol=1e-4)
        half = response(taps[:, n], np.array(cutoffs) * RATE) * 2 * band[n]
        if band[n] > 8 / TAPS:  # Wider than what the window resolves.
            np.testing.assert_allclose(half, 0.5, atol=0.01)


def test_sinc_bands_start_side_by_side_on_the_mel_scale():
    low, band = filterbanks.mel_bands(40, RATE, 50.0, 7900.0)
    edges = mel_spaced(41, 50.0, 7900.0)
    np.testing.assert_allclose(low * RATE, edges[:-1], rtol=1e-6)
    np.testing.assert_allclose(band * RATE, np.diff(edges), rtol=1e-6)


def test_gaussian_window_equals_scipy():
    width = np.array([0.1, 0.4, 0.5])
    window = computed(filterbanks.gaussian_window, np.float32(width), num_taps=TAPS)
    wanted = [signal.windows.gaussian(TAPS, std) for std in width * 200]
    np.testing.assert_allclose(window, np.transpose(wanted), atol=1e-6)


@pytest.mark.parametrize("num_taps, hop, stride", [(7, 6, 1), (3, 8, 4)])
def test_hops_of_filter_outputs(rng, num_taps, hop, stride):
    x, taps = rng.standard_normal((2, 41)), rng.standard_normal((num_taps, 3))
    y = computed(filter_frames.filter_hops, np.float32(x), np.float32(taps), num_hops=5, hop_length=hop, stride=stride)
    assert y.shape == (2, 5, hop // stride, 3)
    x = np.pad(x, [(0, 0), (0, 60)])
    for hops in range(5):
        for step in range(hop // stride):
            start = hops * hop + step * stride
            np.testing.assert_allclose(y[:, hops, step], x[:, start : start + num_taps] @ taps, atol=1e-5)


@pytest.mark.parametrize("length", [3, 4, 11])
def test_windows_over_hops(rng, length):
    """Shorter than a hop, a hop, and nearly three hops of 4 steps."""
    y, window = rng.standard_normal((2, 6, 4, 3)), rng.standard_normal((length, 3))
    flat = y.reshape(2, 24, 3)
    num_frames = 6 - filter_frames.spanned_hops(length, 4) + 1
    spans = [flat[:, 4 * t : 4 * t + length] for t in range(num_frames)]
    weighed = computed(filter_frames.pool_hops, np.float32(y), np.float32(window))
    np.testing.assert_allclose(weighed, np.stack([(span * window).sum(1) for span in spans], 1), atol=1e-5)
    largest = computed(filter_frames.max_pool_hops, np.float32(y), length=length)
    np.testing.assert_array_equal(largest, np.stack([np.float32(span).max(1) for span in spans], 1))
