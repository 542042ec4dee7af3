"""The local page of `keras-audio-si demo`: spectrogram and tags over time of a file or a recording.

It needs Gradio and matplotlib, of the extra `demo`.
"""

import html
import io
import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_audio_si.checks import check_matplotlib
from keras_audio_si.data.audio_io import AUDIO_SUFFIXES, AudioError, audio_info
from keras_audio_si.data.audio_stream import stream_audio
from keras_audio_si.escaping import data_uri
from keras_audio_si.inference.events import scores_over_time
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import FoundFile, choose_tags, required_class_names, tag_files
from keras_audio_si.layers.frontend import LogMelSpectrogram
from keras_audio_si.visualization.diffres import plot_warped_clip
from keras_audio_si.visualization.plots import short_name, styled_figure
from keras_audio_si.visualization.warped_clips import first_patch, resolution_layers, warped_clip

LARGEST_MEGABYTES = 50
LONGEST_MINUTES = 10
_SHOWN_TAGS = 5
_SHOWN_CLASSES = 15  # Of more, the figure has those with the highest scores.
_BLOCK_FRAMES = 2000  # Frames of the spectrogram that are computed at a time.
_TEXT = "#123456"  # Stands for the colour of the page's text, which depends on the browser's scheme.
# Browsers treat what is not speech as noise: steady sounds fade from a recording.
_PLAIN_MICROPHONE = """<script>{
  const devices = navigator.mediaDevices, record = devices.getUserMedia.bind(devices);
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  devices.getUserMedia = (wanted) => record({ ...wanted, audio: { ...wanted.audio, ...plain } });
}</script>"""
_CSS = """
.gradio-container {max-width: 76rem !important}
.figure {overflow-x: auto}
.figure svg {display: block; width: 100%; height: auto; max-width: 44rem; margin: 0 auto}
.figure img {width: 100%; min-width: 40rem; border-radius: 4px}
.figure h3 {margin: 0.5rem 0}
"""


class Analysis(NamedTuple):
    """What the page shows of an audio file.

    Attributes:
        seconds: Duration.
        scores: Scores of the clip, `(classes,)`, those of `tag`.
        steps: Scores over time, `(steps, classes)`: of each step the mean over the windows that contain its centre.
        step_seconds: Length of a step in seconds, half a window.
        spectrogram: `(frames, mel)`, natural logarithms of levels.
        warning: What is wrong with the file, or None.
    """

    seconds: float
    scores: np.ndarray
    steps: np.ndarray
    step_seconds: float
    spectrogram: np.ndarray
    warning: str | None


def check_audio(path):
    """Refuses files that the page does not take.

    Args:
        path: Path of the file.

    Raises:
        AudioError: If its suffix is not of audio, it has more than 50 MB or 10 minutes, or it is not audio.
    """
    suffix, size = pathlib.Path(path).suffix.lower(), os.path.getsize(path)
    if suffix not in AUDIO_SUFFIXES:
        raise AudioError(path, f"must be an audio file: {', '.join(sorted(AUDIO_SUFFIXES))}")
    if size > LARGEST_MEGABYTES * 1e6:
        raise AudioError(path, f"has {size / 1e6:.0f} MB, where this page takes up to {LARGEST_MEGABYTES}")
    minutes = audio_info(path).seconds / 60
    if minutes > LONGEST_MINUTES:
        raise AudioError(path, f"is {minutes:.1f} minutes long, where this page takes up to {LONGEST_MINUTES}")


def analyse(model, path, window_seconds=None):
    """Scores an audio file, as a clip and over time, and computes its spectrogram.

    Args:
        model: Classifier of waveforms with class names, see `models.front_end_of`.
        path: Path of the file.
        window_seconds: Length of the windows for a model that takes waveforms of any length.

    Returns:
        An `Analysis`.

    Raises:
        AudioError: If `check_audio` refuses the file, or it gives no scores.
    """
    check_audio(path)
    layout = patch_layout(model, window_seconds)
    clip, windows = (
        next(tag_files(model, [FoundFile(str(path))], by_window, window_seconds)) for by_window in (False, True)
    )
    if clip.error or windows.error:
        raise AudioError(path, clip.error or windows.error)
    hop = layout.hop_samples / layout.sample_rate
    steps = scores_over_time(windows.starts, windows.ends, windows.scores, hop)
    waveform = np.concatenate(list(stream_audio(path, layout.sample_rate)))
    spectrogram = _spectrogram(waveform, layout.sample_rate)
    return Analysis(windows.seconds, clip.scores[0], steps, hop, spectrogram, clip.warning)


def _spectrogram(waveform, sample_rate):
    layer = LogMelSpectrogram(sample_rate, frame_seconds=0.05, num_mels=64, dtype="float32")
    waveform = np.pad(waveform, (0, max(0, layer.num_samples(1) - len(waveform))))
    frames = layer.num_frames(len(waveform))
    blocks = []
    for first in range(0, frames, _BLOCK_FRAMES):
        start = first * layer.hop_length
        end = start + layer.num_samples(min(_BLOCK_FRAMES, frames - first))
        blocks.append(ops.convert_to_numpy(layer(waveform[None, start:end]))[0])
    return np.concatenate(blocks)


def draw_analysis(analysis, class_names):
    """Draws the spectrogram and, on the same time axis, the scores of the classes, in the colours of the page.

    Args:
        analysis: `Analysis`
        class_names: Names of the classes; of more than 15, those with the highest scores are shown.

    Returns:
        An SVG element, str.

    Raises:
        ImportError: If matplotlib is missing.
    """
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    shown = sorted(choose_tags(analysis.steps.max(axis=0), top_k=_SHOWN_CLASSES))
    blues = LinearSegmentedColormap.from_list("blues", ["#2f80d000", "#2f80d0ff"])
    highest = analysis.spectrogram.max()
    levels = {"cmap": "magma", "vmin": max(analysis.spectrogram.min(), highest - 80 * np.log(10) / 10), "vmax": highest}
    image = {"origin": "lower", "aspect": "auto"}
    size = (4.8, 2.6 + 0.22 * len(shown))
    with styled_figure(size) as figure, matplotlib.rc_context({"svg.fonttype": "none"}):  # Letters remain letters.
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.8, 0.22 * len(shown) + 0.3))
        top.imshow(analysis.spectrogram.T, **levels, **image, extent=(0, analysis.seconds, 0, 1))
        top.set(title="Log-mel spectrogram", ylabel="Mel band", yticks=[])
        ends = min(analysis.seconds, len(analysis.steps) * analysis.step_seconds)
        edges = np.minimum(np.arange(len(analysis.steps) + 1) * analysis.step_seconds, ends)
        rows = np.arange(len(shown) + 1) - 0.5
        grid = bottom.pcolormesh(edges, rows, analysis.steps[:, shown].T, cmap=blues, vmin=0, vmax=1, rasterized=True)
        bottom.set_yticks(range(len(shown)), [short_name(class_names[number], 22) for number in shown])
        bottom.set(title="Scores", xlabel="Time (s)", xlim=(0, analysis.seconds))
        bottom.invert_yaxis()
        figure.colorbar(grid, ax=bottom, location="bottom", aspect=40, pad=0.02)
        for axes in figure.axes:
            axes.grid(False)
            axes.title.set_color(_TEXT)
            axes.xaxis.label.set_color(_TEXT)
            axes.yaxis.label.set_color(_TEXT)
            axes.tick_params(colors=_TEXT)
            for spine in axes.spines.values():
                spine.set_color(_TEXT)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    svg = file.getvalue().replace(_TEXT, "currentColor")
    return f'<svg role="img" aria-label="Spectrogram, and scores over time" {svg[svg.index("<svg ") + 5 :]}'


def demo_page(model, name, window_seconds=None):
    """Builds the page.

    Args:
        model: As for `analyse`.
        name: Its name, for the title.
        window_seconds: As for `analyse`.

    Returns:
        A `gradio.Blocks`.

    Raises:
        ImportError: If Gradio or matplotlib is missing.
        ValueError: If the model is not such a classifier.
    """
    gradio = _gradio()
    class_names = required_class_names(model)
    patch_layout(model, window_seconds)  # Refuses what does not fit before anybody records anything.
    of_diffres = bool(resolution_layers(model))

    def show(path):
        if path is None:
            return gradio.update(visible=False), ""
        try:
            found = analyse(model, path, window_seconds)
        except AudioError as error:
            text = html.escape(f"{pathlib.Path(path).name}: {error.reason}")
            return gradio.update(visible=False), f'<p role="alert">{text}</p>'
        parts = [f"<p>{html.escape(found.warning)}</p>"] if found.warning else []
        parts.append(draw_analysis(found, class_names))
        if of_diffres:
            picture = _diffres_picture(model, path, window_seconds)
            parts.append(f"<h3>What DiffRes kept of the first window</h3>{picture}")
        scores = {class_names[number]: float(found.scores[number]) for number in choose_tags(found.scores, _SHOWN_TAGS)}
        return gradio.update(value=scores, visible=True), "".join(parts)

    with gradio.Blocks(title=f"keras-audio-si: {name}", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(
            f"# {html.escape(name)}\n{len(class_names)} classes. Audio files of up to {LARGEST_MEGABYTES} MB and "
            f"{LONGEST_MINUTES} minutes, or a recording, are scored on this computer."
        )
        with gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                audio = gradio.Audio(type="filepath", label="Audio", editable=False, buttons=[])
                label = gradio.Label(label="Scores of the clip", visible=False)
            with gradio.Column(scale=3, min_width=300):
                figure = gradio.HTML(elem_classes="figure")
        audio.change(show, audio, [label, figure], api_visibility="private")
    return page


def serve_demo(page, port=None, open_browser=True, block=True):
    """Serves the page to this computer alone, on 127.0.0.1, without sharing or analytics.

    Args:
        page: What `demo_page` returns.
        port: Port; None for a free one from 7860 on.
        open_browser: Whether to open the page in the browser.
        block: Whether to go on until an interruption.

    Returns:
        Address of the page.

    Raises:
        OSError: If the port is not free.
    """
    gradio = _gradio()
    _, address, _ = page.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        inbrowser=open_browser,
        quiet=not block,
        prevent_thread_lock=not block,
        max_file_size=LARGEST_MEGABYTES * 10**6,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        css=_CSS,
        head=_PLAIN_MICROPHONE,
        theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
    return address


def _gradio():
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Before the import, which reads it.
    check_matplotlib()
    try:
        import gradio
    except ImportError as error:
        raise ImportError("The page needs Gradio: pip install 'keras-audio-si[demo]'.") from error
    return gradio


def _diffres_picture(model, path, window_seconds):
    with tempfile.TemporaryDirectory() as folder:
        clip = warped_clip(model, first_patch(model, path, window_seconds))
        file = plot_warped_clip(clip, pathlib.Path(folder) / "diffres.png")
        data = data_uri("image/png", file.read_bytes())
    return f'<img alt="Spectrogram, scores, warp and output of the DiffResLayer" src="{data}">'
