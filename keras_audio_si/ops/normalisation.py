"""Normalisation: by the statistics of the batch, with the fused kernel where a backend has one, or by given ones."""

import keras
from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.xla import compiled_by_xla, custom_gradient, materialise


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
    count = ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")

    def mean_of(values):
        # Over examples first: XLA vectorises that, and fuses what computes the values into it.
        return ops.sum(materialise(ops.sum(values, axis=0)), axis=0) / count

    def forward(values, scale, offset):
        mean = mean_of(values)
        centred = values - mean
        variance = mean_of(ops.square(centred))
        return centred * (scale * ops.rsqrt(variance + epsilon)) + offset, mean, variance

    def backward(args, result, upstream):
        (values, scale, _), (_, mean, variance) = args, result
        inverse = ops.rsqrt(variance + epsilon)
        normal = (values - mean) * inverse
        level, slope = mean_of(upstream), mean_of(upstream * normal)
        return (upstream - level - normal * slope) * (scale * inverse), slope * count, level * count

    y, mean, variance = custom_gradient(forward, backward)(ops.cast(x, "float32"), scale, offset)
    return ops.cast(y, x.dtype), mean, variance * (count / (count - 1))
