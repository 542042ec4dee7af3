"""Training in stages that start from the best weights of earlier ones, with frozen layers and resuming."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_audio_si.checks import check_choice
from keras_audio_si.files import write_json, writing, written_whole
from keras_audio_si.locks import locked
from keras_audio_si.models.loading import load_model
from keras_audio_si.training import run_folder
from keras_audio_si.training.checkpoint import assign_by_position
from keras_audio_si.training.fit_loop import fit
from keras_audio_si.training.freezing import FROZEN, chosen_layers, training_only
from keras_audio_si.training.identity import refuse_differences
from keras_audio_si.training.settings import TrainingSettings

PLAN = "stages.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One training of several.

    Args:
        name: Of the stage and its folder: letters, digits, "-" and "_".
        model: Keras model to train. Stages may share a model, and models may share layers.
        settings: `TrainingSettings`: epochs, optimizer, learning rate and all else.
        trains: Paths of the layers that are trained (`freezing.layers_by_path`); None for all.
        start: The weights to begin with. None: those that the model has when `train_stages` is called; the name of an
            earlier stage: all weights of its best epoch; a dict from paths of layers to names of earlier stages: the
            weights of these layers, one after the other, and what the model has at first for the others.
        frozen: How the frozen layers run in training: `"inference"` or `"training"` (`freezing.training_only`).
        target: Layer that the model is to reproduce, as in `fit`; None for labels.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")])
    >>> head = Stage("head", model, TrainingSettings(epochs=2), trains=("b",))
    >>> both = Stage("both", model, TrainingSettings(epochs=5), start="head")
    >>> both.trains is None, both.start
    (True, 'head')
    """

    name: str
    model: keras.Model
    settings: TrainingSettings
    trains: tuple[str, ...] | None = None
    start: str | Mapping[str, str] | None = None
    frozen: str = "inference"
    target: keras.layers.Layer | None = None

    def __post_init__(self):
        if not re.fullmatch(r"[\w-]+", self.name) or self.name.startswith("initial-"):
            raise ValueError(f"`name` must be of letters, digits, '-' and '_'. Received: name={self.name!r}")
        check_choice("frozen", self.frozen, FROZEN)
        if self.trains is not None:
            object.__setattr__(self, "trains", tuple(self.trains))
            chosen_layers(self.model, self.trains)
            if not self.trains:
                raise ValueError("`trains` must name at least one layer, or be None for all. Received: trains=()")

    def plan(self):
        """What the stage is beside what the identity of its run says, as JSON has it."""
        start = dict(self.start) if isinstance(self.start, Mapping) else self.start
        return {"trains": self.trains, "start": start, "frozen": self.frozen}


def train_stages(
    stages,
    train_data,
    validation,
    output_dir,
    resume=False,
    overwrite=False,
    callbacks_of=None,
    verbose="auto",
    checkpoint_steps=None,
    augmentation=None,
    after_stage=None,
):
    """Trains stages in sequence, each by `fit` in its own folder.

    A stage ends with the weights of its best epoch, by the value that its settings monitor; later stages can start from
    them. An interrupted training is resumed in the stage that was interrupted, and ends with weights and logs that are
    bit-identical to those of an uninterrupted one (on a CPU and with the same backend).

    Args:
        stages: List of `Stage`, in their order.
        train_data: `data.pipeline.PatchDataset` of the training clips.
        validation: `data.pipeline.PatchDataset` of the validation clips.
        output_dir: Folder for the folders of the stages. It also gets `stages.json` and the initial state of every
            model, which a continued training begins its next stages from.
        resume: Whether to continue what is in `output_dir`, if anything.
        overwrite: Whether to replace it. Without either a run that is there is an error.
        callbacks_of: Function from a `Stage` to a list of further callbacks for `fit`; None for none.
        verbose: As in `keras.Model.fit`.
        checkpoint_steps: As in `fit`.
        augmentation: As in `fit`.
        after_stage: Function of a `Stage` and its `TrainingResult`, called when it has ended and its model has the
            weights of its best epoch; once more when the stages after it are continued. None for none.

    Returns:
        Dict of `TrainingResult`, by the names of the stages. The models have the weights of their last stage's best
        epoch.

    Raises:
        ValueError: If stages do not fit together, or are continued with others.
        FileExistsError: If `output_dir` has a run, and neither `resume` nor `overwrite` is set.
        BlockingIOError: If another process uses `output_dir`.
        OSError: If `output_dir` cannot be written to.
        FloatingPointError: If a stage diverged.

    Example:

    >>> results = train_stages([head, both], train, validation, "runs/thawed")  # doctest: +SKIP

    Reference:
        juettner, section 2.3.1.
    """
    stages, folder = list(stages), pathlib.Path(output_dir)
    _check(stages)
    if resume and overwrite:
        raise ValueError("`resume` and `overwrite` exclude each other: choose one.")
    with locked(folder, "stages.lock"):
        _claim(stages, folder, resume, overwrite)
        results = {}
        for number, stage in enumerate(stages, start=1):
            if verbose:
                print(f"\nStage {stage.name} ({number} of {len(stages)})", flush=True)
            begin_stage(stage, stages, folder)
            with training_only(stage.model, stage.trains, stage.frozen):
                results[stage.name] = fit(
                    stage.model,
                    train_data,
                    validation,
                    stage.settings,
                    folder / stage.name,
                    callbacks=() if callbacks_of is None else callbacks_of(stage),
                    verbose=verbose,
                    resume=True,
                    checkpoint_steps=checkpoint_steps,
                    augmentation=augmentation,
                    target=stage.target,
                )
            if after_stage is not None:
                after_stage(stage, results[stage.name])
    return results


def begin_stage(stage, stages, folder):
    """Gives the model of a stage the weights that it begins with, and its random layers the state they had at first.

    Args:
        stage: `Stage`.
        stages: List of all of them.
        folder: Folder that `train_stages` has trained the earlier ones in.
    """
    folder = pathlib.Path(folder)
    with np.load(_initial_state(stage, stages, folder)) as arrays:
        assign_by_position(stage.model.variables, list(arrays.values()))
    if keras.backend.backend() == "torch":  # whose dropout draws from a generator of its own
        import torch

        torch.manual_seed(stages.index(stage))
    if isinstance(stage.start, str):
        stage.model.load_weights(folder / stage.start / run_folder.BEST_MODEL)
        return
    models = {}
    for path, source in (stage.start or {}).items():
        if source not in models:
            models[source] = load_model(folder / source / run_folder.BEST_MODEL, compile=False)
        (layer,), (trained,) = chosen_layers(stage.model, [path]), chosen_layers(models[source], [path])
        layer.set_weights(trained.get_weights())


def _initial_state(stage, stages, folder):
    """The file with what the variables of the stage's model were at first, named after the first stage that has it."""
    first = next(other for other in stages if other.model is stage.model)
    return folder / f"initial-{first.name}.npz"


def _claim(stages, folder, resume, overwrite):
    """Makes the folder that of these stages, with their plan and the initial state of their models."""
    plan = {f"stage {stage.name}": stage.plan() for stage in stages}
    plan["stages"] = [stage.name for stage in stages]
    if resume and (folder / PLAN).exists():
        refuse_differences(json.loads((folder / PLAN).read_text(encoding="utf-8")), plan)
        return
    if (folder / PLAN).exists() and not overwrite:
        raise FileExistsError(
            f"{str(folder)!r} has a run in stages. Continue it with resume=True (--resume), replace it with "
            "overwrite=True (--overwrite), or choose another folder."
        )
    for stage in stages:
        if not overwrite:
            run_folder.refuse_existing(folder / stage.name)
    with writing(folder):
        (folder / PLAN).unlink(missing_ok=True)
        for stage in stages:
            run_folder.clear(folder / stage.name)
            with written_whole(_initial_state(stage, stages, folder)) as temporary:
                np.savez(temporary, *map(keras.ops.convert_to_numpy, stage.model.variables))
        write_json(folder / PLAN, plan, indent=2)  # the last: what it speaks of is there


def _check(stages):
    """Raises a `ValueError` if a stage begins with weights that no earlier one gives."""
    earlier = {}
    for stage in stages:
        if stage.name in earlier:
            raise ValueError(f"Two stages are called {stage.name!r}: give them names of their own.")
        whole = isinstance(stage.start, str)
        for path, source in {None: stage.start}.items() if whole else (stage.start or {}).items():
            if source not in earlier:
                raise ValueError(f"The stage {stage.name!r} starts from {source!r}, which is no earlier stage.")
            here, there = stage.model, earlier[source].model
            if path is not None:
                (here,), (there,) = chosen_layers(here, [path]), chosen_layers(there, [path])
            shapes, given = ([tuple(np.shape(w)) for w in layer.weights] for layer in (here, there))
            if shapes != given:
                raise ValueError(
                    f"The stage {stage.name!r} cannot start from {source!r}: the weights of {path or here.name!r} have "
                    "other shapes there. Name the layers that it starts from, by a dict."
                )
        earlier[stage.name] = stage
