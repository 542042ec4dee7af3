import csv
import io
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile
from classifiers import RATE, small_classifier

from keras_audio_si.cli import main as cli
from keras_audio_si.data.audio_io import AudioError, read_audio
from keras_audio_si.data.audio_stream import stream_audio, stream_pcm
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.evaluation.clips import average_over_clips
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.inference.tag_tables import Progress, write_tags
from keras_audio_si.inference.tagging import (
    FileScores,
    FoundFile,
    choose_tags,
    cut_windows,
    find_audio,
    tag_files,
)
from keras_audio_si.layers import ClassScores

NAMES = ("dog", "rain", "sea waves", "file")


@pytest.fixture(scope="module")
def model():
    return small_classifier(NAMES)


@pytest.fixture
def sounds(tmp_path, rng):
    """A folder of noise of several lengths at two rates, a damaged file, and a text."""
    folder = tmp_path / "sounds"
    (folder / "deep" / "er").mkdir(parents=True)
    for name, rate, samples in (
        ("a.wav", RATE, 20000),
        ("b short.WAV", RATE, 300),
        ("deep/c.flac", 2 * RATE, 30001),
        ("deep/er/d.wav", RATE, 1700),
    ):
        soundfile.write(folder / name, rng.uniform(-0.4, 0.4, samples), rate)
    (folder / "deep" / "broken.ogg").write_bytes(b"not audio")
    (folder / "notes.txt").write_text("no sound")
    return folder


def command(capsys, *args):
    code = cli.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.once
class TestStream:
    @pytest.mark.parametrize("target", [8000, 11025, 22050, 96000])
    @pytest.mark.parametrize("block_frames", [700, 1 << 16])
    def test_blocks_are_the_whole_waveform(self, tmp_path, rng, target, block_frames):
        path = tmp_path / "a.wav"
        soundfile.write(path, rng.uniform(-1, 1, (30011, 2)), 22050, subtype="FLOAT")
        blocks = list(stream_audio(path, target, block_frames))
        whole, _ = read_audio(path, target)
        assert np.concatenate(blocks).dtype == np.float32
        np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=0, atol=1e-6)
        assert len(blocks) > 10 or block_frames > 700

    @pytest.mark.parametrize("name, options", [("a.opus", {"format": "OGG", "subtype": "OPUS"}), ("a.sds", {})])
    def test_blocks_of_formats_that_are_not_exact_at_any_sample(self, tmp_path, rng, name, options):
        soundfile.write(tmp_path / name, rng.uniform(-0.3, 0.3, 30011), 48000, **options)
        blocks = list(stream_audio(tmp_path / name, 48000, block_frames=1000))
        np.testing.assert_array_equal(np.concatenate(blocks), read_audio(tmp_path / name)[0])

    @pytest.mark.parametrize("dtype, subtype", [("int16", "PCM_16"), ("int32", "PCM_32"), ("float32", "FLOAT")])
    @pytest.mark.parametrize("target", [8000, 22050])
    def test_samples_without_a_header(self, tmp_path, rng, dtype, subtype, target):
        path = tmp_path / "a.wav"
        soundfile.write(path, rng.uniform(-1, 1, (30011, 2)), 22050, subtype=subtype)
        raw = soundfile.read(path, dtype=dtype)[0].tobytes()
        blocks = list(stream_pcm(io.BytesIO(raw), 22050, target, channels=2, dtype=dtype, block_frames=700))
        np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(list(stream_audio(path, target, 700))))

    @pytest.mark.parametrize(
        "raw, reason", [(b"", "holds no samples"), (b"abc", "ends within a sample"), (np.float32(np.nan), "NaN")]
    )
    def test_samples_without_a_header_that_are_wrong(self, raw, reason):
        with pytest.raises(AudioError, match=f"mic: .*{reason}"):
            list(stream_pcm(io.BytesIO(bytes(raw)), 8000, 8000, dtype="float32", name="mic"))

    def test_blocks_stay_small_whatever_the_rates(self, tmp_path, rng):
        path = tmp_path / "slow.wav"
        soundfile.write(path, rng.uniform(-1, 1, 20000), 100)
        assert max(map(len, stream_audio(path, 8000))) < 8 * (1 << 16)

    @pytest.mark.parametrize(
        "samples, rate, reason",
        [
            (np.zeros(0), 8000, "holds no samples"),
            (np.array([0.0, 0.1, np.nan, np.inf]), 4, "NaN or infinite, the first of them at 0.500 s"),
            (np.zeros(5), 192000, "its 5 samples at 192000 Hz are none at 8000 Hz"),
        ],
    )
    def test_errors_name_file_and_reason(self, tmp_path, samples, rate, reason):
        path = tmp_path / "bad.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        with pytest.raises(AudioError, match=reason) as error:
            list(stream_audio(path, 8000))
        assert str(path) in str(error.value)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(AudioError, match="no such file"):
            list(stream_audio(tmp_path / "gone.wav", 8000))


@pytest.mark.once
class TestWindows:
    @pytest.mark.parametrize("samples", [1, 99, 100, 101, 102, 149, 150, 151, 152, 1234])
    @pytest.mark.parametrize("block", [1, 37, 100, 5000])
    def test_are_the_patches_of_evaluation_and_the_end(self, rng, samples, block):
        waveform = rng.uniform(-1, 1, samples).astype("float32")
        blocks = [waveform[first : first + block] for first in range(0, samples, block)]
        windows = list(cut_windows(blocks, 100, 50))
        patches = patch_dataset_of([waveform], 100, 50)
        evaluated = [window for window in windows if window.evaluated]
        assert [window.start for window in evaluated] == patches.patch_start.tolist()
        np.testing.assert_array_equal(
            [window.samples for window in evaluated], patches.waveforms(range(patches.num_patches))
        )
        left = samples - evaluated[-1].end
        assert len(windows) == len(evaluated) + (left > 1)  # A hundredth of a window is too little for another one.
        if left > 1:
            assert windows[-1].end == samples
            np.testing.assert_array_equal(windows[-1].samples, waveform[-100:])

    def test_nothing_gives_none(self):
        assert list(cut_windows([], 100, 50)) == []


def patch_dataset_of(waveforms, patch_samples, hop_samples):
    from keras_audio_si.data.pipeline import PatchDataset

    cache = ClipCache.from_waveforms(waveforms, [("x",)] * len(waveforms), RATE)
    return PatchDataset(cache, patch_samples, hop_samples)


@pytest.mark.once
class TestFindAudio:
    def test_folders_are_searched_and_files_taken_as_they_are(self, sounds):
        found = find_audio([sounds / "notes.txt", sounds / "deep", sounds / "gone.wav", sounds])
        names = [os.path.relpath(file.path, sounds) for file in found]
        assert names == [
            "a.wav",
            "b short.WAV",
            "deep/broken.ogg",
            "deep/c.flac",
            "deep/er/d.wav",
            "gone.wav",
            "notes.txt",
        ]
        assert all(file.problem is None for file in found)

    def test_folder_without_audio(self, tmp_path):
        (tmp_path / "a.txt").write_text("x")
        (file,) = find_audio([tmp_path])
        assert "without audio files" in file.problem and ".flac" in file.problem

    def test_a_folder_that_comes_twice_is_not_empty(self, sounds):
        assert find_audio([sounds, sounds]) == find_audio([sounds])

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_folder_without_permission(self, sounds):
        (sounds / "deep").chmod(0)
        try:
            problems = {os.path.basename(file.path): file.problem for file in find_audio([sounds])}
        finally:
            (sounds / "deep").chmod(0o755)
        assert "cannot be read" in problems["deep"]


class TestScores:
    def test_clips_have_the_scores_of_evaluation(self, model, sounds):
        results = list(tag_files(model, find_audio([sounds])))
        good = [result for result in results if result.error is None]
        assert [result.error is None for result in results] == [True, True, False, True, True]
        waveforms = [read_audio(result.path, RATE)[0] for result in good]
        cache = ClipCache.from_waveforms(waveforms, [("x",)] * len(good), RATE)
        patches = patch_dataset(model, cache)
        scores = model.predict_on_batch(patches.waveforms(range(patches.num_patches)))
        expected = average_over_clips(scores, patches.patch_clip, len(good))
        np.testing.assert_allclose([result.scores[0] for result in good], expected, rtol=0, atol=2e-6)
        assert np.ptp(expected, axis=0).max() > 1e-3
        assert [result.seconds for result in good] == [len(waveform) / RATE for waveform in waveforms]

    def test_windows_reach_the_end(self, model, sounds):
        (clip,) = tag_files(model, [FoundFile(str(sounds / "a.wav"))])
        (windows,) = tag_files(model, [FoundFile(str(sounds / "a.wav"))], by_window=True)
        layout = patch_layout(model)
        evaluated = 1 + (20000 - layout.patch_samples) // layout.hop_samples
        assert len(windows.scores) == evaluated + 1 and windows.ends[-1] == 2.5
        np.testing.assert_allclose(np.diff(windows.starts[:-1]), layout.hop_samples / RATE)
        np.testing.assert_allclose(windows.scores[:-1].mean(axis=0), clip.scores[0], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("by_window", [False, True])
    def test_a_remainder_without_a_window_counts(self, model, tmp_path, rng, by_window):
        samples = patch_layout(model).patch_samples
        soundfile.write(tmp_path / "a.wav", rng.uniform(-0.4, 0.4, samples + samples // 100), RATE)
        (result,) = tag_files(model, find_audio([tmp_path]), by_window)
        assert result.seconds == (samples + samples // 100) / RATE
        assert result.ends.tolist() == [samples / RATE if by_window else result.seconds]

    @pytest.mark.parametrize("by_window", [False, True])
    def test_batch_size_and_company_change_no_score(self, model, sounds, by_window):
        files = find_audio([sounds])
        expected = list(tag_files(model, files, by_window, batch_size=64))
        for batch_size in (1, 7, 8, 1000):
            for result, wanted in zip(tag_files(model, files, by_window, batch_size=batch_size), expected, strict=True):
                assert result.path == wanted.path and result.error == wanted.error
                # By rounding at most: a matrix product may round by the row of the window among `STEP_WINDOWS`.
                np.testing.assert_allclose(result.scores, wanted.scores, rtol=0, atol=5e-7)
        for wanted in expected:
            (alone,) = tag_files(model, [FoundFile(wanted.path)], by_window)
            np.testing.assert_allclose(alone.scores, wanted.scores, rtol=0, atol=5e-7)

    def test_samples_beyond_all_formats_are_an_error(self, model, sounds):
        soundfile.write(sounds / "b loud.wav", np.full(4000, 1e30), RATE, subtype="FLOAT")
        soundfile.write(sounds / "c counts.wav", np.full(4000, 2.0**31), RATE, subtype="FLOAT")
        results = list(tag_files(model, find_audio([sounds]), by_window=True))
        errors = {os.path.basename(result.path): result.error for result in results if result.error}
        assert set(errors) == {"b loud.wav", "broken.ogg"} and "up to 1e+30" in errors["b loud.wav"]
        assert all(np.isfinite(result.scores).all() for result in results)

    @pytest.mark.parametrize("by_window", [False, True])
    def test_scores_that_are_not_finite_are_an_error(self, sounds, by_window):
        model = small_classifier(NAMES)
        model.get_layer("logits").bias.assign([0.0, float("nan"), 0.0, 0.0])
        for result in tag_files(model, find_audio([sounds]), by_window):
            assert "broken" in result.path or "not finite at 0.000 s" in result.error
            assert len(result.scores) == 0

    def test_a_file_damaged_at_its_end_has_no_scores(self, model, tmp_path, rng):
        samples = rng.uniform(-0.4, 0.4, 200000)
        samples[-5] = np.nan
        soundfile.write(tmp_path / "late.wav", samples, RATE, subtype="FLOAT")
        (result,) = tag_files(model, find_audio([tmp_path]), by_window=True)
        assert len(result.scores) == 0 and "first of them at 24.999 s" in result.error

    def test_a_file_that_ends_before_its_header_says(self, model, tmp_path, rng, capsys):
        path = tmp_path / "cut.wav"
        soundfile.write(path, rng.uniform(-0.4, 0.4, 2 * RATE), RATE)
        (whole,) = tag_files(model, [FoundFile(str(path))])
        path.write_bytes(path.read_bytes()[: -RATE // 2 * 2])
        (cut,) = Progress(1).finishing(tag_files(model, [FoundFile(str(path))]))
        assert (whole.warning, cut.error) == (None, None) and cut.seconds == 1.5
        assert cut.warning == "ends 0.500 s before its header says" and len(cut.scores) == 1
        assert f"{path}: ends 0.500 s before its header says" in capsys.readouterr().err

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_pipe_is_not_waited_for(self, model, tmp_path):
        os.mkfifo(tmp_path / "pipe.wav")
        (result,) = tag_files(model, find_audio([tmp_path]))
        assert result.error == "is a device or a pipe, not a file"  # As all other commands say.

    def test_model_of_open_length_needs_a_window(self, sounds):
        model, files = small_classifier(NAMES, open_length=True), [FoundFile(str(sounds / "a.wav"))]
        with pytest.raises(ValueError, match="length of the windows must be given"):
            list(tag_files(model, files))
        (result,) = tag_files(model, files, by_window=True, window_seconds=0.5)
        assert result.starts[0] == 0 and result.ends[0] == pytest.approx(0.5, abs=0.01)

    @pytest.mark.once
    @pytest.mark.parametrize("seconds", [-3.0, 0.0, float("nan"), float("inf")])
    def test_windows_of_no_length(self, seconds):
        with pytest.raises(ValueError, match=r"`window_seconds` must be in \(0, inf\)"):
            patch_layout(small_classifier(NAMES, open_length=True), seconds)
        with pytest.raises(ValueError, match=r"`hop_seconds` must be in \(0, inf\)"):
            patch_layout(small_classifier(NAMES), hop_seconds=seconds)

    def test_models_that_cannot_tag(self, model):
        with pytest.raises(ValueError, match="must take waveforms"):
            list(tag_files(keras.Sequential([keras.Input((5, 4)), ClassScores(class_names=NAMES)]), []))
        with pytest.raises(ValueError, match="`batch_size`"):
            list(tag_files(model, [], batch_size=0))


def test_choose_tags_breaks_ties_by_class():
    assert choose_tags(np.array([0.5, 0.9, 0.5, 0.1]), top_k=3) == [1, 0, 2]
    assert choose_tags(np.array([0.5, 0.9]), top_k=5) == [1, 0]
    assert choose_tags(np.array([0.5, 0.9]), threshold=0.95) == []


@pytest.mark.once
class TestTables:
    RESULTS = [
        FileScores("a.wav", 1.5, np.zeros(1), np.array([1.5]), np.array([[0.25, 0.5, 1 / 3, 0.0]])),
        FileScores("b, \n.wav", 0.0, np.zeros(0), np.zeros(0), np.zeros((0, 4)), "is empty (0 bytes)"),
    ]

    def written(self, format, **choice):
        file = io.StringIO()
        assert write_tags(format, iter(self.RESULTS), NAMES, file, **choice) == 1
        return file.getvalue()

    def test_table(self):
        lines = self.written("table", top_k=2).splitlines()
        assert lines[1].split() == "a.wav 0.00 1.50 rain 0.500, sea waves 0.333".split()
        assert "error: is empty" in lines[2] and len(lines) == 3
        assert self.written("table", threshold=0.9).splitlines()[1].endswith("  -")

    def test_a_terminal_obeys_no_name(self, capsys):
        names = ("new\nline", "\x1b[2J", "a\tb\r\u2028", "\udcff")
        scores = FileScores("a\x1bc.wav", 1.5, np.zeros(1), np.array([1.5]), np.full((1, 4), 0.5), warning="\x1b[1m")
        file = io.StringIO()
        write_tags("table", Progress(1).finishing([scores]), names, file, top_k=4)
        assert len(file.getvalue().split("\n")) == 3 and len(capsys.readouterr().err.splitlines()) == 2
        tags = r"new\nline 0.500, \x1b[2J 0.500, a\tb\r\u2028 0.500, \udcff 0.500"
        assert file.getvalue().splitlines()[1].split("  ")[0] == r"a\x1bc.wav" and file.getvalue().endswith(f"{tags}\n")

    def test_csv(self):
        good, bad = csv.DictReader(io.StringIO(self.written("csv")))
        assert (good["file"], good["tags"], good["error"]) == ("a.wav", "rain;sea waves;dog", "")
        assert [float(good[f"score {name}"]) for name in NAMES] == [0.25, 0.5, 0.3333333, 0.0]
        assert (bad["file"], bad["error"], bad["score file"]) == ("b, \n.wav", "is empty (0 bytes)", "")

    def test_json(self):
        document = json.loads(self.written("json", threshold=0.3))
        assert document["classes"] == list(NAMES)
        good, bad = document["results"]
        assert good["tags"] == {"rain": 0.5, "sea waves": 0.3333333} and good["end_seconds"] == 1.5
        assert good["scores"] == [0.25, 0.5, 0.3333333, 0.0]
        assert bad == {"file": "b, \n.wav", "error": "is empty (0 bytes)"}

    def test_wrong_choices(self):
        with pytest.raises(ValueError, match="`top_k` must be an integer of at least 1"):
            write_tags("csv", [], NAMES, io.StringIO(), top_k=0)
        with pytest.raises(ValueError, match="one of 'table', 'csv', 'json'"):
            write_tags("xml", [], NAMES, io.StringIO())


class TestCommand:
    @pytest.fixture(scope="class")
    def saved(self, model, tmp_path_factory):
        path = tmp_path_factory.mktemp("model") / "small.keras"
        model.save(path)
        return path

    def test_exit_code_tells_of_files_that_failed(self, saved, sounds, capsys):
        code, out, err = command(capsys, "tag", saved, sounds)
        assert code == 1 and len(out.splitlines()) == 6
        assert "broken.ogg: is not audio" in err and "4 of 5 files done" in err
        code, out, _ = command(capsys, "tag", saved, sounds / "a.wav", "--top-k", 1)
        assert code == 0 and out.splitlines()[1].split()[-1].startswith("0.")

    def test_any_batch_size_writes_the_same_file(self, saved, sounds, tmp_path, capsys):
        written = []
        for batch_size, name in ((3, "a.csv"), (64, "b.CSV")):
            args = ("--windows", "--output", tmp_path / name, "--batch-size", batch_size)
            assert command(capsys, "tag", saved, sounds, *args)[0] == 1
            with open(tmp_path / name, newline="", encoding="utf-8") as file:
                written.append(list(csv.reader(file)))
        assert written[0][0][:2] == ["file", "start_seconds"] and len(written[0]) == len(written[1]) > 2
        assert all(one[: -len(NAMES)] == other[: -len(NAMES)] for one, other in zip(*written, strict=True))
        tagged = [[row for row in rows if row[-1]] for rows in written]  # Without the file that failed.
        scores = [np.asarray([row[-len(NAMES) :] for row in rows[1:]], float) for rows in tagged]
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)

    def test_standard_input(self, saved, sounds, capsys, monkeypatch):
        path = sounds / "a.wav"
        samples, rate = soundfile.read(path, dtype="int16")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
        code, piped, _ = command(capsys, "tag", saved, "-", "--pcm-rate", rate, "--format", "csv")
        assert code == 0
        _, read, _ = command(capsys, "tag", saved, path, "--format", "csv")
        assert piped.splitlines()[1] == read.splitlines()[1].replace(str(path), "-")
        for wrong in (["-"], [path, "--pcm-rate", 8000], ["-", path, "--pcm-rate", 8000]):
            code, _, err = command(capsys, "tag", saved, *wrong)
            assert code == 2 and "`-`, alone, and `--pcm-rate` need each other" in err

    def test_inputs_are_not_replaced(self, saved, sounds, capsys):
        before = (sounds / "a.wav").read_bytes()
        (sounds.parent / "recording").write_bytes(before)
        for output in (sounds / "a.wav", sounds.parent / "recording", saved):
            files = [sounds / "b.wav", sounds.parent / "recording"]
            code, _, err = command(capsys, "tag", saved, *files, "--output", output)
            assert code == 2 and ("is no suffix of one" in err or "which is read: give another file" in err)
        assert (sounds / "a.wav").read_bytes() == (sounds.parent / "recording").read_bytes() == before

    def test_a_device_is_written_to_as_it_is(self, saved, sounds, capsys):
        assert command(capsys, "tag", saved, sounds / "a.wav", "--output", os.devnull)[0] == 0
        assert not os.path.exists(f"{os.devnull}.part")

    def test_names_that_the_terminal_cannot_show(self, saved, sounds, tmp_path):
        shutil.copy(sounds / "a.wav", tmp_path / "日本.wav")
        env = {**os.environ, "PYTHONIOENCODING": "cp1252"}
        args = [sys.executable, "-m", "keras_audio_si", "tag", saved, tmp_path / "日本.wav", "--format", "csv"]
        done = subprocess.run(args, env=env, capture_output=True)
        assert done.returncode == 0 and rb"\u65e5\u672c.wav" in done.stdout

    def test_thresholds_of_events_are_refused_before_files_are_read(self, saved, sounds, tmp_path, capsys):
        for wrong in (["--threshold", 2], ["--threshold", 0.3, "--offset-threshold", 0.4], ["--min-seconds", -1]):
            code, _, err = command(capsys, "tag", saved, sounds, "--events", *wrong, "--output", tmp_path / "e.csv")
            assert code == 2 and "files done" not in err and not (tmp_path / "e.csv.part").exists()

    def test_a_model_without_class_names(self, sounds, tmp_path, capsys):
        small_classifier(None).save(tmp_path / "nameless.keras")
        code, _, err = command(capsys, "tag", tmp_path / "nameless.keras", sounds)
        assert code == 2 and "does not name its classes" in err

    def test_errors_of_usage(self, saved, sounds, tmp_path, capsys):
        code, _, err = command(capsys, "tag", tmp_path / "gone.keras", sounds)
        assert code == 2 and "no model file" in err
        output = tmp_path / "gone" / "tags.json"
        code, _, err = command(capsys, "tag", saved, sounds, "--output", output)
        assert code == 2 and f"in a folder that is there: make {output.parent}" in err
        code, _, err = command(capsys, "tag", saved, sounds, "--top-k", 0, "--output", tmp_path / "tags.json")
        assert code == 2 and "`top_k`" in err and not (tmp_path / "tags.json").exists()
        with pytest.raises(SystemExit):
            cli.main(["tag", str(saved), str(sounds), "--top-k", "1", "--threshold", "0.5"])

    def test_hostile_files(self, saved, shared_data, capsys, tmp_path):
        output = tmp_path / "tags.json"
        assert command(capsys, "tag", saved, shared_data / "hostile", "--output", output)[0] == 1
        results = json.loads(output.read_text())["results"]
        assert sorted(os.path.basename(row["file"]) for row in results) == sorted(os.listdir(shared_data / "hostile"))
        good = {os.path.basename(row["file"]): row for row in results if "error" not in row}
        assert {"ok.wav", "silent.wav", "one_sample.wav", "rate_1.wav", "eight_channels.wav"} <= set(good)
        assert not {"empty.wav", "garbage.flac", "nan_inf.wav", "text.wav", "zero_frames.wav"} & set(good)
        assert all(np.isfinite(row["scores"]).all() for row in good.values())
        assert good["rate_1.wav"]["end_seconds"] == 200.0

    def test_beam_removes_only_what_it_wrote(self, saved, sounds, tmp_path, capsys):
        """Of a folder that was there before, by the name that the results of groups take."""
        pytest.importorskip("apache_beam", reason="the extra beam is not installed")
        groups = tmp_path / "tags.csv.groups"
        (groups / "album").mkdir(parents=True)
        own = {groups / name: name.encode() for name in ("notes.txt", "model.keras", "tag.lock", "album/000000.json")}
        for path, data in own.items():
            path.write_bytes(data)
        arguments = ("tag", saved, sounds / "a.wav", "--output", tmp_path / "tags.csv", "--beam")
        assert command(capsys, *arguments)[0] == 0
        assert {path: path.read_bytes() for path in groups.rglob("*") if path.is_file()} == own
        for path in own:
            path.unlink()
        (groups / "album").rmdir()
        assert command(capsys, *arguments)[0] == 0
        assert not groups.exists()

    @pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend")
    def test_needs_no_tensorflow(self, saved, sounds):
        code = (
            "import sys; sys.modules['tensorflow'] = None\n"
            "from keras_audio_si.cli import main as cli; sys.exit(cli.main(sys.argv[1:]))"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, "tag", saved, sounds / "a.wav"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.path.dirname(cli.__file__)},
        )
        assert result.returncode == 0, result.stderr
