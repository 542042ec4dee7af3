"""The training recipe: optimizer, loss, schedule, validation, logs and the best model, in one call."""

import contextlib
import dataclasses
import json
import math
import pathlib
import sys

import keras

from keras_audio_si.evaluation.compatibility import check_class_names, check_sample_rate
from keras_audio_si.evaluation.report import written_whole
from keras_audio_si.layers.mixing import MixUp
from keras_audio_si.training import run_folder
from keras_audio_si.training.callbacks import BestCheckpoint, ClipValidation, RunLog, StopOnNaN
from keras_audio_si.training.checkpoint import Checkpoint, ShortFirstEpoch, StepCheckpoints, TrainingCheckpoints
from keras_audio_si.training.identity import refuse_differences, run_identity
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
            raise ValueError(f"`plateau_factor` must be above 0 and below 1; received {self.plateau_factor!r}.")
        if self.mixup_alpha is not None and not 0 < self.mixup_alpha < math.inf:
            raise ValueError(f"`mixup_alpha` must be a positive number or None; received {self.mixup_alpha!r}.")
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


def fit(
    model,
    train_data,
    validation,
    settings,
    output_dir,
    callbacks=(),
    verbose="auto",
    resume=False,
    overwrite=False,
    checkpoint_steps=None,
):
    """Trains a model on patches, validates it on whole clips, and leaves it with its best epoch's weights.

    In `output_dir`, which is made, are then `model.keras` (best epoch), `log.csv` (one row per epoch),
    `tensorboard/`, `settings.json` and `checkpoints/`, from which a training that was cut off continues. On a
    CPU and with the same backend it ends with the same weights and logs as if nothing had happened, to the bit.

    Args:
        model: Keras model from patches to sigmoid scores `(batch, classes)`.
        train_data: `data.pipeline.PatchDataset` of the training clips.
        validation: `data.pipeline.PatchDataset` of the validation clips.
        settings: `TrainingSettings`.
        output_dir: folder for the results. No other process can use it meanwhile.
        callbacks: further Keras callbacks; they see the validation values in the logs. One that counts from
            epoch to epoch names what it counts, numbers or lists of them, in an attribute `counters`.
        verbose: as in `keras.Model.fit`.
        resume: whether to continue from the last checkpoint in `output_dir`, if there is one. A training that
            is finished is not repeated.
        overwrite: whether to replace a run that `output_dir` has. Without either a run there is an error.
        checkpoint_steps: steps of an epoch after which there is a checkpoint each time, beside the one after
            each epoch; None for no others.

    Returns:
        `TrainingResult`.

    Raises:
        ValueError: if training and validation classes differ, the model has another number of scores, or a run
            is continued with other settings, data or another model.
        FileExistsError: if `output_dir` has a run, and neither `resume` nor `overwrite` is set.
        BlockingIOError: if another process uses `output_dir`.
        OSError: if `output_dir` cannot be written to, or its disk is full.
        FloatingPointError: if no epoch gave a value of `settings.monitor`: the training diverged.

    Example:

    >>> result = fit(model, train, validation, TrainingSettings(epochs=3), "runs/baseline")  # doctest: +SKIP
    """
    _check_classes(model, train_data, validation)
    _check_saving(resume, overwrite, checkpoint_steps)
    output_dir = pathlib.Path(output_dir)
    with run_folder.locked(output_dir):
        identity = run_identity(model, train_data, validation, settings)
        start = _start(output_dir, identity, resume, overwrite)
        _write_settings(settings, output_dir / "settings.json")
        if start is not None and verbose:
            doing = "Finished before, at" if start.finished else "Continuing from"
            print(f"{output_dir}: {doing} {start.place()}.", flush=True)
        epoch, step = (start.epoch, start.step) if start is not None else (0, 0)
        steps = train_data.steps_per_epoch(settings.batch_size)

        history = keras.callbacks.History()
        best = BestCheckpoint(output_dir / run_folder.BEST_MODEL, settings.monitor)
        counting = [*_schedule(settings), *callbacks, history]
        saved = {"identity": identity, "callbacks": [*counting, best], "start": start, "redo": best}
        if checkpoint_steps is None:
            checkpoints = TrainingCheckpoints(output_dir, **saved)
        else:
            checkpoints = StepCheckpoints(checkpoint_steps, steps, folder=output_dir, **saved)
        with _interruption_explained(checkpoints):
            _training_model(model, settings).fit(
                train_data.batches(
                    settings.batch_size,
                    training=True,
                    seed=settings.seed,
                    start_epoch=epoch,
                    start_step=step,
                    mixed=True,
                ),
                steps_per_epoch=steps,
                initial_epoch=epoch,
                epochs=epoch if start is not None and start.finished else settings.epochs,
                callbacks=[
                    *([ShortFirstEpoch(steps - step)] if step else []),
                    ClipValidation(validation, settings.batch_size),  # all others read what it logs
                    *counting,
                    checkpoints,
                    best,  # from here on what can be done again from a checkpoint
                    RunLog(output_dir, history),
                ],
                shuffle=False,  # the data set comes in its order
                verbose=verbose,
            )
        if best.best is None:
            raise FloatingPointError(
                f"No epoch gave a value of {settings.monitor}; the last loss is {history.history['loss'][-1]}. "
                f"Where that is NaN the training diverged: lower `learning_rate` ({settings.learning_rate})."
            )
        model.load_weights(best.path)
    return TrainingResult(best.path, best.best_epoch, best.best, history.history)


def _start(folder, identity, resume, overwrite):
    """The checkpoint to continue from, or None and a folder without a run."""
    start = Checkpoint.newest(folder / run_folder.CHECKPOINTS) if resume else None
    if start is not None:
        refuse_differences(start.identity, identity)
        return start
    if resume and run_folder.has_run(folder):
        raise FileExistsError(
            f"{str(folder)!r} has a model but no checkpoint, so its run cannot be continued: replace it with "
            "overwrite=True (--overwrite), or choose another folder."
        )
    if not overwrite:
        run_folder.refuse_existing(folder)
    run_folder.clear(folder)
    return None


@contextlib.contextmanager
def _interruption_explained(checkpoints):
    try:
        yield
    except KeyboardInterrupt:
        last, folder = checkpoints.last, checkpoints.folder.parent
        if last is None:
            print(f"\n{folder} has no checkpoint yet, and nothing to continue from.", file=sys.stderr)
        else:
            print(
                f"\n{folder} has a checkpoint of {last.place()}; continue from it with resume=True (--resume).",
                file=sys.stderr,
            )
        raise


def _training_model(model, settings):
    mixing = None if settings.mixup_alpha is None else MixUp(settings.mixup_alpha, seed=settings.seed)
    training_model = MixedTrainingModel(model, mixing)
    training_model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=_binary_cross_entropy,
        jit_compile=settings.jit,
    )
    model.jit_compile = training_model.jit_compile  # validation predicts with the model alone
    return training_model


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
        raise ValueError(f"The model must give a score for each class, {expected}; its output shape is {received}.")
    check_class_names(model, train_data.class_names)
    for patches in (train_data, validation):
        check_sample_rate(model, patches.sample_rate)


def _check_saving(resume, overwrite, checkpoint_steps):
    if resume and overwrite:
        raise ValueError("`resume` and `overwrite` exclude each other: choose one.")
    if checkpoint_steps is not None and (not isinstance(checkpoint_steps, int) or checkpoint_steps < 1):
        raise ValueError(f"`checkpoint_steps` must be None or an integer of at least 1; received {checkpoint_steps!r}.")


def _write_settings(settings, path):
    with run_folder.writing(path.parent), written_whole(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
