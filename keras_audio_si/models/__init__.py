"""Model builders with the functional API, and model surgery: other pooling, resolution, classes or input length."""

from keras_audio_si.models.classifier import Classifier
from keras_audio_si.models.deep_fourier import HeuriNet, MelConvNet, MSTNet, PiczakNet, piczak_spectrogram
from keras_audio_si.models.eat import EAT, EATMedium, EATSmall, with_input_length
from keras_audio_si.models.efficientnet import EfficientNetBackbone, EfficientNetTagger
from keras_audio_si.models.masks import with_masks
from keras_audio_si.models.metadata import class_names_of, fit_length_of, front_end_of, set_thresholds, thresholds_of
from keras_audio_si.models.networks import NETWORKS
from keras_audio_si.models.pretrained import PRETRAINED, pretrained
from keras_audio_si.models.recalibration import recalibrate
from keras_audio_si.models.resolution import with_resolution
from keras_audio_si.models.surgery import embedding_model, with_classes
from keras_audio_si.models.swap_pooling import swap_pooling
from keras_audio_si.models.vgg import VGG41, VGG42

__all__ = [
    "EAT",
    "NETWORKS",
    "PRETRAINED",
    "VGG41",
    "VGG42",
    "Classifier",
    "EATMedium",
    "EATSmall",
    "EfficientNetBackbone",
    "EfficientNetTagger",
    "class_names_of",
    "embedding_model",
    "fit_length_of",
    "front_end_of",
    "pretrained",
    "recalibrate",
    "set_thresholds",
    "swap_pooling",
    "thresholds_of",
    "with_classes",
    "with_input_length",
    "with_masks",
    "with_resolution",
    "HeuriNet",
    "MSTNet",
    "MelConvNet",
    "PiczakNet",
    "piczak_spectrogram",
]
