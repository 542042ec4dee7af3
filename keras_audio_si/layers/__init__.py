"""Keras layers: pooling, front-ends, networks on waveforms, augmentation, mixing and heads."""

from keras_audio_si.checks import RENAMED
from keras_audio_si.layers.attention_head import AttentionHead
from keras_audio_si.layers.augmentation_filters import RandomHighPass, RandomLowPass
from keras_audio_si.layers.augmentation_levels import (
    BitCrush,
    PolarityInversion,
    RandomFragmentGain,
    RandomGain,
    RandomMuLaw,
    RandomTimeMask,
)
from keras_audio_si.layers.augmentation_noise import RandomNoise, RandomPhaseNoise, RandomSine
from keras_audio_si.layers.augmentation_time import (
    RandomSpeed,
    RandomTimeShift,
    Reverse,
    Roll,
)
from keras_audio_si.layers.composition import AugmentationChain, RandomChoice, RandomOrder
from keras_audio_si.layers.convolution_frontend import (
    ConvolutionFrontEnd,
    HeuriFrontEnd,
    MSTFrontEnd,
    WaveformConvolution,
)
from keras_audio_si.layers.deltas import Deltas
from keras_audio_si.layers.eat_augmentations import eat_augmentations, eat_mixing
from keras_audio_si.layers.fit_length import FitLength
from keras_audio_si.layers.fixed_resolution import (
    AverageMaxPoolFrames,
    AveragePoolFrames,
    ChangeHopSize,
    ConvAveragePool,
)
from keras_audio_si.layers.frame_mask import FrameMask
from keras_audio_si.layers.frontend import LogMelSpectrogram
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.layers.importance import ImportanceNetwork, ResConv1D
from keras_audio_si.layers.learned_frontends import LEAF, SincFilters, TDFilterbanks
from keras_audio_si.layers.mel_convolution import MelConvolution
from keras_audio_si.layers.mixing import MixUp, TimeMix
from keras_audio_si.layers.monte_carlo_dropout import MonteCarloDropout
from keras_audio_si.layers.padding import SpatialPadding
from keras_audio_si.layers.pcen import PCEN
from keras_audio_si.layers.phase import PhaseWaveform
from keras_audio_si.layers.pooling import AdaptivePolyphasePool, AntiAliasPool
from keras_audio_si.layers.pooling_names import build_pooling
from keras_audio_si.layers.rescaled_frontend import RescaledFrontEnd
from keras_audio_si.layers.resolution import DiffResLayer
from keras_audio_si.layers.spec_augment import SpecAugment
from keras_audio_si.layers.spectral_mixing import FreqMix, PhaseMix
from keras_audio_si.layers.standardise import Standardise
from keras_audio_si.layers.time_convolution import TimeConvolution, TimeResidualBlock
from keras_audio_si.layers.time_mel import GlobalTimeMelPool, TimeMelPool
from keras_audio_si.layers.transformer import ClassToken, TransformerBlock

__all__ = [
    "AdaptivePolyphasePool",
    "AntiAliasPool",
    "AttentionHead",
    "AugmentationChain",
    "AverageMaxPoolFrames",
    "AveragePoolFrames",
    "ChangeHopSize",
    "ClassScores",
    "ClassToken",
    "ConvAveragePool",
    "ConvolutionFrontEnd",
    "Deltas",
    "DiffResLayer",
    "FitLength",
    "FrameMask",
    "FreqMix",
    "GlobalTimeMelPool",
    "HeuriFrontEnd",
    "ImportanceNetwork",
    "LEAF",
    "LogMelSpectrogram",
    "MSTFrontEnd",
    "MelConvolution",
    "MixUp",
    "PCEN",
    "MonteCarloDropout",
    "PhaseMix",
    "PhaseWaveform",
    "RandomChoice",
    "Roll",
    "RandomFragmentGain",
    "RandomGain",
    "RandomHighPass",
    "RandomLowPass",
    "RandomMuLaw",
    "RandomNoise",
    "RandomOrder",
    "RandomPhaseNoise",
    "PolarityInversion",
    "BitCrush",
    "RandomSine",
    "RandomSpeed",
    "RandomTimeMask",
    "Reverse",
    "RandomTimeShift",
    "ResConv1D",
    "RescaledFrontEnd",
    "SincFilters",
    "SpatialPadding",
    "SpecAugment",
    "Standardise",
    "TDFilterbanks",
    "TimeConvolution",
    "TimeMelPool",
    "TimeMix",
    "TimeResidualBlock",
    "TransformerBlock",
    "WaveformConvolution",
    "build_pooling",
    "eat_augmentations",
    "eat_mixing",
]


def __getattr__(name):
    if name in RENAMED:
        raise AttributeError(f"`{name}` is `{RENAMED[name]}` since version 0.2.0.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
