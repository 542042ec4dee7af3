"""Per-channel energy normalisation (PCEN)."""

import numpy as np
from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.padding import pad_axis

BLOCK_FRAMES = 32


def pcen(energy, gain, bias, exponent, smoothing, floor=1e-6):
    """Per-channel energy normalisation, `(E / (floor + M)^gain + bias)^exponent - bias^exponent`.

    M is the energy smoothed in time, see `smooth`. Computed as `bias^exponent expm1(exponent log1p(...))`, so that
    quiet bands keep their digits.

    Args:
        energy: Float tensor `(batch, time, bands)`, not negative.
        gain: Float tensor `(bands,)` or a number, the exponent of M: 0 leaves levels alone, 1 takes them out.
        bias: Float tensor `(bands,)` or a number, positive.
        exponent: Float tensor `(bands,)` or a number, positive.
        smoothing: Float tensor `(bands,)` or a number from 0 to 1, the weight of the new frame in M.
        floor: Smallest energy that is told apart from silence, positive.

    Returns:
        float32 tensor of the shape of `energy`.

    Example:

    >>> y = pcen(np.ones((1, 3, 1), "float32"), gain=1.0, bias=2.0, exponent=0.5, smoothing=0.1)
    >>> print(keras.ops.convert_to_numpy(y)[0, :, 0].round(3))
    [0.318 0.318 0.318]

    Reference:
        Wang et al., "Trainable Frontend for Robust and Far-Field Keyword Spotting", 2017, eq. 1 and 2.
    """
    energy = as_float32(energy, "energy")
    gain, bias, exponent = (ops.cast(value, "float32") for value in (gain, bias, exponent))
    level = ops.exp(-gain * ops.log(floor + smooth(energy, smoothing)))
    return ops.power(bias, exponent) * ops.expm1(exponent * ops.log1p(energy * level / bias))


def smooth(x, smoothing):
    """First-order recursive smoothing in time, `M[t] = (1 - smoothing) M[t - 1] + smoothing x[t]`, from `M[-1] = x[0]`.

    Exact, at linear cost and without a loop: within a block of frames the recursion is a product with a triangular
    matrix of powers; from block to block it is the same recursion again, on a sequence shorter by the size of a block.
    Any length, known or not.

    Args:
        x: Float tensor `(batch, time, bands)`.
        smoothing: Float tensor `(bands,)` or a number from 0 to 1.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> print(keras.ops.convert_to_numpy(smooth(np.float32([[[1], [0], [0]]]), 0.5))[0, :, 0])
    [1.   0.5  0.25]
    """
    x = as_float32(x)
    smoothing = ops.broadcast_to(ops.cast(smoothing, "float32"), (x.shape[2],))
    decay = 1.0 - smoothing
    start = pad_axis(decay * x[:, :1], 1, 0, ops.shape(x)[1] - 1, "same")
    terms = ops.transpose(smoothing * x + start, (2, 0, 1))
    return ops.transpose(_decaying_sums(terms, decay), (1, 2, 0))


def _decaying_sums(x, decay, levels=2):
    """Sums over all earlier frames `j` of `decay^(i - j) x[j]`, for `x` of shape `(bands, batch, time)`."""
    num_bands, _, num_frames = x.shape
    if levels == 0 or (num_frames is not None and num_frames <= BLOCK_FRAMES):
        return ops.matmul(x, _powers(decay, ops.shape(x)[2]))
    num_frames = ops.shape(x)[2]
    padded = num_frames + -num_frames % BLOCK_FRAMES
    blocks = ops.reshape(pad_axis(x, 2, 0, padded - num_frames, "same"), (num_bands, -1, BLOCK_FRAMES))
    # The sum over all earlier blocks is an additional frame before each block. If it were added to the product instead,
    # XLA on a CPU would fuse it with the next operations and take four times as long for all of PCEN.
    powers = _powers(decay, BLOCK_FRAMES + 1)
    ends = ops.reshape(ops.matmul(blocks, powers[:, 1:, -1:]), (num_bands, -1, padded // BLOCK_FRAMES))
    before = pad_axis(_decaying_sums(ends, decay**BLOCK_FRAMES, levels - 1)[:, :, :-1], 2, 1, 0, "same")
    blocks = ops.concatenate([ops.reshape(before, (num_bands, -1, 1)), blocks], axis=2)
    return ops.reshape(ops.matmul(blocks, powers[:, :, 1:]), (num_bands, -1, padded))[:, :, :num_frames]


def _powers(decay, size):
    """Triangular matrices `(bands, size, size)` of `decay^(column - row)`, 0 below the diagonal."""
    index = np.arange(size, dtype="float32") if isinstance(size, int) else ops.arange(size, dtype="float32")
    steps = index[None, :] - index[:, None]
    # The power 0 is left out: its slope is not a number where the decay is 0.
    powers = ops.power(decay[:, None, None], ops.maximum(steps, 1.0))
    return ops.where(steps > 0, powers, ops.cast(steps == 0, "float32"))
