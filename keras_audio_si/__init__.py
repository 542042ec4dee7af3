"""Audio classification for Keras 3, on TensorFlow, JAX and PyTorch.

Importing the package registers its layers, metrics and models, so that `keras.models.load_model` finds them. The other
subpackages (`data`, `training`, `evaluation`, ...) are imported when they are used.
"""

import importlib
import os
import sys

__version__ = "0.3.0.dev0"

_ROOMS = (
    "callbacks",
    "data",
    "distribution",
    "evaluation",
    "experiments",
    "export",
    "inference",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "training",
)

__all__ = [*_ROOMS]


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ROOMS])


# Read when TensorFlow is imported, which has oneDNN on by default on some processors only. On others training takes up
# to 2.3 times as long without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# The command, also as `python -m keras_audio_si`, does not import Keras for `--help`, nor before `--backend` is read;
# commands that need the layers import them.
_program = os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0]
_as_module = _program == "-m" and "-m keras_audio_si" in " ".join(sys.orig_argv)
if _program != "keras-audio-si" and not _as_module:
    from keras_audio_si import layers, metrics, models  # noqa: F401
