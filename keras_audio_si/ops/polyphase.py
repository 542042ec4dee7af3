"""Adaptive polyphase sampling: subsampling on the grid with the largest norm (fonseca2021, eq. 2).

A map subsampled with strides `(s, r)` has `s * r` polyphase components. Component `p` starts at time offset
`p % s` and mel offset `p // s`, the order of the released code.
"""

import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.lengths import hide_padding
from keras_audio_si.ops.padding import check_padding, mirrored, pad_axis
from keras_audio_si.ops.xla import portable

CRITERIA = ("channel_l1", "l1", "l2", "linf", "variance")


def pad_to_multiple(x, strides, padding="same"):
    """Makes time and mel divisible by their strides, so that all polyphase components have one size.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        padding: "same" and "reflect" mirror at the end, as the released code does, at both ends in turn where the
            axis is short, and repeat a single element; "edge" repeats; "circular" wraps around, as the code of the APS
            paper does; "valid" cuts the rest off.

    Returns:
        Tensor of shape `(batch, padded time, padded mel, channels)`.
    """
    check_padding(padding)
    sizes = ops.shape(x)[1:3]
    if padding == "valid":
        return x[:, : sizes[0] // strides[0] * strides[0], : sizes[1] // strides[1] * strides[1]]
    mode = "reflect" if padding == "same" else padding
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True), start=1):
        # (s - n % s) % s is -n % s, which ONNX Runtime rounds otherwise.
        missing = (stride - size % stride) % stride
        if mode != "reflect" or (isinstance(size, int) and size > missing):
            x = pad_axis(x, axis, 0, missing, mode)
        else:  # `pad_axis` mirrors once.
            rest = mirrored(ops.arange(size, size + missing, dtype="int32"), size)
            x = ops.concatenate([x, ops.take(x, rest, axis=axis)], axis=axis)
    return x


def grids(x, strides):
    """Views `x` with its polyphase offsets as axes: `(batch, t, time offset, f, mel offset, channels)`."""
    _, time, mel, channels = ops.shape(x)
    return ops.reshape(x, (-1, time // strides[0], strides[0], mel // strides[1], strides[1], channels))


def criterion_values(x, strides, criterion="channel_l1", mask=None):
    """Measures every polyphase component of each example, in float32 whatever the dtype of `x`.

    Args:
        x: Feature map with sizes divisible by `strides`, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        criterion: "channel_l1" (largest sum of absolute values over the positions of one channel: the matrix norm
            that the released code takes), "l1" (sum of absolute values: eq. 2), "l2", "linf" or "variance".
        mask: `(batch, time)` boolean, True for the frames that count, which begin with the first and are divisible by
            the stride, or None for all.

    Returns:
        float32 tensor of shape `(batch, components)`.
    """
    check_choice("criterion", criterion, CRITERIA)
    x = ops.cast(x, "float32")
    x = x if mask is None else hide_padding(x, mask)
    if criterion == "linf":
        values = ops.max(_reduce_positions(ops.max, ops.abs(x), strides), axis=-1)
    elif criterion == "variance":
        # Around the mean of the example, E[d^2] - E[d]^2 loses no digits that matter.
        x, frames = _centred(x, mask)
        count = ops.cast(frames // strides[0] * (ops.shape(x)[2] // strides[1]) * x.shape[-1], "float32")
        means = ops.sum(_reduce_positions(ops.sum, x, strides), axis=-1) / count
        values = ops.sum(_reduce_positions(ops.sum, ops.square(x), strides), axis=-1) / count - ops.square(means)
    elif criterion == "l2":
        values = ops.sqrt(ops.sum(_reduce_positions(ops.sum, ops.square(x), strides), axis=-1))
    else:
        over_channels = ops.max if criterion == "channel_l1" else ops.sum
        values = over_channels(_reduce_positions(ops.sum, ops.abs(x), strides), axis=-1)
    return ops.reshape(ops.transpose(values, (0, 2, 1)), (-1, strides[0] * strides[1]))


def _centred(x, mask):
    """The map minus the mean of each example, and the frames that count: with a mask, of shape `(batch, 1, 1)`."""
    if mask is None:
        return x - ops.mean(x, axis=(1, 2, 3), keepdims=True), ops.shape(x)[1]
    frames = ops.sum(ops.cast(mask, "int32"), axis=1)[:, None, None]
    means = ops.sum(ops.mean(x, axis=(2, 3), keepdims=True), axis=1, keepdims=True)
    return hide_padding(x - means / ops.cast(frames[..., None], "float32"), mask), frames


def _reduce_positions(reduce, x, strides):
    """Reduces over the positions of each component: `(batch, time offset, mel offset, channels)`.

    Time goes first, over rows that lie contiguous in memory: one pass at the speed of memory on every backend.
    """
    _, time, mel, channels = ops.shape(x)
    x = ops.reshape(x, (-1, time // strides[0], strides[0] * mel * channels))
    return reduce(ops.reshape(reduce(x, axis=1), (-1, strides[0], mel // strides[1], strides[1], channels)), axis=2)


def choose(x, strides, criterion="channel_l1", mask=None):
    """Returns the index of the component that maximises the criterion, the lowest one of equals.

    Args:
        x: Feature map with sizes divisible by `strides`, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        criterion: See `criterion_values`.
        mask: See `criterion_values`.

    Returns:
        int32 tensor of shape `(batch,)`.
    """
    values = ops.stop_gradient(criterion_values(ops.stop_gradient(x), strides, criterion, mask))
    if portable():  # On TensorFlow Keras' argmax reads the sign of zeros from their bits.
        numbers = np.arange(values.shape[-1], dtype="int32")
        largest = values >= ops.max(values, axis=-1, keepdims=True)
        return ops.min(ops.where(largest, numbers, numbers[-1]), axis=-1)
    return ops.cast(ops.argmax(values, axis=-1), "int32")


def select(x, indices, strides, padding="same"):
    """Takes component `indices[b]` of example `b`, as if `pad_to_multiple` had padded the map.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        indices: Component of each example, integer tensor of shape `(batch,)`.
        strides: Strides on time and mel.
        padding: See `pad_to_multiple`.

    Returns:
        Tensor of shape `(batch, time / strides[0], mel / strides[1], channels)`, sizes rounded up ("valid": down).
    """
    indices = ops.cast(indices, "int32")
    offsets = (indices % strides[0], indices // strides[0])
    axes = zip(ops.shape(x)[1:3], strides, offsets, strict=True)
    return take_positions(x, *(grid_positions(*axis, padding) for axis in axes))


def grid_positions(size, stride, offset, padding):
    """Positions of the elements of a grid on an axis; padding has the position of the element that it repeats.

    Args:
        size: Length of the axis, an integer or a tensor.
        stride: Stride on the axis.
        offset: Offset of the grid in each example, int32 tensor of shape `(batch,)`.
        padding: See `pad_to_multiple`.

    Returns:
        int32 tensor of shape `(batch, size / stride)`.
    """
    count = size // stride if padding == "valid" else (size + stride - 1) // stride
    positions = ops.arange(count, dtype="int32") * stride + offset[:, None]
    if padding == "edge":
        return ops.minimum(positions, size - 1)
    if padding == "circular":
        return positions % size
    return mirrored(positions, size)


def take_positions(x, rows, columns):
    """Gathers `x[b, rows[b]][:, columns[b]]` for every example `b`.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        rows: int32 tensor of shape `(batch, out_time)`.
        columns: int32 tensor of shape `(batch, out_mel)`.

    Returns:
        Tensor of shape `(batch, out_time, out_mel, channels)`.
    """
    batch, time, mel, channels = ops.shape(x)
    rows = ops.arange(batch, dtype="int32")[:, None] * time + rows
    return ops.take(ops.reshape(x, (-1, channels)), rows[:, :, None] * mel + columns[:, None], axis=0)
