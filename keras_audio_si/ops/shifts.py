"""Shifts in time, different for each example, by integer and fractional numbers of samples."""

import math

from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.fir import correlate_each, delay_taps
from keras_audio_si.ops.trigonometry import cos_sin
from keras_audio_si.ops.xla import map_examples

INTERPOLATIONS = ("sinc", "fourier")


def shift_samples(x, samples, circular=False, margin=0):
    """Shifts every example by its own number of samples.

    Args:
        x: Float tensor, `(batch, samples)`.
        samples: int32 tensor `(batch,)`; positive numbers move towards the end.
        circular: Whether what leaves at one end comes in at the other; else zeros come in.
        margin: How many samples of what lies beyond either end are returned as well.

    Returns:
        float32 tensor, `(batch, samples + 2 * margin)`.

    Example:

    >>> print(keras.ops.convert_to_numpy(shift_samples(np.float32([[1, 2, 3], [1, 2, 3]]), np.int32([1, -1]))))
    [[0. 1. 2.]
     [2. 3. 0.]]
    """
    x = as_float32(x)
    batch, num_samples = ops.shape(x)
    if circular:
        # Two copies of what is contiguous: faster than a gather on every backend, most so under PyTorch.
        rolled = map_examples(ops.roll, (x, ops.cast(samples, "int32")), "float32")
        if margin == 0:
            return rolled
        beyond = ops.arange(margin, dtype="int32")
        before, after = (ops.take(rolled, places % num_samples, axis=1) for places in (beyond - margin, beyond))
        return ops.concatenate([before, rolled, after], axis=1)
    places = ops.expand_dims(ops.arange(num_samples + 2 * margin, dtype="int32"), 0)
    source = places - (ops.cast(samples, "int32")[:, None] + margin)
    rows = ops.expand_dims(ops.arange(batch, dtype="int32"), 1) * num_samples
    # Indices into the flat batch: `take_along_axis` makes them int64 on TensorFlow.
    flat = ops.reshape(x, (-1,))
    moved = ops.take(flat, rows + ops.clip(source, 0, num_samples - 1), axis=0)
    return ops.where(ops.logical_and(source >= 0, source < num_samples), moved, 0.0)


def delay(x, samples, fraction, circular=False, interpolation="sinc"):
    """Delays every example by its own number of samples and a fraction of one.

    Args:
        x: Float tensor, `(batch, samples)`; for `"fourier"` the number of samples must be known.
        samples: int32 tensor `(batch,)`; positive numbers move towards the end.
        fraction: Float tensor `(batch,)`, in samples, from -0.5 to 0.5.
        circular: Whether what leaves at one end comes in at the other; else zeros come in.
        interpolation: `"sinc"`, the taps of `ops.fir.delay_taps`; or `"fourier"`, as released: the fraction is a phase
            in the spectrum of the whole clip, which is always circular and costs two transforms of it.

    Returns:
        float32 tensor of the shape of `x`.

    Raises:
        ValueError: If the interpolation is unknown.

    Example:

    >>> delayed = delay(np.float32([[0, 1, 0, 0]]), np.int32([1]), np.float32([0.0]))
    >>> [round(float(value), 3) + 0.0 for value in delayed[0]]
    [0.0, 0.0, 1.0, 0.0]
    """
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    fraction = as_float32(fraction, "fraction")
    if interpolation == "sinc":
        taps = delay_taps(fraction)
        return correlate_each(shift_samples(x, samples, circular, margin=taps.shape[1] // 2), taps)
    x = shift_samples(x, samples, circular)
    num_samples = x.shape[1]
    real, imag = ops.rfft(x, fft_length=num_samples)
    bins = ops.arange(num_samples // 2 + 1, dtype="float32")
    cos, sin = cos_sin(fraction[:, None] * (-2.0 * math.pi / num_samples) * bins)
    return ops.irfft((real * cos - imag * sin, real * sin + imag * cos), fft_length=num_samples)
