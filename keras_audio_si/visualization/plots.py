"""Figures of shift stability and of learning curves, and their style. They need matplotlib, of the extra `plots`."""

import contextlib
import csv
import math
import pathlib
from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_choice, check_matplotlib
from keras_audio_si.files import written_whole

# Okabe and Ito's palette, which readers with any colour vision can tell apart; the styles survive a grey
# print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", "--", "-.", ":")
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "savefig.dpi": 200,
    "text.parse_math": False,  # Names with dollar signs are no formulas.
}
_SHIFT_LABELS = {
    "time": "Time shift (frames{unit})",
    "freq": "Upward frequency shift (mel bands)",
    "samples": "Time shift (samples)",
}


class StabilityPanel(NamedTuple):
    """One column of a stability figure: the scores of several models for the same examples.

    Attributes:
        kind: `"time"`, `"freq"` or `"samples"`.
        curves: Dict from the model's name to the scores of examples after shifts by 0, 1, 2, ..., an array
            `(examples, shifts)`.
        hop_seconds: Duration of a frame's hop in seconds, for the label of a time axis.
    """

    kind: str
    curves: dict
    hop_seconds: float | None = None


def plot_stability(panels, path):
    """Draws scores against shifts, and how far they are from those without a shift: means and quartiles of examples.

    Args:
        panels: List of `StabilityPanel`, a column each.
        path: File to write; its extension chooses the format.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If a panel's kind is unknown.

    Reference:
        Fonseca et al., 2021, Fig. 2, whose scores are those of one example.
    """
    for panel in panels:
        check_choice("kind", panel.kind, _SHIFT_LABELS)
    models = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    num_examples = max(len(scores) for panel in panels for scores in panel.curves.values())

    def draw(figure):
        grid = figure.subplots(2, len(panels), squeeze=False, sharex="col", sharey="row")
        for (top, bottom), panel in zip(grid.T, panels, strict=True):
            for name, scores in panel.curves.items():
                style = line_style(models.index(name))
                _draw_spread(top, scores, name, style)
                _draw_spread(bottom, np.abs(scores - scores[:, :1]), name, style)
            unit = f", {1000 * panel.hop_seconds:.3g} ms apart" if panel.hop_seconds else ""
            bottom.set_xlabel(_SHIFT_LABELS[panel.kind].format(unit=unit))
            whole_ticks(bottom)
            bottom.margins(x=0.02)
        grid[0, 0].set_ylabel("Score of the correct class")
        grid[0, 0].set_ylim(-0.03, 1.03)
        grid[1, 0].set_ylabel("Its absolute change")
        top = max(0.01, grid[1, 0].get_ylim()[1])  # Where nothing changes, a rounding must not fill the panel.
        grid[1, 0].set_ylim(-0.03 * top, top)
        _legend_above(figure, grid.flat, f"Mean and quartiles of {num_examples} clips")

    return save_figure(draw, (0.6 + 3.2 * len(panels), 4.8), path)


def _draw_spread(axes, values, name, style):
    """Draws the mean of examples `(examples, shifts)` as a line, and the range between their quartiles as a band."""
    shifts = range(values.shape[1])
    low, high = np.quantile(values, (0.25, 0.75), axis=0)
    axes.fill_between(shifts, low, high, color=style["color"], alpha=0.18, linewidth=0)
    axes.plot(shifts, values.mean(axis=0), label=name, **style, **_markers(shifts))


def plot_learning_curves(runs, path, columns=("loss", "val_mAP")):
    """Draws columns of logs, such as the training loss and a validation metric, against epochs.

    Args:
        runs: Dict from the model's name to the `log.csv` of its run, or to a list of them (one per seed,
            drawn in one colour).
        path: File to write; its extension chooses the format.
        columns: Columns of the logs, one panel below the other.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If a log lacks a column.
    """
    logs = {}
    for name, files in runs.items():
        files = files if isinstance(files, (list, tuple)) else [files]
        logs[name] = [read_log(file, columns) for file in files]

    def draw(figure):
        grid = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
        for axes, column in zip(grid, columns, strict=True):
            for index, (name, seeds) in enumerate(logs.items()):
                for log in seeds:
                    several = len(seeds) > 1
                    weight = {"linewidth": 0.8} if several else {}
                    if not several or len(log["epoch"]) == 1:  # A line through one epoch would not be seen.
                        weight |= _markers(log["epoch"])
                    label = name if log is seeds[0] else None
                    axes.plot(log["epoch"], log[column], **line_style(index), label=label, **weight)
            axes.set_ylabel(_metric_label(column))
            axes.margins(x=0.02)
        grid[-1].set_xlabel("Epoch")
        whole_ticks(grid[-1])
        _legend_above(figure, grid)

    return save_figure(draw, (5.0, 0.6 + 2.1 * len(columns)), path)


def read_log(file, columns):
    """Reads columns of a `log.csv`.

    Args:
        file: File of a Keras `CSVLogger` or of `training.callbacks.RunLog`.
        columns: Names of columns.

    Returns:
        Dict of arrays: the columns, in which an empty or unreadable number is NaN, and "epoch", counted from 1.

    Raises:
        ValueError: If a column is missing.
    """
    with open(file, newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in ("epoch", *columns) if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{file} has no column {missing}. It has: {reader.fieldnames}.")
        rows = list(reader)
    values = {name: np.array([_number(row[name]) for row in rows]) for name in columns}
    return values | {"epoch": np.array([int(row["epoch"]) + 1 for row in rows])}


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _metric_label(column):
    if column.startswith("val_"):
        return f"Validation {column.removeprefix('val_')}"
    return "Training loss" if column == "loss" else column.replace("_", " ").capitalize()


def line_style(index):
    """How the line of a number is drawn: keyword arguments of matplotlib's `plot`.

    Args:
        index: Number of the line, from 0.

    Returns:
        Dict of the colour and the style, which differ from those of the lines before.

    Example:

    >>> line_style(0)["color"] != line_style(1)["color"]
    True
    """
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": _LINE_STYLES[index % len(_LINE_STYLES)],
        "clip_on": False,
    }


def time_image(axes, array, extent, **settings):
    """Draws an array as an image, its first axis from left to right and its second from bottom to top.

    Args:
        axes: matplotlib's `Axes`.
        array: `(time, features)` array.
        extent: Left, right, bottom and top of the image, in units of the axes.
        **settings: Keyword arguments of matplotlib's `imshow`.

    Returns:
        The image.
    """
    axes.grid(False)
    return axes.imshow(array.T, origin="lower", aspect="auto", extent=extent, interpolation="nearest", **settings)


def short_name(name, longest=30):
    """A name on one line, of at most so many characters.

    Example:

    >>> print(short_name("Walk, footsteps", longest=10))
    Walk, foo…
    """
    name = " ".join(name.split())
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def whole_ticks(axes):
    """Puts ticks at integers alone on the horizontal axis, also where the view has only one of them."""
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _markers(values):
    """Markers show the single values, as long as they do not merge."""
    return {"marker": "o", "markersize": 2.5} if len(values) <= 60 else {}


def _legend_above(figure, grid, title=None):
    """One legend for all panels, above them: it covers no curve."""
    entries = {}
    for axes in grid:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    columns = min(3, max(1, len(entries)))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns, title=title)


def save_figure(draw, size, path):
    """Makes a figure in the style of the package and writes it, whole or not at all.

    Args:
        draw: Function of the `matplotlib.figure.Figure`, which draws on it.
        size: Width and height in inches.
        path: File to write; its extension chooses the format.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.
    """
    path = pathlib.Path(path)
    with styled_figure(size) as figure:
        draw(figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            figure.savefig(temporary)
    return path


@contextlib.contextmanager
def styled_figure(size):
    """Gives an empty figure in the style of the package, which holds within the block.

    Args:
        size: Width and height in inches.

    Raises:
        ImportError: If matplotlib is missing.
    """
    check_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    # A Figure of its own, not pyplot: no display, no global state, nothing to close.
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=size, layout="constrained")


def picture_suffixes():
    """Tuple of the suffixes of the files that figures can be written to, such as ".png".

    Raises:
        ImportError: If matplotlib is missing.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    return tuple(f".{name}" for name in Figure().canvas.get_supported_filetypes())
