"""Figures of DiffRes on clips (liu2022, Figs. 4, 12 and 13). They need matplotlib, of the extra `plots`."""

import pathlib

import numpy as np

from keras_audio_si.files import written_whole
from keras_audio_si.spacing import evenly_spaced
from keras_audio_si.visualization.plots import COLOURS, save_figure, styled_figure, time_image

_PADDING = "#d8d8d8"
_LEVELS = "magma"
_RANGE = 80 * np.log(10) / 10  # What lies more than 80 dB below the loudest band looks the same.
_LEVEL_LABEL = "Level (natural log.)"
_MATRIX_BLOCKS = (200, 300)
_FRAMES_PER_SECOND = 5
_MOST_EPOCHS = 100
_NAMES = {"mean": "Mean of the merged frames", "max": "Maximum of the merged frames", "encoding": "Resolution encoding"}


def plot_warped_clip(clip, path, title=""):
    """Draws the spectrogram of a clip, and the scores, warp and output of a `DiffResLayer` for it.

    On the left, on a common time axis, are the spectrogram, the importance scores (the dashed line is the score of
    evenly merged frames) and the warp matrix; on the right the channels of the output over its frames. Padding is grey.
    Spectrogram, mean and maximum have the same scale, of at most 80 dB.

    Args:
        clip: `visualization.warped_clips.WarpedClip`.
        path: File to write; its extension chooses the format.
        title: What to write above.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.

    Reference:
        liu2022, Fig. 4, 12 and 13.
    """
    total, mels = clip.spectrogram.shape
    features = clip.features.astype("float64")
    features[clip.output_frames :] = np.nan
    spectrogram = np.where(np.arange(total)[:, None] < clip.frames, clip.spectrogram.astype("float64"), np.nan)
    levels = [spectrogram, *(features[..., i] for i, name in enumerate(clip.channels) if name != "encoding")]
    highest = max(map(np.nanmax, levels))
    scale = {"vmin": max(np.nanmin(spectrogram), highest - _RANGE), "vmax": highest, "cmap": _coloured(_LEVELS)}

    def draw(figure):
        figure.suptitle(title, fontsize=9)
        left, right = figure.add_gridspec(1, 2, width_ratios=(6, 5))
        left = left.subgridspec(3, 1, height_ratios=(4, 2, 5))
        top = figure.add_subplot(left[0])
        scores, matrix = (figure.add_subplot(left[row], sharex=top) for row in (1, 2))
        seconds = total * clip.hop_seconds
        image = time_image(top, spectrogram, (0, seconds, 0, mels), **scale)
        top.set(title=f"Spectrogram: {clip.frames} frames", ylabel="Mel band")
        figure.colorbar(image, ax=top, label=_LEVEL_LABEL)

        times = np.arange(clip.frames + 1) * clip.hop_seconds
        scores.stairs(clip.scores[: clip.frames], times, fill=True, color=COLOURS[0], linewidth=0)
        scores.axhline(clip.output_frames / clip.frames, color=COLOURS[1], linestyle="--", linewidth=1)
        scores.axvspan(times[-1], seconds, color=_PADDING, linewidth=0)
        scores.set(
            title="Importance scores (dashed: if merged evenly)", ylabel="Share of an\noutput frame", ylim=(0, 1.02)
        )

        weights = {"vmin": 1e-6, "vmax": 1, "cmap": _coloured("viridis", under="white")}
        extent = (0, seconds, 0, len(clip.matrix))
        image = time_image(matrix, _largest_in_blocks(clip.matrix, *_MATRIX_BLOCKS).T, extent, **weights)
        matrix.axvspan(times[-1], seconds, color=_PADDING, linewidth=0)
        matrix.axhspan(clip.output_frames, len(clip.matrix), color=_PADDING, linewidth=0)
        matrix.set(title="Warp matrix", xlabel="Time (s)", ylabel="Output frame", xlim=(0, seconds))
        figure.colorbar(image, ax=matrix, label="Weight")
        for axes in (top, scores):
            axes.tick_params(labelbottom=False)

        right = right.subgridspec(len(clip.channels), 1)
        grid = [figure.add_subplot(cell) for cell in right]
        for index, (name, axes) in enumerate(zip(clip.channels, grid, strict=True)):
            extent = (0, len(features), 0, mels)
            encoding = name == "encoding"
            settings = {"vmin": -1, "vmax": 1, "cmap": _coloured("RdBu_r")} if encoding else scale
            image = time_image(axes, features[..., index], extent, **settings)
            axes.set(title=_NAMES[name], ylabel="Feature" if encoding else "Mel band")
            figure.colorbar(image, ax=axes, label="Weighted sum" if encoding else _LEVEL_LABEL)
            axes.tick_params(labelbottom=axes is grid[-1])
        grid[0].set_title(f"{_NAMES[clip.channels[0]]}: {clip.output_frames} frames")
        grid[-1].set_xlabel("Output frame")

    return save_figure(draw, (11, 6.5), path)


def write_score_animation(scores, spectrograms, epochs, clip_names, hop_seconds, path):
    """Animates the importance scores of clips over a training, an epoch per picture, above their spectrograms.

    Of more than 100 epochs it has 100, evenly distributed. The last stays for two seconds.

    Args:
        scores: `(epochs, clips, T)` float array, NaN for padding.
        spectrograms: `(clips, T, mel)` float array.
        epochs: Numbers of the epochs, from 0.
        clip_names: Name of each clip.
        hop_seconds: Time from one frame to the next in seconds.
        path: The `.gif` file to write.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is missing.
    """
    from matplotlib.animation import PillowWriter

    path = pathlib.Path(path)
    _, clips, total = scores.shape
    edges = np.arange(total + 1) * hop_seconds
    writer = PillowWriter(_FRAMES_PER_SECOND)
    shown = evenly_spaced(len(scores), _MOST_EPOCHS)
    with styled_figure((7, 0.6 + 2.2 * clips)) as figure:
        title = figure.suptitle(f"Importance scores, epoch {epochs[-1] + 1}", fontsize=9)
        grid = figure.subplots(2 * clips, 1, sharex=True, squeeze=False, height_ratios=[1, 1.4] * clips)[:, 0]
        curves = []
        for name, axes, below, values, levels in zip(
            clip_names, grid[::2], grid[1::2], scores[-1], spectrograms, strict=True
        ):
            curves.append(axes.stairs(values, edges, color=COLOURS[0], linewidth=1))
            axes.set(title=name, ylabel="Score", ylim=(0, 1.02), xlim=(0, edges[-1]))
            inside = np.where(np.isnan(values)[:, None], np.nan, levels)
            scale = {"vmin": max(np.nanmin(inside), np.nanmax(inside) - _RANGE), "cmap": _coloured(_LEVELS)}
            time_image(below, inside, (0, edges[-1], 0, levels.shape[1]), **scale)
            below.set_ylabel("Mel band")
        grid[-1].set_xlabel("Time (s)")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # Nothing is to move but the scores.
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, writer.saving(figure, temporary, dpi=100):
            for index in [*shown, *[shown[-1]] * (2 * _FRAMES_PER_SECOND - 1)]:
                title.set_text(f"Importance scores, epoch {epochs[index] + 1}")
                for curve, values in zip(curves, scores[index], strict=True):
                    curve.set_data(values)
                writer.grab_frame()
    return path


def _coloured(name, under=None):
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad=_PADDING, under=under)


def _largest_in_blocks(matrix, rows, columns):
    """The largest weight in each block of a matrix that has more rows or columns than can be seen: it is nearly empty,
    and its average would be pale."""
    for axis, most in enumerate((rows, columns)):
        starts = np.unique(np.linspace(0, matrix.shape[axis], most, endpoint=False).astype(int))
        matrix = np.maximum.reduceat(matrix, starts, axis=axis)
    return matrix
