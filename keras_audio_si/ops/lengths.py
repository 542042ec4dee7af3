"""Lengths of clips in a batch with zero padding."""

import numpy as np
from keras import ops

from keras_audio_si.ops.padding import pad_axis
from keras_audio_si.ops.xla import portable

_LOWEST = float(np.finfo("float32").min)


def content_lengths(waveforms):
    """Finds where each waveform ends: after its last sample that is not zero.

    Args:
        waveforms: `(batch, samples)`

    Returns:
        `(batch,)` int32, in samples; 0 for silence.

    Example:

    >>> lengths = content_lengths(np.float32([[0, 3, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]))
    >>> print(keras.ops.convert_to_numpy(lengths))
    [4 0]
    """
    places = ops.arange(1, ops.shape(waveforms)[1] + 1, dtype="int32")
    return ops.max(ops.where(ops.not_equal(waveforms, 0.0), places, 0), axis=1)


def frame_mask(lengths, num_frames, frame_samples, hop_length):
    """Mask of the frames that a clip has without the zeros after it.

    These are the frames that lie completely inside the clip, and the first one, so that every clip has a frame.

    Args:
        lengths: `(batch,)` integers, lengths of the clips in samples.
        num_frames: Number of frames of the padded clips.
        frame_samples: Samples that a clip of one frame has.
        hop_length: Samples from one frame to the next.

    Returns:
        `(batch, num_frames)` boolean, True for the frames of the clip.

    Example:

    >>> mask = frame_mask(np.int32([9, 4, 0]), num_frames=4, frame_samples=3, hop_length=2)
    >>> print(keras.ops.convert_to_numpy(mask).astype(int))
    [[1 1 1 1]
     [1 0 0 0]
     [1 0 0 0]]
    """
    lengths = ops.maximum(ops.cast(lengths, "int32"), frame_samples)
    frames = 1 + (lengths - frame_samples) // hop_length
    return ops.arange(num_frames, dtype="int32")[None] < frames[:, None]


def hide_padding(x, mask, fill=0.0, multiple=1):
    """Sets what lies behind the end of each clip to a value, and appends frames of it up to a multiple of `multiple`.

    Args:
        x: `(batch, frames, ...)`, floats; what it has behind the end of a clip does not matter, NaN included.
        mask: `(batch, frames)` boolean, True for the frames of the clip, which begin with the first. It may be shorter
            than `x`.
        fill: The value.
        multiple: Integer that divides the number of frames of the output.

    Returns:
        Tensor of the dtype of `x`.

    Example:

    >>> y = hide_padding(np.float32([[1, 2, 3]]), np.array([[True, True, False]]), fill=9.0, multiple=4)
    >>> print(keras.ops.convert_to_numpy(y))
    [[1. 2. 9. 9.]]
    """
    x = ops.convert_to_tensor(x)
    if portable():  # ONNX may get products with 0 and 1 for a choice, and 0 times infinity is none.
        fill = max(fill, _LOWEST)
    if multiple > 1:
        x = pad_axis(x, 1, 0, -ops.shape(x)[1] % multiple, "same", fill)
    frames = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
    inside = ops.arange(ops.shape(x)[1], dtype="int32") < frames
    return ops.where(inside[(..., *(None,) * (len(x.shape) - 2))], x, fill)


def strided_mask(mask, window=1, stride=1, padding="same"):
    """Returns the mask of the output of a strided window over frames.

    Under "same" a frame of the output stands for `stride` frames of the input, and belongs to the clip if the first of
    them does: a clip of n frames gets `ceil(n / stride)`, as it does alone. Behind k of them with strides of 2 these
    are `ceil(n / 2^k)`, and a frame belongs to the clip if any of the `2^k` frames does that it stands for. Under
    "valid" it belongs to the clip if all of its window does; the first always does.

    Args:
        mask: `(batch, frames)` boolean, True for the frames of a clip, which begin with the first.
        window: Frames of the window; under "valid" alone it matters.
        stride: Frames from one window to the next.
        padding: "same" or "valid".

    Returns:
        `(batch, output frames)` boolean.

    Example:

    >>> mask = np.array([[True, True, True, True, True, False]])
    >>> print(*(keras.ops.convert_to_numpy(strided_mask(mask, 3, 2, padding)) for padding in ("same", "valid")))
    [[ True  True  True]] [[ True  True]]
    """
    mask = ops.convert_to_tensor(mask)
    if padding != "valid":
        return mask[:, ::stride]
    mask = mask[:, window - 1 :: stride]
    return ops.logical_or(mask, ops.arange(ops.shape(mask)[1], dtype="int32") == 0)
