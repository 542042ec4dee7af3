"""The models that come with the package: what belongs to them, tags without a model, trainings that start from them."""

import configparser
import csv
import dataclasses
import json
import pathlib
import runpy
import sys

import keras
import numpy as np
import pytest
import soundfile
from recipe_data import write_tones

from keras_audio_si.cli import main as cli
from keras_audio_si.evaluation.page import TEMPLATES
from keras_audio_si.experiments.model import build_model
from keras_audio_si.experiments.presets import preset
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.inference.tagging import find_audio, tag_files
from keras_audio_si.layers import LogMelSpectrogram
from keras_audio_si.models import (
    PRETRAINED,
    Classifier,
    EfficientNetTagger,
    class_names_of,
    front_end_of,
    pretrained,
    with_classes,
)
from keras_audio_si.models.pretrained import DEFAULT, FOLDER, model_file

ROOT = pathlib.Path(__file__).parent.parent
RECIPE = ROOT / "recipes" / "pretrained_esc10.py"
ESC10 = ("dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby")
ESC10 += ("sneezing", "clock_tick", "helicopter", "chainsaw")


@pytest.fixture(scope="module")
def model():
    return pretrained(DEFAULT)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.flac"
    soundfile.write(path, np.random.default_rng(5).uniform(-0.3, 0.3, (30000, 2)), 16000)
    return path


def command(capsys, *args):
    code = cli.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.once
class TestPackage:
    @pytest.mark.parametrize("name", PRETRAINED)
    def test_a_model_is_small_and_has_a_card(self, name):
        assert 0 < (FOLDER / f"{name}.keras").stat().st_size <= 2_000_000
        card = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        for part in (f"# {name}", "## Data", "CC BY 3.0", "## Training", "## Figures", "accuracy", "## Limits"):
            assert part in card
        assert all(label in card for label in class_names_of(pretrained(name)))

    def test_the_wheel_has_all_of_it(self):
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        patterns = setup["options.package_data"]["keras_audio_si"].split()
        taken = {path for pattern in patterns for path in (ROOT / "keras_audio_si").glob(pattern)}
        assert taken == {*FOLDER.iterdir(), *TEMPLATES.iterdir()}
        assert {f"{name}{suffix}" for name in PRETRAINED for suffix in (".keras", ".md")} <= {
            path.name for path in FOLDER.iterdir()
        }

    def test_every_clip_has_its_author(self, shared_data):
        with open(FOLDER / "ESC10-ATTRIBUTION.csv", newline="", encoding="utf-8") as file:
            authors = {row["clip"]: row for row in csv.DictReader(file)}
        assert all(row["author"] and row["source"].startswith("http") and row["licence"] for row in authors.values())
        with open(shared_data / "esc50" / "meta" / "esc50.csv", newline="", encoding="utf-8") as file:
            clips = {row["filename"].rpartition("-")[0] for row in csv.DictReader(file)}
        assert clips <= set(authors) and len(authors) == 400


def test_by_name(model):
    assert class_names_of(model) == ESC10 and model.output_shape == (None, 10)
    scores = model.predict(np.zeros((1, model.input_shape[1]), "float32"), verbose=0)
    assert np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1


@pytest.mark.once
def test_unknown_names_name_the_nearest(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`name` must be one of .*'vgg41'. Did you mean 'vgg41-esc10'"):
        pretrained("vgg41")
    with pytest.raises(FileNotFoundError, match="no model file vgg41-esc, nor .*, such as 'vgg41-esc10'"):
        model_file("vgg41-esc")
    monkeypatch.chdir(tmp_path)
    pathlib.Path(DEFAULT).write_text("a file of that name is not the model of the package")
    assert model_file(DEFAULT) == pathlib.Path(DEFAULT)


class TestTag:
    def test_without_a_model(self, model, recording, capsys):
        code, out, err = command(capsys, "tag", recording, "--format", "json")
        assert code == 0 and DEFAULT in err and all(name in err for name in ESC10)
        (result,) = json.loads(out)["results"]
        (expected,) = tag_files(model, find_audio([recording]))
        np.testing.assert_allclose(result["scores"], expected.scores[0], atol=1e-6)
        named = command(capsys, "tag", DEFAULT, recording, "--format", "json")
        assert named[:2] == (0, out) and "of the package" not in named[2]

    def test_a_recording_called_like_the_model_is_tagged(self, recording, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        recording.rename(DEFAULT)
        code, out, err = command(capsys, "tag", DEFAULT)
        assert code == 0 and f"Model: {DEFAULT} of the package" in err and DEFAULT in out

    @pytest.mark.once
    def test_a_name_with_a_slip(self, recording, capsys):
        code, _, err = command(capsys, "tag", "vgg41-esc11", recording)
        assert code == 2 and "neither a file nor a model 'vgg41-esc11'. Did you mean 'vgg41-esc10'?" in err

    @pytest.mark.once
    @pytest.mark.parametrize("model", [DEFAULT, "gone.keras"])
    def test_a_model_and_nothing_to_tag(self, model, capsys):
        code, _, err = command(capsys, "tag", model)
        assert code == 2 and f"An audio file or a folder is needed behind the model. Received: {model}" in err


@pytest.mark.first
class TestWarmStart:
    def test_all_but_the_last_layer_is_kept(self, model):
        settings = Settings().changed(initial=DEFAULT, sample_rate=front_end_of(model).sample_rate, loss="softmax")
        warm = build_model(("low", "high", "none"), settings)
        assert class_names_of(warm) == ("low", "high", "none") and warm.input_shape == model.input_shape
        *kept, kernel, bias = warm.weights
        assert kernel.shape[1:] == bias.shape == (3,)
        assert len(kept) == len(model.weights) - 2
        for weight, other in zip(kept, model.weights, strict=False):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(other))
        sound = np.random.default_rng(1).uniform(-0.5, 0.5, (2, model.input_shape[1])).astype("float32")
        features = features_of(warm, sound)
        np.testing.assert_array_equal(features, features_of(model, sound))
        logits = features @ keras.ops.convert_to_numpy(kernel) + keras.ops.convert_to_numpy(bias)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(warm.predict(sound, verbose=0), shares, atol=1e-5)

    def test_a_copy_with_other_classes_saves(self, model, tmp_path):
        warm = with_classes(model, ("a", "b"), "sigmoid")
        warm.save(tmp_path / "warm.keras")
        sound = np.random.default_rng(1).uniform(-0.5, 0.5, (2, model.input_shape[1])).astype("float32")
        loaded = keras.models.load_model(tmp_path / "warm.keras")
        np.testing.assert_array_equal(loaded.predict(sound, verbose=0), warm.predict(sound, verbose=0))

    @pytest.mark.parametrize("name", ["quick", "paper"])
    def test_training(self, model, tmp_path, capsys, name):
        write_tones(tmp_path, 400, 1600)
        args = ["train", "--data", tmp_path, "--output", tmp_path / "run", "--cache-dir", tmp_path / "cache"]
        args += ["--initial", DEFAULT, "--preset", name, "--folds", 2]
        args += ["--epochs", 1, "--batch-size", 8, "--learning-rate", 1e-4]
        code, out, err = command(capsys, *args)
        assert code == 0, err
        assert f"{DEFAULT}, 1 epochs" in out
        trained = keras.models.load_model(tmp_path / "run" / "model.keras")
        assert class_names_of(trained) == ("high", "low") and trained.input_shape == model.input_shape

    @pytest.mark.once
    def test_unknown_names_are_known_before_audio_is_decoded(self, tmp_path, capsys):
        write_tones(tmp_path, 400, 1600)
        args = ("--data", tmp_path, "--output", tmp_path / "run", "--cache-dir", tmp_path / "cache", "--folds", 2)
        code, _, err = command(capsys, "train", *args, "--initial", "vgg41-esc")
        assert code == 2 and "such as 'vgg41-esc10'" in err and not (tmp_path / "cache").exists()

    @pytest.mark.once
    @pytest.mark.parametrize("masked", [False, True])
    def test_networks_with_an_attention_head(self, rng, tmp_path, masked):
        front_end = LogMelSpectrogram(8000, num_mels=32)
        tagger = EfficientNetTagger(2, (40, 32), variant="B0", heads=2, class_names=("a", "b"))
        model = Classifier(
            front_end, tagger, input_samples=front_end.num_samples(40), lengths="zeros" if masked else None
        )
        model.save(tmp_path / "tagger.keras")
        settings = preset("quick", initial=str(tmp_path / "tagger.keras"))
        assert (settings.model.network, settings.data.sample_rate) == ("efficientnet-b0", 8000)
        warm = build_model(("x", "y", "z"), settings)
        assert class_names_of(warm) == ("x", "y", "z") and warm.layers[-1].layers[-2].heads == 2
        own = [weight for weight in warm.weights if "attention_head" not in weight.path]
        others = [weight for weight in model.weights if "attention_head" not in weight.path]
        assert len(own) == len(others) > 100
        for weight, other in zip(own, others, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(other))
        # With the head of the trained one, whose classes they are then, the scores are its scores.
        again = with_classes(model, ("a", "b"))
        again.layers[-1].layers[-2].set_weights(tagger.layers[-2].get_weights())
        sound = rng.uniform(-0.5, 0.5, (2, model.input_shape[1])).astype("float32")
        sound[1, 1000:] = 0
        np.testing.assert_allclose(again.predict(sound, verbose=0), model.predict(sound, verbose=0), atol=1e-6)
        with pytest.raises(ValueError, match="`activation` must be None or 'sigmoid' for a model with an `Attention"):
            with_classes(model, ("a", "b"), "softmax")


def features_of(model, sound):
    """What the last dense layer of a model gets."""
    _, *front, network = model.layers
    for layer in front:
        sound = layer(sound)
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)][-1]
    return keras.ops.convert_to_numpy(keras.Model(network.input, dense.input)(sound))


@pytest.mark.slow
@pytest.mark.once
def test_the_recipe_writes_model_and_card(one_block, tmp_path, monkeypatch, capsys):
    """ESC-50 in small: the ten classes and one more, two folds, two clips of two recordings each."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "ESC-50" / "audio").mkdir(parents=True)
    (tmp_path / "ESC-50" / "meta").mkdir()
    for target, label in enumerate((*ESC10, "vacuum_cleaner")):
        for number in range(8):
            fold, source = 1 + number % 2, f"{target}{number // 2 % 2}{number % 2}"
            name = f"{fold}-{source}-{number}-{target}.wav"
            sound = rng.uniform(-0.1, 0.1, 18000) + 0.5 * np.sin(np.arange(18000) * 0.05 * (1 + target))
            soundfile.write(tmp_path / "ESC-50" / "audio" / name, sound, 16000)
            rows.append({"filename": name, "fold": fold, "target": target, "category": label, "src_file": source})
    for folder, kept in (("ESC-50", rows), ("ESC-10", [row for row in rows if row["category"] in ESC10])):
        (tmp_path / folder / "meta").mkdir(parents=True, exist_ok=True)
        with open(tmp_path / folder / "meta" / "esc50.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(kept)
    (tmp_path / "ESC-10" / "audio").symlink_to(tmp_path / "ESC-50" / "audio")
    monkeypatch.chdir(tmp_path)
    small = "--preset paper --sample-rate 16000 --width 0.125 --batch-size 16 --epochs 2 --learning-rate 0.01"
    small += " --validation-split 0.3"
    args = ["train", "--data", "ESC-10", "--folds", "all", "--output", "report", *small.split()]
    assert command(capsys, *args)[0] == 0
    args = ["--data", "ESC-50", "--report", "report", "--models", ".", "--name", "tiny"]
    monkeypatch.setattr(sys, "argv", [RECIPE.name, *args])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(RECIPE), run_name="__main__")
    assert exit.value.code == 0
    assert class_names_of(keras.models.load_model("tiny.keras")) == ESC10
    card = pathlib.Path("tiny.md").read_text(encoding="utf-8")
    with open("report/runs.csv", newline="") as file:
        accuracy = [float(row["accuracy"]) for row in csv.DictReader(file)]
    assert f"accuracy {sum(accuracy) / 2:.3f}, mAP 0." in card
    assert "Of the folds 1, 2 it was trained on 60 clips;\n20 clips of other recordings" in card
    line = next(line for line in card.splitlines() if "--folds all" in line)
    assert line.startswith("    keras-audio-si train --data ESC-10 --output runs/esc10 --folds all --preset paper")
    parsed = cli.build_parser(["train"]).parse_args(line.split()[1:])
    with open("report/experiment.json") as file:
        record = json.load(file)["rows"][""]
    assert {name: getattr(parsed, name) for name in ("width", "epochs")} == {"width": 0.125, "epochs": 2}
    assert record["training"]["learning_rate"] == parsed.learning_rate == 0.01
    assert {field.name for field in dataclasses.fields(Settings)} == set(record)
