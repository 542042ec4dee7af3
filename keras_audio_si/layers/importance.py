"""The importance network of DiffRes: a score for each frame of a spectrogram (liu2022, section 2.2.1)."""

import keras
from keras import ops

from keras_audio_si.layers.masked_normalization import normalised_where

KERNEL_SIZE = 5


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ResConv1D(keras.layers.Layer):
    """Two convolutions along time, each followed by ReLU and batch normalisation, with a shortcut around the second.

    Args:
        filters: Number of filters of both.
        dilation: Distance of two of their 5 taps in frames.
        negative_slope: Of the ReLU: 0 as released, or above for the leaky one of the paper.
        batch_norm_momentum: Momentum of the moving statistics.

    Input shape:
        `(batch, frames, channels)`. A mask leaves frames out of the statistics, and what they hold is not seen.

    Output shape:
        `(batch, frames, filters)`

    Example:

    >>> tuple(ResConv1D(filters=8)(keras.ops.ones((2, 40, 16))).shape)
    (2, 40, 8)

    Reference:
        liu2022, Fig. 3 and Table 6.
    """

    def __init__(self, filters, dilation=1, negative_slope=0.0, batch_norm_momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.filters, self.dilation, self.negative_slope = filters, dilation, negative_slope
        self.batch_norm_momentum = batch_norm_momentum
        self.steps = [
            (
                keras.layers.Conv1D(
                    filters,
                    KERNEL_SIZE,
                    padding="same",
                    dilation_rate=dilation,
                    data_format="channels_last",
                    dtype=self.dtype_policy,
                    name=f"convolution_{place}",
                ),
                keras.layers.BatchNormalization(
                    momentum=batch_norm_momentum, epsilon=1e-5, dtype=self.dtype_policy, name=f"norm_{place}"
                ),
            )
            for place in ("first", "second")
        ]
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        for convolution, norm in self.steps:
            convolution.build(input_shape)
            input_shape = convolution.compute_output_shape(input_shape)
            norm.build(input_shape)

    def call(self, x, mask=None, training=None):
        first, second = self.steps
        y = self._step(first, x, mask, training)
        return self._step(second, y, mask, training) + y

    def _step(self, step, x, mask, training):
        convolution, norm = step
        if mask is not None:
            # Zeros, as beyond the ends of the clip.
            x = ops.where(ops.expand_dims(mask, -1), x, 0.0)
        x = ops.leaky_relu(convolution(x), self.negative_slope)
        if mask is None or not (training and norm.trainable):
            return norm(x, training=training)
        return normalised_where(mask, x, norm)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.filters)

    def get_config(self):
        names = ("filters", "dilation", "negative_slope", "batch_norm_momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def importance_channels(features):
    """Filters of the five blocks for a number of features: the released ones for 128, 64 and 40, others after them.

    Example:

    >>> [importance_channels(features) for features in (128, 64, 40)]
    [(64, 32, 16, 8, 1), (64, 32, 16, 16, 1), (40, 20, 10, 10, 1)]

    Reference:
        liu2022, Table 6.
    """
    divisors = (1, 2, 4, 4) if features <= 64 else (2, 4, 8, 16)
    return (*(max(features // divisor, 1) for divisor in divisors), 1)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ImportanceNetwork(keras.layers.Layer):
    """Five `ResConv1D` blocks with a decreasing number of filters, down to one value per frame.

    82,371 parameters for 128 features, 63,579 for 64 and 25,041 for 40.

    Args:
        dilations: Dilation of each block. (1, 1, 1, 1, 1) sees 41 frames, (1, 2, 4, 8, 16) sees 249.
        negative_slope: Of the ReLU: 0 as released, or above for the leaky one of the paper.
        batch_norm_momentum: Momentum of the moving statistics.

    Input shape:
        `(batch, frames, features)`. A mask leaves frames out.

    Output shape:
        `(batch, frames)`, logits.

    Raises:
        ValueError: If there are not five dilations.

    Example:

    >>> layer = ImportanceNetwork()
    >>> tuple(layer(keras.ops.ones((2, 50, 128))).shape), layer.receptive_field
    ((2, 50), 41)
    >>> sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    82371

    Reference:
        liu2022, eq. 3, Table 6 and appendix A.2.
    """

    def __init__(self, dilations=(1, 1, 1, 1, 1), negative_slope=0.0, batch_norm_momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        if len(dilations) != 5 or min(dilations) < 1:
            raise ValueError(
                "`dilations` must be five numbers from 1 on, one for each block. "
                f"Received: dilations={tuple(dilations)}"
            )
        self.supports_masking = True
        self.dilations, self.negative_slope = tuple(dilations), negative_slope
        self.batch_norm_momentum = batch_norm_momentum
        self.blocks = []
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def receptive_field(self):
        """Number of frames that a score depends on."""
        return 1 + 2 * (KERNEL_SIZE - 1) * sum(self.dilations)

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        filters = importance_channels(input_shape[-1])
        settings = {"negative_slope": self.negative_slope, "batch_norm_momentum": self.batch_norm_momentum}
        self.blocks = [
            ResConv1D(count, dilation, **settings, dtype=self.dtype_policy, name=f"block_{place}")
            for place, (count, dilation) in enumerate(zip(filters, self.dilations, strict=True))
        ]
        for block in self.blocks:
            block.build(input_shape)
            input_shape = block.compute_output_shape(input_shape)

    def call(self, x, mask=None, training=None):
        for block in self.blocks:
            x = block(x, mask=mask, training=training)
        return x[:, :, 0]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:2])

    def get_config(self):
        return {
            **super().get_config(),
            "dilations": self.dilations,
            "negative_slope": self.negative_slope,
            "batch_norm_momentum": self.batch_norm_momentum,
        }
