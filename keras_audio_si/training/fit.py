"""The training recipe: optimizer, loss, schedule, validation, logs and the best model, in one call."""

import dataclasses
import json
import math
import os
import pathlib
import shutil

import keras

from keras_audio_si.layers.mixing import MixUp
from keras_audio_si.training.callbacks import BestCheckpoint, ClipValidation, StopOnNaN
from keras_audio_si.training.mixed_model import MixedTrainingModel

MONITORS = ("val_mAP", "val_d_prime", "val_accuracy")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of `fit`; the defaults are those of the reference.

    Mixed precision is none of them: it is fixed when the model is built, by `keras.config.set_dtype_policy`.
    Under `"mixed_float16"` the loss is scaled by itself.

    Args:
        learning_rate: of Adam, at the start.
        batch_size: patches per batch, in training and validation.
        epochs: largest number of epochs.
        plateau_epochs: epochs without improvement after which the learning rate is multiplied by
            `plateau_factor`.
        plateau_factor: above 0 and below 1.
        early_stopping_epochs: epochs without improvement after which the training ends.
        mixup_alpha: parameter of the Beta distribution of `MixUp`; None for no mixing.
        monitor: value that improvement is measured by: `"val_mAP"`, `"val_d_prime"` or `"val_accuracy"`.
        seed: sets the order of the patches and the mixing. The initial weights are set where the model is
            built.
        jit: whether the step is compiled, by XLA or `torch.compile`; `"auto"` compiles under JAX, and under
            TensorFlow with a GPU.

    Raises:
        ValueError: if a value is out of its range.

    Example:

    >>> TrainingSettings(learning_rate=1e-3, epochs=5).batch_size
    128

    Reference:
        Fonseca et al., "Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
        Neural Networks", 2021, section III.
    """

    learning_rate: float = 3e-5
    batch_size: int = 128
    epochs: int = 150
    plateau_epochs: int = 10
    plateau_factor: float = 0.5
    early_stopping_epochs: int = 20
    mixup_alpha: float | None = 1.25
    monitor: str = "val_mAP"
    seed: int = 0
    jit: bool | str = "auto"

    def __post_init__(self):
        for name in ("batch_size", "epochs", "plateau_epochs", "early_stopping_epochs"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1; received {value!r}.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"`seed` must be an integer of at least 0; received {self.seed!r}.")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"`learning_rate` must be a positive number; received {self.learning_rate!r}.")
        if not 0 < self.plateau_factor < 1:
            raise ValueError(
                f"`plateau_factor` must be above 0 and below 1; received {self.plateau_factor!r}."
            )
        if self.mixup_alpha is not None and not 0 < self.mixup_alpha < math.inf:
            raise ValueError(
                f"`mixup_alpha` must be a positive number or None; received {self.mixup_alpha!r}."
            )
        if self.monitor not in MONITORS:
            raise ValueError(f"`monitor` must be one of {MONITORS}; received {self.monitor!r}.")
        if self.jit not in (True, False, "auto"):
            raise ValueError(f"`jit` must be True, False or 'auto'; received {self.jit!r}.")


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What `fit` returns.

    Attributes:
        best_model_path: the `.keras` file with the model of the best epoch.
        best_epoch: counted from 0.
        best_value: value of the monitored metric in that epoch.
        history: for each logged name (`loss`, `val_mAP`, `val_d_prime`, `val_accuracy`, `learning_rate`) a
            list with one value per epoch.
    """

    best_model_path: pathlib.Path
    best_epoch: int
    best_value: float
    history: dict[str, list[float]]


def fit(model, train_data, validation, settings, output_dir, callbacks=(), verbose="auto"):
    """Trains a model on patches, validates it on whole clips, and leaves it with its best epoch's weights.

    `output_dir` is made, and an earlier run's files in it are replaced: `model.keras` (best epoch), `log.csv`
    (one row per epoch), `tensorboard/` and `settings.json`.

    Args:
        model: Keras model from patches to sigmoid scores `(batch, classes)`.
        train_data: `data.pipeline.PatchDataset` of the training clips.
        validation: `data.pipeline.PatchDataset` of the validation clips.
        settings: `TrainingSettings`.
        output_dir: folder for the results.
        callbacks: further Keras callbacks; they see the validation values in the logs.
        verbose: as in `keras.Model.fit`.

    Returns:
        `TrainingResult`.

    Raises:
        ValueError: if training and validation classes differ, or the model has another number of scores.
        FloatingPointError: if no epoch gave a value of `settings.monitor`: the training diverged.

    Example:

    >>> result = fit(model, train, validation, TrainingSettings(epochs=3), "runs/baseline")  # doctest: +SKIP
    """
    _check_classes(model, train_data, validation)
    output_dir = pathlib.Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in ("model.keras", "log.csv", "settings.json"):
        (output_dir / name).unlink(missing_ok=True)
    shutil.rmtree(output_dir / "tensorboard", ignore_errors=True)
    _write_settings(settings, output_dir / "settings.json")

    mixing = None if settings.mixup_alpha is None else MixUp(settings.mixup_alpha, seed=settings.seed)
    training_model = MixedTrainingModel(model, mixing)
    training_model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=_binary_cross_entropy,
        jit_compile=settings.jit,
    )
    model.jit_compile = training_model.jit_compile  # validation predicts with the model alone

    checkpoint = BestCheckpoint(output_dir / "model.keras", settings.monitor)
    history = training_model.fit(
        train_data.batches(settings.batch_size, training=True, seed=settings.seed, mixed=True),
        steps_per_epoch=train_data.steps_per_epoch(settings.batch_size),
        epochs=settings.epochs,
        callbacks=[
            ClipValidation(validation, settings.batch_size),  # first: all others read what it logs
            *_schedule(settings),
            checkpoint,
            keras.callbacks.CSVLogger(output_dir / "log.csv"),
            keras.callbacks.TensorBoard(output_dir / "tensorboard", write_graph=False),
            *callbacks,
        ],
        shuffle=False,  # the data set comes in its order
        verbose=verbose,
    )
    if checkpoint.best is None:
        raise FloatingPointError(
            f"No epoch gave a value of {settings.monitor}; the last loss is {history.history['loss'][-1]}. "
            f"Where that is NaN the training diverged: lower `learning_rate` ({settings.learning_rate})."
        )
    model.load_weights(checkpoint.path)
    return TrainingResult(checkpoint.path, checkpoint.best_epoch, checkpoint.best, history.history)


def _binary_cross_entropy(targets, scores):
    """Mean over the classes, of scores in [0, 1].

    Keras' own differs between the backends where a score saturates (TensorFlow looks up the logits), and
    under torch a NaN raises, on a GPU for the rest of the process.
    """
    scores = keras.ops.clip(scores, keras.config.epsilon(), 1.0 - keras.config.epsilon())
    losses = targets * keras.ops.log(scores) + (1.0 - targets) * keras.ops.log1p(-scores)
    return -keras.ops.mean(losses, axis=-1)


def _schedule(settings):
    return [
        keras.callbacks.ReduceLROnPlateau(
            settings.monitor,
            mode="max",
            factor=settings.plateau_factor,
            patience=settings.plateau_epochs,
            min_delta=0.0,
        ),
        keras.callbacks.EarlyStopping(settings.monitor, mode="max", patience=settings.early_stopping_epochs),
        StopOnNaN(),
    ]


def _check_classes(model, train_data, validation):
    if tuple(train_data.class_names) != tuple(validation.class_names):
        raise ValueError(
            "Training and validation data must have the same classes in the same order; "
            f"received {list(train_data.class_names)} and {list(validation.class_names)}."
        )
    expected, received = (None, len(train_data.class_names)), tuple(model.output_shape)
    if received != expected:
        raise ValueError(
            f"The model must give a score for each class, {expected}; its output shape is {received}."
        )


def _write_settings(settings, path):
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
    os.replace(partial, path)
