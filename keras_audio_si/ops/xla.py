"""Detection of XLA and the device, custom gradients, maps over examples, and their absence in exports."""

import contextlib

import keras

_portable = False


@contextlib.contextmanager
def portable_operations():
    """Has what is traced in the block use operations alone that formats such as ONNX have.

    Left out are custom gradients, barriers against fusing, and loops over examples, which are there for the speed of
    training. The results are the same.
    """
    global _portable
    before, _portable = _portable, True
    try:
        yield
    finally:
        _portable = before


def portable():
    """Returns whether `portable_operations` are asked for."""
    return _portable


def compiled_by_xla(x):
    """Returns whether `x` belongs to a function that JAX or TensorFlow compiles by XLA.

    XLA fuses slices and arithmetic into one loop but runs depthwise convolutions, pooling gradients and gathers
    slowly on a CPU; without it every operation is a kernel and a pass over memory, and the library kernels win.
    """
    backend = keras.backend.backend()
    if _portable:
        return False
    if backend == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

        return not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    if backend == "jax":
        import jax

        return isinstance(x, jax.core.Tracer)
    return False


def on_cpu():
    """Returns whether JAX or TensorFlow has no other device than a CPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_logical_devices("GPU")
    return False


def custom_gradient(forward, backward):
    """Gives `forward(*args)` the gradient `backward(args, result, upstream)`, a tuple with a value for every argument.

    Of several results the first one has a gradient. torch keeps its own gradient of `forward`, which is neither slow
    there nor different.
    """
    backend = keras.backend.backend()
    if _portable:
        return forward
    if backend == "jax":
        import jax

        def with_residuals(*args):
            result = forward(*args)
            return result, (args, result)

        def pull_back(residuals, upstream):
            return backward(*residuals, upstream[0] if isinstance(upstream, (tuple, list)) else upstream)

        function = jax.custom_vjp(forward)
        function.defvjp(with_residuals, pull_back)
        return function
    if backend == "tensorflow":
        import tensorflow as tf

        def with_backward(*args):
            result = forward(*args)
            return result, lambda *upstream: backward(args, result, upstream[0])

        return tf.custom_gradient(with_backward)
    return forward


def materialise(x):
    """Keeps XLA from fusing the computation of `x` into each of its consumers, which would repeat it."""
    backend = keras.backend.backend()
    if backend == "jax" and not _portable:
        import jax

        return jax.lax.optimization_barrier(x)
    if backend == "tensorflow" and compiled_by_xla(x):
        from tensorflow.compiler.tf2xla.python import xla

        barrier = custom_gradient(
            lambda x: xla.gen_xla_ops.xla_optimization_barrier(input=[x])[0], lambda _, __, upstream: (upstream,)
        )
        return barrier(x)
    return x


def sum_positions(maps):
    """Sums each of several maps `(batch, time, mel, channels)` to one value per channel: `(maps, channels)`.

    On a CPU the product of them all with ones is up to 10 times faster than the reductions, into which XLA fuses what
    computes the maps. On a GPU such a product may round its terms.
    """
    ops = keras.ops
    if on_cpu():
        x = ops.stack([ops.reshape(x, (-1, x.shape[-1])) for x in maps])
        return ops.matmul(ops.ones_like(x[:, None, :, 0]), x)[:, 0]
    return ops.stack([ops.sum(materialise(x), axis=(0, 1, 2)) for x in maps])


def xla_on_cpu(x):
    """Returns whether `x` belongs to a function that JAX or TensorFlow compiles by XLA for a CPU."""
    return compiled_by_xla(x) and on_cpu()


def graph_on_cpu(x):
    """Returns whether `x` belongs to a function that JAX compiles, or to any graph of TensorFlow, for a CPU."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return not _portable and not tf.executing_eagerly() and on_cpu()
    return xla_on_cpu(x)


def compiled(function):
    """Has XLA compile what a graph of TensorFlow calls `function` for, where the graph itself is not compiled."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    if tf.executing_eagerly() or not tf.test.is_built_with_xla() or compiled_by_xla(None):
        return function
    return tf.function(function, autograph=False, jit_compile=True)


def by_example(function, x, shared, **by_batch):
    """Calls `function(x, *shared, **by_batch) -> (y, indices)`, and its gradient, for one example at a time.

    Intermediate maps of a whole batch are allocated anew at every call, and on a CPU most of the time is spent in page
    faults; the maps of one example stay in the cache. The gradient calls `function` again, with the indices found as
    its keyword `indices`.

    Args:
        function: Takes a map, the tensors `shared`, and the keywords `by_batch`.
        x: Tensor with a leading batch axis.
        shared: Tuple of tensors that all examples use.
        **by_batch: Tensors with a leading batch axis that have no gradient.

    Returns:
        The results for all examples and int32 indices of shape `(batch,)`.
    """

    def forward(x, *args):
        shared, values = args[: len(args) - len(by_batch)], args[len(args) - len(by_batch) :]

        def one(x, *values):
            y, index = function(x[None], *shared, **{k: v[None] for k, v in zip(by_batch, values, strict=True)})
            return y[0], index[0]

        return map_examples(one, (x, *values), (x.dtype, "int32"))

    def backward(args, result, upstream):
        x, *shared = args[: len(args) - len(by_batch)]

        def one(x, index, upstream):
            call = lambda x, *shared: function(x, *shared, indices=index[None])[0]  # noqa: E731
            found = vjp(call, (x[None], *shared), upstream[None])
            return found[0][0], *found[1:]

        found = map_examples(one, (x, result[1], upstream), (x.dtype, *(tensor.dtype for tensor in shared)))
        return found[0], *(keras.ops.sum(slope, axis=0) for slope in found[1:]), *(None for _ in by_batch)

    return custom_gradient(forward, backward)(x, *shared, *by_batch.values())


def map_examples(function, args, dtypes):
    """Calls `function` with the slices of `args` along their first axis, and stacks its results, of these dtypes."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.map(lambda args: function(*args), args)
    if keras.backend.backend() == "torch":
        results = [function(*slices) for slices in zip(*args, strict=True)]
        return keras.tree.map_structure(lambda *values: keras.ops.stack(values), *results)
    import tensorflow as tf

    # AutoGraph would convert the source of all that is called.
    one = tf.autograph.experimental.do_not_convert(lambda args: function(*args))
    return tf.map_fn(one, args, fn_output_signature=dtypes)


def each_example(function, args):
    """Calls `function(*args)`, of one float32 result, example by example where that is faster.

    On a CPU the intermediate values of a whole batch of sounds are larger than the memory that an allocator keeps, and
    page faults for new memory take more time than the computation. Those of one example stay in the cache. The gradient
    calls `function` again.

    Args:
        function: Takes tensors with a batch axis and returns one that depends on all of them.
        args: Tuple of float32 tensors with a batch axis.

    Returns:
        Float32 tensor.
    """
    if not graph_on_cpu(args[0]):
        return function(*args)

    def forward(*args):
        return map_examples(lambda *args: function(*(x[None] for x in args))[0], args, "float32")

    def backward(args, _, upstream):
        def one(*args):
            *args, upstream = (x[None] for x in args)
            return tuple(slope[0] for slope in vjp(function, tuple(args), upstream))

        return map_examples(one, (*args, upstream), ("float32",) * len(args))

    return custom_gradient(forward, backward)(*args)


def vjp(function, args, upstream):
    """The gradients of `function(*args)` for every argument."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.vjp(function, *args)[1](upstream)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(args)
        y = function(*args)
    return tape.gradient(y, args, upstream)
