"""Base of the layers that change the time resolution of a spectrogram: target, lengths and masks."""

import typing

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_interval

SILENCE = float(np.log(np.float32(1e-12)))
_RATE = 0.75  # Where no target is given.
TARGETS = ("reduction_rate", "num_frames", "frames_per_second")


class FrameCounts(typing.NamedTuple):
    """Numbers of input and output frames of a `ResolutionLayer`.

    Attributes:
        frames: Input frames of the batch, padding included.
        output_frames: Output frames of the batch.
        lengths: Input frames of each example, int32 tensor of shape `(batch,)`; one number without a mask.
        output_lengths: Output frames that each example fills, likewise.
    """

    frames: typing.Any
    output_frames: typing.Any
    lengths: typing.Any
    output_lengths: typing.Any


class ResolutionLayer(keras.layers.Layer):
    """Base class of the layers from `(batch, T, mel)` spectrograms to `(batch, t, mel, num_channels)`, `t` at most `T`.

    With a mask, each clip ends with its last frame that is not masked. A rate or a number of frames per second then
    applies to the length of each clip, while a number of output frames is the same for all clips; no clip fills more
    output frames than it has input frames. The output for a clip therefore does not depend on its padding. Output
    frames that a clip does not fill are silent, `log(1e-12)`, and masked.

    Subclasses implement `resample` and `num_channels`.

    Args:
        reduction_rate: Share of the frames to save, from 0 to below 1: `t = int(T * (1 - reduction_rate))`, but
            at least 1. 0.75 if no target is given.
        num_frames: Or the number of output frames.
        frames_per_second: Or the output frames per second.
        input_frames_per_second: Input frames per second, for a target in output frames per second.
        **kwargs: Keyword arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        reduction_rate=None,
        num_frames=None,
        frames_per_second=None,
        input_frames_per_second=None,
        **kwargs,
    ):
        # Levels must reach the layer unrounded, also under a half precision policy.
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self.target = resolution_target(reduction_rate, num_frames, frames_per_second, input_frames_per_second)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def num_channels(self):
        """Channels of the output."""
        raise NotImplementedError

    def resample(self, x, mask, counts, training):
        """Returns the float32 output for float32 spectrograms, a bool mask or None, and `FrameCounts`."""
        raise NotImplementedError

    def call(self, x, mask=None, training=None):
        if mask is not None:
            mask = ops.cast(mask, "bool")
            x = ops.where(ops.expand_dims(mask, -1), x, 0.0)  # Nothing depends on what padding holds, NaN included.
        x = ops.cast(x, "float32")
        return ops.cast(self.resample(x, mask, self.frame_counts(x, mask), training), self.compute_dtype)

    def output_frames(self, frames):
        """Number of output frames that a clip of so many frames fills.

        Args:
            frames: int, or an int array or tensor for several clips. Tensors need a backend with float64.

        Returns:
            The same kind, at most `frames` and, unless that is 0, at least 1.
        """
        if isinstance(frames, (int, np.integer)):
            return int(self.output_frames(np.array(frames)))
        if "num_frames" in self.target:
            scaled = self.target["num_frames"]
        else:
            wide = frames.astype("float64") if isinstance(frames, np.ndarray) else ops.cast(frames, "float64")
            if "reduction_rate" in self.target:
                scaled = wide * (1 - self.target["reduction_rate"])
            else:
                scaled = wide * self.target["frames_per_second"] / self.target["input_frames_per_second"]
        if isinstance(frames, np.ndarray):
            return np.minimum(np.maximum(np.floor(scaled), 1), frames).astype("int32")
        return ops.minimum(ops.maximum(ops.cast(ops.floor(scaled), "int32"), 1), frames)

    def frame_counts(self, x, mask):
        """Returns the `FrameCounts` of a batch of spectrograms and its bool mask or None."""
        frames = ops.shape(x)[1]
        output_frames = self.output_frames(frames)
        longest = self.target.get("num_frames", output_frames)
        if mask is None:
            return FrameCounts(frames, longest, frames, output_frames)
        lengths = ops.max(ops.where(mask, ops.arange(frames, dtype="int32") + 1, 0), axis=1)
        if isinstance(frames, int):  # JAX has no float64.
            output_lengths = ops.take(self.output_frames(np.arange(frames + 1)), lengths, axis=0)
        else:
            output_lengths = self.output_frames(lengths)
        return FrameCounts(frames, longest, lengths, output_lengths)

    def compute_mask(self, x, previous_mask):
        # In a graph that is being built Keras would take the mask for an input of the layer that comes next.
        if previous_mask is None or isinstance(previous_mask, keras.KerasTensor):
            return None
        counts = self.frame_counts(x, ops.cast(previous_mask, "bool"))
        return within(counts.output_frames, counts.output_lengths)[:, :, 0]

    def compute_output_shape(self, input_shape):
        batch, frames, mel = input_shape
        output_frames = None if frames is None else self.output_frames(frames)
        return (batch, self.target.get("num_frames", output_frames), mel, self.num_channels)

    def get_config(self):
        return {**super().get_config(), **self.target}


def resolution_target(reduction_rate=None, num_frames=None, frames_per_second=None, input_frames_per_second=None):
    """Check the target of a `ResolutionLayer` and return it as its arguments.

    Args:
        reduction_rate: See `ResolutionLayer`, as the others.
        num_frames: Number of output frames.
        frames_per_second: Output frames per second.
        input_frames_per_second: Input frames per second.

    Returns:
        Dict of the arguments that are given, or of the default.

    Raises:
        ValueError: If there is more than one target, or one out of range.

    Example:

    >>> resolution_target(frames_per_second=25, input_frames_per_second=100)
    {'frames_per_second': 25, 'input_frames_per_second': 100}
    """
    given = dict(zip(TARGETS, (reduction_rate, num_frames, frames_per_second), strict=True))
    given = {name: value for name, value in given.items() if value is not None} or {"reduction_rate": _RATE}
    if len(given) > 1:
        received = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ValueError(
            f"The target must be one of {', '.join(f'`{name}`' for name in TARGETS)}. Received: {received}"
        )
    check_interval("[0, 1)", reduction_rate=given.get("reduction_rate", 0))
    if num_frames is not None and (num_frames != int(num_frames) or num_frames < 1):
        raise ValueError(f"`num_frames` must be an integer of at least 1. Received: num_frames={num_frames!r}")
    if (frames_per_second is None) != (input_frames_per_second is None):
        raise ValueError(
            "`frames_per_second` and `input_frames_per_second` need each other. Received: "
            f"frames_per_second={frames_per_second}, input_frames_per_second={input_frames_per_second}"
        )
    if frames_per_second is not None:
        if not 0 < frames_per_second <= input_frames_per_second:
            raise ValueError(
                f"`frames_per_second` must be above 0 and at most `input_frames_per_second`={input_frames_per_second}. "
                f"Received: frames_per_second={frames_per_second}"
            )
        given["input_frames_per_second"] = input_frames_per_second
    return given


def within(frames, lengths):
    """Tell which of the output frames `lengths` covers: bool of shape `(batch, frames, 1)`, or None for all of them."""
    if isinstance(frames, int) and isinstance(lengths, int) and frames == lengths:
        return None
    return ops.expand_dims(ops.arange(frames, dtype="int32") < ops.reshape(lengths, (-1, 1)), -1)
