"""The scores of clips as a CSV file."""

import csv

import numpy as np

from keras_audio_si.evaluation.clips import ClipScores
from keras_audio_si.files import plain_text, write_csv

CLIPS = "clips.csv"


def write_clips(clips, path):
    """Writes a line per clip: the clip, its group, `target <class>` and `score <class>` of every class.

    Args:
        clips: `ClipScores`
        path: Path of the file. Scores have 9 digits, which tell float32 numbers apart.

    Returns:
        The path.
    """
    names = clips.class_names
    columns = ["clip", "group", *(f"target {name}" for name in names), *(f"score {name}" for name in names)]
    groups = clips.groups or ("",) * len(clips.clip_ids)
    targets = (np.asarray(clips.targets) > 0.5).astype(int).tolist()
    rows = (
        [clip_id, group, *target, *(float(f"{score:.9g}") for score in scores)]
        for clip_id, group, target, scores in zip(clips.clip_ids, groups, targets, clips.scores.tolist(), strict=True)
    )
    return write_csv(path, columns, rows)


def read_clips(path):
    """Reads what `write_clips` has written.

    Args:
        path: Path of the file.

    Returns:
        `ClipScores`

    Raises:
        ValueError: If the file has not these columns, no rows, a clip twice, or a cell that is no number.
    """
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        columns, *rows = [line for line in csv.reader(file) if line] or [[]]
    columns = list(map(plain_text, columns))
    count = (len(columns) - 2) // 2
    names = tuple(name.removeprefix("target ") for name in columns[2 : 2 + count])
    expected = ["clip", "group", *(f"target {name}" for name in names), *(f"score {name}" for name in names)]
    if columns != expected or not names or not rows or any(len(row) != len(columns) for row in rows):
        raise ValueError(
            f"{path} must have the columns 'clip', 'group', 'target <class>' and 'score <class>' of every class, and "
            f"rows. Received: {len(rows)} rows of {', '.join(map(repr, columns[:3]))} ..."
        )
    ids, groups = (tuple(plain_text(row[column]) for row in rows) for column in (0, 1))
    if len(set(ids)) < len(ids):
        raise ValueError(f"{path} has a clip twice: {next(name for name in ids if ids.count(name) > 1)!r}")
    try:
        values = np.array([row[2:] for row in rows], "float64")
    except ValueError as error:
        raise ValueError(f"{path} must have a number in every cell behind the group: {error}") from None
    return ClipScores(ids, values[:, count:], values[:, :count].astype("float32"), names, groups)
