"""Keras layers: pooling, front-end, augmentation, mixing and heads."""

from keras_audio_si.layers.augmentation_filters import RandomHighPass, RandomLowPass
from keras_audio_si.layers.augmentation_levels import (
    RandomFragmentGain,
    RandomGain,
    RandomMuLaw,
    RandomPolarity,
    RandomQuantisation,
    RandomTimeMask,
)
from keras_audio_si.layers.augmentation_noise import RandomNoise, RandomPhaseNoise, RandomSine
from keras_audio_si.layers.augmentation_time import (
    RandomCyclicShift,
    RandomSpeed,
    RandomTimeReversal,
    RandomTimeShift,
)
from keras_audio_si.layers.composition import AugmentationChain, RandomChoice, RandomOrder
from keras_audio_si.layers.eat_augmentations import eat_augmentations
from keras_audio_si.layers.frontend import LogMelSpectrogram
from keras_audio_si.layers.heads import ClassScores, class_names_of
from keras_audio_si.layers.mixing import MixUp
from keras_audio_si.layers.padding import SpatialPadding
from keras_audio_si.layers.pooling import AdaptivePolyphasePool, AntiAliasPool
from keras_audio_si.layers.pooling_names import build_pooling
from keras_audio_si.layers.time_mel import GlobalTimeMelPool, TimeMelPool

__all__ = [
    "AdaptivePolyphasePool",
    "AntiAliasPool",
    "AugmentationChain",
    "ClassScores",
    "GlobalTimeMelPool",
    "LogMelSpectrogram",
    "MixUp",
    "RandomChoice",
    "RandomCyclicShift",
    "RandomFragmentGain",
    "RandomGain",
    "RandomHighPass",
    "RandomLowPass",
    "RandomMuLaw",
    "RandomNoise",
    "RandomOrder",
    "RandomPhaseNoise",
    "RandomPolarity",
    "RandomQuantisation",
    "RandomSine",
    "RandomSpeed",
    "RandomTimeMask",
    "RandomTimeReversal",
    "RandomTimeShift",
    "SpatialPadding",
    "TimeMelPool",
    "build_pooling",
    "class_names_of",
    "eat_augmentations",
]
