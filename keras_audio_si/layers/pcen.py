"""Per-channel energy normalisation with trainable parameters."""

import keras
from keras import ops

from keras_audio_si.checks import check_interval, check_positive
from keras_audio_si.ops.pcen import pcen

LEAST_BIAS = 1e-3


class Bounds(keras.constraints.Constraint):
    """Constraint that clips a weight to a range; either bound may be None."""

    def __init__(self, low=None, high=None):
        self.low = low
        self.high = high

    def __call__(self, w):
        w = ops.convert_to_tensor(w)  # Optimizers pass the variable.
        # Not by the maximum, whose gradient is halved on the bound, where constraints put weights.
        if self.low is not None:
            w = ops.where(w < self.low, self.low, w)
        return w if self.high is None else ops.where(w > self.high, self.high, w)

    def get_config(self):
        return {"low": self.low, "high": self.high}


def bounded_weight(layer, name, shape, value, low=None, high=None):
    """Adds a float32 weight that is initialised with `value` and clipped to its bounds after every step."""
    bounds = Bounds(low, high)
    return layer.add_weight(
        shape=shape,
        initializer=lambda shape, dtype=None: ops.cast(bounds(ops.broadcast_to(value, shape)), dtype),
        constraint=bounds,
        autocast=False,
        name=name,
    )


def bounded(weight):
    """The value of a weight of `bounded_weight`, clipped to its bounds."""
    return weight.constraint(ops.cast(weight, "float32"))


@keras.saving.register_keras_serializable(package="keras_audio_si")
class PCEN(keras.layers.Layer):
    """Per-channel energy normalisation: `(E / (floor + M)^gain + bias)^(1 / root) - bias^(1 / root)`.

    M is the energy of each band smoothed in time by `M[t] = (1 - smoothing) M[t - 1] + smoothing E[t]`, starting with
    the first frame. `gain`, `bias`, `root` and `smoothing` are trainable weights, one per band, which are clipped to
    their ranges after every optimizer step. `trainable=False` freezes them.

    The input are energies, not their logarithms: `LogMelSpectrogram(..., compression=None)`. Computed in float32 under
    every dtype policy. A frame depends on itself and earlier frames only; masks are passed on.

    Args:
        gain: Where the exponent of M starts, from 0 (levels stay) to 1 (levels go). Kept in that range.
        bias: Where the bias starts; kept at 0.001 or above.
        root: Where the root starts, the inverse of the exponent r of the paper; kept at 1 or above.
        smoothing: Where the weight of a new frame in M starts, from 0 to 1. Kept in that range. For a time constant in
            seconds take `1 - exp(-hop_seconds / seconds)`.
        floor: Smallest energy that is told apart from silence, positive.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, time, bands)`, floats, not negative. `time` may be None where the backend has dynamic shapes.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input is not of rank 3.
        TypeError: If the input is not of a real float type.

    Example:

    >>> front_end = keras_audio_si.layers.LogMelSpectrogram(16000, num_mels=40, compression=None)
    >>> tuple(PCEN()(front_end(np.zeros((2, 16000), "float32"))).shape)
    (2, 98, 40)

    Reference:
        Wang et al., "Trainable Frontend for Robust and Far-Field Keyword Spotting", 2017, eq. 1 and 2 (defaults).
        Zeghidour et al., "LEAF: A Learnable Frontend for Audio Classification", 2021, section 3.3: sPCEN, which learns
        the smoothing as well, with `gain=0.96, smoothing=0.04`.
    """

    def __init__(self, gain=0.98, bias=2.0, root=2.0, smoothing=0.025, floor=1e-6, **kwargs):
        super().__init__(autocast=False, **kwargs)
        check_interval("[0, 1]", gain=gain, smoothing=smoothing)
        check_interval(f"[{LEAST_BIAS}, inf)", bias=bias)
        check_interval("[1, inf)", root=root)
        check_positive(floor=floor)
        self.initial = {"gain": gain, "bias": bias, "root": root, "smoothing": smoothing}
        self.floor = floor
        self.supports_masking = True

    def build(self, input_shape):
        self._check_rank(input_shape)
        shape = (input_shape[-1],)
        self.gain = bounded_weight(self, "gain", shape, self.initial["gain"], 0.0, 1.0)
        self.bias = bounded_weight(self, "bias", shape, self.initial["bias"], LEAST_BIAS)
        self.root = bounded_weight(self, "root", shape, self.initial["root"], 1.0)
        self.smoothing = bounded_weight(self, "smoothing", shape, self.initial["smoothing"], 0.0, 1.0)

    def call(self, inputs):
        self._check_rank(inputs.shape)
        gain, bias, root, smoothing = map(bounded, (self.gain, self.bias, self.root, self.smoothing))
        return ops.cast(pcen(inputs, gain, bias, 1.0 / root, smoothing, self.floor), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), **self.initial, "floor": self.floor}

    def _check_rank(self, shape):
        if len(shape) != 3:
            raise ValueError(
                f"{self.name} takes energies of shape (batch, time, bands). Received: shape={tuple(shape)}"
            )
