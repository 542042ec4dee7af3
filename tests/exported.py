"""Small classifiers of every kind with random weights, to be exported."""

import keras
import numpy as np
import pytest
from cases import small_tagger, two_blocks, with_larger_taps
from classifiers import RATE, small_classifier
from harness import Case, built

from keras_audio_si import layers, models
from keras_audio_si.layers import ClassScores

NAMES = ("dog", "rain", "Äpfel, ¼")
# From other backends a `.keras` file comes to TensorFlow, as tests of the command show; the rest is the same.
tensorflow_alone = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's part of an export")


def classifier(network, front_end=None, **arguments):
    """A classifier of patches of 21 frames with random weights that tell noises apart."""
    front_end = front_end or layers.LogMelSpectrogram(RATE, num_mels=12)
    samples = front_end.num_samples(21)
    model = models.Classifier(front_end, network, input_samples=samples, **arguments)
    x = np.random.default_rng(1).uniform(-0.3, 0.3, (2, samples)).astype("float32")
    return with_larger_taps(built(Case("exported", lambda: model, None), x))


def vgg(shape=(21, 12), pooling="tlpf5+aps"):
    return two_blocks(models.VGG41, 3, shape, pooling, class_names=NAMES)


def masked():
    head = keras.Sequential([layers.AttentionHead(3, heads=2), ClassScores(None, NAMES)])
    inputs = keras.Input((None, 12, 3))
    maps = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    return classifier(maps, resolution=layers.DiffResLayer(0.6), head=head, lengths="zeros")


def eat():
    small = {"channels": 2, "transformer_layers": 1, "heads": 2, "embedding_dim": 8, "feed_forward_dim": 12}
    model = models.EAT(3, (250,), (4,), **small, residual="common", sample_rate=RATE, class_names=NAMES)
    return built(Case("exported", lambda: model, None), np.zeros((2, 250), "float32"))


MODELS = {
    "tlpf+aps": lambda: classifier(vgg()),
    "blur, reflect": lambda: small_classifier(NAMES, "blur3"),
    "diffres": lambda: classifier(vgg((10, 12, 3)), resolution=layers.DiffResLayer(0.5)),
    "masked": masked,
    "masked vgg": lambda: classifier(vgg((None, 12), "max"), lengths="zeros"),
    "leaf": lambda: classifier(vgg(pooling="max"), layers.LEAF(RATE, num_filters=12)),
    "eat": eat,
    "heurinet": lambda: models.HeuriNet(3, dense_units=8, class_names=NAMES),
    "efficientnet": lambda: classifier(small_tagger((21, 12), NAMES)),
    "open length": lambda: small_classifier(NAMES, open_length=True),
}


class Gamma(keras.layers.Layer):
    def call(self, x):
        import tensorflow as tf

        return tf.math.igamma(1.0 + tf.abs(x), 1.0 + tf.abs(x))


def with_gamma():
    """A classifier with an operation that no format but SavedModel has."""
    front_end = layers.LogMelSpectrogram(RATE, num_mels=12)
    inputs = keras.Input((front_end.num_samples(21),))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(front_end(inputs)))
    return keras.Model(inputs, ClassScores(class_names=NAMES)(Gamma(name="gamma")(x)), name="classifier")
