"""Tracing of models by operations that ONNX and LiteRT have."""

import contextlib

from keras_audio_si.layers.nested import all_layers
from keras_audio_si.ops.xla import portable_operations


@contextlib.contextmanager
def portable_trace(model):
    """Has what TensorFlow traces of a model in the block use operations alone that ONNX and LiteRT have.

    Left out are custom gradients and what is there for speed (`ops.xla.portable_operations`); Fourier transforms of
    front-ends are convolutions with fixed kernels. Scores are the same up to rounding.

    Args:
        model: Keras model of the TensorFlow backend.
    """
    with portable_operations(), _functions_of_all_formats(), _fourier_transform_by_convolution(model):
        yield


@contextlib.contextmanager
def _functions_of_all_formats():
    """Has functions that ONNX lacks computed by those that it has: GELU by erf, log1p and expm1 by series near 0."""
    import tensorflow as tf

    def gelu(features, approximate=False, name=None):
        if approximate:
            return own["gelu"](features, approximate, name)
        return 0.5 * features * (1.0 + tf.math.erf(features * 0.5**0.5))

    def log1p(x, name=None):
        return tf.where(tf.abs(x) < 1e-2, x * (1 - x * (1 / 2 - x * (1 / 3 - x / 4))), tf.math.log(1.0 + x))

    def expm1(x, name=None):
        return tf.where(tf.abs(x) < 1e-2, x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4))), tf.exp(x) - 1.0)

    own = {"gelu": tf.nn.gelu, "log1p": tf.math.log1p, "expm1": tf.math.expm1}
    tf.nn.gelu, tf.math.log1p, tf.math.expm1 = gelu, log1p, expm1
    try:
        yield
    finally:
        tf.nn.gelu, tf.math.log1p, tf.math.expm1 = own.values()


@contextlib.contextmanager
def _fourier_transform_by_convolution(model):
    """Has front-ends, those inside other layers too, take convolutions with fixed kernels for Fourier transforms."""
    front_ends = [layer for layer in all_layers(model) if getattr(layer, "dft", None) == "fft"]
    for layer in front_ends:
        layer.dft = "conv"
    try:
        yield
    finally:
        for layer in front_ends:
            layer.dft = "fft"
