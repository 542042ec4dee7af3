"""Front-ends with features shifted and scaled by constants, such as the statistics of a training set."""

import keras
from keras import ops

from keras_audio_si.layers.frontend import FrontEnd


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RescaledFrontEnd(FrontEnd):
    """Features of a front-end, times `scale`, plus `offset`.

    `training.forcing.normalised` makes it from the statistics of training data.

    Args:
        front_end: Front-end layer, such as `LogMelSpectrogram`.
        scale: Factor.
        offset: What is added after it.

    Input shape:
        That of the front-end.

    Output shape:
        That of the front-end.

    Example:

    >>> layer = RescaledFrontEnd(keras_audio_si.layers.LogMelSpectrogram(16000), scale=0.1, offset=1.0)
    >>> y = layer(np.zeros((1, 16480), "float32"))
    >>> round(float(y[0, 0, 0]), 3), layer.num_frames(16480)
    (-1.303, 101)

    Reference:
        juettner, section 2.3.2.
    """

    def __init__(self, front_end, scale, offset, **kwargs):
        kept = (front_end.sample_rate, front_end.hop_seconds, front_end.num_bands, front_end.short)
        super().__init__(*kept, **kwargs)
        self.front_end = front_end
        self.scale, self.offset = float(scale), float(offset)

    def num_frames(self, samples):
        return self.front_end.num_frames(samples)

    def num_samples(self, frames):
        return self.front_end.num_samples(frames)

    def build(self, input_shape):
        if not self.front_end.built:
            self.front_end.build(input_shape)

    def call(self, inputs):
        features = ops.cast(self.front_end(inputs), "float32")
        return ops.cast(features * self.scale + self.offset, self.compute_dtype)

    def get_config(self):
        front_end = keras.saving.serialize_keras_object(self.front_end)
        config = keras.layers.Layer.get_config(self)  # The front-end has the rest.
        return {**config, "front_end": front_end, "scale": self.scale, "offset": self.offset}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "front_end": keras.saving.deserialize_keras_object(config["front_end"])})
