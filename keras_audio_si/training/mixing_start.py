"""Mixings that begin after some steps of a training, in the compiled step."""

import itertools

import keras
from keras import ops

from keras_audio_si.layers.composition import AugmentationChain, mixes_labels


@keras.saving.register_keras_serializable(package="keras_audio_si")
class LateStart(keras.layers.Layer):
    """Applies a layer that mixes pairs `(inputs, labels)` from a step of the training on, and before it hands them on.

    It counts its calls in training in a weight: nothing is compiled again when the mixing begins, and a training that
    is continued from a checkpoint begins it at the same step.

    Args:
        mixing: Layer from `(inputs, labels)` to `(inputs, labels)`.
        first_step: Number of the first step that it is applied in, from 0.

    Input shape:
        Pair of inputs and labels, as `mixing` takes it.

    Output shape:
        The same.

    Example:

    >>> from keras_audio_si.layers import RandomGain
    >>> layer = LateStart(RandomGain((3.0, 3.0)), first_step=2)
    >>> pair = np.ones((1, 4), "float32"), np.ones((1, 2), "float32")
    >>> [float(layer(pair, training=True)[0][0, 0]) for _ in range(4)]
    [1.0, 1.0, 3.0, 3.0]
    """

    def __init__(self, mixing, first_step, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.mixing, self.first_step = mixing, first_step
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        self.built = True

    def call(self, inputs, training=None):
        if not training:
            return inputs
        begun = ops.greater_equal(self.step, self.first_step)
        self.step.assign(self.step + 1)
        mixed = self.mixing(inputs, training=True)
        return tuple(ops.where(begun, after, before) for after, before in zip(mixed, inputs, strict=True))

    def compute_output_spec(self, inputs, training=None):
        return inputs

    def get_config(self):
        mixing = keras.saving.serialize_keras_object(self.mixing)
        return {**super().get_config(), "mixing": mixing, "first_step": self.first_step}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "mixing": keras.saving.deserialize_keras_object(config["mixing"])})


def starting_late(augmentations, first_step):
    """Returns layers that change labels from a step on only, and what keeps them from the start.

    Args:
        augmentations: List of layers from `(inputs, labels)` to the same, in their order. The parts of an
            `AugmentationChain` are layers of their own; of any other layer that may change labels, the whole begins
            late.
        first_step: Number of the first step with mixed labels, from 0.

    Returns:
        List of layers.

    Example:

    >>> from keras_audio_si.layers import AugmentationChain, MixUp, RandomGain
    >>> chain = AugmentationChain([RandomGain(), MixUp()])
    >>> [type(layer).__name__ for layer in starting_late([chain], first_step=100)]
    ['RandomGain', 'LateStart']
    """
    return [LateStart(layer, first_step) if mixes_labels(layer) else layer for layer in chained(augmentations)]


def chained(augmentations):
    """Returns a list of layers in their order, with its `AugmentationChain`s replaced by their own layers."""
    parts = (chained(layer.layers) if isinstance(layer, AugmentationChain) else [layer] for layer in augmentations)
    return list(itertools.chain.from_iterable(parts))
