"""The folder of a report on several runs: what they are is written first, and is not mixed up with others."""

import dataclasses
import json

from keras_audio_si.data.manifest import Manifest
from keras_audio_si.files import write_rows, writing, written_whole
from keras_audio_si.training import run_folder
from keras_audio_si.training.fit import TrainingSettings
from keras_audio_si.training.identity import refuse_differences

RECORD = "experiment.json"
MANIFEST = "manifest.csv"
LEFT_OUT = "left_out.csv"


def claim(folder, record, manifest, run_folders, resume, overwrite):
    """Sees that the runs that are going to be in a folder neither replace others nor are mixed up with them.

    Args:
        folder: Folder of the report, `pathlib.Path`.
        record: Dict of the settings, in values that JSON has, those of the training under "training".
        manifest: `Manifest` of all clips.
        run_folders: Folders of the runs, cleared if `overwrite` is set.
        resume: Whether to continue what the folder has.
        overwrite: Whether to replace the runs that it has.

    Raises:
        ValueError: If a report is continued with other settings or data.
        FileExistsError: If the folder has runs, and neither `resume` nor `overwrite` is set.
    """
    if resume and (folder / RECORD).exists():  # it is written last: with it there is a manifest
        before = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        refuse_differences(_properties(before, Manifest.read(folder / MANIFEST)), _properties(record, manifest))
    if overwrite:
        for path in run_folders:
            run_folder.clear(path)
    elif not resume:
        for path in (folder, *folder.glob("*/"), *folder.glob("*/*/")):
            run_folder.refuse_existing(path)


def describe(folder, record, manifest, failures=()):
    """Writes `experiment.json`, `manifest.csv` and, where clips were left out, `left_out.csv`.

    Args:
        folder: Folder of the report, `pathlib.Path`.
        record: Dict of the settings, in values that JSON has.
        manifest: `Manifest` of all clips.
        failures: `(path, reason)` of the files that were left out.

    Raises:
        OSError: If the folder cannot be written to.
    """
    with writing(folder):
        if failures:
            write_rows([{"path": path, "reason": reason} for path, reason in failures], folder / LEFT_OUT)
        manifest.write(folder / MANIFEST)
        with written_whole(folder / RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _properties(record, manifest):
    """What must not change when a report is continued; where the audio lies may."""
    clips = {f"clip {clip.clip_id}": [clip.labels, clip.split, clip.fold] for clip in manifest.clips}
    # What an earlier version recorded lacks the settings that were not there, and was done as by their defaults.
    training = {**dataclasses.asdict(TrainingSettings()), **record["training"]}
    return json.loads(json.dumps({**record, **training, "training": None, **clips}))
