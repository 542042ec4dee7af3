"""The backends agree: every case of the contract gives the same numbers on this backend as on those before it."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from cases import CASES, with_padding
from harness import Case, built, numpy, run

from keras_audio_si import layers, models

BACKENDS = ("tensorflow", "jax", "torch")


def diffres_classifier():
    """A front-end, a mask, DiffRes from 17 frames to 8, a network and a head."""
    front_end, inputs = layers.LogMelSpectrogram(8000, num_mels=12), keras.Input((8, 12, 3))
    maps = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    head = keras.Sequential([layers.AttentionHead(5, heads=2), layers.ClassScores(None, "abcde")])
    return models.Classifier(front_end, maps, layers.DiffResLayer(0.5), head, front_end.num_samples(17), "zeros")


SAVED = Case("saved", diffres_classifier, with_padding)


def outputs(folder=None):
    results = {}
    for case in CASES:
        x = case.inputs(np.random.default_rng(3))
        results[case.name] = numpy(run(built(case, x), x))
    if folder is not None:
        x = SAVED.inputs(np.random.default_rng(3))
        model = built(SAVED, x)
        model.save(folder / "saved.keras")
        np.save(folder / "saved.npy", numpy(run(model, x)))
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
    loaded, there = keras.models.load_model(tmp_path / "saved.keras"), np.load(tmp_path / "saved.npy")
    assert np.ptp(there, axis=0).max() > 1e-3
    scores = numpy(run(loaded, SAVED.inputs(np.random.default_rng(3))))
    np.testing.assert_allclose(scores, there, rtol=1e-5)


if __name__ == "__main__":
    np.savez(sys.argv[1], **outputs(pathlib.Path(sys.argv[1]).parent))
