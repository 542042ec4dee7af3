"""The recipes of EAT: settings, models, augmentation, and folds of tones with a network of one convolution."""

import pathlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import soundfile

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from recipe_data import RATE, RECIPES, load_recipe, rows_of, write_tones

from keras_audio_si import layers, models
from keras_audio_si.cross_validation import run_path
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.eat_experiment import (
    MIXINGS,
    EATExperiment,
    build_augmentation,
    build_model,
    run_folds,
    run_rows,
    train_and_test,
)
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.models.metadata import class_names_of
from keras_audio_si.models.surgery import with_classes

TINY = EATExperiment(
    sample_rate=RATE, input_length=1024, factors=(2,), augmentation=False, mixings=("mixup",), validation_split=0.25
).changed(epochs=8, batch_size=8, learning_rate=0.03, ema_decay=None)


def network(num_classes, input_length, factors, in_channels=1, activation=None, class_names=None, **options):
    """Takes what the builders of EAT take."""
    assert {"residual", "aggregation", "pooling"} <= set(options)
    shape = (input_length,) if in_channels == 1 else (input_length, in_channels)
    inputs = keras.Input(shape, name="waveform")
    kept = {name: options[name] for name in ("sample_rate", "short", "peak")}
    x = layers.FitLength(multiple=8, **kept)(inputs)
    x = keras.layers.Reshape((input_length, in_channels))(x)
    x = keras.layers.Conv1D(4, 16, strides=8, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    logits = keras.layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, layers.ClassScores(activation, class_names, name="scores")(logits))


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """In place of EAT, which takes long to compile and is tested elsewhere."""
    monkeypatch.setattr(models, "EATSmall", network)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """48 clips of a low or a high tone, of 0.2 to 0.4 s, in two folds."""
    return write_tones(tmp_path_factory.mktemp("tones"), RATE // 5, RATE // 5 * 2)


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "EATSmall", network)
        scores = run_folds(TINY, read_dataset(data), folder / "run", data / "cache", verbose=0)
    return folder / "run", scores


def test_folds_are_trained_and_tested(report):
    folder, scores = report
    assert [(score.fold, score.clips) for score in scores] == [("fold-1", "18/6/24"), ("fold-2", "18/6/24")]
    assert scores[0].values["accuracy"] > 0.9
    assert [row["tested on"] for row in rows_of(folder / "table.csv")] == ["fold-1", "fold-2", "all folds"]


def test_saved_models_give_the_numbers_of_the_report(report, data):
    folder, scores = report
    cache = ClipCache.build(read_dataset(data).select(folds=2), RATE, data / "cache", progress=False)
    model = keras.models.load_model(folder / "fold-2" / "model.keras")
    assert class_names_of(model) == ("high", "low")
    evaluation = evaluate_clips(model, PatchDataset(cache, 1024, short="zero", peak=0.95))
    assert evaluation.accuracy == scores[1].values["accuracy"]
    assert evaluation.mAP == pytest.approx(scores[1].values["mAP"], abs=1e-6)


def test_a_report_is_continued(report, data, monkeypatch):
    folder, scores = report
    monkeypatch.setattr("keras_audio_si.eat_experiment.fit", None)  # Nothing is trained.
    arguments = {"folder": folder, "cache_dir": data / "cache", "resume": True}
    assert run_folds(TINY, read_dataset(data), **arguments) == scores
    with pytest.raises(ValueError, match=r"peak \(0.95 then, null now\)"):
        run_folds(TINY.changed(peak=None), read_dataset(data), **arguments)


def test_rows_of_a_table(data, tmp_path, monkeypatch):
    def train_and_test(splits, settings, seed, path, *arguments, **saving):
        path.mkdir(parents=True, exist_ok=True)
        (path / "log.csv").write_text("epoch,loss,val_mAP\n0,0.5,0.1\n")
        return 9, SimpleNamespace(mAP=0.25, d_prime=1.0, accuracy=0.5 + 0.25 * len(settings.mixings))

    monkeypatch.setattr("keras_audio_si.eat_experiment.train_and_test", train_and_test)
    rows = {"no mixing": TINY.changed(mixings=()), "mixup": TINY}
    table = run_rows(rows, read_dataset(data), tmp_path, data / "cache", paper={"mixup": 86.5})
    assert [(row["row"], row["runs"], row["accuracy"].mean) for row in table] == [
        ("no mixing", 2, 0.5),
        ("mixup", 2, 0.75),
    ]
    first, second = rows_of(tmp_path / "rows.csv")
    assert (first["accuracy in the paper (%)"], second["accuracy in the paper (%)"]) == ("", "86.5")
    assert (tmp_path / "no-mixing" / "fold-2" / "log.csv").exists() and (tmp_path / "rows.md").exists()


def test_class_balanced_sampling_noise_and_teacher(report, data, tmp_path):
    """Three options that change the training, and reach it."""
    cache = ClipCache.build(read_dataset(data), RATE, data / "cache", progress=False)
    splits = {split: cache.select(folds=1 + (split == "test")) for split in ("train", "val", "test")}
    seen = {}

    def fit(model, train, validation, training, folder, **arguments):
        seen.update(arguments, train=train, validation=validation, training=training)

    noise = object()
    settings = TINY.changed(sampling="class_balanced")
    teacher = report[0] / "fold-1" / "model.keras"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keras_audio_si.eat_experiment.fit", fit)
        train_and_test(splits, settings, 3, tmp_path, noise, teacher, verbose=0, resume=True)
    assert (seen["train"].crops, seen["train"].sampling, seen["train"].short) == ("random", "class_balanced", "zero")
    assert seen["train"].background is noise and seen["validation"].background is None
    assert seen["validation"].crops == "fixed" and seen["training"].seed == 3 and seen["resume"]
    assert seen["teacher"].input_shape == (None, 1024)


def test_background_noise_of_speech_commands(tmp_path, monkeypatch):
    for name in ("yes/a", "yes/b", "yes/c", "no/a", "no/b", "no/c", "_background_noise_/hum"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", np.full(500, 0.1), RATE)
    (tmp_path / "validation_list.txt").write_text("yes/a.wav\nno/a.wav\n")
    (tmp_path / "testing_list.txt").write_text("yes/b.wav\nno/b.wav\n")
    seen = []

    def train_and_test(splits, settings, seed, path, background, teacher, verbose, **saving):
        seen.append((splits, background, teacher, path))
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_audio_si.eat_experiment.train_and_test", train_and_test)
    settings = TINY.changed(background_noise=True)
    arguments = {"folder": tmp_path / "run", "cache_dir": tmp_path / "cache", "teacher": tmp_path / ".taught"}
    with pytest.raises(ValueError, match=r"the same folds and seeds. It lacks: .*model\.keras"):
        run_folds(settings, read_dataset(tmp_path), **arguments)
    (tmp_path / ".taught").mkdir()
    (tmp_path / ".taught" / "model.keras").touch()
    with pytest.raises(KeyboardInterrupt):
        run_folds(settings, read_dataset(tmp_path), **arguments)
    splits, background, teacher, path = seen[0]
    assert [len(splits[name]) for name in ("train", "val", "test")] == [2, 2, 2]
    assert len(background.cache) == 1 and path == tmp_path / "run"
    assert teacher == tmp_path / ".taught" / "model.keras"


class TestModel:
    def test_names_and_activation(self):
        model = build_model(("a", "b", "c"), TINY)
        assert class_names_of(model) == ("a", "b", "c") and model.layers[-1].activation is keras.activations.softmax
        model = build_model(("a", "b"), TINY.changed(loss="bce", label_smoothing=0.0))
        assert model.layers[-1].activation is keras.activations.sigmoid

    @pytest.mark.parametrize("content", ["phase", "magnitude", "both"])
    def test_contents(self, content):
        model = build_model(("a", "b"), TINY.changed(content=content))
        assert model.input_shape == (None, 1024) and class_names_of(model) == ("a", "b")
        assert isinstance(model.layers[-1], layers.ClassScores)
        assert model.layers[-1].input.shape == (None, 2)

    def test_a_trained_network_gets_other_classes(self, tmp_path):
        trained = build_model(("a", "b"), TINY)
        trained.save(tmp_path / "model.keras")
        model = build_model(("x", "y", "z"), TINY.changed(pretrained=str(tmp_path / "model.keras")))
        assert class_names_of(model) == ("x", "y", "z") and model.output_shape == (None, 3)
        kept = [weight.shape == other.shape for weight, other in zip(model.weights, trained.weights, strict=True)]
        assert kept == [True, True, False, False]
        for weight, other in list(zip(model.weights, trained.weights, strict=True))[:2]:
            np.testing.assert_array_equal(weight.numpy(), other.numpy())

    def test_networks_without_a_last_layer_to_replace(self):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Softmax()])
        with pytest.raises(ValueError, match="ends in Dense and Softmax"):
            with_classes(model, ("a",))


class TestAugmentation:
    def test_nothing(self):
        assert build_augmentation(TINY.changed(mixings=()), seed=0) is None

    def test_mixings_alone(self):
        augmentation = build_augmentation(TINY.changed(mixings=MIXINGS), seed=0)
        assert [type(layer).__name__ for layer in augmentation.layers] == ["MixUp", "TimeMix", "FreqMix", "PhaseMix"]

    def test_everything(self):
        augmentation = build_augmentation(EATExperiment(), seed=0)
        assert [layer.name for layer in augmentation.layers[-1].layers] == list(MIXINGS)


@pytest.mark.once
class TestSettings:
    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"size": "tiny"}, "`size` must be one of"),
            ({"content": "pitch"}, "`content` must be one of"),
            ({"mixings": ("cutmix",)}, "`mixings` must be some of"),
            ({"loss": "softmax"}, "`mixings` give several labels"),
            ({"seeds": (1, 1)}, "`seeds`"),
            ({"epochs": 0}, "`epochs`"),
        ],
    )
    def test_out_of_range(self, changed, message):
        with pytest.raises(ValueError, match=message):
            EATExperiment().changed(**changed)

    def test_unknown(self):
        with pytest.raises(TypeError, match="learning_rte"):
            EATExperiment().changed(learning_rte=0.1)

    @pytest.fixture
    def recipe(self, monkeypatch):
        monkeypatch.syspath_prepend(RECIPES)
        return load_recipe

    def test_what_is_given_counts(self, recipe):
        esc50 = recipe("eat_esc50")
        parser = esc50.parser_of("", "out")
        assert esc50.cli.changed_settings(parser.parse_args(["--data", "x"]), esc50.SETTINGS) == esc50.SETTINGS
        args = "--data x --ema-decay none --peak none --seeds 3 --mixings mixup --no-noise --epochs 9 --factors 4 4"
        settings = esc50.cli.changed_settings(parser.parse_args(args.split()), esc50.SETTINGS)
        assert (settings.training.ema_decay, settings.peak, settings.seeds) == (None, None, (0, 1, 2))
        assert (settings.mixings, settings.noise, settings.training.epochs) == (("mixup",), False, 9)
        assert settings.factors == (4, 4) and settings.training.label_smoothing == 0.1

    def test_those_of_the_paper(self, recipe):
        esc50, words, audioset = (recipe(f"eat_{name}").SETTINGS for name in ("esc50", "speech_commands", "audioset"))
        assert (esc50.training.learning_rate, esc50.training.epochs, esc50.input_length) == (5e-4, 3500, 114688)
        assert (words.sample_rate, words.input_length, words.factors) == (16000, 16384, (4, 4, 4))
        assert (audioset.training.loss, audioset.sampling, audioset.noise) == ("bce", "class_balanced", False)
        assert recipe("eat_urbansound8k").SETTINGS.input_length == 90112

    def test_rows_of_the_ablation(self, recipe):
        ablation = recipe("eat_ablation")
        settings = {name: ablation.SETTINGS.changed(**change) for name, change in ablation.TABLES["a"].items()}
        assert [len(one.mixings) for one in settings.values()] == [0, 1, 2, 3, 4]
        assert list(ablation.PAPER) == [*ablation.TABLES["a"], *ablation.TABLES["b"]]
        assert ablation.PAPER["a3 freqmix"] == 90.1 and ablation.PAPER["b0 common blocks"] == 80.5


@pytest.mark.once
def test_folders_of_runs():
    folder = pathlib.Path("runs")
    assert run_path(folder, "fold-1", 3, ["fold-1"], [3]) == folder
    assert run_path(folder, "fold-1", 3, ["fold-1", "fold-2"], [0, 3]) == folder / "fold-1" / "seed-3"
