"""Reader of NSynth: single notes of instruments, in three folders, each with a table of its notes."""

import pathlib

from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.text_files import read_json

FOLDERS = {"train": "nsynth-train", "val": "nsynth-valid", "test": "nsynth-test"}
TABLE = "examples.json"


def read_nsynth(root):
    """Reads NSynth: `nsynth-train/`, `nsynth-valid/` and `nsynth-test/`, each with `examples.json` and `audio/`.

    The classes are the families of the instruments: 11 in the full data set. A note without a file is kept in the
    manifest, so that `ClipCache` can report it.

    Args:
        root: Folder that holds these folders.

    Returns:
        A `Manifest` with the official splits as "train", "val" and "test", and the families in the order of their
        numbers. There are no groups: no instrument of "train" is in the other splits, but "val" and "test" share some.
        liu2022 counts 12,678 test examples: those are the notes of "val".

    Raises:
        ValueError: If a table is missing or malformed, or families are numbered in different ways.

    Reference:
        J. Engel et al., "Neural audio synthesis of musical notes with WaveNet autoencoders", 2017.
    """
    root = pathlib.Path(root)
    clips, families = [], {}
    for split, folder in FOLDERS.items():
        for name, note in _notes(root / folder / TABLE):
            try:
                family, number = str(note["instrument_family_str"]), int(note["instrument_family"])
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{root / folder / TABLE}: the note {name!r} must have `instrument_family` (a number) and "
                    f"`instrument_family_str`. Reading it failed: {error!r}"
                ) from error
            if families.setdefault(number, family) != family:
                raise ValueError(
                    f"{root / folder / TABLE}: the note {name!r} has family {number} as {family!r}, others have it as "
                    f"{families[number]!r}."
                )
            clips.append(Clip(f"{folder}/audio/{name}.wav", (family,), split, clip_id=name))
    return Manifest(clips, tuple(families[number] for number in sorted(families)), root)


def _notes(path):
    """Names and descriptions of the notes of a table."""
    if not path.is_file():
        raise ValueError(
            f"{path.parent.parent} lacks {path.parent.name}/{path.name}, one of the three official tables."
        )
    notes = read_json(path)
    if not notes:
        raise ValueError(f"{path} must have an entry for each note, by its name. It has none.")
    return sorted(notes.items())
