"""Manifests: lists of clips with labels, splits and folds, kept as CSV files."""

import csv
import dataclasses
import numbers
import os
import pathlib
import unicodedata

import numpy as np

from keras_audio_si.checks import listed
from keras_audio_si.files import plain_text, write_csv

COLUMNS = ("path", "labels", "split", "fold", "clip_id", "group")
REQUIRED_COLUMNS = ("path", "labels")
LABEL_SEPARATOR = ";"


@dataclasses.dataclass(frozen=True)
class Clip:
    """One audio file with its labels, split, fold and group.

    Args:
        path: Path of the file, relative to the manifest's root (or absolute).
        labels: Names of the clip's classes, kept in Unicode's composed form (NFC), unlike names of folders made on
            macOS; empty if it has none.
        split: Name of the split, such as "train", "val" or "test"; empty if there are none.
        fold: Number of the cross-validation fold; None if there are none.
        clip_id: Name of the clip, unique in its manifest; the path if empty.
        group: What must not be divided between train and test (a recording, a speaker); empty if unknown.
    """

    path: str
    labels: tuple[str, ...] = ()
    split: str = ""
    fold: int | None = None
    clip_id: str = ""
    group: str = ""

    def __post_init__(self):
        if isinstance(self.labels, str):
            raise TypeError(f"`labels` must be a tuple of names. Received: labels={self.labels!r} of {self.path}")
        object.__setattr__(self, "labels", _composed(self.labels))
        object.__setattr__(self, "clip_id", self.clip_id or self.path)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Clips, the classes of their labels, and the folder that their paths start from.

    Args:
        clips: The `Clip`s.
        class_names: Names of all classes in the order of the model's outputs. If None, the labels that occur,
            sorted.
        root: Folder that relative paths start from.

    Raises:
        ValueError: If there are no clips, an id occurs twice, or a label is not among `class_names`.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> clips = [Clip("a.wav", ("dog",), split="train"), Clip("b.wav", ("dog", "rain"), split="test")]
    >>> manifest = Manifest(clips)
    >>> manifest.class_names
    ('dog', 'rain')
    >>> manifest.label_matrix().tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    >>> len(manifest.select(split="test"))
    1
    """

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...] | None = None
    root: pathlib.Path = pathlib.Path(".")

    def __post_init__(self):
        clips = tuple(self.clips)
        if not clips:
            raise ValueError("A manifest needs at least one clip. Received: none")
        occurring = sorted({label for clip in clips for label in clip.labels})
        class_names = tuple(occurring if self.class_names is None else _composed(self.class_names))
        _reject_repeated("`class_names`", class_names)
        _reject_repeated("`clip_id`", [clip.clip_id for clip in clips])
        for clip in clips:
            _reject_repeated(f"labels of clip {clip.clip_id!r}", clip.labels)
        unknown = [label for label in occurring if label not in class_names]
        if unknown:
            raise ValueError(
                f"Labels that are not in `class_names`: {listed(unknown, 10)}. Known: {listed(class_names, 10)}"
            )
        object.__setattr__(self, "clips", clips)
        object.__setattr__(self, "class_names", class_names)
        object.__setattr__(self, "root", pathlib.Path(self.root))

    def __len__(self):
        return len(self.clips)

    def paths(self):
        """Paths of the audio files, root included, in the order of the clips."""
        return [self.root / clip.path for clip in self.clips]

    def label_matrix(self):
        """Labels as a `(num_clips, num_classes)` float32 multi-hot array."""
        column = {name: index for index, name in enumerate(self.class_names)}
        matrix = np.zeros((len(self.clips), len(self.class_names)), "float32")
        for row, clip in zip(matrix, self.clips, strict=True):
            row[[column[label] for label in clip.labels]] = 1.0
        return matrix

    def select(self, split=None, folds=None):
        """Clips of a split, of some folds, or of both, with all the classes of this manifest.

        Args:
            split: Name of a split; None for any.
            folds: Numbers of folds (or one number); None for any.

        Returns:
            A `Manifest`.

        Raises:
            ValueError: If no clip is left.
        """
        return self.subset(self.indices(split, folds))

    def indices(self, split=None, folds=None):
        """Numbers of the clips that `select` keeps."""
        folds = None if folds is None else {folds} if isinstance(folds, numbers.Integral) else set(folds)
        kept = [
            index
            for index, clip in enumerate(self.clips)
            if (split is None or clip.split == split) and (folds is None or clip.fold in folds)
        ]
        if not kept:
            raise ValueError(
                f"No clip has split={split!r}, folds={sorted(folds) if folds is not None else None}. "
                f"Splits here: {listed(sorted({clip.split for clip in self.clips}), 10)}; "
                f"folds here: {sorted({clip.fold for clip in self.clips if clip.fold is not None})}"
            )
        return kept

    def subset(self, indices):
        """Clips by number, in the order of `indices`, with all the classes of this manifest."""
        return dataclasses.replace(self, clips=tuple(self.clips[index] for index in indices))

    def check_writable(self):
        """Raises a `ValueError` if a label would not come back from the file that `write` writes.

        It may not contain the separator ";", be empty, or begin or end with a space.
        """
        for label in sorted({label for clip in self.clips for label in clip.labels}):
            if LABEL_SEPARATOR in label:
                raise ValueError(f"Label {label!r} contains {LABEL_SEPARATOR!r}, which separates labels: rename it.")
            if label != label.strip() or not label:
                raise ValueError(f"Label {label!r} is empty, or begins or ends with a space: rename it.")

    def write(self, path):
        """Writes a CSV file, with paths relative to its folder where they lie in it and absolute elsewhere.

        It is UTF-8 even if names of files are not: `read` takes the bytes of these from text such as `\\udcff`.

        Args:
            path: Path of the file to write.

        Raises:
            ValueError: If a label contains the separator ";", is empty, or begins or ends with a space.
        """
        self.check_writable()
        path = pathlib.Path(path)
        folder = path.parent.resolve()
        rows = []
        for clip, audio in zip(self.clips, self.paths(), strict=True):
            audio = pathlib.Path(os.path.abspath(audio))
            written = audio.relative_to(folder) if audio.is_relative_to(folder) else audio
            fold = "" if clip.fold is None else clip.fold
            labels = LABEL_SEPARATOR.join(clip.labels)
            rows.append([written.as_posix(), labels, clip.split, fold, clip.clip_id, clip.group])
        write_csv(path, COLUMNS, rows)

    @classmethod
    def read(cls, path, class_names=None):
        """Reads a CSV file with the columns `path,labels` and, optionally, `split,fold,clip_id,group`.

        Args:
            path: Path of the file. Relative paths in it start from its folder. Labels are separated by ";". Spaces
                around labels, splits and groups do not count.
            class_names: Names of all classes, in order. If None, the labels that occur, sorted.

        Returns:
            A `Manifest`.

        Raises:
            ValueError: If a column is missing, a fold is not a number, or the clips do not make a manifest.
        """
        path = pathlib.Path(path)
        clips = []
        for line, row in read_rows(path, REQUIRED_COLUMNS):
            fold = row.get("fold") or None
            try:
                fold = fold and int(fold)
            except ValueError:
                raise ValueError(
                    f"{path}, line {line}: `fold` must be a whole number. Received: fold={fold!r}"
                ) from None
            if not row["path"]:
                raise ValueError(f"{path}, line {line}: `path` is empty.")
            row = {name: plain_text(row.get(name) or "") for name in COLUMNS}
            labels = tuple(label.strip() for label in row["labels"].split(LABEL_SEPARATOR) if label.strip())
            split, group = row["split"].strip(), row["group"].strip()
            clips.append(Clip(row["path"], labels, split, fold, row["clip_id"], group))
        try:
            return cls(clips, class_names, path.parent)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def read_rows(path, required_columns, errors="strict"):
    """Reads a CSV file that must have some columns.

    Args:
        path: Path of the file.
        required_columns: Names of columns.
        errors: What becomes of bytes that are not UTF-8, as of `open`.

    Returns:
        List of `(line number, {column: text})`.

    Raises:
        ValueError: If the file is no CSV file in UTF-8, a required column is missing, a row ends before one or
            has values beyond the last, or there are no rows.
    """
    with open(path, newline="", encoding="utf-8-sig", errors=errors) as file:
        reader = csv.DictReader(file)
        try:
            columns = reader.fieldnames or []
            missing = [name for name in required_columns if name not in columns]
            if missing:
                raise ValueError(f"{path} lacks the columns {listed(missing, 10)}. It has: {listed(columns, 10)}")
            rows = [(reader.line_num, row) for row in reader]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text in UTF-8 (byte {error.start}): save it as CSV UTF-8.") from None
        except csv.Error as error:
            raise ValueError(f"{path} is not a CSV file: {error}") from None
    for line, row in rows:
        if any(row[name] is None for name in required_columns) or None in row:
            raise ValueError(
                f"{path}, line {line}: expected {len(columns)} columns separated by commas; "
                "a value that has commas itself stands in double quotes."
            )
    if not rows:
        raise ValueError(f"{path} has no rows below its header.")
    return rows


def _composed(names):
    return tuple(unicodedata.normalize("NFC", name) if isinstance(name, str) else name for name in names)


def _reject_repeated(what, names):
    seen = set()
    repeated = sorted({name for name in names if name in seen or seen.add(name)})
    if repeated:
        raise ValueError(f"Each must occur once among the {what}. Occurring more than once: {listed(repeated, 10)}")
