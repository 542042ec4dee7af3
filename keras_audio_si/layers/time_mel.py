"""Pooling that treats time and mel differently: one statistic along one axis, another along the other."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.lengths import hide_padding, strided_mask
from keras_audio_si.ops.pooling import average_pool, pool_clips, statistic

# mode: (statistic, axis) taken first, then (statistic, axis). The released names are the second column.
ORDERS = {
    "mean_mel_max_time": (("mean", 2), ("max", 1)),  # maxmeanfreq
    "mean_time_max_mel": (("mean", 1), ("max", 2)),  # maxmeantime
    "max_mel_mean_time": (("max", 2), ("mean", 1)),  # meanmaxfreq
    "max_time_mean_mel": (("max", 1), ("mean", 2)),  # meanmaxtime
}
STATISTICS = {
    "mean": ("mean",),  # gap
    "max": ("max",),  # gmp
    "mean_max": ("mean", "max"),  # gapgmp
    "mean_max_deviation": ("mean", "max", "deviation"),  # gapgmpstd
}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class TimeMelPool(keras.layers.Layer):
    """Pooling with one statistic along one axis of a window, then another along the other axis.

    Args:
        mode: "mean_mel_max_time", "mean_time_max_mel", "max_mel_mean_time" or "max_time_mean_mel", in the order in
            which the statistics are taken.
        pool_size: Window and stride on both axes. Padding is "same"; it does not count in the means.

    Input shape:
        `(batch, time, mel, channels)`. What a mask `(batch, time)` marks as padding does not count.

    Output shape:
        `(batch, ceil(time / pool_size), ceil(mel / pool_size), channels)`

    Raises:
        ValueError: If the mode is not one of the above.

    Example:

    >>> tuple(TimeMelPool("mean_mel_max_time")(keras.ops.ones((1, 9, 6, 2))).shape)
    (1, 5, 3, 2)
    """

    def __init__(self, mode="mean_mel_max_time", pool_size=2, **kwargs):
        super().__init__(**kwargs)
        check_choice("mode", mode, ORDERS)
        self.mode = mode
        self.pool_size = pool_size
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, x, mask=None):
        for name, axis in ORDERS[self.mode]:
            window = (self.pool_size, 1) if axis == 1 else (1, self.pool_size)
            largest = name == "max"

            def pool(x, window=window, largest=largest):
                if largest:
                    return ops.max_pool(x, window, window, "same", data_format="channels_last")
                return average_pool(x, window, window, "same")

            if mask is None or axis == 2:
                x = pool(x)
            else:
                # Whole windows, as those under "same" would begin at another frame after other padding.
                x = pool_clips(pool, x, lambda x, fill: hide_padding(x, mask, fill, self.pool_size), largest)
                x = hide_padding(x, strided_mask(mask, stride=self.pool_size))
        return x

    def compute_mask(self, x, previous_mask):
        return None

    def compute_output_shape(self, input_shape):
        spatial = (None if n is None else -(-n // self.pool_size) for n in input_shape[1:3])
        return (input_shape[0], *spatial, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "mode": self.mode, "pool_size": self.pool_size}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class GlobalTimeMelPool(keras.layers.Layer):
    """Global pooling with different statistics along time and mel; means and deviations in float32.

    Args:
        mode: "mean_mel_max_time" (the paper: mean over mel in every frame, then the maximum over time), the other
            three orders of `TimeMelPool`, "mean", "max", "mean_max" (concatenated) or "mean_max_deviation" (with the
            population deviation).

    Input shape:
        `(batch, time, mel, channels)`. What a mask `(batch, time)` marks as padding does not count.

    Output shape:
        `(batch, channels)`, times the number of concatenated statistics.

    Raises:
        ValueError: If the mode is not one of the above.

    Example:

    >>> tuple(GlobalTimeMelPool("mean_max")(keras.ops.ones((1, 9, 6, 2))).shape)
    (1, 4)

    Reference:
        fonseca2021, section III-B.
    """

    def __init__(self, mode="mean_mel_max_time", **kwargs):
        super().__init__(**kwargs)
        check_choice("mode", mode, (*ORDERS, *STATISTICS))
        self.mode = mode
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, x, mask=None):
        x = ops.cast(x, "float32")
        if self.mode in ORDERS:
            parts = [x]
            for name, axis in ORDERS[self.mode]:
                parts = [statistic(name, parts[0], (axis,), mask)]
        else:
            parts = [statistic(name, x, (1, 2), mask) for name in STATISTICS[self.mode]]
        return ops.cast(ops.concatenate(parts, axis=-1)[:, 0, 0], self.compute_dtype)

    def compute_mask(self, x, previous_mask):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[3] * len(STATISTICS.get(self.mode, "1")))

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
