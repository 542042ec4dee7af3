"""A training that takes a second: tones in noise and a network of one convolution.

As a script it is the process that `test_resume.py` kills:

    python tests/tiny_training.py FOLDER [CHECKPOINT AT WHICH THE DISK HANGS]
"""

import dataclasses
import itertools
import sys
import time
import unittest.mock

import keras
import numpy as np

from keras_audio_si.training import fit_loop as fit_module
from keras_audio_si.training.fit_loop import TrainingSettings, fit

FAST = TrainingSettings(learning_rate=0.02, batch_size=8, epochs=4, mixup_alpha=0.3)

RESUMED = dataclasses.replace(FAST, epochs=6, plateau_patience=1, early_stopping_patience=4)
CHECKPOINT_STEPS = 2

# Whatever the machine: the best epoch is neither the first nor the last, and the learning rate falls.
VALIDATION = (0.2, 0.5, 0.4, 0.6, 0.5, 0.4)


class Validation(fit_module.ClipValidation):
    """The real one, but for the value that is monitored."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        logs["val_mAP"] = VALIDATION[epoch]


def patches(seed, num_clips=24, class_names=("low", "high"), noise=0.3, **options):
    """Clips of one or two patches: a low or a high tone in noise. Options are those of `PatchDataset`."""
    from keras_audio_si.data.clip_cache import ClipCache
    from keras_audio_si.data.pipeline import PatchDataset

    rng = np.random.default_rng(seed)
    labels = [(class_names[i % 2],) for i in range(num_clips)]
    waveforms = []
    for i in range(num_clips):
        time = np.arange(64 + 32 * (i % 3))
        tone = np.sin((0.2 if i % 2 == 0 else 2.0) * time + rng.uniform(0, 6))
        waveforms.append((tone + noise * rng.normal(size=len(time))).astype("float32"))
    return PatchDataset(ClipCache.from_waveforms(waveforms, labels, 100, class_names), 64, **options)


def network(classes=2, dropout=0.0, seed=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Reshape((64, 1)),
            keras.layers.Conv1D(6, 9, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
            *([keras.layers.Dropout(dropout)] if dropout else []),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(classes, activation="sigmoid"),
        ]
    )
    # The same in every process, whatever Keras' initializers are there.
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            weight.assign(rng.normal(size=weight.shape) * np.prod(weight.shape[:-1]) ** -0.5)
    return model


def train(folder, seed=1, settings=RESUMED, model=None, data=None, **arguments):
    """Trains or continues; the initial weights of a continued training do not count."""
    arguments = {"resume": True, "checkpoint_steps": CHECKPOINT_STEPS, "verbose": 0, **arguments}
    data, validation = data or patches(0, noise=3.0), patches(1, noise=3.0)
    with unittest.mock.patch.object(fit_module, "ClipValidation", Validation):
        model = network(dropout=0.2, seed=seed) if model is None else model
        return fit(model, data, validation, settings, folder, **arguments)


def hang_at(function, call):
    """The function, which at one of its calls does not return."""
    calls = itertools.count(1)

    def hanging(*args, **kwargs):
        if next(calls) == call:
            time.sleep(600)
        return function(*args, **kwargs)

    return hanging


if __name__ == "__main__":
    folder, *hanging = sys.argv[1:]
    if hanging:  # Each checkpoint calls it once, with its open file.
        np.savez = hang_at(np.savez, int(hanging[0]))
    each_step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.03))
    train(folder, callbacks=[each_step])
