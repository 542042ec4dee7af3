"""Readers of the on-disk layouts of data sets: a folder in, a `Manifest` out."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from keras_audio_si.data.manifest import Clip, Manifest, read_rows

MANIFEST_FILE = "manifest.csv"
ESC50_TABLE = pathlib.Path("meta", "esc50.csv")
AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"}
)


def read_esc50(root):
    """Reads ESC-50: `meta/esc50.csv` and `audio/`.

    Args:
        root: Folder of the data set, or of a part of it such as ESC-10.

    Returns:
        A `Manifest` with the official folds; classes are in the order of the `target` column, and `group` is
        the recording that a clip was cut from.

    Raises:
        ValueError: If the table lacks a column.

    Reference: K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015.
    """
    root = pathlib.Path(root)
    table = read_rows(root / ESC50_TABLE, ("filename", "fold", "target", "category", "src_file"))
    clips = [
        Clip(
            path=f"audio/{row['filename']}",
            labels=(row["category"],),
            fold=int(row["fold"]),
            clip_id=row["filename"],
            group=row["src_file"],
        )
        for _, row in table
    ]
    target = {row["category"]: int(row["target"]) for _, row in table}
    return Manifest(clips, sorted(target, key=target.get), root)


def read_class_folders(root):
    """Reads a folder per class, `root/class/*`, or a folder per split and class, `root/split/class/*`.

    Folders whose names begin with "." or "_" and files that are not audio by their suffix are passed over.

    Args:
        root: Folder of the data set.

    Returns:
        A `Manifest` whose classes are the names of the folders, sorted.

    Raises:
        ValueError: If there is no audio, or audio lies at more than one depth.
    """
    root = pathlib.Path(root)
    by_depth = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith((".", "_")) for part in parts[:-1])
        if path.suffix.lower() in AUDIO_SUFFIXES and not hidden and not parts[-1].startswith("."):
            by_depth.setdefault(len(parts) - 1, []).append(parts)
    if set(by_depth) not in ({1}, {2}):
        example = {depth: "/".join(found[0]) for depth, found in sorted(by_depth.items())}
        raise ValueError(
            f"{root} must have its audio files in `class/` or in `split/class/`, all at one depth. "
            f"Found: {', '.join(example.values()) if example else 'no audio files'}"
        )
    ((depth, found),) = by_depth.items()
    splits = depth == 2
    clips = [Clip("/".join(parts), (parts[-2],), split=parts[0] if splits else "") for parts in found]
    return Manifest(clips, root=root)


class Layout(NamedTuple):
    """One layout: how to tell it from a path, and how to read it.

    Args:
        matches: Function of a path, whether it has this layout.
        read: Function of a path that returns a `Manifest`.
    """

    matches: Callable
    read: Callable


def _manifest_file(path):
    return path / MANIFEST_FILE if path.is_dir() else path


LAYOUTS = {  # In this order "auto" tries them: class folders match every folder.
    "manifest": Layout(
        matches=lambda path: _manifest_file(path).suffix == ".csv" and _manifest_file(path).is_file(),
        read=lambda path: Manifest.read(_manifest_file(path)),
    ),
    "esc50": Layout(matches=lambda path: (path / ESC50_TABLE).is_file(), read=read_esc50),
    "class_folders": Layout(matches=pathlib.Path.is_dir, read=read_class_folders),
}


def read_dataset(root, layout="auto"):
    """Reads a data set in any known layout.

    Args:
        root: Folder of the data set, or the path of a manifest's CSV file.
        layout: "manifest" (a CSV file, or a folder with `manifest.csv`), "esc50", "class_folders", or "auto"
            for the first of these that fits.

    Returns:
        A `Manifest`.

    Raises:
        ValueError: If the layout is unknown, or nothing is at `root`.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_audio_si.data.datasets import read_dataset
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("dog", "rain"):
    ...         pathlib.Path(root, name).mkdir()
    ...         pathlib.Path(root, name, "1.wav").touch()
    ...     manifest = read_dataset(root)
    >>> manifest.class_names
    ('dog', 'rain')
    """
    root = pathlib.Path(root)
    if layout != "auto" and layout not in LAYOUTS:
        raise ValueError(
            f"`layout` must be 'auto' or one of {', '.join(map(repr, LAYOUTS))}. Received: layout={layout!r}"
        )
    if not root.exists():
        raise ValueError(f"`root` must be the folder of a data set or a manifest file. Nothing is at: {root}")
    if layout == "auto":
        layout = next((name for name, known in LAYOUTS.items() if known.matches(root)), None)
        if layout is None:
            raise ValueError(f"`root` must be a folder or a .csv file. Received: {root}")
    return LAYOUTS[layout].read(root)
