"""Trains `tiny_training` on several devices, or as one of several processes, in a process of its own.

    python tests/many_devices.py FOLDER PLAN

The plan is a list of trainings as JSON, each with the arguments of `train` below. Each has the folder of its name in
FOLDER, and leaves its weights of the last step in FOLDER/NAME.npz.
"""

import dataclasses
import json
import os
import pathlib
import sys

if __name__ == "__main__":  # Before JAX starts; several processes have one device each.
    several = "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={1 if several else 2}"

import keras
import numpy as np
import tiny_training

from keras_audio_si import distribution
from keras_audio_si.layers.masked_normalization import MaskedBatchNormalization
from keras_audio_si.training.replicas import check_training, separate_draws

SETTINGS = dataclasses.replace(tiny_training.FAST, mixup_alpha=None, restore_best_weights=False, epochs=2)


class CutOff(keras.callbacks.Callback):
    """Ends a training by an error after a step, counted over all epochs."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        self.step -= 1
        if not self.step:
            raise InterruptedError


def train(folder, name, devices=1, dropout=0.0, cut=None, logits=False, inner=False, **settings):
    """Trains, and where it was cut off before, continues.

    Args:
        folder: Folder of all trainings.
        name: Name of this one.
        devices: As for `data_parallel`.
        dropout: Rate of a dropout layer in the network.
        cut: Step after which the training is cut off; None for none.
        logits: Whether the network ends in `ClassScores`.
        inner: Whether batch normalisation is inside a layer.
        **settings: Those that differ from `SETTINGS`.
    """
    with distribution.data_parallel(devices) as place:
        model = tiny_training.network(dropout=dropout)
        if inner:
            model = with_inner_normalisation()
        if logits:
            model = with_logits(model)
        callbacks = [] if cut is None else [CutOff(cut)]
        try:
            tiny_training.train(
                folder / name, settings=dataclasses.replace(SETTINGS, **settings), model=model, callbacks=callbacks
            )
        except InterruptedError:
            return
        path = folder / f"{name}.npz" if place.process == 0 else folder / f"{name}-{place.process}.npz"
        np.savez(path, *[keras.ops.convert_to_numpy(weight) for weight in model.weights])


def with_inner_normalisation():
    from keras_audio_si.layers.time_convolution import TimeConvolution

    keras.utils.set_random_seed(1)
    pooled = [keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(2, "sigmoid")]
    return keras.Sequential([keras.Input((64,)), keras.layers.Reshape((64, 1)), TimeConvolution(6, 9), *pooled])


def with_logits(model):
    """The network with `ClassScores` in place of the sigmoid, and with a loss of its own."""
    from keras_audio_si.layers import ClassScores

    dense = keras.layers.Dense(2, activity_regularizer=keras.regularizers.L2(0.1))
    network = keras.Sequential([keras.Input((64,)), *model.layers[:-1], dense, ClassScores("sigmoid")])
    dense.kernel.assign(model.layers[-1].kernel)
    return network


def draws():
    """What each replica of TensorFlow draws, and what one device draws."""
    import tensorflow as tf

    alone = keras.random.uniform((4,), seed=keras.random.SeedGenerator(3))
    with distribution.data_parallel(2):
        layer = keras.layers.Dropout(0.5, seed=3)
        for _ in range(2):  # Again for the next training, or the same one continued.
            separate_draws(layer.variables)
        strategy = tf.distribute.get_strategy()
        drawn = strategy.run(lambda: keras.random.uniform((4,), seed=layer.seed_generator))
        return np.array([alone, *strategy.experimental_local_results(drawn)])


def refusals():
    """What `check_training` says, on two devices, of what cannot be trained on them."""
    outside = tiny_training.network()
    with distribution.data_parallel(2):
        model = tiny_training.network()
        masked = keras.Sequential([keras.Input((4, 3)), MaskedBatchNormalization()])
        attempts = {
            "batch": (model, {"batch_size": 7}),
            "outside": (outside, {}),
            "masked": (masked, {}),
            "jit_compile": (model, {"jit_compile": True}),
            "gradient_norms": (model, {"gradient_norms": True}),
        }
        return {name: refusal(model, settings) for name, (model, settings) in attempts.items()}


def refusal(model, settings):
    try:
        check_training(model, dataclasses.replace(SETTINGS, **settings))
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    if keras.backend.backend() == "tensorflow" and not distribution.several_hosts():
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        np.savez(folder / "draws.npz", draws())
    if not distribution.several_hosts():
        (folder / "refusals.json").write_text(json.dumps(refusals()))
    for training in json.loads(sys.argv[2]):
        train(folder, **training)
