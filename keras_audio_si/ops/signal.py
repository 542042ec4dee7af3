"""Short-time Fourier analysis and synthesis, mel filters and level compression on every Keras backend.

All of it computes in float32, whatever float type comes in: no backend has a half precision FFT, and the
squares of a quiet signal leave the range of float16. Windows, kernels and filters are made by NumPy in
float64, once per set of settings, and enter a compiled function as constants.
"""

import functools
import math
import warnings

import numpy as np
from keras import backend, ops

# Each window is a - (1 - a) * cos(2 * pi * n / N), periodic: frames overlap without a doubled end point.
_WINDOWS = {"hann": 0.5, "hamming": 0.54, "rectangular": 1.0}
_TINY = float(np.finfo(np.float32).tiny)


def frame(x, frame_length, hop_length):
    """Cuts a signal into overlapping frames.

    Frame `t` holds the samples from `t * hop_length` on. There are `1 + (N - frame_length) // hop_length`
    frames; samples that do not fill another frame are left out.

    Args:
        x: Float tensor, `(..., N)`. In a TensorFlow graph `N` may be unknown.
        frame_length: Samples per frame.
        hop_length: Samples from the start of one frame to the start of the next.

    Returns:
        Float32 tensor, `(..., T, frame_length)`.

    Raises:
        ValueError: If a length is not positive, or the signal is known to be shorter than one frame.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> tuple(frame(np.arange(6.0), frame_length=4, hop_length=2).shape)
    (2, 4)
    """
    x = _as_float32(x)
    _check_positive(frame_length=frame_length, hop_length=hop_length)
    _check_one_frame(x, frame_length)
    num_samples = ops.shape(x)[-1]
    # A frame is a few whole hops side by side, so frames are shifted slices of the signal cut into hops.
    # Measured on 2 cores for (32, 16480), 480/160, in a TensorFlow graph: 0.8 ms, a gather of sample indices
    # 4.6 ms. Under XLA both take below 1 ms.
    overlap = -(-frame_length // hop_length)
    num_frames = 1 + (num_samples - frame_length) // hop_length
    num_hops = num_frames + overlap - 1
    x = _pad_last(x, 0, overlap * hop_length - frame_length)
    hops = ops.reshape(x[..., : num_hops * hop_length], _lead(x) + (num_hops, hop_length))
    shifted = [hops[..., i : i + num_frames, :] for i in range(overlap)]
    shifted[-1] = shifted[-1][..., : frame_length - (overlap - 1) * hop_length]
    return ops.concatenate(shifted, axis=-1)


def overlap_add(frames, hop_length):
    """Adds frames up at their places in a signal, the transpose of `frame`.

    Args:
        frames: Float tensor, `(..., T, frame_length)`.
        hop_length: Samples from the start of one frame to the start of the next.

    Returns:
        Float32 tensor, `(..., (T - 1) * hop_length + frame_length)`.

    Raises:
        ValueError: If `hop_length` is not positive.
        TypeError: If `frames` is not of a real float type.

    Example:

    >>> tuple(overlap_add(np.ones((2, 4)), hop_length=2).shape)
    (6,)
    """
    frames = _as_float32(frames, "frames")
    _check_positive(hop_length=hop_length)
    num_frames, frame_length = ops.shape(frames)[-2:]
    overlap = -(-frame_length // hop_length)
    num_hops = num_frames + overlap - 1
    frames = _pad_last(frames, 0, overlap * hop_length - frame_length)
    before = [(0, 0)] * (len(frames.shape) - 2)
    total = 0.0
    for i in range(overlap):
        part = frames[..., i * hop_length : (i + 1) * hop_length]
        total = total + ops.pad(part, before + [(i, overlap - 1 - i), (0, 0)])
    total = ops.reshape(total, _lead(frames, 2) + (num_hops * hop_length,))
    return total[..., : (num_frames - 1) * hop_length + frame_length]


def stft(
    x,
    frame_length,
    hop_length,
    fft_length=None,
    window="hann",
    center=False,
    pad_mode="reflect",
    method="fft",
):
    """Short-time Fourier transform.

    A frame shorter than `fft_length` gets zeros on both sides, as in librosa (not at its end only, as in
    `scipy.signal.stft`), so that the phase refers to the same sample whatever `frame_length` is.

    Args:
        x: Float tensor, `(..., N)`. In a TensorFlow graph `N` may be unknown.
        frame_length: Samples per frame, the length of the window.
        hop_length: Samples from one frame to the next.
        fft_length: Points of the transform, at least `frame_length` (the default).
        window: `"hann"`, `"hamming"` or `"rectangular"`, periodic.
        center: False takes the `1 + (N - frame_length) // hop_length` frames that lie inside the signal. True
            extends the signal at both ends so that frame `t` is centred on sample `t * hop_length`, which
            gives `1 + N // hop_length` frames (for an even `fft_length`) and the values of `librosa.stft`.
        pad_mode: `"reflect"` or `"constant"` (zeros), how `center=True` extends the signal.
        method: `"fft"`, or `"conv"` for a convolution with the fixed kernels of `dft_kernels`, which export
            formats without a Fourier transform can hold. Equal to 1e-5; several times the cost.

    Returns:
        Real and imaginary part, float32 tensors, `(..., T, fft_length // 2 + 1)` each.

    Raises:
        ValueError: If an argument is out of range or unknown, or `x` is known to be too short.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> real, imag = stft(np.zeros((2, 16000)), frame_length=480, hop_length=160, fft_length=512)
    >>> real.shape == imag.shape == (2, 98, 257)
    True
    """
    x = _as_float32(x)
    fft_length = _check_fft_length(frame_length, fft_length)
    _check_positive(hop_length=hop_length)
    _check_choice("method", method, ("fft", "conv"))
    left, right = _window_margins(frame_length, fft_length)
    if center:
        x = _extend(x, fft_length // 2 - left, fft_length // 2 - right, pad_mode)
    if method == "conv":
        return _stft_conv(x, frame_length, hop_length, fft_length, window)
    frames = ops.multiply(frame(x, frame_length, hop_length), make_window(frame_length, window))
    return ops.rfft(_pad_last(frames, left, right), fft_length=fft_length)


def istft(real, imag, frame_length, hop_length, fft_length=None, window="hann", center=False, length=None):
    """Inverse of `stft` by windowed overlap-add, the least squares estimate of the signal.

    Each sample is recovered from the frames that cover it. With `center=True` and `length=N`, `hop_length` at
    most a third of `frame_length`, the round trip is the identity to 1e-5 for all `N` samples, edges
    included. With hops up to half a frame the same holds when `hop_length` divides `N`; otherwise the last
    samples lie where the only window over them is nearly zero, and no inverse can give them back. With
    `center=False` the signal starts and ends under such a window unless it is `"hamming"` or `"rectangular"`;
    a sample that no frame holds comes back as 0.

    Args:
        real: Float tensor, `(..., T, fft_length // 2 + 1)`. In a TensorFlow graph `T` may be unknown.
        imag: Float tensor of the same shape.
        frame_length: Samples per frame, as given to `stft`.
        hop_length: Samples from one frame to the next, as given to `stft`.
        fft_length: Points of the transform, as given to `stft`.
        window: Window, as given to `stft`.
        center: Whether `stft` centred its frames: cuts off what it had added at the start.
        length: Samples to return. By default all that the frames span, without what `center=True` had added.

    Returns:
        Float32 tensor, `(..., length)`.

    Raises:
        ValueError: If an argument is out of range, the number of bins is not that of `fft_length`, or
            `length` is known to need another frame.
        TypeError: If `real` or `imag` is not of a real float type.

    Example:

    >>> real, imag = stft(np.zeros((2, 1000)), frame_length=64, hop_length=16, center=True)
    >>> tuple(istft(real, imag, frame_length=64, hop_length=16, center=True, length=1000).shape)
    (2, 1000)
    """
    real, imag = _as_float32(real, "real"), _as_float32(imag, "imag")
    fft_length = _check_fft_length(frame_length, fft_length)
    _check_positive(hop_length=hop_length)
    if real.shape[-1] != fft_length // 2 + 1:
        raise ValueError(
            f"`real` and `imag` must have {fft_length // 2 + 1} bins on their last axis for `fft_length` "
            f"{fft_length}. Received shape {tuple(real.shape)}: pass the `fft_length` of the `stft`."
        )
    left, _ = _window_margins(frame_length, fft_length)
    taps = make_window(frame_length, window)
    frames = ops.irfft((real, imag), fft_length=fft_length)[..., left : left + frame_length]
    signal = overlap_add(ops.multiply(frames, taps), hop_length)
    # The squares of the windows over each sample: the same for all examples, so summed for one.
    num_frames = ops.shape(real)[-2]
    coverage = overlap_add(ops.multiply(ops.ones((num_frames, 1), dtype="float32"), taps**2), hop_length)
    covered = coverage > _TINY
    signal = ops.where(covered, signal / ops.where(covered, coverage, 1.0), 0.0)

    start = fft_length // 2 - left if center else 0
    span = (num_frames - 1) * hop_length + frame_length - start
    if length is None:
        length = (num_frames - 1) * hop_length + fft_length % 2 if center else span
    elif isinstance(length, int) and isinstance(span, int) and not 0 < length < span + hop_length:
        raise ValueError(
            f"`length` must be from 1 to {span + hop_length - 1} samples for {num_frames} frames. "
            f"Received {length}: another frame would be needed, or the settings are not those of the `stft`."
        )
    return _pad_last(signal, 0, hop_length - 1)[..., start : start + length]


@functools.lru_cache(maxsize=32)
def make_window(frame_length, window="hann"):
    """Periodic window of cosine form.

    Args:
        frame_length: Samples.
        window: `"hann"`, `"hamming"` or `"rectangular"`.

    Returns:
        Read-only float32 NumPy array, `(frame_length,)`.

    Raises:
        ValueError: If `frame_length` is not positive or `window` is unknown.

    Example:

    >>> make_window(4).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    return _constant(_window(frame_length, window))


@functools.lru_cache(maxsize=8)
def dft_kernels(fft_length, frame_length=None, window="hann"):
    """The windowed Fourier transform as kernels of a one-dimensional convolution.

    Convolving `(batch, N, 1)` with them at stride `hop_length` gives the real parts of all bins, then the
    imaginary parts, with the phase convention of `stft`.

    Args:
        fft_length: Points of the transform.
        frame_length: Samples per frame, at most `fft_length` (the default).
        window: `"hann"`, `"hamming"` or `"rectangular"`.

    Returns:
        Read-only float32 NumPy array, `(frame_length, 1, 2 * (fft_length // 2 + 1))`.

    Raises:
        ValueError: If a length is out of range or `window` is unknown.

    Example:

    >>> tuple(dft_kernels(512, frame_length=480).shape)
    (480, 1, 514)
    """
    frame_length = fft_length if frame_length is None else frame_length
    _check_fft_length(frame_length, fft_length)
    left, _ = _window_margins(frame_length, fft_length)
    bins = np.arange(fft_length // 2 + 1)
    # Whole turns are taken off as integers, which leaves the angle exact for long transforms.
    turns = np.outer(np.arange(left, left + frame_length), bins) % fft_length
    waves = np.exp(-2j * np.pi * turns / fft_length) * _window(frame_length, window)[:, None]
    return _constant(np.concatenate([waves.real, waves.imag], axis=1)[:, None, :])


@functools.lru_cache(maxsize=32)
def mel_filterbank(
    num_mels, fft_length, sample_rate, min_hz=0.0, max_hz=None, scale="htk", normalization=None
):
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
    _check_positive(num_mels=num_mels, fft_length=fft_length, sample_rate=sample_rate)
    _check_choice("scale", scale, ("htk", "slaney"))
    _check_choice("normalization", normalization, (None, "slaney"))
    max_hz = sample_rate / 2 if max_hz is None else max_hz
    if not 0 <= min_hz < max_hz <= sample_rate / 2:
        raise ValueError(
            f"`min_hz` and `max_hz` must satisfy 0 <= min_hz < max_hz <= {sample_rate / 2:g}, half of "
            f"`sample_rate`. Received min_hz={min_hz}, max_hz={max_hz}."
        )
    to_mel, to_hz = _MEL_SCALES[scale]
    edges = to_hz(np.linspace(to_mel(min_hz), to_mel(max_hz), num_mels + 2))
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
    return _constant(weights)


def power_spectrum(real, imag, power=2.0):
    """Magnitude of a complex spectrum, raised to a power, with finite gradients where it is zero.

    Args:
        real: Float tensor, the real part.
        imag: Float tensor, the imaginary part.
        power: Exponent of the magnitude: 2 for energy, 1 for magnitude.

    Returns:
        Float32 tensor of the shape of `real`.

    Raises:
        ValueError: If `power` is not positive.
        TypeError: If `real` or `imag` is not of a real float type.

    Example:

    >>> float(power_spectrum(np.float32([3.0]), np.float32([4.0]), power=1.0)[0])
    5.0
    """
    _check_positive(power=power)
    energy = ops.square(_as_float32(real, "real")) + ops.square(_as_float32(imag, "imag"))
    if power == 2.0:
        return energy
    # The inner choice keeps the root's infinite slope at zero out of the gradient, the outer one gives the 0.
    positive = energy > _TINY
    root = ops.where(positive, energy, 1.0)
    root = ops.sqrt(root) if power == 1.0 else ops.power(root, power / 2)
    return ops.where(positive, root, 0.0)


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
    x = _as_float32(x)
    if not floor >= _TINY:
        raise ValueError(
            f"`floor` must be at least {_TINY:.3g}, the smallest normal float32. Received {floor}."
        )
    return ops.log(ops.maximum(x, floor))


def power_to_decibels(x, floor=1e-10, top_db=None):
    """Energies in decibels, `10 * log10(max(x, floor))`, limited below by each example's own maximum.

    Args:
        x: Float tensor of energies, `(batch, ...)`.
        floor: Smallest energy that is told apart from silence.
        top_db: Range in dB that is kept below the maximum of each example, None for all of it. The maximum is
            taken over all axes but the first, so an example does not depend on what else is in its batch.

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        ValueError: If `floor` or `top_db` is not positive.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> tuple(power_to_decibels(np.float32([[1.0, 0.0]]), top_db=80.0).shape)
    (1, 2)
    """
    decibels = log_compress(x, floor) * (10.0 / math.log(10.0))
    if top_db is None:
        return decibels
    _check_positive(top_db=top_db)
    loudest = ops.max(decibels, axis=tuple(range(1, len(decibels.shape))), keepdims=True)
    return ops.maximum(decibels, loudest - top_db)


def _stft_conv(x, frame_length, hop_length, fft_length, window):
    _check_one_frame(x, frame_length)
    num_bins = fft_length // 2 + 1
    kernels = dft_kernels(fft_length, frame_length, window)
    spectrum = ops.conv(
        ops.reshape(x, (-1, ops.shape(x)[-1], 1)),
        ops.convert_to_tensor(kernels),
        strides=hop_length,
        padding="valid",
        data_format="channels_last",
    )
    spectrum = ops.reshape(spectrum, _lead(x) + (ops.shape(spectrum)[1], 2 * num_bins))
    return spectrum[..., :num_bins], spectrum[..., num_bins:]


def _extend(x, before, after, pad_mode):
    _check_choice("pad_mode", pad_mode, ("reflect", "constant"))
    num_samples = x.shape[-1]
    if pad_mode == "reflect" and num_samples is not None and num_samples <= max(before, after):
        raise ValueError(
            f'`x` must have more than {max(before, after)} samples to be extended by `pad_mode="reflect"`. '
            f'Received shape {tuple(x.shape)}: pad the signal or use `pad_mode="constant"`.'
        )
    flat = ops.reshape(x, (-1, ops.shape(x)[-1]))
    flat = ops.pad(flat, [(0, 0), (before, after)], mode=pad_mode)
    return ops.reshape(flat, _lead(x) + (ops.shape(flat)[-1],))


def _pad_last(x, before, after):
    if before == after == 0:
        return x
    return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(before, after)])


def _lead(x, inner_axes=1):
    """Sizes of the axes before the last `inner_axes`, the first of them left to `reshape` to find."""
    sizes = tuple(ops.shape(x)[:-inner_axes])
    return (-1,) + sizes[1:] if sizes else ()


def _window_margins(frame_length, fft_length):
    left = (fft_length - frame_length) // 2
    return left, fft_length - frame_length - left


def _window(frame_length, window):
    _check_positive(frame_length=frame_length)
    _check_choice("window", window, tuple(_WINDOWS))
    mean = _WINDOWS[window]
    return mean - (1 - mean) * np.cos(2 * np.pi * np.arange(frame_length) / frame_length)


def _slaney_to_mel(hz):
    # 3 mels per 200 Hz up to 1 kHz (15 mels), from there 27 mels for each factor of 6.4.
    return np.where(
        hz < 1000.0, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000.0) / 1000.0) / np.log(6.4)
    )


def _slaney_to_hz(mel):
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * 6.4 ** ((np.maximum(mel, 15.0) - 15) / 27))


_MEL_SCALES = {
    "htk": (lambda hz: 2595 * np.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
    "slaney": (_slaney_to_mel, _slaney_to_hz),
}


def _constant(array):
    """Float32 copy that callers of a cached function cannot change."""
    array = array.astype(np.float32)
    array.setflags(write=False)
    return array


def _as_float32(x, name="x"):
    if not hasattr(x, "dtype"):
        x = ops.convert_to_tensor(x)
    dtype = backend.standardize_dtype(x.dtype)
    if "float" not in dtype:
        raise TypeError(
            f"`{name}` must be of a real float type. Received {dtype}: scale integer samples to [-1, 1]."
        )
    return ops.cast(x, "float32")


def _check_one_frame(x, frame_length):
    num_samples = x.shape[-1]
    if num_samples is not None and num_samples < frame_length:
        raise ValueError(
            f"`x` must have at least one frame of {frame_length} samples on its last axis. "
            f"Received shape {tuple(x.shape)}: pad the signal or use a shorter frame."
        )


def _check_fft_length(frame_length, fft_length):
    _check_positive(frame_length=frame_length)
    fft_length = frame_length if fft_length is None else fft_length
    if fft_length < frame_length:
        raise ValueError(
            f"`fft_length` must be at least `frame_length`. "
            f"Received fft_length={fft_length}, frame_length={frame_length}."
        )
    return fft_length


def _check_positive(**values):
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"`{name}` must be positive. Received {value}.")


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}. Received {value!r}.")
