"""Preparation of a corpus: any layout becomes shards of FLAC, with index, statistics and leaks between splits.

A shard is the unit of work. Its clips follow from the manifest alone, so its bytes do not depend on who writes it and
when: a run that was cut off keeps the shards that it finished, and the next writes the others.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import soundfile

from keras_audio_si.beam import check_folder, check_written, run_pipeline
from keras_audio_si.checks import check_choice, check_integer, check_positive
from keras_audio_si.data.audio_io import AudioError, audio_info, missing_seconds, read_audio
from keras_audio_si.data.datasets import INDEX_FILE, MANIFEST_FILE
from keras_audio_si.data.manifest import Manifest
from keras_audio_si.data.parallel import in_threads, with_progress
from keras_audio_si.data.shards import SUFFIXES, clip_of, encoded, file_state, shard_writer
from keras_audio_si.data.text_files import read_json
from keras_audio_si.files import AGAIN, write_csv, writing, written_whole
from keras_audio_si.locks import locked

PLAN_FILE, CLIPS_FILE, STATISTICS_FILE = "plan.json", "clips.csv", "statistics.json"
SILENT_DECIBELS = -60.0  # Of the largest sample, to full scale.
CLIPPED_SHARE = 1e-3  # Of the samples that are at full scale.
_FULL_SCALE = 32767 / 32768
_FORMAT = 1
_LENGTHS = {"shortest": np.min, "median": np.median, "longest": np.max}


class Shard(NamedTuple):
    """What a shard is made of.

    Attributes:
        path: Path of the shard; what is known of its clips is written beside it, with the suffix ".json".
        numbers: Numbers of its clips in the manifest.
        sources: Paths of their files.
        sample_rate: Rate to resample to, in Hz; None keeps that of each file.
    """

    path: str
    numbers: tuple
    sources: tuple
    sample_rate: int | None


def prepare(
    manifest,
    output_dir,
    sample_rate=None,
    clips_per_shard=1000,
    format="arrayrecord",
    num_workers=None,
    progress=True,
    pipeline_options=None,
):
    """Writes the clips of a manifest as shards of FLAC (16 bits, mono), or continues where a run was cut off.

    The folder gets shards such as `train-00000-of-00004.array_record`; `manifest.csv` and `index.json`, by which
    `read_dataset` reads it like any other data, with the same clips in the same order; `clips.csv` with source,
    length, rate, peak and digest of each clip; `failures.csv`; `duplicates.csv`; `leaks.csv`; `statistics.json`.

    Args:
        manifest: `Manifest`.
        output_dir: Folder to write to, made if need be.
        sample_rate: Rate to resample to, in Hz; None keeps that of each file.
        clips_per_shard: Number of clips of a shard; the last one of a split has fewer.
        format: "arrayrecord" (extra `shards`) or "tfrecord" (written by TensorFlow).
        num_workers: Number of threads; if None, the number of processors, and with Apache Beam 1 for each shard.
        progress: Whether to show progress on stderr; Apache Beam has its own.
        pipeline_options: Flags of Apache Beam (extra `beam`), a list such as `["--runner=FlinkRunner"]`: its workers
            write the shards, with the same bytes. They must find the files and the folder under the same paths as
            this process. None writes them in this process.

    Returns:
        The statistics, a dict, as in `statistics.json`.

    Raises:
        ValueError: If an argument is out of its range, a label contains ";", is empty, or begins or ends with a space,
            two splits would have shards of one name, the folder has shards of other files or settings, or no clip can
            be read.
        BlockingIOError: If another process prepares data in the folder.
        ImportError: If what writes the format, or Apache Beam, is not installed.
        OSError: If the pipeline of Apache Beam fails.
    """
    if sample_rate is not None:
        check_positive(sample_rate=sample_rate)
    check_integer(1, clips_per_shard=clips_per_shard)
    check_choice("format", format, SUFFIXES)
    manifest.check_writable()
    if pipeline_options is not None:
        check_folder(output_dir)
    folder = pathlib.Path(output_dir)
    shards = plan_shards(manifest, folder, sample_rate, clips_per_shard, format)
    with locked(folder, "prepare.lock"):
        _check_plan(
            folder, manifest, {"sample_rate": sample_rate, "clips_per_shard": clips_per_shard, "format": format}
        )
        if pipeline_options is None:
            clips = itertools.chain.from_iterable(write_shard(shard, num_workers) for shard in shards)
            for _ in with_progress(clips, len(manifest), "Preparing", progress):
                pass
        else:
            _write_by_beam(shards, num_workers or 1, pipeline_options)
        with writing(folder, AGAIN):
            return finish(manifest, folder, shards)


def plan_shards(manifest, folder, sample_rate, clips_per_shard, format):
    """Divides clips into shards, each of one split, in the order of the manifest: a list of `Shard`.

    Raises:
        ValueError: If two splits would have shards of one name.
    """
    by_split, names, paths, shards = {}, {}, manifest.paths(), []
    for number, clip in enumerate(manifest.clips):
        by_split.setdefault(clip.split or "clips", []).append(number)
    for split, numbers in by_split.items():
        parts = [tuple(numbers[first : first + clips_per_shard]) for first in range(0, len(numbers), clips_per_shard)]
        name = re.sub(r"[^\w.-]", "_", split)
        other = names.setdefault(name.lower(), split)  # Some file systems take "Train" and "train" for one name.
        if other != split:
            raise ValueError(f"The splits {other!r} and {split!r} would have shards of one name: rename one.")
        for index, part in enumerate(parts):
            path = pathlib.Path(folder) / f"{name}-{index:05d}-of-{len(parts):05d}{SUFFIXES[format]}"
            shards.append(Shard(str(path), part, tuple(str(paths[number]) for number in part), sample_rate))
    return shards


def write_shard(shard, num_workers=None):
    """Writes a shard and then what is known of its clips; what an earlier run has finished is left as it is.

    It is written anew if one of its files could not be read for a reason that may pass, and can be now.

    Args:
        shard: `Shard`
        num_workers: Number of threads; the number of processors if None.

    Yields:
        A dict for each clip, as soon as it is written: its facts, or the reason ("error") why it is left out.
    """
    path, facts_path = pathlib.Path(shard.path), _facts_path(shard)
    if facts_path.exists() and path.exists():
        clips = read_json(facts_path)["clips"]
        if not any(
            facts.get("passing") and not _clip(source, shard.sample_rate)[0].get("passing")
            for source, facts in zip(shard.sources, clips, strict=True)
        ):
            yield from clips
            return
        for outdated in (facts_path, path.with_name(MANIFEST_FILE)):  # Other clips get the numbers.
            outdated.unlink(missing_ok=True)
    clips = []
    with writing(path.parent, AGAIN):
        with written_whole(path) as temporary:
            with shard_writer(temporary) as write:
                made = in_threads(lambda source: _clip(source, shard.sample_rate), shard.sources, num_workers)
                for facts, data in made:
                    if data is not None:
                        write(data)
                    clips.append(facts)
                    yield facts
            with open(temporary, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        with written_whole(facts_path) as temporary:
            temporary.write_text(json.dumps({"sha256": digest, "clips": clips}), encoding="utf-8")


def _write_by_beam(shards, num_workers, pipeline_options):
    # The working folder of a worker may be another.
    absolute = [
        shard._replace(path=os.path.abspath(shard.path), sources=tuple(map(os.path.abspath, shard.sources)))
        for shard in shards
    ]
    run_pipeline(absolute, lambda beam: beam.Map(_write_whole, num_workers), pipeline_options)
    check_written(map(_facts_path, shards))


def _write_whole(shard, num_workers):
    """`write_shard` to its end."""
    for _ in write_shard(shard, num_workers):
        pass


def _facts_path(shard):
    return pathlib.Path(shard.path).with_suffix(".json")


def _clip(source, sample_rate):
    """Facts and FLAC of a clip; the reason and None if there is no audio."""
    try:
        info, missing = audio_info(source), missing_seconds(source)
        waveform, rate = read_audio(source, sample_rate)
        try:
            data = encoded(waveform, rate)
        except soundfile.SoundFileError as error:
            raise AudioError(source, f"cannot be written as FLAC at {rate} Hz ({error})") from error
    except AudioError as error:
        return {"error": error.reason, "passing": error.passing}, None
    levels = np.abs(waveform)
    return {
        "seconds": len(waveform) / rate,
        "source_sample_rate": info.sample_rate,
        "source_channels": info.channels,
        "peak_decibels": round(20 * float(np.log10(levels.max() + 1e-10)), 2),
        "clipped": float((levels >= _FULL_SCALE).mean()),
        "missing_seconds": missing,
        "digest": hashlib.sha256(waveform.tobytes()).hexdigest(),
    }, data


def _check_plan(folder, manifest, settings):
    """Keeps what the shards are made of, and refuses a folder with shards of something else."""
    digest = hashlib.sha256(json.dumps([_FORMAT, settings, manifest.class_names]).encode())
    for clip, path in zip(manifest.clips, manifest.paths(), strict=True):
        digest.update(repr((os.path.abspath(path), file_state(path), clip)).encode())
    plan, path = settings | {"clips": len(manifest), "digest": digest.hexdigest()}, folder / PLAN_FILE
    if path.exists():
        kept = read_json(path)
        if kept != plan:
            names = [name for name in settings | {"clips": 0} if kept.get(name) != plan[name]]
            differing = ", ".join(f"{name} {kept.get(name)} there and {plan[name]} here" for name in names)
            raise ValueError(
                f"{str(folder)!r} has data prepared from other files or with other settings "
                f"({differing or 'a file, label or split has changed'}): choose another folder, or remove it."
            )
        return
    _write_json(plan, path)


def finish(manifest, folder, shards):
    """Writes index, manifest, statistics and lists of what to look at, once all shards are there.

    Args:
        manifest: `Manifest` that was prepared.
        folder: Folder of the shards.
        shards: What `plan_shards` returned.

    Returns:
        The statistics, a dict.

    Raises:
        ValueError: If no clip could be read.
    """
    folder, found, failures, listed = pathlib.Path(folder).resolve(), {}, {}, []
    for shard in shards:
        path = folder / os.path.basename(shard.path)
        written = read_json(_facts_path(shard))
        places = map(clip_of, itertools.repeat(path), itertools.count())
        for number, source, facts in zip(shard.numbers, shard.sources, written["clips"], strict=True):
            if "error" in facts:
                failures[number] = (source, facts["error"])
            else:
                clip = dataclasses.replace(manifest.clips[number], path=str(next(places)))
                found[number] = (clip, {"clip_id": clip.clip_id, "source": source} | facts)
        listed.append({"name": path.name, "sha256": written["sha256"]})
    failures = [failures[number] for number in sorted(failures)]
    if not found:
        raise ValueError(f"None of the {len(manifest)} clips could be read. The first: {': '.join(failures[0])}")
    clips, facts = zip(*(found[number] for number in sorted(found)), strict=True)
    duplicates, leaks = _duplicates(facts), _leaks(clips, facts)
    statistics = _statistics(clips, facts, manifest.class_names)
    statistics |= {"failed": len(failures), "duplicates": len(duplicates), "leaks": len(leaks)}
    Manifest(clips, manifest.class_names, folder).write(folder / MANIFEST_FILE)
    write_csv(folder / CLIPS_FILE, facts[0], (fact.values() for fact in facts))
    write_csv(folder / "failures.csv", ("path", "reason"), failures)
    write_csv(folder / "duplicates.csv", ("clip_id", "duplicate_of"), duplicates)
    write_csv(folder / "leaks.csv", ("kind", "name", "clips"), leaks)
    _write_json(statistics, folder / STATISTICS_FILE)
    _write_json({"class_names": manifest.class_names, "shards": listed}, folder / INDEX_FILE)
    return statistics


def describe(statistics):
    """The statistics that `prepare` returns, as text for people.

    Example:

    >>> counts = dict.fromkeys(("unlabelled", "silent", "clipped", "cut_off", "failed", "duplicates", "leaks"), 0)
    >>> seconds = {"shortest": 1.0, "median": 4.0, "longest": 4.0}
    >>> print(describe({"clips": 2, "hours": 0.0014, "seconds": seconds, "classes": {"dog": {"clips": 2}},
    ...     "sample_rates": {"44100": 2}, "channels": {"1": 2}, **counts, "silent": 1}))
    2 clips of 1 class, 0.00 hours; 1 to 4 s, median 4 s
    Sample rates: 44100 Hz (2). Channels: 1 (2)
    1 silent: no sample above -60 dB of full scale
    """
    classes = f"{len(statistics['classes'])} class{'es' * (len(statistics['classes']) != 1)}"
    lengths = "{shortest:.3g} to {longest:.3g} s, median {median:.3g} s".format(**statistics["seconds"])
    rates = ", ".join(f"{rate} Hz ({count})" for rate, count in statistics["sample_rates"].items())
    channels = ", ".join(f"{number} ({count})" for number, count in statistics["channels"].items())
    remarks = {
        "failed": "cannot be read and are left out (failures.csv)",
        "unlabelled": "without a class",
        "silent": f"silent: no sample above {SILENT_DECIBELS:.0f} dB of full scale",
        "clipped": f"clipped: more than {CLIPPED_SHARE:.1%} of the samples at full scale",
        "cut_off": "end before their header says",
        "duplicates": "have the same samples as an earlier one (duplicates.csv)",
        "leaks": "groups or duplicates lie in several splits or folds (leaks.csv)",
    }
    return "\n".join(
        [
            f"{statistics['clips']} clips of {classes}, {statistics['hours']:.2f} hours; {lengths}",
            f"Sample rates: {rates}. Channels: {channels}",
            *(f"{statistics[name]} {text}" for name, text in remarks.items() if statistics[name]),
        ]
    )


def _duplicates(facts):
    """Clips whose samples are those of an earlier one."""
    first, rows = {}, []
    for clip in facts:
        earlier = first.setdefault(clip["digest"], clip["clip_id"])
        if earlier != clip["clip_id"]:
            rows.append((clip["clip_id"], earlier))
    return rows


def _leaks(clips, facts):
    """Groups, and clips of equal samples, that lie in several splits or folds."""
    members = {}
    for clip, fact in zip(clips, facts, strict=True):
        division = clip.split or (f"fold {clip.fold}" if clip.fold is not None else "")
        for key in (("group", clip.group), ("duplicate", fact["digest"])):
            if key[1]:
                members.setdefault(key, {}).setdefault(division, []).append(clip.clip_id)
    return [
        (kind, name, "; ".join(f"{where}: {', '.join(ids)}" for where, ids in places.items()))
        for (kind, name), places in members.items()
        if len(places) > 1
    ]


def _statistics(clips, facts, class_names):
    seconds = np.array([fact["seconds"] for fact in facts])
    numbers, durations = collections.Counter(), collections.Counter()
    for clip, length in zip(clips, seconds.tolist(), strict=True):
        numbers.update(clip.labels)
        durations.update(dict.fromkeys(clip.labels, length))
    return {
        "clips": len(clips),
        "hours": round(float(seconds.sum()) / 3600, 4),
        "seconds": {name: round(float(value(seconds)), 3) for name, value in _LENGTHS.items()},
        "classes": {name: {"clips": numbers[name], "hours": round(durations[name] / 3600, 4)} for name in class_names},
        "unlabelled": sum(not clip.labels for clip in clips),
        "sample_rates": _counts(fact["source_sample_rate"] for fact in facts),
        "channels": _counts(fact["source_channels"] for fact in facts),
        "silent": sum(fact["peak_decibels"] < SILENT_DECIBELS for fact in facts),
        "clipped": sum(fact["clipped"] > CLIPPED_SHARE for fact in facts),
        "cut_off": sum(fact["missing_seconds"] > 0 for fact in facts),
    }


def _counts(values):
    return {str(value): count for value, count in sorted(collections.Counter(values).items())}


def _write_json(content, path):
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
