"""Preparation of a corpus: any layout becomes shards of FLAC, with index, statistics and leaks between splits.

A shard is the unit of work. Its clips follow from the manifest alone, so its bytes do not depend on who writes it and
when: a run that was cut off keeps the shards that it finished, and the next writes the others.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import os
import pathlib
import re
import sys
from typing import NamedTuple

import numpy as np
import soundfile

from keras_audio_si.beam import check_folder, check_written, run_pipeline
from keras_audio_si.checks import check_choice, check_integer
from keras_audio_si.data.audio_io import (
    AudioError,
    audio_error,
    conformed,
    decode,
    memory_of,
    missing_seconds,
    open_audio,
)
from keras_audio_si.data.corpus import duplicates_of, leaks_of, statistics_of
from keras_audio_si.data.manifest import Manifest
from keras_audio_si.data.parallel import in_threads, with_progress
from keras_audio_si.data.prepared import INDEX_FILE, MANIFEST_FILE, PLAN_FILE, has_plan, sha256_of
from keras_audio_si.data.shards import SUFFIXES, clip_of, clips_of, encoded, file_state, shard_writer
from keras_audio_si.data.text_files import read_json
from keras_audio_si.files import AGAIN, write_csv, write_json, writing, written_whole
from keras_audio_si.locks import locked

CLIPS_FILE, STATISTICS_FILE = "clips.csv", "statistics.json"
FAILURES_FILE, DUPLICATES_FILE, LEAKS_FILE = "failures.csv", "duplicates.csv", "leaks.csv"
_FULL_SCALE, _FULL_SCALE_OF_8_BITS = 32767 / 32768, 127 / 128
_VERSION = 2  # Of what is measured and written.
# What is known of a clip that is written, in this order, and of one that is left out.
_WRITTEN = {
    "seconds": float,
    "source_sample_rate": int,
    "source_channels": int,
    "peak_decibels": float,
    "clipped": float,
    "missing_seconds": float,
    "digest": str,
}
_LEFT_OUT = {"error": str, "passing": bool}
_LONGEST_NAME = 200  # Bytes of a split. File names may have 255, with numbers, suffix and what is temporary.


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
    length, rate, levels and digest of each clip; `failures.csv`; `duplicates.csv`; `leaks.csv`; `statistics.json`.

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
            a split has no name for shards of its own, the folder is that of the data, or has shards of other files or
            settings or files that are not of `prepare` and would be replaced, or no clip can be read.
        BlockingIOError: If another process prepares data in the folder.
        ImportError: If what writes the format, or Apache Beam, is not installed.
        OSError: If the pipeline of Apache Beam fails.
    """
    if sample_rate is not None:
        _check_rate(sample_rate)
    check_integer(1, clips_per_shard=clips_per_shard)
    if num_workers is not None:
        check_integer(1, num_workers=num_workers)
    check_choice("format", format, SUFFIXES)
    manifest.check_writable()
    check_folder(output_dir)
    folder = pathlib.Path(output_dir)
    if folder.resolve() == manifest.root.resolve():
        raise ValueError(f"{str(folder)!r} is the folder of the data: choose another one for the shards.")
    shards = plan_shards(manifest, folder, sample_rate, clips_per_shard, format)
    _check_new(folder, shards)
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


def _check_rate(sample_rate):
    check_integer(1, sample_rate=sample_rate)
    try:
        encoded(np.zeros(1, "float32"), sample_rate)
    except soundfile.SoundFileError:
        raise ValueError(
            "`sample_rate` must be a rate that FLAC files can have: to 65535 Hz any, above a multiple of 10 Hz, to "
            f"655350 Hz. Received: sample_rate={sample_rate!r}"
        ) from None


def _check_new(folder, shards):
    """Refuses a folder with files of others that would be replaced: what `prepare` writes first is its plan."""
    if has_plan(folder):
        return
    names = (PLAN_FILE, MANIFEST_FILE, INDEX_FILE, CLIPS_FILE, STATISTICS_FILE, FAILURES_FILE, DUPLICATES_FILE)
    paths = [folder / name for name in (*names, LEAKS_FILE)]
    for shard in shards:
        paths += [pathlib.Path(shard.path), _facts_path(shard)]
    there = next((path.name for path in paths if os.path.lexists(path)), None)
    if there:
        raise ValueError(
            f"{str(folder)!r} has a file {there!r} that `prepare` has not written, or that is damaged, and would "
            "replace: choose another folder."
        )


def plan_shards(manifest, folder, sample_rate, clips_per_shard, format):
    """Divides clips into shards, each of one split, in the order of the manifest: a list of `Shard`.

    Raises:
        ValueError: If two splits would have shards of one name, or the name of one is too long for a file.
    """
    by_split, names, paths, shards = {}, {}, manifest.paths(), []
    for number, clip in enumerate(manifest.clips):
        by_split.setdefault(clip.split or "clips", []).append(number)
    for split, numbers in by_split.items():
        parts = [tuple(numbers[first : first + clips_per_shard]) for first in range(0, len(numbers), clips_per_shard)]
        name = re.sub(r"^\.|[^\w.-]", "_", split)  # A name that begins with a dot is hidden.
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise ValueError(
                f"The split {split[:40]!r}... must have a name of at most {_LONGEST_NAME} bytes: rename it."
            )
        other = names.setdefault(name.lower(), split)  # Some file systems take "Train" and "train" for one name.
        if other != split:
            raise ValueError(f"The splits {other!r} and {split!r} would have shards of one name: rename one.")
        for index, part in enumerate(parts):
            path = pathlib.Path(folder) / f"{name}-{index:05d}-of-{len(parts):05d}{SUFFIXES[format]}"
            shards.append(Shard(str(path), part, tuple(str(paths[number]) for number in part), sample_rate))
    return shards


def write_shard(shard, num_workers=None):
    """Writes a shard and then what is known of its clips; what an earlier run has finished is left as it is.

    It is written anew if it is not what was written, by its SHA-256, or what is known of its clips is damaged, which a
    message on stderr says, or if one of its files could not be read for a reason that may pass, and can be now.

    Args:
        shard: `Shard`
        num_workers: Number of threads; the number of processors if None.

    Yields:
        A dict for each clip, as soon as it is written: its facts, or the reason ("error") why it is left out.
    """
    path, facts_path = pathlib.Path(shard.path), _facts_path(shard)
    if facts_path.exists() and path.exists():
        written = _facts(shard)
        if written is not None and sha256_of(path) != written["sha256"]:
            print(f"{path} is damaged (another SHA-256 than in {facts_path.name}): writing it anew.", file=sys.stderr)
        elif written is None or len(clips_of(path)) != sum("error" not in facts for facts in written["clips"]):
            print(f"{facts_path} is damaged: writing it and its shard anew.", file=sys.stderr)
        elif not any(
            facts.get("passing") and not _clip(source, shard.sample_rate)[0].get("passing")
            for source, facts in zip(shard.sources, written["clips"], strict=True)
        ):
            yield from written["clips"]
            return
        for outdated in (facts_path, path.with_name(MANIFEST_FILE)):  # Other clips get the numbers.
            outdated.unlink(missing_ok=True)
    clips = []
    with writing(path.parent, AGAIN, "make smaller shards (`--clips-per-shard`) in another folder"):
        with written_whole(path) as temporary:
            with shard_writer(temporary) as write:
                made = in_threads(lambda source: _clip(source, shard.sample_rate), shard.sources, num_workers)
                for facts, data in made:
                    if data is not None:
                        write(data)
                    clips.append(facts)
                    yield facts
            digest = sha256_of(temporary)
        write_json(facts_path, {"sha256": digest, "clips": clips})


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


def _facts(shard):
    """What `write_shard` has written beside a shard: its SHA-256 and what is known of its clips; None if damaged."""
    try:
        written = read_json(_facts_path(shard))
    except ValueError:
        return None
    clips = written.get("clips")
    whole = isinstance(written.get("sha256"), str) and isinstance(clips, list) and len(clips) == len(shard.sources)
    return written if whole and all(map(_is_whole, clips)) else None


def _is_whole(facts):
    if not isinstance(facts, dict):
        return False
    kinds = [(name, type(value)) for name, value in facts.items()]
    if kinds not in (list(_WRITTEN.items()), list(_LEFT_OUT.items())):
        return False
    return all(math.isfinite(value) for value in facts.values() if isinstance(value, float))


def _clip(source, sample_rate):
    """Facts and FLAC of a clip; the reason and None if there is no audio.

    Levels are those of the file, before its channels are averaged and it is resampled: both hide clipping.
    """
    try:
        with memory_of(source):
            with open_audio(source) as file:
                source_rate, subtype, missing = file.samplerate, file.subtype, missing_seconds(file)
                samples, _ = conformed(decode(file, source, mono=False), source_rate, source)
            waveform, rate = conformed(samples.mean(axis=1), source_rate, source, sample_rate)
            try:
                data = encoded(waveform, rate)
            except soundfile.SoundFileError as error:
                raise audio_error(source, f"cannot be written as FLAC at {rate} Hz", error) from error
    except AudioError as error:
        return {"error": error.reason, "passing": error.passing}, None
    levels = np.abs(samples)
    full_scale = _FULL_SCALE_OF_8_BITS if subtype in ("PCM_S8", "PCM_U8") else _FULL_SCALE
    return {
        "seconds": len(waveform) / rate,
        "source_sample_rate": source_rate,
        "source_channels": samples.shape[1],
        "peak_decibels": round(20 * float(np.log10(levels.max() + 1e-10)), 2),
        "clipped": float((levels >= full_scale).mean(axis=0).max()),
        "missing_seconds": missing,
        "digest": hashlib.sha256(waveform.tobytes()).hexdigest(),
    }, data


def _check_plan(folder, manifest, settings):
    """Keeps what the shards are made of, and refuses a folder with shards of something else."""
    digest = hashlib.sha256(json.dumps(manifest.class_names).encode())
    for clip, path in zip(manifest.clips, manifest.paths(), strict=True):
        digest.update(repr((os.path.abspath(path), file_state(path), clip)).encode())
    settings = settings | {"clips": len(manifest), "version": _VERSION}
    plan, path = settings | {"digest": digest.hexdigest()}, folder / PLAN_FILE
    if path.exists():
        kept = read_json(path)
        if kept != plan:
            names = [name for name in settings if kept.get(name) != plan[name]]
            differing = ", ".join(f"{name} {kept.get(name)} there and {plan[name]} here" for name in names)
            raise ValueError(
                f"{str(folder)!r} has data prepared from other files or with other settings "
                f"({differing or 'a file, label or split has changed'}): choose another folder, or remove it."
            )
        return
    write_json(path, plan, indent=1)


def finish(manifest, folder, shards):
    """Writes index, manifest, statistics and lists of what to look at, once all shards are there.

    Args:
        manifest: `Manifest` that was prepared.
        folder: Folder of the shards.
        shards: What `plan_shards` returned.

    Returns:
        The statistics, a dict.

    Raises:
        ValueError: If no clip could be read, or what is known of the clips of a shard is damaged.
    """
    folder, found, failures, listed = pathlib.Path(folder).resolve(), {}, {}, []
    for shard in shards:
        path = folder / os.path.basename(shard.path)
        written = _facts(shard)
        if written is None:
            raise ValueError(f"{_facts_path(shard)} is damaged: run `prepare` again, which writes its shard anew.")
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
    duplicates, leaks = duplicates_of(facts), leaks_of(clips, facts)
    statistics = statistics_of(clips, facts, manifest.class_names)
    statistics |= {"failed": len(failures), "duplicates": len(duplicates), "leaks": len(leaks)}
    Manifest(clips, manifest.class_names, folder).write(folder / MANIFEST_FILE)
    write_csv(folder / CLIPS_FILE, facts[0], (fact.values() for fact in facts))
    write_csv(folder / FAILURES_FILE, ("path", "reason"), failures)
    write_csv(folder / DUPLICATES_FILE, ("clip_id", "duplicate_of"), duplicates)
    write_csv(folder / LEAKS_FILE, ("kind", "name", "clips"), leaks)
    write_json(folder / STATISTICS_FILE, statistics, indent=1)
    write_json(folder / INDEX_FILE, {"class_names": manifest.class_names, "shards": listed}, indent=1)
    return statistics
