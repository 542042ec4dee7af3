"""Scores, warp and features of the `DiffResLayer` of a model for a clip (liu2022, Fig. 4)."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_audio_si.data.audio_io import read_audio
from keras_audio_si.data.audio_stream import stream_audio
from keras_audio_si.data.patches import filled
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import cut_windows
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.layers.resolution import DiffResLayer
from keras_audio_si.models.metadata import front_end_of


class WarpedClip(NamedTuple):
    """Spectrogram, scores, warp and output of a `DiffResLayer` for a clip, in float32 arrays; T input, t output frames.

    Attributes:
        spectrogram: `(T, mel)`, natural logarithms of levels.
        scores: `(T,)`, importance scores.
        matrix: `(t, T)`, the weights of the input frames in the output frames.
        features: `(t, mel, channels)`, the output.
        channels: Names of the channels, such as `("mean", "max", "encoding")`.
        frames: Input frames of the clip; what follows is padding.
        output_frames: Output frames that the clip fills.
        hop_seconds: Time from one input frame to the next in seconds.
    """

    spectrogram: np.ndarray
    scores: np.ndarray
    matrix: np.ndarray
    features: np.ndarray
    channels: tuple
    frames: int
    output_frames: int
    hop_seconds: float


class FrameScores(NamedTuple):
    """Importance scores of some clips, in float32 arrays.

    Attributes:
        spectrograms: `(clips, T, mel)`, natural logarithms of levels.
        scores: `(clips, T)`; NaN for padding.
        hop_seconds: Time from one frame to the next in seconds.
    """

    spectrograms: np.ndarray
    scores: np.ndarray
    hop_seconds: float


def resolution_layers(model):
    """Finds the `DiffResLayer` layers of a model and of the models in it.

    Args:
        model: Keras model.

    Returns:
        List of them.
    """
    return [layer for layer in nested_layers(model) if isinstance(layer, DiffResLayer)]


def first_patch(model, path, window_seconds=None):
    """Reads the beginning of an audio file as evaluation cuts it for a model.

    Args:
        model: Classifier of waveforms, see `models.front_end_of`.
        path: Path of the file.
        window_seconds: Length of the patch for a model that takes waveforms of any length; None for all of the file.

    Returns:
        `(samples,)` float32: the first patch, filled up if the file is shorter.

    Raises:
        ValueError: If the model is not a classifier of waveforms.
        AudioError: If the file gives no audio.
    """
    front_end = front_end_of(model, any_length=True)
    if model.input_shape[1] is None and window_seconds is None:
        waveform, _ = read_audio(path, front_end.sample_rate)
        return filled(waveform, max(len(waveform), front_end.num_samples(1)))
    layout = patch_layout(model, window_seconds)
    blocks = stream_audio(path, layout.sample_rate)
    return next(cut_windows(blocks, layout.patch_samples, layout.hop_samples, layout.short)).samples


def warped_clip(model, waveform):
    """Computes the scores, warp and output of the (first) `DiffResLayer` of a model for a waveform.

    Args:
        model: Classifier of waveforms with a `DiffResLayer` in it or in a model in it.
        waveform: `(samples,)` float32 that the model takes, such as `first_patch` returns.

    Returns:
        `WarpedClip`

    Raises:
        ValueError: If the model is not a classifier of waveforms, or has no `DiffResLayer`.

    Reference:
        liu2022, Fig. 2 and 4.
    """
    reached = _reached(model, waveform[None])
    layer, warped = reached.layer, reached.layer.warp(reached.x, reached.mask)
    scores, matrix, features = (_array(part)[0] for part in warped)
    frames = len(scores) if reached.mask is None else int(np.flatnonzero(_array(reached.mask)[0])[-1]) + 1
    channels = (*layer.aggregations, *(["encoding"] if layer.resolution_encoding else []))
    return WarpedClip(
        _array(reached.x)[0],
        scores,
        matrix,
        features,
        channels,
        frames,
        layer.output_frames(frames),
        _hop_seconds(model),
    )


def frame_scores(model, waveforms):
    """Scores the frames of clips by the `DiffResLayer` of a model.

    Args:
        model: As for `warped_clip`.
        waveforms: `(clips, samples)` float32.

    Returns:
        `FrameScores`

    Raises:
        ValueError: As `warped_clip`.
    """
    layer, x, mask = _reached(model, waveforms)
    scores = _array(layer.importance_scores(x, mask))
    scores = scores if mask is None else np.where(_array(mask), scores, np.nan)
    return FrameScores(_array(x), scores, _hop_seconds(model))


class _Call(NamedTuple):
    """A resolution layer, and what it is called with."""

    layer: Any
    x: Any
    mask: Any


class _Reached(BaseException):
    """Ends the call of a model where its resolution layer is called. Not an `Exception`, which Keras would reword."""


def _reached(model, waveforms):
    """The `_Call` of the resolution layer when the model takes the waveforms, wherever it is; what follows is not run.

    A model up to the layer would need the tensors between nested models, which Keras does not tell.
    """
    front_end_of(model, any_length=True)
    layers = resolution_layers(model)
    if not layers:
        raise ValueError(
            f"The model {model.name!r} has no DiffResLayer, whose work is to be shown: name a model with one, such as "
            "`models.Classifier(front_end, layers.DiffResLayer(...), network)` makes."
        )
    layer, calls = layers[0], []

    def call(x, mask=None, training=None):
        calls.append(_Call(layer, x, mask))
        raise _Reached

    layer.call = call
    try:
        model(ops.convert_to_tensor(waveforms), training=False)
    except _Reached:
        pass
    finally:
        del layer.call
    return calls[0]


def _hop_seconds(model):
    front_end = front_end_of(model, any_length=True)
    return front_end.hop_length / front_end.sample_rate


def _array(x):
    x = ops.convert_to_numpy(ops.convert_to_tensor(x))
    return x if x.dtype == bool else x.astype("float32")
