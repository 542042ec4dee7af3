"""Short FIR filters, different for each example: low and high pass, fractional delay."""

import math

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.padding import pad_axis
from keras_audio_si.ops.xla import compiled_by_xla, materialise

BANDS = ("low", "high")
TAP_SCALES = ("band", "sum")


def band_taps(cutoff, num_taps=15, band="low", scale="band"):
    """Taps of windowed-sinc filters with a Hamming window, as `scipy.signal.firwin` makes them.

    Args:
        cutoff: Float tensor `(batch,)`, frequencies where the gain is one half, as fractions of the Nyquist frequency.
        num_taps: Taps, an odd number.
        band: `"low"` or `"high"`, the frequencies that pass.
        scale: `"band"` makes the gain 1 at frequency 0 or, for `"high"`, at the Nyquist frequency. `"sum"` divides by
            the sum of the taps, as released: the same for `"low"`; for `"high"` that sum is the gain at frequency
            0, nearly nothing, and the filter amplifies up to a hundredfold.

    Returns:
        float32 tensor, `(batch, num_taps)`.

    Raises:
        ValueError: If `num_taps` is even or a name unknown.

    Example:

    >>> taps = band_taps(np.float32([0.5]), num_taps=5)
    >>> [round(float(tap), 3) for tap in taps[0, 1:4]]
    [0.204, 0.593, 0.204]
    """
    check_choice("band", band, BANDS)
    check_choice("scale", scale, TAP_SCALES)
    if num_taps % 2 == 0:
        raise ValueError(f"`num_taps` must be odd, so that a filter does not delay. Received: num_taps={num_taps}")
    offsets = np.arange(num_taps) - num_taps // 2
    window = 0.54 + 0.46 * np.cos(2 * np.pi * offsets / max(num_taps - 1, 1))
    signs = np.cos(np.pi * offsets) if band == "high" and scale == "band" else np.ones(num_taps)
    cutoff = as_float32(cutoff, "cutoff")[:, None]
    taps = cutoff * ops.sinc(cutoff * _tensor(offsets))
    if band == "high":
        taps = _tensor(offsets == 0) - taps
    taps = taps * _tensor(window)
    return taps / ops.sum(taps * _tensor(signs), axis=1, keepdims=True)


def delay_taps(delay, num_taps=31):
    """Taps of fractional delays: a sinc under a Blackman window, of gain 1 at frequency 0.

    With 31 taps gain and delay are right to 0.1 % up to 0.8 times the Nyquist frequency.

    Args:
        delay: Float tensor `(batch,)`, in samples, from -0.5 to 0.5.
        num_taps: Taps, an odd number.

    Returns:
        float32 tensor, `(batch, num_taps)`.

    Example:

    >>> [round(float(tap), 3) + 0.0 for tap in delay_taps(np.float32([0.0]), num_taps=3)[0]]
    [0.0, 1.0, 0.0]
    """
    times = as_float32(delay, "delay")[:, None] + _tensor(np.arange(num_taps) - num_taps // 2)
    angle = times * (2 * math.pi / num_taps)
    taps = ops.sinc(times) * (0.42 + 0.5 * ops.cos(angle) + 0.08 * ops.cos(2.0 * angle))
    return taps / ops.sum(taps, axis=1, keepdims=True)


def correlate_each(x, taps):
    """Correlates every example with its own taps: `y[n]` is the sum of `taps[k] * x[n + k]`.

    Args:
        x: Float tensor, `(batch, samples)`.
        taps: Float tensor, `(batch, num_taps)`.

    Returns:
        float32 tensor, `(batch, samples - num_taps + 1)`.

    Example:

    >>> print(keras.ops.convert_to_numpy(correlate_each(np.float32([[1, 2, 4]]), np.float32([[1, 10]]))))
    [[21. 42.]]
    """
    x, taps = as_float32(x), as_float32(taps, "taps")
    num_taps = taps.shape[1]
    if keras.backend.backend() == "jax" or compiled_by_xla(x):
        # One loop over shifted slices; the library's grouped convolution is far slower there.
        x = materialise(x)
        num_outputs = ops.shape(x)[1] - num_taps + 1
        return sum(taps[:, k : k + 1] * x[:, k : k + num_outputs] for k in range(num_taps))
    kernel = ops.expand_dims(ops.transpose(taps), -1)
    y = ops.depthwise_conv(ops.expand_dims(ops.transpose(x), 0), kernel, data_format="channels_last")
    return ops.transpose(y[0])


def reflect_ends(x, count):
    """Mirrors `count` samples to either end, several times over where the clip is shorter.

    Example:

    >>> print(keras.ops.convert_to_numpy(reflect_ends(np.float32([[1, 2, 3]]), 3)))
    [[2. 3. 2. 1. 2. 3. 2. 1. 2.]]
    """
    num_samples = x.shape[1]
    if num_samples is None or num_samples > count:
        return pad_axis(x, 1, count, count, "reflect")
    return ops.take(x, np.pad(np.arange(num_samples), count, mode="reflect"), axis=1)


def _tensor(array):
    return ops.convert_to_tensor(array.astype("float32"))
