"""Checks of arguments, with errors that name the argument, the expected and the received value."""

import difflib
import functools
import inspect

# What was renamed in 0.2.0: an old name is an error that has the new one.
RENAMED = {
    "validation_share": "validation_split",
    "early_stopping_epochs": "early_stopping_patience",
    "plateau_epochs": "plateau_patience",
    "jit": "jit_compile",
    "in_channels": "input_shape",
    "input_length": "input_shape",
    "input_samples": "input_shape",
    "RandomPolarity": "PolarityInversion",
    "RandomQuantisation": "BitCrush",
    "RandomCyclicShift": "Roll",
    "RandomTimeReversal": "Reverse",
    "PermanentDropout": "MonteCarloDropout",
    "class_names_of": "keras_audio_si.models.class_names_of",
    "fit_length_of": "keras_audio_si.models.fit_length_of",
}


def check_positive(**values):
    """Raises a `ValueError` that names the first of the arguments that is not positive."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"`{name}` must be positive. Received {value}.")


def check_integer(minimum, **values):
    """Raises a `ValueError` that names the first of the arguments that is no integer of at least `minimum`."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}")


def check_choice(name, value, choices):
    """Raises a `ValueError` that lists the choices, the nearest of them first, if `value` is none of them."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), list(map(str, choices)), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}. Received {value!r}.{hint}")


def refuse_renamed(names, known=()):
    """Raises a `TypeError` that has the new name if one of some argument names is an old one."""
    for name in names:
        if name in RENAMED and name not in known:
            raise TypeError(f"`{name}` is `{RENAMED[name]}` since version 0.2.0.")


def new_names(function):
    """Decorates a function so that an argument under its old name is an error that has the new one.

    Example:

    >>> @new_names
    ... def train(jit_compile=True):
    ...     pass
    >>> train(jit=False)
    Traceback (most recent call last):
    TypeError: `jit` is `jit_compile` since version 0.2.0.
    """
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*args, **kwargs):
        refuse_renamed(kwargs, known)
        return function(*args, **kwargs)

    return checked
