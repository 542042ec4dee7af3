"""Clips without a cache: equal to those of the cache, whatever the files are, and trained on in the same way."""

import csv
import dataclasses
import os

import numpy as np
import pytest
import soundfile
from recipe_data import rows_of
from tiny_training import network

from keras_audio_si.data import (
    ClipCache,
    ClipFiles,
    PatchDataset,
    clip_files,
    prepare,
    read_dataset,
    write_dataset,
)
from keras_audio_si.data.audio_io import AudioError, read_audio, read_section
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.files import write_csv
from keras_audio_si.training import TrainingSettings, fit

RATE = 16000


@pytest.fixture
def files(tmp_path, rng):
    """Other rates, channels and formats, one file that is not audio and one that is missing."""
    clips = []
    for name, rate, channels in (
        ("a.wav", RATE, 1),
        ("b.flac", RATE, 2),
        ("c.ogg", RATE, 1),
        ("d.wav", 44100, 1),
        ("e.wav", 0, 0),
        ("f.aiff", 8000, 2),
        ("g.wav", 0, 0),
    ):
        clips.append(Clip(name, ("dog",), split=("train", "test")[len(clips) % 2], fold=len(clips)))
        if rate:
            soundfile.write(tmp_path / name, rng.uniform(-0.5, 0.5, (5003 + len(clips), channels)), rate)
    (tmp_path / "e.wav").write_text("not audio")
    return Manifest(clips, root=tmp_path)


def equal(clips, cache):
    assert clips.manifest == cache.manifest and clips.failures == cache.failures
    np.testing.assert_array_equal(clips.lengths, cache.lengths)
    for number, length in enumerate(cache.lengths):
        np.testing.assert_array_equal(clips.waveform(number), cache.waveform(number))
        for start, samples in ((0, 100), (length // 3, 1000), (length - 7, 100), (1, length)):
            section = clips.section(number, start, samples)
            np.testing.assert_array_equal(section, cache.section(number, start, samples))
            assert section.dtype == np.float32
    return clips


def test_equal_to_the_cache(files, tmp_path, capsys):
    cache = ClipCache.build(files, RATE, tmp_path / "cache", progress=False)
    said = capsys.readouterr().err
    clips = equal(ClipFiles.build(files, RATE, progress=False), cache)
    assert capsys.readouterr().err == said and "Left out 2 of 7 clips" in said
    equal(clips.subset([3, 0]), cache.subset([3, 0]))
    equal(clips.select(split="train"), cache.select(split="train"))
    other = dataclasses.replace(cache.manifest, clips=cache.manifest.clips[::-1])
    equal(clips.of(other), cache.of(other))


def test_prepared_data_need_no_headers(tmp_path, monkeypatch):
    pytest.importorskip("array_record", reason="writes the shards")
    write_dataset(tmp_path / "sounds", 30, RATE, min_seconds=0.3, max_seconds=0.7)
    prepare(read_dataset(tmp_path / "sounds"), tmp_path / "shards", RATE, clips_per_shard=8, progress=False)
    manifest = read_dataset(tmp_path / "shards")
    cache = ClipCache.build(manifest, RATE, tmp_path / "cache", progress=False)
    for rate in (RATE, 8000):  # At the other rate they are read from the headers.
        equal(ClipFiles.build(manifest, rate), ClipCache.build(manifest, rate, tmp_path / "cache", progress=False))
    monkeypatch.setattr(clip_files, "audio_info", None)
    clips = ClipFiles.build(manifest.select(split="val"), RATE)
    equal(clips, cache.select(split="val"))
    batches = [PatchDataset(source, 4000, crops="random", short="zero") for source in (clips, cache.select("val"))]
    for one, other in zip(*(data.batches(4, True).take(9).as_numpy_iterator() for data in batches), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    plan = (tmp_path / "shards" / "plan.json").read_bytes()
    (tmp_path / "shards" / "plan.json").write_text("{}")
    with pytest.raises(TypeError):
        ClipFiles.build(manifest, RATE)  # Reads the headers, with what is None here.
    (tmp_path / "shards" / "plan.json").write_bytes(plan)
    rows = [{**row, "seconds": "inf"} for row in rows_of(tmp_path / "shards" / "clips.csv")]
    write_csv(tmp_path / "shards" / "clips.csv", rows[0], (row.values() for row in rows))
    with pytest.raises(ValueError, match="shards/clips.csv has a duration that is no number"):
        ClipFiles.build(manifest, RATE)


def test_trains_as_with_the_cache(tmp_path):
    write_dataset(tmp_path / "sounds", 24, 8000, min_seconds=0.3, max_seconds=0.4)
    manifest = read_dataset(tmp_path / "sounds")
    logs = []
    for source in (
        ClipCache.build(manifest, 1000, tmp_path / "cache", progress=False),
        ClipFiles.build(manifest, 1000),
    ):
        train, validation = (PatchDataset(source.select(split=name), 64) for name in ("train", "val"))
        settings = TrainingSettings(epochs=2, batch_size=16, early_stopping_patience=None)
        fit(network(len(manifest.class_names)), train, validation, settings, tmp_path / f"run-{len(logs)}", verbose=0)
        with open(tmp_path / f"run-{len(logs)}" / "log.csv", newline="") as file:
            logs.append(list(csv.reader(file)))
    assert logs[0] == logs[1] and len(logs[0]) == 3


def test_a_file_that_ends_before_its_header_says(tmp_path, rng):
    soundfile.write(tmp_path / "a.flac", rng.uniform(-1, 1, 50000), RATE)
    clips = ClipFiles.build(Manifest([Clip("a.flac", ("dog",))], root=tmp_path), RATE)
    os.truncate(tmp_path / "a.flac", (tmp_path / "a.flac").stat().st_size // 2)
    with pytest.raises(AudioError, match=r"a\.flac: (is damaged|ends before its 50000 samples)"):
        clips.section(0, 40000, 1000)


def test_a_cut_off_file_is_whole_to_cache_and_preparation(tmp_path, rng):
    pytest.importorskip("array_record", reason="writes the shards")
    soundfile.write(tmp_path / "a.mp3", rng.uniform(-0.3, 0.3, 50000), RATE)
    os.truncate(tmp_path / "a.mp3", (tmp_path / "a.mp3").stat().st_size // 2)
    manifest = Manifest([Clip("a.mp3", ("dog",))], root=tmp_path)
    with pytest.raises(AudioError, match=r"ends before its 50000 samples: .* a cache or `prepare`, which take what"):
        ClipFiles.build(manifest, RATE).waveform(0)
    (length,) = ClipCache.build(manifest, RATE, tmp_path / "cache", progress=False).lengths
    statistics = prepare(manifest, tmp_path / "shards", progress=False)
    assert statistics["seconds"]["longest"] == pytest.approx(length / RATE, abs=1e-3) and 10000 < length < 40000


@pytest.mark.parametrize("subtype", soundfile.available_subtypes("WAV"))
def test_sections_of_every_wav(tmp_path, rng, subtype):
    try:
        soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, 8000), RATE, subtype)
    except soundfile.SoundFileError:
        pytest.skip("libsndfile does not write it")
    whole = read_audio(tmp_path / "a.wav", RATE)[0]
    for start, samples in ((0, 8000), (3001, 500), (7999, 1)):
        np.testing.assert_array_equal(read_section(tmp_path / "a.wav", RATE, start, samples), whole[start:][:samples])


def test_sections_of_flac_behind_a_tag(tmp_path, rng):
    """In which libsndfile cannot seek to every place."""
    soundfile.write(tmp_path / "a.flac", rng.uniform(-0.5, 0.5, 3 * RATE), RATE)
    size = bytes((100_000 >> shift) & 127 for shift in (21, 14, 7, 0))
    tagged = b"ID3\x04\x00\x00" + size + bytes(100_000) + (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(tagged)
    whole = read_audio(tmp_path / "a.flac", RATE)[0]
    for start in range(0, len(whole) - 500, 997):
        np.testing.assert_array_equal(read_section(tmp_path / "a.flac", RATE, start, 500), whole[start:][:500])


def test_other_decoders_need_a_cache(files, tmp_path):
    assert len(clip_files.read_clips(files, RATE, None)) == 5
    with pytest.raises(ValueError, match="`decoder` must be 'soundfile' .* Received: decoder='tensorflow-io'"):
        clip_files.read_clips(files, RATE, None, "tensorflow-io")


def test_section_of_a_damaged_file_names_it(tmp_path, rng):
    soundfile.write(tmp_path / "a.wav", np.float32([0.0, np.nan, 0.0]), RATE, "FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: 1 of 2 samples are NaN"):
        read_section(tmp_path / "a.wav", RATE, 1, 2)
    np.testing.assert_array_equal(read_section(tmp_path / "a.wav", RATE, 2, 1), [0])
    with pytest.raises(AudioError, match="no such file"):
        read_section(tmp_path / "b.wav", RATE, 0, 1)


def test_length_where_it_ends_between_two_samples(tmp_path, rng):
    """Half a sample more than 16096: soxr rounds such lengths up or down."""
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, 480 * 73), 48000)
    clips = ClipFiles.build(Manifest([Clip("a.wav", ("dog",))], root=tmp_path), 22050)
    np.testing.assert_array_equal(clips.waveform(0), read_audio(tmp_path / "a.wav", 22050)[0])


@pytest.mark.parametrize("file_rate", [8000, 11025, 22050, 44100, 48000, 12345])
def test_length_after_resampling(tmp_path, file_rate):
    for samples in (1, 2, 3, 1000, 1001, 44101):
        soundfile.write(tmp_path / "a.wav", np.zeros(samples), file_rate)
        manifest = Manifest([Clip("a.wav", ("dog",))], root=tmp_path)
        try:
            length = len(read_audio(tmp_path / "a.wav", RATE)[0])
        except AudioError:
            with pytest.raises(ValueError, match="holds no samples at 16000 Hz"):
                ClipFiles.build(manifest, RATE)
        else:
            assert ClipFiles.build(manifest, RATE).lengths.tolist() == [length]
