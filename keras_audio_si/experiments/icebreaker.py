"""A run with the IceBreaker of juettner: staged training of a network with a learned front-end."""

import dataclasses
import shutil

import keras

from keras_audio_si import models
from keras_audio_si.experiments.model import build_augmentation, build_model, class_activation, precision
from keras_audio_si.experiments.run import cut_patches, measured, run_callbacks, shifted_patches
from keras_audio_si.experiments.settings import FORCED
from keras_audio_si.files import writing, written_whole
from keras_audio_si.models.loading import load_model
from keras_audio_si.training.forcing import forcing_model, normalised, spectrogram_statistics
from keras_audio_si.training.icebreaker_stages import forcing_settings, icebreaker
from keras_audio_si.training.run_folder import BEST_MODEL
from keras_audio_si.training.stages import Stage, train_stages
from keras_audio_si.visualization.pictures import write_pictures

NETWORKS_IN_STAGES = ("heurinet", "mstnet", "melconvnet")


def train_in_stages(splits, settings, run):
    """Trains a network in the four phases of the IceBreaker, MSTNet after spectrogram forcing, and tests it.

    Each stage has a folder in that of the run, with its model, logs and figures of its front-end. The model of the last
    stage is that of the run.

    Args:
        splits: Dict of the `ClipCache` of "train", "val" and "test".
        settings: `experiments.settings.Settings` with `icebreaker`.
        run: `experiments.run.Run`

    Returns:
        Dict of the measured values by name, as `run.measured` has them.

    Raises:
        ValueError: If the network has no front-end that learns, or there is a teacher.

    Reference:
        juettner, section 2.3.
    """
    network = settings.model.network
    if network not in NETWORKS_IN_STAGES:
        raise ValueError(
            f"`icebreaker` is for the networks {', '.join(NETWORKS_IN_STAGES)}. Received: network={network!r}"
        )
    if run.teacher is not None:
        raise ValueError(
            f"`teacher` must be None with `icebreaker`, whose stages learn from labels alone. Received: {run.teacher}"
        )
    if "val" not in splits:
        raise ValueError(
            "`icebreaker` needs validation clips, which choose the epoch of each stage: `validation_split`."
        )
    class_names = splits["train"].manifest.class_names
    keras.utils.set_random_seed(settings.training.seed)
    model = build_model(class_names, settings)
    shifted = shifted_patches(model, splits["test"], settings) if settings.evaluation.protocols else None
    patches = {split: cut_patches(model, cache, settings, run, split) for split, cache in splits.items()}
    stages = plan_stages(model, settings, patches["train"])

    def after_stage(stage, result):
        learned = [other for other in stages[: stages.index(stage) + 1] if other.name != "phase0"]
        shown = {s.name: load_model(run.folder / s.name / BEST_MODEL) for s in learned if s is not stage}
        write_pictures(shown | {stage.name: stage.model}, patches["val"], run.folder / stage.name)

    results = train_stages(
        stages,
        patches["train"],
        patches["val"],
        run.folder,
        callbacks_of=lambda stage: run_callbacks(stage.model, patches["val"], run),
        augmentation=build_augmentation(settings),
        after_stage=after_stage,
        verbose=run.verbose,
        **run.saving,
    )
    with writing(run.folder), written_whole(run.folder / BEST_MODEL) as temporary:
        shutil.copyfile(run.folder / stages[-1].name / BEST_MODEL, temporary)
    return measured(model, patches, settings, run, results.values(), shifted)


def plan_stages(model, settings, train_patches):
    """Plans the stages of a network.

    Args:
        model: Network of `models.HeuriNet`, `MSTNet` or `MelConvNet`.
        settings: `Settings`
        train_patches: `PatchDataset` of the training clips, whose statistics normalise the spectrograms of forcing.

    Returns:
        List of `training.stages.Stage`.
    """
    stages = settings.stages
    training = dataclasses.replace(settings.training, epochs=stages.phase_epochs)
    front_end, forced = models.front_end_of(model), None
    spectrogram = models.piczak_spectrogram(settings.data.sample_rate, short=front_end.short)
    if settings.model.network == FORCED:
        spectrogram = normalised(spectrogram, spectrogram_statistics(spectrogram, train_patches), stages.forcing_form)
        learning = forcing_model(front_end, model.input_shape[1])
        forced = Stage("forcing", learning, forcing_settings(training, stages.forcing_epochs), target=spectrogram)
    keras.utils.set_random_seed(training.seed)
    piczak = model.layers[-1]
    options = {name: getattr(settings.model, name) for name in ("dense_units", "deltas")}
    samples, standardise = model.input_shape[1], settings.model.standardised
    with precision(settings.model.mixed_precision):
        backbone = models.PiczakNet(
            model.output_shape[-1],
            activation=class_activation(training),
            class_names=models.class_names_of(model),
            name=piczak.name,
            **{name: value for name, value in options.items() if value is not None},
        )
        alone = models.Classifier(spectrogram, backbone, input_samples=samples, standardise=standardise)
    return icebreaker(alone, model, training, stages.first_epochs, forced)
