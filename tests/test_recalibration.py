"""Statistics of batch normalisation, estimated anew, against direct ones."""

import keras
import numpy as np
import pytest
from harness import Case, built, numpy, run

from keras_audio_si import layers
from keras_audio_si.models import recalibrate, with_resolution


def two_layers(trainable=True):
    """Two dense layers with batch normalisation, the second pair in a model, and dropout."""
    inner = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(3), keras.layers.BatchNormalization(epsilon=0.1, trainable=trainable)]
    )
    layers = [keras.layers.Dense(5), keras.layers.BatchNormalization(momentum=0.7), keras.layers.Dropout(0.5), inner]
    return keras.Sequential([keras.Input((4,)), *layers])


def random_model(rng, *args):
    return built(Case("two", lambda: two_layers(*args), None), rng.normal(size=(2, 4)))


def direct(model, batches):
    """Mean and variance of all batches, of equal weight, in NumPy; each layer normalises by its batch."""
    kernel, bias, gamma, beta = map(numpy, model.trainable_weights[:4])
    second_kernel, second_bias = map(numpy, model.trainable_weights[4:6])
    found = []
    for x in batches:
        x = x @ kernel + bias
        mean, variance = x.mean(axis=0), x.var(axis=0)
        y = ((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta) @ second_kernel + second_bias
        found.append((x, y))
    result = []
    for of_layer in zip(*found, strict=True):
        mean = np.mean([values.mean(axis=0) for values in of_layer], axis=0)
        result += [mean, np.mean([((values - mean) ** 2).mean(axis=0) for values in of_layer], axis=0)]
    return result


def statistics(model):
    return [numpy(w) for w in model.weights if w.path.endswith(("moving_mean", "moving_variance"))]


def others(model):
    """All other variables, the states of random generators among them."""
    return [numpy(v) for v in model.variables if not v.path.endswith(("moving_mean", "moving_variance"))]


def test_statistics_over_batches(rng):
    model = random_model(rng)
    batches = [rng.normal(size=(n, 4)).astype("float32") for n in (8, 8, 5, 8)]
    before = others(model)
    recalibrate(model, batches, batches=3)
    for got, want in zip(statistics(model), direct(model, batches[:3]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for got, want in zip(others(model), before, strict=True):
        np.testing.assert_array_equal(got, want)
    assert [layer.momentum for layer in model.layers if hasattr(layer, "momentum")] == [0.7]
    first = statistics(model)
    recalibrate(model, ((x, np.zeros(len(x))) for x in batches[:3]))  # As `fit` takes them; fewer than 30.
    for got, want in zip(statistics(model), first, strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_is_not_finite(rng):
    model = random_model(rng)
    before = statistics(model)
    with pytest.raises(ValueError, match="`data` must be finite where they reach"):
        recalibrate(model, [np.full((2, 4), np.nan, "float32")])
    for got, want in zip(statistics(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_frozen_layers_keep_theirs(rng):
    model = random_model(rng, False)
    batches = [rng.normal(size=(8, 4)).astype("float32")]
    before = statistics(model)
    recalibrate(model, batches)
    for got, want in zip(statistics(model)[2:], before[2:], strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(statistics(model)[0], direct(model, batches)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.first
def test_layers_with_batch_normalisation_inside(rng):
    """DiffRes, whose network has it, in a model of another rate, and its sums for logs as they were."""

    def build():
        inputs = keras.Input((20, 6))
        reduced = layers.DiffResLayer(0.5, batch_norm_momentum=0.6, name="resolution")(inputs)
        return keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(reduced))

    x = rng.normal(size=(4, 20, 6)).astype("float32")
    with pytest.warns(UserWarning, match=r"trained with: estimate them anew by models.recalibrate\(model, data\)"):
        model = with_resolution(built(Case("diffres", build, None), x), num_frames=5)
    before = others(model)
    recalibrate(model, [x])
    for got, want in zip(others(model), before, strict=True):
        np.testing.assert_array_equal(got, want)
    # By the statistics of one batch the layer does in inference what it does in training.
    resolution = model.get_layer("resolution")
    features = numpy(run(resolution, x))
    np.testing.assert_allclose(features, numpy(resolution(x, training=True)), rtol=1e-3, atol=1e-4)
    norm = model.get_layer("norm")
    np.testing.assert_allclose(numpy(norm.moving_mean), features.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(numpy(norm.moving_variance), features.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)


def test_batches_of_a_data_set(rng):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return x[2 * index : 2 * index + 2], np.zeros((2, 1))

    x = rng.normal(size=(4, 4)).astype("float32")
    model = random_model(rng)
    recalibrate(model, Batches())
    for got, want in zip(statistics(model), direct(model, [x[:2], x[2:]]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_wrong_arguments(rng):
    model, x = random_model(rng), rng.normal(size=(8, 4)).astype("float32")
    with pytest.raises(ValueError, match="`batches` must be an integer of at least 1. Received: batches=0"):
        recalibrate(model, [x], batches=0)
    with pytest.raises(ValueError, match="`data` must have at least one batch"):
        recalibrate(model, [])
    with pytest.raises(ValueError, match=r"`data` must be batches, .* Received: an array of shape \(8, 4\)"):
        recalibrate(model, x)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(ValueError, match="must have a BatchNormalization that is not frozen. Received: 'plain'"):
        recalibrate(plain, [x])


def test_the_same_frames_bring_no_warning(recwarn):
    inputs = keras.Input((20, 6))
    reduced = layers.AveragePoolFrames(0.5)(inputs)
    with_resolution(keras.Model(inputs, keras.layers.BatchNormalization()(reduced)), num_frames=10)
    with_resolution(keras.Model(inputs, reduced), num_frames=5)
    assert not [warning for warning in recwarn if "recalibrate" in str(warning.message)]
