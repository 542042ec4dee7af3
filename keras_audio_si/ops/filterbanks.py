"""Taps of parametric filters, and their initial parameters on the mel scale.

Frequencies are in radians or cycles per sample, lengths in samples. The taps are differentiable; in float32 they are
accurate to 1e-4 of their peak at 200 samples from the centre.
"""

import math

import numpy as np
from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.mel import mel_spaced_hz

HALF_WIDTH = math.sqrt(2 * math.log(2))  # Distance from a Gaussian's centre to half of its height, in deviations.


def mel_gabor(num_filters, sample_rate, min_hz, max_hz):
    """Centres and widths of Gabor filters for which the squared response is as wide as a mel filter.

    The magnitude of the response falls to one half where the mel filter's triangle falls to one quarter.

    Args:
        num_filters: Number of filters.
        sample_rate: Sample rate in Hz.
        min_hz: Lower edge of the lowest mel filter in Hz.
        max_hz: Upper edge of the highest mel filter in Hz.

    Returns:
        Centre frequencies in radians per sample and standard deviations of the envelopes in samples, float64 NumPy
        arrays `(num_filters,)`.

    Raises:
        ValueError: If the edges are not between 0 and half of `sample_rate`.

    Reference:
        Zeghidour et al., "Learning Filterbanks from Raw Speech for Phone Recognition", 2018, section 2.
    """
    edges = mel_spaced_hz(num_filters + 2, sample_rate, min_hz, max_hz) * (2 * math.pi / sample_rate)
    width_at_half_height = 0.75 * (edges[2:] - edges[:-2])
    return edges[1:-1], 2 * HALF_WIDTH / width_at_half_height


def mel_bands(num_filters, sample_rate, min_hz, max_hz):
    """Neighbouring bands of equal width on the mel scale.

    Args:
        num_filters: Number of bands.
        sample_rate: Sample rate in Hz.
        min_hz: Lower edge of the lowest band in Hz.
        max_hz: Upper edge of the highest band in Hz.

    Returns:
        Lower edges and widths in cycles per sample, float64 NumPy arrays `(num_filters,)`.

    Raises:
        ValueError: If the edges are not between 0 and half of `sample_rate`.
    """
    edges = mel_spaced_hz(num_filters + 1, sample_rate, min_hz, max_hz) / sample_rate
    return edges[:-1], np.diff(edges)


def gabor_taps(centre, width, num_taps):
    """Complex Gabor filters, `exp(i centre t) exp(-t^2 / (2 width^2)) / (sqrt(2 pi) width)`, of gain 1 at the centre.

    Args:
        centre: Float tensor `(filters,)`, centre frequencies in radians per sample.
        width: Float tensor `(filters,)`, standard deviations of the envelopes in samples.
        num_taps: Number of taps, odd.

    Returns:
        float32 tensor `(num_taps, 2, filters)`, real and imaginary parts.

    Example:

    >>> taps = gabor_taps(np.float32([np.pi / 2]), np.float32([1.0]), num_taps=3)
    >>> [round(float(tap), 3) + 0.0 for tap in taps[:, 1, 0]]
    [-0.242, 0.0, 0.242]

    Reference:
        Zeghidour et al., "LEAF: A Learnable Frontend for Audio Classification", 2021, section 3.1.
    """
    times = _times(num_taps)
    centre, width = as_float32(centre, "centre"), as_float32(width, "width")
    envelope = ops.exp(-0.5 * ops.square(times / width)) / (math.sqrt(2 * math.pi) * width)
    angle = times * centre
    return ops.stack([envelope * ops.cos(angle), envelope * ops.sin(angle)], axis=1)


def sinc_taps(low, band, num_taps):
    """Band passes, the difference of two low passes under a Hamming window, with a peak of 1.

    That is `cos(2 pi (low + band / 2) t) sinc(band t)` times the window, which has no difference of small numbers and
    no division by the width of the band. The gain in the middle of the band is about `1 / (2 band)`.

    Args:
        low: Float tensor `(filters,)`, lower cutoff frequencies in cycles per sample.
        band: Float tensor `(filters,)`, widths of the bands in cycles per sample.
        num_taps: Number of taps, odd.

    Returns:
        float32 tensor `(num_taps, 1, filters)`.

    Example:

    >>> taps = sinc_taps(np.float32([0.0]), np.float32([0.25]), num_taps=3)
    >>> [round(float(tap), 3) for tap in taps[:, 0, 0]]
    [0.051, 1.0, 0.051]

    Reference:
        Ravanelli, Bengio: "Speaker Recognition from Raw Waveform with SincNet", 2018, eq. 4 to 8.
    """
    times = _times(num_taps)
    low, band = as_float32(low, "low"), as_float32(band, "band")
    window = 0.54 + 0.46 * ops.cos(times * (2 * math.pi / (num_taps - 1)))
    taps = window * ops.cos(times * (2 * math.pi) * (low + 0.5 * band)) * _sinc(times * band)
    return ops.expand_dims(taps, 1)


def gaussian_window(width, num_taps):
    """Gaussian low passes with a peak of 1.

    Args:
        width: Float tensor `(filters,)`, standard deviations as parts of half the window: 0.4 is nearly a Hann window.
        num_taps: Number of taps, odd.

    Returns:
        float32 tensor `(num_taps, filters)`.

    Example:

    >>> [round(float(tap), 3) for tap in gaussian_window(np.float32([0.5]), num_taps=5)[:, 0]]
    [0.135, 0.607, 1.0, 0.607, 0.135]

    Reference:
        Zeghidour et al., "LEAF: A Learnable Frontend for Audio Classification", 2021, section 3.2.
    """
    times = _times(num_taps) / (num_taps // 2)
    return ops.exp(-0.5 * ops.square(times / as_float32(width, "width")))


def _sinc(x):
    """`sin(pi x) / (pi x)`. The slope of Keras' own is not a number at 0 under TensorFlow."""
    angle = math.pi * x
    small = ops.abs(angle) < 0.01
    divisor = ops.where(small, 1.0, angle)
    return ops.where(small, 1.0 - ops.square(angle) / 6.0, ops.sin(divisor) / divisor)


def _times(num_taps):
    """Times of the taps in samples from the centre, `(num_taps, 1)`."""
    return ops.convert_to_tensor((np.arange(num_taps) - num_taps // 2).astype("float32")[:, None])
