"""Folds times seeds in one go: a run for each, one folder, a table of means and deviations, continued where cut off."""

import csv
import math
import pathlib
import sys
from typing import NamedTuple

from keras_audio_si import report_folder
from keras_audio_si.data.splits import assign_splits
from keras_audio_si.evaluation.report import Estimate, write_table
from keras_audio_si.files import writing
from keras_audio_si.training import run_folder
from keras_audio_si.visualization.plots import plot_learning_curves

QUANTITIES = ("mAP", "d'", "accuracy")
COLUMNS = ("fold", "seed", "parameters", "clips", "left out", *QUANTITIES)  # Of `runs.csv`.
ALL_FOLDS = "all folds"


class RunScore(NamedTuple):
    """What one run gave on its test clips; a row of `runs.csv`.

    Attributes:
        fold: Name of what was tested on, such as "fold-1".
        seed: Seed of the run.
        parameters: Number of trainable parameters.
        clips: Numbers of training, validation and test clips, such as "1360/240/400".
        left_out: Number of clips of the data set that are missing or cannot be read; `left_out.csv` names them.
        values: Dict of "mAP", "d'" and "accuracy".
    """

    fold: str
    seed: int
    parameters: int
    clips: str
    left_out: int
    values: dict


def divide(manifest, test_folds=None, train_folds=None, validation_split=0.15, seed=0, shared_validation_groups=False):
    """Divides clips into training, validation and test, in as many ways as they have folds.

    Each fold is the test once, and all others are trained on. Clips that come with splits have these alone. Where
    none are set apart to validate on, a share of the training recordings is, by `splits.hold_out`.

    Args:
        manifest: `Manifest`.
        test_folds: Folds that are to be tests; None for all.
        train_folds: Folds to train on, without the test; None for all.
        validation_split: Share held out, above 0 and below 1.
        seed: Seed of what is held out.
        shared_validation_groups: As for `splits.assign_splits`.

    Returns:
        Dict of `Manifest` with splits, by name: "fold-1", ... or "test".

    Raises:
        ValueError: If folds are not there, or given for clips that have none.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> manifest = Manifest([Clip(f"{i}.wav", ("dog",), fold=1 + i % 2) for i in range(20)])
    >>> {name: [clip.split for clip in part.clips].count("test") for name, part in divide(manifest).items()}
    {'fold-1': 10, 'fold-2': 10}
    """
    share = {
        "validation_split": validation_split,
        "seed": seed,
        "shared_validation_groups": shared_validation_groups,
    }
    known = sorted({clip.fold for clip in manifest.clips if clip.fold is not None})
    if not known:
        if test_folds or train_folds:
            raise ValueError("The data have no folds: leave `test_folds` and `train_folds` out.")
        return {"test": assign_splits(manifest, **share)}
    return {
        f"fold-{fold}": assign_splits(
            manifest, [other for other in train_folds or known if other != fold], test_folds=[fold], **share
        )
        for fold in test_folds or known
    }


def cross_validate(run, cache, divisions, seeds, folder, record, resume=False, overwrite=False):
    """Makes a run for every division and seed, and writes the report.

    Args:
        run: Function of `(splits, seed, folder)` that trains, tests and returns `(parameters, ClipEvaluation)`. The
            first is a dict of the `ClipCache` of "train", "val" and "test". It continues what the folder has.
        cache: `ClipCache` of all clips.
        divisions: Dict of `Manifest`, as `divide` makes it.
        seeds: Seeds of the runs.
        folder: Folder of the report: `runs.csv` with a row per run, the table of `fold_table` as `table.csv` and
            `table.md` (both of what is done, after each run), `learning_curves.png`, and the files of
            `report_folder.describe`. Each division has a folder in it, if there are several, and each seed, if there
            are several.
        record: Dict of the settings, in values that JSON has, those of the training under "training".
        resume: Whether to continue what `folder` has, if anything. Runs that are in `runs.csv` are not repeated.
        overwrite: Whether to replace the runs that `folder` has. Without either runs there are an error.

    Returns:
        List of `RunScore`.

    Raises:
        ValueError: If a report is continued with other settings or data.
        FileExistsError: If `folder` has runs, and neither `resume` nor `overwrite` is set.
        BlockingIOError: If another process uses `folder`.
        OSError: If `folder` cannot be written to.
    """
    folder = pathlib.Path(folder)
    plan = {(name, seed): run_path(folder, name, seed, divisions, seeds) for name in divisions for seed in seeds}
    with run_folder.locked(folder, "comparison.lock"):
        report_folder.claim(folder, record, cache.manifest, plan.values(), resume, overwrite)
        report_folder.describe(folder, record, cache.manifest, cache.failures)
        if not resume:
            (folder / "runs.csv").unlink(missing_ok=True)
        scores = _read(folder / "runs.csv")
        done = {(score.fold, score.seed) for score in scores}
        for number, ((name, seed), path) in enumerate(plan.items(), start=1):
            if (name, seed) in done:
                continue
            print(f"\n{name}, seed {seed} ({number} of {len(plan)})", flush=True)
            manifest = divisions[name]
            splits = {split: cache.of(manifest.select(split=split)) for split in ("train", "val", "test")}
            parameters, evaluation = run(splits, seed, path)
            values = dict(zip(QUANTITIES, (evaluation.mAP, evaluation.d_prime, evaluation.accuracy), strict=True))
            clips = "/".join(str(len(part)) for part in splits.values())
            scores.append(RunScore(name, seed, parameters, clips, len(cache.failures), values))
            with writing(folder):
                rows = [dict(zip(COLUMNS, (*score[:-1], *score.values.values()), strict=True)) for score in scores]
                write_table(rows, folder, "runs")
                write_table(fold_table(scores, list(divisions)), folder, "table")
        with writing(folder):
            _write_curves(plan, folder)
    return scores


def run_rows(rows, run, folder, paper, quantities=("accuracy", "mAP")):
    """Trains and tests the rows of a table.

    Args:
        rows: Dict of the settings of each row, by name.
        run: Function of `(settings, folder)` that gives a list of `RunScore`, such as one that calls `cross_validate`.
        folder: Folder of the report: the table as `rows.csv` and `rows.md` (of what is done, after each row), and a
            folder for each row, see `row_path`.
        paper: Dict of what the paper has, in %, by name.
        quantities: Names of the columns of values, those of `RunScore`; the paper has the first.

    Returns:
        The table, a list of dicts.
    """
    table = []
    for name, settings in rows.items():
        print(f"\n{name} ({len(table) + 1} of {len(rows)})", flush=True)
        scores = run(settings, row_path(folder, name))
        whole = fold_table(scores)[-1]
        measured = {quantity: whole[quantity] for quantity in quantities}
        counts = {"runs": len(scores), "parameters": scores[0].parameters}
        table.append({"row": name, **counts, **measured, f"{quantities[0]} in the paper (%)": paper.get(name)})
        write_table(table, folder, "rows")
    return table


def row_path(folder, name):
    """Folder of a row of a table in that of the report."""
    return pathlib.Path(folder) / name.replace(",", "").replace(" ", "-")


def run_path(folder, name, seed, divisions, seeds):
    """Folder of one run in that of its report."""
    path = folder / name if len(divisions) > 1 else folder
    return path / f"seed-{seed}" if len(seeds) > 1 else path


def fold_table(scores, folds=None):
    """Sums up runs: a row per fold, over its seeds, and one for all folds.

    The value of one seed for all folds is the mean over the folds; the row has the mean and the deviation of these
    over the seeds that have every fold.

    Args:
        scores: List of `RunScore`.
        folds: Names of all folds, where some have no run yet; None for those of the runs.

    Returns:
        List of dicts as `evaluation.report.write_table` takes them.

    Example:

    >>> from keras_audio_si.evaluation.report import format_text
    >>> accuracy = {("fold-1", 0): 0.6, ("fold-1", 1): 0.62, ("fold-2", 0): 0.7, ("fold-2", 1): 0.72}
    >>> runs = [RunScore(*key, 9, "4/1/2", 0, {"accuracy": value}) for key, value in accuracy.items()]
    >>> print(format_text(fold_table(runs)))
    tested on  runs       accuracy
    fold-1        2  0.610 ± 0.014
    fold-2        2  0.710 ± 0.014
    all folds     2  0.660 ± 0.014
    """
    with_runs = list(dict.fromkeys(score.fold for score in scores))
    folds = folds or with_runs
    rows = [(fold, [score.values for score in scores if score.fold == fold]) for fold in with_runs]
    if len(folds) > 1:
        by_seed = {}
        for score in scores:
            by_seed.setdefault(score.seed, []).append(score.values)
        whole = [_mean(values) for values in by_seed.values() if len(values) == len(folds)]
        rows += [(ALL_FOLDS, whole)] if whole else []
    return [
        {"tested on": name, "runs": len(values)}
        | {quantity: Estimate.of([value[quantity] for value in values]) for quantity in values[0]}
        for name, values in rows
    ]


def _mean(values):
    return {quantity: math.fsum(value[quantity] for value in values) / len(values) for quantity in values[0]}


def _read(path):
    """The scores that `runs.csv` has, none if it is not there."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [
            RunScore(
                row["fold"],
                int(row["seed"]),
                int(row["parameters"]),
                row["clips"],
                int(row["left out"]),
                {quantity: float(row[quantity]) for quantity in QUANTITIES},
            )
            for row in csv.DictReader(file)
        ]


def _write_curves(plan, folder):
    logs = {}
    for (name, _), path in plan.items():
        logs.setdefault(name, []).append(path / "log.csv")
    try:
        plot_learning_curves(logs, folder / "learning_curves.png")
    except ImportError as error:
        print(f"No figure. {error}", file=sys.stderr)
