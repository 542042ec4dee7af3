"""Baselines of DiffRes: fixed reductions of the frame rate with the same interface (liu2022, section 3.1)."""

import keras
from keras import ops

from keras_audio_si.layers.importance import ResConv1D
from keras_audio_si.layers.resolution_layer import SILENCE, ResolutionLayer, within
from keras_audio_si.ops.frame_pooling import pooled_frames, sampled_frames


class _FixedResolution(ResolutionLayer):
    """One channel of levels, with the frames merged by `merge`."""

    num_channels = 1

    def merge(self, x, counts, mask, training):
        """Returns the output frames; what comes behind those that a clip fills is replaced."""
        raise NotImplementedError

    def resample(self, x, mask, counts, training):
        y = self.merge(x, counts, mask, training)
        inside = within(counts.output_frames, counts.output_lengths)
        return ops.expand_dims(y if inside is None else ops.where(inside, y, SILENCE), -1)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ChangeHopSize(_FixedResolution):
    """Keeps evenly spaced frames, as with a larger hop, and drops the others.

    Args:
        reduction_rate: As in `DiffResLayer`, with its alternatives `num_frames`, `frames_per_second` and
            `input_frames_per_second`.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, mel)`, with a mask or without, see `ResolutionLayer`.

    Output shape:
        `(batch, t, mel, 1)`

    Raises:
        ValueError: If there is more than one target, or one out of range.

    Example:

    >>> x = np.arange(10, dtype="float32")[None, :, None]
    >>> print(keras.ops.convert_to_numpy(ChangeHopSize(num_frames=4)(x))[0, :, 0, 0])
    [0. 3. 6. 9.]

    Reference:
        liu2022, section 3.1 and Table 1.
    """

    def merge(self, x, counts, mask, training):
        index = sampled_frames(counts.output_frames, counts.lengths, counts.output_lengths)
        if mask is None:
            return ops.take(x, index[0], axis=1)
        return ops.take_along_axis(x, ops.expand_dims(index, -1), axis=1)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AveragePoolFrames(_FixedResolution):
    """Averages frames by adaptive pooling: if the rate does not divide, window sizes differ by one frame.

    The average is that of the logarithms, as in the released code.

    Args:
        reduction_rate: As in `DiffResLayer`, with its alternatives `num_frames`, `frames_per_second` and
            `input_frames_per_second`.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, mel)`, with a mask or without, see `ResolutionLayer`.

    Output shape:
        `(batch, t, mel, 1)`

    Raises:
        ValueError: If there is more than one target, or one out of range.

    Example:

    >>> x = np.arange(5, dtype="float32")[None, :, None]
    >>> print(keras.ops.convert_to_numpy(AveragePoolFrames(num_frames=2)(x))[0, :, 0, 0])
    [1. 3.]

    Reference:
        liu2022, section 3.1 and Table 1.
    """

    def merge(self, x, counts, mask, training):
        return pooled_frames(x, counts.output_frames, counts.lengths, counts.output_lengths)[0]


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AverageMaxPoolFrames(_FixedResolution):
    """Adds the average and the maximum of the same windows of frames, see `AveragePoolFrames`.

    The released code has it; the paper does not mention it.

    Args:
        reduction_rate: As in `DiffResLayer`, with its alternatives `num_frames`, `frames_per_second` and
            `input_frames_per_second`.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, mel)`, with a mask or without, see `ResolutionLayer`.

    Output shape:
        `(batch, t, mel, 1)`

    Raises:
        ValueError: If there is more than one target, or one out of range.

    Example:

    >>> x = np.arange(4, dtype="float32")[None, :, None]
    >>> print(keras.ops.convert_to_numpy(AverageMaxPoolFrames(num_frames=2)(x))[0, :, 0, 0])
    [1.5 5.5]
    """

    def merge(self, x, counts, mask, training):
        both = pooled_frames(x, counts.output_frames, counts.lengths, counts.output_lengths, ("mean", "max"))
        return sum(both)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ConvAveragePool(_FixedResolution):
    """Adds the output of three `ResConv1D` blocks to a spectrogram, and averages frames.

    Computed in float32 under every dtype policy; only the output is cast. 493,824 parameters for 128 mel bands, the
    only number of bands in the released code.

    Args:
        reduction_rate: As in `DiffResLayer`, with its alternatives `num_frames`, `frames_per_second` and
            `input_frames_per_second`.
        batch_norm_momentum: Momentum of the moving statistics.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, mel)`, with a mask or without, see `ResolutionLayer`.

    Output shape:
        `(batch, t, mel, 1)`

    Raises:
        ValueError: If there is more than one target, or one out of range.

    Example:

    >>> layer = ConvAveragePool(frames_per_second=50, input_frames_per_second=100)
    >>> tuple(layer(np.zeros((1, 100, 128), "float32")).shape)
    (1, 50, 128, 1)
    >>> sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    493824

    Reference:
        liu2022, section 3.1, Table 1 and Table 6.
    """

    def __init__(self, *args, batch_norm_momentum=0.9, **kwargs):
        super().__init__(*args, **kwargs)
        self.batch_norm_momentum = batch_norm_momentum
        self.blocks = []

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.blocks = [
            ResConv1D(
                input_shape[-1], batch_norm_momentum=self.batch_norm_momentum, dtype="float32", name=f"block_{place}"
            )
            for place in range(3)
        ]
        for block in self.blocks:
            block.build(input_shape)

    def merge(self, x, counts, mask, training):
        y = x
        for block in self.blocks:
            y = block(y, mask=mask, training=training)
        return pooled_frames(x + y, counts.output_frames, counts.lengths, counts.output_lengths)[0]

    def get_config(self):
        return {**super().get_config(), "batch_norm_momentum": self.batch_norm_momentum}
