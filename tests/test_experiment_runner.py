"""Rows x folds x seeds: divisions of the data, what is done once, what is continued, and the tables of it."""

import json
import pathlib

import numpy as np
import pytest
from recipe_data import rows_of

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.evaluation.clip_table import CLIPS, write_clips
from keras_audio_si.evaluation.clips import ClipScores
from keras_audio_si.experiments import report, runner
from keras_audio_si.experiments.divisions import clip_counts, divide
from keras_audio_si.experiments.model_card import CARD
from keras_audio_si.experiments.report import RunScore, fold_table, read_scores, row_table
from keras_audio_si.experiments.run import CONFUSION
from keras_audio_si.experiments.scored_runs import read_results
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.locks import locked
from keras_audio_si.training import run_folder
from keras_audio_si.training.score_history import ANIMATION, SCORES
from keras_audio_si.visualization import classification

pytestmark = pytest.mark.once

ROWS = {"max": Settings().changed(pooling="max"), "aps, blurred": Settings().changed(pooling="blur3+aps")}


def folds(num_clips=60, num_folds=3):
    """Clips of two classes, two to a recording, in folds."""
    return Manifest(
        [
            Clip(f"{i}.wav", (("dog", "rain")[i // 2 % 2],), fold=1 + i // 4 % num_folds, group=f"g{i // 2}")
            for i in range(num_clips)
        ]
    )


class TestDivide:
    def test_every_fold_is_the_test_once(self):
        divisions = divide(folds())
        assert list(divisions) == ["fold-1", "fold-2", "fold-3"]
        for number, (name, part) in enumerate(divisions.items(), start=1):
            assert {clip.fold for clip in part.clips if clip.split == "test"} == {number}
            assert {clip.fold for clip in part.clips if clip.split != "test"} == {1, 2, 3} - {number}
            counts = [len(part.select(split=split)) for split in ("train", "val", "test")]
            assert sum(counts) == 60 and counts[2] == 20 and counts[1] == 8, name

    def test_validation_clips_are_held_out_as_asked(self):
        plain = Manifest([Clip(clip.path, clip.labels, group=clip.group) for clip in folds().clips])
        assert [clip_counts(part) for part in divide(folds(), validation_split=None).values()] == ["40/0/20"] * 3
        assert divide(plain, validation_split=None) == divide(plain)
        assert clip_counts(divide(plain, validation_split=0)["test"]).split("/")[1] == "0"
        with pytest.raises(ValueError, match="`share` must"):
            divide(folds(), validation_split=-0.1)

    def test_some_folds(self):
        divisions = divide(folds(), folds=[2], train_folds=[2, 3])
        assert list(divisions) == ["fold-2"]
        assert {clip.fold for clip in divisions["fold-2"].clips} == {2, 3}

    def test_folds_that_are_the_test_together(self):
        (division,) = divide(folds(), train_folds=[1], validation_folds=[3], test_folds=[2]).values()
        assert {clip.split: clip.fold for clip in division.clips} == {"train": 1, "val": 3, "test": 2}
        with pytest.raises(ValueError, match="`folds` and `test_folds` exclude each other"):
            divide(folds(), folds=[1], test_folds=[2])

    def test_the_fold_before_the_test_validates(self):
        manifest = Manifest([Clip(f"{i}.wav", ("dog",), fold=1 + i % 10) for i in range(20)])
        rotated = divide(manifest, validation_folds="previous")
        assert list(rotated) == [f"fold-{number}" for number in range(1, 11)]
        chosen = {
            split: {clip.fold for clip in rotated["fold-10"].select(split=split).clips} for split in ("val", "test")
        }
        assert chosen == {"val": {9}, "test": {10}}  # Those of juettner.
        assert {clip.fold for clip in rotated["fold-1"].select(split="val").clips} == {10}
        with pytest.raises(ValueError, match="three folds"):
            divide(manifest.select(folds=[1, 2]), validation_folds="previous")

    def test_splits_are_kept(self):
        names = ("train", "val", "test")
        manifest = Manifest([Clip(f"{i}.wav", ("dog",), split=names[i % 3]) for i in range(6)])
        assert divide(manifest) == {"test": manifest}
        with pytest.raises(ValueError, match="The data have no folds"):
            divide(manifest, folds=[1])

    def test_a_fold_that_is_not_there(self):
        for name in ("folds", "test_folds"):
            with pytest.raises(ValueError, match=rf"`{name}` must be some of \[1, 2, 3\]. Received: {name}=\[7\]"):
                divide(folds(), validation_folds="previous", **{name: [7]})


class TestRunExperiment:
    """With a training that takes no time."""

    @pytest.fixture(autouse=True)
    def made_up(self, monkeypatch):
        self.calls, self.failures, self.stop_after = [], [], None
        self.decoded, self.loudness, self.damaged = 0, 1, False

        def build(manifest, sample_rate, cache_dir, **_):
            self.decoded += 1
            if self.damaged:
                raise ValueError("None of the clips could be read")
            lengths = np.full(len(manifest), 10)
            samples = np.repeat(self.loudness * np.arange(len(manifest), dtype="float32"), 10)
            return ClipCache(manifest, sample_rate, samples, np.cumsum(lengths) - lengths, lengths, self.failures)

        def train_and_test(splits, settings, run):
            if len(self.calls) == self.stop_after:
                raise KeyboardInterrupt
            self.calls.append((splits, settings, run))
            run.folder.mkdir(parents=True, exist_ok=True)
            (run.folder / "log.csv").write_text("epoch,loss,val_mAP\n0,0.5,0.1\n")
            (run.folder / "model.keras").write_text("a model")
            fold = next(iter(splits["test"].manifest.clips)).fold or 0
            accuracy = 0.1 * fold + 0.3 * settings.training.seed + (settings.model.pooling != "max")
            cost = {"epochs": 10 + fold, "seconds": 100.5 + settings.training.seed}
            return {"parameters": 9, **cost, "mAP": 0.5, "d'": 1.0, "accuracy": accuracy, "ROC AUC": 0.75}

        monkeypatch.setattr(ClipCache, "build", build)
        monkeypatch.setattr(runner, "train_and_test", train_and_test)

    def run(self, folder, rows=ROWS, divisions=None, **arguments):
        arguments = {"seeds": (0, 1), "paper": {"max": 0.457}, "quantity": "accuracy", **arguments}
        return runner.run_experiment(rows, divisions or divide(folds()), folder, **arguments)

    def places(self, folder):
        return [run.folder.relative_to(folder).as_posix() for _, _, run in self.calls]

    def test_report(self, tmp_path):
        scores = self.run(tmp_path)
        assert self.places(tmp_path) == [
            f"{row}/fold-{fold}/seed-{seed}" for seed in (0, 1) for row in ("max", "aps-blurred") for fold in (1, 2, 3)
        ]
        splits, settings, _ = self.calls[6]
        assert settings == ROWS["max"].changed(seed=1)
        assert {clip.fold for clip in splits["test"].manifest.clips} == {1}
        for index, clip in enumerate(splits["test"].manifest.clips):
            assert splits["test"].waveform(index)[0] == int(clip.path.split(".")[0])
        assert [score.clips for score in scores] == ["32/8/20"] * 12
        runs = rows_of(tmp_path / "runs.csv")
        assert [(run["row"], run["fold"], run["seed"]) for run in runs[5:8]] == [
            ("aps, blurred", "fold-3", "0"),
            ("max", "fold-1", "1"),
            ("max", "fold-2", "1"),
        ]
        first, second = rows_of(tmp_path / "table.csv")
        assert (first["row"], first["runs"], first["accuracy in the paper"]) == ("max", "6", "0.457")
        assert (first["epochs"], first["seconds"]) == ("12", "101") and runs[5]["epochs"] == "13"
        assert float(first["accuracy"]) == pytest.approx(0.35) and second["accuracy in the paper"] == ""
        assert float(first["accuracy std"]) == pytest.approx(0.3 / 2**0.5)
        assert len(rows_of(tmp_path / "folds.csv")) == 6
        names = {path.name for path in tmp_path.iterdir()}
        assert {"table.md", "folds.md", "learning_curves.png", "manifest.csv", "experiment.json"} < names
        assert "left_out.csv" not in names and "comparison.lock" not in names
        assert read_scores(tmp_path) == scores

    def test_a_single_run_has_no_folder_of_its_own(self, tmp_path):
        self.run(tmp_path, {"": ROWS["max"]}, {"test": divide(folds())["fold-1"]}, seeds=(4,))
        assert self.places(tmp_path) == ["."]
        assert rows_of(tmp_path / "table.csv")[0]["row"] == "model" and not (tmp_path / "folds.csv").exists()

    def test_figures_of_rows_in_stages(self, tmp_path, monkeypatch):
        """Fig. 3 of juettner: each row by its phases, and all rows together from phase 1 on."""
        drawn, train_and_test = {}, runner.train_and_test

        def in_stages(splits, settings, run):
            values = train_and_test(splits, settings, run)
            if settings.model.pooling != "max":
                (run.folder / "log.csv").unlink()
                (run.folder / "stages.json").write_text('{"stages": ["forcing", "phase0", "phase1"]}')
                for stage, column in (("forcing", "val_mse"), ("phase0", "val_mAP"), ("phase1", "val_mAP")):
                    (run.folder / stage).mkdir()
                    (run.folder / stage / "log.csv").write_text(f"epoch,loss,{column}\n0,0.5,0.1\n1,0.25,0.2\n")
            return values

        def plot_phases(rows, path, columns):
            drawn[path.name] = rows, columns
            return classification.plot_phases(rows, path, columns)

        monkeypatch.setattr(runner, "train_and_test", in_stages)
        monkeypatch.setattr(report, "plot_phases", plot_phases)
        self.run(tmp_path)
        place = tmp_path / "aps-blurred" / "fold-1" / "seed-0"
        logs = {name: place / name.replace(" ", "") / "log.csv" for name in ("forcing", "phase 0", "phase 1")}
        assert drawn["aps-blurred-phases.png"] == ({"aps, blurred": logs}, ("val_mAP",))
        del logs["phase 0"]
        alone = {"training": tmp_path / "max" / "fold-1" / "seed-0" / "log.csv"}
        assert drawn["phases.png"] == ({"max": alone, "aps, blurred": logs}, ("val_mAP",)) and len(drawn) == 2
        assert all((tmp_path / name).stat().st_size > 1000 for name in drawn)

    def test_clips_that_were_left_out_are_listed(self, tmp_path):
        self.failures = [("audio/Ygone.wav", "there is no such file")]
        self.run(tmp_path)
        assert rows_of(tmp_path / "left_out.csv") == [{"path": "audio/Ygone.wav", "reason": "there is no such file"}]
        assert {row["left out"] for row in rows_of(tmp_path / "runs.csv")} == {"1"}

    @pytest.fixture
    def cut_off(self, made_up, tmp_path):
        self.stop_after = 3
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path / "cut")
        self.calls, self.stop_after = [], None
        return tmp_path / "cut"

    def test_it_is_continued_where_it_was_cut_off(self, cut_off, tmp_path):
        assert [row["runs"] for row in rows_of(cut_off / "table.csv")] == ["3"]
        self.run(cut_off, resume=True)
        assert (
            self.places(cut_off)[:2] == ["aps-blurred/fold-1/seed-0", "aps-blurred/fold-2/seed-0"]
            and len(self.calls) == 9
        )
        assert all(run.saving["resume"] for _, _, run in self.calls)
        self.run(tmp_path / "through")
        for name in ("runs.csv", "table.csv", "table.md", "folds.csv", "experiment.json", "manifest.csv"):
            assert (cut_off / name).read_bytes() == (tmp_path / "through" / name).read_bytes()
        self.calls = []
        self.run(cut_off, resume=True)
        assert self.calls == []

    def test_a_finished_report_is_of_its_audio(self, tmp_path):
        """And of its backend: no run of it is trained again, which would compare them."""
        scores = self.run(tmp_path)
        before, self.calls = (tmp_path / "experiment.json").read_bytes(), []
        assert self.run(tmp_path, resume=True) == scores
        self.loudness = 2
        with pytest.raises(ValueError, match=r"audio at 22050 Hz \(.60 clips, SHA-256 \w+. then, .60 clips, SHA-256"):
            self.run(tmp_path, resume=True)
        assert (tmp_path / "experiment.json").read_bytes() == before and not self.calls
        self.loudness = 1
        record = json.loads(before)
        (tmp_path / "experiment.json").write_text(json.dumps({**record, "backend": "another"}))
        with pytest.raises(ValueError, match=r'backend \("another" then, ".*" now\)'):
            self.run(tmp_path, resume=True)
        del record["audio"], record["backend"]  # Of an earlier version.
        (tmp_path / "experiment.json").write_text(json.dumps(record))
        assert self.run(tmp_path, resume=True) == scores
        assert (tmp_path / "experiment.json").read_bytes() == before

    def test_rows_of_another_rate_can_be_added(self, tmp_path):
        self.run(tmp_path, {"max": ROWS["max"]})
        self.run(tmp_path, {"slow": ROWS["max"].changed(sample_rate=8000)}, resume=True)
        assert list(json.loads((tmp_path / "experiment.json").read_text())["audio"]) == ["22050", "8000"]

    def test_the_folder_is_checked_before_audio_is_decoded(self, cut_off):
        self.decoded, files = 0, sorted(cut_off.rglob("*"))
        with pytest.raises(FileExistsError, match="has a run in it"):
            self.run(cut_off)
        with pytest.raises(ValueError, match="other settings or data"):
            self.run(cut_off, {"max": ROWS["max"].changed(width=0.5)}, resume=True)
        with locked(cut_off, "comparison.lock"), pytest.raises(BlockingIOError, match="in use by process"):
            self.run(cut_off, overwrite=True)
        assert self.decoded == 0
        self.damaged = True
        with pytest.raises(ValueError, match="None of the clips"):
            self.run(cut_off, overwrite=True)
        assert sorted(cut_off.rglob("*")) == files

    def test_rows_can_be_added(self, cut_off):
        self.run(cut_off, {"max": ROWS["max"]}, resume=True)
        self.calls = []
        self.run(cut_off, {"average": Settings().changed(pooling="average")}, resume=True)
        assert len(self.calls) == 6 and {settings.model.pooling for _, settings, _ in self.calls} == {"average"}
        assert [row["row"] for row in rows_of(cut_off / "table.csv")] == ["max", "average"]
        record = json.loads((cut_off / "experiment.json").read_text())
        assert list(record["rows"]) == ["max", "aps, blurred", "average"]

    def test_an_added_row_leaves_the_values_of_the_paper_and_the_curves(self, tmp_path, monkeypatch):
        curves = []
        monkeypatch.setattr(report, "plot_learning_curves", lambda files, *_: curves.append(list(files)))
        self.run(tmp_path, {"max": ROWS["max"]})
        self.run(tmp_path, {"average": Settings().changed(pooling="average")}, resume=True, paper=None)
        assert [row["accuracy in the paper"] for row in rows_of(tmp_path / "table.csv")] == ["0.457", ""]
        assert curves == [["max"], ["max", "average"]]

    def test_reports_of_version_0_2_are_continued(self, cut_off):
        """Without the newer settings, and with another default of one that only DiffRes has."""
        record = json.loads((cut_off / "experiment.json").read_text())
        for row in record["rows"].values():
            del row["model"]["guide_threshold"], row["model"]["guide_emptiness"]
            row["model"]["guide_form"] = "paper"
        del record["splits"], record["teacher"], record["decoder"]
        (cut_off / "experiment.json").write_text(json.dumps(record))
        self.run(cut_off, resume=True)
        assert len(self.calls) == 9
        record["rows"]["max"]["model"] |= {"resolution": "diffres", "frames_per_second": 25}
        (cut_off / "experiment.json").write_text(json.dumps(record))
        rows = {"max": ROWS["max"].changed(resolution="diffres", frames_per_second=25)}
        with pytest.raises(ValueError, match=r'data: max: guide_form \("paper" then, "hinge" now\)\. Continue'):
            self.run(cut_off, rows, resume=True)
        self.run(cut_off, {"max": rows["max"].changed(guide_form="paper")}, resume=True)

    def test_nothing_is_replaced_or_mixed_up_by_accident(self, cut_off):
        before = (cut_off / "experiment.json").read_bytes()
        with pytest.raises(FileExistsError, match="fold-1.*has a run in it.*--resume"):
            self.run(cut_off)
        wider = {"max": ROWS["max"].changed(width=0.5)}
        with pytest.raises(ValueError, match=r"other settings or data: max: width \(null then, 0.5 now\)"):
            self.run(cut_off, wider, resume=True)
        with pytest.raises(ValueError, match="seeds"):
            self.run(cut_off, seeds=(0,), resume=True)
        fewer = {
            name: part.subset(range(50)) if hasattr(part, "subset") else part
            for name, part in divide(folds(56)).items()
        }
        with pytest.raises(ValueError, match=r"clip \d+.wav"):
            self.run(cut_off, divisions=fewer, resume=True)
        divided = {"divisions": divide(folds(), validation_folds="previous")}
        with pytest.raises(ValueError, match=r'fold-1: splits \("32/8/20 clips, .*" then, "20/20/20 clips, .*" now\)'):
            self.run(cut_off, **divided, resume=True)
        with pytest.raises(ValueError, match=r'decoder \("soundfile" then, "tensorflow-io" now\)'):
            self.run(cut_off, decoder="tensorflow-io", resume=True)
        with locked(cut_off, "comparison.lock"), pytest.raises(BlockingIOError, match="in use by process"):
            self.run(cut_off, resume=True)
        assert (cut_off / "experiment.json").read_bytes() == before

    def test_overwriting_begins_again(self, cut_off):
        of_row = [cut_off / f"aps-blurred-{kind}.png" for kind in ("confusion", "phases")]
        for path in of_row:
            path.touch()
        self.run(cut_off, {"max": ROWS["max"]}, overwrite=True)
        assert len(self.calls) == 6 and not any(path.exists() for path in of_row)

    def test_what_is_of_no_run_of_the_report_is_left(self, cut_off, tmp_path):
        divisions, one = {"test": divide(folds())["fold-1"]}, {"": ROWS["max"]}
        other = tmp_path / "report" / "other"
        self.run(other, one, divisions, seeds=(0,))
        self.run(other.parent, one, divisions, seeds=(0,))
        self.run(other.parent, one, divisions, seeds=(0,), overwrite=True)
        assert (other / "model.keras").exists()
        for name in ("initial", "shift_clips"):
            (file,) = [other / "model.keras"] if name == "initial" else [other / "manifest.csv"]
            changed = {"": ROWS["max"].changed(**{name: str(file), **({"frames": None} if name == "initial" else {})})}
            with pytest.raises(ValueError, match=f"`{name}` is in a folder whose runs `overwrite` removes.* Received"):
                self.run(other, changed, divisions, seeds=(0,), overwrite=True)
        assert (other / "model.keras").exists()

    @pytest.mark.parametrize("name", ["manifest.csv", "clips.csv"])
    def test_a_table_of_data_is_not_replaced(self, name, tmp_path):
        (tmp_path / name).write_text("path,labels\n")
        for saving in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(FileExistsError, match=f"{name} is of no report, and would be replaced"):
                self.run(tmp_path, **saving)
        assert self.decoded == 0 and (tmp_path / name).read_text() == "path,labels\n"

    def test_nothing_of_a_run_outlives_its_replacement(self, tmp_path):
        """Neither for `compare` nor for the report, also where the new run was cut off."""
        self.run(tmp_path, {"": ROWS["max"]}, {"test": divide(folds())["fold-1"]}, seeds=(0,))
        write_clips(ClipScores(("0.wav",), np.eye(1), np.eye(1), ("dog",)), tmp_path / CLIPS)
        results = (CLIPS, CARD, f"{CONFUSION}.csv", f"{CONFUSION}.md", SCORES, ANIMATION, "pictures/kernels.png")
        tables = ("runs.csv", "table.csv", "table.md", "folds.csv", "folds.md", "left_out.csv", "shift_clips.csv")
        figures = ("learning_curves", "diffres", "phases", "stability", "bars", "confusion")
        tables += tuple(f"{name}.png" for name in figures)
        (tmp_path / "pictures").mkdir()
        for name in (*results, *tables, "notes.txt"):
            (tmp_path / name).touch()
        assert len(read_results([tmp_path])[tmp_path.name]) == 1
        self.stop_after = 1
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path, {"": ROWS["max"]}, {"test": divide(folds())["fold-1"]}, seeds=(0,), overwrite=True)
        assert not any((tmp_path / name).exists() for name in (*results, *tables)) and (tmp_path / "notes.txt").exists()
        with pytest.raises(FileNotFoundError, match="has no clips.csv"):
            read_results([tmp_path])
        (tmp_path / CLIPS).touch()
        run_folder.clear(tmp_path)
        assert (tmp_path / CLIPS).exists()  # There is no run that it could be of.

    def test_a_teacher_needs_the_same_runs(self, tmp_path):
        rows, divisions = {"max": ROWS["max"]}, {"test": divide(folds())["fold-1"]}
        taught = tmp_path / "teacher"
        with pytest.raises(ValueError, match=r"the same rows, folds and seeds. It lacks: .*experiment\.json"):
            self.run(tmp_path / "run", rows, divisions, seeds=(3,), teacher=taught)
        self.run(taught, rows, divide(folds()), seeds=(3, 4))
        with pytest.raises(ValueError, match=r"the same rows, folds and seeds. It lacks: .*model\.keras"):
            self.run(tmp_path / "run", rows, divisions, seeds=(3,), teacher=taught)
        self.calls.clear()
        of_fold = {"fold-1": divisions["test"]}
        self.run(tmp_path / "fold", rows, of_fold, seeds=(3,), teacher=taught)
        assert self.calls.pop()[2].teacher == taught / "max" / "fold-1" / "seed-3"
        others = tmp_path / "others"
        self.run(others, rows, {"test": divide(folds())["fold-2"]}, seeds=(3,))
        with pytest.raises(ValueError, match="Its test clips of 'test' are others"):
            self.run(tmp_path / "run", rows, divisions, seeds=(3,), teacher=others)
        taught, self.calls = tmp_path / "same", []
        self.run(taught, rows, divisions, seeds=(3,))
        self.run(tmp_path / "run", rows, divisions, seeds=(3,), teacher=taught)
        assert self.calls[1][2].teacher == taught / "max"
        with pytest.raises(ValueError, match=r'teacher \("../same" then, null now\)'):
            self.run(tmp_path / "run", rows, divisions, seeds=(3,), resume=True)

    def test_arguments(self, tmp_path):
        for rows, seeds, name in (({}, (0,), "rows"), (ROWS, (), "seeds"), (ROWS, (1, 1), "seeds")):
            with pytest.raises(ValueError, match=f"`{name}` must"):
                self.run(tmp_path, rows, seeds=seeds)
        with pytest.raises(ValueError, match="`rows` must have names that differ as names of folders"):
            self.run(tmp_path, {"aps, blurred": ROWS["max"], "APS-blurred": ROWS["max"]})


def test_folders_of_runs():
    folder = pathlib.Path("runs")
    assert runner.run_path(folder, "", "fold-1", 3, ["fold-1"], [3]) == folder
    assert runner.run_path(folder, "", "fold-1", 3, ["fold-1", "fold-2"], [0, 3]) == folder / "fold-1" / "seed-3"
    assert runner.run_path(folder, "hop, 25 FPS", "test", 0, ["test"], [0]) == folder / "hop-25-FPS"


def test_a_seed_without_all_folds_is_in_no_mean_over_them():
    values = lambda accuracy: {"parameters": 9, "accuracy": accuracy}  # noqa: E731
    scores = [RunScore("", f"fold-{fold}", 0, "", 0, values(0.25 * fold)) for fold in (1, 2)]
    scores.append(RunScore("", "fold-1", 1, "", 0, values(0.75)))
    (row,) = row_table(scores)
    assert (row["runs"], row["accuracy"].mean) == (2, 0.375)
    assert not {"epochs", "seconds"} & set(row)  # A report of an earlier version.
    found = [(row["tested on"], row["runs"], row["accuracy"].mean) for row in fold_table(scores)]
    assert found == [("fold-1", 2, 0.5), ("fold-2", 1, 0.5)]
