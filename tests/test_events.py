"""Events from the scores of overlapping windows, and the files that they are written to."""

import csv
import io
import json

import keras
import numpy as np
import pytest
import scipy.ndimage
import soundfile

from keras_audio_si import layers
from keras_audio_si.cli import main as cli
from keras_audio_si.inference.event_tables import write_events
from keras_audio_si.inference.events import Event, find_events, scores_over_time
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import FileScores, FoundFile, tag_files

RATE = 8000
NAMES = ("dog", "rain", "a\tb")


def windows(seconds, window, hop):
    """Starts and ends of the windows of a recording, the last one at its end."""
    starts = list(np.arange(0, seconds - window + 1e-9, hop)) or [0.0]
    if starts[-1] + window < seconds - 1e-9:
        starts.append(seconds - window)
    return np.array(starts), np.minimum(np.array(starts) + window, seconds)


@pytest.mark.once
class TestScoresOverTime:
    @pytest.mark.parametrize(
        "seconds, window, hop", [(7.3, 1.0, 0.25), (6.0, 2.0, 2.0), (5.05, 0.5, 0.1), (0.3, 1.0, 0.5)]
    )
    def test_equals_the_mean_over_the_windows_of_each_step(self, rng, seconds, window, hop):
        starts, ends = windows(seconds, window, hop)
        scores = rng.uniform(size=(len(starts), 3))
        found = scores_over_time(starts, ends, scores, hop)
        assert len(found) == np.ceil(seconds / hop - 1e-9)
        for step, row in enumerate(found):
            centre = min((step + 0.5) * hop, seconds - 1e-6)
            of_step = (starts <= centre + 1e-9) & (centre < ends)
            if (step + 1) * hop > seconds:  # A part of a step: all windows to the end of the recording.
                of_step = ends >= seconds - 1e-9
            np.testing.assert_allclose(row, scores[of_step].mean(axis=0), atol=1e-12)

    def test_steps_without_a_window(self):
        with pytest.raises(ValueError, match="Every step must be in a window"):
            scores_over_time([0, 3], [1, 4], [[0.5], [0.5]], 1.0)


@pytest.mark.once
class TestFindEvents:
    def slow(self, scores, hop, high, low):
        """By a state that goes through the steps one by one."""
        found = []
        for number, name in enumerate(NAMES):
            begun, best = None, 0.0
            for step, score in enumerate([*scores[:, number], -1.0]):
                if score >= low:
                    begun, best = step if begun is None else begun, max(best, score)
                elif begun is not None:
                    if best >= high:
                        found.append((begun * hop, number, Event(begun * hop, step * hop, name, best)))
                    begun, best = None, 0.0
        return [event for _, _, event in sorted(found, key=lambda event: event[:2])]

    @pytest.mark.parametrize("high, low", [(0.9, 0.4), (0.5, 0.5), (0.95, 0.2)])
    def test_equals_the_loop(self, rng, high, low):
        scores = scipy.ndimage.gaussian_filter1d(rng.uniform(size=(500, 3)), 1.0, axis=0)
        scores = (scores - scores.min()) / np.ptp(scores)
        found = find_events(scores, 0.5, NAMES, high, low)
        assert found == self.slow(scores, 0.5, high, low) and len(found) > 1

    def test_thresholds_of_classes_shortest_events_and_the_end(self):
        scores = np.array([[0.9, 0.9, 0.0], [0.0, 0.9, 0.3], [0.0, 0.0, 0.3]])
        found = find_events(scores, 1.0, NAMES, threshold=(0.5, 0.95, 0.3), seconds=2.5)
        assert found == [Event(0.0, 1.0, "dog", 0.9), Event(1.0, 2.5, "a\tb", 0.3)]
        assert find_events(scores, 1.0, NAMES, 0.25, min_seconds=2.0) == [
            Event(0.0, 2.0, "rain", 0.9),
            Event(1.0, 3.0, "a\tb", 0.3),
        ]

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"threshold": 0.0}, "`threshold` must be"),
            ({"threshold": 0.5, "offset_threshold": 0.6}, "`offset_threshold` must be at most `threshold`"),
            ({"min_seconds": -1.0}, r"`min_seconds` must be .* Received: min_seconds=-1.0"),
            ({"min_seconds": float("nan")}, "`min_seconds` must be"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            find_events(np.zeros((2, 3)), 1.0, NAMES, **arguments)


@pytest.mark.once
class TestTables:
    def written(self, format):
        none = np.zeros(0)
        results = [
            (
                FileScores("a.wav", 10.0, none, none, none),
                [Event(1.5, 2.25, "dog", 0.875), Event(2.0, 3.0, "a\tb", 0.5)],
            ),
            (FileScores("b, c.wav", 5.0, none, none, none), [Event(0.5, 1.0, "dog", 1 / 3)]),
            (FileScores("d.wav", 0.0, none, none, none, "is empty"), []),
        ]
        file = io.StringIO()
        assert write_events(format, results, file, 16000) == 1
        return file.getvalue()

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.written("csv"))))
        assert [row["file"] for row in rows] == ["a.wav", "a.wav", "b, c.wav", "d.wav"]
        assert rows[1] | {"error": None} == {
            **{"file": "a.wav", "onset_seconds": "2.000000", "offset_seconds": "3.000000", "class": "a\tb"},
            **{"score": "0.5", "error": None},
        }
        assert rows[3]["error"] == "is empty" and rows[3]["class"] == ""

    def test_json_lines(self):
        rows = [json.loads(line) for line in self.written("jsonl").splitlines()]
        assert rows[2] == {
            **{"file": "b, c.wav", "onset_seconds": 0.5, "offset_seconds": 1.0, "class": "dog", "score": 0.3333333}
        }
        assert rows[3] == {"file": "d.wav", "error": "is empty"}

    def test_audacity(self):
        assert self.written("audacity").splitlines()[1] == "2.000000\t3.000000\ta\\tb"

    def test_raven_counts_files_one_after_the_other(self):
        rows = list(csv.DictReader(io.StringIO(self.written("raven")), delimiter="\t"))
        assert [row["Selection"] for row in rows] == ["1", "2", "3"]
        assert (rows[2]["Begin Time (s)"], rows[2]["File Offset (s)"]) == ("10.500000", "0.500000")
        assert {row["High Freq (Hz)"] for row in rows} == {"8000"} and rows[1]["Class"] == "a\\tb"

    def test_unknown(self):
        with pytest.raises(ValueError, match="`format` must be one of 'csv', 'jsonl', 'audacity', 'raven'"):
            write_events("srt", [], io.StringIO(), 16000)


def loudness_detector():
    """Scores near 1 for windows that are loud throughout, near 0 for others."""
    front_end = layers.LogMelSpectrogram(RATE, num_mels=8)
    inputs = keras.Input((front_end.num_samples(10),))
    quietest = keras.layers.GlobalMaxPooling1D()(-front_end(inputs))  # Per band, over time.
    logits = keras.layers.Dense(1, name="loud")(quietest)
    model = keras.Model(inputs, layers.ClassScores(class_names=("loud",))(logits))
    model.get_layer("loud").set_weights([np.full((8, 1), -0.5), np.array([26.0])])
    return model


class TestCommand:
    @pytest.fixture(scope="class")
    def saved(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("model") / "model.keras"
        loudness_detector().save(path)
        return path

    @pytest.fixture
    def recording(self, tmp_path, rng):
        """Bursts of noise of known onsets in near silence."""
        onsets, length = (2.0, 5.0, 9.3), 1.2
        samples = 1e-5 * rng.standard_normal(12 * RATE)
        for onset in onsets:
            first = int(onset * RATE)
            samples[first : first + int(length * RATE)] += 0.3 * rng.standard_normal(int(length * RATE))
        path = tmp_path / "bursts.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        return path, onsets, length

    def test_onsets_and_offsets(self, saved, recording, tmp_path, capsys):
        path, onsets, length = recording
        output = tmp_path / "events.csv"
        arguments = ["--events", "--hop-seconds", "0.05", "--output", str(output), "--min-seconds", "0.3"]
        assert cli.main(["tag", str(saved), str(path), *arguments]) == 0
        capsys.readouterr()
        rows = list(csv.DictReader(open(output)))
        found = np.array([(float(row["onset_seconds"]), float(row["offset_seconds"])) for row in rows])
        np.testing.assert_allclose(found[:, 0], onsets, atol=0.1)
        np.testing.assert_allclose(found[:, 1], np.array(onsets) + length, atol=0.1)
        assert {row["class"] for row in rows} == {"loud"}

    def test_hop_of_windows(self, saved, recording):
        model, (path, _, _) = keras.models.load_model(saved), recording
        (result,) = tag_files(model, [FoundFile(str(path))], by_window=True, hop_seconds=0.05)
        hops = np.diff(result.starts)
        np.testing.assert_allclose(hops[:-1], 0.05, atol=1e-9)
        layout = patch_layout(model, hop_seconds=0.05)
        assert layout.hop_samples == 400 and patch_layout(model).hop_samples == 5 * 80

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (["--hop-seconds", "0.05"], "needs `--windows` or `--events`"),
            (["--events", "--windows"], "does not go with `--windows`"),
            (["--min-seconds", "1"], "`--min-seconds` needs `--events`"),
            (["--format", "raven"], "`--format` of tags must be one of table, csv, json"),
            (["--events", "--format", "json"], "`--format` of events must be one of csv, jsonl, audacity, raven"),
            (["--output", "o.jsonl"], "of tags must be one of table, csv, json. Received: the suffix .jsonl"),
            (["--events", "--output", "o.JSON"], "of events must be one of csv, jsonl, audacity, raven"),
            (["--events", "--hop-seconds", "9"], "`hop_seconds` must be at most the length of a window"),
        ],
    )
    def test_errors_of_usage(self, saved, recording, tmp_path, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["tag", str(saved), str(recording[0]), *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_audacity_labels_are_of_one_file(self, saved, recording, tmp_path, capsys):
        soundfile.write(tmp_path / "other.wav", np.zeros(RATE), RATE)
        assert cli.main(["tag", str(saved), str(tmp_path), "--events", "--format", "audacity"]) == 2
        assert "Audacity labels are of one audio file" in capsys.readouterr().err
