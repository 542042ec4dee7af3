"""How to run an operation where: the few questions and wrappers that tie an implementation to backend and device."""

import keras


def compiled_by_xla():
    """Return whether the operations called now are (JAX) or will be (TensorFlow) compiled by XLA.

    XLA fuses slices and arithmetic into one loop but runs depthwise convolutions, pooling gradients and gathers
    slowly on a CPU; without it every operation is a kernel and a pass over memory, and the library kernels win.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

        return not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    return backend == "jax"


def _tensorflow_graph():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


def on_cpu():
    """Return whether JAX or TensorFlow has a CPU alone."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_logical_devices("GPU")
    return False


def with_gradient(forward, backward):
    """Give `forward(*args)` the gradient `backward(args, upstream)`, one value for every argument.

    torch keeps its own gradient of `forward`, which is neither slow there nor different.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        function = jax.custom_vjp(forward)
        function.defvjp(lambda *args: (forward(*args), args), lambda args, upstream: tuple(backward(args, upstream)))
        return function
    if backend == "tensorflow":
        import tensorflow as tf

        def with_backward(*args):
            return forward(*args), lambda *upstream: backward(args, upstream[0])

        return tf.custom_gradient(with_backward)
    return forward


def materialise(x):
    """Keep XLA from fusing what computes `x` into each of its consumers, which would compute it many times."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.lax.optimization_barrier(x)
    if backend == "tensorflow" and compiled_by_xla():
        from tensorflow.compiler.tf2xla.python import xla

        barrier = with_gradient(
            lambda x: xla.gen_xla_ops.xla_optimization_barrier(input=[x])[0], lambda _, upstream: (upstream,)
        )
        return barrier(x)
    return x


def sum_rows(x):
    """Sum `(..., rows, columns)` over the rows, keeping the axis.

    On a CPU it is a product with ones: a library call, where XLA would fuse the producer of `x` into a loop that
    reads it column by column. A GPU may round the factors of a product, so there it is a sum.
    """
    if not on_cpu():
        return keras.ops.sum(x, axis=-2, keepdims=True)
    return keras.ops.matmul(keras.ops.swapaxes(keras.ops.ones_like(x[..., :1]), -1, -2), x)


def sum_positions(x):
    """Sum `(batch, time, mel, channels)` to one value per channel.

    For so few columns the product with ones is 4 times faster than the reduction on JAX, and 8 times slower in the
    XLA of TensorFlow.
    """
    if keras.backend.backend() == "jax" and on_cpu():
        return sum_rows(keras.ops.reshape(x, (-1, x.shape[-1])))[0]
    return keras.ops.sum(materialise(x), axis=(0, 1, 2))


def by_example(function, x, shared, indices=None):
    """Call `function(x, shared, indices) -> (y, indices)` one example at a time where that is faster.

    On a CPU, XLA allocates every intermediate map of a whole batch anew, and most of the time goes into the page
    faults; the maps of one example stay in the cache. The gradient computes them again for the same reason.
    Elsewhere this is `function(x, shared, indices)`: both give each example the same result.

    Args:
        function: Takes maps with a leading batch axis, a tensor or None, and integers `(batch,)` or None.
        x: Tensor with a leading batch axis.
        shared: Tensor that all examples use, or None.
        indices: int32 tensor of shape `(batch,)`, or None.

    Returns:
        What `function` returns for the whole batch.
    """
    if not on_cpu() or not (compiled_by_xla() or _tensorflow_graph()):
        return function(x, shared, indices)

    def one(x, shared, index):
        y, index = function(x[None], shared, None if index is None else index[None])
        return y[0], index[0]

    if keras.backend.backend() == "jax":
        import jax

        remat = jax.checkpoint(one)
        return jax.lax.map(lambda args: remat(args[0], shared, args[1]), (x, indices))
    return _tensorflow_by_example(one, x, shared, indices)


def _tensorflow_by_example(one, x, shared, indices):
    import tensorflow as tf

    def loop(body, args, like):
        return tf.map_fn(lambda args: body(*args), args, fn_output_signature=like)

    def forward(x, shared, indices):
        args = (x,) if indices is None else (x, indices)
        return loop(lambda x, index=None: one(x, shared, index), args, (x.dtype, tf.int32))

    def slopes(x, shared, index, upstream):
        wanted = [x] if shared is None else [x, shared]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            y, _ = one(x, shared, index)
        return tuple(tape.gradient(y, wanted, upstream))

    @tf.custom_gradient
    def differentiable(*args):
        x, shared = args if len(args) == 2 else (args[0], None)
        y, chosen = forward(x, shared, indices)

        def backward(upstream, _):
            like = (x.dtype,) if shared is None else (x.dtype, shared.dtype)
            found = loop(lambda x, i, g: slopes(x, shared, i, g), (x, chosen, upstream), like)
            return found[0] if shared is None else (found[0], tf.reduce_sum(found[1], axis=0))

        return (y, chosen), backward

    return differentiable(x) if shared is None else differentiable(x, shared)
