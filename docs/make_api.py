"""Writes docs/api.md: the public names of the package by module, with the first lines of their docstrings.

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
HEADER = """# Public names

The public names of each module, written by `make docs` from the docstrings. The docstrings, for example
`help(keras_audio_si.layers.AntiAliasPool)`, describe arguments, units, shapes and errors and have an example. All other
names are private and may change without notice.
"""


def public_names():
    """Dict from the modules to their public objects by name."""
    modules = {module: importlib.import_module(f"keras_audio_si.{module}") for module in keras_audio_si.__all__}
    return {name: {public: getattr(module, public) for public in module.__all__} for name, module in modules.items()}


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
    for package, names in public_names().items():
        module = importlib.import_module(f"keras_audio_si.{package}")
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
