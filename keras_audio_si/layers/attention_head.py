"""Attention head of PSLA: class scores of frames, averaged over time with attention weights."""

import math

import keras
from keras import ops

from keras_audio_si.checks import check_integer
from keras_audio_si.ops.attention import attention_pool
from keras_audio_si.ops.lengths import hide_padding
from keras_audio_si.ops.pooling import statistic


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AttentionHead(keras.layers.Layer):
    """Scores the classes in every frame, and averages over time with the attention weights of each head.

    The input is averaged over mel. A head has two dense layers on each frame, one for class scores and one for the
    attention of each class; its output is the mean of the scores over time, weighted by the attention. The heads are
    summed with trainable weights, which are equal at first and unconstrained, so scores can lie slightly outside of
    [0, 1]. The layer computes in float32 under every dtype policy.

    Args:
        num_classes: Number of classes.
        heads: Number of heads; 0 for the mean over time of the scores of the frames, without attention.

    Input shape:
        `(batch, time, mel, channels)` or `(batch, time, channels)`. What a mask `(batch, time)` marks as padding gets
        no attention.

    Output shape:
        `(batch, num_classes)`, float32 scores, not logits

    Raises:
        ValueError: If an argument is out of range or the input has another rank.

    Example:

    >>> tuple(AttentionHead(527)(keras.ops.ones((2, 10, 4, 32))).shape)
    (2, 527)

    Reference:
        Gong et al., "PSLA: Improving Audio Tagging with Pretraining, Sampling, Labeling, and Aggregation", 2021,
        section III-C; liu2022, section 3.
    """

    def __init__(self, num_classes, heads=4, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_integer(1, num_classes=num_classes)
        check_integer(0, heads=heads)
        self.num_classes = num_classes
        self.heads = heads
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) not in (3, 4) or input_shape[-1] is None:
            raise ValueError(
                f"{self.name} takes (batch, time, mel, channels) or (batch, time, channels), with a known number of "
                f"channels. Received: shape={tuple(input_shape)}"
            )
        heads = max(self.heads, 1)
        shape = (input_shape[-1], heads, self.num_classes)
        limit = math.sqrt(6.0 / (input_shape[-1] + self.num_classes))  # Glorot's, of one dense layer of a head.

        def dense(name):
            kernel = self.add_weight(shape, keras.initializers.RandomUniform(-limit, limit), name=f"{name}_kernel")
            return kernel, self.add_weight(shape[1:], "zeros", name=f"{name}_bias")

        self.class_weights = dense("class")
        if self.heads:
            self.attention_weights = dense("attention")
            self.head_weights = self.add_weight((heads,), keras.initializers.Constant(1 / heads), name="head_weights")

    def call(self, x, mask=None):
        if mask is not None:
            x = hide_padding(x, mask)
        frames = ops.mean(x, axis=2) if len(x.shape) == 4 else x
        class_logits = self._dense(frames, *self.class_weights)
        if not self.heads:
            return statistic("mean", ops.sigmoid(class_logits), (1,), mask)[:, 0, 0]
        return attention_pool(self._dense(frames, *self.attention_weights), class_logits, self.head_weights, mask)

    def compute_mask(self, x, previous_mask):
        return None

    def _dense(self, frames, kernel, bias):
        return ops.einsum("btc,chk->bthk", frames, kernel) + bias

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "heads": self.heads}
