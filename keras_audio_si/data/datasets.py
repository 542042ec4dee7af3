"""Readers of data set layouts: from a folder to a `Manifest`."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from keras_audio_si.checks import check_choice, nearest
from keras_audio_si.data import audioset
from keras_audio_si.data.audio_files import audio_below
from keras_audio_si.data.manifest import Clip, Manifest, read_rows
from keras_audio_si.data.nsynth import FOLDERS, TABLE, read_nsynth
from keras_audio_si.data.prepared import MANIFEST_FILE, UNFINISHED, is_prepared, is_unfinished, read_prepared
from keras_audio_si.data.speech_commands import LISTS, read_speech_commands
from keras_audio_si.data.text_files import read_json, read_text

ESC50_TABLE = pathlib.Path("meta", "esc50.csv")
URBANSOUND8K_TABLE = pathlib.Path("metadata", "UrbanSound8K.csv")
FSD50K_TABLES = pathlib.Path("FSD50K.ground_truth")


def read_esc50(root):
    """Reads ESC-50: `meta/esc50.csv` and `audio/`.

    Args:
        root: Folder of the data set, or of a part of it such as ESC-10.

    Returns:
        A `Manifest` with the official folds; classes are in the order of the `target` column, and `group` is
        the recording that a clip was cut from.

    Raises:
        ValueError: If the table lacks a column.

    Reference:
        K. J. Piczak, "ESC: Dataset for environmental sound classification", 2015.
    """
    columns = {"name": "filename", "label": "category", "target": "target", "group": "src_file"}
    return _read_folds(root, ESC50_TABLE, columns, audio="audio/{name}")


def read_urbansound8k(root):
    """Reads UrbanSound8K: `metadata/UrbanSound8K.csv` and `audio/fold1/` to `audio/fold10/`.

    Args:
        root: Folder of the data set.

    Returns:
        A `Manifest` with the official folds; classes are in the order of `classID`, and `group` is the Freesound
        recording that a clip was cut from (`fsID`).

    Raises:
        ValueError: If the table lacks a column, or a fold or a class is not a number.

    Reference:
        J. Salamon et al., "A dataset and taxonomy for urban sound research", 2014.
    """
    columns = {"name": "slice_file_name", "label": "class", "target": "classID", "group": "fsID"}
    return _read_folds(root, URBANSOUND8K_TABLE, columns, audio="audio/fold{fold}/{name}")


def _read_folds(root, table, columns, audio):
    """Reads a table with a row per clip of one class, which is divided into folds."""
    root = pathlib.Path(root)
    clips, target = [], {}
    for line, row in read_rows(root / table, ("fold", *columns.values())):
        values = {name: row[column] for name, column in columns.items()}
        try:
            fold, target[values["label"]] = int(row["fold"]), int(values["target"])
        except ValueError:
            raise ValueError(
                f"{root / table}, line {line}: `fold` and `{columns['target']}` must be whole numbers. "
                f"Received: {row['fold']!r} and {values['target']!r}"
            ) from None
        path = audio.format(fold=fold, name=values["name"])
        clips.append(Clip(path, (values["label"],), fold=fold, clip_id=values["name"], group=values["group"]))
    return Manifest(clips, sorted(target, key=target.get), root)


def read_fsd50k(root):
    """Reads FSD50K: `FSD50K.ground_truth/`, `FSD50K.dev_audio/`, `FSD50K.eval_audio/`, perhaps `FSD50K.metadata/`.

    Args:
        root: Folder that holds these folders.

    Returns:
        A `Manifest`: the published splits as "train", "val" and "test" (the eval set), the classes in the order of
        `vocabulary.csv`, and as `group` the uploader of a clip, where `FSD50K.metadata` names it. Every clip is an
        upload of its own, so without the metadata there are no groups.

    Raises:
        ValueError: If a table lacks a column, a label is not in the vocabulary, or the audio is not there.

    Reference:
        E. Fonseca et al., "FSD50K: an open dataset of human-labeled sound events", 2022.
    """
    root = pathlib.Path(root)
    vocabulary = root / FSD50K_TABLES / "vocabulary.csv"
    class_names = _read_vocabulary(vocabulary)
    clips = []
    for part, columns in (("dev", ("fname", "labels", "split")), ("eval", ("fname", "labels"))):
        table = root / FSD50K_TABLES / f"{part}.csv"
        audio = f"FSD50K.{part}_audio"
        if not (root / audio).is_dir():
            raise ValueError(f"{root} lacks the folder {audio} with the clips of {table.name}.")
        uploaders = _read_uploaders(root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json")
        for line, row in read_rows(table, columns):
            labels = tuple(row["labels"].split(",")) if row["labels"] else ()
            for label in set(labels) - set(class_names):
                raise ValueError(
                    f"{table}, line {line}: {label!r} is not in {vocabulary.name}{nearest(label, class_names)}"
                )
            split = row["split"] if part == "dev" else "test"
            if part == "dev" and split not in ("train", "val"):
                raise ValueError(f"{table}, line {line}: `split` must be 'train' or 'val'. Received: split={split!r}")
            name = row["fname"]
            group = uploaders.get(name, "")
            clips.append(Clip(f"{audio}/{name}.wav", labels, split, clip_id=name, group=group))
    return Manifest(clips, class_names, root)


def _read_vocabulary(path):
    """Names of the classes, from rows `number,name,mid` without a header."""
    rows = [line.split(",") for line in read_text(path).splitlines() if line.strip()]
    numbers = [row[0].strip() for row in rows]
    if not rows or numbers != [str(number) for number in range(len(rows))] or min(map(len, rows)) < 2:
        raise ValueError(f"{path} must have rows `number,name,mid`, numbered from 0 and without a header.")
    return tuple(row[1].strip() for row in rows)


def _read_uploaders(path):
    """The uploader of each clip; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        return {clip: str(info["uploader"]) for clip, info in read_json(path).items()}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} must hold the `uploader` of each clip. Reading it failed: {error!r}") from error


def read_class_folders(root):
    """Reads a folder per class, `root/class/*`, or a folder per split and class, `root/split/class/*`.

    Folders whose names begin with "." or "_" and files that are not audio by their suffix are passed over. Links to
    folders of these two levels are followed, except to a folder that they lie in.

    Args:
        root: Folder of the data set.

    Returns:
        A `Manifest` whose classes are the names of the folders, sorted.

    Raises:
        ValueError: If there is no audio, audio lies at more than one depth, or a folder cannot be read.
    """
    root = pathlib.Path(root)
    by_depth = {}
    for parts in audio_below(root, _may_hold_classes):
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


def _may_hold_classes(folder, depth):
    return not folder.name.startswith((".", "_")) and (depth < 2 or not folder.is_symlink())


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


def _audioset_layout(*parts):
    tables = [audioset.CLASSES, *(audioset.SEGMENTS[part] for part in parts)]
    return Layout(
        matches=lambda path: all((path / table).is_file() for table in tables),
        read=lambda path: audioset.read_audioset(path, parts),
    )


LAYOUTS = {  # In this order "auto" tries them: class folders match every folder.
    "prepared": Layout(matches=is_prepared, read=read_prepared),
    "manifest": Layout(
        matches=lambda path: _manifest_file(path).suffix == ".csv" and _manifest_file(path).is_file(),
        read=lambda path: Manifest.read(_manifest_file(path)),
    ),
    "esc50": Layout(matches=lambda path: (path / ESC50_TABLE).is_file(), read=read_esc50),
    "fsd50k": Layout(matches=lambda path: (path / FSD50K_TABLES).is_dir(), read=read_fsd50k),
    "urbansound8k": Layout(matches=lambda path: (path / URBANSOUND8K_TABLE).is_file(), read=read_urbansound8k),
    "speech_commands": Layout(
        matches=lambda path: any((path / name).is_file() for name in LISTS.values()), read=read_speech_commands
    ),
    "nsynth": Layout(
        matches=lambda path: any((path / folder / TABLE).is_file() for folder in FOLDERS.values()), read=read_nsynth
    ),
    "audioset": _audioset_layout("balanced", "unbalanced"),
    "audioset_balanced": _audioset_layout("balanced"),
    "audioset_unbalanced": _audioset_layout("unbalanced"),
    "class_folders": Layout(matches=pathlib.Path.is_dir, read=read_class_folders),
}


def read_dataset(root, layout="auto"):
    """Reads a data set in any known layout.

    Args:
        root: Folder of the data set, or the path of a manifest's CSV file.
        layout: "prepared" (by `prepare`), "manifest" (a CSV file, or a folder with `manifest.csv`), "esc50", "fsd50k",
            "urbansound8k", "speech_commands", "nsynth", "audioset" (trains on the balanced and the unbalanced
            segments), "audioset_balanced", "audioset_unbalanced", "class_folders", or "auto" for the first of these
            that fits.

    Returns:
        A `Manifest`.

    Raises:
        ValueError: If the layout is unknown, nothing is at `root`, it does not have that layout, or `prepare` has not
            finished there.

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
    check_choice("layout", layout, ("auto", *LAYOUTS))
    if not root.exists():
        raise ValueError(f"`root` must be the folder of a data set or a manifest file. Nothing is at: {root}")
    if layout in ("auto", "prepared") and is_unfinished(root):
        raise ValueError(f"{root} {UNFINISHED}.")
    if layout == "auto":
        layout = next((name for name, known in LAYOUTS.items() if known.matches(root)), None)
        if layout is None:
            raise ValueError(f"`root` must be a folder or a .csv file. Received: root={str(root)!r}")
    if not LAYOUTS[layout].matches(root):
        fitting = ", ".join(repr(name) for name, known in LAYOUTS.items() if known.matches(root))
        raise ValueError(f"{root} does not have the layout {layout!r}. It could be read as: {fitting or 'none'}")
    try:
        return LAYOUTS[layout].read(root)
    except ValueError as error:
        if str(root) in str(error):
            raise
        raise ValueError(f"{root}: {error}") from None
