"""The whole way from audio files to a shift-invariance result, once: the recipes and the command line call it."""

import contextlib
import dataclasses
import pathlib
import sys
from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si import report_folder
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.splits import SPLITS
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.evaluation.report import ModelResult, comparison_table, format_text, write_table
from keras_audio_si.evaluation.shift import PAPER_PROTOCOLS, parse_protocol, shift_table
from keras_audio_si.evaluation.shift_clips import shift_patches, write_clip_list
from keras_audio_si.files import writing
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.layers import LogMelSpectrogram
from keras_audio_si.models import VGG41, Classifier
from keras_audio_si.training import run_folder
from keras_audio_si.training.fit import TrainingSettings, fit
from keras_audio_si.training.settings import check_seeds, take_training_settings
from keras_audio_si.variants import MODELS
from keras_audio_si.visualization.plots import plot_learning_curves
from keras_audio_si.visualization.stability import write_stability


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Settings of a comparison of variants; the defaults are those of the reference.

    Args:
        sample_rate: Rate that all audio is resampled to, in Hz. The paper does not state its own.
        frames: Frames of a patch; patches start every `frames // 2` frames.
        width: Factor on the number of filters of every convolution.
        batch_norm_momentum: Momentum of the moving statistics. Trainings of few steps want 0.9.
        mixed_precision: None, `"bfloat16"` or `"float16"`.
        seeds: One training per seed and variant.
        protocols: Shifts to measure, such as `"time-1"`, `"freq-3"` or `"samples-40"`.
        max_shift_clips: Largest number of test clips that are shifted.
        shift_clips: CSV file with the test clips that are shifted, such as `shift_clips.csv` of another report; None
            draws them by the rules of the paper.
        training: `TrainingSettings`. Each variant decides whether it mixes, each run has its own seed.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> Experiment(width=0.25, seeds=(0, 1, 2)).frames
    101

    Reference:
        Fonseca et al., "Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
        Neural Networks", 2021, sections III and IV-C.
    """

    sample_rate: int = 22050
    frames: int = 101
    width: float = 1.0
    batch_norm_momentum: float = 0.99
    mixed_precision: str | None = None
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[str, ...] = PAPER_PROTOCOLS
    max_shift_clips: int = 1000
    shift_clips: str | None = None
    training: TrainingSettings = TrainingSettings()

    def __post_init__(self):
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "protocols", tuple(self.protocols))
        for name in ("sample_rate", "frames", "width", "max_shift_clips"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive. Received: {name}={getattr(self, name)!r}")
        if not 0 < self.batch_norm_momentum < 1:
            raise ValueError(
                "`batch_norm_momentum` must be above 0 and below 1. "
                f"Received: batch_norm_momentum={self.batch_norm_momentum!r}"
            )
        if self.mixed_precision not in (None, "bfloat16", "float16"):
            raise ValueError(
                "`mixed_precision` must be None, 'bfloat16' or 'float16'. "
                f"Received: mixed_precision={self.mixed_precision!r}"
            )
        check_seeds(self.seeds)
        for protocol in self.protocols:
            parse_protocol(protocol)

    @classmethod
    def of(cls, **settings):
        """Makes the settings from flat keyword arguments, those of `TrainingSettings` among them.

        Example:

        >>> Experiment.of(width=0.5, epochs=3).training.epochs
        3
        """
        training = TrainingSettings(**take_training_settings(settings))
        return cls(**settings, training=training)


class Run(NamedTuple):
    """One training.

    Attributes:
        result: `ModelResult` on the test clips, under the name of the variant.
        folder: Folder with `model.keras`, `log.csv`, `tensorboard/`, `settings.json` and `checkpoints/`.
    """

    result: ModelResult
    folder: pathlib.Path


def load_splits(manifest, sample_rate, cache_dir, decoder="soundfile"):
    """Decodes the clips of a manifest whose splits `assign_splits` has set, as `ClipCache.build` does.

    Returns:
        Dict of the `ClipCache` of "train", "val" and "test".
    """
    cache = ClipCache.build(manifest, sample_rate, cache_dir, decoder=decoder)
    return {split: cache.select(split=split) for split in SPLITS}


def build_model(variant, class_names, settings):
    """Builds the classifier of waveforms of a variant, under the precision of the settings.

    Args:
        variant: `Variant`.
        class_names: Names of the classes in the order of the scores; the model keeps them.
        settings: `Experiment`.

    Returns:
        Functional `keras.Model` from `(batch, samples)` to `(batch, classes)`.

    Example:

    >>> from keras_audio_si.variants import Variant
    >>> settings = Experiment(sample_rate=16000, width=0.125)
    >>> model = build_model(Variant("tlpf5+aps"), ("dog", "rain"), settings)
    >>> model.input_shape, model.output_shape
    ((None, 16480), (None, 2))
    """
    with precision(settings.mixed_precision):
        front_end = LogMelSpectrogram(settings.sample_rate)
        backbone = VGG41(
            len(class_names),
            (settings.frames, front_end.num_mels),
            pooling=variant.pooling,
            intra_block_pooling=variant.intra_block_pooling,
            width=settings.width * MODELS[variant.model],
            batch_norm_momentum=settings.batch_norm_momentum,
            class_names=class_names,
            name=variant.model,
        )
        return Classifier(front_end, backbone, input_samples=front_end.num_samples(settings.frames))


def run(variant, splits, settings, seed, folder, verbose="auto", **saving):
    """Trains one variant with one seed and measures it on the test clips.

    Args:
        variant: `Variant`.
        splits: Dict of `ClipCache`, as `load_splits` makes it.
        settings: `Experiment`.
        seed: Sets the initial weights, the order of the patches and the mixing.
        folder: Folder for the model and its logs.
        verbose: As in `keras.Model.fit`.
        **saving: `resume`, `overwrite` and `checkpoint_steps` of `training.fit.fit`.

    Returns:
        A `Run`.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(variant, splits["train"].manifest.class_names, settings)
    test = splits["test"]
    # First, so that clips that cannot be used are known before hours of training.
    shifted = None
    if settings.protocols:
        shifted = _shift_patches(model, test, settings)
    training = dataclasses.replace(
        settings.training, seed=seed, mixup_alpha=settings.training.mixup_alpha if variant.mixup else None
    )
    patches = {split: patch_dataset(model, cache) for split, cache in splits.items()}
    fit(model, patches["train"], patches["val"], training, folder, verbose=verbose, **saving)
    batch_size = training.batch_size
    evaluation = evaluate_clips(model, patches["test"], batch_size)
    shifts = {}
    if shifted is not None:
        shifts = shift_table(model, shifted.waveforms, settings.protocols, batch_size=batch_size)
    result = ModelResult(variant.name, trainable_parameters(model), evaluation, shifts)
    return Run(result, pathlib.Path(folder))


def compare(variants, splits, settings, folder, verbose="auto", resume=False, overwrite=False, checkpoint_steps=None):
    """Runs every variant with every seed, and writes the report.

    Args:
        variants: List of `Variant`.
        splits: Dict of `ClipCache`, as `load_splits` makes it.
        settings: `Experiment`.
        folder: Folder of the report: the table as `table.csv` and `table.md` (of what is done, after each run),
            `stability.png`, `learning_curves.png`, `experiment.json`, `manifest.csv` with the splits, and
            `shift_clips.csv` with the clips that are shifted, the same ones in all runs. Each variant has a folder
            in it, if there are several, and each seed, if there are several.
        verbose: As in `keras.Model.fit`.
        resume: Whether to continue what `folder` has of this comparison, if anything: trainings that are finished
            are not repeated, the one that was cut off goes on from its last checkpoint.
        overwrite: Whether to replace the runs that `folder` has. Without either runs there are an error.
        checkpoint_steps: As in `training.fit.fit`.

    Returns:
        List of `Run`.

    Raises:
        ValueError: If a variant occurs twice, the data do not suit the settings, or a comparison is continued with
            other settings or data.
        FileExistsError: If `folder` has runs, and neither `resume` nor `overwrite` is set.
        BlockingIOError: If another process uses `folder`.
        OSError: If `folder` cannot be written to, or its disk is full.
    """
    names = [variant.name for variant in variants]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`variants` must be different ones, at least one. Received: {names}")
    folder = pathlib.Path(folder)
    plan = []
    for variant in variants:
        for seed in settings.seeds:
            run_path = folder / variant.name if len(variants) > 1 else folder
            plan.append((variant, seed, run_path / f"seed-{seed}" if len(settings.seeds) > 1 else run_path))
    with run_folder.locked(folder, "comparison.lock"):
        _prepare(variants, splits, settings, folder, [path for _, _, path in plan], resume, overwrite)
        runs = []
        for number, (variant, seed, path) in enumerate(plan, start=1):
            print(f"\n{variant.name}, seed {seed} ({number} of {len(plan)})", flush=True)
            saving = {"resume": resume, "checkpoint_steps": checkpoint_steps}
            runs.append(run(variant, splits, settings, seed, path, verbose, **saving))
            with writing(folder):
                write_table(comparison_table(run.result for run in runs), folder, "table")
        with writing(folder):
            write_figures(runs, splits["test"], settings, folder)
    return runs


def summary(results):
    """The comparison of `ModelResult`s as text, with what a reader must know to judge it."""
    lines = [format_text(comparison_table(results))]
    excluded = {name for result in results if result.evaluation for name in result.evaluation.excluded_classes}
    if excluded:
        lines.append(f"Without a test clip, in no mean: {', '.join(sorted(excluded))}")
    counts = {shift.num_patches for result in results for shift in result.shifts.values()}
    if counts:
        lines.append(f"Shifts: {', '.join(map(str, counts))} clips")
    return "\n".join(lines)


def write_figures(runs, test, settings, folder):
    """Draws the learning curves of all runs, and the stability of the first run of each variant.

    Without matplotlib a message says that the figures are left out.
    """
    logs, models = {}, {}
    for result, path in runs:
        logs.setdefault(result.model, []).append(path / "log.csv")
        models.setdefault(result.model, path / run_folder.BEST_MODEL)
    try:
        plot_learning_curves(logs, folder / "learning_curves.png")
        if settings.protocols:
            models = {name: keras.models.load_model(path) for name, path in models.items()}
            write_stability(models, test, settings.max_shift_clips, folder, settings.shift_clips)
    except ImportError as error:
        print(f"No figures. {error}", file=sys.stderr)


def trainable_parameters(model):
    """Number of trainable parameters of a model."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _shift_patches(model, test, settings):
    return shift_patches(model, test, settings.protocols, settings.max_shift_clips, clip_list=settings.shift_clips)


def _write_shift_clips(variant, test, settings, folder):
    """Writes the list of the shifted clips. It depends on the length of the model's input, not on the variant."""
    patches = _shift_patches(build_model(variant, test.manifest.class_names, settings), test, settings)
    write_clip_list(patches, test, folder / "shift_clips.csv")
    print(
        f"Shift test: {len(patches.starts)} clips, of {patches.num_eligible} that can be used among "
        f"{patches.num_clips} ({folder / 'shift_clips.csv'})"
    )


def _prepare(variants, splits, settings, folder, run_folders, resume, overwrite):
    """Sees that nothing is lost or mixed up in the folder, and writes there what is going to be done."""
    record = {"variants": [variant.name for variant in variants], **dataclasses.asdict(settings)}
    manifests = [cache.manifest for cache in splits.values()]
    manifest = dataclasses.replace(manifests[0], clips=tuple(clip for part in manifests for clip in part.clips))
    report_folder.claim(folder, record, manifest, run_folders, resume, overwrite)
    if settings.protocols:
        with writing(folder):
            _write_shift_clips(variants[0], splits["test"], settings, folder)
    report_folder.describe(folder, record, manifest, splits["test"].failures)


@contextlib.contextmanager
def precision(mixed_precision):
    """Sets the dtype policy that models are built under, within the block.

    Args:
        mixed_precision: None, `"bfloat16"` or `"float16"`.

    Example:

    >>> with precision("bfloat16"):
    ...     keras.config.dtype_policy().name
    'mixed_bfloat16'
    """
    before = keras.config.dtype_policy()
    if mixed_precision is not None:
        keras.config.set_dtype_policy(f"mixed_{mixed_precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
