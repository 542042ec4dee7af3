"""Layers that mix the examples of a batch, inputs and labels together, in amplitude and in time."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice, check_interval
from keras_audio_si.ops import mixing
from keras_audio_si.ops.arguments import as_column

LABEL_RULES = ("convex", "union")

_LOGIT_LIMIT = 17.0  # a uniform float32 has no logit beyond: sigmoid(-17) is about 2^-24
_TABLE_SIZE = 2049


class BatchMixing(keras.layers.Layer):
    """Base class of the layers that mix each example with another one of the batch.

    They take and return a pair `(inputs, labels)` and do nothing unless `training=True`. Weight and partner are drawn
    per example: the partners are a random permutation of the batch. The arithmetic is float32 whatever the dtype
    policy, and both outputs keep the dtypes they came with: a waveform in bfloat16 would lose all but the loudest
    50 dB before it reaches a front end.

    Samples that are NaN or infinite stay in their own example: it is not mixed, and is mixed into no other one.

    A subclass has `mix(inputs, params)`, which returns the mixed inputs and the weight of the example's own labels, and
    may extend `draw` and `draw_weight`.

    Args:
        weight_range: pair of the least and the largest weight of the example, in [0, 1].
        label_rule: `"convex"` mixes the labels as the inputs; `"union"` gives the mixture every label of both.
        union_limit: with `"union"`, the weight from which on the labels of the partner are left out; None for never.
        seed: integer that sets the draws; None for other draws each time.
        probability: chance that an example is mixed, drawn for each.
    """

    waveforms_only = True

    def __init__(self, weight_range, label_rule="convex", union_limit=None, seed=None, probability=1.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.weight_range = _checked_range(weight_range)
        check_choice("label_rule", label_rule, LABEL_RULES)
        if union_limit is not None and (label_rule != "union" or not 0 < union_limit <= 1):
            raise ValueError(
                "`union_limit` must be in (0, 1], with `label_rule`='union', or None. "
                f"Received: union_limit={union_limit!r}, label_rule={label_rule!r}"
            )
        check_interval("(0, 1]", probability=probability)
        self.label_rule = label_rule
        self.union_limit = union_limit
        self.probability = probability
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=None):
        inputs, labels = self._checked(inputs)
        if not training:
            return inputs, labels
        return self.apply((inputs, labels), self.draw(ops.shape(inputs)[0]))

    def draw(self, batch_size):
        """Draws what `apply` needs.

        Args:
            batch_size: number of examples, an integer or a scalar tensor.

        Returns:
            Dictionary of `"weight"`, float32 `(batch_size,)` in `weight_range`, `"partner"`, integer `(batch_size,)`,
            a permutation, `"applied"`, bool `(batch_size,)`, unless `probability` is 1, and what else the layer draws.
        """
        low, high = self.weight_range
        weight = low + (high - low) * self.draw_weight(batch_size)
        params = {"weight": weight, "partner": ops.argsort(self.draw_uniform(batch_size))}
        if self.probability < 1:
            params["applied"] = self.draw_uniform(batch_size) < self.probability
        return params

    def draw_weight(self, batch_size):
        """Draws weights in [0, 1], before they are moved to `weight_range`: uniform ones."""
        return self.draw_uniform(batch_size)

    def draw_uniform(self, batch_size):
        """Draws float32 `(batch_size,)`, uniformly from [0, 1)."""
        return keras.random.uniform((batch_size,), dtype="float32", seed=self.seed_generator)

    def apply(self, inputs, params):
        """Mixes as `params` says.

        Args:
            inputs: pair `(inputs, labels)`.
            params: as returned by `draw`.

        Returns:
            Pair `(inputs, labels)`.
        """
        inputs, labels = self._checked(inputs)
        mixed, weight = self.mix(ops.cast(inputs, "float32"), params)
        mixed_labels = mixing.mix_labels(labels, params["partner"], weight, self.label_rule, self.union_limit)
        applied = mixing.both_finite(inputs, params["partner"])
        if "applied" in params:
            applied = ops.logical_and(applied, params["applied"])
        return tuple(
            ops.where(as_column(applied, before), ops.cast(after, before.dtype), before)
            for before, after in ((inputs, mixed), (labels, mixed_labels))
        )

    def compute_output_shape(self, input_shape):
        inputs, labels = input_shape
        return tuple(inputs), tuple(labels)

    def compute_output_spec(self, inputs, training=None):
        return tuple(keras.KerasTensor(x.shape, dtype=x.dtype) for x in self._checked(inputs))

    def get_config(self):
        names = ("weight_range", "label_rule", "union_limit", "seed", "probability")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _checked(self, inputs):
        inputs, labels = _pair(inputs)
        if self.waveforms_only and len(inputs.shape) != 2:
            raise ValueError(
                f"{type(self).__name__} mixes waveforms of one channel, (batch, samples). Received: "
                f"shape={tuple(inputs.shape)}. Average the channels or put them on the batch axis."
            )
        return inputs, labels


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MixUp(BatchMixing):
    """Mixes each example with another one of the batch, by a weight drawn from Beta(alpha, alpha).

    The mixture is `weight * example + (1 - weight) * partner`.
    Takes and returns a pair `(inputs, labels)` and does nothing unless `training=True`. Weight and partner
    are drawn per example: the partners are a random permutation of the batch. The arithmetic is float32
    whatever the dtype policy, and both outputs keep the dtypes they came with: a waveform in bfloat16 would
    lose all but the loudest 50 dB before it reaches a front end.

    The released code of EAT is `MixUp(alpha=1.0, weight_range=(0.1, 1.0), gain_aware=True, label_rule="union",
    union_limit=0.9)`.

    Args:
        alpha: parameter of the Beta distribution, above 0. Small values leave one of the two nearly alone, 1
            makes all weights equally likely, large ones mix half and half.
        label_rule: `"convex"` mixes the labels as the inputs (the paper); `"union"` gives the mixture every
            label of both, whatever the weight.
        seed: integer that sets the draws; None for other draws each time.
        gain_aware: True takes the weight as how loud the example is heard beside its partner: the amplitudes are
            mixed by `p = weight * r' / (weight * r' + (1 - weight) * r)`, with the root mean squares r of the example
            and r' of the partner, and divided by `sqrt(p^2 + (1 - p)^2)`. For waveforms.
        labels_by: with `gain_aware`, what the labels are mixed by: `"amplitude"`, by p (released code of EAT), which is
            small for the louder of two sounds that are heard alike, or `"loudness"`, by the weight as it is heard.
        weight_range: pair of the least and the largest weight, to which the draws, from 0 to 1, are scaled.
        union_limit: with `"union"`, the weight of the labels from which on those of the partner are left out, 0.9 in
            the released code of EAT; None for never.
        probability: chance that an example is mixed, drawn for each.

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
        III (alpha 1.25). Gong et al., "PSLA", 2021 (alpha 10, probability 0.5). Gain-aware: Tokozume et al.,
        "Learning from Between-class Examples for Deep Sound Recognition", 2018; Gazneli et al., "End-to-End Audio
        Strikes Back", 2022, eq. 1 and Table 1.
    """

    waveforms_only = False

    def __init__(
        self,
        alpha=1.25,
        label_rule="convex",
        seed=None,
        gain_aware=False,
        weight_range=(0.0, 1.0),
        union_limit=None,
        probability=1.0,
        labels_by="amplitude",
        **kwargs,
    ):
        super().__init__(weight_range, label_rule, union_limit, seed, probability, **kwargs)
        check_interval("(0, inf)", alpha=alpha)
        check_choice("labels_by", labels_by, ("amplitude", "loudness"))
        self.alpha = float(alpha)
        self.gain_aware = gain_aware
        self.labels_by = labels_by
        self._table = _beta_logits(self.alpha)

    def draw_weight(self, batch_size):
        """Draws weights from Beta(alpha, alpha)."""
        # `keras.random.beta` does not compile under XLA on TensorFlow; a table of the quantiles does.
        uniform = self.draw_uniform(batch_size)
        logit = ops.clip(ops.log(uniform) - ops.log1p(-uniform), -_LOGIT_LIMIT, _LOGIT_LIMIT)
        position = (logit + _LOGIT_LIMIT) * ((_TABLE_SIZE - 1) / (2 * _LOGIT_LIMIT))
        lower = ops.clip(ops.cast(position, "int32"), 0, _TABLE_SIZE - 2)
        fraction = position - ops.cast(lower, "float32")
        table = ops.convert_to_tensor(self._table)
        return ops.sigmoid((1.0 - fraction) * ops.take(table, lower) + fraction * ops.take(table, lower + 1))

    def mix(self, inputs, params):
        partner, weight = params["partner"], params["weight"]
        if not self.gain_aware:
            return mixing.mix_amplitudes(inputs, partner, weight), weight
        amplitude = mixing.gain_aware_weight(inputs, partner, weight)
        mixed = mixing.mix_amplitudes(inputs, partner, amplitude)
        factor = ops.reshape(mixing.equal_power(amplitude), (-1,) + (1,) * (len(inputs.shape) - 1))
        return factor * mixed, weight if self.labels_by == "loudness" else amplitude

    def get_config(self):
        names = ("alpha", "gain_aware", "labels_by")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class TimeMix(BatchMixing):
    """Replaces a segment of each waveform by the same segment of another one of the batch.

    The segment has `int((1 - weight) * samples)` samples; the labels are mixed by `weight`. Pairs, draws and precision
    are as in `MixUp`.

    The released code of EAT is `TimeMix(label_rule="union", union_limit=0.9)`. The paper says that it is CutMix in one
    dimension, which is `TimeMix(weight_range=(0.0, 1.0), position="anywhere")`.

    Args:
        weight_range: pair of the least and the largest share that the example keeps, drawn uniformly.
        position: `"ends"` replaces the beginning or the end, which of them is drawn per example (released code);
            `"anywhere"` draws where the segment lies.
        label_rule: `"convex"` mixes the labels by the weight (paper); `"union"` gives the mixture the labels of both.
        union_limit: with `"union"`, the weight from which on the labels of the partner are left out, 0.9 in the
            released code; None for never.
        seed: integer that sets the draws; None for other draws each time.
        probability: chance that an example is mixed, drawn for each.

    Input shape:
        Pair of `(batch, samples)` and `(batch, ...)`, one-hot or multi-hot labels, both floating point.

    Output shape:
        The same.

    Raises:
        ValueError: if an argument is out of range, the input is not a pair, the waveforms have channels, or the
            batches differ.
        TypeError: if waveforms or labels are integers.

    Example:

    >>> mixing = TimeMix(seed=0)
    >>> x, y = mixing((np.zeros((8, 16000), "float32"), np.eye(8, 10, dtype="float32")), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((8, 16000), (8, 10))

    Reference:
        Gazneli et al., "End-to-End Audio Strikes Back", 2022, Table 1. Yun et al., "CutMix", 2019.
    """

    def __init__(
        self,
        weight_range=(0.5, 1.0),
        position="ends",
        label_rule="convex",
        union_limit=None,
        seed=None,
        probability=1.0,
        **kwargs,
    ):
        super().__init__(weight_range, label_rule, union_limit, seed, probability, **kwargs)
        check_choice("position", position, ("ends", "anywhere"))
        self.position = position

    def draw(self, batch_size):
        """Draws what `apply` needs.

        Args:
            batch_size: number of examples, an integer or a scalar tensor.

        Returns:
            Dictionary of `"weight"`, float32 `(batch_size,)` in `weight_range`, `"partner"`, integer `(batch_size,)`,
            a permutation, and `"position"`, float32 `(batch_size,)` from 0 (beginning) to 1 (end).
        """
        position = self.draw_uniform(batch_size)
        if self.position == "ends":
            position = ops.cast(position < 0.5, "float32")
        return {**super().draw(batch_size), "position": position}

    def mix(self, inputs, params):
        weight = params["weight"]
        return mixing.mix_in_time(inputs, params["partner"], weight, params["position"]), weight

    def get_config(self):
        return {**super().get_config(), "position": self.position}


def _checked_range(weight_range):
    low, high = weight_range
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"`weight_range` must be two numbers, 0 <= low <= high <= 1. Received: weight_range={weight_range!r}"
        )
    return float(low), float(high)


def _pair(inputs):
    if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
        raise ValueError(f"The input must be a pair (inputs, labels). Received: {type(inputs).__name__}")
    for name, value in zip(("inputs", "labels"), inputs, strict=True):
        dtype = keras.backend.standardize_dtype(value.dtype)
        if not keras.backend.is_float_dtype(dtype):
            advice = "Turn class indices into one-hot labels." if name == "labels" else "Scale them to [-1, 1]."
            raise TypeError(f"The {name} must be floating point to be mixed. Received: dtype={dtype}. {advice}")
        if len(value.shape) == 0:
            raise ValueError(f"The {name} must have a batch axis. Received: a scalar")
    sizes = [value.shape[0] for value in inputs]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(f"Inputs and labels must hold as many examples. Received: {sizes[0]} and {sizes[1]}")
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
