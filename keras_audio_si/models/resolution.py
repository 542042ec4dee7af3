"""Copies of models with another time resolution: the same layers and weights, other numbers of frames."""

import warnings

import keras

from keras_audio_si.layers.nested import all_layers, nested_layers
from keras_audio_si.layers.resolution_layer import TARGETS, ResolutionLayer, resolution_target
from keras_audio_si.models.surgery import ResizedCopy


def with_resolution(model, reduction_rate=None, num_frames=None, frames_per_second=None, input_frames_per_second=None):
    """Copies a model with another target for its layers that change the time resolution; all weights are kept.

    The statistics of batch normalisation are kept too. They are those of the resolution of the training, and a warning
    says so if the number of frames changes: `recalibrate` estimates them anew.

    Args:
        model: Functional or Sequential model with a `DiffResLayer` or one of the fixed resolutions, in it or in a model
            in it. It is not changed.
        reduction_rate: Share of the frames to save.
        num_frames: Or the number of output frames.
        frames_per_second: Or the output frames per second.
        input_frames_per_second: Input frames per second, for a target in output frames per second.

    Returns:
        Functional `keras.Model`, compiled if `model` was.

    Raises:
        ValueError: If there is not exactly one target or it is out of range, if the model is not of layers that can be
            told from outside or has none to change, or if a layer's weights depend on the number of frames.

    Example:

    >>> layers = [keras.Input((100, 16)), keras_audio_si.layers.DiffResLayer(0.5), keras.layers.Conv2D(4, 3)]
    >>> model = keras.Sequential(layers)
    >>> model.output_shape, with_resolution(model, num_frames=25).output_shape
    ((None, 48, 14, 4), (None, 23, 14, 4))

    Reference:
        liu2022, section 3.1 and Table 1.
    """
    given = dict(zip(TARGETS, (reduction_rate, num_frames, frames_per_second), strict=True))
    if all(value is None for value in given.values()):
        raise ValueError(f"One of {', '.join(f'`{name}`' for name in TARGETS)} must be given. Received: none")
    target = resolution_target(**given, input_frames_per_second=input_frames_per_second)
    copying = _Copying(target)
    copied = copying.copy(model)
    if not copying.changed:
        raise ValueError(f"The model {model.name!r} has no layer that changes the time resolution")
    if copying.other_frames and _has_statistics(model):
        warnings.warn(
            f"The model {model.name!r} has batch normalisation with the statistics of the time resolution that it was "
            "trained with: estimate them anew by models.recalibrate(model, data), or train it on.",
            stacklevel=2,
        )
    return copied


def _has_statistics(model):
    """Whether a model has batch normalisation, other than in the layers that change the time resolution."""
    found = (layer for layer in nested_layers(model) if not isinstance(layer, ResolutionLayer))
    norms = keras.layers.BatchNormalization
    return any(isinstance(inner, norms) for layer in found for inner in all_layers(layer))


class _Copying(ResizedCopy):
    """One copy of a model with another target for its time resolution."""

    def __init__(self, target):
        super().__init__("number of frames")
        self.target = target
        self.changed = False
        self.other_frames = False

    def call(self, layer, *args, **kwargs):
        outputs = super().call(layer, *args, **kwargs)
        if isinstance(layer, ResolutionLayer):
            frames, both = args[0].shape[1], (layer, self.copies[id(layer)])
            before, after = (one.target if frames is None else one.output_frames(frames) for one in both)
            self.other_frames |= before != after
        return outputs

    def config(self, layer):
        config = layer.get_config()
        if not isinstance(layer, ResolutionLayer):
            return config
        self.changed = True
        return {name: value for name, value in config.items() if name not in layer.target} | self.target
