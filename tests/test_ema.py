import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.ema import WeightAverages, averaged, decay_after


def numpy(x):
    return np.array(ops.convert_to_numpy(x))


def network(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((5,)), keras.layers.Dense(4), keras.layers.BatchNormalization(momentum=0.5)]
    return keras.Sequential([*layers, keras.layers.Dense(3, activation="sigmoid")])


def test_released_trace(golden):
    """Three values over four epochs of steps, averaged from 0 on."""
    released = golden("eat_schedule_ema")
    trace = released["ema_trace"]
    per_epoch = len(trace) // 4
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(center=False, scale=False)])
    layer = model.layers[0]
    layer.moving_mean.assign(np.zeros(3))
    averages = WeightAverages(model, 0.995, "released", steps_per_epoch=per_epoch)
    for s, expected in enumerate(trace):
        averages(np.zeros((1,), "float32"), training=True)
        layer.moving_mean.assign([s + 1, (s + 1) ** 2 / 100, np.sin(s)])
        np.testing.assert_allclose(numpy(averages.current()[0]), expected, rtol=1e-5, atol=1e-6)
    decays = [float(ops.convert_to_numpy(decay_after(s, 0.995, "released", per_epoch))) for s in range(len(trace))]
    wanted = np.repeat(released["ema_decay_per_update"], per_epoch)
    np.testing.assert_allclose(decays, np.where(np.arange(len(trace)) % 5 == 0, wanted, 1.0), rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_averages_follow_the_steps_of_fit(rng, jit):
    """Against a mean taken by hand after each step; the weights are trained as without averages."""
    if jit != (keras.backend.backend() == "jax") and keras.backend.backend() != "tensorflow":
        pytest.skip("compiled on JAX, not on torch")
    x, y = rng.normal(size=(24, 5)).astype("float32"), (rng.random((24, 3)) < 0.5).astype("float32")
    weights = {}
    for name in ("alone", "averaged"):
        model = network()
        averages = WeightAverages(model, 0.8) if name == "averaged" else None
        training_model = AugmentedModel(model, averages=averages)
        training_model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", jit_compile=jit)
        seen = [model.get_weights()]
        for _ in range(2):  # a second `fit` must find its buffers
            look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(model.get_weights()))  # noqa: B023
            for batch in (slice(0, 8), slice(8, 16), slice(16, 24)):
                data = (x[batch], y[batch]), y[batch]
                training_model.fit(*data, batch_size=8, shuffle=False, verbose=0, callbacks=[look])
        weights[name] = model.get_weights()
    for one, other in zip(*weights.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    expected = seen[0]
    for step, values in enumerate(seen[1:]):
        decay = min(0.8, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * v for e, v in zip(expected, values, strict=True)]
    with averaged(training_model):
        for weight, wanted in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_allclose(weight, wanted, rtol=1e-4, atol=1e-6)
    for weight, wanted in zip(model.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_averages_are_of_the_whole_weights(policy):
    """Under mixed precision the step sees rounded weights; their averages must not."""
    keras.config.set_dtype_policy(policy)
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    kernel = model.layers[0].kernel
    kernel.assign(np.full((5, 4), 1.0001))
    averages = WeightAverages(model, 0.5)
    training_model = AugmentedModel(model, averages=averages)
    training_model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    x, y = np.zeros((8, 5), "float32"), np.ones((8, 3), "float32")
    training_model.fit((x, y), y, batch_size=4, verbose=0)
    np.testing.assert_allclose(numpy(averages.averages[0]), 1.0001, rtol=1e-6)


def test_weights_come_back_after_an_error():
    model = network()
    averages = WeightAverages(model, 0.9)
    before = model.get_weights()
    averages(np.zeros(1), training=True)
    model.layers[0].kernel.assign(np.ones((5, 4)))
    with pytest.raises(KeyError):
        with averages.in_place():
            assert not np.array_equal(numpy(model.layers[0].kernel), np.ones((5, 4)))
            raise KeyError
    np.testing.assert_array_equal(numpy(model.layers[0].kernel), np.ones((5, 4)))
    assert len(averages.weights) == len(before) + 1 and not averages.trainable_weights


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`update` must be one of 'step', 'released'. Received: update='epoch'"):
        WeightAverages(network(), 0.9, "epoch")
    with pytest.raises(ValueError, match="needs `steps_per_epoch`"):
        WeightAverages(network(), 0.9, "released")
