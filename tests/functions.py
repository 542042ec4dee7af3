"""Pure functions run, compiled and differentiated on the current backend, NumPy arrays in and out."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()


def to_numpy(*tensors):
    arrays = tuple(ops.convert_to_numpy(t) for t in tensors)
    return arrays if len(arrays) > 1 else arrays[0]


def compiled(function):
    """`function` compiled by XLA where the backend has it."""
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    return function


def run(function, *arrays):
    """NumPy results of `function`, compiled under JAX, where each operation of its own takes far longer."""
    if BACKEND == "jax":
        function = compiled(function)
    return to_numpy(*as_tuple(function(*map(ops.convert_to_tensor, arrays))))


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def vjp(function, x, cotangent):
    """Gradient of `sum(function(x) * cotangent)` at `x`, as a NumPy array."""
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(lambda v: (function(v) * cotangent).sum()))(x))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        v = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(v)
            total = tf.reduce_sum(function(v) * cotangent)
        return tape.gradient(total, v).numpy()
    v = ops.convert_to_tensor(x).detach().clone().requires_grad_()
    (function(v) * ops.convert_to_tensor(cotangent)).sum().backward()
    return v.grad.cpu().numpy()
