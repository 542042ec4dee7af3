"""SpecAugment: masks over bands and frames of spectrograms, drawn for each example."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_integer
from keras_audio_si.layers.augmentation import check_probability
from keras_audio_si.ops.arguments import as_float32


@keras.saving.register_keras_serializable(package="keras_audio_si")
class SpecAugment(keras.layers.Layer):
    """Masks ranges of mel bands and of frames of every spectrogram in training.

    The number of bands or frames is uniform from 0 to its maximum, and the position uniform among those where they fit.
    With a Keras mask, which must be true for the first frames of an example and false for the others, masked frames lie
    within the audio, and padding is left unchanged. The layer is only active in training; masks are passed on.

    The defaults are PSLA's, of 128 bands and 1056 frames of 10 ms; in shorter spectrograms `max_time_fraction` keeps
    some of the audio.

    Args:
        max_mels: Most bands that one mask hides.
        max_frames: Most frames that one mask hides; None for no limit but `max_time_fraction`.
        num_mel_masks: Number of masks over bands.
        num_time_masks: Number of masks over frames.
        max_time_fraction: Largest part of the frames of an example that one mask hides, from 0 to 1.
        fill: What stands in the masks: `"mean"`, the mean of the example's audio, or a number. The released code of
            PSLA puts 0.0 into log-mel values before it normalises them, one standard deviation above AudioSet's mean.
        seed: Integer that sets the draws; None for other draws each time.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, time, mel)` or `(batch, time, mel, channels)`, floats.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input of another rank.
        TypeError: If the input is not of a real float type.

    Example:

    >>> layer = SpecAugment(max_mels=2, max_frames=2, fill=0.0)
    >>> params = {"mel_start": [[1]], "mel_width": [[1]], "time_start": [[0]], "time_width": [[2]]}
    >>> print(keras.ops.convert_to_numpy(layer.apply(np.ones((1, 3, 3), "float32"), params))[0])
    [[0. 0. 0.]
     [0. 0. 0.]
     [1. 0. 1.]]

    Reference:
        Park et al., "SpecAugment", 2019, section 2 without time warping. Gong et al., "PSLA", 2021. Liu et al., 2022,
        section 3.
    """

    def __init__(
        self,
        max_mels=48,
        max_frames=192,
        num_mel_masks=1,
        num_time_masks=1,
        max_time_fraction=1.0,
        fill="mean",
        seed=None,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        check_integer(0, max_mels=max_mels, num_mel_masks=num_mel_masks, num_time_masks=num_time_masks)
        if max_frames is not None:
            check_integer(0, max_frames=max_frames)
        if isinstance(fill, str):
            check_choice("fill", fill, ("mean",))
        self.max_mels = max_mels
        self.max_frames = max_frames
        self.num_mel_masks = num_mel_masks
        self.num_time_masks = num_time_masks
        self.max_time_fraction = check_probability(max_time_fraction, "max_time_fraction")
        self.fill = fill
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs, mask=None, training=None):
        self._check_rank(inputs.shape)
        if not training:
            return inputs
        batch_size, num_frames, num_mels = ops.shape(inputs)[:3]
        if mask is not None:
            num_frames = ops.sum(ops.cast(mask, "int32"), axis=1)
        return self.apply(inputs, self.draw(batch_size, num_frames, num_mels), num_frames)

    def draw(self, batch_size, num_frames, num_mels):
        """Draws what `apply` needs.

        Args:
            batch_size: Number of examples, an integer or a scalar tensor.
            num_frames: Frames that are audio, the first ones: an integer, a scalar tensor or int32 `(batch_size,)`.
            num_mels: Number of bands.

        Returns:
            Dictionary of int32 tensors `(batch_size, number of masks)`: `"mel_start"`, `"mel_width"`, `"time_start"`,
            `"time_width"`.
        """
        num_frames = ops.reshape(ops.cast(num_frames, "int32"), (-1, 1))
        longest = ops.cast(ops.floor(self.max_time_fraction * ops.cast(num_frames, "float32")), "int32")
        if self.max_frames is not None:
            longest = ops.minimum(longest, self.max_frames)
        mel_width = self._integers(batch_size, self.num_mel_masks, ops.minimum(self.max_mels, num_mels))
        time_width = self._integers(batch_size, self.num_time_masks, longest)
        return {
            "mel_start": self._integers(batch_size, self.num_mel_masks, num_mels - mel_width),
            "mel_width": mel_width,
            "time_start": self._integers(batch_size, self.num_time_masks, num_frames - time_width),
            "time_width": time_width,
        }

    def apply(self, inputs, params, num_frames=None):
        """Hides what `params` says.

        Args:
            inputs: `(batch, time, mel)` or `(batch, time, mel, channels)`.
            params: As returned by `draw`.
            num_frames: Frames that are audio, as for `draw`; None for all.

        Returns:
            Tensor of the shape and dtype of `inputs`.
        """
        self._check_rank(inputs.shape)
        x = as_float32(inputs, "inputs")
        time, num_mels = ops.shape(x)[1:3]
        audio = ops.arange(time, dtype="int32") < ops.reshape(
            ops.cast(time if num_frames is None else num_frames, "int32"), (-1, 1)
        )
        hidden_frames = ops.logical_and(audio, _covered(params["time_start"], params["time_width"], time))
        hidden_mels = _covered(params["mel_start"], params["mel_width"], num_mels)
        hidden = ops.logical_or(hidden_frames[:, :, None], ops.logical_and(audio[:, :, None], hidden_mels[:, None, :]))
        channels = (None,) * (len(x.shape) - 3)
        fill = self.fill
        if fill == "mean":
            weight = ops.cast(audio, "float32")[(slice(None), slice(None), None, *channels)]
            count = ops.maximum(ops.sum(weight, axis=(1, 2), keepdims=True), 1.0) * ops.cast(num_mels, "float32")
            fill = ops.sum(ops.where(weight > 0, x, 0.0), axis=(1, 2), keepdims=True) / count
        return ops.cast(ops.where(hidden[(..., *channels)], fill, x), inputs.dtype)

    def compute_output_shape(self, input_shape):
        self._check_rank(input_shape)
        return input_shape

    def compute_output_spec(self, inputs, mask=None, training=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self):
        names = ("max_mels", "max_frames", "num_mel_masks", "num_time_masks", "max_time_fraction", "fill", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _integers(self, batch_size, count, high):
        """Draws int32 `(batch_size, count)` from 0 to `high`, both possible."""
        high = ops.cast(high, "int32")
        uniform = keras.random.uniform((batch_size, count), dtype="float32", seed=self.seed_generator)
        drawn = ops.cast(ops.floor(uniform * ops.cast(high + 1, "float32")), "int32")
        return ops.minimum(drawn, high)  # A product of float32 may round up to the number of steps.

    def _check_rank(self, shape):
        if len(shape) not in (3, 4):
            raise ValueError(
                f"{self.name} takes spectrograms of shape (batch, time, mel) or (batch, time, mel, channels). "
                f"Received: shape={tuple(shape)}"
            )


def _covered(start, width, size):
    """Whether an index below `size` lies in one of the ranges of its example, `(batch, size)`."""
    start, width = (ops.cast(value, "int32")[:, :, None] for value in (start, width))
    offset = ops.arange(size, dtype="int32") - start
    return ops.any(ops.logical_and(offset >= 0, offset < width), axis=1)
