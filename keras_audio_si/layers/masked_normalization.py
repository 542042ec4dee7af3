"""Batch normalisation whose statistics leave out the padding of clips."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation with masks of frames for inputs of any rank: the statistics leave padding out.

    `models.with_masks` replaces Keras' layer by it.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`. The channels must be last.

    Input shape:
        `(batch, frames, ..., channels)`, and as `mask` `(batch, frames)`, boolean, or None.

    Output shape:
        The first of them.

    Example:

    >>> layer = MaskedBatchNormalization(momentum=0.0)
    >>> x, mask = np.float32([[[1], [3], [100]]]), np.array([[True, True, False]])
    >>> y = layer(x, mask=mask, training=True)
    >>> print(keras.ops.convert_to_numpy(layer.moving_mean), keras.ops.convert_to_numpy(layer.moving_variance))
    [2.] [1.]
    """

    def call(self, inputs, training=None, mask=None):
        if mask is None or not (training and self.trainable):
            return super().call(inputs, training=training)
        return normalised_where(mask, inputs, self)

    def compute_mask(self, inputs, previous_mask):
        return None


def normalised_where(mask, x, norm):
    """Normalises in training by the statistics of the frames of a mask. Keras' own fails on one channel.

    Args:
        mask: `(batch, frames)` boolean.
        x: `(batch, frames, ..., channels)`
        norm: `keras.layers.BatchNormalization` that is built; its moving statistics are updated.

    Returns:
        Tensor of the shape of `x` in the compute dtype of the layer.
    """
    x = ops.cast(x, "float32")
    inside = mask[(..., *(None,) * (len(x.shape) - 2))]
    axes = tuple(range(len(x.shape) - 1))
    count = ops.sum(ops.cast(mask, "float32")) * math.prod(x.shape[2:-1])
    count = ops.maximum(count, 1.0)
    mean = ops.sum(ops.where(inside, x, 0.0), axis=axes) / count
    variance = ops.sum(ops.where(inside, ops.square(x - mean), 0.0), axis=axes) / count
    for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(norm.momentum * moving + (1 - norm.momentum) * value)
    x = ops.batch_normalization(x, mean, variance, -1, norm.beta, norm.gamma, norm.epsilon)
    return ops.cast(x, norm.compute_dtype)
