"""Low-pass filtering of feature maps by one set of taps per channel (fonseca2021, eq. 1)."""

import numpy as np
from keras import ops

from keras_audio_si.ops.padding import check_fits, pad_axis, pad_spatial, window_padding
from keras_audio_si.ops.xla import compiled_by_xla, custom_gradient, materialise, sum_positions

_GROUPS = 4  # Of frames, in `_tap_slopes`.


def binomial_taps(*sizes):
    """Returns the binomial low-pass filter: rows of Pascal's triangle, one per axis, with sum 1.

    Args:
        *sizes: Number of taps on each axis.

    Returns:
        float32 array of shape `sizes`.

    Example:

    >>> print(binomial_taps(5) * 16)
    [1. 4. 6. 4. 1.]
    """
    return _outer([np.poly1d([1.0, 1.0]) ** (size - 1) for size in sizes])


def triangular_taps(*sizes):
    """Returns the triangular low-pass filter of gazneli2022, `[1 .. d + 1 .. 1]` on each axis, with sum 1.

    Args:
        *sizes: Number of taps on each axis, `2 d + 1`.

    Returns:
        float32 array of shape `sizes`.

    Raises:
        ValueError: If a size is even.
    """
    if any(size % 2 == 0 for size in sizes):
        raise ValueError(f"`filter_size` must be odd for a triangular filter. Received: filter_size={sizes}")
    return _outer([np.convolve(np.ones(size // 2 + 1), np.ones(size // 2 + 1)) for size in sizes])


def _outer(axes):
    taps = np.ones(())
    for axis in axes:
        axis = np.asarray(axis, "float64")
        taps = np.multiply.outer(taps, axis / axis.sum())
    return taps.astype("float32")


def softmax_taps(raw):
    """Returns trainable low-pass taps: a softmax over all taps of each channel, so non-negative with sum 1.

    Args:
        raw: Unconstrained weights, shape `(time taps, mel taps, channels, 1)`.

    Returns:
        Tensor of the same shape.

    Reference:
        fonseca2021, section II-A, trainable low-pass filters (TLPF).
    """
    taps = ops.softmax(ops.reshape(raw, (-1, raw.shape[2])), axis=0)
    return ops.reshape(taps, raw.shape)


def low_pass(x, taps, strides=(1, 1), padding="same"):
    """Filters every channel of `x` with its own taps (a correlation) and subsamples.

    Costs one multiply-add per tap and output element. Under XLA the taps are shifted multiply-adds, which fuse
    into one loop: 10 ms for 5x5 taps on `(32, 101, 96, 48)` on two cores, where a depthwise convolution takes
    over half a second. Elsewhere it is the library's depthwise convolution.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        taps: Filter taps, shape `(time taps, mel taps, channels, 1)`.
        strides: Subsampling on time and mel.
        padding: One of `PADDINGS`. "same" adds zeros as TensorFlow does; the others keep output `i` centred on
            input `stride * i`.

    Returns:
        Tensor of shape `(batch, out_time, out_mel, channels)`.

    Example:

    >>> x = keras.ops.ones((1, 6, 4, 2))
    >>> tuple(low_pass(x, keras.ops.ones((3, 1, 2, 1)) / 3, strides=(2, 2), padding="reflect").shape)
    (1, 3, 2, 2)
    """
    window = tuple(taps.shape[:2])
    check_fits(x.shape[1:3], window, padding)
    taps = ops.cast(taps, x.dtype)
    if not compiled_by_xla(x) and (strides[0] == strides[1] or x.shape[2] == 1):
        if padding not in ("same", "valid"):
            x = pad_spatial(x, window_padding(x.shape[1:3], window, strides, padding), padding)
            padding = "valid"
        # The kernels need one stride for both axes; on an axis of one element any stride is valid.
        return ops.depthwise_conv(x, taps, strides[0], padding, data_format="channels_last")
    x = pad_spatial(x, window_padding(ops.shape(x)[1:3], window, strides, padding), padding)

    def forward(x, taps):
        return _correlate(x, taps, strides)

    def backward(args, _, upstream):
        return _correlate_slopes(*args, upstream, strides)

    return custom_gradient(forward, backward)(x, taps)


def _shifts(x, window, strides):
    """Yields what each tap of a window multiplies, row by row."""
    height, width = window[:2]
    spans = [(n - k) // s * s + 1 for n, k, s in zip(ops.shape(x)[1:3], (height, width), strides, strict=True)]
    for i in range(height):
        rows = x[:, i : i + spans[0] : strides[0]]
        for j in range(width):
            yield rows[:, :, j : j + spans[1] : strides[1]]


def _correlate(x, taps, strides):
    """Correlates without padding, as shifted multiply-adds."""
    return materialise(_weighted_sum(materialise(x), taps, strides))


def _weighted_sum(x, taps, strides):
    y, by_tap = 0.0, ops.unstack(ops.reshape(taps, (-1, taps.shape[2])))
    for tap, shifted in zip(by_tap, _shifts(x, taps.shape, strides), strict=True):
        y = y + shifted * tap
    return y


def _correlate_slopes(x, taps, upstream, strides):
    """Returns the gradients of `_correlate` for the map and for the taps."""
    by_tap = _tap_slopes(x, taps, upstream, strides)
    return _map_slopes(ops.shape(x)[1:3], taps, upstream, strides), ops.reshape(by_tap, taps.shape)


def _map_slopes(sizes, taps, upstream, strides):
    """Returns the gradient for a map of these sizes.

    Positions of the map that are a stride apart see the same taps, every stride-th one. Each such phase is a
    correlation of stride 1; a map of zeros between the values of `upstream` would take all taps everywhere.
    """
    window, channels = taps.shape[:2], taps.shape[2]
    steps = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    lead = [(taps - 1) // stride for taps, stride in zip(window, strides, strict=True)]
    after = [n - size for n, size in zip(steps, ops.shape(upstream)[1:3], strict=True)]
    upstream = materialise(pad_spatial(upstream, list(zip(lead, after, strict=True)), "same"))

    def phase(p, q):
        seen = ops.flip(taps[p :: strides[0], q :: strides[1]], (0, 1))
        height, width = seen.shape[:2]
        if not height or not width:  # A stride is longer than the window.
            return ops.zeros_like(upstream[:, : steps[0], : steps[1]])
        first = lead[0] - height + 1, lead[1] - width + 1
        x = upstream[:, first[0] : lead[0] + steps[0], first[1] : lead[1] + steps[1]]
        return _weighted_sum(x, seen, (1, 1))

    phases = [ops.stack([phase(p, q) for q in range(strides[1])], axis=3) for p in range(strides[0])]
    slopes = ops.stack(phases, axis=2)
    slopes = ops.reshape(slopes, (-1, steps[0] * strides[0], steps[1] * strides[1], channels))
    return materialise(slopes[:, : sizes[0], : sizes[1]])


def _tap_slopes(x, taps, upstream, strides):
    """Returns the sum over all positions of `upstream` times the input of each tap, in float32 inside.

    XLA reduces a fused product element by element. Here time is first folded into four terms of one vectorised sum,
    which leaves little to reduce.
    """
    time = ops.shape(upstream)[1]
    rows = -(-time // _GROUPS)
    missing = rows * _GROUPS - time
    upstream = materialise(pad_axis(ops.cast(upstream, "float32"), 1, 0, missing, "same"))
    x = materialise(pad_axis(ops.cast(x, "float32"), 1, 0, missing * strides[0], "same"))
    folded = []
    for shifted in _shifts(x, taps.shape, strides):
        product = shifted[:, : rows * _GROUPS] * upstream
        folded.append(ops.sum(ops.reshape(product, (-1, _GROUPS, rows, *ops.shape(product)[2:])), axis=1))
    return ops.cast(sum_positions(folded), taps.dtype)
