"""Data parallel training on several devices and hosts: `keras.distribution` on JAX, `tf.distribute` on TensorFlow."""

import contextlib
import functools
import json
import os
import pathlib
import shutil
import tempfile
from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si.checks import check_integer

__all__ = ["data_parallel"]

_CPU = {  # To try it.
    "jax": "To try several on a CPU, set XLA_FLAGS=--xla_force_host_platform_device_count=N before JAX starts.",
    "tensorflow": "A CPU can be divided from Python alone, as docs/scale.md shows; the command can try JAX "
    "(--backend jax).",
}
_own_folders = []  # The folders of this process within `own_folder`.


class Placement(NamedTuple):
    """Devices and processes that train a model together.

    Attributes:
        devices: Number of devices, of all processes. The batch is divided among them.
        processes: Number of processes.
        process: Number of this process, from 0. The first one writes the files.
    """

    devices: int = 1
    processes: int = 1
    process: int = 0


@contextlib.contextmanager
def data_parallel(devices=None):
    """Makes and trains models on several devices within the block.

    Every device has the whole model and a part of each batch, and the gradients are added up. Models must be made
    within the block as well; `training.fit` and `experiments.run_experiment` then use all devices.

    The processes of several hosts train one model together, each with as many devices, where the environment has
    `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `KERAS_DISTRIBUTION_NUM_PROCESSES` and `KERAS_DISTRIBUTION_PROCESS_ID` (JAX), or
    `TF_CONFIG` (TensorFlow). The block must then be the first thing that the process does with its backend.

    Args:
        devices: Number of devices of each process, GPUs where there are any; None for all.

    Yields:
        `Placement`

    Raises:
        ValueError: If there are fewer devices, or the backend is PyTorch.

    Example:

    >>> from keras_audio_si import distribution
    >>> with distribution.data_parallel(1) as placement:
    ...     print(placement)
    Placement(devices=1, processes=1, process=0)
    """
    if devices is not None:
        check_integer(1, devices=devices)
    backend = keras.backend.backend()
    if backend not in ("jax", "tensorflow"):
        if devices not in (None, 1):
            raise ValueError(
                f"`devices` must be 1 on PyTorch, which trains on one device here. Received: devices={devices}; "
                "set KERAS_BACKEND=jax or tensorflow (--backend) for several."
            )
        scope = contextlib.nullcontext()
    else:
        scope = (_jax_scope if backend == "jax" else _tensorflow_scope)(devices)
    with scope:
        yield placement()


def several_hosts():
    """Whether the environment says that this is one of several processes that train together."""
    name = "KERAS_DISTRIBUTION_NUM_PROCESSES"
    return len(_cluster()) > 1 if keras.backend.backend() == "tensorflow" else int(os.environ.get(name, 1)) > 1


def placement():
    """Returns the `Placement` of the block of `data_parallel`, or of what Keras or TensorFlow were told themselves.

    Example:

    >>> from keras_audio_si import distribution
    >>> distribution.placement().devices
    1
    """
    if keras.backend.backend() == "jax":
        import jax

        distribution = keras.distribution.distribution()
        if distribution is not None:
            return Placement(distribution.num_model_replicas, distribution.num_processes, jax.process_index())
    elif (strategy := tensorflow_strategy()) is not None:
        resolver = strategy.cluster_resolver
        if resolver is None:
            return Placement(strategy.num_replicas_in_sync)
        processes = resolver.cluster_spec().num_tasks("worker")
        return Placement(strategy.num_replicas_in_sync, processes, resolver.task_id)
    return Placement()


def _jax_scope(count):
    import jax

    if several_hosts() and not jax.distributed.is_initialized():
        keras.distribution.initialize()
    _check_available(count, len(jax.local_devices()), _CPU["jax"] if jax.default_backend() == "cpu" else "")
    if 1 in (count, jax.device_count()) and jax.process_count() == 1:
        return contextlib.nullcontext()
    by_process = [[] for _ in range(jax.process_count())]
    for device in jax.devices():
        by_process[device.process_index].append(device)
    devices = [device for own in by_process for device in own[:count]]
    # Each process reads its own part of every batch.
    return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope()


def _tensorflow_scope(count):
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if several_hosts():
        _check_available(count, len(gpus) or 1)
        tf.config.set_visible_devices(gpus[:count], "GPU")
        return _multi_worker().scope()
    if count == 1:
        return contextlib.nullcontext()
    devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    _check_available(count, len(devices), "" if gpus else _CPU["tensorflow"])
    if len(devices) == 1:
        return contextlib.nullcontext()
    return _mirrored(*[device.name for device in devices[:count]]).scope()


@functools.cache
def _mirrored(*devices):
    """The strategy for some devices, one in a process: the operations of two would get the same numbers."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _multi_worker():
    import tensorflow as tf

    class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
        """Reduces nested values, as Keras wants when it builds a model from a batch, and scalars along any axis."""

        def reduce(self, reduce_op, value, axis):
            def reduced(part):
                scalar = all(len(one.shape) == 0 for one in self.experimental_local_results(part))
                return super(Strategy, self).reduce(reduce_op, part, None if scalar else axis)

            return tf.nest.map_structure(reduced, value)

    return Strategy()


def _check_available(count, available, hint=""):
    if count is not None and count > available:
        raise ValueError(
            f"`devices` must be at most the {available} that {keras.backend.backend()} has here. "
            f"Received: devices={count}. {hint}".rstrip()
        )


def _cluster():
    return json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {}).get("worker", ())


def tensorflow_strategy():
    """The strategy of TensorFlow that models are made under, or None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_strategy() if tf.distribute.has_strategy() else None


def spread(batch):
    """Divides a batch of inputs among the devices of this process, to predict it.

    Args:
        batch: Array `(batch, ...)`, the same in all processes.

    Returns:
        What `keras.Model.predict_on_batch` takes. A batch that cannot be divided, and that of several processes, is
        predicted by every device as a whole; on TensorFlow the result then has a copy for each of them, one after the
        other.
    """
    place = placement()
    if place.devices == 1 or place.processes > 1 or len(batch) % place.devices:
        return batch
    strategy = tensorflow_strategy()
    if strategy is None:
        layout = keras.distribution.distribution().get_data_layout(batch.shape)
        return keras.distribution.distribute_tensor(batch, layout)
    parts = np.split(batch, place.devices)
    return strategy.experimental_distribute_values_from_function(
        lambda context: keras.ops.convert_to_tensor(parts[context.replica_id_in_sync_group])
    )


def spread_batches(batches, batch_size):
    """Divides what a process reads of each batch among its devices, to train on it.

    Args:
        batches: `tf.data.Dataset`, or another iterable, of this process's part of every batch.
        batch_size: Size of the whole batch.

    Returns:
        What `keras.Model.fit` takes. On JAX Keras divides the batches itself.
    """
    strategy = tensorflow_strategy()
    if strategy is None:
        return batches
    size = batch_size // strategy.num_replicas_in_sync
    return strategy.distribute_datasets_from_function(lambda context: batches.rebatch(size, drop_remainder=True))


@contextlib.contextmanager
def own_folder(folder):
    """The folder that this process may write to: of the first process the folder itself, of others a copy.

    All processes do the same, and so write the same. What the others write is removed at the end of the block. The
    processes must see the same folder, on a file system that they share, when the block begins.

    Args:
        folder: Folder for results.

    Yields:
        Path.

    Raises:
        ValueError: If the processes do not see the same files.
    """
    folder, place = pathlib.Path(folder), placement()
    if place.processes == 1 or _own_folders:
        yield folder
        return
    _gathered(0)  # The first process has written all that it had to.
    with tempfile.TemporaryDirectory(prefix="keras-audio-si-") as temporary:
        own = folder if place.process == 0 else pathlib.Path(temporary) / folder.name
        if own != folder and folder.exists():
            shutil.copytree(folder, own)
        if len(set(_gathered(len(list(own.rglob("*")))))) > 1:  # And before it writes again.
            raise ValueError(f"The processes see different files in {str(folder)!r}: all hosts must share it.")
        _own_folders.append(own)
        try:
            yield own
        finally:
            _own_folders.remove(own)


def _gathered(number):
    """A number of each process, in their order, when all have come here."""
    strategy = tensorflow_strategy()
    if strategy is None:
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(np.array([number])).ravel().tolist()
    values = strategy.experimental_distribute_values_from_function(
        lambda context: keras.ops.convert_to_tensor([number], "int64")
    )
    return np.asarray(strategy.gather(values, axis=0)).tolist()
