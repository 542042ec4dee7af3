"""What only a GPU can show: the same numbers there as on the CPU, in float32 and in bfloat16."""

import dataclasses

import keras
import numpy as np
import pytest
import tiny_training
from harness import Case, built, numpy, run

from keras_audio_si.bench.gpu import bench_gpu, has_gpu
from keras_audio_si.distribution import data_parallel
from keras_audio_si.models import VGG41


@pytest.mark.gpu
@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-2), ("mixed_bfloat16", 5e-2)])
def test_vgg_gives_the_numbers_of_the_cpu(rng, policy, tolerance):
    if not has_gpu():
        pytest.skip("no GPU is visible to the backend")
    x = rng.standard_normal((3, 33, 28)).astype("float32")
    keras.config.set_dtype_policy(policy)
    try:
        model = built(Case("vgg", lambda: VGG41(6, (33, 28), "tlpf5", width=0.25), None), x)
        on_gpu = numpy(run(model, x))
        with keras.device("cpu"):
            on_cpu = numpy(run(model, x))
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(on_gpu, on_cpu, atol=tolerance)


@pytest.mark.gpu
def test_all_gpus_train_as_one_does(tmp_path):
    if not has_gpu():
        pytest.skip("no GPU is visible to the backend")
    with data_parallel() as every:
        count = every.devices
    if count == 1:
        pytest.skip("one GPU is visible: this test needs several")
    fixed = {"mixup_alpha": None, "restore_best_weights": False}
    settings = dataclasses.replace(tiny_training.FAST, batch_size=4 * count, **fixed)
    weights = []
    for devices in (1, count):
        with data_parallel(devices):
            model = tiny_training.network()
            tiny_training.train(tmp_path / str(devices), settings=settings, model=model)
            weights.append([numpy(weight) for weight in model.weights])
    for one, all_of_them in zip(*weights, strict=True):
        np.testing.assert_allclose(all_of_them, one, rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
def test_bench(tmp_path):
    if not has_gpu():
        pytest.skip("no GPU is visible to the backend")
    rows = bench_gpu(batch_size=2, rounds=1, width=0.1, json_path=tmp_path / "gpu.json")
    assert all(value > 0 for row in rows for name, value in row.items() if name != "network")
