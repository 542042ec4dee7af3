"""Checkpoints for bit-identical resuming: variables, seeds, counters and position in one file."""

import itertools
import json
import os
import pathlib
import re
import sys
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si.files import writing, written_whole
from keras_audio_si.training.replicas import separate_draws
from keras_audio_si.training.run_folder import CHECKPOINTS

KEPT = 2  # the newest, and one to go back to where a disk has spoilt it

_NAME = "epoch-{epoch:05d}-step-{step:07d}.npz"
_NAME_PATTERN = re.compile(r"epoch-(\d+)-step-(\d+)\.npz")

# State that Keras' callbacks keep across epochs. Other callbacks name theirs in an attribute `counters`.
_COUNTERS = {
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
    keras.callbacks.EarlyStopping: ("best", "best_epoch", "wait", "stopped_epoch"),
    keras.callbacks.ModelCheckpoint: ("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
    keras.callbacks.History: ("history",),
}


class Checkpoint(NamedTuple):
    """State of a training from which it can be resumed.

    Attributes:
        epoch: Number of complete epochs.
        step: Number of steps done in the epoch after them.
        finished: Whether the training ends here.
        identity: Dict of what the training is one of, from names to values as JSON has them.
        counters: List of `[class name, dict of values]` of the callbacks that count.
        variables: List of arrays, by position: those of model, optimizer and metrics.
        generators: List of arrays: states of the backend's own random generators, where it has any.
        seconds: Time from the beginning of the training to here, without what was lost to interruptions and done again;
            None in a training that an earlier version began, which recorded none.
    """

    epoch: int
    step: int
    finished: bool
    identity: dict
    counters: list
    variables: list
    generators: list = []
    seconds: float | None = None

    def write(self, folder):
        """Writes the checkpoint into a folder, whole or not at all, and removes those before the last two.

        The file is on the disk, under its name, before this returns.
        """
        folder = pathlib.Path(folder)
        record = self._asdict()
        arrays = {
            f"{kind}-{number}": array
            for kind in ("variables", "generators")
            for number, array in enumerate(record.pop(kind))
        }
        if (seconds := record.pop("seconds")) is not None:
            arrays["seconds"] = np.float64(seconds)  # Of its own: all else is the same whenever it is done.
        path = folder / _NAME.format(epoch=self.epoch, step=self.step)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, record=np.frombuffer(json.dumps(record).encode(), "uint8"), **arrays)
            _sync_folder(folder)
            for _, older in _files(folder)[:-KEPT]:
                older.unlink()

    @classmethod
    def read(cls, path):
        """Reads a checkpoint.

        Raises:
            ValueError: If the file is not one, or is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(arrays["record"].tobytes())
                record |= {"variables": [], "generators": []}
                for name in arrays.files:  # in the order in which they were written
                    if name == "seconds":
                        record[name] = float(arrays[name])
                    elif name != "record":
                        record[name.split("-")[0]].append(arrays[name])
            return cls(**record)._checked()
        except Exception as error:  # A damaged file can raise anything in zipfile, zlib and NumPy.
            raise ValueError(f"{path} is no checkpoint, or damaged: {error}") from error

    def _checked(self):
        counts = all(isinstance(number, int) and 0 <= number < 2**31 for number in (self.epoch, self.step))
        counters = isinstance(self.counters, list) and all(
            isinstance(entry, list) and list(map(type, entry)) == [str, dict] for entry in self.counters
        )
        if not counts or not counters or not isinstance(self.finished, bool) or not isinstance(self.identity, dict):
            raise ValueError("its record is not that of a training")
        return self

    @classmethod
    def newest(cls, folder):
        """Reads the newest checkpoint of a folder, or the one before it where the newest is damaged.

        Returns:
            A `Checkpoint`, or None if there is none.

        Raises:
            ValueError: If there are checkpoints and all are damaged.
        """
        problems = []
        for _, path in reversed(_files(folder)):
            try:
                checkpoint = cls.read(path)
            except ValueError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                print(f"{problem}\nGoing back to {path}.", file=sys.stderr)
            return checkpoint
        if problems:
            raise ValueError(
                f"Nothing in {str(folder)!r} can be read, so the run cannot be continued: {'; '.join(problems)}. "
                "Start again with overwrite=True (--overwrite)."
            )
        return None

    def place(self):
        """The place in the training in words, counted as Keras prints epochs."""
        return f"step {self.step} of epoch {self.epoch + 1}" if self.step else f"the end of epoch {self.epoch}"


class TrainingCheckpoints(keras.callbacks.Callback):
    """Writes a checkpoint after each epoch, and continues a training from one.

    It must come after all callbacks with counters, and before those whose output can be rewritten from a checkpoint.

    Args:
        folder: Folder of the run; the checkpoints lie in `checkpoints/`.
        identity: Dict that says what training this is.
        callbacks: List of the callbacks whose counters belong to the training.
        start: `Checkpoint` to continue from, or None.
        redo: Callback that comes after this one. After a checkpoint at the end of an epoch its `on_epoch_end`
            is called again, since the process may have ended before or in it.

    Attributes:
        last: The newest `Checkpoint`; None before the first.

    Example:

    >>> history = keras.callbacks.History()
    >>> callbacks = [history, TrainingCheckpoints("run", {"seed": 0}, [history])]
    """

    def __init__(self, folder, identity, callbacks, start=None, redo=None):
        super().__init__()
        self.folder = pathlib.Path(folder) / CHECKPOINTS
        self.identity = identity
        self.counting = [callback for callback in callbacks if _counters(callback)]
        self.start = self.last = start
        self._generators = start.generators if start is not None else []
        self.redo = redo

    def on_train_begin(self, logs=None):
        self._begun, self._seconds = time.monotonic(), 0.0
        if self.start is not None:
            self._seconds = self.start.seconds
            try:
                self._restore(self.start)
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise ValueError(f"The run in {str(self.folder.parent)!r} cannot be continued: {error}") from error
        separate_draws(self.model.variables)  # A checkpoint has those of one replica.

    def on_epoch_begin(self, epoch, logs=None):
        if self.start is not None and self.start.step and epoch == self.start.epoch:
            # Keras has just reset the metrics; this epoch's averages go on.
            metrics = self.model.metrics_variables
            assign_by_position(metrics, self.start.variables[len(self.start.variables) - len(metrics) :])

    def on_train_batch_begin(self, batch, logs=None):
        if self._generators:  # not before: the data loader of PyTorch draws when it starts
            _set_generator_states(self._generators)
            self._generators = []

    def on_epoch_end(self, epoch, logs=None):
        self.write(epoch + 1, 0, self.model.stop_training or epoch + 1 == self.params["epochs"])

    def write(self, epoch, step, finished=False):
        """Writes a checkpoint of the present state."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # within an epoch the step's state is not in the variables
        counters = [[type(callback).__name__, _counted(callback)] for callback in self.counting]
        variables = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in _variables(self.model)]
        seconds = None if self._seconds is None else self._seconds + time.monotonic() - self._begun
        state = variables, _generator_states(), seconds
        checkpoint = Checkpoint(epoch, step, finished, self.identity, counters, *state)
        checkpoint.write(self.folder)
        self.last = checkpoint._replace(variables=[])  # they were to be written, not to be kept in memory

    def _restore(self, start):
        names = [name for name, _ in start.counters]
        if names != [type(callback).__name__ for callback in self.counting]:
            raise ValueError(
                f"The run was begun with the callbacks {', '.join(names)} and can be continued only with them."
            )
        for callback, (name, values) in zip(self.counting, start.counters, strict=True):
            if not set(values) <= set(_counters(callback)):
                raise ValueError(f"The checkpoint has counters that {name} has not: {', '.join(values)}")
            if isinstance(callback, tuple(_COUNTERS)) and not all(map(_counts, values.values())):
                raise ValueError(f"The checkpoint has counters of {name} that are no numbers.")
            vars(callback).update(values)
        assign_by_position(_variables(self.model), start.variables)
        if self.redo is not None and not start.step:
            (history,) = (callback for callback in self.counting if isinstance(callback, keras.callbacks.History))
            last = {name: values[-1] for name, values in history.history.items()}
            self.redo.on_epoch_end(start.epoch - 1, last)


class StepCheckpoints(TrainingCheckpoints):
    """Writes a checkpoint every so many steps of an epoch as well.

    It is a separate class because, under JAX, a callback with a method for each step keeps Keras from preparing a step
    while the previous one runs.

    Args:
        steps: Number of steps between two checkpoints.
        steps_per_epoch: Number of steps in an epoch, which its end has its own checkpoint for.
        **kwargs: Those of `TrainingCheckpoints`.

    Example:

    >>> callback = StepCheckpoints(100, 250, folder="run", identity={}, callbacks=[])
    """

    def __init__(self, steps, steps_per_epoch, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self._epoch = self._done = 0

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch
        self._done = self.start.step if self.start is not None and epoch == self.start.epoch else 0

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if self._done % self.steps == 0 and self._done < self.steps_per_epoch:
            self.write(self._epoch, self._done)


class ShortFirstEpoch(keras.callbacks.Callback):
    """Ends the first epoch after fewer steps than the others, to resume a training within an epoch.

    Keras has one number of steps for all epochs. The callback must come before those that may end the training.

    Args:
        steps: Number of steps of the first epoch.

    Example:

    >>> callback = ShortFirstEpoch(12)
    """

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self._ended_here = False

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.steps:
            self.model.stop_training = self._ended_here = True  # ends the loop over the steps

    def on_epoch_end(self, epoch, logs=None):
        if self._ended_here:
            self.model.stop_training = self._ended_here = False  # and not the one over the epochs
        self.steps = None


def _files(folder):
    """The checkpoints of a folder, the oldest first; files that are being written have other names."""
    matches = ((_NAME_PATTERN.fullmatch(path.name), path) for path in pathlib.Path(folder).glob("*.npz"))
    return sorted((tuple(map(int, match.groups())), path) for match, path in matches if match)


def _sync_folder(folder):
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _counters(callback):
    known = next((names for kind, names in _COUNTERS.items() if isinstance(callback, kind)), ())
    return getattr(callback, "counters", known)


def _counts(value):
    """Whether a value can be that of a counter of Keras: a number, or the history of each log, equally long."""
    if not isinstance(value, dict):
        return value is None or isinstance(value, int | float)
    logs = list(value.values())
    if not all(isinstance(log, list) and len(log) == len(logs[0]) for log in logs):
        return False
    numbers = itertools.chain.from_iterable(logs)
    return all(isinstance(number, float) or (type(number) is int and abs(number) < 2**63) for number in numbers)


def _counted(callback):
    return {name: getattr(callback, name) for name in _counters(callback)}


def _variables(model):
    """All variables that change in a training; a `.keras` file has neither seed generators nor metrics."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    frozen = {id(variable) for variable in getattr(model, "frozen_variables", ())}
    changing = [variable for variable in model.variables if id(variable) not in frozen]
    return [*changing, *model.optimizer.variables, *model.metrics_variables]


def assign_by_position(variables, arrays):
    """Gives variables the values that a checkpoint, or another file with arrays in their order, has for them.

    Raises:
        ValueError: If there are others than these variables, or of other shapes.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise ValueError("The checkpoint is of another model: its variables have other shapes.")
    for variable, array in zip(variables, arrays, strict=True):
        # NumPy gives bfloat16 back as two bytes without a type.
        dtype = keras.ops.convert_to_numpy(variable).dtype
        variable.assign(array.view(dtype) if array.dtype.kind == "V" else array)


def _generator_states():
    """A `Dropout` without a seed draws from a generator of PyTorch's own; all others are variables."""
    if keras.backend.backend() != "torch":
        return []
    import torch

    return [state.numpy() for state in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def _set_generator_states(states):
    import torch

    on_cpu, *on_gpus = map(torch.from_numpy, states)
    torch.set_rng_state(on_cpu)
    torch.cuda.set_rng_state_all(on_gpus)
