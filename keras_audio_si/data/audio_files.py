"""Audio files below a folder, found by their suffix."""

import os
import pathlib

from keras_audio_si.data.audio_io import AUDIO_SUFFIXES


def audio_below(root, entered=lambda folder, depth: True):
    """Finds the audio files below a folder.

    Links to folders are followed, except to a folder that they lie in. Files whose names begin with "." do not count.

    Args:
        root: Path of the folder.
        entered: Function of the path of a folder and of the number of folders between it and the root, whether to look
            into it.

    Returns:
        Sorted list of the names from the root to each file: tuples, the last name that of the file.

    Raises:
        ValueError: If a folder cannot be read; the message names it.

    Example:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     pathlib.Path(root, "dog").mkdir()
    ...     pathlib.Path(root, "dog", "1.wav").touch()
    ...     audio_below(root)
    [('dog', '1.wav')]
    """
    root = pathlib.Path(root)

    def refuse(error):
        raise ValueError(
            f"{error.filename} is a folder that cannot be read ({error.strerror}): change its permissions, or move it "
            f"out of {root}."
        ) from error

    found = []
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        folder = pathlib.Path(folder)
        parts = folder.relative_to(root).parts
        inside = [folder / name for name in folders]
        folders[:] = [path.name for path in inside if entered(path, len(parts)) and not _leads_back(path, root)]
        names = [name for name in files if pathlib.Path(name).suffix.lower() in AUDIO_SUFFIXES]
        found += [(*parts, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _leads_back(path, root):
    """Whether a folder is a link to one on the way to it from the root, or to one that holds such a one."""
    if not path.is_symlink():
        return False
    target, way = path.resolve(), path.parents[: len(path.relative_to(root).parts)]
    return any(folder.resolve().is_relative_to(target) for folder in way)
