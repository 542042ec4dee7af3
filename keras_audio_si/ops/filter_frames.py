"""Long filters on waveforms, with their outputs pooled into frames.

Filter outputs have the shape `(batch, hops, steps, channels)`, with all steps of a hop on one axis, so that a window
over several hops is a few sums over steps. Times for 4 clips of 1 s at 16 kHz, 40 complex filters of 401 taps and
windows of 401 samples every 160, forward / gradient with respect to the taps, 2 cores: 26 / 53 ms on JAX, 17 / 36 ms on
TensorFlow with XLA, 30 / 102 ms in TensorFlow graphs. Alternatives: the filters as a product of frames with a Toeplitz
matrix 20 / 64, 17 / 40 and 33 / 114 ms; the window as a depthwise convolution 31 / 3487, 49 / 5881 and 24 / 125 ms; one
example at a time 47 / 1363, 15 / 1323 and 19 / 132 ms.
"""

from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.padding import pad_axis


def filter_hops(x, taps, num_hops, hop_length, stride=1):
    """Correlates waveforms with filters, at every `stride`-th sample of a number of hops.

    Args:
        x: Float tensor `(batch, samples)`; zeros are added at its end where the filters want more, up to one hop and
            one filter.
        taps: Float tensor `(num_taps, channels)`.
        num_hops: Number of hops, an integer or a scalar tensor.
        hop_length: Samples of a hop, a multiple of `stride`.
        stride: Samples from one output to the next.

    Returns:
        float32 tensor `(batch, num_hops, hop_length // stride, channels)`; the output at step `j` of hop `i` starts at
        sample `i * hop_length + j * stride`.

    Example:

    >>> y = filter_hops(np.float32([[1, 2, 3, 4, 5]]), np.float32([[1], [10]]), num_hops=2, hop_length=2)
    >>> print(keras.ops.convert_to_numpy(y)[0, :, :, 0])
    [[21. 32.]
     [43. 54.]]
    """
    x, taps = as_float32(x), as_float32(taps, "taps")
    num_taps, channels = taps.shape
    x = pad_axis(x, 1, 0, hop_length + num_taps, "same")[:, : (num_hops * hop_length - stride) + num_taps]
    y = ops.conv(ops.expand_dims(x, -1), ops.expand_dims(taps, 1), stride, "valid", data_format="channels_last")
    return ops.reshape(y, (-1, num_hops, hop_length // stride, channels))


def squared_modulus(y):
    """Squares of complex values whose real parts are the first half of the channels and imaginary parts the second."""
    y = ops.square(y)
    half = y.shape[-1] // 2
    return y[..., :half] + y[..., half:]


def pool_hops(y, window):
    """Weighs and sums the steps of a window from every hop on.

    Args:
        y: Tensor `(batch, hops, steps, channels)`.
        window: Tensor `(window steps, channels)`, or `(window steps, 1)` for one window for all channels.

    Returns:
        Tensor `(batch, hops - spanned + 1, channels)`, where a window spans `spanned` hops.

    Example:

    >>> y = np.float32([1, 2, 3, 4, 5, 6]).reshape(1, 3, 2, 1)
    >>> print(keras.ops.convert_to_numpy(pool_hops(y, np.float32([[1], [1], [1]])))[0, :, 0])
    [ 6. 12.]
    """
    y, window = as_float32(y, "y"), as_float32(window, "window")
    steps, length = y.shape[2], window.shape[0]
    spanned = spanned_hops(length, steps)
    window = pad_axis(window, 0, 0, spanned * steps - length, "same")
    num_frames = ops.shape(y)[1] - spanned + 1
    return sum(ops.sum(y * window[i * steps : (i + 1) * steps], axis=2)[:, i : i + num_frames] for i in range(spanned))


def max_pool_hops(y, length):
    """Takes the maximum of `length` steps from every hop on; shapes and hops as for `pool_hops`.

    Example:

    >>> y = np.float32([6, 5, 4, 3, 2, 1]).reshape(1, 3, 2, 1)
    >>> print(keras.ops.convert_to_numpy(max_pool_hops(y, 3))[0, :, 0])
    [6. 4.]
    """
    steps = y.shape[2]
    spanned = spanned_hops(length, steps)
    num_frames = ops.shape(y)[1] - spanned + 1
    # The window's last hop may be shorter than the others, of which the maximum is the same for all frames.
    whole, rest = ops.max(y, axis=2), ops.max(y[:, :, : length - (spanned - 1) * steps], axis=2)
    result = rest[:, spanned - 1 :]
    for i in range(spanned - 1):
        result = ops.maximum(result, whole[:, i : i + num_frames])
    return result


def spanned_hops(length, steps):
    """Number of hops of `steps` steps that a window of `length` steps reaches into."""
    return -(-length // steps)
