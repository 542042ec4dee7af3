"""Activations of front-ends on chosen clips, beside their mel spectrogram."""

from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.models.deep_fourier import piczak_spectrogram
from keras_audio_si.models.metadata import front_end_of


class Activations(NamedTuple):
    """The output of one front-end for some clips.

    Attributes:
        values: `(clips, frames, bands)` float32 array.
        hop_seconds: Time from one frame to the next, in seconds.
        unit: What the values are: "dB" or "activation".
    """

    values: np.ndarray
    hop_seconds: float
    unit: str = "activation"


def front_activations(models, waveforms):
    """Outputs of the front-ends of models for waveforms, after their mel spectrogram.

    Args:
        models: Dict of classifiers of waveforms by name, such as the phases of one network. They must have one input
            length and sample rate.
        waveforms: `(clips, samples)` array.

    Returns:
        Dict of `Activations` by name, "Mel spectrogram" first.

    Raises:
        ValueError: If the models take different waveforms, or one has no front-end.

    Example:

    >>> net = keras_audio_si.models.HeuriNet(10, dense_units=5)
    >>> found = front_activations({"untrained": net}, np.zeros((1, 20992), "float32"))
    >>> {name: activations.values.shape for name, activations in found.items()}
    {'Mel spectrogram': (1, 41, 60), 'untrained': (1, 41, 60)}

    Reference:
        juettner, section 4.1, Figs. 5, 6 and 9 to 12.
    """
    waveforms = np.asarray(waveforms, "float32")
    for name, model in models.items():
        if not isinstance(front_end_of(model), FrontEnd):
            raise ValueError(f"The model {name!r} has no front-end whose activations could be drawn, only waveforms.")
    rates = {front_end_of(model).sample_rate for model in models.values()}
    if len(rates) > 1 or {model.input_shape[1] for model in models.values()} != {waveforms.shape[1]}:
        raise ValueError(
            f"The models must take waveforms of one rate and of {waveforms.shape[1]} samples. Received: "
            + ", ".join(f"{name} ({front_end_of(m).sample_rate} Hz, {m.input_shape[1]})" for name, m in models.items())
        )
    mel = piczak_spectrogram(rates.pop())
    found = {"Mel spectrogram": Activations(_called(mel, waveforms), mel.hop_length / mel.sample_rate, "dB")}
    for name, model in models.items():
        layer = front_end_of(model)
        found[name] = Activations(_called(layer, waveforms), layer.hop_length / layer.sample_rate)
    return found


def _called(layer, waveforms):
    return keras.ops.convert_to_numpy(keras.ops.cast(layer(waveforms), "float32"))


def loudest_patches(patches, clips):
    """The loudest patch of each of some clips.

    Args:
        patches: `data.pipeline.PatchDataset`.
        clips: Numbers of clips.

    Returns:
        List of the numbers of patches.
    """
    chosen = []
    for clip in clips:
        own = np.flatnonzero(patches.patch_clip == clip)
        chosen.append(int(own[np.argmax(np.square(patches.waveforms(own)).mean(axis=1))]))
    return chosen


def one_clip_per_class(patches):
    """Numbers of the first clip of each class that has one."""
    labels = np.asarray(patches.labels) > 0
    return [int(np.flatnonzero(labels[:, number])[0]) for number in range(labels.shape[1]) if labels[:, number].any()]
