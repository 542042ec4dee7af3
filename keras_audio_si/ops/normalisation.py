"""Normalisation: by the statistics of the batch, with the fused kernel where a backend has one, or by given ones."""

import math

import keras
from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.xla import compiled_by_xla, custom_gradient, materialise, xla_on_cpu


def standardise(x, mean, variance):
    """Subtracts a mean and divides by a standard deviation, in float32.

    Args:
        x: Tensor of floats.
        mean: float32 tensor that broadcasts against `x`.
        variance: Likewise, positive.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> print(keras.ops.convert_to_numpy(standardise(np.float32([-63.0, -23.0]), -23.0, 400.0)))
    [-2.  0.]
    """
    return (as_float32(x) - mean) / ops.sqrt(ops.cast(variance, "float32"))


def normalise_batch(x, scale, offset, epsilon):
    """Normalises every channel over batch and time, in float32 inside.

    Args:
        x: Tensor of shape `(batch, time, channels)`.
        scale: Tensor of shape `(channels,)`.
        offset: Tensor of shape `(channels,)`.
        epsilon: Added to the variance.

    Returns:
        The normalised tensor in the dtype of `x`, and in float32 the mean and the variance as a moving statistic keeps
        it in PyTorch: the unbiased one, 0 of a single element. The normalisation itself divides by the number of
        elements.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(4.0), (2, 2, 1))
    >>> y, mean, variance = normalise_batch(x, keras.ops.ones(1), keras.ops.zeros(1), 0.0)
    >>> print(keras.ops.convert_to_numpy(mean), np.round(keras.ops.convert_to_numpy(variance), 4))
    [1.5] [1.6667]
    """
    scale, offset = ops.cast(scale, "float32"), ops.cast(offset, "float32")
    has_kernel = keras.backend.backend() == "tensorflow" and keras.backend.standardize_dtype(x.dtype) != "float64"
    if has_kernel and not compiled_by_xla(x):
        import tensorflow as tf

        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x[:, :, None], scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon
        )
        return y[:, :, 0], mean, variance
    if xla_on_cpu(x):
        y, mean, variance = _normalise_in_few_passes(x, scale, offset, epsilon)
    else:
        values = ops.cast(x, "float32")
        # Not `ops.moments`, which under PyTorch subtracts the square of the mean from the mean of squares.
        mean, variance = ops.mean(values, axis=(0, 1)), ops.var(values, axis=(0, 1))
        y = _scaled(values, mean, scale * ops.rsqrt(variance + epsilon), offset)
    count = _count(x)
    return ops.cast(y, x.dtype), mean, variance * (count / ops.maximum(count - 1, 1))


def _normalise_in_few_passes(x, scale, offset, epsilon):
    """As `normalise_batch`, with the biased variance and a gradient that reads the map three times."""

    def forward(x, scale, offset):
        values = ops.cast(x, "float32")
        # Not `_sum`, into which XLA would fuse, and so repeat, a filter that makes `x`.
        mean = ops.mean(values, axis=(0, 1))
        variance = _sum(ops.square(values - mean)) / _count(x)
        return _scaled(values, mean, scale * ops.rsqrt(variance + epsilon), offset), mean, variance

    def backward(args, result, upstream):
        (x, scale, _), (_, mean, variance) = args, result
        upstream, inverse = materialise(upstream), ops.rsqrt(variance + epsilon)
        normal = (ops.cast(x, "float32") - mean) * inverse
        of_offset, of_scale = _sum(upstream), _sum(upstream * normal)
        slopes = (upstream - (of_offset + normal * of_scale) / _count(x)) * (scale * inverse)
        return ops.cast(slopes, x.dtype), of_scale, of_offset

    return custom_gradient(forward, backward)(x, scale, offset)


def _scaled(values, mean, factor, offset):
    return values * factor + (offset - mean * factor)


def _count(x):
    return ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")


def _sum(x):
    """Sums `(batch, time, channels)` over batch and time: first up to 32 neighbours, in one pass with what makes them.

    On a CPU XLA splits longer sums in the same way, but into operations that it fuses with nothing.
    """
    neighbours = math.gcd(32, math.prod(size or 1 for size in x.shape[:2]))
    return ops.sum(materialise(ops.sum(ops.reshape(x, (-1, neighbours, x.shape[2])), axis=1)), axis=0)
