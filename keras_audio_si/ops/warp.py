"""Merging of spectrogram frames by importance: the warp of DiffRes in closed form (liu2022, section 2.2.2).

With `u` the cumulative sum of the scores, input frame `j` covers `[u[j-1], u[j]]`, and its weight in output frame `i`
is the length of the overlap with `[i, i+1]`. A score is at most 1, so an input frame overlaps one output frame or two
neighbouring ones. The cost is therefore linear in the number of frames, without a matrix of input and output frames.
"""

import typing

import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.segments import segment_max, segment_sum
from keras_audio_si.ops.xla import portable

RESCALES = ("released", "paper")

_ONE = 1 << 30  # A weight of 1 as a fixed-point number, so that the sum of a position and a score fits 31 bits.
_HALF = 1 << 15  # Its root.
_ON_BORDER = int(1e-4 * _ONE)
_CLOSED = 1e-4  # Scores this close to 0 and 1 are not raised to fill the output frames, as released.


class Warp(typing.NamedTuple):
    """Assignment of the input frames of a batch to output frames; all of shape `(batch, input frames)`.

    Attributes:
        row: int32, the output frame that an input frame begins in.
        first: float32 weight in that output frame.
        second: float32 weight in the next one; None where no frame is divided.
        divided: bool, whether the frame reaches into the next output frame; None as well.
    """

    row: typing.Any
    first: typing.Any
    second: typing.Any = None
    divided: typing.Any = None


def rescale_scores(scores, num_frames, rescale="released", mask=None):
    """Scales importance scores to weights of at most 1 that add up to at most the number of output frames.

    Scores that are all zero count as all equal.

    Args:
        scores: float32 tensor of shape `(batch, input frames)`, not negative.
        num_frames: Number of output frames, of all examples or a float32 tensor of shape `(batch, 1)`.
        rescale: "paper" divides by the largest where that is above 1; "released" then raises all scores that are
            neither 0 nor 1 towards 1, as far as the number of output frames allows, if at least one output frame is
            missing.
        mask: bool tensor, False for frames to leave out, or None. Their scores must be zero.

    Returns:
        float32 tensor of the same shape.

    Raises:
        ValueError: If `rescale` is unknown.

    Example:

    >>> scores = np.array([[0.1, 0.4, 0.1, 0.2]], "float32")
    >>> print(keras.ops.convert_to_numpy(rescale_scores(scores, 2, "paper")))
    [[0.25 1.   0.25 0.5 ]]

    Reference:
        liu2022, section 2.2.1.
    """
    check_choice("rescale", rescale, RESCALES)
    scores = ops.convert_to_tensor(scores)
    equal = ops.ones_like(scores) if mask is None else ops.cast(mask, scores.dtype)
    largest = ops.max(scores, axis=1, keepdims=True)
    scores = ops.where(largest > 0, scores / ops.where(largest > 0, largest, 1.0), equal)
    # An example of padding alone has a sum of 0.
    scores = scores * num_frames / ops.maximum(ops.sum(scores, axis=1, keepdims=True), 1e-6)
    scores = scores / ops.maximum(ops.max(scores, axis=1, keepdims=True), 1.0)
    if rescale == "paper":
        return scores
    missing = num_frames - ops.sum(scores, axis=1, keepdims=True)
    room = ops.where((scores > _CLOSED) & (scores < 1 - _CLOSED), 1 - scores, 0.0)
    total = ops.sum(room, axis=1, keepdims=True)
    share = ops.minimum(missing / ops.where(total > 0, total, 1.0), 1.0)
    return scores + room * ops.where(missing >= 1, share, 0.0)


def warp_of(scores, even=True):
    """Assigns input frames to output frames, with their weights.

    The positions are accumulated as fixed-point numbers, so that rounding errors neither grow with the length of the
    clip nor depend on later frames.

    Args:
        scores: float32 tensor of shape `(batch, input frames)`, from 0 to 1.
        even: True gives every output frame a total weight of 1, dividing the frames that lie across a border (Algorithm
            1); False leaves every frame whole, in the output frame that it ends in (eq. 5).

    Returns:
        `Warp`.

    Example:

    >>> warp = warp_of(np.array([[0.5, 0.75, 0.75]], "float32"))
    >>> print(*(keras.ops.convert_to_numpy(part)[0] for part in warp))
    [0 0 1] [0.5  0.5  0.75] [0.   0.25 0.  ] [False  True False]

    Reference:
        liu2022, eq. 5, Algorithm 1 and appendix A.5.
    """
    scores = ops.convert_to_tensor(scores)
    steps = _fixed_point(ops.minimum(ops.stop_gradient(scores), 1.0))
    # The sum may overflow, which leaves its lower bits as they are.
    phase = _lower_bits(ops.cast(ops.cumsum(steps, axis=1), "int32") - steps)
    reached = phase + steps
    complete, divided = ops.cast(reached >= _ONE, "int32"), reached > _ONE
    row = ops.cast(ops.cumsum(complete, axis=1), "int32") - complete
    if not even:
        # Rounding is not to decide where a frame goes that ends on a border, such as the last one of a clip.
        return Warp(row + ops.cast(reached > _ONE + _ON_BORDER, "int32"), scores)
    # The borders within divided frames move with the sum of all scores before. This has that gradient and is 0.
    end = ops.cumsum(scores, axis=1)
    end, begin = (x - ops.stop_gradient(x) for x in (end, end - scores))
    first = ops.where(divided, _float(_ONE - phase) - begin, scores)
    second = ops.where(divided, _float(reached - _ONE) + end, 0.0)
    return Warp(row, first, second, divided)


def _fixed_point(x):
    """Numbers from 0 to 1 as integers from 0 to `_ONE`."""
    if not portable():
        return ops.cast(ops.round(x * _ONE), "int32")
    # LiteRT may store factors in 16 bits, in which `_ONE` is infinite. Both halves are exact.
    coarse = ops.floor(x * _HALF)
    return ops.cast(coarse, "int32") * _HALF + ops.cast(ops.round((x * _HALF - coarse) * _HALF), "int32")


def _float(x):
    """The inverse of `_fixed_point`, rounded to float32."""
    if not portable():
        return ops.cast(x, "float32") / _ONE
    coarse = x // _HALF
    return (ops.cast(coarse, "float32") + ops.cast(x - coarse * _HALF, "float32") / _HALF) / _HALF


def _lower_bits(x):
    if not portable():
        return ops.bitwise_and(x, _ONE - 1)
    x = ops.where(x < 0, x + _ONE + _ONE, x)  # LiteRT has no operations on bits.
    return ops.where(x >= _ONE, x - _ONE, x)


def merge_frames(frames, warp, num_frames, aggregations=("mean", "max"), positions=None, lowest=0.0):
    """Aggregates input frames to output frames.

    Args:
        frames: float32 tensor of shape `(batch, input frames, features)`.
        warp: `Warp` of the input frames; what it puts behind the last output frame is dropped.
        num_frames: Number of output frames.
        aggregations: Some of "mean" (sum of the weighted frames) and "max" (largest of them).
        positions: Array of shape `(input frames, features)` of which the weighted sum is taken as well, such as
            `positional_encoding`, or None.
        lowest: What the largest is at least, and where there is no frame.

    Returns:
        List of tensors of shape `(batch, num_frames, features)`: the aggregations in their order, then the positions.

    Example:

    >>> warp = warp_of(np.array([[0.5, 0.5, 1.0]], "float32"))
    >>> mean, largest = merge_frames(np.array([[[2.0], [6.0], [5.0]]], "float32"), warp, 2)
    >>> print(keras.ops.convert_to_numpy(mean)[0, :, 0], keras.ops.convert_to_numpy(largest)[0, :, 0])
    [4. 5.] [3. 5.]

    Reference:
        liu2022, eq. 6 and Algorithm 3.
    """
    frames = ops.convert_to_tensor(frames)
    batch, length, features = ops.shape(frames)
    rows = num_frames + 1  # One more for what is dropped.
    example = ops.expand_dims(ops.arange(batch, dtype="int32"), 1)
    segments = ops.reshape(ops.minimum(warp.row, num_frames) + example * rows, (-1,))
    first = ops.expand_dims(warp.first, -1)

    def summed(x):
        return segment_sum(ops.reshape(x, (-1, *x.shape[2:])), segments, batch * rows)

    def by_row(x):
        return ops.reshape(x, (-1, rows, features))[:, :num_frames]

    def carried(x, index):
        """The divided frame of each row, in the row behind it."""
        x = ops.reshape(ops.take(x, index, axis=0), (-1, rows, features))
        return ops.pad(x[:, : num_frames - 1], ((0, 0), (1, 0), (0, 0)))

    if warp.second is not None:
        # A row has at most one divided frame, hence its index is a sum over the row, and so is its second weight.
        index = summed(ops.where(warp.divided, ops.arange(length, dtype="int32"), 0))
        second = ops.reshape(summed(warp.second), (-1, rows, 1))
        second = ops.pad(second[:, : num_frames - 1], ((0, 0), (1, 0), (0, 0)))
        index_of_all = index + ops.repeat(example[:, 0] * length, rows)
        halves = carried(ops.reshape(frames, (-1, features)), index_of_all) * second
    parts = first * frames
    merged = []
    for aggregation in aggregations:
        if aggregation == "mean":
            y = by_row(summed(parts))
            merged.append(y if warp.second is None else y + halves)
        else:
            y = by_row(segment_max(ops.reshape(parts, (-1, features)), segments, batch * rows))
            y = ops.maximum(y, lowest)
            merged.append(y if warp.second is None else ops.maximum(y, ops.where(second > 0, halves, lowest)))
    if positions is not None:
        positions = ops.convert_to_tensor(positions)
        y = by_row(summed(first * positions))
        merged.append(y if warp.second is None else y + carried(positions, index) * second)
    return merged


def warp_matrix(warp, num_frames):
    """The weights of all input frames in all output frames, for figures and tests.

    Args:
        warp: `Warp` of the input frames.
        num_frames: Number of output frames.

    Returns:
        float32 tensor of shape `(batch, num_frames, input frames)`.

    Example:

    >>> warp = warp_of(np.array([[0.5, 0.75, 0.75]], "float32"))
    >>> print(keras.ops.convert_to_numpy(warp_matrix(warp, 2))[0])
    [[0.5  0.5  0.  ]
     [0.   0.25 0.75]]
    """
    row = ops.expand_dims(warp.row, 1)
    index = ops.expand_dims(ops.arange(num_frames, dtype="int32"), 1)
    matrix = ops.where(row == index, ops.expand_dims(warp.first, 1), 0.0)
    if warp.second is None:
        return matrix
    return ops.where((row + 1 == index) & ops.expand_dims(warp.divided, 1), ops.expand_dims(warp.second, 1), matrix)


def positional_encoding(num_frames, features):
    """Sines on the even features and cosines on the odd ones, of angles that fall geometrically with the feature.

    Args:
        num_frames: Number of frames; TensorFlow's graphs may have a tensor here.
        features: Number of features.

    Returns:
        float32 array of shape `(num_frames, features)`.

    Example:

    >>> print(np.round(positional_encoding(3, 2), 3))
    [[ 0.     1.   ]
     [ 0.841  0.54 ]
     [ 0.909 -0.416]]

    Reference:
        liu2022, section 2.2.2; Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """
    index = np.arange(features)
    frequencies = np.exp(-np.log(10000.0) * (index // 2 * 2) / features)
    if isinstance(num_frames, int):
        angles = np.arange(num_frames)[:, None] * frequencies
        return np.where(index % 2 == 0, np.sin(angles), np.cos(angles)).astype("float32")
    # Of float64, as above: an angle of thousands in float32 has lost its third digit.
    angles = ops.expand_dims(ops.cast(ops.arange(num_frames), "float64"), 1) * frequencies
    return ops.cast(ops.where(index % 2 == 0, ops.sin(angles), ops.cos(angles)), "float32")
