"""The files that a run leaves for others: the scores of its test clips and its model card."""

import json

import numpy as np
import pytest
from classifiers import RATE, small_classifier

from keras_audio_si.cli import main as cli
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.evaluation.clip_table import read_clips, write_clips
from keras_audio_si.evaluation.clips import ClipScores
from keras_audio_si.experiments.model_card import limits, write_card
from keras_audio_si.experiments.report import RunScore, write_tables
from keras_audio_si.experiments.run import Run, measured
from keras_audio_si.experiments.scored_runs import read_results
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.training.fit_loop import TrainingResult

pytestmark = pytest.mark.once

NAMES = ("dog", "heavy_rain")


@pytest.fixture(scope="module")
def patches():
    model, rng, found = small_classifier(NAMES), np.random.default_rng(3), {}
    for split, count in {"train": 30, "val": 4, "test": 24}.items():
        clips = [
            Clip(f"{split}-{i}.wav", (NAMES[int(i % 8 == 0)],), split, fold={"test": 2}.get(split, 1 + 2 * (i % 2)))
            for i in range(count)
        ]
        waveforms = [rng.uniform(-0.2, 0.2, 3 * RATE).astype("float32") for _ in clips]
        cache = ClipCache.from_waveforms(waveforms, [clip.labels for clip in clips], RATE, NAMES)
        cache.manifest = Manifest(clips, NAMES, "sounds")
        found[split] = patch_dataset(model, cache)
    return model, found


SETTINGS = Settings().changed(network="vgg41", pooling="tlpf5+aps", epochs=7, seed=5, mixings=("mixup", "freqmix"))


def test_a_run_leaves_scores_and_card(patches, tmp_path):
    model, patches = patches
    result = TrainingResult(tmp_path / "model.keras", 1, 0.5, {"loss": [1.0] * 3}, seconds=2.0)
    run = Run(tmp_path / "seed-5", command="keras-audio-si train --data 'my sounds'")
    run.folder.mkdir()
    values = measured(model, patches, SETTINGS.changed(protocols=()), run, [result])
    scores = read_clips(run.folder / "clips.csv")
    assert scores.clip_ids == patches["test"].clip_ids and scores.class_names == NAMES
    assert (scores.scores.argmax(axis=1) == scores.targets.argmax(axis=1)).mean() == pytest.approx(values["accuracy"])
    card = (run.folder / "model_card.md").read_text(encoding="utf-8")
    seconds = model.input_shape[1] / RATE
    for text in (
        "# seed-5",
        f"vgg41, from mono waveforms at 8000 Hz in windows of {seconds:.2f} s to scores of 2 classes:\n",
        "\ndog, heavy_rain.\n",
        f"{values['parameters']:,} trainable parameters",
        "Folder or manifest: `sounds`",
        "| clips   |    30 |    4 |   24 |",
        "| minutes |   1.5 |  0.2 |  1.2 |",
        "| folds   |  1, 3 | 1, 3 |    2 |",
        "    keras-audio-si train --data 'my sounds'\n",
        "tlpf5+aps",
        "mixup, freqmix",
        "3 of 7",
        "Of 24 test clips, by the training with seed 5.",
        f"{values['mAP']:.3f}",
        "Licence of the model:\n",
        "Fewer than 10 test clips have: heavy_rain.",
        "It was not tested against shifts.",
    ):
        assert text in card, text


def test_names_stay_in_their_lines(patches, tmp_path):
    model, found = patches
    hostile = ("a\n# b", "<script>|`")
    cache = found["test"].cache
    renamed = ClipCache.from_waveforms([cache.waveform(0)] * 2, [(name,) for name in hostile], RATE, hostile)
    parts = {split: patch_dataset(small_classifier(hostile), renamed) for split in ("train", "val", "test")}
    values = {"parameters": 5, "mAP": 0.5}
    card = write_card(model, parts, SETTINGS, values, tmp_path, "train 'a\n# b'").read_text(encoding="utf-8")
    assert "a\\\\n\\# b, \\<script\\>\\|\\`." in card and "<script" not in card.replace("\\<script", "")
    assert "\n    train 'a\\n# b'\n" in card


def test_settings_that_have_no_effect_are_left_out(patches, tmp_path):
    model, found = patches
    mixed = SETTINGS.changed(mixup_alpha=1.25)
    for settings, pooling, mixup in ((Settings(), "as built", False), (mixed, "tlpf5", True)):
        card = write_card(model, found, settings, {"parameters": 5, "mAP": 0.5}, tmp_path).read_text(encoding="utf-8")
        (line,) = (line for line in card.splitlines() if line.startswith("| pooling "))
        assert pooling in line and ("| mixup_alpha" in card) == mixup


def test_a_trained_model_is_named_in_place_of_the_settings_of_a_new_one(patches, tmp_path):
    model, found = patches
    settings = SETTINGS.changed(network="eat-s", initial="vgg41-esc10", width=0.25)
    card = write_card(model, found, settings, {"parameters": 5, "mAP": 0.5}, tmp_path).read_text(encoding="utf-8")
    assert "eat-s" not in card and "\nsmall, from mono waveforms" in card
    assert "| initial " in card and "vgg41-esc10" in card
    assert not any(f"| {name} " in card for name in ("front_end", "pooling", "width", "spec_augment"))


def test_limits_are_those_of_the_run(patches):
    _, found = patches
    shifted = SETTINGS.changed(protocols=("time-1", "freq-3"))
    values = {"mAP": 0.5, "time-1 consistency (%)": 99.0, "time-1 MAC": 0.01, "freq-3 consistency (%)": 98.0}
    assert "Of shifts it was tested against time-1, freq-3 alone." in limits(found, shifted, values)
    assert "It was not tested against shifts." in limits(found, shifted, {"mAP": 0.5})  # Whatever was asked for.
    chosen = "The epoch was chosen by the validation clips: figures of these are too high."
    assert chosen in limits(found, SETTINGS, {})
    assert chosen not in limits(found, SETTINGS.changed(restore_best_weights=False), {})


class TestReadResults:
    """Folders of experiments: rows are results, folds and seeds are the runs of one."""

    @pytest.fixture
    def experiment(self, tmp_path):
        folder, scores = tmp_path / "report", []
        folder.mkdir()
        rng = np.random.default_rng(4)
        for row in ("max", "aps, blurred"):
            for fold in ("fold-1", "fold-2"):
                for seed in (0, 1):
                    place = folder / row.replace(",", "").replace(" ", "-") / fold / f"seed-{seed}"
                    place.mkdir(parents=True)
                    ids = tuple(f"{fold}/{i}.wav" for i in range(10))
                    targets = np.eye(2)[np.arange(10) % 2]
                    write_clips(ClipScores(ids, rng.uniform(size=(10, 2)), targets, NAMES), place / "clips.csv")
                    values = {"parameters": 9, "mAP": 0.5, "d'": 1.0, "accuracy": 0.5}
                    scores.append(RunScore(row, fold, seed, "8/2/10", 0, values))
        write_tables(folder, scores)
        record = {"rows": {}, "divisions": ["fold-1", "fold-2"], "seeds": [0, 1]}
        (folder / "experiment.json").write_text(json.dumps(record))
        return folder

    def test_rows(self, experiment, capsys):
        found = read_results([experiment])
        assert {name: len(runs) for name, runs in found.items()} == {"report: max": 4, "report: aps, blurred": 4}
        assert len({run.clip_ids for run in found["report: max"]}) == 2
        assert cli.main(["compare", str(experiment)]) == 0
        assert "20 clips" in capsys.readouterr().out

    def test_a_run_alone_and_folders_of_one_name(self, experiment):
        places = [experiment / row / "fold-2" / "seed-1" for row in ("max", "aps-blurred")]
        found = read_results(places)
        assert list(found) == [str(place) for place in places]
        assert all(len(runs) == 1 and len(runs[0].clip_ids) == 10 for runs in found.values())

    def test_a_run_without_scores(self, experiment):
        (experiment / "max" / "fold-1" / "seed-1" / "clips.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"max/fold-1/seed-1 has no clips.csv: .* model.keras"):
            read_results([experiment])
