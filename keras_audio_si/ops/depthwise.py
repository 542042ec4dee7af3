"""Low-pass filtering of feature maps by one set of taps per channel (fonseca2021, eq. 1)."""

import numpy as np
from keras import ops

from keras_audio_si.ops.padding import pad_spatial, window_padding
from keras_audio_si.ops.xla import compiled_by_xla


def binomial_taps(*sizes):
    """Return the binomial low-pass filter: rows of Pascal's triangle, one per axis, with sum 1.

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
    """Return the triangular low-pass filter of gazneli2022, `[1 .. d + 1 .. 1]` on each axis, with sum 1.

    Args:
        *sizes: Number of taps on each axis, `2 d + 1`.

    Returns:
        float32 array of shape `sizes`.

    Raises:
        ValueError: If a size is even.
    """
    if any(size % 2 == 0 for size in sizes):
        raise ValueError(f"filter_size must be odd for a triangular filter, got {sizes}")
    return _outer([np.convolve(np.ones(size // 2 + 1), np.ones(size // 2 + 1)) for size in sizes])


def _outer(axes):
    taps = np.ones(())
    for axis in axes:
        axis = np.asarray(axis, "float64")
        taps = np.multiply.outer(taps, axis / axis.sum())
    return taps.astype("float32")


def softmax_taps(raw):
    """Return trainable low-pass taps: a softmax over all taps of each channel, so non-negative with sum 1.

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
    """Filter every channel of `x` with its own taps (a correlation) and subsample.

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
    >>> low_pass(x, keras.ops.ones((3, 1, 2, 1)) / 3, strides=(2, 2), padding="reflect").shape
    (1, 3, 2, 2)
    """
    window = tuple(taps.shape[:2])
    taps = ops.cast(taps, x.dtype)
    if not compiled_by_xla() and strides[0] == strides[1]:
        if padding not in ("same", "valid"):
            x = pad_spatial(x, window_padding(x.shape[1:3], window, strides, padding), padding)
            padding = "valid"
        return ops.depthwise_conv(x, taps, strides, padding, data_format="channels_last")
    sizes = ops.shape(x)[1:3]
    x = pad_spatial(x, window_padding(sizes, window, strides, padding), padding)
    sizes = ops.shape(x)[1:3]
    spans = [(n - k) // s * s + 1 for n, k, s in zip(sizes, window, strides, strict=True)]
    y = 0.0
    for i in range(window[0]):
        for j in range(window[1]):
            shifted = x[:, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1]]
            y = y + shifted * taps[i, j, :, 0]
    return y
