"""Folds times seeds, with a run that takes no time: what is divided, written, continued and summed up."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the report has a figure")

from recipe_data import rows_of

from keras_audio_si.cross_validation import RunScore, cross_validate, divide, fold_table
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.training.run_folder import locked

pytestmark = pytest.mark.once

RECORD = {"size": "small", "training": {"epochs": 3}}


def folds(num_clips=60, num_folds=3):
    """Clips of two classes, two to a recording, in folds."""
    return Manifest(
        [
            Clip(f"{i}.wav", (("dog", "rain")[i // 2 % 2],), fold=1 + i // 4 % num_folds, group=f"g{i // 2}")
            for i in range(num_clips)
        ]
    )


def cache_of(manifest, failures=()):
    lengths = np.full(len(manifest), 10)
    samples = np.repeat(np.arange(len(manifest), dtype="float32"), 10)
    return ClipCache(manifest, 100, samples, np.cumsum(lengths) - lengths, lengths, failures)


def accuracy_of(path, seed):
    return 0.1 * int(path.parent.name[-1]) + 0.3 * seed


def make_run(calls):
    def run(splits, seed, path):
        calls.append((splits, seed, path))
        path.mkdir(parents=True, exist_ok=True)
        (path / "log.csv").write_text("epoch,loss,val_mAP\n0,0.5,0.1\n")
        (path / "model.keras").write_text("a model")
        return 9, SimpleNamespace(mAP=0.5, d_prime=1.0, accuracy=accuracy_of(path, seed))

    return run


class TestDivide:
    def test_every_fold_is_the_test_once(self):
        manifest = folds()
        divisions = divide(manifest)
        assert list(divisions) == ["fold-1", "fold-2", "fold-3"]
        for number, (name, part) in enumerate(divisions.items(), start=1):
            assert {clip.fold for clip in part.clips if clip.split == "test"} == {number}
            assert {clip.fold for clip in part.clips if clip.split != "test"} == {1, 2, 3} - {number}
            counts = [len(part.select(split=split)) for split in ("train", "val", "test")]
            assert sum(counts) == 60 and counts[2] == 20 and counts[1] == 8, name

    def test_some_folds(self):
        divisions = divide(folds(), test_folds=[2], train_folds=[2, 3])
        assert list(divisions) == ["fold-2"]
        assert {clip.fold for clip in divisions["fold-2"].clips} == {2, 3}

    def test_splits_are_kept(self):
        names = ("train", "val", "test")
        manifest = Manifest([Clip(f"{i}.wav", ("dog",), split=names[i % 3]) for i in range(6)])
        assert divide(manifest) == {"test": manifest}
        with pytest.raises(ValueError, match="The data have no folds"):
            divide(manifest, test_folds=[1])

    def test_a_fold_that_is_not_there(self):
        with pytest.raises(ValueError, match=r"folds=\[7\].*folds here: \[1, 2, 3\]"):
            divide(folds(), test_folds=[7])


class TestCrossValidate:
    @pytest.fixture
    def arguments(self):
        manifest = folds()
        return {"cache": cache_of(manifest), "divisions": divide(manifest), "seeds": (0, 1), "record": RECORD}

    def test_report(self, arguments, tmp_path):
        calls = []
        scores = cross_validate(make_run(calls), folder=tmp_path, **arguments)
        assert [(path.relative_to(tmp_path).as_posix(), seed) for _, seed, path in calls] == [
            (f"fold-{fold}/seed-{seed}", seed) for fold in (1, 2, 3) for seed in (0, 1)
        ]
        splits = calls[0][0]
        test = splits["test"]
        assert {clip.fold for clip in test.manifest.clips} == {1} and {clip.split for clip in test.manifest.clips} == {
            "test"
        }
        for index, clip in enumerate(test.manifest.clips):
            assert test.waveform(index)[0] == int(clip.path.split(".")[0])
        assert [score.clips for score in scores] == ["32/8/20"] * 6
        runs, table = rows_of(tmp_path / "runs.csv"), rows_of(tmp_path / "table.csv")
        assert [(row["fold"], row["seed"], row["clips"]) for row in runs[:2]] == [
            ("fold-1", "0", "32/8/20"),
            ("fold-1", "1", "32/8/20"),
        ]
        assert [row["tested on"] for row in table] == ["fold-1", "fold-2", "fold-3", "all folds"]
        assert float(table[-1]["accuracy"]) == pytest.approx(0.35)
        assert float(table[-1]["accuracy std"]) == pytest.approx(0.3 / 2**0.5)
        names = {path.name for path in tmp_path.iterdir()}
        assert {"table.md", "runs.md", "learning_curves.png", "manifest.csv", "experiment.json"} < names
        assert "left_out.csv" not in names and "comparison.lock" not in names

    def test_a_single_run_has_no_folder_of_its_own(self, arguments, tmp_path):
        calls = []
        arguments["divisions"] = {"test": arguments["divisions"]["fold-1"]}

        def run(splits, seed, path):
            calls.append(path)
            return 9, SimpleNamespace(mAP=0.5, d_prime=1.0, accuracy=0.5)

        (tmp_path / "log.csv").write_text("epoch,loss,val_mAP\n0,0.5,0.1\n")
        cross_validate(run, folder=tmp_path, **{**arguments, "seeds": (4,)})
        assert calls == [tmp_path]
        assert [row["tested on"] for row in rows_of(tmp_path / "table.csv")] == ["test"]

    def test_clips_that_were_left_out_are_listed(self, arguments, tmp_path):
        arguments["cache"] = cache_of(folds(), failures=[("audio/Ygone.wav", "there is no such file")])
        cross_validate(make_run([]), folder=tmp_path, **arguments)
        assert rows_of(tmp_path / "left_out.csv") == [{"path": "audio/Ygone.wav", "reason": "there is no such file"}]
        assert {row["left out"] for row in rows_of(tmp_path / "runs.csv")} == {"1"}

    @pytest.fixture
    def cut_off(self, arguments, tmp_path):
        calls = []
        whole = make_run(calls)

        def run(splits, seed, path):
            if len(calls) == 3:
                raise KeyboardInterrupt
            return whole(splits, seed, path)

        with pytest.raises(KeyboardInterrupt):
            cross_validate(run, folder=tmp_path / "cut", **arguments)
        return tmp_path / "cut"

    def test_it_is_continued_where_it_was_cut_off(self, arguments, cut_off, tmp_path):
        assert [row["runs"] for row in rows_of(cut_off / "table.csv")] == ["2", "1"]
        calls = []
        cross_validate(make_run(calls), folder=cut_off, resume=True, **arguments)
        assert [path.relative_to(cut_off).as_posix() for _, _, path in calls] == [
            "fold-2/seed-1",
            "fold-3/seed-0",
            "fold-3/seed-1",
        ]
        cross_validate(make_run([]), folder=tmp_path / "through", **arguments)
        for name in ("runs.csv", "table.csv", "table.md", "experiment.json", "manifest.csv"):
            assert (cut_off / name).read_bytes() == (tmp_path / "through" / name).read_bytes()
        cross_validate(make_run(calls), folder=cut_off, resume=True, **arguments)
        assert len(calls) == 3

    def test_nothing_is_replaced_or_mixed_up_by_accident(self, arguments, cut_off):
        with pytest.raises(FileExistsError, match="fold-1.*has a run in it.*--resume"):
            cross_validate(make_run([]), folder=cut_off, **arguments)
        for changed in (RECORD | {"size": "medium"}, {**RECORD, "training": {"epochs": 4}}):
            with pytest.raises(ValueError, match=r"(size|epochs) \(.* then, .* now\)"):
                cross_validate(make_run([]), folder=cut_off, resume=True, **{**arguments, "record": changed})
        assert json.loads((cut_off / "experiment.json").read_text()) == RECORD
        with locked(cut_off, "comparison.lock"), pytest.raises(BlockingIOError, match="in use by process"):
            cross_validate(make_run([]), folder=cut_off, resume=True, **arguments)

    def test_overwriting_begins_again(self, arguments, cut_off):
        calls = []
        cross_validate(make_run(calls), folder=cut_off, overwrite=True, **arguments)
        assert len(calls) == 6


def test_a_seed_without_all_folds_is_in_no_mean_over_them():
    scores = [RunScore(f"fold-{fold}", 0, 9, "", 0, {"accuracy": 0.25 * fold}) for fold in (1, 2)]
    scores.append(RunScore("fold-1", 1, 9, "", 0, {"accuracy": 0.75}))
    rows = fold_table(scores)
    assert [(row["tested on"], row["runs"], row["accuracy"].mean) for row in rows] == [
        ("fold-1", 2, 0.5),
        ("fold-2", 1, 0.5),
        ("all folds", 1, 0.375),
    ]
    assert [row["tested on"] for row in fold_table(scores[1:])] == ["fold-2", "fold-1"]
