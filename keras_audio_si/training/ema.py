"""Moving averages of the weights, which replace the weights for validation and saving."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.training.settings import UPDATES

_RELEASED_INTERVAL = 5  # steps
_RELEASED_WARM_UP = (2, 0.01)  # epochs, and the decay of each of them


def decay_after(step, decay, update="step", steps_per_epoch=None):
    """Decay of the moving averages after a step; 1 if they are not updated.

    - `"step"`: min(decay, (1 + step) / (10 + step)), which reduces the influence of the initial weights.
    - `"released"`: after the steps 0, 5, 10, ... of the training `decay ** (5 / steps_per_epoch)`, which makes
      `decay` that of an epoch; in the first two epochs 0.01 takes its place.

    Args:
        step: Number of the step, from 0; integer, or integer tensor.
        decay: Above 0 and below 1.
        update: `"step"` or `"released"`.
        steps_per_epoch: Needed by `"released"`.

    Returns:
        Scalar, float32.

    Example:

    >>> [round(float(decay_after(step, 0.995)), 3) for step in (0, 90, 5000)]
    [0.1, 0.91, 0.995]
    >>> [round(float(decay_after(step, 0.995, "released", steps_per_epoch=20)), 4) for step in (0, 1, 40)]
    [0.3162, 1.0, 0.9987]

    Reference:
        gazneli2022, section 4; Tarvainen and Valpola, "Mean teachers are better role models", 2017.
    """
    if update == "step":
        step = ops.cast(step, "float32")
        return ops.minimum(decay, (1.0 + step) / (10.0 + step))
    epochs, first_decay = _RELEASED_WARM_UP
    share = _RELEASED_INTERVAL / steps_per_epoch
    decay = ops.where(ops.less(step, epochs * steps_per_epoch), first_decay**share, decay**share)
    return ops.cast(ops.where(ops.equal(ops.mod(step, _RELEASED_INTERVAL), 0), decay, 1.0), "float32")


@keras.saving.register_keras_serializable(package="keras_audio_si")
class WeightAverages(keras.layers.Layer):
    """Moving averages of all floating-point weights of a model, moving statistics of normalisations included.

    A layer of the training step: it returns its input, and in training updates the averages with the weights after the
    previous step. The averages are therefore variables of the training model, and compiled, checkpointed and donated
    with it. They only replace the weights of the model within `in_place`. They are initialised with the weights.

    Args:
        model: Keras model, built.
        decay: Above 0 and below 1.
        update: `"step"` or `"released"`; see `decay_after`.
        steps_per_epoch: Needed by `"released"`.

    Input shape:
        Any.

    Output shape:
        The same.

    Raises:
        ValueError: If `update` is unknown, or `steps_per_epoch` is missing.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> averages = WeightAverages(model, decay=0.9)
    >>> x = averages(np.zeros((4, 2), "float32"), training=True)  # before the first step
    >>> model.layers[0].kernel.assign([[1.0], [1.0]]) is None  # the step
    False
    >>> with averages.in_place():
    ...     print(round(float(model.layers[0].kernel[0, 0]), 2))
    0.9
    >>> float(model.layers[0].kernel[0, 0])
    1.0
    """

    def __init__(self, model, decay, update="step", steps_per_epoch=None, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        check_choice("update", update, UPDATES)
        if update == "released" and not steps_per_epoch:
            raise ValueError("`update`='released' needs `steps_per_epoch`: its decay is that of an epoch.")
        self.decay, self.update, self.steps_per_epoch = decay, update, steps_per_epoch
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")
        weights = [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]
        self._weights = lambda: weights  # a list would make them weights of this layer
        self.averages = []
        for weight in weights:
            average = self.add_weight(shape=weight.shape, dtype=weight.dtype, initializer="zeros", trainable=False)
            average.assign(_copied(weight))
            self.averages.append(average)
        self.built = True

    def call(self, inputs, training=None):
        if training:
            for average, value in zip(self.averages, self.current(), strict=True):
                average.assign(value)
            self.step.assign(self.step + 1)
        return inputs

    def compute_output_spec(self, inputs, training=None):
        return inputs

    def current(self):
        """The averages after the last step; the variables are updated with it in the next step.

        Returns:
            List of tensors.
        """
        last = ops.convert_to_tensor(self.step) - 1
        decay = decay_after(last, self.decay, self.update, self.steps_per_epoch)
        gain = 1.0 - ops.where(last < 0, 1.0, decay)
        pairs = zip(self.averages, self._weights(), strict=True)
        return [_moved(*map(ops.convert_to_tensor, pair), gain) for pair in pairs]

    @contextlib.contextmanager
    def in_place(self):
        """Gives the model the averages for its weights within the block, and its weights back after it."""
        weights = self._weights()
        kept = [_copied(weight) for weight in weights]
        try:
            for weight, value in zip(weights, self.current(), strict=True):
                weight.assign(value)
            yield
        finally:
            for weight, value in zip(weights, kept, strict=True):
                weight.assign(value)


def averaged(training_model):
    """Context in which the model that is trained has its averages for weights, if it has any.

    Args:
        training_model: Keras model; its attribute `averages`, if there is one, is a `WeightAverages` or None.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> with averaged(model):
    ...     pass
    """
    averages = getattr(training_model, "averages", None)
    return contextlib.nullcontext() if averages is None else averages.in_place()


def _moved(average, weight, gain):
    return average + ops.cast(gain, average.dtype) * (ops.stop_gradient(weight) - average)


def _copied(weight):
    """A copy that shares no memory: two variables of one buffer cannot both be donated to a step."""
    return np.array(ops.convert_to_numpy(weight))
