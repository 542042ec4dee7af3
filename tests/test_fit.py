import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
from tiny_training import FAST, network, patches

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.callbacks import BestCheckpoint
from keras_audio_si.training.fit_loop import TrainingSettings, fit
from keras_audio_si.training.losses import score_binary_cross_entropy
from keras_audio_si.training.progress import RemainingTime

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")


def test_trains_validates_and_keeps_the_best_epoch(tmp_path):
    model, validation = network(), patches(1)
    result = fit(model, patches(0), validation, FAST, tmp_path / "run", verbose=0)

    assert set(result.history) == {"loss", "val_mAP", "val_d_prime", "val_accuracy", "learning_rate"}
    assert all(len(values) == 4 for values in result.history.values())
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert result.best_value == max(result.history["val_mAP"]) > 0.9
    assert result.best_epoch == result.history["val_mAP"].index(result.best_value)

    # The weights in memory and on disk are those of the best epoch, and the file holds the model without its
    # wrapper.
    assert evaluate_clips(model, validation, batch_size=8).mAP == pytest.approx(result.best_value, abs=1e-6)
    saved = keras.models.load_model(result.best_model_path)
    assert type(saved) is type(model) and getattr(saved, "optimizer", None) is None
    x = validation.waveforms(np.arange(4))
    np.testing.assert_allclose(saved.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)

    with open(tmp_path / "run" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_mAP"]) for row in rows] == pytest.approx(result.history["val_mAP"])
    assert {"epoch", "loss", "learning_rate"} < set(rows[0])
    assert TrainingSettings(**json.loads((tmp_path / "run" / "settings.json").read_text())) == FAST
    assert list((tmp_path / "run" / "tensorboard").rglob("events.out.tfevents.*"))
    assert not list(tmp_path.rglob("*partial*"))


def test_the_last_epoch_is_kept_if_wanted(tmp_path):
    settings = dataclasses.replace(FAST, restore_best_weights=False)
    model, validation = network(), patches(1)
    result = fit(model, patches(0), validation, settings, tmp_path, verbose=0)
    values = result.history["val_mAP"]
    assert max(values[:-1]) >= values[-1]  # The best epoch would be another.
    assert (result.best_epoch, result.best_value) == (3, values[-1])
    for kept in (model, keras.models.load_model(result.best_model_path)):
        assert evaluate_clips(kept, validation, batch_size=8).mAP == pytest.approx(values[-1], abs=1e-6)


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    """With the weights that the same training has beside validation clips."""
    settings = dataclasses.replace(FAST, restore_best_weights=False, early_stopping_patience=None, schedule="constant")
    results, models = [], [network(), network()]
    for model, validation, name in zip(models, (None, patches(1)), "ab", strict=True):
        results.append(fit(model, patches(0), validation, settings, tmp_path / name, verbose=0))
    alone, beside = results
    assert set(alone.history) == {"loss", "learning_rate"} and alone.history["loss"] == beside.history["loss"]
    assert (alone.best_epoch, alone.best_value) == (3, alone.history["loss"][-1])
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    again = fit(network(), patches(0), None, settings, tmp_path / "a", resume=True, verbose=0)
    assert again.best_value == alone.best_value
    with pytest.raises(ValueError, match="begun with other settings or data: validation clips"):
        fit(network(), patches(0), patches(1), settings, tmp_path / "a", resume=True, verbose=0)
    for changes in ({"restore_best_weights": True}, {"early_stopping_patience": 3}, {"schedule": "plateau"}):
        with pytest.raises(ValueError, match="Without `validation` the last epoch is kept"):
            fit(network(), patches(0), None, dataclasses.replace(settings, **changes), tmp_path / "c")


def test_same_seed_same_run(tmp_path):
    settings = TrainingSettings(**{**vars(FAST), "epochs": 2})

    def run(settings):
        return fit(network(), patches(0), patches(1), settings, tmp_path, verbose=0, overwrite=True).history

    first, again = run(settings), run(settings)
    assert again == first
    assert run(TrainingSettings(**{**vars(settings), "seed": 1}))["loss"] != first["loss"]
    assert len(list((tmp_path / "tensorboard" / "train").iterdir())) == 1  # an earlier run's logs are replaced


def test_settings_that_cannot_work_are_said(tmp_path):
    settings = dataclasses.replace(FAST, epochs=2, mixing_from_epoch=2)
    with pytest.warns(UserWarning, match="`mixing_from_epoch`=2 is after the last of 2 epochs") as caught:
        fit(network(), patches(0), patches(1), settings, tmp_path, verbose=0)
    assert [warning.filename for warning in caught if "mixing_from" in str(warning.message)] == [__file__]


def test_plateau_and_early_stopping(tmp_path):
    model = network()
    for layer in model.layers:
        layer.trainable = isinstance(layer, keras.layers.Dense)  # nothing to learn at this rate, nothing that moves
    settings = TrainingSettings(
        learning_rate=1e-12,
        batch_size=8,
        epochs=20,
        plateau_patience=2,
        early_stopping_patience=3,
        mixup_alpha=None,
    )
    seen = []
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_accuracy"]))
    result = fit(model, patches(0), patches(1), settings, tmp_path, callbacks=[log], verbose=0)
    assert result.best_epoch == 0
    np.testing.assert_allclose(result.history["learning_rate"], [1e-12, 1e-12, 1e-12, 0.5e-12], rtol=1e-5)
    assert seen == result.history["val_accuracy"]


def test_a_diverged_training_stops_and_says_so(tmp_path):
    model = network()
    model.set_weights([np.full(w.shape, np.nan, "float32") for w in model.get_weights()])
    epochs = []
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    (tmp_path / "model.keras").write_text("from an earlier run")
    with pytest.raises(FloatingPointError, match="val_mAP.*lower `learning_rate`"):
        fit(model, patches(0), patches(1), FAST, tmp_path, callbacks=[log], verbose=0, overwrite=True)
    assert epochs == [0] and not (tmp_path / "model.keras").exists()


def test_a_training_that_diverges_later_says_which_epoch_is_kept(tmp_path):
    model = network()

    def spoil(epoch, logs):
        if epoch == 2:
            model.set_weights([np.full(w.shape, np.nan, "float32") for w in model.get_weights()])

    settings = dataclasses.replace(FAST, restore_best_weights=False)
    spoiling = [keras.callbacks.LambdaCallback(on_epoch_begin=spoil)]
    with pytest.warns(UserWarning, match="diverged in epoch 3, and ended there; the model is that of epoch 2"):
        result = fit(model, patches(0), patches(1), settings, tmp_path, callbacks=spoiling, verbose=0)
    assert result.best_epoch == 1 and np.isfinite(model.get_weights()[0]).all()


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"same classes in the same order.*'low', 'high'.*'high', 'low'"):
        fit(network(), patches(0), patches(1, class_names=("high", "low")), FAST, tmp_path)
    with pytest.raises(ValueError, match=r"score for each class, \(None, 2\).*\(None, 3\)"):
        fit(network(classes=3), patches(0), patches(1), FAST, tmp_path)
    for labels, message in (
        ([("low", "high"), ("low",)], "'softmax-or-bce' needs clips of one label each.*clip 'clip-0' with 2 labels"),
        ([("low",), ()], "needs clips of one label each.*clip 'clip-1' with 0 labels"),
    ):
        cache = ClipCache.from_waveforms([np.ones(64), np.ones(64)], labels, 100, ("low", "high"))
        with pytest.raises(ValueError, match=message):
            fit(network(), PatchDataset(cache, 64), patches(1), TrainingSettings(loss="softmax-or-bce"), tmp_path)
        by_patches = TrainingSettings(monitor="val_patch_balanced_accuracy")
        with pytest.raises(ValueError, match="Balanced accuracy is of clips with one label each; 'clip-"):
            fit(network(), patches(0), PatchDataset(cache, 64), by_patches, tmp_path)
    one = PatchDataset(ClipCache.from_waveforms([np.ones(64)], [("low",)], 100, ("low",)), 64)
    with pytest.raises(ValueError, match="'softmax' needs at least two classes"):
        fit(network(classes=1), one, one, TrainingSettings(loss="softmax"), tmp_path)
    assert not list(tmp_path.iterdir())
    for name, value in {
        "epochs": 0,
        "batch_size": 2.5,
        "seed": -1,
        "learning_rate": 0,
        "plateau_factor": 1.0,
        "mixup_alpha": 0.0,
        "early_stopping_patience": 0,
        "monitor": "val_loss",
        "jit_compile": "xla",
        "optimizer": "rmsprop",
        "weight_decay": -0.1,
        "beta_2": 1.0,
        "gradient_clip_norm": 0.0,
        "gradient_clip_by": "layer",
        "gradient_norms": "yes",
        "momentum": 1.0,
        "schedule": "cosine",
        "loss": "mae",
        "loss_reduction": "none",
        "label_smoothing": 1.0,
        "ema_decay": 1.0,
        "ema_update": "epoch",
        "teacher_temperature": 0.0,
        "epsilon": 0.0,
        "mixing_from_epoch": -1,
        "auxiliary_weight": -0.5,
    }.items():
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            TrainingSettings(**{name: value})


def test_loss_is_safe_at_saturation():
    targets = np.array([[1, 0], [0, 1], [1, 0.25]], "float32")
    scores = np.array([[0, 1], [0, 1], [0.9, 0.3]], "float32")
    losses = keras.ops.convert_to_numpy(
        score_binary_cross_entropy(*map(keras.ops.convert_to_tensor, (targets, scores)))
    )
    p = np.clip(scores, 1e-7, np.float32(1 - 1e-7)).astype("float64")
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(axis=1)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)


def test_best_checkpoint_keeps_the_largest_value(tmp_path):
    model = network()
    checkpoint = BestCheckpoint(tmp_path / "best.keras", "score")
    checkpoint.set_model(AugmentedModel(model))
    for epoch, score in enumerate([float("nan"), 0.2, 0.5, 0.5, 0.1]):
        model.layers[-1].bias.assign([epoch, epoch])
        checkpoint.on_epoch_end(epoch, {"score": score})
    assert (checkpoint.best, checkpoint.best_epoch) == (0.5, 2)
    saved = keras.models.load_model(checkpoint.path)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(saved.layers[-1].bias), [2, 2])
    with pytest.raises(ValueError, match="must be one of the logs, \\['loss'\\]. Received: monitor='score'"):
        checkpoint.on_epoch_end(5, {"loss": 1.0})
    with pytest.raises(ValueError, match="must end in .keras"):
        BestCheckpoint(tmp_path / "best.h5")


def test_the_estimate_of_the_end_does_not_wait_for_each_step():
    asynchronous = keras.callbacks.CallbackList([])._async_train
    assert keras.callbacks.CallbackList([RemainingTime()])._async_train == asynchronous
