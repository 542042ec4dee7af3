"""Normalisation by the statistics of the batch against its formula in float64, values and gradients."""

import keras
import numpy as np
import pytest
from harness import central_differences, computed, slopes, spread

from keras_audio_si.ops.normalisation import normalise_batch

EPSILON = 1e-3


def direct(x, scale, offset):
    mean, variance = x.mean(axis=(0, 1)), x.var(axis=(0, 1))
    return (x - mean) / np.sqrt(variance + EPSILON) * scale + offset


@pytest.mark.parametrize("shape", [(2, 21, 5), (4, 40, 5)])  # The second in groups of 32 positions.
def test_normalise_batch_and_its_gradients(rng, shape):
    x = (3.0 + 2.0 * rng.normal(size=shape)).astype("float32")
    scale, offset = rng.uniform(0.5, 2.0, 5).astype("float32"), rng.normal(size=5).astype("float32")
    arrays = [x, scale, offset]

    def check(y, mean, variance):
        np.testing.assert_allclose(y, direct(*[a.astype("float64") for a in arrays]), atol=2e-6)
        np.testing.assert_allclose(mean, x.astype("float64").mean(axis=(0, 1)), rtol=1e-6)
        np.testing.assert_allclose(variance, x.astype("float64").var(axis=(0, 1), ddof=1), rtol=1e-5)

    weights = rng.normal(size=x.shape).astype("float32")
    found = slopes(lambda *args: normalise_batch(*args, EPSILON), *arrays, weights=weights, check=check)
    for place, slope in enumerate(found):

        def value(moved, place=place):
            others = [moved if n == place else array.astype("float64") for n, array in enumerate(arrays)]
            return (direct(*others) * weights).sum()

        places = spread(slope.shape)
        expected = central_differences(value, arrays[place], places)
        np.testing.assert_allclose([slope[p] for p in places], expected, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes_are_float32_inside(rng, dtype):
    if keras.backend.backend() == "jax" and dtype == "float64":
        pytest.skip("JAX has no float64 by default")
    x = (3.0 + 2.0 * rng.normal(size=(2, 21, 5))).astype(dtype)
    ones = np.ones(5, dtype)
    y, mean, variance = computed(normalise_batch, x, ones, ones, epsilon=EPSILON)
    assert (y.dtype, mean.dtype, variance.dtype) == (dtype, "float32", "float32")
    np.testing.assert_allclose(y, direct(x.astype("float64"), 1.0, 1.0), atol=2e-6 if dtype == "float64" else 2e-3)


def test_the_variance_of_one_position_is_0():
    x, ones = np.ones((1, 1, 5), "float32"), np.ones(5, "float32")

    def check(y, mean, variance):
        np.testing.assert_allclose((y[0, 0], mean, variance), (ones, ones, 0 * ones), atol=1e-6)

    slopes(lambda *args: normalise_batch(*args, EPSILON), x, ones, ones, check=check)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="its kernel adds up in an order that depends on its threads"
)
def test_many_positions_keep_their_digits(rng):
    x = (100.0 + rng.normal(size=(4, 50000, 2))).astype("float32")
    ones = np.ones(2, "float32")
    _, mean, variance = computed(normalise_batch, x, ones, ones, epsilon=EPSILON)
    np.testing.assert_allclose(mean, x.astype("float64").mean(axis=(0, 1)), rtol=5e-6)
    np.testing.assert_allclose(variance, x.astype("float64").var(axis=(0, 1)), rtol=1e-4)
