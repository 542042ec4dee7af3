"""Sine, cosine and arc tangent as operations that XLA can vectorise.

XLA on a CPU calls the library for every single value. Polynomials, which it makes vector instructions of, take a tenth
of the time.
"""

import functools
import math

import numpy as np
from keras import ops

from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.xla import custom_gradient, xla_on_cpu

_DEGREE = 8
# Each as a function of the root of the polynomial's argument, and the end of the range of that argument.
_FUNCTIONS = {
    "cosine": (np.cos, math.pi**2),
    "sine": (lambda root: np.sin(root) / root, math.pi**2),
    "arctangent": (lambda root: np.arctan(root) / root, 1.0),
}


def cos_sin(angle):
    """Cosine and sine of an angle from -pi to pi, right to 5e-7.

    Args:
        angle: Float tensor, in radians.

    Returns:
        Two float32 tensors of the shape of `angle`.

    Example:

    >>> cos, sin = cos_sin(np.float32([0.0, np.pi / 2]))
    >>> [round(float(value), 5) + 0.0 for value in (*cos, *sin)]
    [1.0, 0.0, 0.0, 1.0]
    """
    angle = as_float32(angle, "angle")
    square = ops.square(angle)
    return _polynomial("cosine", square), angle * _polynomial("sine", square)


def arctan2(imag, real):
    """Angle of complex numbers that are not 0; right to 1e-7 where it is a polynomial.

    Args:
        imag: float32 tensor.
        real: float32 tensor of the same shape.

    Returns:
        float32 tensor, from -pi to pi.

    Example:

    >>> [round(float(angle), 5) for angle in arctan2(np.float32([0.0, -1.0]), np.float32([-1.0, 1.0]))]
    [3.14159, -0.7854]
    """
    if not xla_on_cpu(real):
        return ops.arctan2(imag, real)
    return custom_gradient(_arctan2, _arctan2_slopes)(imag, real)


def _arctan2(imag, real):
    tall, wide = ops.abs(imag), ops.abs(real)
    ratio = ops.minimum(tall, wide) / ops.maximum(tall, wide)
    angle = ratio * _polynomial("arctangent", ops.square(ratio))
    angle = ops.where(tall > wide, math.pi / 2 - angle, angle)
    angle = ops.where(real < 0.0, math.pi - angle, angle)
    return ops.where(imag < 0.0, -angle, angle)


def _arctan2_slopes(args, _, upstream):
    imag, real = args
    slope = upstream / (ops.square(real) + ops.square(imag))
    return slope * real, -slope * imag


def _polynomial(name, x):
    *coefficients, total = _coefficients(name)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


@functools.lru_cache
def _coefficients(name):
    """Coefficients, from the lowest power on, of a polynomial in the square of a function's argument."""
    function, end = _FUNCTIONS[name]
    chebyshev = np.polynomial.chebyshev.Chebyshev.interpolate(
        lambda square: function(np.sqrt(square)), _DEGREE, domain=[0.0, end]
    )
    return tuple(chebyshev.convert(kind=np.polynomial.Polynomial).coef.tolist())
