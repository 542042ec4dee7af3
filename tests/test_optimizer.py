import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.training.optimizer import CycledAdamW, build_optimizer, spared_variables
from keras_audio_si.training.schedules import one_cycle_learning_rate, one_cycle_momentum
from keras_audio_si.training.settings import TrainingSettings

EAT = TrainingSettings(
    learning_rate=0.1, optimizer="adamw", weight_decay=0.5, beta_2=0.99, schedule="one-cycle", gradient_clip_norm=2.0
)


def adamw(values, gradients, settings, rates, betas, spared):
    """Decoupled decay, then Adam, after clipping by the norm of all gradients; in float64."""
    values, m, v = [[np.array(x, "float64") * s for x in values] for s in (1, 0, 0)]
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    gradients = [g * min(1.0, settings.gradient_clip_norm / norm) for g in gradients]
    for step, (rate, beta) in enumerate(zip(rates, betas, strict=True), start=1):
        for i, g in enumerate(gradients):
            if i not in spared:
                values[i] = values[i] * (1 - rate * settings.weight_decay)
            m[i] = beta * m[i] + (1 - beta) * g
            v[i] = settings.beta_2 * v[i] + (1 - settings.beta_2) * g**2
            mean, square = m[i] / (1 - beta**step), v[i] / (1 - settings.beta_2**step)
            values[i] = values[i] - rate * mean / (np.sqrt(square) + (settings.epsilon or 1e-8))
    return values


@pytest.mark.parametrize(
    "schedule, epsilon", [("one-cycle", None), ("plateau", None), ("one-cycle", 0.1), ("plateau", 0.1)]
)
def test_adamw_along_its_schedule(rng, schedule, epsilon):
    settings = dataclasses.replace(EAT, schedule=schedule, epsilon=epsilon)
    steps = 20
    start = [rng.normal(size=shape).astype("float32") for shape in ((3, 2, 2), (4, 3), (3,))]
    gradients = [rng.normal(size=x.shape).astype("float32") for x in start]
    variables = [keras.Variable(x) for x in start]
    optimizer = build_optimizer(settings, variables, steps)
    optimizer.build(variables)
    for _ in range(6):
        optimizer.apply([ops.convert_to_tensor(g) for g in gradients], variables)
    if schedule == "one-cycle":
        cycles = one_cycle_learning_rate(steps, 0.1), one_cycle_momentum(steps)
        rates, betas = ([float(ops.convert_to_numpy(cycle(i))) for i in range(6)] for cycle in cycles)
        assert rates[1] > 2 * rates[0] and betas[1] < betas[0]
    else:
        rates, betas = [0.1] * 6, [0.9] * 6
    for variable, wanted in zip(variables, adamw(start, gradients, settings, rates, betas, {2}), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), wanted, rtol=1e-4, atol=1e-6)


def test_l2_is_a_term_of_the_gradient(rng):
    """Against Adam in float64 on the gradient of the loss and of the squares of the weights."""
    settings = TrainingSettings(
        learning_rate=0.1,
        epochs=2,
        optimizer="adam-l2",
        weight_decay=0.5,
        beta_1=0.95,
        schedule="warm-up-and-decay",
        warm_up_steps=0,
        decay_start_epoch=1,
    )
    start, gradient = rng.normal(size=(2, 4, 3)).astype("float32")
    variable = keras.Variable(start)
    optimizer = build_optimizer(settings, [variable], steps=6)
    optimizer.build([variable])
    value, m, v = start.astype("float64"), 0.0, 0.0
    for step in range(6):
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        whole = gradient + 0.5 * value
        m, v = 0.95 * m + 0.05 * whole, 0.999 * v + 0.001 * whole**2
        mean, square = m / (1 - 0.95 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        value = value - (0.1 if step < 3 else 0.05) * mean / (np.sqrt(square) + 1e-8)
    np.testing.assert_allclose(ops.convert_to_numpy(variable), value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
@pytest.mark.parametrize("optimizer, default", [("adam", 1e-7), ("adamw", 1e-8), ("adam-l2", 1e-8)])
def test_epsilon(optimizer, default, schedule):
    if (optimizer, schedule) == ("adam-l2", "one-cycle"):
        return
    for epsilon, wanted in ((None, default), (1e-4, 1e-4)):
        settings = TrainingSettings(optimizer=optimizer, schedule=schedule, epsilon=epsilon)
        assert build_optimizer(settings, [], steps=10).epsilon == wanted
    with pytest.raises(ValueError, match="`epsilon` must be None with `optimizer`='sgd'"):
        TrainingSettings(optimizer="sgd", epsilon=1e-4)
    with pytest.raises(ValueError, match="`epsilon`"):
        TrainingSettings(epsilon=0.0)


def test_what_decays():
    inputs = keras.Input((8, 4))
    x = keras.layers.Conv1D(4, 3)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.MultiHeadAttention(2, 2)(x, x)
    x = keras.layers.LayerNormalization()(x)
    variables = keras.Model(inputs, keras.layers.Dense(4)(x)).trainable_variables
    spared = {id(variable) for variable in spared_variables(variables)}
    decayed = [variable.name for variable in variables if id(variable) not in spared]
    assert decayed == ["kernel"] * 6
    # Keras' attention has biases of two axes, which are of one in the released layout.
    assert max(len(v.shape) for v in variables if id(v) in spared) == 2


def test_defaults_are_adam():
    optimizer = build_optimizer(TrainingSettings(), [], 10)
    assert optimizer.get_config() == keras.optimizers.Adam(3e-5).get_config() | {"name": optimizer.name}


def test_config_round_trip():
    optimizer = build_optimizer(EAT, [], 10)
    copy = CycledAdamW.from_config(optimizer.get_config())
    assert float(ops.convert_to_numpy(copy.beta_1)) == pytest.approx(0.95)
    assert copy.get_config() == optimizer.get_config()


def test_nesterov_with_clipping_by_variable_against_recorded_steps(golden):
    arrays = golden("df_nesterov_clip")
    rate, momentum, clip = arrays["cfg"].tolist()
    settings = TrainingSettings(
        learning_rate=rate,
        momentum=momentum,
        optimizer="sgd",
        schedule="constant",
        gradient_clip_norm=clip,
        gradient_clip_by="variable",
        gradient_norms=True,
    )
    variables = [keras.Variable(arrays["w"][0], name=name) for name in ("kernel", "other")]
    optimizer = build_optimizer(settings, variables, 10)
    optimizer.build(variables)
    for gradient, wanted in zip(arrays["g"], arrays["w"][1:], strict=True):
        optimizer.apply([ops.convert_to_tensor(gradient)] * 2, variables)
        for variable in variables:  # each is clipped by itself
            np.testing.assert_allclose(ops.convert_to_numpy(variable), wanted, rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(arrays["g"].reshape(len(arrays["g"]), -1), axis=1)  # before clipping
    assert optimizer.take_norms()["kernel"] == pytest.approx((norms.mean(), norms.max()), rel=1e-5)
    assert optimizer.take_norms() == {"kernel": (0.0, 0.0), "other": (0.0, 0.0)}


def test_clipping_of_all_gradients_together(rng):
    gradients = [rng.normal(size=shape).astype("float32") for shape in ((4, 3), (3,))]
    settings = TrainingSettings(
        learning_rate=0.5, momentum=0.0, optimizer="sgd", schedule="constant", gradient_clip_norm=0.1
    )
    variables = [keras.Variable(np.zeros_like(gradient)) for gradient in gradients]
    optimizer = build_optimizer(settings, variables, 10)
    optimizer.build(variables)
    optimizer.apply([ops.convert_to_tensor(gradient) for gradient in gradients], variables)
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
    for variable, gradient in zip(variables, gradients, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), -0.05 * gradient / norm, rtol=1e-5)
