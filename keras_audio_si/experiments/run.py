"""Parts of one run of an experiment, which has one division of the data and one seed: patches, pictures, measures."""

import dataclasses
import math
import pathlib
import sys

from keras_audio_si import models
from keras_audio_si.checks import check_matplotlib
from keras_audio_si.data.background import BackgroundNoise
from keras_audio_si.data.clip_files import read_clips
from keras_audio_si.data.loud_patches import cut_loud_patches
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.data.speech_commands import background_noise_files
from keras_audio_si.evaluation.clip_table import CLIPS, write_clips
from keras_audio_si.evaluation.clips import clip_evaluation, evaluate_clips, predict_patches
from keras_audio_si.evaluation.patches import score_patches
from keras_audio_si.evaluation.report import quantities, trainable_parameters, write_table
from keras_audio_si.evaluation.shift import shift_table
from keras_audio_si.evaluation.shift_clips import SHIFT_CLIPS, NoClipError, shift_patches, write_clip_list
from keras_audio_si.experiments.model import build_model
from keras_audio_si.experiments.model_card import write_card
from keras_audio_si.files import writing
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.layers import DiffResLayer
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.models.metadata import check_sample_rate
from keras_audio_si.training.activeness import ActivenessLog
from keras_audio_si.training.progress import RemainingTime
from keras_audio_si.training.score_history import ScoreHistory
from keras_audio_si.visualization.activations import loudest_patches, one_clip_per_class

CONFUSION = "confusion"  # Name of the tables with the confusion of classes.
_ANIMATED_CLIPS = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """Folders and options of a run, in addition to its settings.

    Args:
        folder: Folder for the model and its logs.
        cache_dir: Folder for decoded audio; None for none.
        teacher: Folder of a run whose `model.keras` teaches this one; None for none.
        resume: Whether to continue what the folder has, if anything.
        overwrite: Whether to replace it.
        checkpoint_steps: As in `training.fit`.
        verbose: As in `keras.Model.fit`.
        command: Command line that started it, for the model card.
    """

    folder: pathlib.Path
    cache_dir: str | None = "runs/cache"
    teacher: pathlib.Path | None = None
    resume: bool = False
    overwrite: bool = False
    checkpoint_steps: int | None = None
    verbose: str | int = "auto"
    command: str = ""

    @property
    def saving(self):
        """The arguments `resume`, `overwrite` and `checkpoint_steps` of `fit`."""
        return {name: getattr(self, name) for name in ("resume", "overwrite", "checkpoint_steps")}


def cut_patches(model, cache, settings, run, split):
    """Cuts the clips of a split into the patches that a model takes.

    Args:
        model: Classifier of waveforms.
        cache: `ClipCache` at the model's sample rate.
        settings: `Settings`
        run: `Run`
        split: "train", "val" or "test". Crops, sampling and background noise are for "train" alone.

    Returns:
        `PatchDataset`
    """
    check_sample_rate(model, cache.sample_rate)
    layout, data = patch_layout(model), settings.data
    short = data.short or layout.short
    if data.peak_of is not None:
        sampling = data.sampling if split == "train" else "once"
        options = {"silence_decibels": data.silence_decibels, "peak_of": data.peak_of, "sampling": sampling}
        spectrogram = models.piczak_spectrogram(cache.sample_rate)
        patches, counts = cut_loud_patches(cache, spectrogram, layout.patch_samples, short=short, **options)
        print(f"{split}: {counts}", flush=True)
        return patches
    training = {}
    if split == "train":
        training = {"crops": data.crops, "sampling": data.sampling}
        if data.background_noise:
            noises = [Clip(str(path.resolve())) for path in background_noise_files(cache.manifest.root)]
            training["background"] = BackgroundNoise(read_clips(Manifest(noises), data.sample_rate, run.cache_dir))
    return PatchDataset(cache, layout.patch_samples, layout.hop_samples, short=short, peak=layout.peak, **training)


def measured(model, patches, settings, run, trainings, shifted=None):
    """Measures a trained model on the test clips, and writes their scores (`clips.csv`) and the model's card.

    Args:
        model: Keras model.
        patches: Dict of the `PatchDataset` of "train", "test" and perhaps "val".
        settings: `Settings`
        run: `Run`; the confusion of classes comes to its folder as well, if `patch_scores` is set.
        trainings: List of the `TrainingResult` of the run, one per stage.
        shifted: `SelectedPatches` for the shift test, or None.

    Returns:
        Dict of values by name: "parameters" (trainable), "epochs" and "seconds" of all trainings (the latter only where
        they are known), "mAP", "d'", "accuracy", "ROC AUC", with `patch_scores` the balanced accuracies, and for each
        protocol "time-1 consistency (%)" and "time-1 MAC".
    """
    batch_size = settings.training.batch_size
    predicted = predict_patches(model, patches["test"], batch_size)
    clips = clip_evaluation(predicted, patches["test"])
    seconds = [training.seconds for training in trainings]
    values = {
        "parameters": trainable_parameters(model),
        "epochs": sum(len(training.history["loss"]) for training in trainings),
        **({} if None in seconds else {"seconds": round(math.fsum(seconds), 1)}),
        **quantities(clips),
        "ROC AUC": clips.roc_auc,
    }
    if settings.evaluation.train_scores:
        learned = evaluate_clips(model, patches["train"], batch_size)
        values |= {"train mAP": learned.mAP, "train accuracy": learned.accuracy}
    if settings.evaluation.patch_scores:
        scores = score_patches(predicted, patches["test"])
        values |= {name.replace("_", " "): value for name, value in scores.balanced_accuracies().items()}
        with writing(run.folder):
            write_table(_counts(scores.patches, scores.class_names), run.folder, CONFUSION)
    if shifted is not None:
        protocols = settings.evaluation.protocols
        values |= quantities(shifts=shift_table(model, shifted.waveforms, protocols, batch_size=batch_size))
    with writing(run.folder):
        write_clips(clips.clips, run.folder / CLIPS)
        write_card(model, patches, settings, values, run.folder, run.command)
    return values


def shifted_patches(model, test, settings):
    """Cuts the patches of the shift test of settings; they depend on the model's input, not on its weights."""
    evaluation = settings.evaluation
    limit, listed = evaluation.max_shift_clips, evaluation.shift_clips
    try:
        return shift_patches(model, test, evaluation.protocols, limit, clip_list=listed)
    except NoClipError as error:
        raise NoClipError(f"{error} Give no protocols to leave the shift test out.") from None


def write_shift_clips(test, settings, folder):
    """Writes `shift_clips.csv`, the list of the clips that the shift test takes."""
    patches = shifted_patches(build_model(test.manifest.class_names, settings), test, settings)
    with writing(folder):
        write_clip_list(patches, test, folder / SHIFT_CLIPS)
    print(
        f"Shift test: {len(patches.starts)} clips, of {patches.num_eligible} that can be used among "
        f"{patches.num_clips} ({folder / SHIFT_CLIPS})"
    )


def run_callbacks(model, patches, run):
    """Returns the callbacks of a run: the time it takes and, of DiffRes, activeness and an animation of its scores."""
    callbacks = [RemainingTime(run.verbose)]
    if not any(isinstance(layer, DiffResLayer) for layer in nested_layers(model)):
        return callbacks
    try:
        check_matplotlib()
    except ImportError as error:
        print(f"No animation of the scores. {error}", file=sys.stderr)
        return [*callbacks, ActivenessLog()]
    clips = one_clip_per_class(patches)[:_ANIMATED_CLIPS]
    waveforms = patches.waveforms(loudest_patches(patches, clips))
    history = ScoreHistory(waveforms, run.folder, [patches.clip_ids[clip] for clip in clips])
    return [*callbacks, ActivenessLog(), history]


def _counts(confusion, class_names):
    head = "" if "class" in class_names else "class"
    return [
        {head: name} | dict(zip(class_names, map(str, counts), strict=True))
        for name, counts in zip(class_names, confusion.counts.tolist(), strict=True)
    ]
