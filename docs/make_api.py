"""Writes docs/api.md: every public class and function of the package, by module, from the docstrings.

    python docs/make_api.py            writes the file
    python docs/make_api.py --check    fails if the file is not up to date

A public name without a docstring is an error.
"""

import importlib
import inspect
import pathlib
import pkgutil
import sys

import keras_audio_si

TARGET = pathlib.Path(__file__).with_name("api.md")
HEADER = """# API reference

Written by `make docs` from the docstrings, which have the arguments, units, shapes, errors and an example:
`help(keras_audio_si.layers.AntiAliasPool)`. Layers and models can be imported from `keras_audio_si.layers` and
`keras_audio_si.models`, everything else from its module.
"""


def public_modules():
    """The modules of the package that define something public, in the order of the data's flow."""
    rooms = ("data", "ops", "layers", "models", "metrics", "training", "evaluation")
    names = [info.name for info in pkgutil.walk_packages(keras_audio_si.__path__, "keras_audio_si.")]
    rank = {room: number for number, room in enumerate(rooms)}
    names = [name for name in names if not name.startswith(("keras_audio_si.__main__", "keras_audio_si.cli"))]
    for name in sorted(names, key=lambda name: rank.get(name.split(".")[1], len(rooms))):
        module = importlib.import_module(name)
        if public_objects(module):
            yield module


def public_objects(module):
    """The public classes and functions that a module defines, in the order of its source."""
    found = [
        value
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and value.__module__ == module.__name__
    ]
    return sorted(found, key=lambda value: inspect.getsourcelines(inspect.unwrap(value))[1])


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
    for module in public_modules():
        first, _, _ = module.__doc__.partition("\n\n")
        parts.append(f"## {module.__name__}\n\n{' '.join(first.split())}\n")
        parts += [f"- `{signature(thing)}`: {summary(thing)}" for thing in public_objects(module)]
        parts[-1] += "\n"
    return "\n".join(parts)


def main():
    text = reference()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{TARGET} is not up to date: run `make docs`.")


if __name__ == "__main__":
    main()
