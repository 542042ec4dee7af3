"""Report of an experiment: a line per run, tables of the rows with the paper's values, figures."""

import csv
import itertools
import math
import pathlib
import sys
from typing import NamedTuple

import numpy as np

from keras_audio_si.data.text_files import read_json
from keras_audio_si.evaluation.patches import Confusion
from keras_audio_si.evaluation.report import Estimate, format_text, write_table
from keras_audio_si.evaluation.shift_clips import shift_patches
from keras_audio_si.experiments.run import CONFUSION
from keras_audio_si.files import plain_text, write_rows, written_rows
from keras_audio_si.models.loading import load_model
from keras_audio_si.training.run_folder import BEST_MODEL
from keras_audio_si.training.stages import PLAN
from keras_audio_si.visualization.classification import plot_bars, plot_confusion, plot_phases
from keras_audio_si.visualization.plots import plot_learning_curves
from keras_audio_si.visualization.stability import write_stability

RUNS = "runs.csv"
COST = ("epochs", "seconds")  # Of the training; means over the runs.
BALANCED = ("patch balanced accuracy", "vote balanced accuracy", "mean balanced accuracy")
_OF_REPORT = ("learning_curves.png", "diffres.png", "phases.png", "stability.png", "bars.png")
_BARS = ("patches", "clips by votes", "clips by mean scores")  # What these are of.
_KEY = ("row", "fold", "seed", "clips", "left out")
_SHOWN = ("mAP", "d'", "accuracy", "train mAP", "train accuracy", *BALANCED)


class RunScore(NamedTuple):
    """Results of one run on its test clips; a line of `runs.csv`.

    Attributes:
        row: Name of the row; "" where there is only one.
        fold: Name of the division of the data, such as "fold-1".
        seed: Seed of the run.
        clips: Numbers of training, validation and test clips, such as "1360/240/400".
        left_out: Number of clips of the data set that are missing or cannot be read; `left_out.csv` names them.
        values: Dict of the measured values, "parameters" among them.
    """

    row: str
    fold: str
    seed: int
    clips: str
    left_out: int
    values: dict

    @property
    def key(self):
        """Row, fold and seed, which tell a run from the others."""
        return self.row, self.fold, self.seed


def read_scores(folder):
    """Reads the runs that a report has, none if it has no `runs.csv`.

    Args:
        folder: Folder of the report.

    Returns:
        List of `RunScore`.
    """
    path = pathlib.Path(folder) / RUNS
    if not path.exists():
        return []
    return [
        RunScore(
            line.pop("row"),
            line.pop("fold"),
            int(line.pop("seed")),
            line.pop("clips"),
            int(line.pop("left out")),
            {name: _number(name, value) for name, value in line.items() if value != ""},
        )
        for line in written_rows(path)
    ]


def write_tables(folder, scores, paper=None, quantity="mAP"):
    """Writes `runs.csv`, and the tables of rows and of folds as CSV and Markdown.

    Args:
        folder: Folder of the report.
        scores: List of `RunScore`.
        paper: Dict of what the paper has, by row.
        quantity: Measured value that the paper has.
    """
    write_rows([dict(zip(_KEY, score[:-1], strict=True)) | score.values for score in scores], folder / RUNS)
    write_table(row_table(scores, paper, quantity), folder, "table")
    if len({score.fold for score in scores}) > 1:
        write_table(fold_table(scores), folder, "folds")


def row_table(scores, paper=None, quantity="mAP"):
    """Sums up the runs of each row: mean over the folds, then mean and deviation over the seeds.

    Seeds without a run on every fold are left out of a row's mean, unless no seed has all.

    Args:
        scores: List of `RunScore`.
        paper: Dict of what the paper has, by row; the column is left out where it has none.
        quantity: Measured value that the paper has; its column comes first.

    Returns:
        List of dicts as `evaluation.report.write_table` takes them.

    Example:

    >>> accuracy = {("a", "fold-1"): 0.6, ("a", "fold-2"): 0.7, ("b", "fold-1"): 0.5, ("b", "fold-2"): 0.5}
    >>> runs = [RunScore(*key, 0, "4/1/2", 0, {"parameters": 9, "accuracy": value}) for key, value in accuracy.items()]
    >>> print(format_text(row_table(runs, {"a": 0.66}, "accuracy")))
                               a      b
    runs                       2      2
    parameters                 9      9
    accuracy               0.650  0.500
    accuracy in the paper  0.660      -
    """
    table = []
    for row, seeds in whole_seeds(scores).items():
        runs = list(itertools.chain(*seeds))
        whole = [_mean([run.values for run in part]) for part in seeds]
        line = {"row": row or "model"}
        line |= {"runs": len(runs), "parameters": int(runs[0].values["parameters"])}
        cost = [name for name in COST if all(name in run.values for run in runs)]
        line |= {name: round(math.fsum(run.values[name] for run in runs) / len(runs)) for name in cost}
        line |= {name: Estimate.of([mean[name] for mean in whole]) for name in _columns(whole, quantity)}
        if paper:
            line[f"{quantity} in the paper"] = paper.get(row)
        table.append(line)
    return table


def whole_seeds(scores):
    """Groups runs by row, and those of a row by seed: seeds that have a run on every fold, or all if none has."""
    folds, rows = {score.fold for score in scores}, {}
    for score in scores:
        rows.setdefault(score.row, {}).setdefault(score.seed, []).append(score)
    return {
        row: [runs for runs in seeds.values() if len(runs) == len(folds)] or list(seeds.values())
        for row, seeds in rows.items()
    }


def fold_table(scores):
    """Sums up the runs of each row and fold over the seeds, as `row_table` does for the rows."""
    lines = []
    for row, fold in dict.fromkeys((score.row, score.fold) for score in scores):
        values = [score.values for score in scores if (score.row, score.fold) == (row, fold)]
        line = {"row": row or "model", "tested on": fold, "runs": len(values)}
        lines.append(line | {name: Estimate.of([value[name] for value in values]) for name in _columns(values)})
    return lines


def summary(scores, paper=None, quantity="mAP"):
    """The tables of an experiment as text."""
    tables = [row_table(scores, paper, quantity)]
    if len({score.fold for score in scores}) > 1:
        tables.append(fold_table(scores))
    return "\n\n".join(map(format_text, tables))


def write_figures(folder, scores, places, rows, divisions, caches):
    """Draws the figures of a report; without matplotlib a message says that they are left out.

    `learning_curves.png` of all rows; `phases.png` of rows trained in stages; `diffres.png`, guide loss, activeness and
    validation of rows with DiffRes; `stability.png`, scores against shifts by the first run of each row, of a single
    division; `bars.png` and for each row `confusion.png`, where patches were scored.

    Args:
        folder: Folder of the report.
        scores: List of `RunScore`.
        places: Dict of the folders of all runs by row, fold and seed.
        rows: Dict of `Settings` by row, of those whose scores are shown against shifts.
        divisions: Dict of `Manifest` with splits, by fold.
        caches: Dict of the `ClipCache` of all clips, by sample rate.
    """
    done = {score.key: places[score.key] for score in scores}
    names = {key: key[0] or (key[1] if len(divisions) > 1 else "model") for key in done}
    logs = {}
    for key, place in done.items():
        logs.setdefault(names[key], []).extend(place.glob("log.csv"))
    monitors = {settings.training.monitor for settings in rows.values()}
    monitored = monitors.pop() if len(monitors) == 1 else "val_mAP"
    try:
        _write_curves(folder, {name: files for name, files in logs.items() if files}, monitored)
        _write_phases(folder, done, monitored)
        _write_bars(folder, scores)
        _write_confusions(folder, done)
        _write_shifts(folder, done, names, rows, divisions, caches)
    except ImportError as error:
        print(f"No figures. {error}", file=sys.stderr)


def figure_names(rows):
    """Names of all files that `write_figures` may write for rows of these names.

    Example:

    >>> figure_names(["aps, blurred"])[-2:]
    ['aps-blurred-confusion.png', 'aps-blurred-phases.png']
    """
    return [*_OF_REPORT, *(f"{_file_name(row)}{kind}.png" for row in rows for kind in ("confusion", "phases"))]


def _write_curves(folder, logs, monitored):
    with_column = lambda column: {n: f for n, f in logs.items() if all(column in _header(path) for path in f)}  # noqa: E731
    validated = with_column(monitored)
    if curves := validated or with_column("loss"):
        plot_learning_curves(curves, folder / "learning_curves.png", ("loss", *([monitored] if validated else [])))
    if curves := with_column("activeness"):
        shown = ("guide_loss", "activeness", *([monitored] if validated else []))
        plot_learning_curves(curves, folder / "diffres.png", shown)


def _write_phases(folder, done, monitored):
    """Fig. 3 of juettner: the curves of the first run of each row in stages, and of all rows from phase 1 on."""
    first, behind, columns = {}, {}, ()
    for (row, *_), place in done.items():
        first.setdefault(row, place)
    for row, place in first.items():
        if (place / PLAN).exists():
            stages = read_json(place / PLAN)["stages"]
            phases = {name.replace("phase", "phase "): place / name / "log.csv" for name in stages}
            logged = {column for log in phases.values() for column in _header(log)}
            columns = tuple(column for column in ("accuracy", monitored) if column in logged)
            if columns:
                plot_phases({row or "model": phases}, folder / f"{_file_name(row)}phases.png", columns)
            behind[row] = {name: log for name, log in phases.items() if name != "phase 0"}
        elif (place / "log.csv").exists():
            behind[row] = {"training": place / "log.csv"}
    if columns and len(behind) > 1:
        plot_phases(behind, folder / "phases.png", columns)


def _write_bars(folder, scores):
    values = {}
    for score in scores:
        if BALANCED[0] in score.values:
            of_row = values.setdefault(score.row or "model", {bar: [] for bar in _BARS})
            for bar, name in zip(_BARS, BALANCED, strict=True):
                of_row[bar].append(score.values[name])
    if values:
        plot_bars(values, folder / "bars.png")


def _write_confusions(folder, done):
    """The confusion of patches, summed over the runs of a row."""
    found = {}
    for (row, *_), place in done.items():
        if (path := place / f"{CONFUSION}.csv").exists():
            with open(path, newline="", encoding="utf-8") as file:
                names, *lines = csv.reader(file)
            counts = np.array([line[1:] for line in lines], "int64")
            found[row] = (list(map(plain_text, names[1:])), found[row][1] + counts if row in found else counts)
    for row, (class_names, counts) in found.items():
        title = f"{row}, patches" if row else "Patches"
        plot_confusion(Confusion(counts), class_names, folder / f"{_file_name(row)}confusion.png", title)


def _file_name(row):
    """What the names of the files of a row begin with."""
    return f"{row.lower().replace(',', '').replace(' ', '-')}-" if row else ""


def _write_shifts(folder, done, names, rows, divisions, caches):
    shifted = {key: place for key, place in done.items() if key[0] in rows and rows[key[0]].evaluation.protocols}
    if not shifted or len(divisions) > 1:
        return
    first = rows[next(iter(shifted))[0]]
    ((_, manifest),) = divisions.items()
    test = caches[first.data.sample_rate].of(manifest.select(split="test"))
    models = {}
    for key, place in shifted.items():
        if names[key] not in models:
            models[names[key]] = load_model(place / BEST_MODEL)
    settings = first.evaluation
    patches = shift_patches(
        next(iter(models.values())), test, (), settings.max_shift_clips, clip_list=settings.shift_clips
    )
    write_stability(models, test, patches, folder)


def _columns(values, quantity=None):
    """Names of the values that a table shows, those that all runs have."""
    shown = [quantity, *_SHOWN, *(name for name in values[0] if name.endswith(("consistency (%)", "MAC")))]
    return [name for name in dict.fromkeys(shown) if all(name in value for value in values)]


def _mean(values):
    names = [name for name in values[0] if all(name in value for value in values)]
    return {name: math.fsum(value[name] for value in values) / len(values) for name in names}


def _number(name, value):
    return int(value) if name in ("parameters", "epochs") else float(value)


def _header(path):
    with open(path, newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])
