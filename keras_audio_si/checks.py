"""Checks of arguments, with errors that name the argument, the expected and the received value."""

import difflib
import functools
import inspect
import numbers

# Names that were renamed in 0.2.0: an old name raises an error that names the new one.
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
            raise ValueError(f"`{name}` must be positive. Received: {name}={value!r}")


def check_integer(minimum, **values):
    """Raises a `ValueError` that names the first of the arguments that is no integer of at least `minimum`."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}")


def check_interval(interval, **values):
    """Raises a `ValueError` that names the first of the arguments that is outside of an interval.

    Args:
        interval: Such as "(0, 1]" or "[0, inf)"; parentheses leave the bound out.
        **values: The arguments.

    Example:

    >>> check_interval("(0, 1]", decay_factor=0.0)
    Traceback (most recent call last):
    ValueError: `decay_factor` must be in (0, 1]. Received: decay_factor=0.0
    """
    low, high = map(float, interval[1:-1].split(","))
    for name, value in values.items():
        inside = isinstance(value, numbers.Real) and low <= value <= high
        if not inside or (value == low and interval[0] == "(") or (value == high and interval[-1] == ")"):
            raise ValueError(f"`{name}` must be in {interval}. Received: {name}={value!r}")


def check_choice(name, value, choices):
    """Raises a `ValueError` that lists the choices and names the nearest if `value` is none of them."""
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}{nearest(value, choices)}")


def check_choices(name, values, choices):
    """Raises a `ValueError` that lists the choices unless `values` are some of them, at least one."""
    unknown = [value for value in values if value not in choices]
    if unknown or not values:
        known, near = ", ".join(map(repr, choices)), nearest(unknown[0], choices) if unknown else ""
        raise ValueError(f"`{name}` must be some of {known}. Received: {name}={values!r}{near}")


def check_matplotlib():
    """Raises an ImportError that says what to install if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("Figures need matplotlib: pip install 'keras-audio-si[plots]'.") from error


def nearest(value, known):
    """Returns the end of a message, which has the nearest of the known names, or nothing if none is near.

    What is known and no text, such as None, is not named.

    Example:

    >>> "Received: 'dgo'" + nearest("dgo", ("dog", "rain"))
    "Received: 'dgo'. Did you mean 'dog'?"
    """
    near = difflib.get_close_matches(str(value), [name for name in known if isinstance(name, str)], n=1)
    return f". Did you mean {near[0]!r}?" if near else ""


def listed(names, limit=3):
    """Returns the first names for a message, and how many more there are.

    Example:

    >>> listed(["a.wav", "b.wav", "c.wav"], limit=2)
    "'a.wav', 'b.wav' and 1 more"
    >>> listed([])
    'none'
    """
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more if names else "none"


def refuse_renamed(names, known=()):
    """Raises a `TypeError` that names the new argument if one of the names is an old one."""
    for name in names:
        if name in RENAMED and name not in known:
            raise TypeError(f"`{name}` is `{RENAMED[name]}` since version 0.2.0.")


def new_names(function):
    """Decorates a function so that an argument under its old name raises an error that names the new one.

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
