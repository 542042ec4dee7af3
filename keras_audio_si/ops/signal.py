"""Short-time Fourier analysis and synthesis on every Keras backend.

All functions compute in float32 for inputs of any float type: no backend has a half precision FFT, and the squares of a
quiet signal underflow in float16. Windows and kernels are computed by NumPy in float64, once per set of arguments, and
are constants of a compiled function.
"""

import functools

import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.ops.arguments import TINY, as_float32, constant
from keras_audio_si.ops.framing import (
    check_one_frame,
    exact_window,
    frame,
    join_frames,
    lead,
    make_window,
    pad_last,
)


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
    x = as_float32(x)
    fft_length = _check_fft_length(frame_length, fft_length)
    check_positive(hop_length=hop_length)
    check_choice("method", method, ("fft", "conv"))
    if center:
        x = extend_to_centre(x, frame_length, fft_length, pad_mode)
    if method == "conv":
        return _stft_conv(x, frame_length, hop_length, fft_length, window)
    frames = ops.multiply(frame(x, frame_length, hop_length), make_window(frame_length, window))
    return ops.rfft(pad_last(frames, *_window_margins(frame_length, fft_length)), fft_length=fft_length)


def extend_to_centre(x, frame_length, fft_length, pad_mode="reflect"):
    """Extends a signal at both ends so that frame `t` of it is centred on sample `t * hop_length`, whatever the hop.

    Args:
        x: Float tensor, `(..., N)`.
        frame_length: Samples per frame.
        fft_length: Points of the transform that the frames are for.
        pad_mode: `"reflect"` or `"constant"` (zeros).

    Returns:
        Tensor, `(..., N + 2 * (fft_length // 2) - (fft_length - frame_length))`.

    Raises:
        ValueError: If `pad_mode` is unknown, or `x` is known to be too short to be reflected.

    Example:

    >>> np.asarray(extend_to_centre(np.float32([1, 2, 3]), 4, 4)).tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    left, right = _window_margins(frame_length, fft_length)
    return _extend(x, fft_length // 2 - left, fft_length // 2 - right, pad_mode)


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
    real, imag = as_float32(real, "real"), as_float32(imag, "imag")
    fft_length = _check_fft_length(frame_length, fft_length)
    check_positive(hop_length=hop_length)
    if real.shape[-1] != fft_length // 2 + 1:
        raise ValueError(
            f"`real` and `imag` must have {fft_length // 2 + 1} bins on their last axis for `fft_length` "
            f"{fft_length}. Received: shape={tuple(real.shape)}. Pass the `fft_length` of the `stft`."
        )
    left, _ = _window_margins(frame_length, fft_length)
    frames = ops.irfft((real, imag), fft_length=fft_length)[..., left : left + frame_length]
    signal = join_frames(frames, hop_length, window)
    num_frames = ops.shape(real)[-2]
    start = fft_length // 2 - left if center else 0
    span = (num_frames - 1) * hop_length + frame_length - start
    if length is None:
        length = (num_frames - 1) * hop_length + fft_length % 2 if center else span
    elif isinstance(length, int) and isinstance(span, int) and not 0 < length < span + hop_length:
        raise ValueError(
            f"`length` must be from 1 to {span + hop_length - 1} samples for {num_frames} frames. "
            f"Received: length={length}. Another frame would be needed, or the settings are not those of the `stft`."
        )
    return pad_last(signal, 0, hop_length - 1)[..., start : start + length]


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
    waves = np.exp(-2j * np.pi * turns / fft_length) * exact_window(frame_length, window)[:, None]
    return constant(np.concatenate([waves.real, waves.imag], axis=1)[:, None, :])


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
    check_positive(power=power)
    energy = ops.square(as_float32(real, "real")) + ops.square(as_float32(imag, "imag"))
    if power == 2.0:
        return energy
    # The inner choice keeps the root's infinite slope at zero out of the gradient, the outer one gives the 0. NaN is
    # not silent: it stays NaN.
    silent = energy <= TINY
    root = ops.where(silent, 1.0, energy)
    root = ops.sqrt(root) if power == 1.0 else ops.power(root, power / 2)
    return ops.where(silent, 0.0, root)


def _stft_conv(x, frame_length, hop_length, fft_length, window):
    check_one_frame(x, frame_length)
    num_bins = fft_length // 2 + 1
    kernels = dft_kernels(fft_length, frame_length, window)
    spectrum = ops.conv(
        ops.reshape(x, (-1, ops.shape(x)[-1], 1)),
        ops.convert_to_tensor(kernels),
        strides=hop_length,
        padding="valid",
        data_format="channels_last",
    )
    spectrum = ops.reshape(spectrum, lead(x) + (ops.shape(spectrum)[1], 2 * num_bins))
    return spectrum[..., :num_bins], spectrum[..., num_bins:]


def _extend(x, before, after, pad_mode):
    check_choice("pad_mode", pad_mode, ("reflect", "constant"))
    num_samples = x.shape[-1]
    if pad_mode == "reflect" and num_samples is not None and num_samples <= max(before, after):
        raise ValueError(
            f'`x` must have more than {max(before, after)} samples to be extended by `pad_mode="reflect"`. '
            f'Received: shape={tuple(x.shape)}. Pad the signal or use `pad_mode="constant"`.'
        )
    flat = ops.reshape(x, (-1, ops.shape(x)[-1]))
    flat = ops.pad(flat, [(0, 0), (before, after)], mode=pad_mode)
    return ops.reshape(flat, lead(x) + (ops.shape(flat)[-1],))


def _window_margins(frame_length, fft_length):
    left = (fft_length - frame_length) // 2
    return left, fft_length - frame_length - left


def _check_fft_length(frame_length, fft_length):
    check_positive(frame_length=frame_length)
    fft_length = frame_length if fft_length is None else fft_length
    if fft_length < frame_length:
        raise ValueError(
            f"`fft_length` must be at least `frame_length`. "
            f"Received: fft_length={fft_length}, frame_length={frame_length}"
        )
    return fft_length
