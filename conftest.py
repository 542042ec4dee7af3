"""Names that the examples in docstrings may use without importing them, and cheap initial values of weights on JAX."""

import keras
import numpy as np
import pytest
from keras.src.initializers import random_initializers

import keras_audio_si


@pytest.fixture(autouse=True)
def _example_names(doctest_namespace):
    doctest_namespace.update(keras=keras, keras_audio_si=keras_audio_si, np=np)


class NumpyDraws:
    """Draws of Keras' initializers by NumPy: JAX's are compiled anew for every shape, which takes 0.5 to 2 s for each.

    Initial values alone: what layers draw when they are called comes from JAX, and so does everything in the processes
    that tests start.
    """

    def __init__(self, draws):
        self.SeedGenerator, self.make_default_seed = draws.SeedGenerator, draws.make_default_seed

    def normal(self, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        return self._tensor(self._generator(seed).normal(mean, stddev, shape), dtype)

    def truncated_normal(self, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        rng = self._generator(seed)
        values = rng.normal(size=shape)
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = rng.normal(size=beyond.sum())
        return self._tensor(mean + stddev * values, dtype)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        return self._tensor(self._generator(seed).uniform(minval, maxval, shape), dtype)

    def _generator(self, seed):
        return np.random.default_rng(np.asarray(seed.next()) if isinstance(seed, self.SeedGenerator) else seed)

    @staticmethod
    def _tensor(values, dtype):
        return keras.ops.convert_to_tensor(np.float32(values), dtype)


if keras.backend.backend() == "jax":
    random_initializers.random = NumpyDraws(random_initializers.random)
