"""Subjects of `keras-audio-si bench layers`: layers on spectrograms and feature maps."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_audio_si import layers


@dataclasses.dataclass(frozen=True)
class Subject:
    """A plain Keras layer, and the layers that are compared with it.

    Attributes:
        shape: Shape of one example.
        layers: Dict of name to a function that builds a layer; the plain one first.
        inputs: Function of the name and of an array `(batch, *shape)` that gives what the layer takes, or None for
            the array itself.
        training: Whether the layers run as in training; such layers have no gradient worth a measurement.
        plain_xla: Whether TensorFlow can compile the plain layer by XLA. It can compile all the others.
    """

    shape: tuple
    layers: dict[str, Callable]
    inputs: Callable | None = None
    training: bool = False
    plain_xla: bool = True


def _mean_and_dense():
    return keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(527, activation="sigmoid")])


def _pools():
    return {
        "AntiAliasPool binomial 5": lambda: layers.AntiAliasPool(),
        "AntiAliasPool trainable 5": lambda: layers.AntiAliasPool(filter="trainable"),
        "AdaptivePolyphasePool": lambda: layers.AdaptivePolyphasePool(),
        "AdaptivePolyphasePool trainable 5": lambda: layers.AdaptivePolyphasePool(filter="trainable"),
    }


class _SelfAttention(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="self_attention")  # TensorFlow takes no name that begins as that of the class.
        self.attention = keras.layers.MultiHeadAttention(num_heads=8, key_dim=16)

    def call(self, x):
        return self.attention(x, x)


FEATURES = {
    "max-pool": Subject(
        (101, 96, 48),
        {
            "keras MaxPooling2D": lambda: keras.layers.MaxPooling2D(2, padding="same"),
            **_pools(),
            "TimeMelPool": lambda: layers.TimeMelPool("mean_mel_max_time"),
        },
    ),
    "average-pool": Subject(
        (101, 96, 48),
        {
            "keras AveragePooling2D": lambda: keras.layers.AveragePooling2D(2, padding="same"),
            "AntiAliasPool binomial 5": lambda: layers.AntiAliasPool(pool_mode="average"),
            "AdaptivePolyphasePool": lambda: layers.AdaptivePolyphasePool(pool_mode="average"),
        },
    ),
    "max-pool-1d": Subject(
        (4096, 48), {"keras MaxPooling1D": lambda: keras.layers.MaxPooling1D(2, padding="same"), **_pools()}
    ),
    "global-pool": Subject(
        (12, 12, 256),
        {
            "keras GlobalAveragePooling2D": lambda: keras.layers.GlobalAveragePooling2D(),
            "GlobalTimeMelPool": lambda: layers.GlobalTimeMelPool("mean_mel_max_time"),
        },
    ),
    "padding": Subject(
        (101, 96, 48),
        {
            "keras ZeroPadding2D": lambda: keras.layers.ZeroPadding2D(1),
            "SpatialPadding reflect": lambda: layers.SpatialPadding(3, "reflect"),
            "SpatialPadding circular": lambda: layers.SpatialPadding(3, "circular"),
        },
    ),
    # The smoother alone, step by step.
    "pcen": Subject(
        (1000, 40),
        {
            "keras SimpleRNN": lambda: keras.layers.SimpleRNN(40, activation=None, return_sequences=True),
            "PCEN": lambda: layers.PCEN(),
        },
        inputs=lambda name, x: abs(x),
        plain_xla=False,
    ),
    "dropout": Subject(
        (5000,),
        {
            "keras Dropout": lambda: keras.layers.Dropout(0.5),
            "MonteCarloDropout": lambda: layers.MonteCarloDropout(0.5),
        },
        training=True,
    ),
    "spec-augment": Subject(
        (1056, 128),
        {
            "keras SpatialDropout1D": lambda: keras.layers.SpatialDropout1D(0.2),
            "SpecAugment": lambda: layers.SpecAugment(),
        },
        training=True,
    ),
    "transformer": Subject(
        (113, 128),
        {
            "keras MultiHeadAttention": _SelfAttention,
            "TransformerBlock": lambda: layers.TransformerBlock(8, 512),
            "ClassToken": lambda: layers.ClassToken(),
        },
    ),
    # Of a spectrogram of 10 s a quarter of the frames.
    "resolution": Subject(
        (1000, 128),
        {
            "keras AveragePooling1D": lambda: keras.layers.AveragePooling1D(4),
            "AveragePoolFrames": lambda: layers.AveragePoolFrames(0.75),
            "AverageMaxPoolFrames": lambda: layers.AverageMaxPoolFrames(0.75),
            "ChangeHopSize": lambda: layers.ChangeHopSize(0.75),
            "ConvAveragePool": lambda: layers.ConvAveragePool(0.75),
            "DiffResLayer": lambda: layers.DiffResLayer(0.75),
        },
    ),
    "importance": Subject(
        (1000, 128),
        {
            "keras Conv1D": lambda: keras.layers.Conv1D(64, 5, padding="same"),
            "ResConv1D": lambda: layers.ResConv1D(64),
            "ImportanceNetwork": lambda: layers.ImportanceNetwork(),
        },
    ),
    "frame-mask": Subject(
        (1000, 128),
        {"keras Masking": lambda: keras.layers.Masking(), "FrameMask": lambda: layers.FrameMask(400, 160)},
        inputs=lambda name, x: x if name.startswith("keras") else (x, np.full(len(x), 80000, "int32")),
        training=True,  # A mask has no gradient.
    ),
    "attention-head": Subject(
        (32, 4, 1408),
        {"keras GlobalAveragePooling2D, Dense": _mean_and_dense, "AttentionHead": lambda: layers.AttentionHead(527)},
    ),
    "scores": Subject(
        (200,),
        {
            "keras Activation": lambda: keras.layers.Activation("sigmoid"),
            "ClassScores": lambda: layers.ClassScores("sigmoid"),
        },
    ),
    "deltas": Subject(
        (41, 60), {"keras Rescaling": lambda: keras.layers.Rescaling(2.0), "Deltas": lambda: layers.Deltas()}
    ),
    "standardise": Subject(
        (41, 60),
        {
            "keras Normalization": lambda: keras.layers.Normalization(mean=0.0, variance=1.0),
            "Standardise": lambda: layers.Standardise(mean=0.0, variance=1.0),
        },
    ),
}
