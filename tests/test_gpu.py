"""What only a GPU can show: the same numbers there as on the CPU, in float32 and in bfloat16."""

import keras
import numpy as np
import pytest
from harness import Case, built, numpy, run

from keras_audio_si.models import VGG41


def has_gpu():
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import torch

    return torch.cuda.is_available()


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
