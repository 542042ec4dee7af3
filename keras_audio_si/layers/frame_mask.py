"""Masks of the frames that belong to a clip: from its length, and through the layers of a network."""

import keras
from keras import ops

from keras_audio_si.checks import check_integer
from keras_audio_si.ops.lengths import content_lengths, frame_mask, hide_padding, strided_mask
from keras_audio_si.ops.padding import output_size


@keras.saving.register_keras_serializable(package="keras_audio_si")
class FrameMask(keras.layers.Layer):
    """Marks the frames of a spectrogram that belong to the clip without its zero padding.

    The lengths of clips are given or detected. A detected clip ends with its last nonzero sample, so that exact digital
    silence at the end of a recording counts as padding. A mixture of two clips has the length of the longer one; noise
    that is added to the padding makes it part of the clip.

    Args:
        frame_samples: Samples that a clip of one frame has: `num_samples(1)` of the front-end.
        hop_length: Samples from one frame to the next.

    Input shape:
        Pair of the spectrograms, `(batch, frames, bands)`, and the waveforms they are of, `(batch, samples)`, or the
        lengths of the clips in samples, `(batch,)`, integers.

    Output shape:
        `(batch, frames)`, boolean, True for the frames of the clip; at least the first one.

    Raises:
        ValueError: If the input is no such pair, or an argument is out of range.

    Example:

    >>> layer = FrameMask(frame_samples=400, hop_length=160)
    >>> mask = layer((np.zeros((2, 5, 40), "float32"), np.int32([1040, 600])))
    >>> print(keras.ops.convert_to_numpy(mask).astype(int))
    [[1 1 1 1 1]
     [1 1 0 0 0]]

    Reference:
        liu2022, section 3.1, "On variable-length audio data".
    """

    def __init__(self, frame_samples, hop_length, **kwargs):
        # In half precision the quietest samples would be zeros.
        super().__init__(autocast=False, **kwargs)
        check_integer(0, frame_samples=frame_samples)
        check_integer(1, hop_length=hop_length)
        self.frame_samples, self.hop_length = frame_samples, hop_length

    def call(self, inputs):
        spectrograms, clips = inputs
        lengths = content_lengths(clips) if len(clips.shape) == 2 else clips
        return frame_mask(lengths, ops.shape(spectrograms)[1], self.frame_samples, self.hop_length)

    def compute_output_spec(self, inputs):
        spectrograms, clips = inputs
        if len(spectrograms.shape) != 3 or len(clips.shape) not in (1, 2):
            raise ValueError(
                f"{self.name} takes spectrograms (batch, frames, bands) with waveforms (batch, samples) or lengths "
                f"(batch,). Received: shapes {tuple(spectrograms.shape)} and {tuple(clips.shape)}"
            )
        return keras.KerasTensor(spectrograms.shape[:2], dtype="bool")

    def get_config(self):
        return {**super().get_config(), "frame_samples": self.frame_samples, "hop_length": self.hop_length}


class _InsideNetworks(keras.layers.Layer):
    """Base of the layers that `models.with_masks` inserts into networks: no change of dtype, no mask on the output."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable(package="keras_audio_si")
class SplitMask(_InsideNetworks):
    """Separates a tensor from the Keras mask that it carries; without one, all frames belong to the clip.

    Input shape:
        `(batch, frames, ...)`

    Output shape:
        Pair of the same, without a mask, and `(batch, frames)`, boolean.

    Example:

    >>> inputs = keras.Input((3, 2))
    >>> model = keras.Model(inputs, SplitMask()(keras.layers.Masking()(inputs)))
    >>> print(keras.ops.convert_to_numpy(model(np.float32([[[1, 0], [2, 1], [0, 0]]]))[1]))
    [[ True  True False]]
    """

    def call(self, x, mask=None):
        if mask is None:
            mask = ops.ones(ops.shape(x)[:2], "bool")
        return ops.copy(x), ops.cast(mask, "bool")

    def compute_output_spec(self, x, mask=None):
        return keras.KerasTensor(x.shape, x.dtype), keras.KerasTensor(x.shape[:2], "bool")


@keras.saving.register_keras_serializable(package="keras_audio_si")
class JoinMask(_InsideNetworks):
    """Attaches a mask to a tensor as its Keras mask; the inverse of `SplitMask`.

    Input shape:
        `(batch, frames, ...)`, and as `mask` `(batch, frames)`, boolean.

    Output shape:
        The first of them.

    Example:

    >>> x = keras.ops.ones((1, 3, 2))
    >>> pooled = keras.layers.GlobalAveragePooling1D()(JoinMask()(x * 4, mask=np.array([[True, True, False]])))
    >>> print(keras.ops.convert_to_numpy(pooled))
    [[4. 4.]]
    """

    def call(self, x, mask=None):
        return ops.copy(x)

    def compute_mask(self, inputs, previous_mask):
        return previous_mask

    def compute_output_spec(self, x, mask=None):
        return keras.KerasTensor(x.shape, x.dtype)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class HidePadding(_InsideNetworks):
    """Sets the padding of clips to one value; see `ops.lengths.hide_padding`.

    Args:
        fill: The value, for example -inf before a maximum.
        multiple: Frames are appended until it divides their number, so that the positions of a strided window under
            "same", which depend on whether the stride divides the frames, do not depend on the padding.

    Input shape:
        `(batch, frames, ...)`, and as `mask` `(batch, frames)`, boolean.

    Output shape:
        The first of them, with the appended frames.

    Example:

    >>> tuple(HidePadding(multiple=4)(keras.ops.ones((1, 6, 3, 2)), mask=keras.ops.ones((1, 6), "bool")).shape)
    (1, 8, 3, 2)
    """

    def __init__(self, fill=0.0, multiple=1, **kwargs):
        super().__init__(**kwargs)
        self.fill, self.multiple = fill, multiple

    def call(self, x, mask=None):
        return hide_padding(x, mask, self.fill, self.multiple)

    def compute_output_spec(self, x, mask=None):
        batch, frames, *rest = x.shape
        frames = None if frames is None else frames + -frames % self.multiple
        return keras.KerasTensor((batch, frames, *rest), x.dtype)

    def get_config(self):
        return {**super().get_config(), "fill": self.fill, "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class StridedMask(keras.layers.Layer):
    """Computes the mask of the output of a strided window; see `ops.lengths.strided_mask`.

    Args:
        window: Frames of the window.
        stride: Frames from one window to the next.
        padding: "same" or "valid".

    Input shape:
        `(batch, frames)`, boolean

    Output shape:
        `(batch, output frames)`, boolean

    Example:

    >>> mask = StridedMask(stride=2)(np.array([[True, True, True, False]]))
    >>> print(keras.ops.convert_to_numpy(mask))
    [[ True  True]]
    """

    def __init__(self, window=1, stride=1, padding="same", **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.window, self.stride, self.padding = window, stride, padding

    def call(self, mask):
        return strided_mask(mask, self.window, self.stride, self.padding)

    def compute_output_spec(self, mask):
        frames = output_size(mask.shape[1], self.window, self.stride, self.padding)
        return keras.KerasTensor((mask.shape[0], frames), "bool")

    def get_config(self):
        names = ("window", "stride", "padding")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
