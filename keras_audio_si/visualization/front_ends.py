"""Figures of learned front-ends: kernels, spectra and activations."""

import numpy as np

from keras_audio_si.checks import check_integer
from keras_audio_si.spacing import evenly_spaced
from keras_audio_si.visualization.kernels import dominant_order, kernel_spectra
from keras_audio_si.visualization.plots import save_figure, time_image, whole_ticks

_RANGE_DECIBELS = 40  # Of a kernel's spectrum below its peak: what lies deeper is taps at random.


def plot_kernels(kernels, sample_rate, path, title=None, shown=12):
    """Draws the spectra of all kernels, sorted by their dominant frequency, and some of the kernels themselves.

    Args:
        kernels: `(kernels, taps)` array, as `kernels.first_kernels` gives it; of complex ones the real part is drawn.
        sample_rate: In Hz.
        path: File to write; its extension chooses the format.
        title: Above the figure; None for none.
        shown: Number of the kernels that are drawn, from the lowest to the highest.

    Returns:
        The path.

    Raises:
        ValueError: If `shown` is below 1.
        ImportError: If matplotlib is missing.

    Reference:
        juettner, Figs. 7 and 8.
    """
    check_integer(1, shown=shown)
    frequencies, magnitudes = kernel_spectra(kernels, sample_rate)
    order = dominant_order(magnitudes)
    peaks = np.maximum(magnitudes.max(axis=1, keepdims=True), np.finfo("float32").tiny)
    decibels = 20 * np.log10(np.maximum(magnitudes / peaks, 10 ** (-_RANGE_DECIBELS / 20)))
    chosen = evenly_spaced(len(order), shown)
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    milliseconds = 1000 * np.arange(kernels.shape[1]) / sample_rate

    def draw(figure):
        top, bottom = figure.subfigures(2, 1, height_ratios=(3.0, 0.4 + 1.0 * rows))
        axes = top.subplots()
        extent = (0.5, len(order) + 0.5, frequencies[0] / 1000, frequencies[-1] / 1000)
        image = time_image(axes, decibels[order], extent, cmap="magma")
        axes.set_xlabel("Kernel, sorted by its dominant frequency")
        axes.set_ylabel("Frequency (kHz)")
        whole_ticks(axes)
        top.colorbar(image, ax=axes, label="Response, relative to\nthe kernel's peak (dB)")
        if title:
            axes.set_title(title)
        panels = bottom.subplots(rows, columns, sharex=True, squeeze=False)
        for panel in panels.flat[len(chosen) :]:
            panel.set_axis_off()
        for panel, place in zip(panels.flat, chosen, strict=False):
            kernel = order[place]
            panel.plot(milliseconds, np.real(kernels[kernel]), color="#0072B2", linewidth=0.8)
            dominant = frequencies[magnitudes[kernel].argmax()]
            panel.set_title(f"{place + 1}: {dominant:,.0f} Hz", fontsize=8, pad=2)
            panel.tick_params(labelsize=6)
            panel.margins(x=0)
        bottom.supxlabel("Time (ms)", fontsize=9)
        bottom.supylabel("Weight" + (" (real part)" if np.iscomplexobj(kernels) else ""), fontsize=9)

    return save_figure(draw, (7.0, 3.4 + 1.1 * rows), path)


def plot_activations(activations, labels, path):
    """Draws the outputs of front-ends: a clip in each row, a front-end in each column.

    Each column has its own scale, the same for all its clips.

    Args:
        activations: Dict of `activations.Activations` by name.
        labels: Name of each clip.
        path: File to write; its extension chooses the format.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.

    Reference:
        juettner, Figs. 5, 6 and 9 to 12.
    """

    def draw(figure):
        grid = figure.subplots(len(labels), len(activations), squeeze=False, sharex=True)
        longest = max(shown.values.shape[1] * shown.hop_seconds for shown in activations.values())
        for column, (name, shown) in enumerate(activations.items()):
            lowest, highest = float(shown.values.min()), float(shown.values.max())
            frames, bands = shown.values.shape[1:]
            for axes, values in zip(grid[:, column], shown.values, strict=True):
                extent = (0, frames * shown.hop_seconds, 0.5, bands + 0.5)
                image = time_image(axes, values, extent, vmin=lowest, vmax=highest, cmap="magma")
                axes.tick_params(labelsize=6)
                if column:
                    axes.tick_params(labelleft=False)
            grid[0, column].set_title(name, fontsize=8)
            label = "Level (dB)" if shown.unit == "dB" else "Activation"
            bar = figure.colorbar(image, ax=list(grid[:, column]), location="bottom", aspect=12, pad=0.02)
            bar.set_label(label, fontsize=8)
            bar.ax.tick_params(labelsize=6)
        for axes, label in zip(grid[:, 0], labels, strict=True):
            axes.set_ylabel(f"{label}\nBand", fontsize=8)
        for axes in grid[-1]:
            axes.set_xlabel("Time (s)", fontsize=8)
            axes.set_xlim(0, longest)  # frames of different hops end at different times

    return save_figure(draw, (0.8 + 1.7 * len(activations), 1.3 + 1.15 * len(labels)), path)
