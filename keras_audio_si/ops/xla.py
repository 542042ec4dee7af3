"""The one question that decides between implementations: does XLA compile what is being traced?"""

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
