"""Checks of arguments, whose errors name the argument, what was expected and what came."""


def check_positive(**values):
    """Raise a ValueError that names the first of the arguments that is not positive."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"`{name}` must be positive. Received {value}.")


def check_choice(name, value, choices):
    """Raise a ValueError that lists the choices if `value` is none of them."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}. Received {value!r}.")
