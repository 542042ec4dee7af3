"""Trainings on several devices and by several processes, beside the same on one device."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from recipe_data import rows_of, write_tones

from keras_audio_si.distribution import data_parallel

SCRIPT = pathlib.Path(__file__).parent / "many_devices.py"
BACKEND = keras.backend.backend()
distributed = pytest.mark.skipif(BACKEND == "torch", reason="PyTorch trains on one device")
EQUAL = {"rtol": 1e-5, "atol": 1e-5}

# What depends on the gradient of the whole batch, with a loss that a layer adds.
WHOLE = {"logits": True, "loss": "bce", "ema_decay": 0.9, "gradient_clip_norm": 0.05}
RANDOM = {"dropout": 0.3, "mixup_alpha": 0.3}
PLAN = [{"name": name, "devices": devices, **WHOLE} for name, devices in (("one", 1), ("two", 2))]
if BACKEND == "jax":
    PLAN = [{**training, **RANDOM} for training in PLAN]
PLAN += [{"name": f"inner-{name}", "devices": devices, "inner": True} for name, devices in (("one", 1), ("two", 2))]
RESUMED = [
    {"name": "mean-one"},
    {"name": "mean-two", "devices": 2},
    {"name": "mean-resumed", "devices": 2, "cut": 4},
    {"name": "mean-resumed", "devices": 1},
    {"name": "random-two", "devices": 2, **RANDOM},
    {"name": "random-resumed", "devices": 2, "cut": 4, **RANDOM},
    {"name": "random-resumed", "devices": 2, **RANDOM},
]


def start(folder, plan, **environment):
    return started([sys.executable, SCRIPT, folder, json.dumps(plan)], **environment)


def started(command, folder=None, **environment):
    env = {**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": str(SCRIPT.parent.parent), **environment}
    return subprocess.Popen(
        list(map(str, command)), cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*processes):
    printed = [process.communicate(timeout=500)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n\n".join(text[-3000:] for text in printed)


def weights(folder, name):
    with np.load(folder / f"{name}.npz") as arrays:
        return [arrays[key] for key in arrays.files]


def assert_equal(folder, one, other, **tolerance):
    pairs = list(zip(weights(folder, one), weights(folder, other), strict=True))
    assert pairs
    for first, second in pairs:
        np.testing.assert_allclose(second, first, **tolerance)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    finish(start(folder, PLAN))
    return folder


@distributed
class TestDevices:
    def test_two_are_equal_to_one(self, trained):
        assert_equal(trained, "one", "two", **EQUAL)
        one, two = (log(trained / name) for name in ("one", "two"))
        if BACKEND == "tensorflow":  # Keras logs the loss that a layer adds more than once; see docs/scale.md.
            assert one.pop("loss") != two.pop("loss")
        assert one == pytest.approx(two, rel=1e-5)

    def test_statistics_inside_layers_are_of_the_whole_batch(self, trained):
        # Keras keeps the biased variance, which is smaller by 1 of 512 elements.
        assert_equal(trained, "inner-one", "inner-two", rtol=3e-3, atol=1e-5)

    @pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX draws for the whole batch")
    def test_replicas_draw_differently(self, trained):
        alone, first, second = weights(trained, "draws")[0]
        np.testing.assert_array_equal(alone, first)
        assert not np.isclose(first, second).any()

    def test_the_saved_model_is_that_of_one_device(self, trained):
        configs = []
        for name in ("one", "two"):
            with zipfile.ZipFile(trained / name / "model.keras") as archive:
                configs.append(json.loads(archive.read("config.json"), object_hook=unnumbered))
        assert configs[0] == configs[1]
        ones, twos = (keras.models.load_model(trained / name / "model.keras") for name in ("one", "two"))
        x = np.random.default_rng(0).normal(size=(5, 64)).astype("float32")
        np.testing.assert_allclose(ones.predict_on_batch(x), twos.predict_on_batch(x), **EQUAL)


@distributed
@pytest.mark.slow
def test_resuming(tmp_path):
    """On as many devices to the same weights, and on another number of them to equal ones."""
    finish(start(tmp_path, RESUMED))
    assert_equal(tmp_path, "mean-one", "mean-two", **EQUAL)
    assert log(tmp_path / "mean-one") == pytest.approx(log(tmp_path / "mean-two"), rel=1e-5)
    assert_equal(tmp_path, "mean-two", "mean-resumed", **EQUAL)
    assert_equal(tmp_path, "random-two", "random-resumed", rtol=0, atol=1e-7)


@distributed
@pytest.mark.slow
def test_two_processes_are_equal_to_one(trained, tmp_path):
    """One device each, and cut off in between; the second one writes nothing into the folder of the first."""
    plan = [{**PLAN[1], "devices": 1, "cut": 4}, {**PLAN[1], "devices": 1}]
    finish(*[start(tmp_path, plan, **environment) for environment in two_hosts()])
    np.savez(tmp_path / "one.npz", *weights(trained, "one"))
    assert_equal(tmp_path, "one", "two", **EQUAL)
    assert_equal(tmp_path, "two", "two-1", rtol=0, atol=0)
    assert names(tmp_path / "two") == names(trained / "two")


@distributed
@pytest.mark.slow
def test_the_command_by_two_processes(tmp_path):
    write_tones(tmp_path, 9000, 12_000)
    command = [pathlib.Path(sys.executable).with_name("keras-audio-si"), "train", "--data", tmp_path]
    command += "--preset paper --width 0.0625 --batch-size 8 --epochs 2 --mixup-alpha none --train-folds 1".split()
    command += "--test-folds 2 --validation-split 0.2 --sample-rate 4000 --protocols time-1 freq-1".split()
    finish(started([*command, "--output", tmp_path / "one", "--cache-dir", tmp_path / "cache-one"]))
    paths = ["--output", tmp_path / "two", "--cache-dir", tmp_path / "cache-two"]
    finish(*[started([*command, *paths], **environment) for environment in two_hosts()])
    assert names(tmp_path / "two") == names(tmp_path / "one")
    first, second = (rows_of(tmp_path / name / "log.csv")[0] for name in ("one", "two"))
    assert float(first["loss"]) == pytest.approx(float(second["loss"]), rel=1e-4)
    assert len(rows_of(tmp_path / "two" / "runs.csv")) == 1


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX divides a CPU by an environment variable")
def test_the_program_of_the_page_divides_a_cpu(tmp_path):
    (tmp_path / "sounds").mkdir()
    write_tones(tmp_path / "sounds", 9000, 12_000)
    page = (SCRIPT.parent.parent / "docs" / "scale.md").read_text(encoding="utf-8")
    (program,) = [part for part in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "logical" in part]
    small = "--preset paper --width 0.0625 --batch-size 8 --epochs 1 --mixup-alpha none --train-folds 1 --test-folds 2"
    small += " --validation-split 0.2 --sample-rate 4000"
    (tmp_path / "two.py").write_text(program.replace("--devices 2", f"--devices 2 {small}"))
    finish(started([sys.executable, "two.py"], folder=tmp_path, CUDA_VISIBLE_DEVICES="-1"))
    assert len(rows_of(tmp_path / "runs" / "two" / "runs.csv")) == 1


def two_hosts():
    """What the environment of each of two processes says that train together."""
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    for number in range(2):
        if BACKEND == "tensorflow":
            task = {"type": "worker", "index": number}
            yield {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}
        else:
            yield {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses[0],
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
            }


def log(folder):
    """The last row of `log.csv`, by column."""
    *_, row = rows_of(folder / "log.csv")
    return {name: float(value) for name, value in row.items()}


def names(folder):
    return {path.name for path in folder.iterdir()}


def unnumbered(config):
    return {key: value for key, value in config.items() if key not in ("name", "build_config") and "history" not in key}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class TestRefused:
    def test_more_devices_than_there_are(self):
        match = "must be 1 on PyTorch" if BACKEND == "torch" else "must be at most the .* that .* has here.*devices=99"
        with pytest.raises(ValueError, match=match):
            with data_parallel(99):
                pass
        with pytest.raises(ValueError, match="`devices` must be an integer of at least 1"):
            with data_parallel(0):
                pass

    @distributed
    def test_the_advice_for_a_cpu_can_be_followed(self, monkeypatch):
        if BACKEND == "jax":
            import jax

            if jax.default_backend() != "cpu":
                pytest.skip("there is a GPU")
            advice = "set XLA_FLAGS=--xla_force_host_platform_device_count=N before JAX starts"
        else:
            import tensorflow as tf

            monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
            advice = r"from Python alone, as docs/scale\.md shows; the command can try JAX \(--backend jax\)"
        with pytest.raises(ValueError, match=advice):
            with data_parallel(99):
                pass

    @distributed
    def test_what_cannot_be_trained(self, trained):
        messages = json.loads((trained / "refusals.json").read_text())
        assert "`batch_size` must be a multiple of the 2 devices. Received: batch_size=7" in messages["batch"]
        assert "`model` must be made on the 2 devices" in messages["outside"]
        if BACKEND == "tensorflow":
            assert "leave padding out" in messages["masked"]
        for name in ("jit_compile", "gradient_norms"):
            assert (f"`{name}` must be False" in messages[name]) == (BACKEND == "tensorflow")
