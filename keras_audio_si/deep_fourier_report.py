"""The report on rows of networks that were trained in stages: a table, bars, confusion matrices, curves by phase."""

import csv
import json
import pathlib
import sys

import numpy as np

from keras_audio_si.evaluation.report import Estimate, write_table
from keras_audio_si.evaluation.segments import Confusion
from keras_audio_si.files import write_rows, writing, written_whole
from keras_audio_si.visualization.classification import plot_bars, plot_confusion, plot_phases

TEST = "test.json"
SCORES = {
    "segments": "segments",
    "clip_votes": "clips by votes",
    "clip_means": "clips by mean scores",
}


def write_test(path, evaluation, parameters):
    """Writes what a network made of the test clips.

    Args:
        path: File to write.
        evaluation: `evaluation.segments.SegmentEvaluation`.
        parameters: Number of its trainable parameters.
    """
    counts = {name: getattr(evaluation, name).counts.tolist() for name in SCORES}
    with writing(path.parent), written_whole(path) as temporary:
        temporary.write_text(json.dumps(counts | {"parameters": parameters}) + "\n", encoding="utf-8")


def read_row(way, places):
    """What has been tested of a row, with every division of the data and every seed.

    Args:
        way: Names of the row's stages.
        places: Folders of the stages, one per division and seed.

    Returns:
        List of dicts, of those that are done: "segments", "clip_votes" and "clip_means", `Confusion`; "parameters";
        "epochs" and "seconds" of all its stages; and "logs", a dict of the stages' `log.csv`.
    """
    runs = []
    for place in places:
        path = place / way[-1] / TEST
        if not path.exists():
            continue
        run = json.loads(path.read_text(encoding="utf-8"))
        run |= {name: Confusion(np.array(run[name], "int64")) for name in SCORES}
        run["logs"] = {name: place / name / "log.csv" for name in way}
        seconds = [value for log in run["logs"].values() for value in _column(log, "seconds")]
        runs.append(run | {"epochs": len(seconds), "seconds": sum(seconds)})
    return runs


def row_table(runs_of):
    """The table: balanced accuracies of segments and of clips, parameters, and what it took.

    Args:
        runs_of: Dict of lists as `read_row` gives them, by row.

    Returns:
        List of dicts as `evaluation.report.write_table` takes them. Epochs and seconds are means over the runs, and
        count the stages that rows share in each of them.
    """
    return [
        {
            "row": row,
            "runs": len(runs),
            "parameters": runs[0]["parameters"],
            **{label: Estimate.of([run[name].balanced_accuracy for run in runs]) for name, label in SCORES.items()},
            "epochs": round(float(np.mean([run["epochs"] for run in runs]))),
            "seconds": round(float(np.mean([run["seconds"] for run in runs]))),
        }
        for row, runs in runs_of.items()
        if runs
    ]


def write_report(folder, ways, places, class_names):
    """Writes `rows.csv`, `rows.md`, `bars.png`, `curves.png`, and in `rows/` matrices and curves, of what is done.

    The confusion matrices are summed over the runs; the curves are those of the first run, in `curves.png` of all
    networks with a front-end that learns, from phase 1 on.

    Args:
        folder: Folder of the report.
        ways: Dict from the rows to the names of their stages.
        places: Folders of the stages, one per division and seed.
        class_names: Names of the classes.

    Returns:
        The table, a list of dicts.
    """
    folder = pathlib.Path(folder)
    runs_of = {row: read_row(way, places) for row, way in ways.items()}
    runs_of = {row: runs for row, runs in runs_of.items() if runs}
    table = row_table(runs_of)
    with writing(folder):
        write_table(table, folder, "rows")
        for row, runs in runs_of.items():
            for name in SCORES:
                counts = sum(run[name].counts for run in runs)
                rows = [
                    {"class": label} | dict(zip(class_names, line, strict=True))
                    for label, line in zip(class_names, counts.tolist(), strict=True)
                ]
                (folder / "rows").mkdir(exist_ok=True)
                write_rows(rows, folder / "rows" / f"{_file_name(row)}-{name}.csv")
        try:
            _write_figures(folder, runs_of, class_names)
        except ImportError as error:
            print(f"No figures. {error}", file=sys.stderr)
    return table


def _write_figures(folder, runs_of, class_names):
    values = {
        row: {label: [run[name].balanced_accuracy for run in runs] for name, label in SCORES.items()}
        for row, runs in runs_of.items()
    }
    plot_bars(values, folder / "bars.png", chance=1 / len(class_names))
    behind = {}
    for row, runs in runs_of.items():
        counts = sum(run["segments"].counts for run in runs)
        path = folder / "rows" / f"{_file_name(row)}-confusion.png"
        plot_confusion(Confusion(counts), class_names, path, title=f"{row}, segments")
        phases = {_phase(name): log for name, log in runs[0]["logs"].items()}
        plot_phases({row: phases}, folder / "rows" / f"{_file_name(row)}-curves.png")
        if len(phases) > 1 or "phase 0" not in phases:
            behind[row] = {name: log for name, log in phases.items() if name != "phase 0"}
    if behind:
        plot_phases(behind, folder / "curves.png")


def _phase(stage):
    """What a stage is called in the paper, such as "phase 1"."""
    return "phase 0" if stage.startswith("piczak") else stage.rpartition("-")[2].replace("phase", "phase ")


def _file_name(row):
    return row.lower().replace(" ", "-")


def _column(path, name):
    with open(path, newline="", encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file)]
