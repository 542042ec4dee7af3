"""Mel filters and level compression of energy spectra."""

import functools
import math
import warnings

import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.ops.arguments import TINY, as_float32, constant
from keras_audio_si.ops.padding import pad_axis
from keras_audio_si.ops.xla import portable

DECIBELS = 10.0 / math.log(10.0)  # Of an energy, per unit of its natural logarithm.


@functools.lru_cache(maxsize=32)
def mel_filterbank(num_mels, fft_length, sample_rate, min_hz=0.0, max_hz=None, scale="htk", normalization=None):
    """Triangular filters spaced evenly on the mel scale, as weights from Fourier bins to bands.

    Args:
        num_mels: Number of bands.
        fft_length: Points of the Fourier transform.
        sample_rate: Sample rate in Hz.
        min_hz: Lower edge of the lowest band in Hz.
        max_hz: Upper edge of the highest band in Hz, at most half of `sample_rate` (the default).
        scale: `"htk"` (logarithmic throughout) or `"slaney"` (linear below 1 kHz).
        normalization: None for filters of height 1, `"slaney"` for filters of equal area.

    Returns:
        Read-only float32 NumPy array, `(fft_length // 2 + 1, num_mels)`: the transpose of
        `librosa.filters.mel`.

    Raises:
        ValueError: If an argument is out of range or unknown.

    Warns:
        UserWarning: If bands are so narrow that they hold no Fourier bin, and would be constant.

    Example:

    >>> tuple(mel_filterbank(num_mels=96, fft_length=512, sample_rate=16000).shape)
    (257, 96)
    """
    check_positive(num_mels=num_mels, fft_length=fft_length, sample_rate=sample_rate)
    check_choice("normalization", normalization, (None, "slaney"))
    edges = mel_spaced_hz(num_mels + 2, sample_rate, min_hz, max_hz, scale)
    bins = (np.arange(fft_length // 2 + 1) * (sample_rate / fft_length))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    empty = np.flatnonzero(weights.max(axis=0) == 0.0)
    if empty.size:
        warnings.warn(
            f"{empty.size} of {num_mels} mel bands hold no Fourier bin (first: band {empty[0]}) and will be "
            f"constant: use fewer `num_mels` or an `fft_length` above {fft_length}.",
            stacklevel=2,
        )
    if normalization == "slaney":
        weights *= 2.0 / (edges[2:] - edges[:-2])
    return constant(weights)


def mel_spaced_hz(count, sample_rate, min_hz=0.0, max_hz=None, scale="htk"):
    """Frequencies at equal distances on the mel scale.

    Args:
        count: Number of frequencies.
        sample_rate: Sample rate in Hz.
        min_hz: The lowest of them in Hz.
        max_hz: The highest of them in Hz, at most half of `sample_rate` (the default).
        scale: `"htk"` (logarithmic throughout) or `"slaney"` (linear below 1 kHz).

    Returns:
        float64 NumPy array, `(count,)`, in Hz.

    Raises:
        ValueError: If an argument is out of range or unknown.

    Example:

    >>> [round(float(hz)) for hz in mel_spaced_hz(4, sample_rate=16000)]
    [0, 921, 3056, 8000]
    """
    check_choice("scale", scale, tuple(_MEL_SCALES))
    max_hz = sample_rate / 2 if max_hz is None else max_hz
    if not 0 <= min_hz < max_hz <= sample_rate / 2:
        raise ValueError(
            f"`min_hz` and `max_hz` must satisfy 0 <= min_hz < max_hz <= {sample_rate / 2:g}, half of "
            f"`sample_rate`. Received: min_hz={min_hz}, max_hz={max_hz}"
        )
    to_mel, to_hz = _MEL_SCALES[scale]
    return to_hz(np.linspace(to_mel(min_hz), to_mel(max_hz), count))


def log_compress(x, floor=1e-10):
    """Natural logarithm of `max(x, floor)`.

    Args:
        x: Float tensor of energies or magnitudes.
        floor: Smallest value that is told apart from silence.

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        ValueError: If `floor` is not positive as a normal float32 number.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> tuple(log_compress(np.float32([1.0])).shape)
    (1,)
    """
    x = as_float32(x)
    if not floor >= TINY:
        raise ValueError(f"`floor` must be at least {TINY:.3g}, the smallest normal float32. Received: floor={floor}")
    if portable():  # A constant of 1e-10 is 0 among weights of 16 bits, and silence would become NaN.
        return ops.maximum(ops.log(ops.maximum(x, 0.0)), math.log(floor))
    return ops.log(ops.maximum(x, floor))


def power_to_decibels(x, floor=1e-10, top_db=None, reference=None):
    """Energies in decibels, `10 * log10(max(x, floor))`, limited below by each example's own maximum.

    Args:
        x: Float tensor of energies, `(batch, ...)`.
        floor: Smallest energy that is told apart from silence.
        top_db: Range in dB that is kept below the maximum of each example, None for all of it. The maximum is
            taken over all axes but the first, so an example does not depend on what else is in its batch.
        reference: None for absolute levels; `"max"` for levels relative to that maximum, from `-top_db` to 0, which a
            constant gain does not change. What is less than `top_db` above `floor` is no maximum: digital silence is at
            `-top_db` throughout.

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        ValueError: If `floor` or `top_db` is not positive, or `reference` is `"max"` without `top_db`.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> print(np.asarray(power_to_decibels(np.float32([[1e-2, 1e-4, 0.0]]), top_db=40.0)).round())
    [[-20. -40. -60.]]
    >>> print(np.asarray(power_to_decibels(np.float32([[1e-2, 1e-4, 0.0]]), top_db=40.0, reference="max")).round())
    [[  0. -20. -40.]]
    """
    check_levels(top_db, reference)
    decibels = log_compress(x, floor) * DECIBELS
    if top_db is None:
        return decibels
    loudest = ops.max(decibels, axis=tuple(range(1, len(decibels.shape))), keepdims=True)
    if reference is None:
        return ops.maximum(decibels, loudest - top_db)
    return ops.maximum(decibels - ops.maximum(loudest, math.log(floor) * DECIBELS + top_db), -top_db)


def check_levels(top_db, reference):
    """Raises a ValueError unless `power_to_decibels` takes both."""
    check_choice("reference", reference, (None, "max"))
    if top_db is not None:
        check_positive(top_db=top_db)
    elif reference is not None:
        raise ValueError("`reference`='max' needs `top_db`, such as 40. Received: top_db=None")


def deltas(x, width=9, mask=None):
    """Change per frame of each band: the slope of the line that fits best in a window of frames around each frame.

    The first and last frames have the slope of the first and last whole window, as in `librosa.feature.delta`.

    Args:
        x: Float tensor, `(batch, frames, bands)`.
        width: Frames of the window, odd and at least 3.
        mask: `(batch, frames)` boolean, True for the frames of a clip, which begin with the first and are taken by
            themselves, or None. A clip shorter than a window goes on with its last frame.

    Returns:
        Tensor of the shape of `x`.

    Raises:
        ValueError: If `width` is even or below 3, or `x` is known to have fewer frames.

    Example:

    >>> np.asarray(deltas(np.float32([[[0], [2], [4], [6]]]), width=3))[0, :, 0].tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    if width < 3 or width % 2 == 0:
        raise ValueError(f"`width` must be odd and at least 3. Received: width={width}")
    if x.shape[1] is not None and x.shape[1] < width:
        raise ValueError(f"`x` must have at least `width`={width} frames. Received: shape={tuple(x.shape)}")
    half = width // 2
    if mask is not None:
        frames = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True), 1)
        places = ops.arange(ops.shape(x)[1], dtype="int32")
        x = _frames_at(x, ops.minimum(places, frames - 1))
    slopes = 0.0
    for k in range(1, half + 1):
        later = x[:, half + k : k - half or None]
        slopes = slopes + k * (later - x[:, half - k : -half - k])
    slopes = pad_axis(slopes / (2 * sum(k * k for k in range(1, half + 1))), 1, half, half, "edge")
    return slopes if mask is None else _frames_at(slopes, ops.minimum(places, ops.maximum(frames - 1 - half, half)))


def _frames_at(x, places):
    return ops.take_along_axis(x, places[..., None], axis=1)


def _slaney_to_mel(hz):
    # 3 mels per 200 Hz up to 1 kHz (15 mels), from there 27 mels for each factor of 6.4.
    return np.where(hz < 1000.0, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000.0) / 1000.0) / np.log(6.4))


def _slaney_to_hz(mel):
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * 6.4 ** ((np.maximum(mel, 15.0) - 15) / 27))


_MEL_SCALES = {
    "htk": (lambda hz: 2595 * np.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
    "slaney": (_slaney_to_mel, _slaney_to_hz),
}
