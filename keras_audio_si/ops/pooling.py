"""Dense (stride 1) max and average pooling, the first half of every pooling layer here (fonseca2021, Fig. 1)."""

from keras import ops

from keras_audio_si.ops.padding import pad_spatial, window_padding
from keras_audio_si.ops.xla import compiled_by_xla


def dense_max(x, window, padding="same"):
    """Take the maximum of every `window` with stride 1.

    Under XLA it is a chain of `maximum` over shifted slices, one axis after the other, because the gradient of
    XLA's window reduction is slow on a CPU.

    Args:
        x: Feature map, shape `(batch, time, mel, channels)`.
        window: Window on time and mel.
        padding: One of `PADDINGS`; "same" never lets the padding win.

    Returns:
        Tensor of the same shape ("valid": shorter by `window - 1`).
    """
    if not compiled_by_xla():
        if padding not in ("same", "valid"):
            x = pad_spatial(x, window_padding(x.shape[1:3], window, (1, 1), padding), padding)
            padding = "valid"
        return ops.max_pool(x, window, 1, padding, data_format="channels_last")
    x = pad_spatial(x, window_padding((None, None), window, (1, 1), padding), padding, value=-float("inf"))
    for axis, size in enumerate(window, start=1):
        span = ops.shape(x)[axis] - size + 1
        parts = [x[(slice(None),) * axis + (slice(i, i + span),)] for i in range(size)]
        x = parts[0]
        for part in parts[1:]:
            x = ops.maximum(x, part)
    return x


def dense_average(x, window, padding="same"):
    """Average every `window` with stride 1; under "same" the padding does not count.

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
