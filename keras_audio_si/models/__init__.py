"""Functional-API model builders."""

from keras_audio_si.models.classifier import Classifier
from keras_audio_si.models.vgg import VGG41, VGG42

__all__ = ["VGG41", "VGG42", "Classifier"]
