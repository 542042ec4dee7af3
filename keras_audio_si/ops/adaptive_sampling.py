"""Adaptive polyphase sampling of a filtered map, with implementations for each backend and device.

The result is that of filtering the whole map, choosing a component and selecting it, as `polyphase` defines them.
Most of the filtered values are discarded: three of four for strides of 2. Three methods avoid this work on a CPU; their
effect is in docs/benchmarks.md:

- The gradient is computed for the chosen component only (`_select_filtered`).
- XLA processes one example at a time (`by_example`), so that no map of a whole batch is allocated.
- The component is chosen before filtering (`choose_early`), in graphs only where the map is known not to be negative.
"""

import numpy as np
from keras import ops

from keras_audio_si.ops.depthwise import low_pass
from keras_audio_si.ops.padding import pad_spatial, window_padding
from keras_audio_si.ops.polyphase import choose, pad_to_multiple, select, take_positions
from keras_audio_si.ops.xla import by_example, compiled_by_xla, custom_gradient, graph_on_cpu, vjp

NUMPY_MODES = {"edge": "edge", "reflect": "reflect", "circular": "wrap"}


def adaptive_sample(
    x,
    strides,
    criterion="channel_l1",
    taps=None,
    padding="same",
    indices=None,
    dense=None,
    non_negative=False,
    mask=None,
):
    """Low-pass filter a map and keep, for each example, the polyphase component that maximises the criterion.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        criterion: See `polyphase.criterion_values`.
        taps: Filter taps for `low_pass`, or None for no filter.
        padding: One of `PADDINGS`, for the filter and for `polyphase.pad_to_multiple`.
        indices: Components to take instead of the chosen ones, integer tensor of shape `(batch,)`.
        dense: Function of the map to apply first, such as a `dense_max`; it must treat examples one by one.
        non_negative: Whether neither the dense map nor the taps are ever negative.
        mask: `(batch, time)` boolean, True for the frames of the filtered and padded map that count in the criterion;
            see `polyphase.criterion_values`. None for all.

    Returns:
        The subsampled map, shape `(batch, out_time, out_mel, channels)`, and the int32 indices, shape `(batch,)`.

    Reference:
        fonseca2021, section II-B.
    """
    dense = dense or (lambda x: x)
    fast = graph_on_cpu(x) and None not in x.shape[1:3]
    # The test of a map, in a graph of VGG41, made TensorFlow's gradients differ in the last bit from run to run.
    early = fast and criterion in ("channel_l1", "l1") and (non_negative or compiled_by_xla(x)) and mask is None
    if indices is not None:
        indices = ops.cast(indices, "int32")

    def filtered(x, taps):
        return x if taps is None else low_pass(x, taps, (1, 1), padding)

    def choose_late(x, taps, mask=None):
        return choose(pad_to_multiple(filtered(x, taps), strides, padding), strides, criterion, mask)

    def chosen(x, taps, indices):
        if fast and taps is not None and _can_shift(x.shape[1:3], strides, padding):
            return _select_filtered(x, taps, strides, padding, indices)
        return select(filtered(x, taps), indices, strides, padding)

    def sample(x, taps=None, indices=None, mask=None):
        x = dense(x)
        if indices is None and early:
            indices = choose_early(x, taps, strides, criterion, padding, None if non_negative else choose_late)
        elif indices is None:
            indices = choose_late(x, taps, mask)
        return chosen(x, taps, indices), indices

    if fast and compiled_by_xla(x):
        by_batch = {k: value for k, value in (("indices", indices), ("mask", mask)) if value is not None}
        return by_example(sample, x, () if taps is None else (taps,), **by_batch)
    return sample(x, taps, indices, mask)


def choose_early(x, taps, strides, criterion, padding, choose_late=None):
    """Choose the component of each example before any of them is computed.

    If neither the map nor the taps are negative, the sum of absolute values of a filtered component is a sum of taps
    times sums of the map, which is computed by two small matrix products. This is the case after a ReLU.

    Args:
        x: Feature map of known size, shape `(batch, time, mel, channels)`.
        taps: Filter taps for `low_pass`, or None for no filter.
        strides: Strides on time and mel.
        criterion: "channel_l1" or "l1", see `polyphase.criterion_values`.
        padding: One of `PADDINGS`.
        choose_late: Function of `x` and `taps` that filters them all and chooses, for examples with negative values;
            None if there are none.

    Returns:
        int32 tensor of shape `(batch,)`.
    """
    x, taps = ops.stop_gradient(x), None if taps is None else ops.stop_gradient(taps)
    _, time, mel, channels = x.shape
    weights = ops.ones((1, 1, channels)) if taps is None else ops.cast(taps, "float32")[..., 0]

    def early():
        by_time, by_mel = (
            _tap_sums(size, window, stride, padding)
            for size, window, stride in zip((time, mel), weights.shape[:2], strides, strict=True)
        )
        sums = ops.matmul(by_time, ops.reshape(ops.cast(x, "float32"), (-1, time, mel * channels)))
        sums = ops.matmul(by_mel, ops.reshape(sums, (-1, len(by_time), mel, channels)))
        sums = ops.reshape(sums, (-1, strides[0], weights.shape[0], strides[1] * weights.shape[1] * channels))
        by_tap = ops.reshape(ops.tile(weights[:, None], (1, strides[1], 1, 1)), (weights.shape[0], -1))
        sums = ops.reshape(ops.sum(sums * by_tap, axis=2), (-1, *strides, weights.shape[1], channels))
        values = (ops.max if criterion == "channel_l1" else ops.sum)(ops.sum(sums, axis=3), axis=-1)
        values = ops.reshape(ops.transpose(values, (0, 2, 1)), (-1, strides[0] * strides[1]))
        return ops.cast(ops.argmax(values, axis=-1), "int32")

    if choose_late is None:
        return early()
    # The choice of an example must not depend on what else is in its batch.
    non_negative = ops.logical_and(
        ops.min(ops.reshape(x, (-1, time * mel * channels)), axis=1) >= 0, ops.min(weights) >= 0
    )
    return ops.cond(ops.all(non_negative), early, lambda: ops.where(non_negative, early(), choose_late(x, taps)))


def _tap_sums(size, window, stride, padding):
    """How often each tap of a filter is applied to each element of an axis on each grid: `(stride * window, size)`."""
    elements = np.eye(size, dtype="float32")
    if padding != "valid":
        (amounts,) = window_padding((size,), (window,), (1,), padding)
        elements = np.pad(elements, (amounts, (0, 0)), mode=NUMPY_MODES.get(padding, "constant"))
    grids = _grids(len(elements) - window + 1, stride, padding)
    return np.stack([elements[grid + tap].sum(axis=0) for grid in grids for tap in range(window)])


def _grids(size, stride, padding):
    """The positions of every grid on an axis of known size; see `grid_positions`."""
    positions = np.arange(size)
    if padding == "valid":
        positions = positions[: size // stride * stride]
    else:
        positions = np.pad(positions, (0, -size % stride), mode=NUMPY_MODES.get(padding, "reflect"))
    return [positions[offset::stride] for offset in range(stride)]


def _can_shift(sizes, strides, padding):
    """Whether an element added by `pad_to_multiple` repeats the one before it on its own grid."""
    if padding == "edge" or max(strides) > 2:
        return False
    return all(size > 1 or stride == 1 for size, stride in zip(sizes, strides, strict=True))


def _select_filtered(x, taps, strides, padding, indices):
    """`select(low_pass(x, taps))` with the gradient of one strided filter over examples shifted to their grids."""
    offsets, amounts, missing = _geometry(x, taps, strides, padding, indices)

    def forward(x, taps, indices):
        return select(low_pass(x, taps, (1, 1), padding), indices, strides, padding)

    def backward(args, _, upstream):
        for axis, (lacks, offset) in enumerate(zip(missing, offsets, strict=True), start=1):
            if lacks:
                upstream = _fold_last(upstream, axis, offset)
        found = vjp(
            lambda x, taps: _strided_filter(x, taps, strides, padding, offsets, amounts, missing), args[:2], upstream
        )
        return *found, None

    return custom_gradient(forward, backward)(x, taps, indices)


def _geometry(x, taps, strides, padding, indices):
    """Offsets of the grids, padding of the filter, and the elements that `pad_to_multiple` adds."""
    amounts = window_padding(x.shape[1:3], taps.shape[:2], (1, 1), padding)
    sizes = [n + sum(added) - k + 1 for n, added, k in zip(x.shape[1:3], amounts, taps.shape[:2], strict=True)]
    missing = [0 if padding == "valid" else -n % s for n, s in zip(sizes, strides, strict=True)]
    return (indices % strides[0], indices // strides[0]), amounts, missing


def _strided_filter(x, taps, strides, padding, offsets, amounts, missing):
    if padding == "same":  # One pass instead of two.
        amounts = [(before, after + n) for (before, after), n in zip(amounts, missing, strict=True)]
        x = pad_spatial(x, amounts, "same")
    else:
        x = pad_spatial(x, amounts, padding)
        x = pad_spatial(x, [(0, n) for n in missing], "same")
    return low_pass(_shift(x, offsets, strides), taps, strides, "valid")


def _fold_last(upstream, axis, offset):
    """Where the last element of an odd axis repeats the one before (offset 1), move its gradient there."""
    front, count = (slice(None),) * axis, upstream.shape[axis]
    last = upstream[(*front, slice(count - 1, count))]
    repeated = ops.where(offset[:, None, None, None] == 1, last, 0)
    before = upstream[(*front, slice(count - 2, count - 1))] + repeated
    return ops.concatenate([upstream[(*front, slice(count - 2))], before, last - repeated], axis=axis)


def _shift(x, offsets, strides):
    """Drop the first `offsets` rows and bands of each example, and the last `strides - 1 - offsets`."""
    sizes = x.shape[1:3]
    spans = [n - s + 1 for n, s in zip(sizes, strides, strict=True)]

    def cut(x, starts, sizes):  # XLA runs gathers slowly on a CPU.
        return ops.slice(x, (0, starts[0][0], starts[1][0], 0), (1, *sizes, x.shape[-1]))

    def positions(starts, sizes):
        return (start[:, None] + np.arange(n, dtype="int32") for start, n in zip(starts, sizes, strict=True))

    def forward(x, *offsets):
        if x.shape[0] == 1:
            return cut(x, offsets, spans)
        return take_positions(x, *positions(offsets, spans))

    def backward(args, _, upstream):
        ends = [s - 1 for s in strides]
        padded = pad_spatial(upstream, [(end, end) for end in ends], "same")
        starts = [end - offset for end, offset in zip(ends, args[1:], strict=True)]
        if upstream.shape[0] == 1:
            return cut(padded, starts, sizes), None, None
        return take_positions(padded, *positions(starts, sizes)), None, None

    return custom_gradient(forward, backward)(x, *offsets)
