"""The convolutions of networks on waveforms: with batch normalisation and leaky ReLU, alone and in residual blocks."""

import keras
from keras import ops

from keras_audio_si.ops.convolution import convolve_time, convolve_time_by_channel
from keras_audio_si.ops.normalisation import normalise_batch
from keras_audio_si.ops.padding import check_padding


@keras.saving.register_keras_serializable(package="keras_audio_si")
class TimeConvolution(keras.layers.Layer):
    """Convolution along time, batch normalisation and leaky ReLU; the length is kept.

    In inference the normalisation is folded into the kernel.

    Args:
        filters: Number of filters; None filters every channel by itself.
        kernel_size: Number of taps.
        dilation: Distance of two taps in samples; above 1 where `filters` is None.
        padding: "reflect" (as released), "same" (zeros), "edge" or "circular".
        negative_slope: Of the leaky ReLU.
        batch_norm_momentum: Momentum of the moving statistics.

    Input shape:
        `(batch, time, channels)`

    Output shape:
        `(batch, time, filters)`, or that of the input.

    Raises:
        ValueError: If the padding is unknown or would shorten the input, or a dilation is asked for of all channels.

    Example:

    >>> layer = TimeConvolution(filters=8, kernel_size=5)
    >>> tuple(layer(keras.ops.ones((2, 40, 4))).shape)
    (2, 40, 8)

    Reference:
        gazneli2022, section 3.1, Fig. 4.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        dilation=1,
        padding="reflect",
        negative_slope=0.2,
        batch_norm_momentum=0.9,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if check_padding(padding) == "valid":
            raise ValueError(
                "`padding` must keep the length: 'reflect', 'same', 'edge' or 'circular'. Received: padding='valid'"
            )
        if filters is not None and dilation != 1:
            raise ValueError(
                f"`dilation` must be 1 unless `filters` is None. Received: dilation={dilation}, filters={filters}"
            )
        self.filters, self.kernel_size, self.dilation = filters, kernel_size, dilation
        self.padding, self.negative_slope = padding, negative_slope
        self.norm = keras.layers.BatchNormalization(
            momentum=batch_norm_momentum, epsilon=1e-5, dtype=self.dtype_policy, name="norm"
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape):
        channels = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: channels})
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, channels) if self.filters is None else (self.kernel_size, channels, self.filters),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.norm.build(self.compute_output_shape(input_shape))

    def call(self, x, training=False):
        if training and self.norm.trainable:
            x = self._normalise(self._convolve(x, self.kernel))
        else:
            kernel, bias = self.folded()
            x = self._convolve(x, kernel) + bias
        return ops.leaky_relu(x, self.negative_slope)

    def _normalise(self, x):
        norm = self.norm
        if norm.synchronized:  # On several devices of TensorFlow: `training.replicas.synchronised`.
            return norm(x, training=True)
        x, mean, variance = normalise_batch(
            x, ops.convert_to_tensor(norm.gamma), ops.convert_to_tensor(norm.beta), norm.epsilon
        )
        for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            value = ops.cast(ops.stop_gradient(value), moving.dtype)
            moving.assign(moving * norm.momentum + value * (1 - norm.momentum))
        return x

    def folded(self):
        """Returns the kernel and the bias that convolve and normalise at once, by the moving statistics."""
        norm = self.norm
        scale = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
        bias = norm.beta - norm.moving_mean * scale
        kernel = ops.cast(self.kernel, scale.dtype) * scale
        return ops.cast(kernel, self.compute_dtype), ops.cast(bias, self.compute_dtype)

    def _convolve(self, x, kernel):
        if self.filters is None:
            return convolve_time_by_channel(x, kernel, self.dilation, self.padding)
        return convolve_time(x, kernel, self.padding)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.filters or input_shape[2])

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
            "padding": self.padding,
            "negative_slope": self.negative_slope,
            "batch_norm_momentum": self.norm.momentum,
        }


@keras.saving.register_keras_serializable(package="keras_audio_si")
class TimeResidualBlock(keras.layers.Layer):
    """Residual block along time: the sum of a linear shortcut, a depthwise and a pointwise convolution.

    The modified residual block of the paper, with a large kernel along time: `shortcut(x) + by_channel(x) +
    across(x)`.

    Args:
        kernel_size: Number of taps along time.
        dilation: Distance of two taps in samples.
        padding: See `TimeConvolution`.
        negative_slope: Of the leaky ReLU.
        batch_norm_momentum: Momentum of the moving statistics.

    Input shape:
        `(batch, time, channels)`

    Output shape:
        That of the input.

    Raises:
        ValueError: If the padding is unknown or would shorten the input.

    Example:

    >>> layer = TimeResidualBlock(kernel_size=15, dilation=3)
    >>> tuple(layer(keras.ops.ones((2, 40, 4))).shape)
    (2, 40, 4)

    Reference:
        gazneli2022, section 3.1.
    """

    def __init__(
        self, kernel_size=15, dilation=1, padding="reflect", negative_slope=0.2, batch_norm_momentum=0.9, **kwargs
    ):
        super().__init__(**kwargs)
        self.settings = {
            "padding": padding,
            "negative_slope": negative_slope,
            "batch_norm_momentum": batch_norm_momentum,
        }
        self.by_channel = TimeConvolution(
            None, kernel_size, dilation, **self.settings, dtype=self.dtype_policy, name="by_channel"
        )
        self.across = self.shortcut = None
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape):
        channels = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: channels})
        self.across = TimeConvolution(channels, 1, **self.settings, dtype=self.dtype_policy, name="across")
        self.shortcut = keras.layers.Dense(
            channels,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype=self.dtype_policy,
            name="shortcut",
        )
        for layer in (self.by_channel, self.across, self.shortcut):
            layer.build(input_shape)

    def call(self, x, training=False):
        return self.shortcut(x) + self.across(x, training=training) + self.by_channel(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        by_channel = {"kernel_size": self.by_channel.kernel_size, "dilation": self.by_channel.dilation}
        return {**super().get_config(), **by_channel, **self.settings}
