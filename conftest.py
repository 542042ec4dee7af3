"""Names that the examples in docstrings may use without importing them, and what makes tests on JAX compile less.

Both ways to compile less end at the process of the tests: what runs in the processes that they start draws its weights
by JAX and compiles for itself.
"""

import importlib.util
import shutil
import tempfile

import keras
import numpy as np
import pytest
from keras.src.initializers import random_initializers

import keras_audio_si


@pytest.fixture(autouse=True)
def _example_names(doctest_namespace):
    doctest_namespace.update(keras=keras, keras_audio_si=keras_audio_si, np=np)


@pytest.hookimpl(tryfirst=True)  # Before pytest leaves out what `-m` does not name.
def pytest_collection_modifyitems(items):
    """Leaves to the run on TensorFlow what depends on no backend, and to `make test-all` what it has already shown."""
    if keras.backend.backend() == "tensorflow" or not importlib.util.find_spec("tensorflow"):
        return
    for item in items:
        if item.get_closest_marker("once"):
            item.add_marker(pytest.mark.skip(reason="depends on no backend: runs on TensorFlow"))
        elif item.get_closest_marker("first") or isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.slow)


class NumpyDraws:
    """Draws of Keras' initializers by NumPy: JAX's are compiled anew for every shape.

    Worth 23 % of the processor time: the contract, EAT's golden arrays, `swap_pooling`, stages and resuming took 234 s
    on JAX with it and 304 s without, where the cache below took 45 s off.
    Initial values of weights alone: what layers draw when they are called comes from JAX.
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


def pytest_configure(config):
    if keras.backend.backend() != "jax" or "gpu" in config.getoption("markexpr"):
        return
    random_initializers.random = NumpyDraws(random_initializers.random)
    # Equal programs are compiled once in a run of the tests: of a model and its copy, of a training and its
    # continuation. The folder is new for each run, shared by its processes, and goes with it.
    if hasattr(config, "workerinput"):  # of pytest-xdist
        config.jax_cache = config.workerinput["jax_cache"]
    else:
        config.jax_cache = tempfile.mkdtemp(prefix="jax-cache-")
        config.add_cleanup(lambda: shutil.rmtree(config.jax_cache, ignore_errors=True))
    import jax

    jax.config.update("jax_compilation_cache_dir", config.jax_cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    if hasattr(node.config, "jax_cache"):
        node.workerinput["jax_cache"] = node.config.jax_cache
