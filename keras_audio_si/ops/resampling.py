"""Speed changes of constant length: resampling by ratios of small integers."""

import fractions
import functools

import numpy as np
from keras import ops

from keras_audio_si.checks import check_positive
from keras_audio_si.ops.arguments import as_float32, constant

_ROLLOFF = 0.95
_KAISER_BETA = 14.0
_BLOCK = 128  # Output samples per product: enough for library kernels to run at their full speed.


def resample(x, length_factor, num_zeros=64):
    """Changes the speed of a signal, including its frequencies.

    Output samples are sums of input samples under a windowed sinc, a product with a fixed matrix for every block.

    Args:
        x: Float tensor, `(batch, samples)`, the number of samples known.
        length_factor: Length of the output over that of the input; 0.8 is 1.25 times as fast. Taken as the nearest
            ratio of integers up to 1000.
        num_zeros: Zero crossings of the sinc on either side.

    Returns:
        float32 tensor, `(batch, ceil(samples * length_factor))`.

    Raises:
        ValueError: If `length_factor` is not positive.

    Example:

    >>> tuple(resample(np.zeros((2, 1000), "float32"), 0.8).shape)
    (2, 800)

    Reference:
        The resampler of gazneli2022's code: a Kaiser window with beta 14, cut off at 0.95 of the lower Nyquist
        frequency. Equal to it with `num_zeros=64`.
    """
    check_positive(length_factor=length_factor)
    x = as_float32(x)
    ratio = fractions.Fraction(length_factor).limit_denominator(1000)
    matrix, before, hop = _block_matrix(ratio, num_zeros)
    num_samples = x.shape[1]
    num_outputs = -(-num_samples * ratio.numerator // ratio.denominator)
    num_blocks = -(-num_outputs // matrix.shape[1])
    span = (num_blocks - 1) * hop + matrix.shape[0]
    x = ops.pad(x, [(0, 0), (before, max(span - before - num_samples, 0))])[:, :span, None]
    # A convolution: XLA on a CPU takes three times as long for the product of cut blocks and the matrix.
    kernel = ops.convert_to_tensor(matrix[:, None, :])
    blocks = ops.conv(x, kernel, strides=hop, padding="valid", data_format="channels_last")
    return ops.reshape(blocks, (-1, num_blocks * matrix.shape[1]))[:, :num_outputs]


def resample_to_length(x, length_factor, num_zeros=64):
    """`resample`, zero-padded or truncated to the number of samples of the input.

    Args:
        x: Float tensor, `(batch, samples)`, the number of samples known.
        length_factor: As for `resample`.
        num_zeros: As for `resample`.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> tuple(resample_to_length(np.zeros((2, 1001), "float32"), 1.2).shape)
    (2, 1001)
    """
    num_samples = x.shape[1]
    y = resample(x, length_factor, num_zeros)[:, :num_samples]
    return ops.pad(y, [(0, 0), (0, num_samples - y.shape[1])])


@functools.lru_cache(maxsize=32)
def _block_matrix(ratio, num_zeros):
    """The matrix that makes one block of outputs of a stretch of inputs, what lies before the block, and the hop."""
    repeats = -(-_BLOCK // ratio.numerator)
    num_outputs, hop = ratio.numerator * repeats, ratio.denominator * repeats
    cutoff = _ROLLOFF * min(1.0, float(ratio))
    # The window ends with the last whole period of the ratio that it needs, as released: at 64 to 68 zeros of 64.
    reach = ratio.denominator * (1 + int(num_zeros / (ratio.denominator * cutoff)))
    times = np.arange(num_outputs) / float(ratio)
    distance = times[None, :] - (np.arange(hop + 2 * reach) - reach)[:, None]
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    taps = cutoff * np.sinc(cutoff * distance) * np.where(np.abs(distance) <= reach, window, 0.0)
    return constant(taps), reach, hop
