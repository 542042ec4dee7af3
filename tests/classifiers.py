"""Small classifiers of waveforms with random weights, which build and compile in seconds on every backend."""

import keras
import numpy as np

from keras_audio_si import layers

RATE = 8000
FRAMES = 21


def small_classifier(class_names, pooling="tlpf3+aps", open_length=False):
    """Two convolutions with a pooling mechanism in between; noises at different levels get different scores."""
    keras.utils.set_random_seed(3)
    front_end = layers.LogMelSpectrogram(RATE, num_mels=24)
    waveforms = keras.Input((None if open_length else front_end.num_samples(FRAMES),), dtype="float32")
    x = keras.layers.Reshape((-1, 24, 1))(front_end(waveforms))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    x = layers.build_pooling(pooling, name="pool")(x)
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    x = keras.layers.Dense(len(class_names or "none"), name="logits")(layers.GlobalTimeMelPool()(x))
    model = keras.Model(waveforms, layers.ClassScores(class_names=class_names)(x), name="small")
    kernel = model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(3).normal(size=kernel.shape) * 0.1)
    return model
