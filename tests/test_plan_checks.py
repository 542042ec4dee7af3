"""Warnings of settings that cannot work in so many steps."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.training.ema import WeightAverages
from keras_audio_si.training.plan_checks import plan_warnings, start_share
from keras_audio_si.training.settings import TrainingSettings

pytestmark = pytest.mark.first


@pytest.mark.parametrize("update, decay", [("released", 0.9), ("step", 0.7), ("step", 0.999)])
def test_share_is_that_of_real_averages(update, decay):
    """Of a weight that is 1 until the end of the second epoch and 0 after it."""
    steps_per_epoch, epochs = 7, 5
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    averages = WeightAverages(model, decay, update, steps_per_epoch)
    shares = []
    for step in range(epochs * steps_per_epoch):
        averages(np.zeros(1, "float32"), training=True)
        if step == 2 * steps_per_epoch:
            model.layers[0].kernel.assign([[0.0]])
        shares.append(float(ops.convert_to_numpy(averages.current()[0])[0, 0]))
    assert start_share(decay, update, steps_per_epoch, epochs) == pytest.approx(shares[-1], rel=1e-4)


def test_released_decay_is_that_of_an_epoch():
    assert start_share(0.995, "released", 13, 35) == pytest.approx(0.995**33, rel=0.01)
    assert 0 < start_share(0.995, "released", 12, 3500) < 1e-7
    assert start_share(0.995, "released", 13, 2) == 0.0


def warnings_of(steps_per_epoch=13, augmented=False, mixed=True, **settings):
    return plan_warnings(TrainingSettings(**settings), steps_per_epoch, augmented, mixed)


def test_averages_that_are_too_slow():
    (warning,) = warnings_of(epochs=35, ema_decay=0.995, ema_update="released")
    assert warning.startswith("`ema_decay`=0.995 per epoch is too slow for 35 epochs: at the end 85 % of the averages")
    assert "at most 0.86" in warning and not warnings_of(epochs=35, ema_decay=0.86, ema_update="released")
    for others in ({"ema_update": "step", "ema_decay": 0.9999}, {"ema_decay": None}):
        assert not warnings_of(epochs=35, **others)
    assert not warnings_of(epochs=600, ema_decay=0.995, ema_update="released")


def test_averages_by_the_step_do_not_reach_back():
    assert not warnings_of(steps_per_epoch=2, epochs=3, ema_decay=0.9, ema_update="step")


def test_a_warm_up_longer_than_the_training():
    settings = {"schedule": "warm-up-and-decay", "epochs": 20}
    (warning,) = warnings_of(**settings)
    assert warning.startswith("`warm_up_steps`=1000 are more than the 260 steps")
    assert not warnings_of(**settings, warm_up_steps=260)


def test_mixing_that_never_begins():
    (warning,) = warnings_of(epochs=12, mixing_from_epoch=12)
    assert "`mixing_from_epoch`=12" in warning and "no batch is mixed" in warning
    assert not warnings_of(epochs=13, mixing_from_epoch=12)
    assert not warnings_of(epochs=12, mixing_from_epoch=12, mixed=False)


def test_weight_decay_that_the_optimizer_has_not():
    for optimizer, number in {"adam": 1, "sgd": 1, "adamw": 0, "adam-l2": 0}.items():
        warnings = warnings_of(optimizer=optimizer, weight_decay=0.3)
        assert len(warnings) == number and all("`weight_decay`=0.3 has no effect" in warning for warning in warnings)
        assert not warnings_of(optimizer=optimizer) and not warnings_of(optimizer=optimizer, weight_decay=0.0)


def test_few_steps_with_everything():
    few = {"epochs": 10, "augmented": True}
    (warning,) = warnings_of(steps_per_epoch=29, **few)
    assert warning.startswith("290 steps are too few")
    assert not warnings_of(steps_per_epoch=30, **few)
    for part in ({"augmented": False}, {"mixed": False}):
        assert not warnings_of(steps_per_epoch=29, **{**few, **part})
