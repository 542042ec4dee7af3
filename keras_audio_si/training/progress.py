"""Time of an epoch, and the estimated end of a training."""

import datetime
import time

import keras


class EpochSeconds(keras.callbacks.Callback):
    """Adds the seconds that an epoch took, with its validation, to the logs as `seconds`.

    Example:

    >>> callbacks = [EpochSeconds()]
    """

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.monotonic() - self._begun


class RemainingTime(keras.callbacks.Callback):
    """Prints how long an epoch takes and when the training ends, after some steps and after the first epoch.

    The first steps, which compile the model, are not used for the estimate.

    Args:
        verbose: 0 prints nothing.
        first_steps: Steps after which the first estimate is printed, without validation.

    Example:

    >>> callbacks = [RemainingTime()]
    """

    async_safe = True  # Otherwise Keras waits for each step before it starts the next one.

    def __init__(self, verbose="auto", first_steps=10):
        super().__init__()
        self.verbose, self.first_steps = verbose, first_steps

    def on_train_begin(self, logs=None):
        self._epochs_timed = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._begun = epoch, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params.get("steps")
        if self._epochs_timed or not self.verbose or not steps or steps < 3 * self.first_steps:
            return
        if batch == 1:
            self._warm = time.monotonic()
        if batch == 1 + self.first_steps:
            self._print((time.monotonic() - self._warm) / self.first_steps * steps, "without validation ")

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self._begun
        self._epochs_timed += 1
        if self.verbose and self._epochs_timed in (1, 2):  # The first has compiled the model as well.
            self._print(seconds, "" if self._epochs_timed == 2 else "with compilation ", done=1)

    def _print(self, seconds, how, done=0):
        left = self.params["epochs"] - self._epoch - done
        if left > 0:
            end = datetime.datetime.now() + datetime.timedelta(seconds=seconds * left)
            print(
                f"\nAn epoch takes {how}{seconds:.0f} s. {left} of {self.params['epochs']} are left, until "
                f"{end:%Y-%m-%d %H:%M} at the latest.",
                flush=True,
            )
