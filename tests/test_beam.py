"""Shards and tags by Apache Beam: to the byte those of one process, whatever interrupts it."""

import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import soundfile
from classifiers import RATE, small_classifier

from keras_audio_si.beam import check_written, run_pipeline
from keras_audio_si.cli import main as cli
from keras_audio_si.data import Manifest, preparation, prepare, read_dataset, write_dataset
from keras_audio_si.data.manifest import Clip
from keras_audio_si.inference.tagging import GROUP_FILES, find_audio, tag_files

pytestmark = pytest.mark.once
SUFFIX = ".array_record"
PREPARE = ("--clips-per-shard", "2")


@pytest.fixture(scope="module")
def beam():
    return pytest.importorskip("apache_beam", reason="the extra beam is not installed")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """The path of a manifest: clips of two splits, of which one is no audio and one a copy."""
    pytest.importorskip("array_record", reason="writes the shards")
    folder = tmp_path_factory.mktemp("sounds")
    manifest = write_dataset(folder, num_clips=20, min_seconds=0.3, max_seconds=0.6)
    paths = manifest.paths()
    shutil.copy(paths[3], paths[14])
    paths[5].write_text("not audio")
    clips = [
        dataclasses.replace(clip, split="train" if number < 12 else "test", fold=number % 3)
        for number, clip in enumerate(manifest.clips)
    ]
    dataclasses.replace(manifest, clips=clips).write(folder / "sounds.csv")
    return folder / "sounds.csv"


@pytest.fixture(scope="module")
def local(sounds, tmp_path_factory):
    """Files of the shards that one process writes, by name."""
    folder = tmp_path_factory.mktemp("local")
    prepare(read_dataset(sounds), folder, clips_per_shard=2, progress=False)
    return files_of(folder)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def forkserver(module):
    """Starts processes that have imported Apache Beam and a module of ours."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["apache_beam", "keras_audio_si.cli.commands", module])
    return processes


class TestPrepare:
    def test_the_same_bytes_and_finished_shards_are_kept(self, beam, sounds, local, tmp_path, capsys):
        command = ["prepare", "--data", str(sounds), "--output", str(tmp_path), *PREPARE, "--beam"]
        assert cli.main([*command, "--runner=DirectRunner"]) == 0
        assert "19 clips" in capsys.readouterr().out
        assert files_of(tmp_path) == local and b"not audio" in local["failures.csv"]
        assert len(read_dataset(tmp_path)) == 19
        times = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"[!.]*{SUFFIX}")}
        (tmp_path / "train-00001-of-00006.json").unlink()
        assert cli.main([*command, "--direct_num_workers=2", "--direct_running_mode=multi_threading"]) == 0
        assert files_of(tmp_path) == local
        assert [path.name for path in times if path.stat().st_mtime_ns != times[path]] == [
            f"train-00001-of-00006{SUFFIX}"
        ]

    def test_workers_have_another_working_folder(self, sounds, local, tmp_path, monkeypatch):
        """The transform runs here, in another folder and in another order."""

        class FakeBeam:
            @staticmethod
            def Map(function, *arguments):
                return lambda element: function(element, *arguments)

        def run(elements, transform, pipeline_options):
            assert pipeline_options == ["--runner=any"]
            with monkeypatch.context() as patched:
                patched.chdir("/")
                for element in reversed(elements):
                    transform(FakeBeam)(element)

        monkeypatch.setattr(preparation, "run_pipeline", run)
        monkeypatch.chdir(sounds.parent)
        manifest = dataclasses.replace(read_dataset(sounds), root=os.curdir)
        output = os.path.relpath(tmp_path)
        prepare(manifest, output, clips_per_shard=2, pipeline_options=["--runner=any"])
        found = files_of(tmp_path)
        assert found.keys() == local.keys()
        assert all(found[name] == local[name] for name in local if name.endswith((SUFFIX, ".json")))

    def test_a_folder_that_is_not_shared(self, sounds, tmp_path, monkeypatch):
        monkeypatch.setattr(preparation, "run_pipeline", lambda *args: None)
        with pytest.raises(FileNotFoundError, match="train-00000-of-00001.json.*must be on a file system that the"):
            prepare(read_dataset(sounds), tmp_path, pipeline_options=[])

    def test_an_error_of_a_worker_is_one_line(self, beam, sounds, tmp_path, capsys, monkeypatch):
        def full(path):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(preparation, "shard_writer", full)
        arguments = ["--data", str(sounds), "--output", str(tmp_path / "shards"), *PREPARE, "--beam"]
        assert cli.main(["prepare", *arguments]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert "The pipeline of Apache Beam failed" in line and "no space left on device" in line
        assert "Traceback" not in line and not list((tmp_path / "shards").glob(f"*{SUFFIX}"))

    @pytest.mark.slow
    @pytest.mark.parametrize("mode, wanted", [("local", 20), ("multi_threading", 20), ("multi_processing", 5)])
    def test_killed_many_times(self, request, sounds, local, tmp_path, mode, wanted):
        command = ["prepare", "--data", str(sounds), "--output", str(tmp_path), *PREPARE]
        if mode != "local":
            request.getfixturevalue("beam")
            command += ["--beam", "--direct_num_workers=2", f"--direct_running_mode={mode}"]
        processes = forkserver("keras_audio_si.data.preparation")
        draw, kills = random.Random(0), 0
        while kills < wanted:
            for path in draw.sample(sorted(tmp_path.glob("*-of-*.json")), len(list(tmp_path.glob("*-of-*.json"))) // 2):
                path.unlink()  # So that there is work for every run.
            (tmp_path / "index.json").unlink(missing_ok=True)
            before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"[!.]*{SUFFIX}")}
            run = processes.Process(target=cli.main, args=(command,))
            run.start()
            while run.is_alive() and before == {p: p.stat().st_mtime_ns for p in tmp_path.glob(f"[!.]*{SUFFIX}")}:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.1))
            run.kill()
            run.join()
            kills += run.exitcode == -signal.SIGKILL
            whole = {name: data for name, data in files_of(tmp_path).items() if name in local}
            assert whole.items() <= local.items()
        assert cli.main(command) == 0
        assert files_of(tmp_path) == local


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.keras"
    small_classifier(("dog", "rain", "wind", "bell")).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """More files than a group, of one window and of several, one of them broken."""
    folder, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    for number in range(GROUP_FILES + 5):
        soundfile.write(folder / f"{number:02}.wav", rng.uniform(-0.5, 0.5, 3000 + 1300 * (number % 4)), RATE)
    (folder / "03 broken.wav").write_bytes(b"not audio")
    return folder


class TestTag:
    @pytest.mark.parametrize("choice", [["--output", "tags.csv"], ["--windows", "--output", "tags.json"]])
    def test_writes_the_same_file(self, beam, model, folder, tmp_path, monkeypatch, capsys, choice):
        monkeypatch.chdir(tmp_path)
        arguments, output = ["tag", str(model), os.path.relpath(folder), *choice], tmp_path / choice[-1]
        assert cli.main(arguments) == 1
        expected = output.read_bytes()
        output.unlink()
        assert cli.main([*arguments, "--beam", "--direct_num_workers=2", "--direct_running_mode=multi_threading"]) == 1
        assert output.read_bytes() == expected and expected.count(b"not audio") == 1
        assert [path.name for path in tmp_path.iterdir()] == [output.name]
        assert "03 broken.wav: is not audio" in capsys.readouterr().err

    @pytest.mark.slow
    @pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
    def test_killed_after_a_group(self, beam, model, folder, tmp_path, mode):
        command, output = ["tag", str(model), str(folder), "--output"], tmp_path / "tags.json"
        assert cli.main([*command, str(tmp_path / "local.json")]) == 1
        command += [str(output), "--beam", "--direct_num_workers=2", f"--direct_running_mode={mode}"]
        for _ in range(3):
            run = forkserver("keras_audio_si.inference.beam_tagging").Process(target=cli.main, args=(command,))
            run.start()
            while run.is_alive() and not list(tmp_path.glob("*/0*.json")):
                time.sleep(0.001)
            run.kill()
            run.join()
            assert run.exitcode == -signal.SIGKILL and not output.exists()
            kept = list(tmp_path.glob("*/0*.json"))
            assert kept
            kept[0].unlink()  # So that there is work for every run.
        assert cli.main(command) == 1
        got, expected = (json.loads(path.read_text()) for path in (output, tmp_path / "local.json"))
        assert got["classes"] == expected["classes"]
        for one, other in zip(got["results"], expected["results"], strict=True):
            assert (one["file"], one.get("error")) == (other["file"], other.get("error"))
            # A worker is another process, in which TensorFlow's last bit may differ.
            np.testing.assert_allclose(one.get("scores", 0), other.get("scores", 0), atol=1e-6)
        assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["local.json", "tags.json"]

    def test_finished_groups_are_kept(self, beam, folder, tmp_path):
        from keras_audio_si.inference.beam_tagging import tag_files_by_beam

        model, files = small_classifier(("dog", "rain")), find_audio([folder])

        def times():
            return [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("0*.json"))]

        def check(files, changed):
            before = times()
            for found, wanted in zip(
                tag_files_by_beam(model, files, tmp_path, []), tag_files(model, files), strict=True
            ):
                assert (found.path, found.error, found.seconds) == (wanted.path, wanted.error, wanted.seconds)
                np.testing.assert_array_equal(found.scores, wanted.scores)
            assert [one != other for one, other in zip(before, times(), strict=False)] == changed

        check(files, [])
        check(files, [True, False])  # The first has the broken file.
        good = [file for file in files if "broken" not in file.path]
        for path in tmp_path.glob("0*.json"):
            path.unlink()
        check(good, [])
        check(good, [False, False])
        os.utime(good[-1].path, (1, 1))
        list(tag_files_by_beam(model, good, tmp_path, []))
        assert len(times()) == 3

    def test_a_worker_with_another_backend(self, beam, model):
        from keras_audio_si.inference.beam_tagging import TagHandler

        with pytest.raises(ValueError, match="set KERAS_BACKEND=other for the workers"):
            TagHandler(str(model), "other").load_model()

    @pytest.mark.parametrize("arguments", [["a.wav"], ["-", "--pcm-rate", "8000", "--output", "tags.csv"]])
    def test_what_does_not_go_together(self, model, arguments, capsys):
        assert cli.main(["tag", str(model), *arguments, "--beam"]) == 2
        assert "`--beam` needs `--output`, and files rather than `-`" in capsys.readouterr().err


class TestPipeline:
    def test_direct_runner_fetches_no_program(self, beam, tmp_path, monkeypatch):
        from apache_beam.runners.portability import prism_runner

        fetched = []
        monkeypatch.setattr(prism_runner.PrismRunner, "run_pipeline", lambda *args: fetched.append(args))
        written = [str(tmp_path / name) for name in "ab"]
        run_pipeline(written, lambda beam: beam.Map(_touch), ["--runner=DirectRunner"])
        check_written([tmp_path / name for name in "ab"])
        assert not fetched

    def test_apache_beam_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "apache_beam", None)
        soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
        manifest = Manifest([Clip("a.wav")], root=tmp_path)
        with pytest.raises(ImportError, match=r"keras-audio-si\[beam\]"):
            prepare(manifest, tmp_path / "shards", pipeline_options=[])

    def test_unknown_flags(self, beam, monkeypatch):
        with pytest.raises(ValueError, match="no flag --direct_num_worker. Did you mean '--direct_num_workers'"):
            run_pipeline([], None, ["--direct_num_worker=2"])
        with pytest.raises(ValueError, match="no flag all: remove it"):
            run_pipeline([], None, ["--runner=DirectRunner", "--streaming", "all"])

        def reached(options):
            raise RuntimeError("reached")

        monkeypatch.setattr(beam, "Pipeline", reached)
        with pytest.raises(OSError, match="reached"):  # The job server may know it.
            run_pipeline([], None, ["--runner=FlinkRunner", "--parallelism=2"])

    def test_flags_of_the_command_come_first(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["prepare", "--data", "a", "--output", "b", "--beam", "--runner=FlinkRunner", "--workers=2"])
        assert "--workers=2 must come before --beam" in capsys.readouterr().err


def _touch(path):
    open(path, "w").close()
