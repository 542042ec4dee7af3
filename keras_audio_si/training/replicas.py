"""What a training step takes care of where its batch is divided among devices, above all the replicas of TensorFlow.

On JAX a step is one program on the whole batch, and equal to that of one device. On TensorFlow each device, a replica,
runs the step of its own part of the batch: its mean loss, batch statistics and random draws are those of the part.
"""

import contextlib

import keras

from keras_audio_si.distribution import placement, tensorflow_strategy
from keras_audio_si.layers.masked_normalization import MaskedBatchNormalization
from keras_audio_si.layers.nested import all_layers

_SEED_STEP = 1_000_003  # Between the seeds of two replicas.


def check_training(model, settings):
    """Raises a `ValueError` if a model cannot be trained, or not as on one device, on the devices there are.

    Args:
        model: Keras model.
        settings: `training.TrainingSettings`
    """
    devices = placement().devices
    if devices == 1:
        return
    if settings.batch_size % devices:
        raise ValueError(
            f"`batch_size` must be a multiple of the {devices} devices. Received: batch_size={settings.batch_size}"
        )
    strategy = tensorflow_strategy()
    if strategy is None:
        made_here = all(len(weight.value.sharding.device_set) == devices for weight in model.weights)
    else:
        made_here = all(strategy.extended.variable_created_in_scope(weight.value) for weight in model.weights)
    if not made_here:
        raise ValueError(f"`model` must be made on the {devices} devices: build it within `data_parallel` as well.")
    if strategy is None:
        return
    for name, value in {"jit_compile": settings.jit_compile is True, "gradient_norms": settings.gradient_norms}.items():
        if value:
            raise ValueError(f"`{name}` must be False on several devices of TensorFlow; JAX has it there.")
    if any(isinstance(layer, MaskedBatchNormalization) for layer in all_layers(model)):
        raise ValueError(
            f"`model` {model.name!r} has batch statistics that leave padding out, which TensorFlow would take on each "
            "device by itself: train it on JAX, or on one device."
        )


def compilation(jit_compile):
    """Returns the `jit_compile` of a step: False on several devices of TensorFlow, where XLA compiles no exchange."""
    return jit_compile if tensorflow_strategy() is None else False


def replica_share(value):
    """The share that a replica of TensorFlow has in a mean over the batch; elsewhere the value itself.

    Args:
        value: Number or tensor, such as the mean loss of the examples that the step sees.

    Example:

    >>> replica_share(2.0)
    2.0
    """
    strategy = tensorflow_strategy()
    return value if strategy is None else value / strategy.num_replicas_in_sync


def with_whole_gradients(optimizer_class):
    """An optimizer class that clips the gradients of the whole batch on TensorFlow, where each replica has its share.

    Keras clips what a replica has and then adds up. Here the mean over the replicas comes first: the limits must be
    `replica_share` of those for the whole batch.

    Args:
        optimizer_class: Subclass of `keras.optimizers.Optimizer`.

    Returns:
        The class on one device and on JAX, a subclass of it on TensorFlow.

    Example:

    >>> with_whole_gradients(keras.optimizers.SGD) is keras.optimizers.SGD
    True
    """
    if tensorflow_strategy() is None:
        return optimizer_class
    import tensorflow as tf

    def apply(self, grads, trainable_variables=None):
        reduced = iter(
            tf.distribute.get_replica_context().all_reduce(
                "MEAN", [gradient for gradient in grads if gradient is not None]
            )
        )
        grads = [None if gradient is None else next(reduced) for gradient in grads]
        optimizer_class.apply(self, grads, trainable_variables)

    return type(optimizer_class.__name__, (optimizer_class,), {"apply": apply, "__doc__": optimizer_class.__doc__})


def separate_draws(variables):
    """Gives the random generators of every replica on TensorFlow seeds of their own, that of the first stays.

    On JAX a step draws for the whole batch, as on one device.

    Args:
        variables: Variables of a model, the states of `keras.random.SeedGenerator` among them.
    """
    strategy = tensorflow_strategy()
    if strategy is None:
        return
    first = placement().process * len(strategy.extended.worker_devices)
    for variable in variables:
        if variable.name == "seed_generator_state":
            seed, count = keras.ops.convert_to_numpy(variable)
            for number, replica in enumerate(strategy.experimental_local_results(variable.value), start=first):
                replica.assign([(seed + number * _SEED_STEP) % 2**31, count])


@contextlib.contextmanager
def synchronised(model, on=True):
    """Takes the statistics of batch normalisation over the whole batch on TensorFlow, within the block.

    Args:
        model: Keras model.
        on: Whether to; False for saving: what is saved is as it was before, and can be loaded by every backend.
    """
    norms = [] if placement().devices == 1 or tensorflow_strategy() is None else all_layers(model)
    norms = [
        layer for layer in norms if isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized != on
    ]
    for layer in norms:
        layer.synchronized = on
    try:
        yield
    finally:
        for layer in norms:
            layer.synchronized = not on
