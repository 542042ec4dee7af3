"""Dense (stride 1) max and average pooling, the first half of every pooling layer here (fonseca2021, Fig. 1).

And pooling of clips of different lengths, whose padding does not count.
"""

import keras
from keras import ops

from keras_audio_si.ops.lengths import hide_padding
from keras_audio_si.ops.padding import pad_axis, pad_spatial, window_padding
from keras_audio_si.ops.xla import compiled_by_xla, custom_gradient, graph_on_cpu, map_examples, vjp


def dense_max(x, window, padding="same"):
    """Takes the maximum of every `window` with stride 1.

    Of equal maxima the first one (row by row) gets the gradient, as in the libraries' max pooling.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        window: Window on time and mel.
        padding: One of `PADDINGS`; "same" never lets the padding win.

    Returns:
        Tensor of the same shape ("valid": shorter by `window - 1`).
    """
    amounts = window_padding(x.shape[1:3], window, (1, 1), padding)
    if padding not in ("same", "valid"):
        x, padding, amounts = pad_spatial(x, amounts, padding), "valid", [(0, 0), (0, 0)]
    if padding == "same" and keras.backend.backend() == "torch":
        # Keras repeats the border there, and `torch.compile` fails on the gradient of that for channels-last maps.
        x, padding = pad_spatial(x, amounts, "same", value=-float("inf")), "valid"

    def forward(x):
        return ops.max_pool(x, window, 1, padding, data_format="channels_last")

    def backward(args, _, upstream):
        (x,) = args
        if compiled_by_xla(x):
            return (_max_slopes(x, upstream, window, amounts),)
        if not graph_on_cpu(x):
            return tuple(vjp(forward, (x,), upstream))
        # TensorFlow's kernel takes 120 ms for (32, 101, 96, 48) at once and 17 ms one by one, on two cores.
        one = lambda x, upstream: vjp(forward, (x[None],), upstream[None])[0][0]  # noqa: E731
        return (map_examples(one, (x, upstream), x.dtype),)

    return custom_gradient(forward, backward)(x)


def _max_slopes(x, upstream, window, amounts):
    """Pass the gradient of a dense maximum to the first maximum of every window.

    A window of k is k - 1 maxima of neighbours, along mel and then along time. The comparisons cost a fraction of
    the libraries' gradients at stride 1.
    """
    sizes = ops.shape(x)[1:3]
    x = pad_spatial(x, amounts, "same", value=-float("inf"))
    comparisons = []
    for axis in (2, 1):
        for _ in range(window[axis - 1] - 1):
            first, second = _neighbours(x, axis)
            comparisons.append((axis, first >= second))
            x = ops.maximum(first, second)
    for axis, first_wins in reversed(comparisons):
        to_first, to_second = ops.where(first_wins, upstream, 0), ops.where(first_wins, 0, upstream)
        upstream = pad_axis(to_first, axis, 0, 1, "same") + pad_axis(to_second, axis, 1, 0, "same")
    (top, _), (left, _) = amounts
    return upstream[:, top : top + sizes[0], left : left + sizes[1]]


def _neighbours(x, axis):
    front = (slice(None),) * axis
    return x[(*front, slice(None, -1))], x[(*front, slice(1, None))]


def dense_average(x, window, padding="same"):
    """Averages every `window` with stride 1; with "same" the padding is not counted.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        window: Window on time and mel.
        padding: One of `PADDINGS`.

    Returns:
        Tensor of the same shape ("valid": shorter by `window - 1`).
    """
    if padding not in ("same", "valid"):
        x, padding = pad_spatial(x, window_padding(x.shape[1:3], window, (1, 1), padding), padding), "valid"
    return average_pool(x, window, (1, 1), padding)


def average_pool(x, window, strides, padding):
    """Averages windows; with "same" the padding is not counted.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        window: Window on time and mel.
        strides: Strides on time and mel.
        padding: "same" or "valid".

    Returns:
        Tensor of shape `(batch, windows, windows, channels)`.
    """
    if padding == "same" and keras.backend.backend() == "torch":
        # Keras repeats the border there, which counts as padding must not, and see `dense_max`.
        amounts = window_padding(x.shape[1:3], window, strides, "same")
        inside = pad_spatial(ops.ones_like(x[:1, :, :, :1]), amounts, "same")
        x = pad_spatial(x, amounts, "same")
        both = (ops.average_pool(y, window, strides, "valid", data_format="channels_last") for y in (x, inside))
        return ops.divide(*both)
    return ops.average_pool(x, window, strides, padding, data_format="channels_last")


def pool_clips(pool, x, hide, largest):
    """Pools frames without the padding of clips.

    Args:
        pool: Function of a map that pools it, by averages or maxima.
        x: Map, `(batch, frames, ..., channels)`.
        hide: Function of a map and a value that puts the value in place of padding, such as `ops.lengths.hide_padding`.
        largest: Whether `pool` takes maxima.

    Returns:
        What `pool` gives. A window of padding alone has the average 0 or the maximum -inf.

    Example:

    >>> mask = np.array([[True, True, True, False]])
    >>> pool = lambda x: keras.ops.average_pool(x, 2, 2)
    >>> y = pool_clips(pool, np.float32([[[1], [3], [4], [9]]]), lambda x, fill: hide_padding(x, mask, fill), False)
    >>> print(keras.ops.convert_to_numpy(y)[0, :, 0])
    [2. 4.]
    """
    if largest:
        return pool(hide(x, -float("inf")))
    return ops.divide_no_nan(pool(hide(x, 0.0)), pool(hide(ops.ones_like(x[..., :1]), 0.0)))


def statistic(name, x, axes, mask=None):
    """Computes a statistic of a map over some of its axes, which are kept with one element.

    Args:
        name: "mean", "max" or "deviation", that of the population.
        x: float32 map, `(batch, time, mel, channels)`.
        axes: Some of 1 and 2.
        mask: `(batch, time)` boolean, False for the padding of clips, which does not count over time; or None. What is
            padding only has statistics of 0.

    Returns:
        Tensor of the rank of `x`.

    Example:

    >>> x, mask = np.float32([[[[1]], [[3]], [[9]]]]), np.array([[True, True, False]])
    >>> [float(statistic(name, x, (1,), mask)[0, 0, 0, 0]) for name in ("mean", "max", "deviation")]
    [2.0, 3.0, 1.0]
    """
    if mask is None or 1 not in axes:
        reduce = {"mean": ops.mean, "max": ops.max, "deviation": ops.var}[name]
        y = reduce(x, axis=axes, keepdims=True)
        return _root(y) if name == "deviation" else y
    count = ops.sum(hide_padding(ops.ones_like(x[..., :1]), mask), axis=axes, keepdims=True)
    if name == "max":
        return ops.where(count > 0, ops.max(hide_padding(x, mask, -float("inf")), axis=axes, keepdims=True), 0.0)
    count = ops.maximum(count, 1.0)
    mean = ops.sum(hide_padding(x, mask), axis=axes, keepdims=True) / count
    if name == "mean":
        return mean
    return _root(ops.sum(ops.square(hide_padding(ops.subtract(x, mean), mask)), axis=axes, keepdims=True) / count)


def _root(variance):
    """Square root with gradient 0 at 0, where a channel is constant, as behind a ReLU that lets nothing through."""
    flat = variance <= 0
    return ops.where(flat, 0.0, ops.sqrt(ops.where(flat, 1.0, variance)))
