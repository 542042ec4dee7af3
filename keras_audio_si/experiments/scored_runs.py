"""The scores of clips that reports and runs have left in their folders, for comparisons."""

import itertools
import pathlib

from keras_audio_si.data.text_files import read_json
from keras_audio_si.evaluation.clip_table import CLIPS, read_clips
from keras_audio_si.experiments.report import read_scores, whole_seeds
from keras_audio_si.experiments.runner import RECORD, run_path


def read_results(folders):
    """Reads the results in some folders.

    Args:
        folders: Folders of `evaluate --report`, of a run, or of an experiment of `train`. Every row of an experiment is
            a result, of all its folds and seeds.

    Returns:
        Dict of lists of `evaluation.clips.ClipScores` by name: that of the folder, where folders are of one name the
        path, and where an experiment has several rows that of the row behind it.

    Raises:
        ValueError: If a folder is given twice, or scores cannot be read.
        FileNotFoundError: If a folder has no scores.
    """
    paths = [pathlib.Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"A folder is given twice. Received: {', '.join(map(str, folders))}")
    names, found = [path.resolve().name for path in paths], {}
    for path, name in zip(paths, names, strict=True):
        title = str(path) if names.count(name) > 1 else name
        for row, places in scored_places(path).items():
            found[f"{title}: {row}" if row else title] = [read_clips(place / CLIPS) for place in places]
    return found


def scored_places(folder):
    """The folders with scores of clips by row, of the runs that the means of the row's table are of.

    A folder that is no experiment has the single row "".

    Raises:
        FileNotFoundError: If a folder or a run has no scores.
    """
    scores = read_scores(folder)
    if not scores or not (folder / RECORD).exists():
        places = {"": [folder]}
    else:
        record, places = read_json(folder / RECORD), {}
        for row, seeds in whole_seeds(scores).items():
            keys = [run.key for run in itertools.chain(*seeds)]
            places[row] = [run_path(folder, *key, record["divisions"], record["seeds"]) for key in keys]
    missing = [place for part in places.values() for place in part if not (place / CLIPS).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} has no {CLIPS}: it is neither a folder of `evaluate --report` nor one of `train` that has "
            "ended. Runs of earlier versions have none: evaluate their model.keras with --report."
        )
    return places
