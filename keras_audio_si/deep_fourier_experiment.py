"""DeepFourier from audio files to a table of networks and ways to train them: the recipes of juettner call it."""

import dataclasses
import functools
import itertools
import pathlib
import time

import keras

from keras_audio_si import models, report_folder
from keras_audio_si.cross_validation import run_path
from keras_audio_si.data.segments import cut_segments
from keras_audio_si.data.splits import SPLITS, assign_splits
from keras_audio_si.deep_fourier_report import TEST, write_report, write_test
from keras_audio_si.evaluation.segments import evaluate_segments
from keras_audio_si.experiment import trainable_parameters
from keras_audio_si.models.deep_fourier import SEGMENT_SAMPLES
from keras_audio_si.training import run_folder
from keras_audio_si.training.forcing import FORMS, forcing_model, normalised, spectrogram_statistics
from keras_audio_si.training.icebreaker import HEURI_SETTINGS, MST_SETTINGS, forcing_settings, icebreaker
from keras_audio_si.training.settings import TrainingSettings, check_seeds, take_training_settings
from keras_audio_si.training.stages import Stage, train_stages
from keras_audio_si.visualization.pictures import write_pictures

NETWORKS = {"HeuriNet": models.HeuriNet, "MSTNet": models.MSTNet, "MelConvNet": models.MelConvNet}
ROWS = (
    "PiczakNet",
    "HeuriNet random",
    "HeuriNet IceBreaker",
    "MSTNet random",
    "MSTNet IceBreaker",
    "MelConvNet mel start",
    "MelConvNet IceBreaker",
)


@dataclasses.dataclass(frozen=True)
class DeepFourierExperiment:
    """Settings of a comparison of PiczakNet and the networks with a learned front-end; the defaults are the paper's.

    Args:
        rows: Some of `ROWS`. "random" trains all weights at once, from random ones, and so does "mel start" but for
            the front-end, which begins as the mel spectrogram; "IceBreaker" is `training.icebreaker.icebreaker`, of
            MSTNet after spectrogram forcing.
        dense_units: Units of both dense layers.
        first_epochs: Epochs of PiczakNet alone, phase 0.
        random_epochs: Epochs of the networks that are trained at once. The paper does not say; here as many as the
            phases 1 to 3 have together.
        forcing_epochs: Epochs of spectrogram forcing; the paper does not say.
        forcing_form: `"unit"`, the target in [0, 1] as released, or `"centred"`, in [-1, 1] as in the paper.
        heuri_learning_rate: Learning rate of HeuriNet.
        mst_learning_rate: Learning rate of MSTNet and of the PiczakNet on normalised spectrograms that it starts from.
        peak_of: `"clip"`, segments are scaled by the peak of their clip, as released, or `"patch"`, by their own, as in
            the paper.
        short: What becomes of clips shorter than a segment: `"drop"`, `"zero"` or `"repeat"`.
        silence_decibels: Mean level up to which a segment is left out; None keeps all.
        sampling: `"once"`, or `"class_balanced"` for oversampled batches.
        validation_split: Share of the training recordings that chooses the epoch where no folds do.
        seeds: One training of every row per seed.
        training: `TrainingSettings`, with the epochs of each of the phases 1 to 3 and the learning rate of PiczakNet
            and MelConvNet.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> settings = DeepFourierExperiment().changed(dense_units=500, epochs=5)
    >>> settings.training.epochs, settings.dense_units, settings.first_epochs
    (5, 500, 300)

    Reference:
        juettner, sections 2.3 and 3.
    """

    rows: tuple[str, ...] = ROWS
    dense_units: int = 5000
    first_epochs: int = 300
    random_epochs: int = 300
    forcing_epochs: int = 50
    forcing_form: str = "unit"
    heuri_learning_rate: float = HEURI_SETTINGS.learning_rate
    mst_learning_rate: float = MST_SETTINGS.learning_rate
    peak_of: str = "clip"
    short: str = "drop"
    silence_decibels: float | None = -70.0
    sampling: str = "once"
    validation_split: float = 0.15
    seeds: tuple[int, ...] = (0,)
    training: TrainingSettings = HEURI_SETTINGS

    def __post_init__(self):
        for name in ("rows", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.rows or not set(self.rows) <= set(ROWS):
            raise ValueError(f"`rows` must be some of {ROWS}. Received: rows={self.rows!r}")
        if self.forcing_form not in FORMS:
            raise ValueError(f"`forcing_form` must be one of {FORMS}. Received: forcing_form={self.forcing_form!r}")
        check_seeds(self.seeds)
        for name in ("dense_units", "first_epochs", "random_epochs", "forcing_epochs"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={getattr(self, name)!r}")

    def changed(self, **settings):
        """The same with other settings, those of `TrainingSettings` among them, by flat keyword arguments."""
        training = dataclasses.replace(self.training, **take_training_settings(settings))
        return dataclasses.replace(self, training=training, **settings)

    def training_of(self, network):
        """The `TrainingSettings` of a network.

        The paper clips the gradients of MSTNet. Here so are those of MelConvNet: it fears that they explode.
        """
        changes = {}
        if network in ("MSTNet", "MelConvNet"):
            changes = {"gradient_clip_norm": MST_SETTINGS.gradient_clip_norm, "gradient_clip_by": "variable"}
        rates = {"HeuriNet": self.heuri_learning_rate, "MSTNet": self.mst_learning_rate}
        if network in rates:
            changes["learning_rate"] = rates[network]
        return dataclasses.replace(self.training, **changes)


class EpochSeconds(keras.callbacks.Callback):
    """Adds the seconds that an epoch took, with its validation, to the logs.

    Example:

    >>> callbacks = [EpochSeconds()]
    """

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.monotonic() - self._begun


def rotations(manifest):
    """The paper's split for every fold: it is the test, the one before it validates, the others are trained on.

    Args:
        manifest: `Manifest` with folds, three or more.

    Returns:
        Dict of `Manifest` with splits, by names as "fold-10", which is the split of the paper.

    Raises:
        ValueError: If there are fewer folds.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> rotated = rotations(Manifest([Clip(f"{i}.wav", ("dog",), fold=i) for i in (1, 2, 3)]))
    >>> {name: [clip.split for clip in part.clips] for name, part in rotated.items()}["fold-1"]
    ['test', 'train', 'val']
    """
    folds = sorted({clip.fold for clip in manifest.clips if clip.fold is not None})
    if len(folds) < 3:
        raise ValueError(f"To train, validate and test takes three folds. The data have: {folds}")
    return {
        f"fold-{test}": assign_splits(
            manifest, [fold for fold in folds if fold not in (test, validation)], [validation], [test]
        )
        for validation, test in zip((folds[-1], *folds[:-1]), folds, strict=True)
    }


def way_of(row):
    """Names of the stages that a row of the table goes through, the tested one last.

    Example:

    >>> way_of("HeuriNet IceBreaker")
    ['piczak', 'heuri-phase1', 'heuri-phase2', 'heuri-phase3']
    """
    network, _, way = row.partition(" ")
    if network == "PiczakNet":
        return ["piczak"]
    name = network.removesuffix("Net").lower()
    if way != "IceBreaker":
        return [f"{name}-all"]
    first = ["forcing", "piczak-normalised"] if network == "MSTNet" else ["piczak"]
    return [*first, *(f"{name}-phase{number}" for number in (1, 2, 3))]


def plan_rows(settings, class_names, target):
    """The stages of all rows, in an order in which they can be trained.

    Rows share what they have in common: the PiczakNet that they start from.

    Args:
        settings: `DeepFourierExperiment`, of which the training's seed sets the initial weights of every model.
        class_names: Names of the classes.
        target: Front-end that forcing has as its target, and MSTNet's PiczakNet is trained on.

    Returns:
        List of `Stage`.

    Example:

    >>> settings = DeepFourierExperiment(rows=("PiczakNet", "HeuriNet random", "HeuriNet IceBreaker"), dense_units=5)
    >>> stages = plan_rows(settings, ("dog", "rain"), target=models.piczak_spectrogram())
    >>> [stage.name for stage in stages]
    ['piczak', 'heuri-all', 'heuri-phase1', 'heuri-phase2', 'heuri-phase3']
    """
    piczak = {"num_classes": len(class_names), "class_names": class_names, "dense_units": settings.dense_units}

    def seeded(build):
        keras.utils.set_random_seed(settings.training.seed)
        return build(**piczak)

    alone = {
        normalised: models.Classifier(
            front_end=front_end, backbone=seeded(models.PiczakNet), input_samples=SEGMENT_SAMPLES
        )
        for normalised, front_end in ((False, models.piczak_spectrogram()), (True, target))
    }
    stages = {}
    for row in settings.rows:
        network, _, way = row.partition(" ")
        training = settings.training_of(network)
        if network == "PiczakNet":
            own = [Stage("phase0", alone[False], dataclasses.replace(training, epochs=settings.first_epochs))]
        elif way == "IceBreaker":
            net, forced = seeded(NETWORKS[network]), None
            if network == "MSTNet":
                front_end = forcing_model(net.layers[-2], SEGMENT_SAMPLES)
                forced = Stage("forcing", front_end, forcing_settings(training, settings.forcing_epochs), target=target)
            own = icebreaker(alone[forced is not None], net, training, settings.first_epochs, forced)
            if forced is None:  # Phase 0 is the PiczakNet of the first row, whatever follows it.
                first = dataclasses.replace(settings.training, epochs=settings.first_epochs)
                own[0] = dataclasses.replace(own[0], settings=first)
        else:
            training = dataclasses.replace(training, epochs=settings.random_epochs)
            own = [Stage("all", seeded(NETWORKS[network]), training)]
        names = dict(zip((stage.name for stage in own), way_of(row), strict=True))
        for stage in own:
            start = names[stage.start] if isinstance(stage.start, str) else stage.start
            if isinstance(start, dict):
                start = {path: names[source] for path, source in start.items()}
            stages.setdefault(names[stage.name], dataclasses.replace(stage, name=names[stage.name], start=start))
    return list(stages.values())


def compare_rows(settings, divisions, cache, folder, resume=False, overwrite=False, **arguments):
    """Trains and tests the rows with every division of the data and every seed, and writes the report.

    Args:
        settings: `DeepFourierExperiment`.
        divisions: Dict of `Manifest` with splits, such as `rotations` makes it.
        cache: `ClipCache` of all clips, at 22.05 kHz.
        folder: Folder of the report, as `deep_fourier_report.write_report` writes it after each row, and with the
            files of `report_folder.describe`. Each division has a folder in it, if there are several, and each seed,
            if there are several; in these each stage has one.
        resume: Whether to continue what `folder` has, if anything.
        overwrite: Whether to replace the runs that `folder` has. Without either runs there are an error.
        **arguments: `checkpoint_steps` and `verbose` of `training.fit.fit`.

    Returns:
        The table, a list of dicts.

    Raises:
        ValueError: If a report is continued with other settings or data.
        FileExistsError: If `folder` has runs, and neither `resume` nor `overwrite` is set.
        BlockingIOError: If another process uses `folder`.
        OSError: If `folder` cannot be written to.
    """
    folder = pathlib.Path(folder)
    places = {
        run: run_path(folder, *run, divisions, settings.seeds) for run in itertools.product(divisions, settings.seeds)
    }
    ways = {row: way_of(row) for row in settings.rows}
    record = dataclasses.asdict(settings) | {"divisions": list(divisions)}
    report = functools.partial(write_report, folder, ways, list(places.values()), cache.manifest.class_names)
    with run_folder.locked(folder, "comparison.lock"):
        report_folder.claim(folder, record, cache.manifest, (), resume, overwrite)
        report_folder.describe(folder, record, cache.manifest, cache.failures)
        if overwrite:
            for tested in folder.glob(f"**/{TEST}"):
                tested.unlink()
        for number, ((name, seed), path) in enumerate(places.items(), start=1):
            print(f"\n{name}, seed {seed} ({number} of {len(places)})", flush=True)
            splits = {split: cache.of(divisions[name].select(split=split)) for split in SPLITS}
            run = settings.changed(seed=seed)
            train_and_test(run, splits, path, report, resume=resume, overwrite=overwrite, **arguments)
        return report()


def train_and_test(settings, splits, folder, report=None, **arguments):
    """Trains all stages of the rows with one division and seed, and tests each row as soon as it is trained.

    Args:
        settings: `DeepFourierExperiment`; the seed is the training's.
        splits: Dict of the `ClipCache` of "train", "val" and "test".
        folder: Folder of the stages. Each gets the `visualization.pictures` of its network so far, with
            validation clips, and that of a row's last one `test.json`.
        report: Function without arguments, called after each row, or None.
        **arguments: `resume`, `overwrite`, `checkpoint_steps` and `verbose` of `training.stages.train_stages`.
    """
    spectrogram, patches = models.piczak_spectrogram(), {}
    for split, cache in splits.items():
        sampling = settings.sampling if split == "train" else "once"
        options = {name: getattr(settings, name) for name in ("short", "silence_decibels", "peak_of")}
        patches[split], counts = cut_segments(cache, spectrogram, sampling=sampling, **options)
        print(f"{split}: {counts}", flush=True)
    target = normalised(spectrogram, spectrogram_statistics(spectrogram, patches["train"]), settings.forcing_form)
    stages = plan_rows(settings, patches["train"].class_names, target)
    ways, folder = [way_of(row) for row in settings.rows], pathlib.Path(folder)

    def test(stage, result):
        way = next(way for way in ways if stage.name in way)
        learned = [name for name in way[: way.index(stage.name)] if not name.startswith("piczak")]
        phases = {name: keras.models.load_model(folder / name / run_folder.BEST_MODEL) for name in learned}
        write_pictures(phases | {stage.name: stage.model}, patches["val"], folder / stage.name)
        if stage.name in [way[-1] for way in ways]:
            path = folder / stage.name / TEST
            if not path.exists():
                evaluation = evaluate_segments(stage.model, patches["test"], settings.training.batch_size)
                write_test(path, evaluation, trainable_parameters(stage.model))
            if report is not None:
                report()

    train_stages(
        stages,
        patches["train"],
        patches["val"],
        folder,
        callbacks_of=lambda stage: [EpochSeconds()],
        after_stage=test,
        **arguments,
    )
