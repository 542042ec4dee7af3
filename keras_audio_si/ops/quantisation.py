"""Rounding of amplitudes to few levels."""

from keras import ops

from keras_audio_si.ops.arguments import as_float32


def quantise(x, bits):
    """Rounds to multiples of `2^(1 - bits)`, the steps of linear pulse code modulation.

    Args:
        x: Float tensor, `(batch, samples)`, in [-1, 1]; what lies outside is rounded in the same steps, not clipped.
        bits: Float tensor, `(batch,)`.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> print(keras.ops.convert_to_numpy(quantise(np.float32([[0.3, -0.9]]), np.float32([2]))))
    [[ 0.5 -1. ]]
    """
    half_range = ops.power(2.0, as_float32(bits, "bits") - 1.0)[:, None]
    return ops.floor(as_float32(x) * half_range + 0.5) / half_range


def quantise_mu_law(x, bits):
    """Rounds to `2^bits` levels that are evenly spaced after the compression of mu-law coding, mu = `2^bits - 1`.

    Args:
        x: Float tensor, `(batch, samples)`, in [-1, 1].
        bits: Float tensor, `(batch,)`.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> print(keras.ops.convert_to_numpy(quantise_mu_law(np.float32([[1.0, -1.0]]), np.float32([8]))))
    [[ 1. -1.]]

    Reference:
        ITU-T G.711, in the continuous form that is usual for waveform networks (van den Oord et al., "WaveNet", 2016).
    """
    x = as_float32(x)
    mu = ops.power(2.0, as_float32(bits, "bits"))[:, None] - 1.0
    width = ops.log(1.0 + mu)
    # Not `log1p` and `expm1`, which XLA computes value by value: the levels are far apart against their precision.
    compressed = ops.sign(x) * ops.log(1.0 + mu * ops.abs(x)) / width
    level = ops.floor((compressed + 1.0) / 2.0 * mu + 0.5)
    rounded = level / mu * 2.0 - 1.0
    return ops.sign(rounded) * (ops.exp(ops.abs(rounded) * width) - 1.0) / mu
