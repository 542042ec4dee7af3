"""The backends agree: every case of the contract gives the same numbers on this backend as on those before it."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from cases import CASES
from harness import built, numpy, run

BACKENDS = ("tensorflow", "jax", "torch")
SAVED = "masked_classifier"  # A front-end, a mask, a resolution layer, a network and a head.


def outputs(folder=None):
    results = {}
    for case in CASES:
        x = case.inputs(np.random.default_rng(3))
        layer = built(case, x)
        results[case.name] = numpy(run(layer, x))
        if folder is not None and case.name == SAVED:
            layer.save(folder / "saved.keras")
    return results


@pytest.fixture(scope="module")
def here():
    return outputs()


@pytest.mark.parametrize("other", BACKENDS[:-1])
def test_agrees_with(other, here, tmp_path):
    if BACKENDS.index(other) >= BACKENDS.index(keras.backend.backend()):
        pytest.skip("each pair of backends is compared once, in the run of the later one")
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    path = tmp_path / "outputs.npz"
    environment = {**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, pathlib.Path(__file__), path], env=environment, check=True, timeout=600)
    rounding = {case.name: case.rounding for case in CASES}
    for name, there in np.load(path).items():
        scale = max(np.abs(there).max(), 1.0)
        np.testing.assert_allclose(here[name], there, rtol=rounding[name], atol=rounding[name] * scale, err_msg=name)
    loaded = keras.models.load_model(tmp_path / "saved.keras")
    (x,) = (case.inputs(np.random.default_rng(3)) for case in CASES if case.name == SAVED)
    np.testing.assert_allclose(numpy(run(loaded, x)), np.load(path)[SAVED], rtol=1e-5)


if __name__ == "__main__":
    np.savez(sys.argv[1], **outputs(pathlib.Path(sys.argv[1]).parent))
