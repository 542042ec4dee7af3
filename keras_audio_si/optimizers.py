"""Optimizers and learning rate schedules."""

from keras_audio_si.training.optimizer import CycledAdamW, L2Adam
from keras_audio_si.training.schedules import OneCycle, WarmUpAndDecay

__all__ = ["CycledAdamW", "L2Adam", "OneCycle", "WarmUpAndDecay"]
