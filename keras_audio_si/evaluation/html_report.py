"""Report of a model on clips: one self-contained HTML page, and what it shows as CSV and JSON files."""

import datetime
import math
import pathlib
from typing import NamedTuple

import keras
import numpy as np

import keras_audio_si
from keras_audio_si.evaluation import charts
from keras_audio_si.evaluation.calibration import reliability
from keras_audio_si.evaluation.clip_table import CLIPS, write_clips
from keras_audio_si.evaluation.curves import precision_recall
from keras_audio_si.evaluation.intervals import LEVEL, RESAMPLES, Interval, bootstrap, units_of
from keras_audio_si.evaluation.page import check_jinja2, write_page
from keras_audio_si.evaluation.report import trainable_parameters
from keras_audio_si.evaluation.shift import paper_protocols, parse_protocol, shift_table
from keras_audio_si.evaluation.shift_clips import shift_patches
from keras_audio_si.evaluation.worst_clips import worst_clips
from keras_audio_si.files import AGAIN, write_csv, write_json, writing
from keras_audio_si.models.metadata import front_end_of, thresholds_of

PAGE = "report.html"
SUMMARY = "summary.json"
MATRIX_CLASSES = 40  # Larger matrices are in the CSV file alone; the page lists their largest cells.
_PAIRS = 20
_CURVES = 24  # More curves are folded away.


class ClassRow(NamedTuple):
    """What a report says of a class.

    Attributes:
        name: Its name.
        clips: Number of clips that have it.
        precision_interval: `Interval` of the average precision.
        precision: Share of the clips predicted as this class that have it; NaN without any.
        recall: Share of the clips of this class that were predicted; NaN without any.
    """

    name: str
    clips: int
    precision_interval: Interval
    precision: float
    recall: float


def check_report_folder(folder):
    """Raises a `FileExistsError` if a report would replace scores of a training, or a table of a data set."""
    folder = pathlib.Path(folder)
    if (folder / CLIPS).exists() and not (folder / SUMMARY).exists():
        raise FileExistsError(f"{folder / CLIPS} is of no report, and would be replaced: choose another folder.")


def write_report(
    evaluation,
    model,
    cache,
    folder,
    name,
    data="",
    max_shift_clips=200,
    num_worst=20,
    resamples=RESAMPLES,
    seed=0,
    batch_size=64,
):
    """Writes the report of a model on clips.

    Args:
        evaluation: `ClipEvaluation` of the model on the clips.
        model: Classifier of waveforms, see `models.front_end_of`.
        cache: `ClipCache` of the clips.
        folder: Folder for `report.html`, `per_class.csv`, `clips.csv`, `confusion.csv` (clips of one label each) or
            `cooccurrence.csv` (others), `calibration.csv`, `shifts.csv` and `summary.json`.
        name: Name of the model.
        data: What the clips are, such as the name of the data set and the split.
        max_shift_clips: Largest number of clips of the shift test; 0 leaves it out.
        num_worst: Number of the clips with the largest errors to show.
        resamples: Resamples of the bootstrap over recordings.
        seed: Seed of the resamples and of the clips of the shift test.
        batch_size: Patches per batch.

    Returns:
        Path of the page.

    Raises:
        ValueError: If scores are not finite.
        ImportError: If jinja2 or matplotlib is missing: the extra `reports`.
        FileExistsError: If the folder has a `clips.csv` of no report.
        OSError: If the folder cannot be written to.
    """
    check_jinja2()
    clips, folder = evaluation.clips, pathlib.Path(folder)
    check_report_folder(folder)
    targets = np.asarray(clips.targets) > 0.5
    single_label = bool((targets.sum(axis=1) == 1).all())
    thresholds = thresholds_of(model) or (0.5,) * len(clips.class_names)
    predicted = predicted_classes(clips.scores, None if single_label else thresholds)
    draws = bootstrap([clips], resamples, seed)
    rows = class_rows(clips, predicted, draws)
    counts = targets.astype("int64").T @ predicted.astype("int64")
    metrics = {"mAP": Interval.of(draws.mean_precision), "accuracy": Interval.of(draws.accuracy)}
    calibration, calibration_problem = _attempt(lambda: reliability(targets, clips.scores, single_label))
    shifts, shift_problem, num_shifted = {}, "It was left out.", 0
    if max_shift_clips:
        found, shift_problem = _attempt(lambda: _shifts(model, cache, max_shift_clips, seed, batch_size))
        shifts, num_shifted = found or ({}, 0)
    worst = worst_clips(clips, cache, single_label, num_worst)
    summary = {
        "model": name,
        "data": data,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "package": f"keras-audio-si {keras_audio_si.__version__}",
        "keras": f"{keras.__version__} on {keras.backend.backend()}",
        "parameters": trainable_parameters(model),
        "clips": len(targets),
        "recordings": len(set(units_of([clips])[2].tolist())),
        "clips left out": len(cache.failures),
        "classes": len(clips.class_names),
        "labels": "one per clip" if single_label else "any number per clip",
        "classes without clips": list(evaluation.excluded_classes),
        "intervals": {"level": LEVEL, "resamples": resamples, "seed": seed},
        "metrics": {
            **{metric: value._asdict() for metric, value in metrics.items()},
            "d'": {"value": evaluation.d_prime},
            **({"expected calibration error": {"value": calibration.error}} if calibration else {}),
        },
        "shift clips": num_shifted,
    }
    with writing(folder, AGAIN):
        folder.mkdir(parents=True, exist_ok=True)
        write_clips(clips, folder / CLIPS)
        _write_classes(rows, single_label, thresholds, folder)
        _write_matrix(counts, clips.class_names, folder / _matrix_file(single_label))
        (folder / _matrix_file(not single_label)).unlink(missing_ok=True)  # Of an earlier report.
        _write_calibration(calibration, folder)
        _write_shifts(shifts, folder)
        write_json(folder / SUMMARY, summary, indent=2)
        return write_page(
            "report.html",
            folder / PAGE,
            summary=summary,
            single_label=single_label,
            metrics=metrics,
            d_prime=evaluation.d_prime,
            rows=[(row, charts.interval_bar(row.precision_interval)) for row in rows],
            curves=_curves(clips, rows),
            shown_curves=_CURVES,
            matrix=_shares(counts, targets.sum(axis=0)) if len(counts) <= MATRIX_CLASSES else None,
            matrix_file=_matrix_file(single_label),
            class_names=clips.class_names,
            pairs=confused_pairs(counts, targets.sum(axis=0), clips.class_names)[:_PAIRS],
            calibration=calibration,
            calibration_chart=charts.reliability_chart(calibration) if calibration else "",
            calibration_problem=calibration_problem,
            shifts=_shift_rows(shifts, model, cache.sample_rate) if shifts else [],
            shift_chart=charts.shift_chart(shifts) if shifts else "",
            shift_problem=shift_problem,
            worst=worst,
            nyquist=cache.sample_rate / 2000,
        )


def predicted_classes(scores, thresholds=None):
    """The classes that count as predicted.

    Args:
        scores: Array `(clips, classes)`.
        thresholds: Score of each class from which it is predicted; None for the class with the top score.

    Returns:
        Bool array `(clips, classes)`.

    Example:

    >>> predicted_classes(np.array([[0.6, 0.7], [0.2, 0.1]]), (0.5, 0.5)).astype(int).tolist()
    [[1, 1], [0, 0]]
    """
    scores = np.asarray(scores)
    if thresholds is not None:
        return scores >= np.asarray(thresholds)
    return np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]


def class_rows(clips, predicted, draws):
    """Figures of every class.

    Args:
        clips: `ClipScores`
        predicted: Bool array `(clips, classes)`, see `predicted_classes`.
        draws: `intervals.Resamples` of the clips.

    Returns:
        List of `ClassRow`.
    """
    targets, rows = np.asarray(clips.targets) > 0.5, []
    for number, name in enumerate(clips.class_names):
        both = int((targets[:, number] & predicted[:, number]).sum())
        positives, found = int(targets[:, number].sum()), int(predicted[:, number].sum())
        rows.append(
            ClassRow(
                name,
                positives,
                Interval.of(draws.per_class[:, number]),
                both / found if found else math.nan,
                both / positives if positives else math.nan,
            )
        )
    return rows


def confused_pairs(counts, totals, class_names):
    """The classes that were predicted for clips of others, most frequent first.

    Args:
        counts: Integer array `(classes, classes)`, right classes in the rows, predicted ones in the columns.
        totals: Number of clips of each class.
        class_names: Names of the classes.

    Returns:
        List of `(right class, predicted class, clips, share of the clips of the right class)`.

    Example:

    >>> confused_pairs(np.array([[8, 2], [0, 5]]), (10, 5), ("dog", "rain"))
    [('dog', 'rain', 2, 0.2)]
    """
    off = np.array(counts)
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")
    pairs = zip(*np.unravel_index(order[: np.count_nonzero(off)], off.shape), strict=True)
    return [(class_names[i], class_names[j], int(off[i, j]), float(off[i, j] / totals[i])) for i, j in pairs]


def _attempt(function):
    """The result and None, or None and why there is none: a part that does not apply does not cost the report."""
    try:
        return function(), None
    except ValueError as error:
        return None, str(error)


def _shifts(model, cache, max_clips, seed, batch_size):
    protocols = paper_protocols([model])
    patches = shift_patches(model, cache, protocols, max_clips, seed)
    found = shift_table(model, patches.waveforms, protocols, seed, batch_size)
    return found, len(patches.starts)


def _shift_rows(shifts, model, sample_rate):
    """Protocol, kind, its number among the kinds, what the shift is, and the result."""
    hop, kinds, rows = front_end_of(model).hop_length, {}, []
    for protocol, result in shifts.items():
        kind, size = parse_protocol(protocol)
        milliseconds = 1000 * size * (hop if kind == "time" else 1) / sample_rate
        plural = "s" if size > 1 else ""
        units = {
            "time": f"{size} frame{plural}, {milliseconds:.3g} ms",
            "freq": f"{size} mel band{plural} upwards",
            "samples": f"{size} sample{plural}, {milliseconds:.3g} ms",
        }
        rows.append((protocol, kinds.setdefault(kind, len(kinds)), units[kind], result))
    return rows


def _curves(clips, rows):
    """`(row, chart)` of the classes with clips, lowest average precision first."""
    found, targets = [], np.asarray(clips.targets) > 0.5
    present = np.flatnonzero(targets.any(axis=0))
    for number in sorted(present, key=lambda number: rows[number].precision_interval.value):
        recall, precision = precision_recall(targets[:, number], clips.scores[:, number])
        found.append((rows[number], charts.precision_recall_chart(recall, precision, targets[:, number].mean())))
    return found


def _matrix_file(single_label):
    return "confusion.csv" if single_label else "cooccurrence.csv"


def _shares(counts, totals):
    """Rows of `(count, share of the clips of the row's class)`."""
    return [
        [(count, count / total if total else 0.0) for count in line]
        for line, total in zip(counts.tolist(), totals.tolist(), strict=True)
    ]


def _write_classes(rows, single_label, thresholds, folder):
    columns = ["class", "clips", "average precision", "low", "high", "precision", "recall"]
    lines = [[row.name, row.clips, *row.precision_interval, row.precision, row.recall] for row in rows]
    if not single_label:
        columns.append("threshold")
        lines = [[*line, threshold] for line, threshold in zip(lines, thresholds, strict=True)]
    write_csv(folder / "per_class.csv", columns, lines)


def _write_matrix(counts, class_names, path):
    lines = [[name, *line] for name, line in zip(class_names, counts.tolist(), strict=True)]
    write_csv(path, ["right \\ predicted", *class_names], lines)


def _write_calibration(calibration, folder):
    columns, lines = ["from", "to", "scores", "mean score", "observed share"], []
    if calibration:
        edges, *bins = calibration
        lines = zip(edges[:-1].tolist(), edges[1:].tolist(), *(values.tolist() for values in bins), strict=True)
    write_csv(folder / "calibration.csv", columns, lines)


def _write_shifts(shifts, folder):
    lines = [[protocol, result.consistency, result.mac, result.num_patches] for protocol, result in shifts.items()]
    write_csv(folder / "shifts.csv", ["shift", "consistency", "mean absolute change", "patches"], lines)
