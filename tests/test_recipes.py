"""Published experiments: their tables have the papers' rows and values, and their settings are the papers'."""

import pathlib
import re

import numpy as np
import pytest
from keras import ops

from keras_audio_si.data.datasets import LAYOUTS
from keras_audio_si.experiments import fonseca2021, gazneli2022, liu2022
from keras_audio_si.experiments.model import build_front_end
from keras_audio_si.experiments.recipes import RECIPES
from keras_audio_si.layers import build_pooling
from keras_audio_si.training.optimizer import build_optimizer
from keras_audio_si.training.settings import TrainingSettings

pytestmark = pytest.mark.once

SECONDS = {"audioset": 10, "fsd50k": 30, "esc50": 5, "speech_commands": 1, "nsynth": 4}


@pytest.mark.parametrize("name", RECIPES)
def test_every_row_of_every_table_has_settings(name):
    recipe = RECIPES[name]
    for table in recipe.tables:
        rows, paper = recipe.rows([table])
        assert list(rows) == list(recipe.tables[table]) and set(paper) <= set(rows)
        for row, value in paper.items():
            assert 0 < getattr(value, "mean", value) < 1, row
    assert recipe.layout in ("auto", *LAYOUTS) and recipe.summary.endswith(".")
    assert name == recipe.name and len(name) < 37


class TestRows:
    recipe = RECIPES["fonseca2021"]

    def test_by_table_and_by_name(self):
        assert list(self.recipe.rows()[0]) == ["baseline", "tlpf5+aps"]
        assert list(self.recipe.rows(["I", "II"])[0]) == list(fonseca2021.PAPER_MAP)
        assert list(self.recipe.rows(names=["blur3", "baseline"])[0]) == ["blur3", "baseline"]

    def test_unknown_ones_name_the_nearest(self):
        with pytest.raises(ValueError, match="`row` must be one of.*'tlfp5'. Did you mean 'tlpf5'"):
            self.recipe.rows(names=["tlfp5"])
        with pytest.raises(ValueError, match="`table` must be one of 'I', 'II', 'III'. Received: table='IV'"):
            self.recipe.rows(["IV"])

    def test_what_is_given_counts_in_all_rows(self):
        rows, _ = self.recipe.rows(width=0.5, epochs=3)
        assert {(row.model.width, row.training.epochs) for row in rows.values()} == {(0.5, 3)}

    def test_a_setting_in_which_the_rows_differ_is_refused(self):
        with pytest.raises(ValueError, match="The rows differ in `pooling`"):
            self.recipe.rows(pooling="max")
        assert self.recipe.rows(names=["baseline"], pooling="average")[0]["baseline"].model.pooling == "average"


def test_tables_of_different_measured_values():
    """Table 3 of liu2022 has the ROC AUC of AudioSet, its other tables mAP."""
    recipe = RECIPES["liu2022-audioset"]
    assert recipe.quantity_of(recipe.tables_of(["3"]).values()) == "ROC AUC"
    assert recipe.quantity_of(recipe.tables_of(["1", "2", "ablation"]).values()) == "mAP"
    assert {RECIPES["liu2022-nsynth"].quantity_of([table]) for table in "123"} == {"accuracy"}
    with pytest.raises(ValueError, match="Received: table 3 with ROC AUC, table 1 with mAP"):
        recipe.quantity_of(recipe.tables_of(names=["mel", "none, 100 FPS"]).values())


class TestFonseca2021:
    def test_settings(self):
        settings = fonseca2021.SETTINGS
        assert (settings.data.frames, settings.evaluation.protocols[0]) == (101, "time-1")
        training = settings.training
        assert (training.learning_rate, training.batch_size, training.epochs) == (3e-5, 128, 150)
        assert (training.plateau_patience, training.early_stopping_patience, training.mixup_alpha) == (10, 20, None)

    @pytest.mark.parametrize("row", fonseca2021.PAPER_MAP)
    def test_every_row(self, row):
        changes = fonseca2021.changes_of(row)
        assert changes.get("intra_block_pooling", False) == ("ibp" in row)
        assert changes.get("mixup_alpha") == (1.25 if "mixup" in row else None)
        assert changes["network"] == ("vgg42" if "vgg42" in row else "vgg41")
        build_pooling(changes["pooling"])

    @pytest.mark.parametrize("row", fonseca2021.PAPER_MAP)
    def test_aps_as_in_the_paper_and_as_released(self, row):
        default, paper, released = (fonseca2021.changes_of(row, source) for source in fonseca2021.SOURCES)
        aps, trainable = "aps" in row, "tlpf" in row
        assert (paper != default) == (trainable or (aps and "l2" not in row))
        assert (released != default) == (trainable or aps)
        for other in (paper, released):
            assert ("-box" in other["pooling"]) == trainable
        for other in (paper, released):
            assert {**other, "pooling": default["pooling"]} == default
            build_pooling(other["pooling"])

    def test_tables(self):
        tables = fonseca2021.tables()
        assert [len(tables[table]) for table in ("I", "II", "III")] == [22, 8, 2]
        assert {*tables["I"], *tables["II"]} == set(fonseca2021.PAPER_MAP)
        with pytest.raises(ValueError, match="'relaesed'. Did you mean 'released'"):
            fonseca2021.changes_of("aps", "relaesed")


class TestGazneli2022:
    def test_settings(self):
        esc50, words, audioset = (
            RECIPES[f"gazneli2022-{name}"].settings for name in ("esc50", "speech-commands", "audioset")
        )
        assert (esc50.training.learning_rate, esc50.training.epochs, esc50.data.input_samples) == (5e-4, 3500, 114688)
        assert (esc50.training.ema_decay, esc50.training.label_smoothing, esc50.data.peak) == (0.995, 0.1, 0.95)
        assert (words.data.sample_rate, words.data.input_samples, words.model.factors) == (16000, 16384, (4, 4, 4))
        assert (audioset.training.loss, audioset.data.sampling) == ("bce", "class_balanced")
        assert {one.model.augment for one in (esc50, words, audioset)} == {"eat-released"}
        assert [one.model.augment_noise for one in (esc50, words, audioset)] == [True, True, False]
        assert [one.training.mixing_from_epoch for one in (esc50, words, audioset)] == [12, 12, 2]
        training = esc50.training
        assert (training.epsilon, training.gradient_clip_norm, training.loss_reduction) == (1e-4, 1.0, "sum")
        assert RECIPES["gazneli2022-urbansound8k"].settings.data.input_samples == 90112

    def test_the_page_on_training_has_the_same_settings(self):
        text = (pathlib.Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
        (written,) = re.findall(r"    settings = (TrainingSettings\(\n.*?\n    \))", text, re.DOTALL)
        assert eval(written, {"TrainingSettings": TrainingSettings}) == RECIPES["gazneli2022-esc50"].settings.training

    def test_ablation(self):
        rows, paper = RECIPES["gazneli2022-esc50"].rows(["6a"])
        assert [len(row.model.mixings) for row in rows.values()] == [0, 1, 2, 3, 4]
        assert paper["a3 freqmix"] == 0.901 and gazneli2022.TABLE_6B["b0 common blocks"][1] == 0.805
        rows, _ = RECIPES["gazneli2022-esc50"].rows(["7"])
        assert {(row.model.augment_noise, row.model.mixings) for row in rows.values()} == {(False, ())}


class TestLiu2022:
    @pytest.mark.parametrize("name", liu2022.DATA_SETS)
    def test_clips_fill_the_frames(self, name):
        settings = liu2022.DATA_SETS[name]
        samples = build_front_end(settings).num_samples(settings.data.frames)
        missing = samples / settings.data.sample_rate - SECONDS[name]
        # Table 5 counts a frame every hop, of Speech Commands the whole ones.
        assert abs(missing) <= settings.model.frame_seconds

    @pytest.mark.parametrize("name, first, factor", [("esc50", 40, 0.95), ("fsd50k", 20, 0.5), ("nsynth", 10, 0.85)])
    def test_the_learning_rate_falls_when_the_table_says(self, name, first, factor):
        training = liu2022.DATA_SETS[name].training
        steps = 200
        optimizer = build_optimizer(training, [], steps * training.epochs)
        rate = ops.convert_to_numpy(optimizer._learning_rate(np.arange(training.epochs, dtype="int32") * steps))
        peak = training.learning_rate
        np.testing.assert_allclose(
            rate[[0, 1, 5, first - 1, first]], np.array([0, 0.2, 1, 1, factor]) * peak, rtol=1e-6
        )
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.l2, optimizer.epsilon) == (0.95, 0.999, 5e-7, 1e-8)

    @pytest.mark.parametrize("name", ["audioset", "esc50", "speech_commands", "nsynth"])
    def test_shorter_hops(self, name):
        rows, paper = RECIPES[f"liu2022-{name.replace('_', '-')}"].rows(["2"])
        frames = [row.data.frames for row in rows.values()]
        assert frames == [round(liu2022.DATA_SETS[name].data.frames * 10 / hop) for hop in (10, 6, 3, 1)]
        assert rows["hop of 10 ms"].model.resolution == "none" and len(paper) == 4

    def test_values_of_table_1(self):
        rows, paper = RECIPES["liu2022-fsd50k"].rows()
        assert paper["none, 100 FPS"] == pytest.approx(0.556) and paper["conv-average, 50 FPS"] == pytest.approx(0.522)
        assert paper["diffres, 15 FPS"] == 0.556 and rows["hop, 75 FPS"].model.frames_per_second == 75

    def test_conditions_of_the_front_ends(self):
        for name, (bands, hop) in {"audioset": (64, 0.006), "nsynth": (40, 0.003)}.items():
            rows, _ = RECIPES[f"liu2022-{name}"].rows(["3"])
            leaf, merged, best = rows["leaf"], rows["leaf, diffres"], rows["best"]
            assert (leaf.model.resolution, leaf.model.num_mels, leaf.model.hop_seconds) == ("none", bands, 0.01)
            assert (merged.model.front_end, merged.model.resolution, merged.model.hop_seconds) == (
                "leaf",
                "diffres",
                hop,
            )
            mixed = name == "audioset"
            assert (leaf.training.mixup_alpha is not None, leaf.model.spec_augment) == (mixed, mixed)
            assert (best.model.network, best.model.num_mels, best.model.weights) == ("efficientnet-b2", 128, "imagenet")

    def test_ablation(self):
        rows, paper = RECIPES["liu2022-esc50"].rows(["ablation"])
        assert not paper and rows["without guide loss"].model.guide_weight == 0
        assert rows["without maximum"].model.aggregations == ("mean",) and not rows["without Algorithm 1"].model.even
        dilated = rows["hop of 1 ms, dilated"]
        assert (dilated.data.frames, dilated.model.frames_per_second, dilated.model.dilations) == (
            5000,
            100,
            (1, 2, 4, 8, 16),
        )


def test_juettner():
    rows, _ = RECIPES["juettner"].rows()
    assert len(rows) == 10 and rows["PiczakNet"].training.epochs == 300
    assert {name for name, row in rows.items() if row.model.standardised == "none"} == {
        "PiczakNet decibels",
        "MSTNet random",
        "MSTNet IceBreaker",
    }
    adam = rows["PiczakNet deltas, Adam"]
    assert (adam.training.optimizer, adam.training.learning_rate, adam.model.deltas) == ("adam", 1e-3, True)
    assert {row.stages.forcing_form for row in rows.values()} == {"centred"}
    rates = {name: row.training.learning_rate for name, row in rows.items()}
    assert rates["HeuriNet random"] == 2e-3 and rates["MSTNet IceBreaker"] == 5e-3
    clipping = {name: row.training.gradient_clip_norm for name, row in rows.items()}
    assert clipping["MelConvNet IceBreaker"] == 3.0 and clipping["HeuriNet IceBreaker"] is None
    assert [name for name, row in rows.items() if row.stages.icebreaker] == [
        "HeuriNet IceBreaker",
        "MSTNet IceBreaker",
        "MelConvNet IceBreaker",
    ]
    assert RECIPES["juettner"].rows(learning_rate=0.1)[0]["MSTNet random"].training.learning_rate == 0.1
