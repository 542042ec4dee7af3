"""The fit loop: optimizer, loss, schedule, validation, logs and the best model, in one call."""

import contextlib
import dataclasses
import math
import pathlib
import sys
import warnings

import keras

from keras_audio_si.checks import check_integer
from keras_audio_si.data.pipeline import import_tensorflow
from keras_audio_si.distribution import own_folder, placement, spread_batches
from keras_audio_si.evaluation.patches import check_single_labels
from keras_audio_si.files import write_json, writing
from keras_audio_si.layers.composition import mixes_labels
from keras_audio_si.layers.mixing import MixUp
from keras_audio_si.locks import locked
from keras_audio_si.models.metadata import check_class_names, check_sample_rate
from keras_audio_si.training import run_folder
from keras_audio_si.training.adaptation import adapt
from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.callbacks import (
    BestCheckpoint,
    ClipValidation,
    History,
    PatchValidation,
    RunLog,
    StopOnNaN,
)
from keras_audio_si.training.checkpoint import Checkpoint, ShortFirstEpoch, StepCheckpoints, TrainingCheckpoints
from keras_audio_si.training.ema import WeightAverages
from keras_audio_si.training.forcing import ForcingValidation, Reproduction, check_target
from keras_audio_si.training.gradient_norms import GradientNormLog
from keras_audio_si.training.identity import refuse_differences, run_identity
from keras_audio_si.training.logit_model import LogitTrainingModel
from keras_audio_si.training.losses import check_labels, score_binary_cross_entropy
from keras_audio_si.training.mixing_start import chained, starting_late
from keras_audio_si.training.optimizer import build_optimizer
from keras_audio_si.training.plan_checks import plan_warnings
from keras_audio_si.training.replicas import check_training, compilation, synchronised
from keras_audio_si.training.schedules import LearningRateLog
from keras_audio_si.training.settings import PATCH_MONITORS, TrainingSettings


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What `fit` returns.

    Attributes:
        best_model_path: The `.keras` file with the model of the best epoch; of the last, by `restore_best_weights`.
        best_epoch: That epoch, counted from 0.
        best_value: Value of the monitored metric in that epoch; without validation clips, the loss.
        history: For each logged name (`loss`, `learning_rate`, and what the monitored value comes with: `val_mAP`,
            `val_d_prime` and `val_accuracy`) a list with one value per epoch.
        seconds: Time of the training and validation, from the beginning to the last checkpoint. Of a continued training
            the parts from checkpoint to checkpoint are added up: what was lost to an interruption, and done again,
            counts once. None where an earlier version, which recorded no time, began it.
    """

    best_model_path: pathlib.Path
    best_epoch: int
    best_value: float
    history: dict[str, list[float]]
    seconds: float | None = dataclasses.field(default=None, compare=False)


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
    augmentation=None,
    teacher=None,
    target=None,
):
    """Trains a model on patches, validates it on whole clips, and restores the weights of the best epoch.

    `output_dir` is created and contains `model.keras` (best epoch, or the last by `settings.restore_best_weights`),
    `log.csv` (one row per epoch), `tensorboard/`, `settings.json` and `checkpoints/`, from which an interrupted
    training is resumed. On a CPU and with the same backend the weights and logs of a resumed training are
    bit-identical to those of an uninterrupted one.

    Before the first step each `layers.Standardise` without statistics gets those of the training patches (`adapt`).

    Args:
        model: Keras model from patches to scores `(batch, classes)`. Losses of logits, a teacher and auxiliary
            classifiers need a functional one that ends in `layers.ClassScores`.
        train_data: `data.pipeline.PatchDataset` of the training clips.
        validation: `data.pipeline.PatchDataset` of the validation clips; None for none, where the settings choose
            nothing by them (`settings.needs_validation`).
        settings: `TrainingSettings`.
        output_dir: Folder for the results. No other process can use it meanwhile.
        callbacks: Further Keras callbacks; they see the validation values in the logs. One that counts from
            epoch to epoch names what it counts, numbers or lists of them, in an attribute `counters`.
        verbose: As in `keras.Model.fit`.
        resume: Whether to continue from the last checkpoint in `output_dir`, if there is one. A training that
            is finished is not repeated.
        overwrite: Whether to replace a run that `output_dir` has. Without either a run there is an error.
        checkpoint_steps: Steps of an epoch after which there is a checkpoint each time, beside the one after
            each epoch; None for no others.
        augmentation: Layer from a pair `(waveforms, labels)` to the same, which is called with `training=True`
            in the compiled step, before `MixUp` where the settings have that; None for none.
        teacher: Trained Keras model of the same classes and inputs, whose logits the model learns from beside
            the labels; it is not changed. None for none.
        target: Layer from waveforms to spectrograms, without weights to train, that the model is to reproduce
            instead of giving scores (`training.forcing`); the settings' loss is then `"mse"`. None for labels.

    Returns:
        `TrainingResult`.

    Raises:
        ValueError: If `validation` is missing where it is needed, training and validation classes differ, the model has
            another number of scores or not the logits that the settings need, a clip has not the one label that a
            softmax or a balanced accuracy needs, or a run is continued with other settings, data or models.
        FileExistsError: If `output_dir` has a run, and neither `resume` nor `overwrite` is set.
        BlockingIOError: If another process uses `output_dir`.
        OSError: If `output_dir` cannot be written to, or its disk is full.
        FloatingPointError: If no epoch gave a value of `settings.monitor`: the training diverged.

    Warns:
        UserWarning: If settings cannot do what they are for in so many steps (`plan_checks.plan_warnings`), or the
            training diverged after an epoch that gave a value.

    Example:

    >>> result = fit(model, train, validation, TrainingSettings(epochs=3), "runs/baseline")  # doctest: +SKIP
    """
    if validation is None and settings.needs_validation:
        raise ValueError(
            "Without `validation` the last epoch is kept: `restore_best_weights` must be False, "
            "`early_stopping_patience` None, `schedule` not 'plateau' and `loss` not 'mse'."
        )
    if (target is not None) != (settings.loss == "mse"):
        raise ValueError(f"`target` and `loss`='mse' need each other. Received: loss={settings.loss!r}")
    if target is not None:
        check_target(model, target, train_data, validation)
    else:
        _check_classes(model, train_data, validation)
        check_labels(settings.loss, train_data.class_names, train_data.clip_ids, train_data.labels.sum(axis=1))
    if validation is not None and settings.monitor in PATCH_MONITORS:
        check_single_labels(validation)
    if teacher is not None:
        _check_teacher(teacher, train_data, settings)
    _check_saving(resume, overwrite, checkpoint_steps)
    check_training(model, settings)
    best_model_path = pathlib.Path(output_dir) / run_folder.BEST_MODEL
    with own_folder(output_dir) as output_dir, locked(output_dir):
        identity = run_identity(model, train_data, validation, settings, augmentation, teacher, target)
        start = _start(output_dir, identity, resume, overwrite)
        _write_settings(settings, output_dir / "settings.json")
        if start is not None and verbose:
            doing = "Finished before, at" if start.finished else "Continuing from"
            print(f"{output_dir}: {doing} {start.place()}.", flush=True)
        epoch, step = (start.epoch, start.step) if start is not None else (0, 0)
        if start is None:  # A checkpoint has them.
            _adapt(model, train_data, verbose)
        steps = train_data.steps_per_epoch(settings.batch_size)
        augmentations = augmentation_layers(settings, augmentation)
        mixed = [mixes_labels(layer) for layer in chained(augmentations)]
        for warning in plan_warnings(settings, steps, augmented=not all(mixed), mixed=any(mixed)):
            warnings.warn(warning, stacklevel=2)

        history = History()
        monitor = "loss" if validation is None else settings.monitor
        best = BestCheckpoint(output_dir / run_folder.BEST_MODEL, monitor, settings.restore_best_weights)
        validating = [] if validation is None else [_validation(settings, validation, target)]
        validating += [GradientNormLog()] * settings.gradient_norms
        counting = [*_schedule(settings), *callbacks, history]
        saved = {"identity": identity, "callbacks": [*counting, best], "start": start, "redo": best}
        if checkpoint_steps is None:
            checkpoints = TrainingCheckpoints(output_dir, **saved)
        else:
            checkpoints = StepCheckpoints(checkpoint_steps, steps, folder=output_dir, **saved)
        with _interruption_explained(checkpoints), synchronised(model):
            _training_model(model, settings, steps, augmentations, teacher, target).fit(
                _batches(train_data, settings, epoch, step),
                steps_per_epoch=steps,
                initial_epoch=epoch,
                epochs=epoch if start is not None and start.finished else settings.epochs,
                callbacks=[
                    *([ShortFirstEpoch(steps - step)] if step else []),
                    *validating,  # all others read what these log
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
                f"No epoch gave a value of {monitor}; the last loss is {history.history['loss'][-1]}. "
                f"Where that is NaN the training diverged: lower `learning_rate` ({settings.learning_rate})."
            )
        if math.isnan(history.history["loss"][-1]):
            warnings.warn(
                f"The training diverged in epoch {len(history.history['loss'])}, and ended there; the model is that of "
                f"epoch {best.best_epoch + 1}. Lower `learning_rate` ({settings.learning_rate}).",
                stacklevel=2,
            )
        model.load_weights(best.path)
    return TrainingResult(best_model_path, best.best_epoch, best.best, history.history, checkpoints.last.seconds)


def _batches(train_data, settings, epoch, step):
    """This process's part of the batches from a step of an epoch on, by tf.data where TensorFlow is installed."""
    place = placement()
    where = {"seed": settings.seed, "start_epoch": epoch, "start_step": step, "mixed": True}
    where["part"] = place.process, place.processes
    try:
        import_tensorflow()
    except ImportError:
        return train_data.endless_batches(settings.batch_size, **where)
    batches = train_data.batches(settings.batch_size, training=True, **where)
    return spread_batches(batches, settings.batch_size)


def _adapt(model, train_data, verbose):
    for layer in adapt(model, train_data):
        if verbose:
            print(f"{layer.name}: {layer.summary()} of {train_data.num_patches} training patches.", flush=True)


def _start(folder, identity, resume, overwrite):
    """The checkpoint to continue from, or None and a folder without a run."""
    start = Checkpoint.newest(folder / run_folder.CHECKPOINTS) if resume else None
    if start is not None:
        # A run of an earlier version has no record of settings that were not there, and ran as by their defaults.
        try:
            refuse_differences({**dataclasses.asdict(TrainingSettings()), **start.identity}, identity)
        except ValueError as error:
            raise ValueError(f"{str(folder)!r}: {error}") from None
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


def _validation(settings, validation, target):
    """The callback that logs the monitored value."""
    if target is not None:
        return ForcingValidation(validation, target, settings.batch_size)
    validate = PatchValidation if settings.monitor in PATCH_MONITORS else ClipValidation
    return validate(validation, settings.batch_size)


def augmentation_layers(settings, augmentation):
    """The layers that a batch goes through before the model."""
    layers = [] if augmentation is None else [augmentation]
    if settings.mixup_alpha is not None:
        mixup = MixUp(
            settings.mixup_alpha,
            seed=settings.seed,
            gain_aware=settings.mixup_gain_aware,
            probability=settings.mixup_probability,
            labels_by="loudness",
        )
        layers.append(mixup)
    return layers


def _training_model(model, settings, steps_per_epoch, mixing, teacher, target):
    """The model in what it is trained in, compiled."""
    if settings.mixing_from_epoch:
        mixing = starting_late(mixing, settings.mixing_from_epoch * steps_per_epoch)
    averages = None
    if settings.ema_decay is not None:
        averages = WeightAverages(model, settings.ema_decay, settings.ema_update, steps_per_epoch)
    if target is not None:
        training_model, loss = AugmentedModel(model, [*mixing, Reproduction(target)], averages), "mse"
    elif settings.loss == "score-bce":
        training_model, loss = AugmentedModel(model, mixing, averages), score_binary_cross_entropy
    else:
        training_model, loss = LogitTrainingModel(model, settings, mixing, averages, teacher), None
    steps = settings.epochs * steps_per_epoch
    optimizer = build_optimizer(settings, training_model.trainable_variables, steps)
    training_model.compile(optimizer, loss, jit_compile=compilation(settings.jit_compile))
    model.jit_compile = training_model.jit_compile  # validation predicts with the model alone
    return training_model


def _schedule(settings):
    """The callbacks that decide on the learning rate and on the end of the training."""
    monitored = {"monitor": settings.monitor, "mode": "max"}
    callbacks = [StopOnNaN()]
    if settings.early_stopping_patience is not None:
        callbacks.insert(0, keras.callbacks.EarlyStopping(**monitored, patience=settings.early_stopping_patience))
    if settings.schedule != "plateau":
        return [LearningRateLog(), *callbacks]  # the schedule itself, if any, is the optimizer's
    factor, patience = settings.plateau_factor, settings.plateau_patience
    plateau = keras.callbacks.ReduceLROnPlateau(**monitored, factor=factor, patience=patience, min_delta=0.0)
    return [plateau, *callbacks]


def _check_classes(model, train_data, validation):
    if validation is not None and tuple(train_data.class_names) != tuple(validation.class_names):
        raise ValueError(
            "Training and validation data must have the same classes in the same order. "
            f"Received: {list(train_data.class_names)} and {list(validation.class_names)}"
        )
    expected, received = (None, len(train_data.class_names)), tuple(model.output_shape)
    if received != expected:
        raise ValueError(f"The model must give a score for each class, {expected}. Received: output_shape={received}")
    check_class_names(model, train_data.class_names)
    for patches in filter(None, (train_data, validation)):
        check_sample_rate(model, patches.sample_rate)


def _check_teacher(teacher, train_data, settings):
    if settings.loss in ("score-bce", "mse"):
        raise ValueError(
            "`teacher` needs a `loss` of logits: 'bce', 'softmax' or 'softmax-or-bce'. "
            f"Received: loss={settings.loss!r}"
        )
    check_class_names(teacher, train_data.class_names)
    check_sample_rate(teacher, train_data.sample_rate)
    if teacher.input_shape[1] not in (None, train_data.patch_samples):
        raise ValueError(
            f"`teacher` must take patches as long as those of the training, {train_data.patch_samples} samples. "
            f"Received: input_shape={teacher.input_shape}"
        )


def _check_saving(resume, overwrite, checkpoint_steps):
    if resume and overwrite:
        raise ValueError("`resume` and `overwrite` exclude each other: choose one.")
    if checkpoint_steps is not None:
        check_integer(1, checkpoint_steps=checkpoint_steps)


def _write_settings(settings, path):
    with writing(path.parent):
        write_json(path, dataclasses.asdict(settings), indent=2)
