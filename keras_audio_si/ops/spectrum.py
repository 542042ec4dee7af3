"""Short-time spectra of whole signals of any length, their phases, and signals from such spectra."""

import numpy as np
from keras import ops

from keras_audio_si.checks import check_positive
from keras_audio_si.ops import framing, signal
from keras_audio_si.ops.arguments import TINY, as_float32
from keras_audio_si.ops.padding import mirrored
from keras_audio_si.ops.trigonometry import arctan2, cos_sin
from keras_audio_si.ops.xla import xla_on_cpu


def analyse(x, fft_length, hop_length, window="hann"):
    """Short-time Fourier transform that covers a signal of any length, by frames centred from its first sample on.

    The signal is reflect-padded at both ends, repeatedly if it is short, and has frames up to its last sample. If
    `hop_length` does not divide its length, there is one frame more than in `signal.stft(center=True)`, so that
    `synthesise` also reconstructs the last samples.

    With an even `fft_length` the bins of frequency 0 and of half the sample rate are real, and so are all bins of a
    frame centred on the first or on the last sample, which is symmetric. There the imaginary part is set to exactly 0,
    because rounding errors would decide between the phases pi and -pi.

    Args:
        x: Float tensor, `(..., N)`. In a TensorFlow graph `N` may be unknown.
        fft_length: Samples per frame, the points of the transform.
        hop_length: Samples from one frame to the next.
        window: `"hann"`, `"hamming"` or `"rectangular"`, periodic.

    Returns:
        Real and imaginary part, float32 tensors, `(..., 1 + ceil(N / hop_length), fft_length // 2 + 1)` each.

    Raises:
        ValueError: If an argument is out of range or unknown.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> real, imag = analyse(np.zeros((2, 1001), "float32"), fft_length=256, hop_length=64)
    >>> tuple(real.shape)
    (2, 17, 129)
    """
    real, imag = ops.rfft(_windowed_frames(x, fft_length, hop_length, window))
    if fft_length % 2:
        return real, imag
    centre = hop_length * ops.arange(ops.shape(real)[-2])
    symmetric = ops.logical_or(centre == 0, centre == ops.shape(x)[-1] - 1)
    real_bins = np.isin(np.arange(fft_length // 2 + 1), (0, fft_length // 2))
    return real, ops.where(ops.logical_or(symmetric[:, None], real_bins), 0.0, imag)


def synthesise(real, imag, samples, fft_length, hop_length, window="hann"):
    """Signal of a spectrum in the frames of `analyse`: the least squares estimate, by windowed overlap-add.

    Args:
        real: Float tensor, `(..., T, fft_length // 2 + 1)`.
        imag: Float tensor of the same shape.
        samples: Length of the signal.
        fft_length: As given to `analyse`.
        hop_length: As given to `analyse`.
        window: As given to `analyse`.

    Returns:
        Float32 tensor, `(..., samples)`.

    Raises:
        ValueError: If an argument is out of range or does not fit the spectrum.
        TypeError: If `real` or `imag` is not of a real float type.

    Example:

    >>> x = np.random.default_rng(0).standard_normal((2, 1001)).astype("float32")
    >>> real, imag = analyse(x, fft_length=256, hop_length=128)
    >>> bool(np.abs(synthesise(real, imag, 1001, fft_length=256, hop_length=128) - x).max() < 1e-5)
    True
    """
    return signal.istft(real, imag, fft_length, hop_length, window=window, center=True, length=samples)


def keep_bins(x, share, fft_length, hop_length, window="hann"):
    """Signal with the bins of its spectrum multiplied by factors: `analyse` and `synthesise` in one, but faster.

    Args:
        x: Float tensor, `(batch, N)`.
        share: Float tensor, `(batch, fft_length // 2 + 1)`.
        fft_length: As in `analyse`.
        hop_length: As in `analyse`.
        window: As in `analyse`.

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        ValueError: If an argument is out of range or unknown.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> x = np.cos(2 * np.pi * 500 * np.arange(1001) / 8000).astype("float32")[None]
    >>> low = (np.arange(129) < 40).astype("float32")[None]  # up to 1250 Hz
    >>> bool(np.abs(keep_bins(x, low, fft_length=256, hop_length=128) - x).max() < 1e-2)
    True
    """
    frames = _windowed_frames(x, fft_length, hop_length, window)
    num_frames = ops.shape(frames)[1]
    half = (num_frames + 1) // 2
    silent = ops.all(ops.equal(frames, 0.0), axis=-1, keepdims=True)
    frames = ops.pad(frames, ((0, 0), (0, 2 * half - num_frames), (0, 0)))
    # A real share of every bin and its mirror image keeps the real and the imaginary part of a signal apart: two frames
    # fit into one complex transform, which is faster than a real one and back. Exchanging the parts before and after
    # turns a transform into its inverse.
    image = ops.flip(share[:, 1 : (fft_length + 1) // 2], axis=1)
    share = ops.concatenate([share, image], axis=1)[:, None, :] / fft_length
    real, imag = ops.fft((frames[:, :half], frames[:, half:]))
    imag, real = ops.fft((share * imag, share * real))
    # Without the rounding noise of the other frame: silence stays silence, as masks of padding expect.
    frames = ops.where(silent, 0.0, ops.concatenate([real, imag], axis=1)[:, :num_frames])
    start, samples = fft_length // 2, ops.shape(x)[-1]
    return framing.join_frames(frames, hop_length, window)[:, start : start + samples]


def _windowed_frames(x, fft_length, hop_length, window):
    x = as_float32(x)
    check_positive(fft_length=fft_length, hop_length=hop_length)
    samples, margin = ops.shape(x)[-1], fft_length // 2
    end = samples + (-samples) % hop_length + fft_length - margin
    before = ops.take(x, mirrored(ops.arange(-margin, 0), samples), axis=-1)
    after = ops.take(x, mirrored(ops.arange(samples, end), samples), axis=-1)
    frames = framing.frame(ops.concatenate([before, x, after], axis=-1), fft_length, hop_length)
    return ops.multiply(frames, framing.make_window(fft_length, window))


def phase(real, imag):
    """Phase of complex numbers, 0 where they are.

    Args:
        real: Float tensor.
        imag: Float tensor of the same shape.

    Returns:
        Float32 tensor of the shape of `real`, from -pi to pi.

    Example:

    >>> np.asarray(phase(np.float32([-1.0, 0.0, 0.0]), np.float32([0.0, 2.0, 0.0]))).round(2).tolist()
    [3.140000104904175, 1.5700000524520874, 0.0]
    """
    silent = ops.square(real) + ops.square(imag) <= TINY  # NaN is not, and stays NaN.
    return arctan2(ops.where(silent, 0.0, imag), ops.where(silent, 1.0, real))


def from_polar(magnitude, phase):
    """Real and imaginary part of complex numbers.

    Args:
        magnitude: Float tensor.
        phase: Float tensor of the same shape, from -pi to pi.

    Returns:
        Two float32 tensors.

    Example:

    >>> [float(part) for part in from_polar(np.float32(2.0), np.float32(0.0))]
    [2.0, 0.0]
    """
    cos, sin = cos_sin(phase) if xla_on_cpu(phase) else (ops.cos(phase), ops.sin(phase))
    return magnitude * cos, magnitude * sin
