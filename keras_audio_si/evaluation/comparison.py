"""Comparison of results on the same clips: differences with paired bootstrap intervals and p-values."""

import collections
import datetime
import pathlib
from typing import NamedTuple

import numpy as np

import keras_audio_si
from keras_audio_si.checks import listed
from keras_audio_si.evaluation import charts
from keras_audio_si.evaluation.intervals import RESAMPLES, Difference, Interval, bootstrap, units_of
from keras_audio_si.evaluation.page import check_jinja2, interval, number, signed, write_page
from keras_audio_si.evaluation.report import format_text
from keras_audio_si.files import AGAIN, write_csv, writing

METRICS = ("mAP", "accuracy")
PAGE = "comparison.html"


class Compared(NamedTuple):
    """One quantity of one result.

    Attributes:
        interval: `intervals.Interval` of the quantity.
        difference: `intervals.Difference` to the first result, None of the first.
    """

    interval: Interval
    difference: Difference | None


class Comparison(NamedTuple):
    """Results side by side.

    Attributes:
        metrics: Dict by result of dicts by metric, "mAP" and "accuracy", of `Compared`.
        classes: Dict by class of dicts by result of `Compared`: average precision.
        runs: Dict by result of the number of runs.
        num_clips: Number of clips.
        num_recordings: Number of recordings that they are from.
        resamples: Number of resamples.
    """

    metrics: dict
    classes: dict
    runs: dict
    num_clips: int
    num_recordings: int
    resamples: int


def compare_results(results, resamples=RESAMPLES, seed=0):
    """Compares results with the first of them, by a bootstrap over recordings in which all see the same resamples.

    Args:
        results: Dict of lists of `clips.ClipScores` by name: the runs of a result, such as its folds and seeds, whose
            metrics are averaged. At least two results, of the same clips in the same folds and of the same classes.
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        `Comparison`

    Raises:
        ValueError: If there are fewer than two results, or clips, targets, classes or folds differ.

    Example:

    >>> from keras_audio_si.evaluation.clips import ClipScores
    >>> targets = np.eye(2, dtype="float32")[[0, 1, 0, 1]]
    >>> good, bad = (ClipScores(tuple("abcd"), scores, targets, ("dog", "rain")) for scores in (targets, targets[::-1]))
    >>> compared = compare_results({"good": [good], "bad": [bad]}, resamples=99)
    >>> compared.metrics["bad"]["accuracy"].difference
    Difference(interval=Interval(value=-1.0, low=-1.0, high=-1.0), p=0.02)
    """
    if len(results) < 2:
        raise ValueError(f"At least two results are needed. Received: {', '.join(results) or 'none'}")
    _check_alike(results)
    draws = {name: bootstrap(runs, resamples, seed) for name, runs in results.items()}
    first = next(iter(draws.values()))

    def compared(own, firsts):
        return Compared(Interval.of(own), None if own is firsts else Difference.of(firsts, own))

    metrics = {
        name: {
            "mAP": compared(own.mean_precision, first.mean_precision),
            "accuracy": compared(own.accuracy, first.accuracy),
        }
        for name, own in draws.items()
    }
    class_names = next(iter(results.values()))[0].class_names
    columns = {name: own.per_class.T for name, own in draws.items()}
    firsts = first.per_class.T
    classes = {
        label: {
            name: Compared(Interval.of(own[i]), None if draws[name] is first else Difference.of(firsts[i], own[i]))
            for name, own in columns.items()
        }
        for i, label in enumerate(class_names)
    }
    runs = {name: len(runs) for name, runs in results.items()}
    ids, _, recordings = units_of(next(iter(results.values())))
    return Comparison(metrics, classes, runs, len(ids), len(set(recordings.tolist())), resamples)


def format_comparison(comparison):
    """The metrics of a `Comparison` as text: values, and differences to the first result, with their intervals."""
    rows = []
    for name, metrics in comparison.metrics.items():
        row = {"result": name, "runs": str(comparison.runs[name])}
        for metric in METRICS:
            value, difference = metrics[metric]
            row[metric] = f"{number(value.value)} ({interval(value)})"
            shown = "-", "-"
            if difference is not None:
                change, p = difference
                shown = f"{signed(change.value)} ({interval(change, signed)})", number(p)
            row |= {f"{metric} difference": shown[0], f"{metric} p": shown[1]}
        rows.append(row)
    first = next(iter(comparison.metrics))
    of = f" of {comparison.num_recordings} recordings" if comparison.num_recordings < comparison.num_clips else ""
    return (
        f"{format_text(rows)}\n{comparison.num_clips} clips{of}, {comparison.resamples} resamples of them; "
        f"differences are to {first!r}"
    )


def write_comparison(comparison, folder):
    """Writes `comparison.html`, `comparison.csv` and `classes.csv`.

    Args:
        comparison: `Comparison`
        folder: Folder, made if there is none.

    Returns:
        The paths.

    Raises:
        ImportError: If jinja2 is missing: the extra `reports`.
        OSError: If the folder cannot be written to.
    """
    check_jinja2()
    folder = pathlib.Path(folder)
    columns = ["value", "low", "high", "difference", "difference low", "difference high", "p"]
    lines = [
        [name, metric, *_cells(compared)]
        for name, metrics in comparison.metrics.items()
        for metric, compared in metrics.items()
    ]
    class_lines = [
        [label, name, *_cells(compared)]
        for label, results in comparison.classes.items()
        for name, compared in results.items()
    ]
    with writing(folder, AGAIN):
        folder.mkdir(parents=True, exist_ok=True)
        return (
            write_page("comparison.html", folder / PAGE, **_page_values(comparison)),
            write_csv(folder / "comparison.csv", ["result", "metric", *columns], lines),
            write_csv(folder / "classes.csv", ["class", "result", *columns], class_lines),
        )


def _page_values(comparison):
    metrics = {
        metric: [
            (name, *values[metric], charts.interval_bar(values[metric].interval))
            for name, values in comparison.metrics.items()
        ]
        for metric in METRICS
    }
    differences = [
        compared.difference.interval
        for results in comparison.classes.values()
        for compared in results.values()
        if compared.difference is not None
    ]
    ends = [abs(end) for one in differences for end in one if end == end]
    scale = max([0.1, *ends])
    classes = [
        (
            label,
            [
                (
                    name,
                    *compared,
                    charts.interval_bar(compared.difference.interval, -scale, scale) if compared.difference else "",
                )
                for name, compared in results.items()
            ],
        )
        for label, results in comparison.classes.items()
    ]
    return {
        "names": list(comparison.metrics),
        "runs": comparison.runs,
        "num_clips": comparison.num_clips,
        "num_recordings": comparison.num_recordings,
        "resamples": comparison.resamples,
        "metrics": metrics,
        "classes": classes,
        "scale": scale,
        "package": f"keras-audio-si {keras_audio_si.__version__}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _check_alike(results):
    """Raises an error that names what differs between the first result and another."""
    (first, runs), *others = results.items()
    known = _targets(first, runs)
    for name, other_runs in others:
        if (a := runs[0].class_names) != (b := other_runs[0].class_names):
            lacking = [label for label in a if label not in b], [label for label in b if label not in a]
            what = f"only in {first!r}: {listed(lacking[0])}; only in {name!r}: {listed(lacking[1])}"
            raise ValueError(
                f"{first!r} and {name!r} have different classes, {what if any(lacking) else 'in another order'}."
            )
        found = _targets(name, other_runs)
        if known.keys() != found.keys():
            lacking = sorted(known.keys() - found.keys()), sorted(found.keys() - known.keys())
            raise ValueError(
                f"{first!r} and {name!r} have scores of different clips, {len(known)} and {len(found)}; only in "
                f"{first!r}: {listed(lacking[0])}; only in {name!r}: {listed(lacking[1])}."
            )
        wrong = [clip_id for clip_id in known if known[clip_id] != found[clip_id]]
        if wrong:
            raise ValueError(f"{first!r} and {name!r} have different labels for the clips {listed(wrong)}.")
        if _folds(first, runs) != _folds(name, other_runs):
            raise ValueError(f"{first!r} and {name!r} have the same clips in different folds or runs.")
        if not np.array_equal(units_of(runs)[2], units_of(other_runs)[2]):
            raise ValueError(f"{first!r} and {name!r} have different groups for the same clips.")


def _folds(name, runs):
    """The sets of the clips of the folds, which must have as many runs each: the mean over runs is one over folds."""
    counts = collections.Counter(frozenset(run.clip_ids) for run in runs)
    if len(set(counts.values())) > 1:
        raise ValueError(f"{name!r} has more runs on some folds than on others: finish its training by --resume.")
    return set(counts)


def _targets(name, runs):
    found = {}
    for run in runs:
        if run.class_names != runs[0].class_names:
            raise ValueError(f"The runs of {name!r} have different classes.")
        found |= {clip_id: row.tobytes() for clip_id, row in zip(run.clip_ids, run.targets > 0.5, strict=True)}
    return found


def _cells(compared):
    value, difference = compared
    return [*value, *(("",) * 4 if difference is None else (*difference.interval, difference.p))]
