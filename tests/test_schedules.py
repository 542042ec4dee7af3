import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.training.schedules import OneCycle, WarmUpAndDecay, one_cycle_learning_rate, one_cycle_momentum


def values(schedule, steps):
    return np.array([float(ops.convert_to_numpy(schedule(step))) for step in steps])


def test_every_step_of_the_released_schedule(golden):
    released = golden("eat_schedule_ema")
    steps = int(np.prod(released["cfg"]))
    assert len(released["beta1"]) == steps
    rates = values(one_cycle_learning_rate(steps, 3e-4), range(steps))
    # What a cosine leaves near its end is small against the rates there are.
    np.testing.assert_allclose(rates * 1e4, released["lr_x1e4"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values(one_cycle_momentum(steps), range(steps)), released["beta1"], rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 11])
def test_few_steps(steps):
    rates = values(one_cycle_learning_rate(steps, 1.0), range(steps + 2))
    assert np.isfinite(rates).all() and (rates > 0).all() and rates[0] >= 0.04
    assert rates[-1] == rates[-2]  # it stays where it ended
    if steps > 1:
        assert rates[steps - 1] == pytest.approx(4e-6, rel=0.05)


def test_config_round_trip():
    schedule = OneCycle(50, 0.1, 1.0, 0.2, warm_up=0.3)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    np.testing.assert_array_equal(values(copy, range(0, 50, 7)), values(schedule, range(0, 50, 7)))
    schedule = WarmUpAndDecay(1e-3, 30, 3, 2, 0.5, warm_up_steps=40, stair_steps=7)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    steps = (20, 42, 89, 90, 149, 150)
    np.testing.assert_allclose(values(copy, steps), [14 / 40 * 1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4], rtol=1e-6)


def test_a_warm_up_shorter_than_a_stair():
    rates = values(WarmUpAndDecay(1.0, 1000, 10, 5, 0.5, warm_up_steps=10), [0, 9, 10, 49])
    np.testing.assert_array_equal(rates, [0, 0, 1, 1])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`steps` must be an integer of at least 1. Received: steps=0"):
        OneCycle(0, 1.0, 2.0, 1.0)
    with pytest.raises(ValueError, match=r"`warm_up` must be in \(0, 1\). Received: warm_up=1.0"):
        OneCycle(10, 1.0, 2.0, 1.0, warm_up=1.0)
    with pytest.raises(ValueError, match="must be an integer of at least 1. Received: decay_every_epochs=0"):
        WarmUpAndDecay(1e-3, 30, 3, 0, 0.5)
