"""Figures of classification: confusion matrices, bars of balanced accuracy, curves phase by phase."""

import textwrap

import numpy as np

from keras_audio_si.visualization.plots import line_style, read_log, save_figure, short_name, whole_ticks

_CELL = 0.33  # Side of a class's cell in inches, of 8 to 40 classes; a matrix has at least and at most their size.
_LETTER = 0.07  # Width of a letter in inches, at the 9 points of the text.


def plot_confusion(confusion, class_names, path, title=None):
    """Draws a confusion matrix as a heat map, normalised by class.

    Args:
        confusion: `evaluation.patches.Confusion`.
        class_names: Names of the classes.
        path: File to write; its extension chooses the format.
        title: Above the figure, before the balanced accuracy; None for that alone.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there are not as many names as classes.

    Reference:
        juettner, Fig. 2.
    """
    counts = np.asarray(confusion.counts)
    if len(class_names) != len(counts):
        raise ValueError(f"`class_names` must be as many as the {len(counts)} classes. Received: {len(class_names)}")
    shares = shares_of_rows(counts)
    # Counts in the cells are legible for up to about thirty classes.
    written = len(counts) <= 30
    matrix = _CELL * min(max(len(counts), 8), 40)
    names = [short_name(name) for name in class_names]
    beside = _LETTER * max(map(len, names), default=0)  # The longest name; below the matrix it is at 45 degrees.
    width, height = matrix + beside + 1.5, matrix + 0.75 * beside + 1.0
    score = f"balanced accuracy {confusion.balanced_accuracy:.3f}"
    title = textwrap.fill(f"{title}: {score}" if title else score.capitalize(), int(width / _LETTER) - 4)

    def draw(figure):
        figure.suptitle(title, fontsize=9)
        axes = figure.subplots()
        axes.grid(False)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        ticks, points = range(len(counts)), min(9, 60 * matrix / len(counts))
        axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=points)
        axes.set_yticks(ticks, names, fontsize=points)
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("Class")
        for row, column in np.ndindex(*counts.shape) if written else ():
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=7)
        label = "Share of the class" + (" (in the cells: examples)" if written else "")
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label(label, fontsize=8)

    return save_figure(draw, (width, height), path)


def shares_of_rows(counts):
    """The rows of a matrix of counts divided by their sums; rows without any are 0.

    Example:

    >>> shares_of_rows(np.array([[3, 1], [0, 0]])).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def plot_bars(values, path, chance=None, ylabel="Balanced accuracy on the test clips"):
    """Draws groups of bars, one group per row, with the deviation over runs where there are several.

    Args:
        values: Dict from rows to dicts from the names of their bars to lists with a value per run.
        path: File to write; its extension chooses the format.
        chance: Value that guessing gives, drawn as a line; None for no line.
        ylabel: What the values are.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.

    Reference:
        juettner, Fig. 4.
    """
    bars = list(dict.fromkeys(name for row in values.values() for name in row))
    width = 0.8 / len(bars)

    def draw(figure):
        axes = figure.subplots()
        axes.grid(False, axis="x")
        for number, name in enumerate(bars):
            runs = [np.array(row.get(name, [np.nan]), "float64") for row in values.values()]
            means = [run.mean() for run in runs]
            places = np.arange(len(runs)) + (number - (len(bars) - 1) / 2) * width
            colour = line_style(number)["color"]
            drawn = axes.bar(places, means, 0.92 * width, color=colour, label=name)
            axes.bar_label(drawn, [f"{mean:.2f}" for mean in means], padding=2, fontsize=7)
            if any(len(run) > 1 for run in runs):
                deviations = [run.std(ddof=1) if len(run) > 1 else 0.0 for run in runs]
                axes.errorbar(places, means, deviations, fmt="none", ecolor="black", capsize=2, linewidth=0.8)
        if chance is not None:
            axes.axhline(chance, color="#777777", linestyle=":", linewidth=1.0, label="chance")
        # The ways of training below the names of the networks.
        axes.set_xticks(range(len(values)), [name.replace(" ", "\n", 1) for name in values])
        axes.set_ylabel(ylabel)
        axes.set_ylim(0, 1)
        figure.legend(loc="outside upper center", ncols=1)  # Names side by side may be wider than the figure.

    return save_figure(draw, (max(4.5, 1.6 + 0.95 * len(values)), 3.2 + 0.2 * len(bars)), path)


def plot_phases(rows, path, columns=("accuracy", "val_patch_balanced_accuracy")):
    """Draws training accuracy and balanced validation accuracy against the epochs of all phases.

    Args:
        rows: Dict from the names of curves to dicts from the names of their phases to their `log.csv`. Phases without
            these columns, such as spectrogram forcing, are left out, and curves without any phase.
        path: File to write; its extension chooses the format.
        columns: Columns of the logs, one panel each.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.

    Reference:
        juettner, Fig. 3.
    """
    labels = {"accuracy": "Training accuracy", "val_patch_balanced_accuracy": "Balanced validation accuracy"}
    curves = {name: phase_curves(phases, columns) for name, phases in rows.items()}
    curves = {name: phases for name, phases in curves.items() if phases}

    def draw(figure):
        grid = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
        for axes, column in zip(grid, columns, strict=True):
            for number, (name, phases) in enumerate(curves.items()):
                epochs = np.concatenate([phase["epoch"] for phase in phases.values()])
                values = np.concatenate([phase[column] for phase in phases.values()])
                axes.plot(epochs, values, label=name, **line_style(number))
                ends = [phase["epoch"][-1] for phase in phases.values()][:-1]
                if len(curves) == 1:
                    for end in ends:
                        axes.axvline(end + 0.5, color="#777777", linestyle=":", linewidth=1.0)
                else:  # The curves have phases of different lengths: each ends in a dot.
                    last = [phase[column][-1] for phase in phases.values()][:-1]
                    axes.plot(ends, last, "o", color=line_style(number)["color"], markersize=4)
            axes.set_ylabel(labels.get(column, column))
            axes.set_ylim(0, max(1.0, axes.dataLim.y1))
            axes.margins(x=0.02)
        if len(curves) == 1:
            ((_, phases),) = curves.items()
            for name, phase in phases.items():
                middle = (phase["epoch"][0] + phase["epoch"][-1]) / 2
                grid[0].annotate(
                    name, (middle, 1.02), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8
                )
        grid[-1].set_xlabel("Epoch" if len(curves) == 1 else "Epoch, of all phases (dots: where a phase ends)")
        whole_ticks(grid[-1])
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=min(3, len(names)))

    return save_figure(draw, (6.0, 0.6 + 2.1 * len(columns)), path)


def phase_curves(phases, columns):
    """The columns of the logs of phases, their epochs counted through all of them, from 1.

    Args:
        phases: Dict from the names of phases to their `log.csv`.
        columns: Columns of the logs. A phase whose log lacks one is left out.

    Returns:
        Dict from the names of phases to dicts of arrays, "epoch" and the columns.
    """
    curves, before = {}, 0
    for name, file in phases.items():
        try:
            log = read_log(file, columns)
        except ValueError:
            continue
        curves[name] = log | {"epoch": log["epoch"] + before}
        before = curves[name]["epoch"][-1]
    return curves
