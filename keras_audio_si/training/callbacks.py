"""Callbacks for training on patches: validation on whole clips, the best model on disk, logs."""

import contextlib
import csv
import errno
import math
import pathlib
import shutil

import keras
import numpy as np

from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.evaluation.patches import evaluate_patches
from keras_audio_si.files import writing, written_whole
from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.ema import averaged
from keras_audio_si.training.replicas import synchronised


class ClipValidation(keras.callbacks.Callback):
    """Evaluates whole clips at the end of each epoch and adds the results to the logs.

    The names are `val_mAP`, `val_d_prime` and `val_accuracy`. The callback must come before those that read
    these values: schedules, early stopping, checkpoints, logs. Where there are averages of the weights, they
    are what is evaluated.

    Args:
        patch_dataset: `data.pipeline.PatchDataset` of the validation clips.
        batch_size: Patches per batch.

    Example:

    >>> validation = ClipValidation(patch_dataset=None, batch_size=32)
    >>> callbacks = [validation, keras.callbacks.EarlyStopping("val_mAP", mode="max", patience=20)]
    """

    def __init__(self, patch_dataset, batch_size=64):
        super().__init__()
        self.patch_dataset = patch_dataset
        self.batch_size = batch_size

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model):
            result = evaluate_clips(trained_model(self.model), self.patch_dataset, batch_size=self.batch_size)
        logs.update(val_mAP=result.mAP, val_d_prime=result.d_prime, val_accuracy=result.accuracy)


class PatchValidation(ClipValidation):
    """Evaluates single patches, and their clips, at the end of each epoch and adds the results to the logs.

    The names are `val_patch_accuracy`, `val_patch_balanced_accuracy`, `val_vote_balanced_accuracy` and
    `val_mean_balanced_accuracy` (`evaluation.patches`). All else is as for `ClipValidation`.

    Example:

    >>> validation = PatchValidation(patch_dataset=None, batch_size=32)
    """

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model):
            result = evaluate_patches(trained_model(self.model), self.patch_dataset, batch_size=self.batch_size)
        logs["val_patch_accuracy"] = result.patches.accuracy
        logs.update({f"val_{name}": value for name, value in result.balanced_accuracies().items()})


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model after each epoch with the best value so far, or after every epoch.

    The file is written under a temporary name and then renamed, so that an interrupted run leaves the best model so
    far. Of an `AugmentedModel` the inner model is saved, with the moving averages of its weights if there are any.

    Args:
        path: The `.keras` file to write.
        monitor: Name of the logged value to be as large as possible.
        save_best_only: Whether to leave out epochs whose value is not the largest so far. Those whose value is NaN are
            left out either way.

    Attributes:
        best: Value of the saved epoch; None before the first.
        best_epoch: Its epoch, counted from 0; None before the first.

    Raises:
        ValueError: If `path` does not end in `.keras`, or nothing logs `monitor`.

    Example:

    >>> checkpoint = BestCheckpoint("run/model.keras", monitor="val_mAP")
    """

    counters = ("best", "best_epoch")

    def __init__(self, path, monitor="val_mAP", save_best_only=True):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(f"`path` must end in .keras. Received: path={str(path)!r}")
        self.monitor = monitor
        self.save_best_only = save_best_only
        self.best = None
        self.best_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in logs:
            raise ValueError(f"`monitor` must be one of the logs, {sorted(logs)}. Received: monitor={self.monitor!r}")
        value = float(logs[self.monitor])
        if math.isnan(value) or (self.save_best_only and self.best is not None and value <= self.best):
            return
        model = trained_model(self.model)
        with writing(self.path.parent), written_whole(self.path) as temporary:
            with averaged(self.model), synchronised(model, False):
                model.save(temporary)
        self.best, self.best_epoch = value, epoch


class History(keras.callbacks.History):
    """Records every log in every epoch: NaN where a callback has logged in some epochs only.

    Example:

    >>> history = History()
    >>> history.set_model(keras.Sequential())
    >>> history.on_train_begin()
    >>> history.on_epoch_end(0, {"loss": 2.0})
    >>> history.on_epoch_end(1, {"loss": 1.0, "extra": 3.0})
    >>> history.history
    {'loss': [2.0, 1.0], 'extra': [nan, 3.0]}
    """

    def on_epoch_end(self, epoch, logs=None):
        epochs = 1 + max(map(len, self.history.values()), default=0)
        super().on_epoch_end(epoch, logs)
        for name, values in self.history.items():
            missing = [math.nan] * (epochs - len(values))
            values[:] = [*missing, *values] if name in (logs or {}) else [*values, *missing]


class RunLog(keras.callbacks.Callback):
    """Writes the values of a `History` to `log.csv` and TensorBoard files.

    Files of an earlier process are not appended to, because it may have ended in the middle of a row, or after the last
    checkpoint. `log.csv` is replaced as a whole after each epoch, and the TensorBoard files of a resumed run are
    written again; without TensorFlow there are none. The names are those of Keras' own callbacks.

    Args:
        folder: Folder for `log.csv` and `tensorboard/`.
        history: The `History`, which comes before this callback.

    Example:

    >>> history = History()
    >>> callbacks = [history, RunLog("run", history)]
    """

    def __init__(self, folder, history):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.history = history
        self._writers = None

    def on_train_begin(self, logs=None):
        self._writers = {}
        self._open_writers()
        epochs = len(self.history.history.get("loss", ()))
        if epochs:
            self._write_table()
        for epoch in range(epochs):
            self._write_scalars(epoch)

    def _open_writers(self):
        try:
            import tensorflow as tf
        except ImportError:
            return  # `log.csv` has the same values.
        board = self.folder / "tensorboard"
        with self._writing_scalars():
            if board.exists():
                shutil.rmtree(board)
            kinds = ("train", "validation")
            self._writers = {kind: tf.summary.create_file_writer(str(board / kind)) for kind in kinds}

    def on_epoch_end(self, epoch, logs=None):
        self._write_table()
        self._write_scalars(epoch)

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()

    def _write_table(self):
        columns = dict(sorted(self.history.history.items()))
        path = self.folder / "log.csv"
        with writing(self.folder), written_whole(path) as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["epoch", *columns])
                writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*columns.values(), strict=True)))

    def _write_scalars(self, epoch):
        if not self._writers:
            return
        import tensorflow as tf

        with self._writing_scalars():
            for name, values in self.history.history.items():
                kind = "validation" if name.startswith("val_") else "train"
                with self._writers[kind].as_default():
                    # In double precision, from which what is too large for TensorBoard becomes infinite.
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", np.float64(values[epoch]), step=epoch)
            for writer in self._writers.values():
                writer.flush()

    @contextlib.contextmanager
    def _writing_scalars(self):
        import tensorflow as tf

        with writing(self.folder):
            try:
                yield
            except tf.errors.ResourceExhaustedError as error:
                raise OSError(errno.ENOSPC, error.message) from error
            except tf.errors.OpError as error:
                raise OSError(errno.EIO, error.message) from error


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training after an epoch whose loss is not a number.

    Unlike `keras.callbacks.TerminateOnNaN` it does not synchronise after every step.

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
        The inner model of a `AugmentedModel`, any other model unchanged.
    """
    return model.model if isinstance(model, AugmentedModel) else model
