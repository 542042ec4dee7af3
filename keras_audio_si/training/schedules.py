"""The one-cycle schedule of learning rate and momentum, as a function of the step."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_audio_si")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Moves a value from its start to its peak and on to its end, along two halves of a cosine.

    With N steps and a warm-up share p the peak is at step p N - 1 (counted from 0) and the end at step N - 1.
    After it the value stays. It depends on the step alone, so that a training which is continued finds its place.

    Args:
        steps: number of steps of the whole training.
        start: value of the first step.
        peak: value at the end of the warm-up.
        end: value of the last step.
        warm_up: share of the steps, above 0 and below 1.

    Raises:
        ValueError: if `steps` or `warm_up` is out of its range.

    Example:

    >>> momentum = OneCycle(steps=100, start=0.95, peak=0.85, end=0.95)
    >>> [round(float(momentum(step)), 3) for step in (0, 9, 54, 99)]
    [0.95, 0.85, 0.9, 0.95]

    Reference:
        Smith, "A disciplined approach to neural network hyper-parameters", 2018.
    """

    def __init__(self, steps, start, peak, end, warm_up=0.1):
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"`steps` must be an integer of at least 1; received {steps!r}.")
        if not 0 < warm_up < 1:
            raise ValueError(f"`warm_up` must be above 0 and below 1; received {warm_up!r}.")
        self.steps, self.start, self.peak, self.end, self.warm_up = steps, start, peak, end, warm_up

    def __call__(self, step):
        last = self.steps - 1.0
        top = max(self.warm_up * self.steps - 1.0, 0.0)
        step = ops.minimum(ops.cast(step, "float32"), last)
        rising = step <= top
        share = ops.where(rising, step / (top or 1.0), (step - top) / (last - top or 1.0))
        before, after = ops.where(rising, self.start, self.peak), ops.where(rising, self.peak, self.end)
        return after + (before - after) * (0.5 * (1.0 + ops.cos(math.pi * share)))

    def get_config(self):
        names = ("steps", "start", "peak", "end", "warm_up")
        return {name: getattr(self, name) for name in names}


def one_cycle_learning_rate(steps, maximum):
    """The cycle of the learning rate: from a 25th of its maximum up, and down to 1e-4 of where it began.

    Args:
        steps: number of steps of the whole training.
        maximum: largest learning rate.

    Returns:
        `OneCycle`

    Example:

    >>> rate = one_cycle_learning_rate(1000, 3e-4)
    >>> ["%.1e" % float(rate(step)) for step in (0, 99, 999)]
    ['1.2e-05', '3.0e-04', '1.2e-09']

    Reference:
        gazneli2022, section 4, in the form of its released code.
    """
    return OneCycle(steps, maximum / 25.0, maximum, maximum / 25.0 / 1e4)


def one_cycle_momentum(steps):
    """The cycle of Adam's first beta: 0.95, down to 0.85 while the learning rate rises, and back.

    Args:
        steps: number of steps of the whole training.

    Returns:
        `OneCycle`

    Example:

    >>> round(float(one_cycle_momentum(1000)(99)), 3)
    0.85
    """
    return OneCycle(steps, 0.95, 0.85, 0.95)


class LearningRateLog(keras.callbacks.Callback):
    """Adds `learning_rate`, that of the step to come, to the logs of each epoch.

    Example:

    >>> callbacks = [LearningRateLog(), keras.callbacks.History()]
    """

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
