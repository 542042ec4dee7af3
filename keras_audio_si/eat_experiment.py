"""EAT from audio files to a table of folds and seeds: the recipes of gazneli2022 call it."""

import dataclasses
import functools
import itertools
import pathlib

import keras

from keras_audio_si import cross_validation, layers, models
from keras_audio_si.cross_validation import cross_validate, divide, run_path
from keras_audio_si.data.background import BackgroundNoise
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.speech_commands import background_noise_files
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.experiment import precision, trainable_parameters
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.layers.eat_augmentations import MIXINGS
from keras_audio_si.models.surgery import with_classes
from keras_audio_si.training.fit import TrainingSettings, fit
from keras_audio_si.training.run_folder import BEST_MODEL
from keras_audio_si.training.settings import check_seeds, take_training_settings

SIZES = {"small": "EATSmall", "medium": "EATMedium"}
CONTENTS = ("waveform", "phase", "magnitude", "both")

# Section 4 of the paper, and from the released code what it does not state: the second beta of AdamW, the form of the
# averages and the numbers of epochs, which the recipes have.
TRAINING = TrainingSettings(
    learning_rate=5e-4,
    optimizer="adamw",
    weight_decay=1e-5,
    beta_2=0.99,
    schedule="one-cycle",
    early_stopping_patience=None,
    mixup_alpha=None,
    loss="softmax-or-bce",
    loss_reduction="batch-mean",
    label_smoothing=0.1,
    ema_decay=0.995,
    ema_update="released",
    monitor="val_accuracy",
)


@dataclasses.dataclass(frozen=True)
class EATExperiment:
    """Settings of a training of EAT; the defaults are those of the reference on ESC-50.

    Args:
        size: `"small"` or `"medium"`, Table 9.
        channels: Filters of the first convolution; None for those of the size.
        transformer_layers: None for those of the size.
        residual: `"dilated"`, `"modified"` or `"common"`, Table 6b.
        aggregation: `"transformer"` or `"convolution"`, Table 6b.
        pooling: Name of the downsampling, see `models.EAT`; None for that of the paper.
        content: What of the sound the network gets, Table 7: `"waveform"`, `"phase"`, `"magnitude"` or `"both"` of
            these as two channels.
        pretrained: `.keras` file of a trained network to begin with, in place of all of the above; None for none.
        sample_rate: In Hz.
        input_length: Samples that the network takes.
        factors: Downsampling factors of the network.
        augmentation: Whether waveforms are augmented, by all that Table 1 lists but the mixings.
        noise: Whether noises are among that.
        mixings: Of `MIXINGS` those of which one is drawn for each batch.
        background_noise: Whether the noise that comes with Speech Commands is mixed in, at 0 to 30 dB.
        short: `"zero"` or `"repeat"`, what fills a clip that is too short.
        sampling: `"once"` or `"class_balanced"`.
        peak: Largest magnitude that each patch is scaled to, as in the released code; None for no scaling.
        validation_split: Share of the training recordings held out to choose the epoch by, where none are set apart.
        mixed_precision: None, `"bfloat16"` or `"float16"`.
        seeds: One training per seed and fold.
        training: `TrainingSettings`. Each run has its own seed.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> EATExperiment().changed(size="medium", epochs=5).training.epochs
    5

    Reference:
        Gazneli et al., "End-to-End Audio Strikes Back", 2022, section 4.
    """

    size: str = "small"
    channels: int | None = None
    transformer_layers: int | None = None
    residual: str = "dilated"
    aggregation: str = "transformer"
    pooling: str | None = None
    content: str = "waveform"
    pretrained: str | None = None
    sample_rate: int = 22050
    input_length: int = 114688
    factors: tuple[int, ...] = (4, 4, 4, 4)
    augmentation: bool = True
    noise: bool = True
    mixings: tuple[str, ...] = MIXINGS
    background_noise: bool = False
    short: str = "zero"
    sampling: str = "once"
    peak: float | None = 0.95
    validation_split: float = 0.15
    mixed_precision: str | None = None
    seeds: tuple[int, ...] = (0,)
    training: TrainingSettings = TRAINING

    def __post_init__(self):
        for name in ("factors", "mixings", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, known in {"size": tuple(SIZES), "content": CONTENTS}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {known}. Received: {name}={getattr(self, name)!r}")
        if not set(self.mixings) <= set(MIXINGS):
            raise ValueError(f"`mixings` must be some of {MIXINGS}. Received: mixings={self.mixings!r}")
        if self.mixings and self.training.loss == "softmax":
            raise ValueError("`mixings` give several labels: `loss` must be 'softmax-or-bce' or 'bce', or no mixings.")
        check_seeds(self.seeds)

    def changed(self, **settings):
        """The same with other settings, those of `TrainingSettings` among them, by flat keyword arguments."""
        training = dataclasses.replace(self.training, **take_training_settings(settings))
        return dataclasses.replace(self, training=training, **settings)


def build_model(class_names, settings):
    """Builds the network, or takes a trained one, for some classes.

    Args:
        class_names: Names of the classes in the order of the scores; the model keeps them.
        settings: `EATExperiment`.

    Returns:
        Functional `keras.Model` from `(batch, samples)` to `(batch, classes)`, which ends in `ClassScores`.

    Raises:
        ValueError: If the trained network does not fit the settings.

    Example:

    >>> settings = EATExperiment(channels=2, transformer_layers=1, input_length=8192, factors=(4, 2), content="both")
    >>> build_model(("dog", "rain"), settings).output_shape
    (None, 2)
    """
    activation = "sigmoid" if settings.training.loss == "bce" else "softmax"
    with precision(settings.mixed_precision):
        if settings.pretrained is not None:
            model = keras.models.load_model(settings.pretrained)
            if model.input_shape[1] != settings.input_length:
                model = models.with_input_length(model, settings.input_length)
            return _keeping_clips(with_classes(model, class_names, activation), settings)
        kept = ("residual", "aggregation", "pooling", "sample_rate", "short", "peak")
        options = {name: getattr(settings, name) for name in kept}
        for name in ("channels", "transformer_layers"):
            if getattr(settings, name) is not None:
                options[name] = getattr(settings, name)
        build = functools.partial(
            getattr(models, SIZES[settings.size]), len(class_names), settings.input_length, settings.factors, **options
        )
        if settings.content == "waveform":
            return build(activation=activation, class_names=class_names)
        network = build(in_channels=2 if settings.content == "both" else 1)
        waveforms = keras.Input((settings.input_length,), name="waveform")
        logits = network(layers.PhaseWaveform(settings.content)(waveforms))
        return keras.Model(waveforms, layers.ClassScores(activation, class_names)(logits))


def _keeping_clips(model, settings):
    """Has a trained network keep how its clips are prepared from now on."""
    fit_length = models.fit_length_of(model)
    if fit_length is None:
        raise ValueError(f"{settings.pretrained} has no `FitLength` among its layers, so it is no EAT.")
    fit_length.sample_rate = fit_length.sample_rate or settings.sample_rate
    fit_length.short, fit_length.peak = settings.short, settings.peak
    return model


def build_augmentation(settings, seed):
    """Builds the layer from pairs `(waveforms, labels)` to pairs that trains with the network, or None.

    Args:
        settings: `EATExperiment`.
        seed: Seed of its draws.
    """
    if settings.augmentation:
        return layers.eat_augmentations(settings.sample_rate, settings.noise, settings.mixings, seed=seed)
    return layers.eat_mixing(settings.sample_rate, settings.mixings, seed) if settings.mixings else None


def train_and_test(splits, settings, seed, folder, background=None, teacher=None, verbose="auto", **saving):
    """Trains with one seed and measures on the test clips.

    Args:
        splits: Dict of the `ClipCache` of "train", "val" and "test".
        settings: `EATExperiment`.
        seed: Sets the initial weights, the order and crops of the clips and the augmentation.
        folder: Folder for the model and its logs.
        background: `BackgroundNoise` for the training, or None.
        teacher: `.keras` file of a trained network for the same classes to distil from, or None.
        verbose: As in `keras.Model.fit`.
        **saving: `resume`, `overwrite` and `checkpoint_steps` of `training.fit.fit`.

    Returns:
        `(trainable parameters, ClipEvaluation)`.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(splits["train"].manifest.class_names, settings)
    training = {"crops": "random", "sampling": settings.sampling, "background": background}
    patches = {
        split: patch_dataset(model, cache, **(training if split == "train" else {})) for split, cache in splits.items()
    }
    fit(
        model,
        patches["train"],
        patches["val"],
        dataclasses.replace(settings.training, seed=seed),
        folder,
        augmentation=build_augmentation(settings, seed),
        teacher=None if teacher is None else keras.models.load_model(teacher),
        verbose=verbose,
        **saving,
    )
    evaluation = evaluate_clips(model, patches["test"], settings.training.batch_size)
    return trainable_parameters(model), evaluation


def run_folds(
    settings,
    manifest,
    folder,
    cache_dir,
    test_folds=None,
    train_folds=None,
    teacher=None,
    verbose="auto",
    resume=False,
    overwrite=False,
    checkpoint_steps=None,
):
    """Trains and tests with every fold and seed, and writes the report.

    Args:
        settings: `EATExperiment`.
        manifest: `Manifest` with folds or with splits.
        folder: Folder of the report; see `cross_validation.cross_validate`.
        cache_dir: Folder for the decoded audio.
        test_folds: As for `cross_validation.divide`.
        train_folds: As for `cross_validation.divide`.
        teacher: Folder of a report with the same folds and seeds, whose networks teach these; None for none.
        verbose: As in `keras.Model.fit`.
        resume: As for `cross_validation.cross_validate`.
        overwrite: Likewise.
        checkpoint_steps: As in `training.fit.fit`.

    Returns:
        List of `RunScore`.

    Raises:
        ValueError: If the teacher lacks a fold or seed, or what `cross_validation` raises.
    """
    folder = pathlib.Path(folder)
    cache = ClipCache.build(manifest, settings.sample_rate, cache_dir)
    background = None
    if settings.background_noise:
        noises = Manifest([Clip(str(path.resolve())) for path in background_noise_files(manifest.root)])
        background = BackgroundNoise(ClipCache.build(noises, settings.sample_rate, cache_dir))
    divisions = divide(cache.manifest, test_folds, train_folds, settings.validation_split)
    for name, seed in itertools.product(divisions, settings.seeds if teacher is not None else ()):
        taught_by = run_path(pathlib.Path(teacher), name, seed, divisions, settings.seeds) / BEST_MODEL
        if not taught_by.is_file():
            raise ValueError(f"`teacher` must be a report with the same folds and seeds. It lacks: {taught_by}")

    def run(splits, seed, path):
        taught_by = None if teacher is None else pathlib.Path(teacher) / path.relative_to(folder) / BEST_MODEL
        saving = {"resume": resume, "checkpoint_steps": checkpoint_steps}
        return train_and_test(splits, settings, seed, path, background, taught_by, verbose, **saving)

    record = dataclasses.asdict(settings) | {"divisions": list(divisions), "teacher": teacher and str(teacher)}
    return cross_validate(run, cache, divisions, settings.seeds, folder, record, resume, overwrite)


def run_rows(rows, manifest, folder, cache_dir, paper, **arguments):
    """Trains and tests the rows of a table, each with every fold and seed; see `cross_validation.run_rows`.

    Args:
        rows: Dict of `EATExperiment` by name.
        manifest: As for `run_folds`.
        folder: Folder of the report.
        cache_dir: As for `run_folds`.
        paper: Dict of the accuracy that the paper has, in %, by name.
        **arguments: Further arguments of `run_folds`.

    Returns:
        The table, a list of dicts.
    """

    def run(settings, row_folder):
        return run_folds(settings, manifest, row_folder, cache_dir, **arguments)

    return cross_validation.run_rows(rows, run, folder, paper)
