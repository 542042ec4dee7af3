"""Padding of the spatial axes of a feature map, with the names that all pools and convolutions use."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice

PADDINGS = ("same", "valid", "reflect", "edge", "circular")


def check_padding(padding):
    """Returns `padding` if it is one of `PADDINGS`, else raises a ValueError that lists them."""
    check_choice("padding", padding, PADDINGS)
    return padding


def check_fits(shape, window, padding):
    """Raises a `ValueError` if a window without padding is larger than a map; None is a size that is not known."""
    if padding == "valid" and any(isinstance(n, int) and n < k for n, k in zip(shape, window, strict=True)):
        raise ValueError(
            f"`padding`='valid' needs a map that a window of {tuple(window)} fits in. Received: sizes {tuple(shape)}. "
            "Choose a smaller window, or another padding."
        )


def same_padding(size, window, stride):
    """Returns the (before, after) zeros of TensorFlow's "SAME" for one axis.

    With a stride above 1 both depend on the size, so the sampling phase follows the parity of the map, as it
    does in the released code of the paper. `size` may be a tensor.
    """
    if stride == 1:
        total = window - 1
    elif isinstance(size, int):
        total = max(((size + stride - 1) // stride - 1) * stride + window - size, 0)
    else:
        total = ops.maximum(((size + stride - 1) // stride - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def centred_padding(window):
    """Returns the (before, after) that keep output `i` centred on input `stride * i` whatever the size."""
    return (window - 1) // 2, window // 2


def pad_axis(x, axis, before, after, mode, value=0.0):
    """Extends one axis of `x` by `before` and `after` elements.

    Args:
        x: Tensor.
        axis: Axis to extend, counted from the front.
        before: Number of elements to add in front.
        after: Number of elements to add behind; a tensor where the size is not known before the call.
        mode: "same" (the constant `value`), "reflect" (mirror without repeating the border), "edge" (repeat the
            border) or "circular" (wrap around).
        value: The constant of mode "same".

    Returns:
        The extended tensor.

    Raises:
        ValueError: If the axis is too short for the mode.

    Example:

    >>> x = keras.ops.arange(4)
    >>> print(keras.ops.convert_to_numpy(pad_axis(x, 0, 2, 1, "circular")))
    [2 3 0 1 2 3 0]
    """
    if _is_zero(before) and _is_zero(after):
        return x
    if mode == "same":
        widths = [(0, 0)] * len(x.shape)
        widths[axis] = (before, after)
        return ops.pad(x, widths, mode="constant", constant_values=value)
    # Not by `default`, which `torch.compile` does not know.
    size, added = x.shape[axis], max([0, *(n for n in (before, after) if isinstance(n, int))])
    needed = {"reflect": added + 1, "circular": added, "edge": 1}[mode]
    if size is not None and size < needed:
        raise ValueError(
            f"`x` must have at least {needed} elements on axis {axis}, to which padding {mode!r} adds {before} and "
            f"{after}. Received: shape={tuple(x.shape)}. Use padding 'same' or a smaller window."
        )

    if keras.backend.backend() == "torch":
        # One gather: `torch.compile` takes the bounds of the slices below for unknowns, and fails on them.
        return ops.take(x, _positions(size, before, after, mode), axis=axis)

    def part(start, stop):
        return x[(slice(None),) * axis + (slice(start, stop),)]

    if mode == "reflect":
        front, back = (lambda: ops.flip(part(1, before + 1), axis)), lambda: ops.flip(part(-after - 1, -1), axis)
    elif mode == "circular":
        front, back = (lambda: part(-before, None)), lambda: part(0, after)
    else:
        front, back = (lambda: ops.repeat(part(0, 1), before, axis)), lambda: ops.repeat(part(-1, None), after, axis)
    pieces = [] if _is_zero(before) else [front()]
    pieces += [x] if _is_zero(after) else [x, back()]
    return ops.concatenate(pieces, axis=axis)


def _positions(size, before, after, mode):
    """The elements of an axis of known size that the extended axis consists of, a list."""
    if mode == "reflect":
        front, back = range(before, 0, -1), range(size - 2, size - after - 2, -1)
    elif mode == "circular":
        front, back = range(size - before, size), range(after)
    else:
        front, back = [0] * before, [size - 1] * after
    return [*front, *range(size), *back]


def mirrored(index, size):
    """Positions on an axis of `size` elements that goes on as if mirrored at both ends, again and again."""
    period = ops.maximum(2 * (size - 1), 1)
    index = index % period
    return ops.minimum(index, period - index)


def _is_zero(amount):
    return isinstance(amount, int) and amount == 0


def pad_spatial(x, amounts, mode, value=0.0):
    """Extends the axes 1, 2, ... of `x` by the (before, after) pairs in `amounts`; see `pad_axis`."""
    for axis, (before, after) in enumerate(amounts, start=1):
        x = pad_axis(x, axis, before, after, mode, value)
    return x


def window_padding(shape, window, strides, padding):
    """Returns the (before, after) of every spatial axis for a window moved with `strides` under `padding`.

    `shape` holds the sizes of the spatial axes, as integers or tensors.
    """
    check_padding(padding)
    if padding == "valid":
        return [(0, 0)] * len(window)
    if padding == "same":
        return [same_padding(*axis) for axis in zip(shape, window, strides, strict=True)]
    return [centred_padding(k) for k in window]


def output_size(size, window, stride, padding):
    """Returns the length of one axis after a window of `window` elements moved with `stride`; None stays None."""
    if size is None:
        return None
    if padding == "valid":
        return (size - window) // stride + 1
    return (size + stride - 1) // stride
