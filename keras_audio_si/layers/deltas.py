"""Deltas: the change of a spectrogram along time, as a second channel."""

import keras
from keras import ops

from keras_audio_si.ops.mel import deltas


@keras.saving.register_keras_serializable(package="keras_audio_si")
class Deltas(keras.layers.Layer):
    """Adds the change per frame of each band as a second channel of a spectrogram.

    Args:
        width: Frames that a slope is fitted over; odd and at least 3.

    Input shape:
        `(batch, frames, bands)`. What a mask `(batch, frames)` marks as padding is not seen.

    Output shape:
        `(batch, frames, bands, 2)`

    Raises:
        ValueError: If `width` is even or below 3, or the input has fewer frames.

    Example:

    >>> tuple(Deltas()(np.zeros((2, 41, 60), "float32")).shape)
    (2, 41, 60, 2)

    Reference:
        juettner, section 1.1.
    """

    def __init__(self, width=9, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, x, mask=None):
        return ops.stack([x, deltas(x, self.width, mask)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape, 2)

    def get_config(self):
        return {**super().get_config(), "width": self.width}
