"""The recipes of DiffRes: settings, models, and rows of tables with a small VGG41 on tones of any length."""

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from recipe_data import RATE, RECIPES, load_recipe, rows_of, write_tones

from keras_audio_si import layers, models
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.diffres_experiment import (
    DiffResExperiment,
    build_front_end,
    build_model,
    build_resolution,
    compare,
)
from keras_audio_si.diffres_plans import PLANS
from keras_audio_si.diffres_tables import PAPER_FRONT_ENDS, PAPER_RESULTS, rows_of_table_1, rows_of_table_2
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.models.metadata import class_names_of

PLAN = PLANS["esc50"].changed(
    sample_rate=RATE,
    frames=24,
    num_mels=16,
    fft_length=128,
    folds=2,
    epochs=6,
    batch_size=8,
    learning_rate=0.01,
    warm_up_steps=0,
    mixup_alpha=None,
)
TINY = DiffResExperiment(
    PLAN, backbone="vgg41", width=0.05, weights=None, batch_norm_momentum=0.5, validation_split=0.25
)


def network(num_classes, input_shape, in_channels=1, width=1.0, batch_norm_momentum=0.9, class_names=None):
    """Takes what the recipes give `VGG41`."""
    inputs = keras.Input((*input_shape, in_channels) if in_channels > 1 else input_shape)
    x = keras.layers.BatchNormalization(momentum=batch_norm_momentum)(keras.layers.Flatten()(inputs))
    logits = keras.layers.Dense(num_classes)(keras.layers.Dense(round(100 * width), activation="relu")(x))
    return keras.Model(inputs, layers.ClassScores("sigmoid", class_names)(logits), name="vgg41")


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """In place of VGG41, which takes long to compile and is tested elsewhere."""
    monkeypatch.setattr(models, "VGG41", network)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """48 clips of a low or a high tone, of 0.1 to 0.4 s, in two folds."""
    return write_tones(tmp_path_factory.mktemp("tones"), RATE // 10, RATE // 5 * 2)


def test_rows_of_a_table_are_trained_tested_and_continued(data, tmp_path, monkeypatch):
    rows = rows_of_table_1(TINY.changed(masked=True), ["diffres"], [50])
    arguments = (rows, read_dataset(data), tmp_path / "run", data / "cache", PAPER_RESULTS["esc50"])
    table = compare(*arguments, test_folds=[2], verbose=0)
    assert [(row["row"], row["runs"], row["accuracy in the paper (%)"]) for row in table] == [
        ("none, 100 FPS", 1, 85.2),
        ("diffres, 50 FPS", 1, 85.5),
    ]
    # By chance 0.5. The first epoch that is right on the few validation clips counts, with all there is to learn yet.
    assert min(row["accuracy"].mean for row in table) > 0.7
    folder = tmp_path / "run" / "diffres-50-FPS"
    log = rows_of(folder / "log.csv")
    assert len(log) == 6 and all(float(row["activeness"]) > 0 for row in log) and "guide_loss" in log[0]
    with np.load(folder / "scores.npz") as history:  # One clip of each class.
        assert history["scores"].shape[:2] == (6, 2) and len(set(history["clip_names"])) == 2
    assert (folder / "scores.gif").exists()
    assert (tmp_path / "run" / "diffres.png").stat().st_size > 1000
    model = keras.models.load_model(folder / "model.keras")
    assert class_names_of(model) == ("high", "low") and patch_layout(model).short == "zero"
    assert any(isinstance(layer, layers.DiffResLayer) for layer in nested_layers(model))

    monkeypatch.setattr("keras_audio_si.diffres_experiment.fit", None)  # Nothing is trained.
    assert compare(*arguments, test_folds=[2], resume=True) == table
    with pytest.raises(ValueError, match="width"):
        compare(
            {"none, 100 FPS": rows["none, 100 FPS"].changed(width=0.1)}, *arguments[1:], test_folds=[2], resume=True
        )


@pytest.mark.once
def test_roc_auc_is_that_of_the_clips(data, tmp_path):
    from sklearn.metrics import roc_auc_score

    from keras_audio_si.data.clip_cache import ClipCache
    from keras_audio_si.evaluation.clips import evaluate_clips
    from keras_audio_si.inference.patching import patch_dataset

    rows = {"average": TINY.changed(method="average", epochs=1)}
    (row,) = compare(rows, read_dataset(data), tmp_path, data / "cache", {}, ("ROC AUC",), test_folds=[2], verbose=0)
    cache = ClipCache.build(read_dataset(data).select(folds=2), RATE, data / "cache", progress=False)
    model = keras.models.load_model(tmp_path / "average" / "model.keras")
    clips = evaluate_clips(model, patch_dataset(model, cache)).clips
    assert row["ROC AUC"].mean == pytest.approx(roc_auc_score(clips.targets, clips.scores, average="macro"), abs=1e-6)


class TestModel:
    def test_parts(self):
        model = build_model(("a", "b"), TINY.changed(masked=True), seed=3)
        kinds = [type(layer).__name__ for layer in model.layers]
        assert {"LogMelSpectrogram", "SpecAugment", "FrameMask", "DiffResLayer", "Functional"} <= set(kinds)
        assert model.get_layer("vgg41").input_shape == (None, 6, 16, 3)
        augment = next(layer for layer in model.layers if isinstance(layer, layers.SpecAugment))
        assert (augment.max_mels, augment.max_time_fraction, augment.seed) == (6, 0.5, 3)

    @pytest.mark.parametrize("front_end", ["td-fbank", "sincnet", "leaf"])
    def test_front_ends_take_the_place_of_log_mel(self, front_end):
        layer = build_front_end(TINY.changed(front_end=front_end))
        mel = build_front_end(TINY)
        assert (layer.num_bands, layer.hop_length, layer.short) == (mel.num_bands, mel.hop_length, "zero")

    def test_what_the_ablation_changes_reaches_the_layer(self):
        change = {
            "aggregations": ["mean"],
            "resolution_encoding": False,
            "even": False,
            "guide_weight": 0.0,
            "guide_form": "released",
        }
        layer = build_resolution(TINY.changed(**change, dilations=(1, 2, 4, 8, 16)))
        assert (layer.num_channels, layer.even, layer.guide_weight, layer.guide_form) == (1, False, 0.0, "released")
        assert layer.importance.dilations == (1, 2, 4, 8, 16)

    def test_weights_of_efficientnets(self):
        settings = TINY.changed(backbone="efficientnet-b0", weights="no/such.h5")
        with pytest.raises(OSError, match=r"no/such\.h5"):
            build_model(("a", "b"), settings)


@pytest.mark.once
class TestSettings:
    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"method": "stretch"}, "`method` must be one of"),
            ({"front_end": "cqt"}, "`front_end` must be one of"),
            ({"backbone": "resnet"}, "`backbone` must be one of"),
            ({"frames_per_second": 101}, "`frames_per_second` must be above 0 and at most the 100"),
            ({"method": "none", "masked": True}, "`masked` needs a `method`"),
            ({"seeds": (1, 1)}, "`seeds`"),
            ({"epochs": 0}, "`epochs`"),
        ],
    )
    def test_out_of_range(self, changed, message):
        with pytest.raises(ValueError, match=message):
            TINY.changed(**changed)

    @pytest.mark.parametrize("name", PLANS)
    def test_the_tables_have_what_the_paper_has(self, name):
        settings = DiffResExperiment(PLANS[name])
        rates = [75, 50, 25, 15] if name == "fsd50k" else [75, 50, 25]
        rows = {**rows_of_table_1(settings, rates=rates), **rows_of_table_2(settings)}
        assert set(PAPER_RESULTS[name]) <= set(rows)
        frames = [rows[f"hop of {hop} ms"].plan.frames for hop in (10, 6, 3, 1)]
        assert frames == [round(PLANS[name].frames * 10 / hop) for hop in (10, 6, 3, 1)]

    @pytest.fixture
    def recipe(self, monkeypatch):
        monkeypatch.syspath_prepend(RECIPES)
        return load_recipe

    def test_recipes_have_the_plan_of_their_name(self, recipe):
        for name in PLANS:
            assert recipe(f"diffres_{name}").SETTINGS == DiffResExperiment(PLANS[name])

    def test_what_is_given_counts(self, recipe):
        esc50 = recipe("diffres_esc50")
        parser = esc50.table_parser("", esc50.SETTINGS, "out")
        args = parser.parse_args(["--data", "x"])
        assert esc50.cli.changed_settings(args, args.settings) == esc50.SETTINGS
        given = "--data x --weights none --mixup-alpha none --no-spec-augment --masked --seeds 2 --epochs 9"
        args = parser.parse_args(given.split())
        settings = esc50.cli.changed_settings(args, args.settings)
        assert (settings.weights, settings.training.mixup_alpha, settings.spec_augment) == (None, None, False)
        assert (settings.masked, settings.seeds, settings.training.epochs) == (True, (0, 1), 9)

    def test_rows_of_the_ablation(self, recipe):
        ablation = recipe("diffres_ablation")
        parsed = ablation.parser_of("", DiffResExperiment(PLANS["audioset"]), "out").parse_args(["--data", "x"])
        parsed.plan_name, parsed.rows, parsed.wider = "esc50", ablation.ROWS, (1, 3, 9, 27, 81)
        rows = ablation.rows_of(parsed)
        assert rows["proposed"].plan.layout == "esc50" and rows["without guide loss"].guide_weight == 0
        assert rows["without maximum"].aggregations == ("mean",) and not rows["without Algorithm 1"].even
        dilated = rows["hop of 1 ms, dilated"]
        assert (dilated.plan.frames, dilated.frames_per_second, dilated.dilations) == (5000, 100, (1, 3, 9, 27, 81))

    def test_conditions_of_the_front_ends(self, recipe):
        comparison = recipe("frontend_comparison")
        parsed = comparison.parser_of("", comparison.SETTINGS, "out").parse_args(["--data", "x"])
        parsed.rows = comparison.ROWS
        assert set(PAPER_FRONT_ENDS) <= set(comparison.ROWS)
        for plan, (bands, hop) in {"audioset": (64, 0.006), "nsynth": (40, 0.003)}.items():
            parsed.plan_name = plan
            rows = comparison.rows_of(parsed)
            leaf, diffres, best = rows["leaf"], rows["leaf, diffres"], rows["mel, diffres, best"]
            assert (leaf.method, leaf.plan.num_mels, leaf.plan.hop_seconds) == ("none", bands, 0.01)
            assert (diffres.front_end, diffres.method, diffres.plan.hop_seconds) == ("leaf", "diffres", hop)
            assert (leaf.training.mixup_alpha is None, leaf.spec_augment) == (plan != "audioset", plan == "audioset")
            assert (best.backbone, best.plan.num_mels, best.weights) == ("efficientnet-b2", 128, "imagenet")
