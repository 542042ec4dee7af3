"""Adaptive polyphase sampling: subsample on the grid that holds most of the map (fonseca2021, eq. 2).

A map subsampled with strides `(s, r)` has `s * r` polyphase components. Component `p` starts at time offset
`p % s` and mel offset `p // s`, the order of the released code.
"""

from keras import ops

from keras_audio_si.ops.depthwise import low_pass
from keras_audio_si.ops.padding import check_padding, pad_spatial
from keras_audio_si.ops.xla import by_example, materialise, sum_rows, with_gradient

CRITERIA = ("channel_l1", "l1", "l2", "linf", "variance")


def pad_to_multiple(x, strides, padding="same"):
    """Make time and mel divisible by their strides, so that all polyphase components have one size.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        padding: "same" and "reflect" mirror at the end, as the released code does; "edge" repeats; "circular"
            wraps around, as the code of the APS paper does; "valid" cuts the rest off.

    Returns:
        Tensor of shape `(batch, padded time, padded mel, channels)`.
    """
    check_padding(padding)
    sizes = ops.shape(x)[1:3]
    if padding == "valid":
        return x[:, : sizes[0] // strides[0] * strides[0], : sizes[1] // strides[1] * strides[1]]
    mode = "reflect" if padding == "same" else padding
    return pad_spatial(x, [(0, -n % s) for n, s in zip(sizes, strides, strict=True)], mode)


def grids(x, strides):
    """View `x` with its polyphase offsets as axes: `(batch, t, time offset, f, mel offset, channels)`."""
    _, time, mel, channels = ops.shape(x)
    return ops.reshape(x, (-1, time // strides[0], strides[0], mel // strides[1], strides[1], channels))


def criterion_values(x, strides, criterion="channel_l1"):
    """Measure every polyphase component of each example, in float32 whatever the dtype of `x`.

    Args:
        x: Feature map with sizes divisible by `strides`, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        criterion: "channel_l1" (largest sum of absolute values over the positions of one channel: the matrix norm
            that the released code takes), "l1" (sum of absolute values: eq. 2), "l2", "linf" or "variance".

    Returns:
        float32 tensor of shape `(batch, components)`.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(map(repr, CRITERIA))}, got {criterion!r}")
    x = ops.cast(x, "float32")
    if criterion == "linf":
        values = ops.max(_reduce_positions(ops.max, ops.abs(x), strides), axis=-1)
    elif criterion == "variance":
        # Around the mean of the example, E[d^2] - E[d]^2 loses no digits that matter.
        count = ops.cast(ops.shape(x)[1] // strides[0] * (ops.shape(x)[2] // strides[1]) * x.shape[-1], "float32")
        x = x - ops.mean(x, axis=(1, 2, 3), keepdims=True)
        means = ops.sum(_reduce_positions(ops.sum, x, strides), axis=-1) / count
        values = ops.sum(_reduce_positions(ops.sum, ops.square(x), strides), axis=-1) / count - ops.square(means)
    elif criterion == "l2":
        values = ops.sqrt(ops.sum(_reduce_positions(ops.sum, ops.square(x), strides), axis=-1))
    else:
        over_channels = ops.max if criterion == "channel_l1" else ops.sum
        values = over_channels(_reduce_positions(ops.sum, ops.abs(x), strides), axis=-1)
    return ops.reshape(ops.transpose(values, (0, 2, 1)), (-1, strides[0] * strides[1]))


def _reduce_positions(reduce, x, strides):
    """Reduce over the positions of each component: `(batch, time offset, mel offset, channels)`.

    Time goes first, over rows that lie contiguous in memory: one pass at the speed of memory on every backend.
    """
    _, time, mel, channels = ops.shape(x)
    x = ops.reshape(x, (-1, time // strides[0], strides[0] * mel * channels))
    x = sum_rows(x) if reduce is ops.sum else reduce(x, axis=1)
    return reduce(ops.reshape(x, (-1, strides[0], mel // strides[1], strides[1], channels)), axis=2)


def choose(x, strides, criterion="channel_l1"):
    """Return the index of the component that maximises the criterion, the lowest one of equals.

    Args:
        x: Feature map with sizes divisible by `strides`, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        criterion: See `criterion_values`.

    Returns:
        int32 tensor of shape `(batch,)`.
    """
    values = ops.stop_gradient(criterion_values(ops.stop_gradient(x), strides, criterion))
    return ops.cast(ops.argmax(values, axis=-1), "int32")


def select(x, indices, strides):
    """Take component `indices[b]` of example `b`.

    Args:
        x: Feature map with sizes divisible by `strides`, shape `(batch, time, mel, channels)`.
        indices: Component of each example, integer tensor of shape `(batch,)`.
        strides: Strides on time and mel.

    Returns:
        Tensor of shape `(batch, time / strides[0], mel / strides[1], channels)`.
    """
    indices = ops.cast(indices, "int32")
    if x.shape[0] != 1:
        return ops.sum(ops.where(_chosen(indices, strides), grids(x, strides), 0), axis=(2, 4))

    def forward(x, indices):
        # Not `ops.slice`: TensorFlow's XLA would want its start known when compiling, and compile at every call.
        rows = ops.take(grids(x, strides), indices[0] % strides[0], axis=2)
        return ops.take(rows, indices[0] // strides[0], axis=3)

    def backward(args, upstream):
        x, indices = args
        slopes = ops.where(_chosen(indices, strides), upstream[:, :, None, :, None], 0)
        return ops.reshape(slopes, ops.shape(x)), None

    return with_gradient(forward, backward)(x, indices)


def _chosen(indices, strides):
    """Mask of the chosen component, shape `(batch, 1, time offset, 1, mel offset, 1)`."""
    chosen = ops.equal(indices[:, None], ops.arange(strides[0] * strides[1], dtype="int32"))
    chosen = ops.transpose(ops.reshape(chosen, (-1, strides[1], strides[0])), (0, 2, 1))
    return chosen[:, None, :, None, :, None]


def adaptive_sample(x, strides, criterion="channel_l1", taps=None, padding="same", indices=None, dense=None):
    """Low-pass filter a map and keep, for each example, the polyphase component that maximises the criterion.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        strides: Strides on time and mel.
        criterion: See `criterion_values`.
        taps: Filter taps for `low_pass`, or None for no filter.
        padding: One of `PADDINGS`, for the filter and for `pad_to_multiple`.
        indices: Components to take instead of the chosen ones, integer tensor of shape `(batch,)`.
        dense: Function of the map to apply first, such as a `dense_max`; it must treat examples one by one.

    Returns:
        The subsampled map, shape `(batch, out_time, out_mel, channels)`, and the int32 indices, shape `(batch,)`.

    Reference:
        fonseca2021, section II-B.
    """

    def sample(x, taps, indices):
        if dense is not None:
            x = dense(x)
        if taps is not None:
            x = low_pass(x, taps, (1, 1), padding)
        x = materialise(pad_to_multiple(x, strides, padding))
        if indices is None:
            indices = choose(x, strides, criterion)
        return select(x, indices, strides), indices

    return by_example(sample, x, taps, indices)
