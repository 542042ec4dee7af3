"""Layers that mix the examples of a batch, inputs and labels together."""

import functools
import math

import keras
import numpy as np
from keras import ops

LABEL_RULES = ("convex", "union")

_LOGIT_LIMIT = 17.0  # a uniform float32 has no logit beyond: sigmoid(-17) is about 2^-24
_TABLE_SIZE = 2049


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MixUp(keras.layers.Layer):
    """Mixes each example with another one of the batch, by a weight drawn from Beta(alpha, alpha).

    The mixture is `weight * example + (1 - weight) * partner`.
    Takes and returns a pair `(inputs, labels)` and does nothing unless `training=True`. Weight and partner
    are drawn per example: the partners are a random permutation of the batch. The arithmetic is float32
    whatever the dtype policy, and both outputs keep the dtypes they came with: a waveform in bfloat16 would
    lose all but the loudest 50 dB before it reaches a front end.

    Args:
        alpha: parameter of the Beta distribution, above 0. Small values leave one of the two nearly alone, 1
            makes all weights equally likely, large ones mix half and half.
        label_rule: `"convex"` mixes the labels as the inputs (the paper); `"union"` gives the mixture every
            label of both, whatever the weight.
        seed: integer that sets the draws; None for other draws each time.

    Input shape:
        Pair of `(batch, ...)`, waveforms or spectrograms of any rank, and `(batch, ...)`, one-hot or
        multi-hot labels, both floating point.

    Output shape:
        The same.

    Raises:
        ValueError: if an argument is out of range, the input is not a pair, or the batches differ.
        TypeError: if inputs or labels are integers.

    Example:

    >>> import numpy as np
    >>> mixing = MixUp(alpha=1.25, seed=0)
    >>> waveforms, labels = np.zeros((8, 16000), "float32"), np.eye(8, 10, dtype="float32")
    >>> mixed_waveforms, mixed_labels = mixing((waveforms, labels), training=True)
    >>> tuple(mixed_waveforms.shape), tuple(mixed_labels.shape)
    ((8, 16000), (8, 10))

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018. Fonseca et al., "Improving Sound
        Event Classification by Increasing Shift Invariance in Convolutional Neural Networks", 2021, section
        III (alpha 1.25).
    """

    def __init__(self, alpha=1.25, label_rule="convex", seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
            raise ValueError(
                f"`alpha` must be a positive number; received {alpha!r}. Leave the layer out for no mixing."
            )
        if label_rule not in LABEL_RULES:
            raise ValueError(f"`label_rule` must be one of {LABEL_RULES}; received {label_rule!r}.")
        self.alpha = float(alpha)
        self.label_rule = label_rule
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._table = _beta_logits(self.alpha)
        self.built = True

    def call(self, inputs, training=None):
        inputs, labels = _pair(inputs)
        if not training:
            return inputs, labels
        return self.apply((inputs, labels), self.draw(ops.shape(inputs)[0]))

    def draw(self, batch_size):
        """Draws what `apply` needs.

        Args:
            batch_size: number of examples, an integer or a scalar tensor.

        Returns:
            Dictionary of `"weight"`, float32 `(batch_size,)` in [0, 1], and `"partner"`, integer
            `(batch_size,)`, a permutation.
        """
        # `keras.random.beta` does not compile under XLA on TensorFlow; a table of the quantiles does.
        uniform = keras.random.uniform((batch_size,), dtype="float32", seed=self.seed_generator)
        logit = ops.clip(ops.log(uniform) - ops.log1p(-uniform), -_LOGIT_LIMIT, _LOGIT_LIMIT)
        position = (logit + _LOGIT_LIMIT) * ((_TABLE_SIZE - 1) / (2 * _LOGIT_LIMIT))
        lower = ops.clip(ops.cast(position, "int32"), 0, _TABLE_SIZE - 2)
        fraction = position - ops.cast(lower, "float32")
        table = ops.convert_to_tensor(self._table)
        weight = ops.sigmoid((1.0 - fraction) * ops.take(table, lower) + fraction * ops.take(table, lower + 1))
        partner = ops.argsort(keras.random.uniform((batch_size,), dtype="float32", seed=self.seed_generator))
        return {"weight": weight, "partner": partner}

    def apply(self, inputs, params):
        """Mixes as `params` says.

        Args:
            inputs: pair `(inputs, labels)`.
            params: as returned by `draw`.

        Returns:
            Pair `(inputs, labels)`.
        """
        inputs, labels = _pair(inputs)
        mixed = _mix(inputs, params)
        if self.label_rule == "convex":
            return mixed, _mix(labels, params)
        return mixed, ops.maximum(labels, ops.take(labels, params["partner"], axis=0))

    def compute_output_shape(self, input_shape):
        inputs, labels = input_shape
        return tuple(inputs), tuple(labels)

    def compute_output_spec(self, inputs, training=None):
        return tuple(keras.KerasTensor(x.shape, dtype=x.dtype) for x in _pair(inputs))

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "label_rule": self.label_rule, "seed": self.seed}


def _mix(values, params):
    weight = ops.reshape(params["weight"], (-1,) + (1,) * (len(values.shape) - 1))
    whole = ops.cast(values, "float32")
    mixed = weight * whole + (1.0 - weight) * ops.take(whole, params["partner"], axis=0)
    return ops.cast(mixed, values.dtype)


def _pair(inputs):
    if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
        raise ValueError(f"The input must be a pair (inputs, labels); received {type(inputs).__name__}.")
    for name, value in zip(("inputs", "labels"), inputs, strict=True):
        dtype = keras.backend.standardize_dtype(value.dtype)
        if not keras.backend.is_float_dtype(dtype):
            advice = "Turn class indices into one-hot labels." if name == "labels" else "Scale them to [-1, 1]."
            raise TypeError(f"The {name} must be floating point to be mixed; received {dtype}. {advice}")
        if len(value.shape) == 0:
            raise ValueError(f"The {name} must have a batch axis; received a scalar.")
    sizes = [value.shape[0] for value in inputs]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(f"Inputs and labels must hold as many examples; received {sizes[0]} and {sizes[1]}.")
    return tuple(inputs)


@functools.lru_cache
def _beta_logits(alpha):
    """Logits of the quantiles of Beta(alpha, alpha), at probabilities whose logits are evenly spaced.

    Between logits the quantile function is smooth for every alpha, and linear (slope 1 / alpha) in the tails,
    so that a small table interpolates it well, where the quantiles themselves are as steep as u^(1/alpha).
    """
    # With x = sigmoid(z), the density of z is (x (1 - x))^alpha up to a factor: smooth and symmetric.
    z = np.linspace(-(25.0 / alpha + 8.0 / math.sqrt(alpha)), 0.0, 40001)
    density = np.exp(-alpha * (np.abs(z) + 2.0 * np.log1p(np.exp(-np.abs(z))) - 2.0 * math.log(2.0)))
    below = density[0] / alpha  # the tail falls as exp(alpha z)
    area = below + np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0 * np.diff(z))])
    probability = area / (2.0 * area[-1])
    logits = np.linspace(-_LOGIT_LIMIT, _LOGIT_LIMIT, _TABLE_SIZE)
    half = np.interp(-np.abs(logits), np.log(probability) - np.log1p(-probability), z)
    return (-np.sign(logits) * half).astype("float32")
