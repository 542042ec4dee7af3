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


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="its kernel adds up in an order that depends on its threads"
)
def test_many_positions_keep_their_digits(rng):
    x = (100.0 + rng.normal(size=(4, 50000, 2))).astype("float32")
    ones = np.ones(2, "float32")
    _, mean, variance = computed(normalise_batch, x, ones, ones, epsilon=EPSILON)
    np.testing.assert_allclose(mean, x.astype("float64").mean(axis=(0, 1)), rtol=5e-6)
    np.testing.assert_allclose(variance, x.astype("float64").var(axis=(0, 1)), rtol=1e-4)
