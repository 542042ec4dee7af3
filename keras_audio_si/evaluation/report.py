"""Tables of results, with mean and standard deviation over runs, as CSV, Markdown and text."""

import math
import pathlib
import statistics
from typing import NamedTuple

from keras_audio_si.escaping import markdown, one_line
from keras_audio_si.files import columns_of, write_rows, written_whole

# Decimals by the last word of a column's name. A consistency is a percentage, as in the paper.
_DECIMALS = {"parameters": 0, "runs": 0, "epochs": 0, "seconds": 0, "(%)": 1}
_DEFAULT_DECIMALS = 3


class Estimate(NamedTuple):
    """Mean and standard deviation of one quantity over runs.

    Attributes:
        mean: The mean.
        deviation: The sample standard deviation (divisor `runs - 1`); NaN for a single run.

    Example:

    >>> Estimate.of([0.25, 1.25, 0.75])
    Estimate(mean=0.75, deviation=0.5)
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, values):
        # Scores that are not finite come as NaN metrics, and stay NaN: `stdev` would raise on infinities.
        known = len(values) > 1 and all(map(math.isfinite, values))
        return cls(statistics.fmean(values), statistics.stdev(values) if known else math.nan)


def trainable_parameters(model):
    """Returns the number of trainable parameters of a model."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def quantities(evaluation=None, shifts=()):
    """What was measured, by the names that tables have for it.

    Args:
        evaluation: `evaluation.clips.ClipEvaluation`, or None.
        shifts: Dict of `evaluation.shift.ShiftResult` by protocol.

    Returns:
        Dict of numbers: "mAP", "d'" and "accuracy", and for each protocol "time-1 consistency (%)" and "time-1 MAC".

    Example:

    >>> from keras_audio_si.evaluation.shift import ShiftResult
    >>> quantities(shifts={"time-1": ShiftResult(0.75, 0.1, 1000)})
    {'time-1 consistency (%)': 75.0, 'time-1 MAC': 0.1}
    """
    values = {}
    if evaluation is not None:
        values = {"mAP": evaluation.mAP, "d'": evaluation.d_prime, "accuracy": evaluation.accuracy}
    for protocol, shift in dict(shifts).items():
        values |= {f"{protocol} consistency (%)": 100 * shift.consistency, f"{protocol} MAC": shift.mac}
    return values


def write_table(rows, folder, name):
    """Writes a table as `<name>.csv` and `<name>.md`.

    In the CSV file an `Estimate` takes two columns: the mean under the column's own name, and the deviation under
    `"<column> std"`, empty where there is none. Numbers there are not rounded.

    Args:
        rows: List of dicts of text, numbers and `Estimate`s by column.
        folder: Folder, made if there is none.
        name: Name of the files without an extension.

    Returns:
        The paths of the CSV and the Markdown file.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flat = [_flatten(row) for row in rows]
    paths = folder / f"{name}.csv", folder / f"{name}.md"
    write_rows(flat, paths[0])
    with written_whole(paths[1]) as temporary:
        temporary.write_text(format_markdown(rows) + "\n", encoding="utf-8")
    return paths


def format_markdown(rows):
    """Formats a table as Markdown, in the narrower orientation: a line per row, or rows side by side.

    Text is shown as it is, whatever it means in Markdown.
    """
    lines = _narrower(rows, markdown)
    widths = [max(4, width) for width in _widths(lines)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in _aligned([lines[0], rule, *lines[1:]], widths))


def format_text(rows):
    """Formats a table as aligned text for a terminal, in the narrower orientation."""
    lines = _narrower(rows, one_line)
    return "\n".join("  ".join(line) for line in _aligned(lines, _widths(lines)))


def _flatten(row):
    flat = {}
    for column, value in row.items():
        if isinstance(value, Estimate):
            deviation = "" if math.isnan(value.deviation) else value.deviation
            flat |= {column: value.mean, f"{column} std": deviation}
        else:
            flat[column] = value
    return flat


def _cell(column, value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    decimals = _DECIMALS.get(column.split()[-1], _DEFAULT_DECIMALS)
    if not isinstance(value, Estimate):
        return f"{value:,.{decimals}f}"
    mean = f"{value.mean:.{decimals}f}"
    return mean if math.isnan(value.deviation) else f"{mean} ± {value.deviation:.{decimals}f}"


def _narrower(rows, shown):
    """Lines of `shown` cells, a header first: one line per row, or one per column with the rows side by side."""
    if not rows:
        raise ValueError("`rows` is empty: there is no table to make.")
    columns = columns_of(rows)
    upright = [columns, *([_cell(column, row.get(column)) for column in columns] for row in rows)]
    upright = [list(map(shown, line)) for line in upright]
    side_by_side = [list(line) for line in zip(*upright, strict=True)]
    side_by_side[0][0] = ""
    return min(upright, side_by_side, key=lambda lines: sum(_widths(lines)) + 2 * len(lines[0]))


def _widths(lines):
    return [max(map(len, cells)) for cells in zip(*lines, strict=True)]


def _aligned(lines, widths):
    return [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
