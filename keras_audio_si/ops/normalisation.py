"""Normalisation: by the statistics of the batch, with the fused kernel where a backend has one, or by given ones."""

import keras
from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.xla import compiled_by_xla


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
        scale: float32 tensor of shape `(channels,)`.
        offset: float32 tensor of shape `(channels,)`.
        epsilon: Added to the variance.

    Returns:
        The normalised tensor, the mean, and the variance as a moving statistic keeps it in PyTorch: the unbiased one.
        The normalisation itself divides by the number of elements.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(4.0), (2, 2, 1))
    >>> y, mean, variance = normalise_batch(x, keras.ops.ones(1), keras.ops.zeros(1), 0.0)
    >>> print(keras.ops.convert_to_numpy(mean), np.round(keras.ops.convert_to_numpy(variance), 4))
    [1.5] [1.6667]
    """
    if keras.backend.backend() == "tensorflow" and not compiled_by_xla(x):
        import tensorflow as tf

        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x[:, :, None], scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon
        )
        return y[:, :, 0], mean, variance
    values = ops.cast(x, "float32")
    # Not `ops.moments`, which under PyTorch subtracts the square of the mean from the mean of squares.
    mean, variance = ops.mean(values, axis=(0, 1)), ops.var(values, axis=(0, 1))
    factor = scale * ops.rsqrt(variance + epsilon)
    y = values * factor + (offset - mean * factor)
    count = ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")
    return ops.cast(y, x.dtype), mean, variance * (count / (count - 1))
