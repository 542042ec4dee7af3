"""Thresholds by class: against all candidates, kept in the model, and used by `tag`."""

import csv

import keras
import numpy as np
import pytest
import sklearn.metrics
import soundfile
from classifiers import RATE, small_classifier

from keras_audio_si import models
from keras_audio_si.cli import main as cli
from keras_audio_si.evaluation import f1_thresholds
from keras_audio_si.inference.tagging import choose_tags
from keras_audio_si.layers import ClassScores

NAMES = ("dog", "rain")


@pytest.mark.once
class TestF1:
    @pytest.mark.parametrize("decimals", [1, 8])  # With one decimal many scores are equal.
    def test_no_candidate_is_better(self, rng, decimals):
        targets = rng.uniform(size=(60, 4)) < 0.3
        scores = np.clip(targets * 0.3 + rng.uniform(size=(60, 4)), 0, 1).round(decimals)
        found = f1_thresholds(targets, scores)
        for number in range(4):
            f1 = sklearn.metrics.f1_score(targets[:, number], scores[:, number] >= found[number])
            candidates = np.unique(scores[:, number])
            all_f1 = [sklearn.metrics.f1_score(targets[:, number], scores[:, number] >= one) for one in candidates]
            assert f1 == pytest.approx(max(all_f1), abs=1e-12)
            assert found[number] not in candidates  # Halfway between scores.
            best = max(one for one, value in zip(candidates, all_f1, strict=True) if value > max(all_f1) - 1e-12)
            assert found[number] <= best and not ((found[number] <= candidates) & (candidates < best)).any()

    def test_scores_that_are_not_finite(self):
        with pytest.raises(ValueError, match="`scores` must be finite"):
            f1_thresholds([[1], [0]], [[np.nan], [0.2]])

    def test_classes_that_no_clip_or_every_clip_has(self):
        assert f1_thresholds([[0, 1], [0, 1]], [[0.9, 0.9], [0.1, 0.1]], default=0.7).tolist() == [0.7, 0.7]


@pytest.mark.first
def test_they_are_saved_with_the_model(tmp_path):
    model = small_classifier(NAMES)
    assert models.thresholds_of(model) is None
    models.set_thresholds(model, np.array([0.25, 0.75]))
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert models.thresholds_of(copy) == (0.25, 0.75)
    x = np.random.default_rng(0).uniform(-0.3, 0.3, (2, model.input_shape[1])).astype("float32")
    np.testing.assert_allclose(copy.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
    models.set_thresholds(copy, None)
    assert "thresholds" not in copy.layers[-1].get_config()


@pytest.mark.once
def test_wrong_thresholds():
    with pytest.raises(ValueError, match="`thresholds` must be 2 numbers. Received: 1"):
        models.set_thresholds(small_classifier(NAMES), [0.5])
    with pytest.raises(ValueError, match="no `ClassScores` layer that could keep thresholds"):
        models.set_thresholds(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), [0.5, 0.5])
    with pytest.raises(ValueError, match="`thresholds` must be 2 numbers, one for each class. Received: 3"):
        ClassScores(class_names=NAMES, thresholds=(0.1, 0.2, 0.3))(np.zeros((1, 2), "float32"))
    built = ClassScores(class_names=NAMES)
    built(np.zeros((1, 2), "float32"))
    with pytest.raises(ValueError, match="`thresholds` must be 2 numbers, one for each class. Received: 1"):
        built.thresholds = (0.5,)
    assert built.thresholds is None


@pytest.mark.once
def test_tags_of_each_class_by_its_own():
    assert choose_tags(np.array([0.2, 0.9, 0.5]), threshold=(0.1, 0.95, 0.5)) == [2, 0]


@pytest.mark.once
def test_command(tmp_path, rng, capsys):
    for number in range(8):
        folder = tmp_path / "sounds" / NAMES[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        level = 0.01 if number % 2 else 0.4
        soundfile.write(folder / f"{number}.wav", level * rng.uniform(-1, 1, 4000), RATE)
    small_classifier(NAMES).save(tmp_path / "model.keras")
    data = ["--data", str(tmp_path / "sounds"), "--cache-dir", str(tmp_path / "cache")]
    calibrated = str(tmp_path / "calibrated.keras")
    assert cli.main(["calibrate", str(tmp_path / "model.keras"), *data, "--output", calibrated]) == 0
    printed = capsys.readouterr().out
    thresholds = models.thresholds_of(keras.models.load_model(calibrated))
    assert f"{thresholds[0]:.4f}" in printed and "precision" in printed

    def tags(*flags):
        output = tmp_path / "tags.csv"
        assert cli.main(["tag", calibrated, str(tmp_path / "sounds"), "--output", str(output), *flags]) == 0
        return list(csv.DictReader(open(output)))

    for row in tags():
        scores = [float(row[f"score {name}"]) for name in NAMES]
        assert set(filter(None, row["tags"].split(";"))) == {
            name for name, score, least in zip(NAMES, scores, thresholds, strict=True) if score >= least
        }
    assert all(len(row["tags"].split(";")) == 2 for row in tags("--top-k", "2"))
