"""Runner of experiments: trains and tests rows x folds x seeds in one folder, with resuming."""

import dataclasses
import itertools
import json
import os
import pathlib
import zlib

import keras

from keras_audio_si.data.clip_files import read_clips
from keras_audio_si.data.manifest import Manifest
from keras_audio_si.data.splits import SPLITS
from keras_audio_si.data.text_files import read_json
from keras_audio_si.distribution import own_folder
from keras_audio_si.evaluation.clip_table import CLIPS
from keras_audio_si.evaluation.shift_clips import SHIFT_CLIPS
from keras_audio_si.experiments.divisions import clip_counts
from keras_audio_si.experiments.model import DIFFRES
from keras_audio_si.experiments.report import RUNS, RunScore, figure_names, read_scores, write_figures, write_tables
from keras_audio_si.experiments.run import Run, write_shift_clips
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.experiments.train_and_test import train_and_test
from keras_audio_si.files import write_csv, write_json, writing
from keras_audio_si.locks import locked
from keras_audio_si.training import run_folder
from keras_audio_si.training.identity import audio_digest, refuse_differences
from keras_audio_si.training.stages import PLAN

RECORD = "experiment.json"
MANIFEST = "manifest.csv"
LEFT_OUT = "left_out.csv"
_TABLES = (RUNS, "table.csv", "table.md", "folds.csv", "folds.md", LEFT_OUT, SHIFT_CLIPS)


def run_experiment(
    rows,
    divisions,
    folder,
    cache_dir="runs/cache",
    seeds=(0,),
    paper=None,
    quantity="mAP",
    teacher=None,
    decoder="soundfile",
    resume=False,
    overwrite=False,
    checkpoint_steps=None,
    verbose="auto",
    command="",
):
    """Makes a run for every row, division of the data and seed, and writes the report.

    Args:
        rows: Dict of `Settings` by the row's name. A single row called "" has its runs directly in `folder`.
        divisions: Dict of `Manifest` with splits, as `divisions.divide` makes it.
        folder: Folder of the report: `runs.csv` (a line per run) and the table of the rows as `table.csv` and
            `table.md`, written after each run, figures, `experiment.json` with the settings, `manifest.csv`,
            `left_out.csv` where clips were left out, and `shift_clips.csv` where there is a shift test. Each row has a
            folder in it, in that each division, if there are several, and in that each seed, if there are several.
        cache_dir: Folder for the decoded audio; None to decode clips each time they are read.
        seeds: Seeds of the runs of every row and division.
        paper: Dict of what the paper has, by row.
        quantity: Measured value that the paper has.
        teacher: Folder of a report with the same rows, divisions and seeds, whose models teach these; None for none.
        decoder: As in `ClipCache.build`.
        resume: Whether to continue what `folder` has, if anything. Runs that are in `runs.csv` are not repeated. Rows
            may be added, and rows that are not given stay in the report. Audio is recognised by the lengths of all
            clips and the samples of 64.
        overwrite: Whether to replace what `folder` has. Without either runs there are an error.
        checkpoint_steps: As in `training.fit`.
        verbose: As in `keras.Model.fit`.
        command: Command line, for the model card of each run.

    Returns:
        List of `RunScore`.

    Raises:
        ValueError: If a report is continued with other settings or data or on another backend, or the teacher lacks a
            run.
        FileExistsError: If `folder` has runs, and neither `resume` nor `overwrite` is set.
        BlockingIOError: If another process uses `folder`.
        OSError: If `folder` cannot be written to, or its disk is full.
    """
    if not rows:
        raise ValueError("`rows` must have at least one row. Received: rows={}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"`seeds` must be different integers, at least one. Received: seeds={seeds!r}")
    folder = pathlib.Path(folder)
    # Seed by seed, so that what an interruption leaves compares all rows on all divisions.
    plan = [(row, fold, seed) for seed, row, fold in itertools.product(seeds, rows, divisions)]
    manifest = merged(divisions.values())
    manifest.check_writable()
    record = {
        "rows": {row: settings.record() for row, settings in rows.items()},
        "paper": paper or {},
        "divisions": list(divisions),
        "seeds": list(seeds),
        "splits": {name: _splits(part) for name, part in divisions.items()},
        "tests": {name: _splits(part.select(split="test")) for name, part in divisions.items()},
        "teacher": None if teacher is None else os.path.relpath(teacher, folder),
        "decoder": decoder,
        "backend": keras.backend.backend(),
    }
    teachers = {} if teacher is None else _teachers(pathlib.Path(teacher), plan, record["tests"])
    saving = {"resume": resume, "overwrite": overwrite, "checkpoint_steps": checkpoint_steps}
    with own_folder(folder) as folder, locked(folder, "comparison.lock"):
        places = {key: run_path(folder, *key, divisions, seeds) for key in plan}
        if len({str(place).lower() for place in places.values()}) < len(places):
            raise ValueError(f"`rows` must have names that differ as names of folders. Received: {list(rows)}")
        recorded = claim(folder, record, manifest, resume, overwrite)
        if overwrite and not resume:
            _refuse_to_remove(folder, record, rows, teacher)
        caches = {
            rate: read_clips(manifest, rate, cache_dir, decoder)
            for rate in dict.fromkeys(settings.data.sample_rate for settings in rows.values())
        }
        recorded = claim_audio(recorded, caches)
        if overwrite and not resume:
            clear(folder, record)
        # Recorded are the divisions as they are given: a clip that cannot be decoded is missing in the audio.
        for cache in caches.values():
            divisions = {name: decoded(part, cache) for name, part in divisions.items()}
        failures = next(iter(caches.values())).failures
        describe(folder, recorded, manifest, failures)
        scores = read_scores(folder) if resume else []
        done = {score.key for score in scores}
        _list_shifted_clips(rows, divisions, caches, folder)
        for number, (row, fold, seed) in enumerate(plan, start=1):
            if (row, fold, seed) in done:
                continue
            settings = rows[row].changed(seed=seed)
            cache = caches[settings.data.sample_rate]
            splits = {split: cache.of(divisions[fold].select(split=split)) for split in _splits_of(divisions[fold])}
            title = ", ".join(part for part in (row, fold if len(divisions) > 1 else "", f"seed {seed}") if part)
            print(f"\n{title} ({number} of {len(plan)})", flush=True)
            options = {"teacher": teachers.get((row, fold, seed)), "verbose": verbose, "command": command, **saving}
            run = Run(places[row, fold, seed], cache_dir, **options)
            values = train_and_test(splits, settings, run)
            scores.append(RunScore(row, fold, seed, clip_counts(divisions[fold]), len(failures), values))
            with writing(folder):
                write_tables(folder, scores, recorded["paper"], quantity)
        with writing(folder):
            places = {score.key: run_path(folder, *score.key, divisions, seeds) for score in scores}
            write_figures(folder, scores, places, rows, divisions, caches)
    return scores


def decoded(manifest, cache):
    """Returns a `Manifest` of the clips that a `ClipCache` has: those that could be decoded."""
    known = {clip.clip_id for clip in cache.manifest.clips}
    return dataclasses.replace(manifest, clips=tuple(clip for clip in manifest.clips if clip.clip_id in known))


def run_path(folder, row, fold, seed, divisions, seeds):
    """Returns the folder of a run in that of its report.

    Example:

    >>> run_path(pathlib.Path("report"), "a0, no mixing", "fold-1", 2, ["fold-1", "fold-2"], [2]).as_posix()
    'report/a0-no-mixing/fold-1'
    """
    path = folder / row.replace(",", "").replace(" ", "-") if row else folder
    path = path / fold if len(divisions) > 1 else path
    return path / f"seed-{seed}" if len(seeds) > 1 else path


def merged(manifests):
    """Returns a `Manifest` of the clips of several, each once; clips that are in several lose their splits."""
    first, *others = manifests
    if not others:
        return first
    clips = {clip.clip_id: clip for manifest in (first, *others) for clip in manifest.clips}
    return dataclasses.replace(first, clips=tuple(dataclasses.replace(clip, split="") for clip in clips.values()))


def claim(folder, record, manifest, resume, overwrite):
    """Checks, before audio is decoded, that runs neither replace others nor continue a different experiment.

    Args:
        folder: Folder of the report.
        record: What the experiment is, a dict in values that JSON has.
        manifest: `Manifest` of all clips.
        resume: As for `run_experiment`.
        overwrite: As for `run_experiment`.

    Returns:
        The record, with the rows, the values of the paper and the audio of an earlier one that is continued.

    Raises:
        ValueError: If a report is continued with other settings or data, or on another backend.
        FileExistsError: If the folder has runs, and neither `resume` nor `overwrite` is set, or a `manifest.csv` or
            `clips.csv` of no report, such as those of a data set.
    """
    for name in (MANIFEST, CLIPS):
        if (folder / name).exists() and not (folder / RECORD).exists():
            raise FileExistsError(f"{folder / name} is of no report, and would be replaced: choose another folder.")
    if resume and (folder / RECORD).exists():  # It is written last: with it there is a manifest.
        before = read_json(folder / RECORD)
        now = {name: record[name] for name in before if name in record}  # An earlier version recorded less.
        shared = [row for row in record["rows"] if row in before["rows"]]
        then, now = ({**known, "rows": {row: known["rows"][row] for row in shared}} for known in (before, now))
        refuse_differences(_properties(then, Manifest.read(folder / MANIFEST)), _properties(now, manifest))
        kept = {name: before.get(name, {}) | record[name] for name in ("rows", "paper")}
        return {**record, **kept, "audio": before.get("audio", {})}
    if not (resume or overwrite):
        for path in _folders_of_runs(folder, record):
            run_folder.refuse_existing(path)
    return {**record, "audio": {}}


def claim_audio(record, caches):
    """Checks that a report is continued with the same audio: its finished runs are not compared otherwise.

    Args:
        record: What `claim` returns.
        caches: Dict of `ClipCache` by sample rate.

    Returns:
        The record, with this audio.

    Raises:
        ValueError: If it has other audio at one of the rates.
    """
    known, now = record["audio"], {str(rate): _audio(cache) for rate, cache in caches.items()}
    shared = [rate for rate in now if rate in known]
    refuse_differences(*({f"audio at {rate} Hz": audio[rate] for rate in shared} for audio in (known, now)))
    return {**record, "audio": known | now}


def clear(folder, record):
    """Removes the report of a folder, and the runs of it and of the record; other files and reports are left alone."""
    places = _folders_of_runs(folder, record)
    left = [path / PLAN for path in places]
    for path in places:
        run_folder.clear(path)
    if (folder / RECORD).exists():
        rows = read_json(folder / RECORD).get("rows", ())
        left += [folder / name for name in (*_TABLES, *figure_names(rows))]
    for path in left:
        path.unlink(missing_ok=True)


def describe(folder, record, manifest, failures=()):
    """Writes `experiment.json`, `manifest.csv` and, where clips were left out, `left_out.csv`.

    Args:
        folder: Folder of the report.
        record: Dict of the settings, in values that JSON has.
        manifest: `Manifest` of all clips.
        failures: `(path, reason)` of the files that were left out.

    Raises:
        OSError: If the folder cannot be written to.
    """
    with writing(folder):
        if failures:
            write_csv(folder / LEFT_OUT, ("path", "reason"), failures)
        manifest.write(folder / MANIFEST)
        write_json(folder / RECORD, record, indent=2)


def _folders_of_runs(folder, record):
    """The folders with runs, and those with runs in stages, of a record and of the report that the folder has."""
    records, places = [record], [folder]
    if (folder / RECORD).exists():
        records.append(read_json(folder / RECORD))
    for known in records:
        keys = itertools.product(known["rows"], known["divisions"], known["seeds"])
        places += [run_path(folder, *key, known["divisions"], known["seeds"]) for key in keys]
    for place in list(places):
        if (place / PLAN).exists():
            places += [place / name for name in read_json(place / PLAN)["stages"]]
    return [path for path in dict.fromkeys(places) if run_folder.has_run(path) or (path / PLAN).exists()]


def _refuse_to_remove(folder, record, rows, teacher):
    """Raises a `ValueError` if something that the runs start from is in a folder whose run is removed before them."""
    removed = {path.resolve() for path in (folder, *_folders_of_runs(folder, record))}
    read = [("teacher", teacher)]
    for settings in rows.values():
        read += [("initial", settings.model.initial), ("weights", settings.model.weights)]
        read += [("shift_clips", settings.evaluation.shift_clips)]
    for name, path in read:
        found = None if path is None else pathlib.Path(path).resolve()
        if found is not None and found.exists() and not removed.isdisjoint((found, found.parent)):
            raise ValueError(
                f"`{name}` is in a folder whose runs `overwrite` removes: choose another folder. Received: {path}"
            )


def _audio(cache):
    """The number of clips and a checksum of their audio, whatever their order."""
    clips = cache.manifest.clips
    order = sorted(range(len(clips)), key=lambda number: clips[number].clip_id)
    return f"{len(clips)} clips, SHA-256 {audio_digest(cache, order)}"


def _splits_of(manifest):
    """The splits that a run takes: those to train and to test on, and "val" where there are validation clips."""
    return [split for split in SPLITS if split != "val" or any(clip.split == "val" for clip in manifest.clips)]


def _splits(manifest):
    """The numbers of clips by split, and a checksum of which they are."""
    clips = repr(sorted((clip.clip_id, clip.split) for clip in manifest.clips))
    return f"{clip_counts(manifest)} clips, CRC {zlib.crc32(clips.encode()):08x}"


def _properties(record, manifest):
    """The properties that must not change when a report is continued. The location of the audio may change."""
    flat = {key: record[key] for key in ("divisions", "seeds", "teacher", "decoder", "backend") if key in record}
    flat |= {f"{name}: splits": splits for name, splits in record.get("splits", {}).items()}
    defaults = Settings().record()
    for row, parts in record["rows"].items():
        prefix = f"{row}: " if row else ""
        for part, settings in parts.items():
            # A report of an earlier version lacks settings that were not there, and was made with their defaults.
            settings = {**defaults[part], **settings}
            unused = DIFFRES if settings.get("resolution") != "diffres" else ()
            flat |= {f"{prefix}{name}": value for name, value in settings.items() if name not in unused}
    clips = {f"clip {clip.clip_id}": [clip.labels, clip.split, clip.fold] for clip in manifest.clips}
    return json.loads(json.dumps(flat | clips))


def _teachers(folder, plan, tests):
    """The folders of the runs of a report by row, fold and seed, which were tested on the same clips."""
    needed = "`teacher` must be a report with the same rows, folds and seeds."
    if not (folder / RECORD).is_file():
        raise ValueError(f"{needed} It lacks: {folder / RECORD}")
    record = read_json(folder / RECORD)
    teachers = {key: run_path(folder, *key, record["divisions"], record["seeds"]) for key in plan}
    missing = [path for path in teachers.values() if not (path / run_folder.BEST_MODEL).is_file()]
    if missing:
        raise ValueError(f"{needed} It lacks: {missing[0] / run_folder.BEST_MODEL}")
    known = record.get("tests", tests)  # A report of an earlier version has none.
    others = [name for name in tests if known.get(name) != tests[name]]
    if others:
        raise ValueError(f"{needed} Its test clips of {others[0]!r} are others: it may have learned from those here.")
    return teachers


def _list_shifted_clips(rows, divisions, caches, folder):
    """Writes the list of the shifted clips of a single division. It depends on the model's input, not on the row."""
    shifted = [settings for settings in rows.values() if settings.evaluation.protocols]
    if shifted and len(divisions) == 1:
        (manifest,) = divisions.values()
        cache = caches[shifted[0].data.sample_rate]
        write_shift_clips(cache.of(manifest.select(split="test")), shifted[0], folder)
