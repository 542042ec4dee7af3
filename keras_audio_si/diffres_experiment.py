"""DiffRes and what it is compared with, from audio files to a table: the recipes of liu2022 call it."""

import dataclasses
import math
import pathlib
import sys

import keras

from keras_audio_si import layers, models
from keras_audio_si.cross_validation import cross_validate, divide, row_path, run_rows
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.diffres_plans import Plan
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.experiment import precision, trainable_parameters
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.layers.resolution import AGGREGATIONS
from keras_audio_si.training.activeness import ActivenessLog
from keras_audio_si.training.fit import fit
from keras_audio_si.training.score_history import ScoreHistory
from keras_audio_si.training.settings import check_seeds, take_training_settings
from keras_audio_si.visualization.activations import loudest_patches, one_clip_per_class
from keras_audio_si.visualization.plots import check_matplotlib, plot_learning_curves

METHODS = {
    "none": None,
    "hop": layers.ChangeHopSize,
    "average": layers.AveragePoolFrames,
    "average-max": layers.AverageMaxPoolFrames,
    "conv-average": layers.ConvAveragePool,
    "diffres": layers.DiffResLayer,
}
FRONT_ENDS = {"mel": None, "td-fbank": layers.TDFilterbanks, "sincnet": layers.SincFilters, "leaf": layers.LEAF}
_ANIMATED_CLIPS = 3
BACKBONES = ("efficientnet-b0", "efficientnet-b2", "vgg41")


@dataclasses.dataclass(frozen=True)
class DiffResExperiment:
    """Settings of a training; the defaults are those of the paper for DiffRes at 25 frames per second.

    Args:
        plan: `Plan` of the data set, whose training `changed` changes.
        method: Key of `METHODS`, what reduces the frames; "none" keeps them.
        frames_per_second: Frames per second behind it.
        front_end: Key of `FRONT_ENDS`.
        backbone: "efficientnet-b0", "efficientnet-b2" (with four heads of attention) or "vgg41".
        width: Factor on the filters of VGG41.
        weights: Of the EfficientNet, see `models.EfficientNetBackbone`: None, "imagenet" or the path of a file.
        spec_augment: Whether bands and frames are masked in training.
        masked: Whether padding gets no frames: the resolution layers then reduce each clip by its own length.
        aggregations: Of `DiffResLayer`.
        resolution_encoding: Of `DiffResLayer`.
        even: Of `DiffResLayer`, whether Algorithm 1 is applied.
        guide_weight: Of `DiffResLayer`.
        guide_form: Of `DiffResLayer`.
        dilations: Of `DiffResLayer`.
        batch_norm_momentum: Of the network; None for its own. Trainings of few steps want 0.9.
        validation_split: Share of the training recordings held out to choose the epoch by, where none are set apart.
        mixed_precision: None, `"bfloat16"` or `"float16"`.
        seeds: One training per seed and fold.

    Raises:
        ValueError: If a value is out of its range, or does not go with another.

    Example:

    >>> from keras_audio_si.diffres_plans import PLANS
    >>> settings = DiffResExperiment(PLANS["speech_commands"]).changed(method="average", epochs=5)
    >>> settings.training.epochs, settings.quantity
    (5, 'accuracy')

    Reference:
        Liu et al., "Learning the Spectrogram Temporal Resolution for Audio Classification", 2022, section 3.
    """

    plan: Plan
    method: str = "diffres"
    frames_per_second: float = 25
    front_end: str = "mel"
    backbone: str = "efficientnet-b2"
    width: float = 1.0
    weights: str | None = "imagenet"
    spec_augment: bool = True
    masked: bool = False
    aggregations: tuple[str, ...] = AGGREGATIONS
    resolution_encoding: bool = True
    even: bool = True
    guide_weight: float = 1.0
    guide_form: str = "paper"
    dilations: tuple[int, ...] = (1, 1, 1, 1, 1)
    batch_norm_momentum: float | None = None
    validation_split: float = 0.15
    mixed_precision: str | None = None
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self):
        for name in ("aggregations", "dilations", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        known = {"method": METHODS, "front_end": FRONT_ENDS, "backbone": BACKBONES}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"`{name}` must be one of {tuple(values)}. Received: {name}={getattr(self, name)!r}")
        if not 0 < self.frames_per_second <= 1 / self.plan.hop_seconds + 1e-9:
            raise ValueError(
                f"`frames_per_second` must be above 0 and at most the {1 / self.plan.hop_seconds:g} of the "
                f"spectrogram. Received: frames_per_second={self.frames_per_second!r}"
            )
        if self.masked and self.method == "none":
            raise ValueError("`masked` needs a `method` that reduces frames: of 'none' no layer takes a mask.")
        check_seeds(self.seeds)

    @property
    def training(self):
        """`TrainingSettings` of the plan."""
        return self.plan.training

    @property
    def quantity(self):
        """What the paper measures on these data, "mAP" or "accuracy"."""
        return self.training.monitor.removeprefix("val_")

    def changed(self, **settings):
        """The same with other settings, those of `TrainingSettings` among them, by flat keyword arguments."""
        plan = settings.pop("plan", self.plan).changed(**take_training_settings(settings))
        return dataclasses.replace(self, plan=plan, **settings)


def build_model(class_names, settings, seed=0):
    """Builds the classifier of waveforms.

    Args:
        class_names: Names of the classes in the order of the scores; the model keeps them.
        settings: `DiffResExperiment`.
        seed: Seed of SpecAugment.

    Returns:
        Functional `keras.Model` from `(batch, samples)` to `(batch, classes)`.

    Raises:
        OSError: If weights are not there; the message says how to get them.

    Example:

    >>> from keras_audio_si.diffres_plans import PLANS
    >>> settings = DiffResExperiment(PLANS["speech_commands"], backbone="vgg41", width=0.25)
    >>> model = build_model(("yes", "no"), settings)
    >>> model.input_shape, model.output_shape, model.get_layer("vgg41").input_shape
    ((None, 15920), (None, 2), (None, 24, 128, 3))
    """
    plan = settings.plan
    with precision(settings.mixed_precision):
        front_end = build_front_end(settings)
        samples = front_end.num_samples(plan.frames)
        resolution, frames, channels = build_resolution(settings), plan.frames, 1
        if resolution is not None:
            frames, channels = resolution.output_frames(plan.frames), resolution.num_channels
        shared = {"in_channels": channels, "class_names": class_names}
        if settings.batch_norm_momentum is not None:
            shared["batch_norm_momentum"] = settings.batch_norm_momentum
        shape = (frames, plan.num_mels)
        if settings.backbone == "vgg41":
            backbone = models.VGG41(len(class_names), shape, width=settings.width, **shared)
        else:
            variant = settings.backbone.removeprefix("efficientnet-").upper()
            backbone = models.EfficientNetTagger(variant, len(class_names), shape, weights=settings.weights, **shared)
        front = [front_end]
        if settings.spec_augment:
            bands = round(plan.masked_bands * plan.num_mels)
            front.append(layers.SpecAugment(bands, max_frames=None, max_time_fraction=plan.masked_frames, seed=seed))
        lengths = "zeros" if settings.masked else None
        return models.Classifier(front, resolution, backbone, input_samples=samples, lengths=lengths)


def build_front_end(settings):
    """Builds the layer from waveforms to spectrograms of a `DiffResExperiment`."""
    plan = settings.plan
    if settings.front_end == "mel":
        return plan.front_end()
    kind = FRONT_ENDS[settings.front_end]
    return kind(plan.sample_rate, plan.num_mels, plan.frame_seconds, plan.hop_seconds, short="zero")


def build_resolution(settings):
    """Builds the layer that reduces the frames of a `DiffResExperiment`, or None."""
    if settings.method == "none":
        return None
    options = {}
    if settings.method == "diffres":
        names = ("aggregations", "resolution_encoding", "even", "guide_weight", "guide_form", "dilations")
        options = {name: getattr(settings, name) for name in names}
    return METHODS[settings.method](
        frames_per_second=settings.frames_per_second,
        input_frames_per_second=1 / settings.plan.hop_seconds,
        **options,
    )


def train_and_test(splits, settings, seed, folder, verbose="auto", **saving):
    """Trains with one seed and measures on the test clips.

    Args:
        splits: Dict of the `ClipCache` of "train", "val" and "test".
        settings: `DiffResExperiment`.
        seed: Sets the initial weights, the order of the clips, the mixing and the masks of SpecAugment.
        folder: Folder for the model and its logs.
        verbose: As in `keras.Model.fit`.
        **saving: `resume`, `overwrite` and `checkpoint_steps` of `training.fit.fit`.

    Returns:
        `(trainable parameters, ClipEvaluation)`.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(splits["train"].manifest.class_names, settings, seed)
    # A clip is one example of the length of the plan, as in the paper: where it is longer, another part in each epoch.
    training = {"crops": "random", "sampling": settings.plan.sampling}
    patches = {
        split: patch_dataset(model, cache, **(training if split == "train" else {})) for split, cache in splits.items()
    }
    callbacks = [ActivenessLog(), *_score_history(patches["val"], folder)] if settings.method == "diffres" else []
    seeded = dataclasses.replace(settings.training, seed=seed)
    fit(model, patches["train"], patches["val"], seeded, folder, callbacks, verbose, **saving)
    evaluation = evaluate_clips(model, patches["test"], settings.training.batch_size)
    return trainable_parameters(model), evaluation


def _score_history(patches, folder):
    """The callback that follows the scores of a validation clip of some classes; none without matplotlib."""
    try:
        check_matplotlib()
    except ImportError as error:
        print(f"No animation of the scores. {error}", file=sys.stderr)
        return []
    clips = one_clip_per_class(patches)[:_ANIMATED_CLIPS]
    waveforms = patches.waveforms(loudest_patches(patches, clips))
    return [ScoreHistory(waveforms, folder, [patches.clip_ids[clip] for clip in clips])]


def run_folds(
    settings,
    manifest,
    folder,
    cache_dir,
    test_folds=None,
    train_folds=None,
    verbose="auto",
    resume=False,
    overwrite=False,
    checkpoint_steps=None,
):
    """Trains and tests with every fold and seed, and writes the report.

    Args:
        settings: `DiffResExperiment`.
        manifest: `Manifest` with folds or with splits.
        folder: Folder of the report; see `cross_validation.cross_validate`.
        cache_dir: Folder for the decoded audio.
        test_folds: As for `cross_validation.divide`.
        train_folds: As for `cross_validation.divide`.
        verbose: As in `keras.Model.fit`.
        resume: As for `cross_validation.cross_validate`.
        overwrite: Likewise.
        checkpoint_steps: As in `training.fit.fit`.

    Returns:
        List of `RunScore`, which have "ROC AUC" as well.

    Raises:
        ValueError: What `cross_validation` raises.
    """
    cache = ClipCache.build(manifest, settings.plan.sample_rate, cache_dir)
    divisions = divide(
        cache.manifest,
        test_folds,
        train_folds,
        settings.validation_split,
        shared_validation_groups=settings.plan.shared_validation_groups,
    )

    def run(splits, seed, path):
        saving = {"resume": resume, "checkpoint_steps": checkpoint_steps}
        return train_and_test(splits, settings, seed, path, verbose, **saving)

    record = dataclasses.asdict(settings) | {"divisions": list(divisions)}
    record["training"] = record["plan"].pop("training")
    scores = cross_validate(run, cache, divisions, settings.seeds, folder, record, resume, overwrite)
    return [score._replace(values=score.values | {"ROC AUC": roc_auc_of(score.values["d'"])}) for score in scores]


def compare(rows, manifest, folder, cache_dir, paper, quantities=None, **arguments):
    """Trains and tests the rows of a table, each with every fold and seed.

    Args:
        rows: Dict of `DiffResExperiment` by name.
        manifest: As for `run_folds`.
        folder: Folder of the report, see `cross_validation.run_rows`; and, of the rows with DiffRes, `diffres.png`,
            its guide loss, its activeness and the validation against the epochs.
        cache_dir: As for `run_folds`.
        paper: Dict of what the paper has, in %, by name, such as `diffres_tables.PAPER_RESULTS` has it.
        quantities: Columns of values, the one that the paper has first; None for those of the data set.
        **arguments: Further arguments of `run_folds`.

    Returns:
        The table, a list of dicts.

    Reference:
        liu2022, Tables 1, 2 and 3; Figs. 6, 7 and 8.
    """
    first = next(iter(rows.values()))
    quantities = quantities or (first.quantity, "mAP" if first.quantity == "accuracy" else "accuracy")

    def run(settings, row_folder):
        return run_folds(settings, manifest, row_folder, cache_dir, **arguments)

    table = run_rows(rows, run, folder, paper, quantities)
    logs = {
        name: sorted(row_path(folder, name).rglob("log.csv"))
        for name, settings in rows.items()
        if settings.method == "diffres"
    }
    if logs:
        try:
            columns = ("guide_loss", "activeness", first.training.monitor)
            plot_learning_curves(logs, pathlib.Path(folder) / "diffres.png", columns)
        except ImportError as error:
            print(f"No figure. {error}", file=sys.stderr)
    return table


def roc_auc_of(d_prime):
    """The area under the ROC curve that a d' stands for.

    Example:

    >>> round(roc_auc_of(2.0), 4)
    0.9214
    """
    return 0.5 * (1 + math.erf(d_prime / 2))
