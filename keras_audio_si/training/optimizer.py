"""Optimizers: Adam with L2 or decoupled weight decay, and SGD, with or without a schedule."""

import keras
from keras import ops

from keras_audio_si.training.gradient_norms import with_gradient_norms
from keras_audio_si.training.replicas import replica_share, with_whole_gradients
from keras_audio_si.training.schedules import WarmUpAndDecay, one_cycle_learning_rate, one_cycle_momentum

DECAY = ("decay_start_epoch", "decay_every_epochs", "decay_factor", "warm_up_steps")  # Of `WarmUpAndDecay`.


@keras.saving.register_keras_serializable(package="keras_audio_si")
class CycledAdamW(keras.optimizers.AdamW):
    """AdamW whose first beta may follow a schedule, and whose epsilon is that of PyTorch.

    PyTorch adds epsilon to the root of the mean of squares after the correction of its bias, Keras before it: with a
    second beta of 0.99 it has 10 times the effect in Keras at the first step, and 1.3 times at the 100th.

    Args:
        learning_rate: Number or schedule, a function of the step.
        beta_1: Number or schedule.
        **kwargs: Those of `keras.optimizers.AdamW`.

    Example:

    >>> from keras_audio_si.training.schedules import one_cycle_momentum
    >>> optimizer = CycledAdamW(1e-3, beta_1=one_cycle_momentum(100))
    >>> round(float(optimizer.beta_1), 2)
    0.95

    Reference:
        Loshchilov and Hutter, "Decoupled weight decay regularization", 2017.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, beta_1=beta_1, **kwargs)

    @property
    def beta_1(self):
        if self._beta_1_of_step is not None:
            return self._beta_1_of_step
        return self._beta_1(self.iterations) if callable(self._beta_1) else self._beta_1

    @beta_1.setter
    def beta_1(self, value):
        self._beta_1, self._beta_1_of_step = value, None

    @property
    def epsilon(self):
        return self._epsilon if self._epsilon_of_step is None else self._epsilon_of_step

    @epsilon.setter
    def epsilon(self, value):
        self._epsilon, self._epsilon_of_step = value, None

    def apply(self, grads, trainable_variables=None):
        # Computed once, not for every variable.
        self._beta_1_of_step = self.beta_1
        step = ops.cast(self.iterations + 1, "float32")
        self._epsilon_of_step = self._epsilon * ops.sqrt(1.0 - ops.power(self.beta_2, step))
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._beta_1_of_step = self._epsilon_of_step = None

    def get_config(self):
        return {**super().get_config(), "beta_1": keras.saving.serialize_keras_object(self._beta_1)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        beta_1 = keras.saving.deserialize_keras_object(config["beta_1"], custom_objects=custom_objects)
        return super().from_config({**config, "beta_1": beta_1}, custom_objects)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class L2Adam(keras.optimizers.Adam):
    """Adam with L2 regularisation: weight decay is a term of the gradient of all variables, as in PyTorch's Adam.

    Args:
        learning_rate: Number or schedule.
        l2: Factor on a weight in its gradient.
        **kwargs: Those of `keras.optimizers.Adam`.

    Example:

    >>> optimizer = L2Adam(1e-3, l2=5e-7, beta_1=0.95)
    >>> type(optimizer).from_config(optimizer.get_config()).l2
    5e-07

    Reference:
        Kingma and Ba, "Adam", 2014; Gong et al., "PSLA", 2021.
    """

    def __init__(self, learning_rate=0.001, l2=0.0, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        decay = ops.cast(self.l2 * ops.convert_to_tensor(variable), gradient.dtype)
        super().update_step(gradient + decay, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


def spared_variables(variables):
    """The variables without weight decay: those of one axis, and biases.

    Those are scales and offsets of normalisations. The released rule of gazneli2022 goes by the axes alone: it
    decays kernels of convolutions (three axes) and of dense layers, and also the class token and the position
    embedding. Keras' attention layers have biases of two axes, for which PyTorch has one.

    Args:
        variables: List of Keras variables.

    Returns:
        List of some of them.

    Example:

    >>> layer = keras.layers.Dense(3)
    >>> layer.build((None, 2))
    >>> [variable.name for variable in spared_variables(layer.weights)]
    ['bias']
    """
    return [variable for variable in variables if len(variable.shape) <= 1 or variable.name == "bias"]


def build_optimizer(settings, variables, steps):
    """Makes the optimizer that the settings describe.

    Args:
        settings: `TrainingSettings`.
        variables: List of the variables that are trained.
        steps: Number of steps of the whole training.

    Returns:
        Keras optimizer.

    Example:

    >>> from keras_audio_si.training.settings import TrainingSettings
    >>> type(build_optimizer(TrainingSettings(), [], steps=100)).__name__
    'Adam'
    """
    clip_norm, extended = settings.gradient_clip_norm, lambda optimizer_class: optimizer_class
    if clip_norm is not None:
        clip_norm, extended = replica_share(clip_norm), with_whole_gradients
    if settings.gradient_norms:  # Not on several devices of TensorFlow.
        extended = with_gradient_norms
    rate, beta_1 = settings.learning_rate, settings.beta_1
    if settings.schedule == "one-cycle":
        rate, beta_1 = one_cycle_learning_rate(steps, rate), one_cycle_momentum(steps)
    elif settings.schedule == "warm-up-and-decay":
        decay = {name: getattr(settings, name) for name in DECAY}
        rate = WarmUpAndDecay(rate, steps // settings.epochs, **decay)
    limit = "global_clipnorm" if settings.gradient_clip_by == "global" else "clipnorm"
    common = {limit: clip_norm}
    if settings.optimizer == "sgd":
        return extended(keras.optimizers.SGD)(rate, momentum=settings.momentum, nesterov=True, **common)
    epsilon = settings.epsilon or (1e-7 if settings.optimizer == "adam" else 1e-8)
    common |= {"beta_1": beta_1, "beta_2": settings.beta_2, "epsilon": epsilon}
    if settings.optimizer == "adam-l2":
        return extended(L2Adam)(rate, settings.weight_decay, **common)
    if settings.optimizer == "adam" and settings.schedule != "one-cycle":
        return extended(keras.optimizers.Adam)(rate, **common)
    decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
    common |= {"weight_decay": decay, "name": settings.optimizer}
    optimizer = extended(CycledAdamW)(rate, **common)
    optimizer.exclude_from_weight_decay(var_list=spared_variables(variables))
    return optimizer
