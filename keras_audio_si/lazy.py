"""Lazy imports of public names."""

import importlib


def lazy_names(package, modules):
    """Returns `__getattr__`, `__dir__` and `__all__` of a package that imports its public names on first use.

    Args:
        package: Name of the package, its `__name__`.
        modules: Dict from full or relative names of modules to the public names in them, a string with spaces.

    Returns:
        `(__getattr__, __dir__, __all__)` of the package.

    Example:

    >>> __getattr__, __dir__, __all__ = lazy_names("keras_audio_si.training", {"settings": "TrainingSettings"})
    >>> __all__, __getattr__("TrainingSettings").__name__
    (['TrainingSettings'], 'TrainingSettings')
    """
    places = {name: f"{package}.{module}" for module, names in modules.items() for name in names.split()}

    def __getattr__(name):
        if name in places:
            return getattr(importlib.import_module(places[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__():
        return sorted(places)

    return __getattr__, __dir__, sorted(places)
