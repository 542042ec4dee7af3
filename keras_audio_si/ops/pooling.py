"""Dense (stride 1) max and average pooling, the first half of every pooling layer here (fonseca2021, Fig. 1)."""

from keras import ops

from keras_audio_si.ops.padding import pad_axis, pad_spatial, window_padding
from keras_audio_si.ops.xla import compiled_by_xla, compiled_for_cpu, custom_gradient, map_examples, vjp


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

    def forward(x):
        return ops.max_pool(x, window, 1, padding, data_format="channels_last")

    def backward(args, _, upstream):
        (x,) = args
        if compiled_by_xla(x):
            return (_max_slopes(x, upstream, window, amounts),)
        if not compiled_for_cpu(x):
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
        x = pad_spatial(x, window_padding(x.shape[1:3], window, (1, 1), padding), padding)
        padding = "valid"
    return ops.average_pool(x, window, 1, padding, data_format="channels_last")
