"""Layers under `torch.compile`, as `jit_compile=True` of PyTorch has it: results and gradients are those without it."""

import keras
import numpy as np
import pytest

from keras_audio_si import layers

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="compilation by inductor is PyTorch's"),
    pytest.mark.slow,  # Inductor compiles C++, a minute for each.
]

POOLS = {
    "max, same": lambda: layers.AntiAliasPool(filter="trainable", filter_size=3),
    "max, reflect": lambda: layers.AntiAliasPool(filter_size=3, padding="reflect"),
    "average, edge": lambda: layers.AntiAliasPool(filter_size=3, pool_mode="average", padding="edge"),
    "adaptive": lambda: layers.AdaptivePolyphasePool(filter="trainable", filter_size=3),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_behind_a_convolution(name, rng):
    """The map of a convolution is laid out with channels last, where gradients of PyTorch's own padding fail."""
    convolution, pool = keras.layers.Conv2D(4, 3, padding="same"), POOLS[name]()
    x = torch.tensor(rng.standard_normal((2, 9, 8, 3)).astype("float32"))
    pool(convolution(x))

    def step(x):
        return (pool(convolution(x)) ** 2).sum()

    found = []
    for function in (step, torch.compile(step)):
        x.grad = None
        x.requires_grad_()
        loss = function(x)
        loss.backward()
        found.append((loss.detach().numpy(), x.grad.numpy().copy()))
    for plain, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)
