import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.layers.mixing import MixUp
from keras_audio_si.training.augmented_model import AugmentedModel


@keras.saving.register_keras_serializable(package="test_augmented_model")
class Reverse(keras.layers.Layer):
    """Half of each example and half of its opposite in the batch: a mixing without chance."""

    def call(self, inputs, training=None):
        return tuple((x + ops.flip(x, axis=0)) / 2 for x in inputs) if training else inputs


def model_and_data(rng):
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(3, activation="sigmoid")])
    labels = (rng.random((8, 3)) < 0.5).astype("float32")
    return model, rng.normal(size=(8, 7)).astype("float32"), labels


def cross_entropy(model, x, y):
    kernel, bias = (ops.convert_to_numpy(v).astype("float64") for v in model.weights)
    p = 1 / (1 + np.exp(-(x @ kernel + bias)))
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_loss_and_metrics_see_the_mixed_targets(rng, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch.compile is not part of the contract")
    model, x, y = model_and_data(rng)
    training_model = AugmentedModel(model, Reverse())
    training_model.compile(
        keras.optimizers.SGD(0.0),
        "binary_crossentropy",
        metrics=["binary_crossentropy"],
        jit_compile=jit_compile,
    )
    logs = training_model.fit((x, y), y, batch_size=8, shuffle=False, verbose=0).history
    expected = cross_entropy(model, (x + x[::-1]) / 2, (y + y[::-1]) / 2)
    assert abs(expected - cross_entropy(model, x, y)) > 1e-3
    np.testing.assert_allclose([logs["loss"][0], logs["binary_crossentropy"][0]], expected, rtol=1e-5)
    # Nothing is mixed outside training.
    loss, metric = training_model.evaluate((x, y), y, verbose=0)
    np.testing.assert_allclose([loss, metric], cross_entropy(model, x, y), rtol=1e-5)


def test_without_mixing_it_trains_as_the_model_alone(rng):
    model, x, y = model_and_data(rng)
    alone = keras.models.clone_model(model)
    alone.set_weights(model.get_weights())
    training_model = AugmentedModel(model)
    for m, inputs in ((training_model, (x, y)), (alone, x)):
        m.compile(keras.optimizers.SGD(0.5), "binary_crossentropy")
        m.fit(inputs, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for value, expected in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_training_changes_the_inner_model_and_draws_anew(rng):
    model, x, y = model_and_data(rng)
    training_model = AugmentedModel(model, MixUp(seed=0))
    training_model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    losses = training_model.fit((x, y), y, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert len(set(losses)) == 3  # the weights stand still, the mixtures do not
    before = model.get_weights()
    training_model.optimizer.learning_rate = 0.1
    training_model.fit((x, y), y, batch_size=8, verbose=0)
    assert not np.allclose(before[0], model.get_weights()[0])
    assert len(training_model.trainable_variables) == len(model.trainable_variables) == 2


def test_losses_of_the_layers_are_added(rng):
    _, x, y = model_and_data(rng)
    dense = keras.layers.Dense(3, activation="sigmoid", kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Sequential([keras.Input((7,)), dense])
    training_model = AugmentedModel(model, Reverse())
    training_model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    loss = training_model.evaluate((x, y), y, verbose=0)
    expected = cross_entropy(model, x, y) + 0.5 * np.sum(model.get_weights()[0] ** 2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(rng, policy):
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(keras.backend.standardize_dtype(x.dtype))
            return x

    _, x, y = model_and_data(rng)
    keras.config.set_dtype_policy(policy)
    try:
        layers = [keras.Input((7,)), Spy(autocast=False), keras.layers.Dense(3, activation="sigmoid")]
        model = keras.Sequential(layers)
    finally:
        keras.config.set_dtype_policy("float32")
    training_model = AugmentedModel(model, MixUp(seed=0))
    training_model.compile("adam", "binary_crossentropy")
    history = training_model.fit((x, y), y, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert set(seen) == {"float32"}  # waveforms reach the front end in full
    scaled = isinstance(training_model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


@pytest.mark.parametrize("mixing", [None, Reverse()])
def test_round_trip(rng, tmp_path, mixing):
    model, x, y = model_and_data(rng)
    training_model = AugmentedModel(model, mixing)
    expected = training_model((x, y), training=True)
    training_model.save(tmp_path / "wrapper.keras")
    copy = keras.models.load_model(tmp_path / "wrapper.keras")
    for name, value in copy((x, y), training=True).items():
        np.testing.assert_allclose(ops.convert_to_numpy(value), ops.convert_to_numpy(expected[name]), atol=1e-6)
