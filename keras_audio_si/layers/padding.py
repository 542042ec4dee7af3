"""Spatial padding as a layer: zeros, reflect, edge and circular."""

import keras

from keras_audio_si.checks import check_choice, check_integer
from keras_audio_si.ops.padding import PADDINGS, centred_padding, pad_spatial

_EXTENDING = tuple(padding for padding in PADDINGS if padding != "valid")


@keras.saving.register_keras_serializable(package="keras_audio_si")
class SpatialPadding(keras.layers.Layer):
    """Extends time and mel so that a "valid" window of `window_size` and stride 1 keeps the size.

    Args:
        window_size: Size of the window on both axes.
        padding: "same" (zeros), "reflect", "edge" or "circular".

    Input shape:
        `(batch, time, mel, channels)`

    Output shape:
        `(batch, time + window_size - 1, mel + window_size - 1, channels)`

    Raises:
        ValueError: If an argument is not one of the above.

    Example:

    >>> tuple(SpatialPadding(3, "circular")(keras.ops.ones((1, 8, 6, 2))).shape)
    (1, 10, 8, 2)
    """

    def __init__(self, window_size, padding="reflect", **kwargs):
        super().__init__(**kwargs)
        self.window_size = window_size
        check_integer(1, window_size=window_size)
        check_choice("padding", padding, _EXTENDING)
        self.padding = padding
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, x):
        return pad_spatial(x, [centred_padding(self.window_size)] * 2, self.padding)

    def compute_output_shape(self, input_shape):
        spatial = (None if n is None else n + self.window_size - 1 for n in input_shape[1:3])
        return (input_shape[0], *spatial, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "window_size": self.window_size, "padding": self.padding}
