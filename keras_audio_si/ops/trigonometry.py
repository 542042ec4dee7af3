"""Sine and cosine as operations that XLA can vectorise."""

import math

from keras import ops

from keras_audio_si.ops.arguments import as_float32

_COSINE = [(-1) ** n / math.factorial(2 * n) for n in range(6)]  # Right to 1e-6 up to a quarter turn.
_SINE = [(-1) ** n / math.factorial(2 * n + 1) for n in range(6)]


def cos_sin(angle):
    """Cosine and sine of an angle from -pi to pi, right to 2e-6.

    XLA on a CPU computes its own sine and cosine value by value, which took 15 times as long.

    Args:
        angle: Float tensor, in radians.

    Returns:
        Two float32 tensors of the shape of `angle`.

    Example:

    >>> cos, sin = cos_sin(np.float32([0.0, np.pi / 2]))
    >>> [round(float(value), 5) + 0.0 for value in (*cos, *sin)]
    [1.0, 0.0, 0.0, 1.0]
    """
    half = 0.5 * as_float32(angle, "angle")
    square = ops.square(half)
    cos, sin = _series(square, _COSINE), half * _series(square, _SINE)
    return 1.0 - 2.0 * ops.square(sin), 2.0 * sin * cos


def _series(x, coefficients):
    total = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total
