"""Front-ends made of convolutions on the waveform: those of HeuriNet and MSTNet (juettner)."""

import math

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_choices
from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.convolution import convolve_waveform

ACTIVATIONS = {"relu": ops.relu, "tanh": ops.tanh, "abs": ops.abs}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class WaveformConvolution(keras.layers.Layer):
    """Convolves waveforms with kernels, at a stride, without padding; in float32 under any dtype policy.

    Args:
        filters: Number of kernels.
        kernel_size: Length of the kernels, in samples.
        stride: Samples from one output to the next.
        kernel_initializer: Initial kernels, `(kernel_size, 1, filters)`; Xavier's by default.

    Input shape:
        `(batch, samples)`

    Output shape:
        `(batch, 1 + (samples - kernel_size) // stride, filters)`

    Example:

    >>> layer = WaveformConvolution(filters=80, kernel_size=155, stride=10)
    >>> tuple(layer(np.zeros((2, 20992), "float32")).shape)
    (2, 2084, 80)
    """

    def __init__(self, filters, kernel_size, stride, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.filters, self.kernel_size, self.stride = filters, kernel_size, stride
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, input_shape):
        shape = (self.kernel_size, 1, self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, x):
        return convolve_waveform(x, ops.convert_to_tensor(self.kernel), self.stride) + self.bias

    def compute_output_shape(self, input_shape):
        batch, samples = input_shape
        frames = None if samples is None else 1 + (samples - self.kernel_size) // self.stride
        return (batch, frames, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ConvolutionFrontEnd(FrontEnd):
    """Convolutions from waveforms to features over time, each with an activation and, where asked for, max pooling.

    `HeuriFrontEnd` and `MSTFrontEnd` are the published ones. A third one is only in the released code:
    `ConvolutionFrontEnd(22050, (80, 60), (1024, 15), (512, 1), activations=("abs", "tanh"), padding="same")`. The
    layers inside are called "conv1", "conv2", ... Weights start by Xavier's rule, biases at 0. Everything is
    computed in float32 under any dtype policy; only the result is cast to the compute dtype.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        filters: Filters of each convolution; the last are the bands of the result.
        kernel_sizes: Length of the kernels of each convolution.
        strides: Stride of each convolution.
        pool_sizes: Window of the max pooling after each convolution; None for no pooling.
        pool_strides: Its stride.
        activations: Activation of each convolution: "relu", "tanh" or "abs".
        padding: Of the convolutions: "valid", or "same": zeros on both sides, so that `strides` alone decide on the
            number of frames.

    Input shape:
        `(batch, samples)`, floats in [-1, 1]. `samples` may be None where the backend has dynamic shapes.

    Output shape:
        `(batch, num_frames(samples), filters[-1])`

    Raises:
        ValueError: If an argument is out of its range, the input is not of rank 2 or known to be too short.

    Example:

    >>> layer = ConvolutionFrontEnd(8000, filters=(8, 4), kernel_sizes=(64, 3), strides=(32, 1), padding="same")
    >>> tuple(layer(np.zeros((2, 320), "float32")).shape), layer.hop_length
    ((2, 10, 4), 32)

    Reference:
        juettner, section 2.2.
    """

    def __init__(
        self,
        sample_rate,
        filters,
        kernel_sizes,
        strides,
        pool_sizes=None,
        pool_strides=None,
        activations=None,
        padding="valid",
        **kwargs,
    ):
        count = len(filters)
        sizes = {
            "filters": tuple(filters),
            "kernel_sizes": tuple(kernel_sizes),
            "strides": tuple(strides),
            "pool_sizes": (1,) * count if pool_sizes is None else tuple(pool_sizes),
            "pool_strides": (1,) * count if pool_strides is None else tuple(pool_strides),
        }
        for name, values in sizes.items():
            if not values or len(values) != count or any(not isinstance(n, int) or n < 1 for n in values):
                raise ValueError(
                    f"`{name}` must have a positive integer for each convolution. Received: {name}={values!r}"
                )
        activations = ("relu",) * count if activations is None else tuple(activations)
        check_choices("activations", activations, ACTIVATIONS)
        if len(activations) != count:
            raise ValueError(
                f"`activations` must be as many as the {count} convolutions. Received: activations={activations!r}"
            )
        check_choice("padding", padding, ("valid", "same"))
        if padding == "same" and any(n < stride for n, stride in zip(kernel_sizes, strides, strict=True)):
            raise ValueError(
                "`padding`='same' needs kernels at least as long as their strides. "
                f"Received: kernel_sizes={kernel_sizes}, strides={strides}"
            )
        hop_length = math.prod(sizes["strides"]) * math.prod(sizes["pool_strides"])
        super().__init__(sample_rate, hop_length / sample_rate, filters[-1], **kwargs)
        for name, values in sizes.items():
            setattr(self, name, values)
        self.activations, self.padding = activations, padding
        self.convolutions = [
            WaveformConvolution(self.filters[0], self.kernel_sizes[0], self.strides[0], name="conv1"),
            *(
                keras.layers.Conv1D(n, size, stride, data_format="channels_last", dtype="float32", name=f"conv{number}")
                for number, (n, size, stride) in enumerate(
                    zip(self.filters[1:], self.kernel_sizes[1:], self.strides[1:], strict=True), start=2
                )
            ),
        ]

    def num_frames(self, samples):
        for size, stride in self._windows():
            samples = 1 + (samples - size) // stride
        return samples

    def num_samples(self, frames):
        for size, stride in reversed(self._windows()):
            frames = (frames - 1) * stride + size
        return frames

    def build(self, input_shape):
        shape = input_shape
        for layer in self.convolutions:
            layer.build(shape)
            shape = (None, None, layer.filters)

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # Refuses other inputs.
        x = as_float32(inputs, "inputs")
        for number, layer in enumerate(self.convolutions):
            if self.padding == "same":
                x = ops.pad(x, [(0, 0), self._zeros(number), *([(0, 0)] if number else [])])
            x = ACTIVATIONS[self.activations[number]](layer(x))
            size, stride = self.pool_sizes[number], self.pool_strides[number]
            if (size, stride) != (1, 1):
                x = ops.max_pool(x, size, stride, "valid", data_format="channels_last")
        return ops.cast(x, self.compute_dtype)

    def get_config(self):
        names = ("filters", "kernel_sizes", "strides", "pool_sizes", "pool_strides", "activations", "padding")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        del config["hop_seconds"]  # The strides say it.
        return config

    def _windows(self):
        """Window, minus its padding, and stride of all layers that sample time, in order."""
        windows = []
        for number, (size, stride) in enumerate(zip(self.kernel_sizes, self.strides, strict=True)):
            windows.append((size - sum(self._zeros(number)), stride))
            windows.append((self.pool_sizes[number], self.pool_strides[number]))
        return windows

    @property
    def sees_padding(self):
        """Whether the last frames of a clip depend on what is behind it: on zeros that a later convolution adds."""
        return any(any(self._zeros(number)) for number in range(1, len(self.kernel_sizes)))

    def _zeros(self, number):
        """Zeros before and after the input of a convolution."""
        zeros = self.kernel_sizes[number] - self.strides[number] if self.padding == "same" else 0
        return zeros // 2, zeros - zeros // 2


@keras.saving.register_keras_serializable(package="keras_audio_si")
class HeuriFrontEnd(ConvolutionFrontEnd):
    """The DeepFourier part of HeuriNet: 80 kernels of 7 ms and 60 wide combinations of them, each max pooled.

    A frame stands for 480 samples; 20992 samples give 41 frames. The arguments are those of `ConvolutionFrontEnd`.

    Example:

    >>> layer = HeuriFrontEnd()
    >>> layer.build((None, 20992))
    >>> layer.count_params(), layer.num_frames(20992)
    (84540, 41)

    Reference:
        juettner, Table 1, eqs. 3 to 6.
    """

    def __init__(
        self,
        sample_rate=22050,
        filters=(80, 60),
        kernel_sizes=(155, 15),
        strides=(10, 4),
        pool_sizes=(9, 9),
        pool_strides=(3, 4),
        **kwargs,
    ):
        super().__init__(sample_rate, filters, kernel_sizes, strides, pool_sizes, pool_strides, **kwargs)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MSTFrontEnd(ConvolutionFrontEnd):
    """The DeepFourier part of MSTNet: kernels and hop of a spectrogram, then two narrow convolutions, the last tanh.

    A frame stands for 512 samples; 20992 samples give 41 frames. The arguments are those of `ConvolutionFrontEnd`.

    Example:

    >>> layer = MSTFrontEnd()
    >>> layer.build((None, 20992))
    >>> layer.count_params(), layer.num_frames(20992)
    (964412, 41)

    Reference:
        juettner, Table 2, eqs. 7 to 9.
    """

    def __init__(
        self,
        sample_rate=22050,
        filters=(512, 256, 60),
        kernel_sizes=(1024, 3, 3),
        strides=(512, 1, 1),
        activations=("relu", "relu", "tanh"),
        padding="same",
        **kwargs,
    ):
        super().__init__(
            sample_rate, filters, kernel_sizes, strides, activations=activations, padding=padding, **kwargs
        )
