"""Runs of `tag` and `embed` over many files that are interrupted and continued."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import soundfile
from classifiers import RATE, small_classifier

import keras_audio_si
from keras_audio_si.cli import main as cli
from keras_audio_si.inference import tagging
from keras_audio_si.inference.events import Event
from keras_audio_si.inference.part_file import PartFile, digest_of
from keras_audio_si.inference.tagging import FileScores, FoundFile

NAMES = ("dog", "rain")
CHOICES = {
    "windows": ["--windows", "--hop-seconds", "0.1", "--output", "tags.json"],
    "events": ["--events", "--threshold", "0.4", "--offset-threshold", "0.4", "--output", "events.jsonl"],
    "embed": ["--output", "embeddings.npz"],
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.keras"
    small_classifier(NAMES).save(path)
    return path


@pytest.fixture
def sounds(tmp_path, rng):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(6):
        samples = rng.uniform(-0.4, 0.4, 3000 + 500 * number) * np.linspace(1e-3, 1, 3000 + 500 * number)
        soundfile.write(folder / f"{number}.wav", samples, RATE, subtype="FLOAT")
    (folder / "broken.wav").write_bytes(b"not audio")
    return folder


@pytest.fixture
def scored(monkeypatch):
    """Names of the files that are decoded; `scored.stop` names the one that is interrupted, as by Ctrl-C."""

    class Scored(list):
        stop = None

    scored, stream_audio = Scored(), tagging.stream_audio

    def stream(path, *args, **kwargs):
        if os.path.basename(path) == scored.stop:
            raise KeyboardInterrupt
        scored.append(os.path.basename(path))
        return stream_audio(path, *args, **kwargs)

    monkeypatch.setattr(tagging, "stream_audio", stream)
    return scored


@pytest.fixture
def run(saved, sounds, tmp_path, monkeypatch, capsys):
    """`run(*arguments)` tags the sounds and returns exit code and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, command="tag", model=saved, batch_size=4):
        code = cli.main([command, str(model), str(sounds), *arguments, "--batch-size", str(batch_size)])
        return code, capsys.readouterr().err

    return run


@pytest.mark.first
@pytest.mark.parametrize("choice", CHOICES)
def test_an_interrupted_run_continues_and_writes_the_same(run, scored, tmp_path, choice):
    arguments, command = CHOICES[choice], "embed" if choice == "embed" else "tag"
    output, part = tmp_path / arguments[-1], tmp_path / f"{arguments[-1]}.part"
    assert run(*arguments, command=command)[0] == 1  # For the broken file.
    whole = output.read_bytes()
    assert len(scored) == 7 and not part.exists()
    output.unlink()
    scored.stop = "4.wav"
    code, err = run(*arguments, command=command)
    assert code == 130 and part.exists() and not output.exists() and "the same command continues" in err
    kept = len(part.read_bytes().splitlines()) - 1
    assert 1 <= kept <= 4
    scored.clear()
    scored.stop = None
    code, err = run(*arguments, command=command)
    assert code == 1 and f"Resuming: {kept} of 7 files done" in err
    assert scored == [f"{number}.wav" for number in range(kept, 6)] + ["broken.wav"]
    assert output.read_bytes() == whole and sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["sounds", output.name]
    )


def scores_of(files):
    """Scores that the names of the files decide; a file that is called broken has an error."""
    for path, _ in files:
        name = os.path.basename(path)
        error = "is not audio" if name.startswith("broken") else None
        none, rows = np.zeros(0), np.full((1, 2), hash(name) % 1000, "float32")
        arrays = (none, none, rows[:0]) if error else (np.zeros(1), np.ones(1), rows)
        yield FileScores(path, 1.0, *arrays, error), None


@pytest.mark.once
class TestPart:
    RUN = {"windows": False, "thresholds": (0.5, 0.25)}

    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("0.wav", "1.wav", "2.wav", "3.wav", "broken.wav"):
            (tmp_path / name).write_bytes(b"abc")
        return tmp_path

    def completed(self, folder, stop=None, run=None):
        """Names of the files that were scored; checks that the results are those of all files, in order."""
        scored = []

        def score(files, count):
            for result in scores_of(files):
                if os.path.basename(result[0].path) == stop:
                    raise KeyboardInterrupt
                scored.append(os.path.basename(result[0].path))
                yield result
            assert len(scored) == count

        files = [FoundFile(str(path)) for path in sorted(folder.glob("*.wav"))]
        with contextlib.suppress(KeyboardInterrupt), PartFile(folder / "tags.csv", run or self.RUN) as part:
            for (result, _), (wanted, _) in zip(part.completed(files, score), scores_of(files), strict=True):
                assert (result.path, result.error) == (wanted.path, wanted.error)
                np.testing.assert_array_equal(result.scores, wanted.scores)
        assert part.path.exists() == (len(scored) > 0 and stop is not None)
        return scored

    @pytest.fixture
    def part(self, folder):
        """The file of a run in which three files were finished."""
        assert self.completed(folder, stop="3.wav") == ["0.wav", "1.wav", "2.wav"]
        return folder / "tags.csv.part"

    def test_what_is_finished_is_not_done_again(self, folder, part):
        assert self.completed(folder, stop="broken.wav") == ["3.wav"]
        assert self.completed(folder) == ["broken.wav"]
        assert len(self.completed(folder)) == 5

    def test_files_that_changed_are_done_again(self, folder, part):
        os.utime(folder / "1.wav", ns=(1, 1))
        (folder / "2.wav").write_bytes(b"abcd")
        assert self.completed(folder, stop="3.wav") == ["1.wav", "2.wav"]
        assert self.completed(folder) == ["3.wav", "broken.wav"]

    def test_a_file_that_changes_while_it_is_read_is_done_again(self, folder):
        def score(files, count):
            for result in scores_of(files):
                if result[0].path.endswith("2.wav"):
                    raise KeyboardInterrupt
                (folder / "0.wav").write_bytes(b"abcd")
                yield result

        files = [FoundFile(str(folder / f"{number}.wav")) for number in range(3)]
        with pytest.raises(KeyboardInterrupt), PartFile(folder / "tags.csv", self.RUN) as part:
            part.completed(files, score)
        assert self.completed(folder) == ["0.wav", "2.wav", "3.wav", "broken.wav"]

    @pytest.mark.parametrize("end", [b"", b'{"file": "x', b"\0\0\0\n", b"5\n", b"{}\n", b'{"file": 3}\n'])
    def test_a_line_that_is_not_complete_is_done_again(self, folder, part, end):
        part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:-1]) + end)
        assert self.completed(folder, stop="3.wav") == ["2.wav"]
        assert self.completed(folder) == ["3.wav", "broken.wav"]

    def test_new_and_missing_files(self, folder, part):
        (folder / "0.wav").unlink()
        (folder / "00.wav").write_bytes(b"abc")
        assert self.completed(folder) == ["00.wav", "3.wav", "broken.wav"]

    def test_a_file_that_failed_is_done_again(self, folder):
        (folder / "broken.wav").rename(folder / "broken 0.wav")
        (folder / "4.wav").write_bytes(b"abc")
        assert self.completed(folder, stop="broken 0.wav") == ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav"]
        (folder / "broken 0.wav").rename(folder / "00 broken.wav").rename(folder / "broken.wav")
        assert self.completed(folder) == ["broken.wav"]

    def test_other_settings_are_refused(self, folder, part):
        kept = part.read_bytes()
        with pytest.raises(ValueError, match="other settings: windows False there and True here. .*remove the file"):
            self.completed(folder, run=self.RUN | {"windows": True})
        with pytest.raises(ValueError, match="another model"):
            self.completed(folder, run=self.RUN | {"model": "b"})
        assert part.read_bytes() == kept

    def test_another_file_of_that_name(self, folder):
        (folder / "tags.csv.part").write_text("mine\n")
        with pytest.raises(ValueError, match="it is another file"):
            self.completed(folder)
        assert (folder / "tags.csv.part").read_text() == "mine\n"

    def test_a_run_that_had_finished_nothing_hinders_none(self, folder):
        assert self.completed(folder, stop="0.wav") == []
        (folder / "tags.csv.part").write_text('{"keras-aud')  # Killed as it began.
        assert len(self.completed(folder)) == 5
        with pytest.raises(ValueError, match="wrong"), PartFile(folder / "tags.csv", {"other": 1}):
            raise ValueError("wrong")
        assert len(self.completed(folder)) == 5

    @pytest.mark.skipif(os.name == "nt", reason="no flock on Windows")
    def test_two_runs_at_a_time(self, folder):
        with PartFile(folder / "tags.csv", {}), pytest.raises(BlockingIOError, match="in use by another run"):
            self.completed(folder)

    def test_results_are_kept_to_the_bit(self, tmp_path, rng):
        events = [Event(0.1, 1 / 3, "a\tb", 0.7), Event(1.0, 2.0, "dog", 0.5)]
        results = [
            (FileScores("a.wav", 0.1, *rng.uniform(size=(2, 3)), rng.uniform(size=(3, 4)).astype("float32")), None),
            (FileScores("b.wav", 0.0, np.zeros(0), np.zeros(0), np.zeros((0, 4)), "is empty", None), None),
            (FileScores("\udcff.wav", 1 / 3, *rng.uniform(size=(2, 1)), rng.uniform(size=(1, 4)), None, "cut"), None),
            (FileScores("c.wav", 9.0, np.zeros(0), np.zeros(0), np.zeros((0, 0))), events),
        ]

        def score(files, count):
            return (result for _, result in zip(files, results, strict=True))

        with PartFile(tmp_path / "a", {}) as part:
            kept = part.completed([FoundFile(result.path) for result, _ in results], score)
            for (result, events), (wanted, wanted_events) in zip(kept, results, strict=True):
                assert events == wanted_events and result[:2] == wanted[:2] and result[5:] == wanted[5:]
                for array, wanted_array in zip(result[2:5], wanted[2:5], strict=True):
                    assert array.dtype == wanted_array.dtype
                    np.testing.assert_array_equal(array, wanted_array)

    def test_a_process_that_was_killed(self, saved, sounds, tmp_path, capsys):
        """By SIGKILL, in another process, once some files are done."""
        for number in range(6, 60):
            os.link(sounds / "5.wav", sounds / f"{number}.wav")
        arguments = ["tag", str(saved), str(sounds), "--events", "--batch-size", "1", "--output"]
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(keras_audio_si.__file__).parent.parent)}
        output, part = tmp_path / "killed.csv", tmp_path / "killed.csv.part"
        command = [sys.executable, "-m", "keras_audio_si", *arguments, str(output)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (part.exists() and part.read_bytes().count(b"\n") > 5):
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL and [path.name for path in tmp_path.glob("*killed*")] == [part.name]
        assert cli.main([*arguments, str(output)]) == 1
        assert "Resuming: " in capsys.readouterr().err
        assert cli.main([*arguments, str(tmp_path / "whole.csv")]) == 1
        assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_digest_of_a_model_is_that_of_its_copy(saved):
    digest = digest_of(keras.models.load_model(saved))
    assert digest == digest_of(keras.models.load_model(saved)) != digest_of(small_classifier(("a", "b")))
