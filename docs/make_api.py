"""Writes docs/api.md: the public names of the package by room, from the docstrings.

    python docs/make_api.py            writes the file
    python docs/make_api.py --check    fails if the file is not up to date

A public name without a docstring is an error.
"""

import importlib
import inspect
import pathlib
import sys

import keras_audio_si

TARGET = pathlib.Path(__file__).with_name("api.md")
HEADER = """# API reference

The public names by room, written by `make docs` from the docstrings, which have the arguments, units, shapes, errors
and an example: `help(keras_audio_si.layers.AntiAliasPool)`. Everything else is private and free to change.
"""


def public_names():
    """Dict from the rooms to their public objects by name."""
    rooms = {room: importlib.import_module(f"keras_audio_si.{room}") for room in keras_audio_si.__all__}
    return {room: {name: getattr(module, name) for name in module.__all__} for room, module in rooms.items()}


def summary(thing):
    """The first paragraph of a docstring, in one line."""
    text = inspect.getdoc(thing) if thing.__doc__ else None
    if not text:
        raise SystemExit(f"{thing.__module__}.{getattr(thing, '__qualname__', '')} has no docstring.")
    return " ".join(text.split("\n\n")[0].split())


def signature(thing):
    parameters = inspect.signature(thing).parameters.values()
    return f"{thing.__name__}({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"


def reference():
    parts = [HEADER]
    for room, names in public_names().items():
        module = importlib.import_module(f"keras_audio_si.{room}")
        first, _, _ = module.__doc__.partition("\n\n")
        lines = [_line(name, thing) for name, thing in names.items()]
        parts += [f"## {module.__name__}\n\n{' '.join(first.split())}\n", *lines]
        parts[-1] += "\n"
    return "\n".join(parts)


def _line(name, thing):
    if isinstance(thing, dict):
        return f"- `{name}`: dict by name of {', '.join(map(repr, thing))}"
    return f"- `{signature(thing)}`: {summary(thing)}"


def main():
    text = reference()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{TARGET} is not up to date: run `make docs`.")


if __name__ == "__main__":
    main()
