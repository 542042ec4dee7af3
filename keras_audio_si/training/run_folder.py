"""The folder of a run: refusal to overwrite, removal."""

import pathlib
import shutil

from keras_audio_si.files import writing

CHECKPOINTS = "checkpoints"
BEST_MODEL = "model.keras"

_RUN_FILES = (BEST_MODEL, "log.csv", "settings.json")
_RUN_FOLDERS = ("tensorboard", CHECKPOINTS)
_CONTINUE = "Continue it with resume=True (--resume)"
_REPLACE = "replace it with overwrite=True (--overwrite)"


def has_run(folder):
    """Whether a folder holds a run that overwriting would lose: a checkpoint or a model."""
    folder = pathlib.Path(folder)
    return (folder / BEST_MODEL).exists() or any(folder.glob(f"{CHECKPOINTS}/epoch-*.npz"))


def refuse_existing(folder):
    """Raises a `FileExistsError` that says what can be done if a folder holds a run."""
    if has_run(folder):
        raise FileExistsError(f"{str(folder)!r} has a run in it. {_CONTINUE}, {_REPLACE}, or choose another folder.")


def clear(folder):
    """Removes the files of a run from its folder, and leaves others alone."""
    folder = pathlib.Path(folder)
    with writing(folder):
        for name in _RUN_FILES:
            (folder / name).unlink(missing_ok=True)
        for name in _RUN_FOLDERS:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
