"""Shards of FLAC and the preparation of a corpus: what was put in comes out, whatever interrupts it."""

import concurrent.futures
import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from recipe_data import rows_of

from keras_audio_si.cli import main as cli
from keras_audio_si.data import (
    ClipCache,
    Manifest,
    PatchDataset,
    preparation,
    prepare,
    read_dataset,
    shards,
    write_dataset,
)
from keras_audio_si.data.audio_io import AudioError, audio_info, read_audio
from keras_audio_si.data.audio_stream import stream_audio
from keras_audio_si.data.manifest import Clip
from keras_audio_si.data.preparation import plan_shards
from keras_audio_si.data.prepared import UNFINISHED
from keras_audio_si.data.shards import clip_of, clips_of, encoded, shard_writer
from keras_audio_si.inference.tagging import find_audio

pytestmark = pytest.mark.once

RATE = 16000
STEP = 2.0**-15  # Of 16 bits.


def write_shard(path, records):
    pytest.importorskip("tensorflow" if path.suffix == ".tfrecord" else "array_record", reason="writes this format")
    with shard_writer(path) as write:
        for record in records:
            write(record)
    return path


@pytest.fixture
def waveforms(rng):
    loud = rng.uniform(-1, 1, 700) * 3.5
    return [np.float32(x) for x in (rng.uniform(-1, 1, 1000), 1e-3 * rng.uniform(-1, 1, 50), [1.0, -1.0, 0.0], loud)]


@pytest.fixture(params=[".array_record", ".tfrecord"])
def shard(request, tmp_path, waveforms):
    return write_shard(tmp_path / f"a{request.param}", [encoded(waveform, RATE) for waveform in waveforms])


class TestShards:
    def test_clips_come_out_as_they_went_in(self, shard, waveforms):
        clips = clips_of(shard)
        assert [clip.name for clip in clips] == ["000000", "000001", "000002", "000003"]
        for clip, waveform in zip(clips, waveforms, strict=True):
            read, rate = read_audio(clip)
            assert rate == RATE and read.dtype == np.float32
            full_scale = max(1.0, np.abs(waveform).max())
            np.testing.assert_allclose(read, waveform, rtol=0, atol=1.01 * STEP * full_scale)
            np.testing.assert_array_equal(np.concatenate(list(stream_audio(clip, 8000))), read_audio(clip, 8000)[0])
            assert audio_info(clip)[:3] == (RATE, 1, len(waveform))

    def test_records_are_flac_to_other_readers(self, tmp_path, waveforms):
        tf = pytest.importorskip("tensorflow", reason="reads TFRecords")
        path = write_shard(tmp_path / "a.tfrecord", [encoded(waveform, RATE) for waveform in waveforms[:3]])
        for record, waveform in zip(tf.data.TFRecordDataset(str(path)), waveforms, strict=False):
            samples, rate = soundfile.read(io.BytesIO(record.numpy()), dtype="int16")
            assert rate == RATE
            np.testing.assert_array_equal(samples, np.clip(np.rint(waveform * 32768.0), -32768, 32767))

    def test_by_several_threads(self, shard, waveforms):
        clips = clips_of(shard) * 50
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for clip, found in zip(clips, pool.map(lambda clip: read_audio(clip)[0], clips), strict=True):
                np.testing.assert_array_equal(found, read_audio(clip)[0])

    @pytest.mark.parametrize("place", [0.3, 0.5])
    def test_damage_is_an_error_of_the_clip(self, tmp_path, rng, place):
        waveform = rng.uniform(-1, 1, 5000).astype("float32")
        path = write_shard(tmp_path / "a.array_record", [encoded(waveform, RATE)])
        data = bytearray(path.read_bytes())
        data[int(place * 10000)] ^= 255
        path.write_bytes(data)
        with pytest.raises(AudioError, match="a.array_record/000000: is not audio that can be read .*damaged"):
            read_audio(clip_of(path, 0))

    @pytest.mark.parametrize("suffix", [".array_record", ".tfrecord"])
    def test_a_shard_that_ends_too_soon(self, tmp_path, waveforms, suffix):
        path = write_shard(tmp_path / f"a{suffix}", [encoded(waveform, RATE) for waveform in waveforms])
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(AudioError, match=r"damaged: record 0 ends after the file|the shard has 0 clips|is damaged"):
            read_audio(clip_of(path, 3))

    def test_many_are_searched_once(self, tmp_path, waveforms, monkeypatch):
        searched, search = [], shards._TFRecords
        monkeypatch.setattr(shards, "_TFRecords", lambda path: searched.append(path) or search(path))
        first = write_shard(tmp_path / "0.tfrecord", [encoded(waveform, RATE) for waveform in waveforms])
        paths = [first, *(shutil.copy(first, tmp_path / f"{number}.tfrecord") for number in range(1, 20))]
        for path in paths * 2:
            assert len(read_audio(clip_of(path, 1))[0]) == 50
        assert searched == list(map(str, paths))

    def test_no_such_clip(self, shard):
        with pytest.raises(AudioError, match="the shard has 4 clips"):
            read_audio(clip_of(shard, 4))
        with pytest.raises(AudioError, match="there is no such file"):
            read_audio(clip_of(shard.with_name("b.tfrecord"), 0))

    def test_found_by_tag(self, shard, tmp_path):
        assert [file.path for file in find_audio([tmp_path])] == [str(clip) for clip in clips_of(shard)]
        assert [file.path for file in find_audio([shard])] == [str(clip) for clip in clips_of(shard)]
        damaged = tmp_path / "damaged.tfrecord"
        damaged.write_bytes(b"12345678901234567890")
        (found,) = find_audio([damaged])
        assert "is damaged" in found.problem
        (found,) = find_audio([write_shard(shard.with_stem("empty"), [])])
        assert found.problem == "is a shard without clips"

    def test_array_record_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "array_record.python", None)
        with pytest.raises(ImportError, match=r"keras-audio-si\[shards\]"):
            write_shard(tmp_path / "a.array_record", [])


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def sounds(tmp_path):
    """Synthetic clips in two splits, of which one is no audio, one a copy, and two splits share a group."""
    pytest.importorskip("array_record", reason="writes the shards")
    manifest = write_dataset(tmp_path / "sounds", num_clips=20, min_seconds=0.5, max_seconds=1.0)
    paths = manifest.paths()
    shutil.copy(paths[3], paths[14])
    paths[5].write_text("not audio")
    clips = [
        dataclasses.replace(clip, split="train" if number < 12 else "test", fold=number % 3, group="")
        for number, clip in enumerate(manifest.clips)
    ]
    clips[0], clips[19] = (dataclasses.replace(clips[number], group="forest") for number in (0, 19))
    return dataclasses.replace(manifest, clips=clips, class_names=manifest.class_names[::-1])


class TestPrepare:
    def test_reads_like_the_data_it_comes_from(self, sounds, tmp_path, capsys):
        prepare(sounds, tmp_path / "shards", RATE, clips_per_shard=5)
        assert "20/20 clips" in capsys.readouterr().err
        found = read_dataset(tmp_path / "shards")
        kept = [number for number in range(20) if number != 5]
        assert found.class_names == sounds.class_names
        names = ("labels", "split", "fold", "clip_id", "group")
        for clip, number in zip(found.clips, kept, strict=True):
            assert [getattr(clip, name) for name in names] == [getattr(sounds.clips[number], name) for name in names]
        caches = [ClipCache.build(data, RATE, tmp_path / "cache") for data in (sounds, found)]
        patches = [PatchDataset(cache, 4000, 2000) for cache in caches]
        np.testing.assert_array_equal(patches[0].patch_clip, patches[1].patch_clip)
        np.testing.assert_allclose(
            patches[0].waveforms(range(patches[0].num_patches)),
            patches[1].waveforms(range(patches[1].num_patches)),
            rtol=0,
            atol=1.01 * STEP,
        )

    def test_index_and_lists(self, sounds, tmp_path):
        folder = tmp_path / "shards"
        statistics = prepare(sounds, folder, clips_per_shard=5, progress=False)
        assert statistics == json.loads((folder / "statistics.json").read_text())
        lengths = [audio_info(path).seconds for number, path in enumerate(sounds.paths()) if number != 5]
        assert statistics["clips"] == 19 and statistics["failed"] == 1
        assert statistics["seconds"]["longest"] == pytest.approx(max(lengths), abs=1e-3)
        assert statistics["hours"] == pytest.approx(sum(lengths) / 3600, abs=1e-4)
        assert sum(found["clips"] for found in statistics["classes"].values()) == 19
        (failure,) = rows_of(folder / "failures.csv")
        assert failure["path"] == str(sounds.paths()[5]) and "not audio" in failure["reason"]
        (duplicate,) = rows_of(folder / "duplicates.csv")
        assert duplicate == {"clip_id": sounds.clips[14].clip_id, "duplicate_of": sounds.clips[3].clip_id}
        group, copy = rows_of(folder / "leaks.csv")
        assert group["name"] == "forest" and group["kind"] == "group" and copy["kind"] == "duplicate"
        assert group["clips"] == f"train: {sounds.clips[0].clip_id}; test: {sounds.clips[19].clip_id}"
        names = [
            f"{name}-{n:05d}-of-{of:05d}.array_record" for name, of in (("train", 3), ("test", 2)) for n in range(of)
        ]
        assert [entry["name"] for entry in json.loads((folder / "index.json").read_text())["shards"]] == names
        assert sum(len(clips_of(folder / name)) for name in names) == 19

    def test_levels(self, tmp_path, rng):
        pytest.importorskip("array_record", reason="writes the shards")
        noise = rng.uniform(-1, 1, 4000)
        for name, samples in {
            "quiet": 5e-4 * noise,
            "clipped": np.clip(2 * noise, -1, 1),
            "plain": 0.5 * noise,
        }.items():
            soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
        clips = [Clip(f"{name}.wav", ("noise",)) for name in ("quiet", "clipped", "plain")]
        statistics = prepare(Manifest(clips, root=tmp_path), tmp_path / "shards", progress=False)
        assert (statistics["silent"], statistics["clipped"], statistics["cut_off"]) == (1, 1, 0)
        rows = rows_of(tmp_path / "shards" / "clips.csv")
        peaks = [20 * np.log10(np.abs(read_audio(tmp_path / clip.path)[0]).max()) for clip in clips]
        np.testing.assert_allclose([float(row["peak_decibels"]) for row in rows], peaks, atol=0.01)

    def test_levels_are_those_of_the_source(self, tmp_path, rng):
        """Neither the mean of the channels nor resampling hides clipping; it counts in the channel that has most."""
        pytest.importorskip("array_record", reason="writes the shards")
        noise = 0.5 * rng.uniform(-1, 1, 4000)
        loud = noise.copy()
        loud[:6] = 1.0  # 0.15 % of its channel.
        sources = {
            "one channel": (np.stack([noise, loud], 1), "PCM_16"),
            "cancelled": (np.stack([noise, -noise], 1), "PCM_16"),
            "8 bits": (loud, "PCM_U8"),
        }
        for name, (samples, subtype) in sources.items():
            soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype=subtype)
        manifest = Manifest([Clip(f"{name}.wav", ("noise",)) for name in sources], root=tmp_path)
        for rate in (None, 8000):
            statistics = prepare(manifest, tmp_path / f"at {rate}", rate, progress=False)
            assert (statistics["silent"], statistics["clipped"]) == (0, 2)
            rows = rows_of(tmp_path / f"at {rate}" / "clips.csv")
            assert [float(row["clipped"]) for row in rows] == [6 / 4000, 0.0, 6 / 4000]
            peaks = [20 * np.log10(np.abs(soundfile.read(path)[0]).max()) for path in manifest.paths()]
            np.testing.assert_allclose([float(row["peak_decibels"]) for row in rows], peaks, atol=0.01)

    @pytest.mark.parametrize("name", ["manifest.csv", "clips.csv", "clips-00000-of-00001.json", "plan.json"])
    def test_files_of_others_are_not_replaced(self, tmp_path, monkeypatch, capsys, name):
        monkeypatch.setattr(preparation, "write_shard", None)
        (tmp_path / "report").mkdir()
        (tmp_path / "report" / name).write_text('{"name": "mine"}')
        (tmp_path / "sounds.csv").write_text("path,labels\na.wav,dog\n")
        command = ["prepare", "--data", str(tmp_path / "sounds.csv"), "--output"]
        assert cli.main([*command, str(tmp_path / "report")]) == 2
        assert f"report' has a file '{name}' that `prepare` has not written" in capsys.readouterr().err
        assert files_of(tmp_path / "report") == {name: b'{"name": "mine"}'}

    def test_the_folder_of_the_data_is_refused(self, tmp_path, capsys):
        (tmp_path / "manifest.csv").write_text("path,labels\na.wav,dog\n")
        (tmp_path / "link").symlink_to(tmp_path)
        before = sorted(tmp_path.iterdir())
        for output in (tmp_path, tmp_path / "link"):
            assert cli.main(["prepare", "--data", str(tmp_path), "--output", str(output)]) == 2
            assert f"{str(output)!r} is the folder of the data: choose another" in capsys.readouterr().err
        assert sorted(tmp_path.iterdir()) == before

    def test_addresses_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        manifest = Manifest([Clip("a.wav")], root=tmp_path / "data")
        for options in (None, []):
            with pytest.raises(ValueError, match="'gs://bucket/x' must be a folder on a file system"):
                prepare(manifest, "gs://bucket/x", pipeline_options=options)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"num_workers": 0}, "`num_workers` must be an integer of at least 1"),
            ({"num_workers": -2}, "`num_workers` must be an integer of at least 1"),
            ({"sample_rate": 0}, "`sample_rate` must be an integer of at least 1"),
            ({"sample_rate": 65537}, "`sample_rate` must be a rate that FLAC files can have"),
            ({"sample_rate": 700_000}, "`sample_rate` must be a rate that FLAC files can have.* to 655350 Hz"),
        ],
    )
    def test_arguments_out_of_range(self, tmp_path, arguments, message):
        manifest = Manifest([Clip("a.wav")], root=tmp_path)
        with pytest.raises(ValueError, match=message):
            prepare(manifest, tmp_path / "shards", format="tfrecord", **arguments)
        assert not (tmp_path / "shards").exists()

    def test_rates_that_flac_does_not_take(self, tmp_path, rng):
        pytest.importorskip("array_record", reason="writes the shards")
        for name, rate in (("fast", 700_000), ("slow", RATE)):
            soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, 1000), rate)
        manifest = Manifest([Clip("fast.wav"), Clip("slow.wav")], root=tmp_path)
        for name in "ab":
            assert prepare(manifest, tmp_path / name, progress=False)["failed"] == 1
        assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
        (failure,) = rows_of(tmp_path / "a" / "failures.csv")
        expected = "cannot be written as FLAC at 700000 Hz (flac does not support this sample rate)"
        assert failure["reason"] == expected

    def test_killed_and_run_again_gives_the_same_bytes(self, sounds, tmp_path):
        sounds.write(tmp_path / "sounds.csv")
        command = [
            sys.executable,
            "-m",
            "keras_audio_si",
            "prepare",
            "--data",
            str(tmp_path / "sounds.csv"),
            "--workers",
        ]
        command += ["1", "--clips-per-shard", "2", "--output"]
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        subprocess.run([*command, str(whole)], check=True, capture_output=True)
        kills = 0
        for wanted in (1, 4):  # Finished shards before each kill.
            run = subprocess.Popen([*command, str(cut)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while run.poll() is None and len(list(cut.glob("*-of-*.json"))) < wanted:
                time.sleep(0.001)
            run.send_signal(signal.SIGKILL)
            kills += run.wait() == -signal.SIGKILL
        assert kills
        subprocess.run([*command, str(cut)], check=True, capture_output=True)
        assert files_of(cut) == files_of(whole)

    def test_finished_shards_are_kept(self, sounds, tmp_path):
        folder = tmp_path / "shards"
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        before, times = files_of(folder), {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
        (folder / "train-00001-of-00003.json").unlink()
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        assert files_of(folder) == before
        after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
        assert [name for name in after if after[name] != times[name]] == ["train-00001-of-00003.array_record"]

    @pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
    def test_a_damaged_shard_is_written_anew(self, sounds, tmp_path, capsys, damage):
        folder = tmp_path / "shards"
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        before, path = files_of(folder), folder / "train-00001-of-00003.array_record"
        capsys.readouterr()
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        assert capsys.readouterr().err == ""
        path.write_bytes(damage(path.read_bytes()))
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"{path} is damaged (another SHA-256 than in {path.stem}.json): writing it anew."
        assert files_of(folder) == before

    @pytest.mark.parametrize(
        "damage",
        [
            lambda facts: facts.pop("clips"),
            lambda facts: facts.pop("sha256"),
            lambda facts: facts["clips"].pop(),
            lambda facts: facts["clips"].insert(0, {"seconds": 1}),
            lambda facts: facts["clips"][1].update(error="x"),
            lambda facts: facts["clips"][1].update(seconds=float("nan")),
            lambda facts: facts["clips"].__setitem__(1, {"seconds": 1.0}),
            lambda facts: facts["clips"].__setitem__(0, facts["clips"][1]),  # That of the clip that is left out.
            None,
        ],
    )
    def test_damaged_facts_are_written_anew(self, sounds, tmp_path, capsys, damage):
        folder = tmp_path / "shards"
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        before, path = files_of(folder), folder / "train-00001-of-00003.json"
        if damage is None:
            path.write_bytes(before[path.name][:20])
        else:
            facts = json.loads(before[path.name])
            damage(facts)
            path.write_text(json.dumps(facts))
        capsys.readouterr()
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        assert capsys.readouterr().err == f"{path} is damaged: writing it and its shard anew.\n"
        assert files_of(folder) == before

    def test_facts_that_are_damaged_meanwhile(self, sounds, tmp_path):
        prepare(sounds, tmp_path / "shards", progress=False)
        path = tmp_path / "shards" / "train-00000-of-00001.json"
        path.write_text("{}")
        with pytest.raises(ValueError, match=f"{path} is damaged: run `prepare` again, which writes its shard anew"):
            preparation.finish(sounds, path.parent, plan_shards(sounds, path.parent, None, 1000, "arrayrecord"))

    def test_an_unfinished_folder_is_not_read(self, sounds, tmp_path):
        folder = tmp_path / "shards"
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        (folder / "index.json").unlink()
        for _ in range(2):  # With a manifest, whose classes would be in another order, and without.
            for layout in ("auto", "prepared"):
                with pytest.raises(
                    ValueError, match=f"{folder} has data that `prepare` has not finished, .*: run it again"
                ):
                    read_dataset(folder, layout)
            found = find_audio([folder, sounds.paths()[0]])
            assert [file.path for file in found] == [str(folder), str(sounds.paths()[0])]
            assert "has not finished, or a damaged index: run it" in found[0].problem and found[1].problem is None
            (folder / "manifest.csv").unlink(missing_ok=True)
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        assert len(read_dataset(folder)) == 19

    def test_what_became_of_listed_shards_is_said_by_tag(self, sounds, tmp_path):
        folder = tmp_path / "shards"
        prepare(sounds, folder, clips_per_shard=5, progress=False)
        names = ["train-00001-of-00003.array_record", "train-00002-of-00003.array_record"]
        (folder / names[0]).unlink()
        (folder / names[1]).write_bytes((folder / names[1]).read_bytes()[:1000])
        found = find_audio([folder])
        problems = {os.path.basename(file.path): file.problem for file in found if file.problem}
        assert sorted(problems) == names and len(found) == 19 - 4 - 2 + 2
        assert problems[names[0]].startswith("is not there, but index.json lists it: `prepare` run again writes it")
        assert problems[names[1]].startswith("is damaged (another SHA-256 than in index.json): `prepare` run again")

    @pytest.mark.parametrize("index", ["", '{"shards": [', '{"shards": ["of another program"]}', '{"shards": []}'])
    def test_a_folder_with_a_damaged_index_is_not_read(self, index, sounds, tmp_path):
        folder = tmp_path / "shards"
        prepare(sounds, folder, progress=False)
        whole = (folder / "index.json").read_bytes()
        (folder / "index.json").write_text(index)
        assert [file.problem for file in find_audio([folder])] == [UNFINISHED]
        with pytest.raises(ValueError, match="or a damaged index: run it again"):
            read_dataset(folder)
        prepare(sounds, folder, progress=False)
        assert (folder / "index.json").read_bytes() == whole and len(find_audio([folder])) == 19

    def test_other_settings_or_files_are_refused(self, sounds, tmp_path):
        folder = tmp_path / "shards"
        prepare(sounds, folder, 8000, progress=False)
        with pytest.raises(ValueError, match="sample_rate 8000 there and 16000 here.*choose another folder"):
            prepare(sounds, folder, 16000, progress=False)
        os.utime(sounds.paths()[0], (1, 1))
        with pytest.raises(ValueError, match="a file, label or split has changed"):
            prepare(sounds, folder, 8000, progress=False)

    def test_splits_name_no_other_folder(self, tmp_path):
        manifest = Manifest([Clip("a.wav", split="../../up"), Clip("b.wav")])
        shards = plan_shards(manifest, tmp_path, None, 10, "tfrecord")
        assert [os.path.relpath(shard.path, tmp_path) for shard in shards] == [
            "_._.._up-00000-of-00001.tfrecord",
            "clips-00000-of-00001.tfrecord",
        ]

    @pytest.mark.parametrize("splits", [("dev 1", "dev_1"), ("Train", "train"), ("..", "_.")])
    def test_splits_share_no_shard(self, tmp_path, splits):
        manifest = Manifest([Clip(f"{split}.wav", split=split) for split in splits])
        with pytest.raises(ValueError, match=f"'{splits[0]}' and '{splits[1]}' would have shards of one name"):
            prepare(manifest, tmp_path / "shards", format="tfrecord")
        assert not (tmp_path / "shards").exists()

    def test_names_of_splits_fit_into_file_names(self, tmp_path):
        pytest.importorskip("array_record", reason="writes the shards")
        with pytest.raises(ValueError, match="The split 'a{40}'... must have a name of at most 200 bytes: rename it"):
            prepare(Manifest([Clip("a.wav", split=300 * "a")]), tmp_path / "shards", format="tfrecord")
        soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
        manifest = Manifest([Clip("a.wav", split=100 * "ä")], root=tmp_path)
        assert prepare(manifest, tmp_path / "shards", progress=False)["clips"] == 1

    def test_what_could_not_be_read_is_tried_again(self, sounds, tmp_path, monkeypatch):
        folder, locked = tmp_path / "shards", str(sounds.paths()[7])
        with monkeypatch.context() as patched:
            patched.setattr("os.access", lambda path, mode: str(path) != locked)
            assert prepare(sounds, folder, clips_per_shard=5, progress=False)["failed"] == 2
            times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
            assert prepare(sounds, folder, clips_per_shard=5, progress=False)["failed"] == 2
            assert times == {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
        shards = plan_shards(sounds, folder, None, 5, "arrayrecord")
        assert len(list(preparation.write_shard(shards[1]))) == 5
        assert not (folder / "manifest.csv").exists()  # Until the end: its numbers are those of the old shard.
        assert prepare(sounds, folder, clips_per_shard=5, progress=False)["failed"] == 1
        after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.array_record")}
        assert [name for name in after if after[name] != times[name]] == ["train-00001-of-00003.array_record"]
        prepare(sounds, tmp_path / "whole", clips_per_shard=5, progress=False)
        assert files_of(folder) == files_of(tmp_path / "whole")

    @pytest.mark.parametrize(
        "plan, message",
        [
            ('{"clips": [', "shards' has a file 'plan.json' that `prepare` has not written, or that is damaged"),
            ('{"clips_per_shard": ', "shards/plan.json must be a JSON file"),
        ],
    )
    def test_a_damaged_plan_is_named(self, sounds, tmp_path, plan, message):
        prepare(sounds, tmp_path / "shards", clips_per_shard=10, progress=False)
        (tmp_path / "shards" / "plan.json").write_text(plan)
        with pytest.raises(ValueError, match=message):
            prepare(sounds, tmp_path / "shards", clips_per_shard=10, progress=False)

    def test_labels_that_no_manifest_can_have(self, tmp_path):
        manifest = Manifest([Clip("a.wav", ("dog;rain",))], root=tmp_path)
        with pytest.raises(ValueError, match="'dog;rain' contains ';'"):
            prepare(manifest, tmp_path / "shards", format="tfrecord")
        assert not (tmp_path / "shards").exists()

    def test_nothing_can_be_read(self, tmp_path):
        pytest.importorskip("array_record", reason="writes the shards")
        with pytest.raises(ValueError, match="None of the 1 clips could be read.*no such file"):
            prepare(Manifest([Clip("gone.wav")], root=tmp_path), tmp_path / "shards", progress=False)

    def test_command(self, sounds, tmp_path, capsys):
        sounds.write(tmp_path / "sounds.csv")
        arguments = ["prepare", "--data", str(tmp_path / "sounds.csv"), "--output", str(tmp_path / "shards")]
        assert cli.main([*arguments, "--sample-rate", "8000"]) == 0
        printed = capsys.readouterr()
        assert "19 clips of 10 classes" in printed.out and "1 cannot be read" in printed.out
        assert {audio_info(path).sample_rate for path in read_dataset(tmp_path / "shards").paths()} == {8000}
        assert cli.main([*arguments, "--sample-rate", "16000"]) == 2
        assert "with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["esc50", "fsd50k", "urbansound8k", "speech_commands_v2", "audioset", "nsynth", "urbansound8k_real"]
)
def test_every_layout(name, shared_data, tmp_path):
    pytest.importorskip("array_record", reason="writes the shards")
    manifest = read_dataset(shared_data / name)
    manifest = manifest.subset(np.linspace(0, len(manifest) - 1, min(12, len(manifest))).astype(int))
    statistics = prepare(manifest, tmp_path / "shards", RATE, clips_per_shard=5, progress=False)
    found = read_dataset(tmp_path / "shards")
    assert statistics["clips"] + statistics["failed"] == len(manifest) and found.class_names == manifest.class_names
    by_id = {clip.clip_id: path for clip, path in zip(manifest.clips, manifest.paths(), strict=True)}
    for clip, path in zip(found.clips, found.paths(), strict=True):
        original = read_audio(by_id[clip.clip_id], RATE)[0]
        atol = 1.01 * STEP * max(1.0, np.abs(original).max())
        np.testing.assert_allclose(read_audio(path)[0], original, rtol=0, atol=atol)
