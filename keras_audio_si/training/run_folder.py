"""The folder of a run: refusal to overwrite, removal."""

import pathlib
import shutil

from keras_audio_si.files import writing

CHECKPOINTS = "checkpoints"
BEST_MODEL = "model.keras"

_RUN_FILES = (BEST_MODEL, "log.csv", "settings.json")
_RUN_FOLDERS = ("tensorboard", CHECKPOINTS)
# What is measured and drawn after a training or beside it, by callbacks and `experiments`.
_RESULT_FILES = ("clips.csv", "model_card.md", "confusion.csv", "confusion.md", "scores.npz", "scores.gif")
_RESULT_FOLDERS = ("pictures",)
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
    """Removes the files of a run, with its results if it has come to a checkpoint, and leaves others alone."""
    folder = pathlib.Path(folder)
    # Without a checkpoint or a model, a file such as clips.csv is not of a run. The model goes after what speaks of it.
    results = has_run(folder)
    with writing(folder):
        for name in (*(_RESULT_FILES if results else ()), *_RUN_FILES):
            (folder / name).unlink(missing_ok=True)
        for name in (*(_RESULT_FOLDERS if results else ()), *_RUN_FOLDERS):
            if (folder / name).exists():
                shutil.rmtree(folder / name)
