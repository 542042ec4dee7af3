"""Shifts in time, other ones for every example: whole samples and fractions of one."""

import math

from keras import ops

from keras_audio_si.ops.fir import delay_taps, filter_each
from keras_audio_si.ops.signal import as_float32, check_choice

INTERPOLATIONS = ("sinc", "fourier")


def shift_samples(x, samples, circular=False):
    """Move every example by its own number of samples.

    Args:
        x: Float tensor, `(batch, samples)`.
        samples: int32 tensor `(batch,)`; positive numbers move towards the end.
        circular: Whether what leaves at one end comes in at the other; else zeros come in.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> print(keras.ops.convert_to_numpy(shift_samples(np.float32([[1, 2, 3], [1, 2, 3]]), np.int32([1, -1]))))
    [[0. 1. 2.]
     [2. 3. 0.]]
    """
    x = as_float32(x)
    batch, num_samples = ops.shape(x)
    source = ops.expand_dims(ops.arange(num_samples, dtype="int32"), 0) - ops.cast(samples, "int32")[:, None]
    rows = ops.expand_dims(ops.arange(batch, dtype="int32"), 1) * num_samples
    # Indices into the flat batch: `take_along_axis` makes them int64 on TensorFlow.
    flat = ops.reshape(x, (-1,))
    if circular:
        return ops.take(flat, rows + source % num_samples, axis=0)
    moved = ops.take(flat, rows + ops.clip(source, 0, num_samples - 1), axis=0)
    return ops.where(ops.logical_and(source >= 0, source < num_samples), moved, 0.0)


def delay_fraction(x, delay, circular=False, interpolation="sinc"):
    """Delay every example by its own fraction of a sample.

    Args:
        x: Float tensor, `(batch, samples)`; for `"fourier"` the number of samples must be known.
        delay: Float tensor `(batch,)`, in samples, from -0.5 to 0.5.
        circular: Whether the end goes before the start; else zeros do.
        interpolation: `"sinc"`, the taps of `ops.fir.delay_taps`; or `"fourier"`, as released: the delay is a phase in
            the spectrum of the whole clip, which is always circular and costs two transforms of it.

    Returns:
        float32 tensor of the shape of `x`.

    Raises:
        ValueError: If the interpolation is unknown.

    Example:

    >>> delayed = delay_fraction(np.float32([[0, 0, 0, 1, 0, 0, 0, 0]]), np.float32([0.0]))
    >>> [round(float(value), 3) + 0.0 for value in delayed[0]]
    [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    x, delay = as_float32(x), as_float32(delay, "delay")
    if interpolation == "sinc":
        return filter_each(x, delay_taps(delay), "circular" if circular else "same")
    num_samples = x.shape[1]
    real, imag = ops.rfft(x, fft_length=num_samples)
    bins = ops.arange(num_samples // 2 + 1, dtype="float32")
    angle = delay[:, None] * (-2.0 * math.pi / num_samples) * bins
    cos, sin = ops.cos(angle), ops.sin(angle)
    return ops.irfft((real * cos - imag * sin, real * sin + imag * cos), fft_length=num_samples)
