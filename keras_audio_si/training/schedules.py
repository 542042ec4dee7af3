"""Schedules as functions of the step: one cycle of learning rate and momentum, and a warm-up with decay in steps."""

import math

import keras
from keras import ops

from keras_audio_si.checks import check_integer, check_interval


@keras.saving.register_keras_serializable(package="keras_audio_si")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Schedule from a start to a peak and then to an end value, along two halves of a cosine.

    With N steps and a warm-up share p the peak is at step p N - 1 (counted from 0) and the end at step N - 1.
    After the end the value is constant. It is a function of the step only, so that trainings can be resumed.

    Args:
        steps: Number of steps of the whole training.
        start: Value of the first step.
        peak: Value at the end of the warm-up.
        end: Value of the last step.
        warm_up: Share of the steps, above 0 and below 1.

    Raises:
        ValueError: If `steps` or `warm_up` is out of its range.

    Example:

    >>> momentum = OneCycle(steps=100, start=0.95, peak=0.85, end=0.95)
    >>> [round(float(momentum(step)), 3) for step in (0, 9, 54, 99)]
    [0.95, 0.85, 0.9, 0.95]

    Reference:
        Smith, "A disciplined approach to neural network hyper-parameters", 2018.
    """

    def __init__(self, steps, start, peak, end, warm_up=0.1):
        check_integer(1, steps=steps)
        check_interval("(0, 1)", warm_up=warm_up)
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
        steps: Number of steps of the whole training.
        maximum: Largest learning rate.

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
        steps: Number of steps of the whole training.

    Returns:
        `OneCycle`

    Example:

    >>> round(float(one_cycle_momentum(1000)(99)), 3)
    0.85
    """
    return OneCycle(steps, 0.95, 0.85, 0.95)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Schedule that increases the learning rate in steps to its peak, and multiplies it by a factor every few epochs.

    At step s of epoch e, both counted from 0, with stairs of n steps, it is

        peak * min(floor(s / n) * n / warm_up_steps, 1) * factor ** max(0, floor((e - start) / every) + 1)

    As released, the learning rate of the first 50 steps is 0, so that they only update moving statistics.

    Args:
        peak: Largest learning rate.
        steps_per_epoch: Number of steps of an epoch.
        decay_start_epoch: First epoch with a lower rate, counted from 0.
        decay_every_epochs: Epochs from one decay to the next.
        decay_factor: What each decay multiplies by, above 0 and at most 1.
        warm_up_steps: Steps until the peak; 0 for no warm-up.
        stair_steps: Steps of a stair, at most `warm_up_steps`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> rate = WarmUpAndDecay(1e-3, steps_per_epoch=300, decay_start_epoch=10, decay_every_epochs=5, decay_factor=0.5)
    >>> ["%.2e" % float(rate(step)) for step in (0, 99, 1000, 10 * 300 - 1, 10 * 300, 15 * 300)]
    ['0.00e+00', '5.00e-05', '1.00e-03', '1.00e-03', '5.00e-04', '2.50e-04']

    Reference:
        Gong et al., "PSLA", 2021, in the form of its released code; liu2022, Table 4.
    """

    def __init__(
        self,
        peak,
        steps_per_epoch,
        decay_start_epoch,
        decay_every_epochs,
        decay_factor,
        warm_up_steps=1000,
        stair_steps=50,
    ):
        self.settings = {
            "steps_per_epoch": steps_per_epoch,
            "decay_start_epoch": decay_start_epoch,
            "decay_every_epochs": decay_every_epochs,
            "warm_up_steps": warm_up_steps,
            "stair_steps": stair_steps,
        }
        for name, value in self.settings.items():
            check_integer(0 if name in ("decay_start_epoch", "warm_up_steps") else 1, **{name: value})
        check_interval("(0, 1]", decay_factor=decay_factor)
        self.settings |= {"peak": peak, "decay_factor": decay_factor}

    def __call__(self, step):
        settings = self.settings
        step = ops.cast(step, "int32")  # in float32 the border of an epoch could move
        warm_up = settings["warm_up_steps"]
        length = min(settings["stair_steps"], max(warm_up, 1))  # In a shorter warm-up it would be 0 behind its end.
        stair = step // length * length
        rise = ops.cast(ops.minimum(stair, warm_up), "float32") / warm_up if warm_up else 1.0
        epochs = step // settings["steps_per_epoch"] - settings["decay_start_epoch"]
        decays = ops.maximum(epochs // settings["decay_every_epochs"] + 1, 0)
        return settings["peak"] * rise * ops.power(settings["decay_factor"], ops.cast(decays, "float32"))

    def get_config(self):
        return dict(self.settings)


class LearningRateLog(keras.callbacks.Callback):
    """Adds `learning_rate`, that of the step to come, to the logs of each epoch.

    Example:

    >>> callbacks = [LearningRateLog(), keras.callbacks.History()]
    """

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
