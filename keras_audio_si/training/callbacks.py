"""Callbacks for training on patches: validation on whole clips, and the best model on disk."""

import math
import os
import pathlib

import keras

from keras_audio_si.training.mixed_model import MixedTrainingModel


class ClipValidation(keras.callbacks.Callback):
    """Evaluates whole clips at the end of each epoch and adds the results to the logs.

    The names are `val_mAP`, `val_d_prime` and `val_accuracy`. The callback must come before those that read
    these values: schedules, early stopping, checkpoints, logs.

    Args:
        patch_dataset: `data.pipeline.PatchDataset` of the validation clips.
        batch_size: patches per batch.

    Example:

    >>> validation = ClipValidation(patch_dataset=None, batch_size=32)
    >>> callbacks = [validation, keras.callbacks.EarlyStopping("val_mAP", mode="max", patience=20)]
    """

    def __init__(self, patch_dataset, batch_size=64):
        super().__init__()
        self.patch_dataset = patch_dataset
        self.batch_size = batch_size

    def on_epoch_end(self, epoch, logs=None):
        from keras_audio_si.evaluation.clips import evaluate_clips

        result = evaluate_clips(trained_model(self.model), self.patch_dataset, batch_size=self.batch_size)
        logs.update(val_mAP=result.mAP, val_d_prime=result.d_prime, val_accuracy=result.accuracy)


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model after each epoch that is better than all before.

    The file is written under another name and then renamed: a run that is cut off leaves the best model so
    far, whole. Under a `MixedTrainingModel` the inner model is saved.

    Args:
        path: the `.keras` file to write.
        monitor: name of the logged value to be as large as possible.

    Attributes:
        best: largest value so far; None before the first.
        best_epoch: its epoch, counted from 0; None before the first.

    Raises:
        ValueError: if `path` does not end in `.keras`, or nothing logs `monitor`.

    Example:

    >>> checkpoint = BestCheckpoint("run/model.keras", monitor="val_mAP")
    """

    def __init__(self, path, monitor="val_mAP"):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(f"`path` must end in .keras; received {str(path)!r}.")
        self.monitor = monitor
        self.best = None
        self.best_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in logs:
            raise ValueError(f"`monitor`={self.monitor!r} is not logged; the logs have {sorted(logs)}.")
        value = float(logs[self.monitor])
        if math.isnan(value) or (self.best is not None and value <= self.best):
            return
        partial = self.path.with_name(f"{self.path.stem}.partial.keras")
        trained_model(self.model).save(partial)
        os.replace(partial, self.path)
        self.best, self.best_epoch = value, epoch


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training after an epoch whose loss is not a number.

    Unlike `keras.callbacks.TerminateOnNaN` it waits for no single step.

    Example:

    >>> callbacks = [StopOnNaN()]
    """

    def on_epoch_end(self, epoch, logs=None):
        if math.isnan(logs["loss"]):
            self.model.stop_training = True


def trained_model(model):
    """The model itself, without the wrapper that it is trained in.

    Args:
        model: Keras model.

    Returns:
        The inner model of a `MixedTrainingModel`, any other model unchanged.
    """
    return model.model if isinstance(model, MixedTrainingModel) else model
