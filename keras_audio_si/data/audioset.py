"""Reader of AudioSet: lists of ten-second segments of videos, of which many are no longer available."""

import csv
import io
import pathlib

from keras_audio_si.checks import check_choices
from keras_audio_si.data.audio_files import audio_below
from keras_audio_si.data.manifest import Clip, Manifest, read_rows
from keras_audio_si.data.text_files import read_text

CLASSES = "class_labels_indices.csv"
SEGMENTS = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
_ID_LENGTH = 11  # Of every YouTube id.


def read_audioset(root, parts=("balanced", "unbalanced")):
    """Reads AudioSet: the published lists of segments, and audio files that carry the ids of their videos.

    A file belongs to a segment if its name begins with the id, with or without a leading "Y": `Y--PJHxphWEs.wav`,
    `--PJHxphWEs_30.000.flac`. Audio files may be anywhere below the folder, also behind links to folders. A segment
    without a file is kept in the manifest, so that `ClipCache` can report it.

    Args:
        root: Folder with `class_labels_indices.csv`, the lists and the audio.
        parts: What to train on, "balanced", "unbalanced" or both.

    Returns:
        A `Manifest`: the parts as "train", the eval segments as "test", the classes by their display names in the
        order of their indices.

    Raises:
        ValueError: If a list is missing or malformed, a label is unknown, a folder cannot be read, or there is no
            audio.

    Reference:
        J. Gemmeke et al., "Audio Set: an ontology and human-labeled dataset for audio events", 2017.
    """
    root = pathlib.Path(root)
    check_choices("parts", tuple(parts), ("balanced", "unbalanced"))
    class_names = _read_classes(root / CLASSES)
    segments = [
        (video, tuple(class_names[code] for code in codes), "test" if part == "eval" else "train")
        for part in (*parts, "eval")
        for video, codes in _read_segments(root / SEGMENTS[part], class_names)
    ]
    files = _audio_files(root, {video for video, _, _ in segments})
    if not files:
        raise ValueError(f"{root} has no audio file whose name begins with the id of a segment, such as Y<id>.wav.")
    clips = [
        Clip(files.get(video, f"audio/Y{video}.wav"), labels, split, clip_id=video) for video, labels, split in segments
    ]
    return Manifest(clips, tuple(class_names.values()), root)


def _read_classes(path):
    """Display names by code ("/m/09x0r"), in the order of the indices."""
    rows = read_rows(path, ("index", "mid", "display_name"))
    for number, (line, row) in enumerate(rows):
        if row["index"] != str(number):
            raise ValueError(f"{path}, line {line}: `index` must be {number}. Received: index={row['index']!r}")
    return {row["mid"]: row["display_name"] for _, row in rows}


def _read_segments(path, codes):
    """Yields the id and the codes of each segment."""
    if not path.is_file():
        raise ValueError(f"{path.parent} lacks {path.name}, one of the published lists of segments.")
    rows = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=True)
    try:
        for row in rows:
            if not row or row[0].startswith("#"):
                continue
            if len(row) != 4 or len(row[0]) != _ID_LENGTH:
                raise ValueError(
                    f"{path}, line {rows.line_num}: expected YTID, start_seconds, end_seconds, "
                    f'"positive_labels", the id of {_ID_LENGTH} characters. Received: {", ".join(row)}'
                )
            labels = row[3].split(",")
            for label in labels:
                if label not in codes:
                    raise ValueError(f"{path}, line {rows.line_num}: {label!r} is not in {CLASSES}.")
            yield row[0], labels
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}, is not CSV: {error}") from None


def _audio_files(root, videos):
    """The first file of each video, relative to the root."""
    found = {}
    for parts in audio_below(root):
        stem = pathlib.Path(parts[-1]).stem
        for video in (stem[1 : 1 + _ID_LENGTH] if stem[0] == "Y" else "", stem[:_ID_LENGTH]):
            if video in videos:
                found.setdefault(video, "/".join(parts))
                break
    return found
