"""Functional-API model builders, and the surgery that gives other models the pooling of this package."""

from keras_audio_si.models.classifier import Classifier
from keras_audio_si.models.swap_pooling import swap_pooling
from keras_audio_si.models.vgg import VGG41, VGG42

__all__ = ["VGG41", "VGG42", "Classifier", "swap_pooling"]
