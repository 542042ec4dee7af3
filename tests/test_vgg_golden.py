"""VGG41 and VGG42 against the released code: parameter counts, every activation on record, chosen grids."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.layers import AdaptivePolyphasePool
from keras_audio_si.models import VGG41, VGG42
from keras_audio_si.ops.depthwise import binomial_taps

VARIANTS = {
    "baseline": ("max", False),
    "baseline+IBP": ("max", True),
    "BlurPool5": ("blur5", False),
    "TLPF5+IBP": ("tlpf5", True),
    "APS_l1": ("aps", False),
    "BlurPool5+APS_l1": ("blur5+aps", False),
    "TLPF5+APS_l1": ("tlpf5+aps", False),
}
GLOBAL_POOLING = {
    "gap": "mean",
    "gmp": "max",
    "gapgmp": "mean_max",
    "gapgmpstd": "mean_max_deviation",
    "maxmeanfreq": "mean_mel_max_time",
    "maxmeantime": "mean_time_max_mel",
    "meanmaxfreq": "max_mel_mean_time",
    "meanmaxtime": "max_time_mean_mel",
}


def reference_weights(model, seed):
    """Weights by the rule of the golden manifest: the k-th from `default_rng(seed + k)`."""
    weights = []
    for k, weight in enumerate(model.weights):
        shape = tuple(weight.shape)
        n = np.random.default_rng(seed + k).standard_normal(shape)
        kind = weight.path.split("/")[-1]
        scale = {
            "kernel": lambda n=n, shape=shape: n * np.sqrt((2 if len(shape) == 4 else 1) / np.prod(shape[:-1])),
            "gamma": lambda n=n: 1 + 0.1 * n,
            "moving_variance": lambda n=n: 1 + 0.1 * np.abs(n),
            "raw_taps": lambda n=n: 1.5 * n,
            "taps": lambda shape=shape: np.broadcast_to(binomial_taps(*shape[:2])[:, :, None, None], shape),
        }.get(kind, lambda n=n: 0.1 * n)
        weights.append(np.asarray(scale(), "float32"))
    return weights


def activations(model, x):
    """Outputs of the layers on record, and what the pools take, in one pass."""
    names = ["front_relu", "pool1", "pool2", "pool3", "block4b_relu", "global_pool", "logits", "scores"]
    outputs = [model.get_layer(name).output for name in names]
    names += (pools := ["before pool1", "before pool2", "before pool3"])
    outputs += [model.get_layer(name.removeprefix("before ")).input for name in pools]
    probe = keras.Model(model.input, outputs)
    return dict(zip(names, (ops.convert_to_numpy(y) for y in probe(x)), strict=True))


def check_forward(model, arrays, variant):
    # The adaptive pools are rebuilt to return their indices with the same weights.
    y = activations(model, arrays["x"][..., 0])
    stages = ("front_relu", "pool1", "pool2", "pool3", "block4b_relu")
    for stage, label in zip(stages, ("front", "block1", "block2", "block3", "block4"), strict=True):
        if f"{variant}__{label}_chmean" in arrays:
            np.testing.assert_allclose(
                y[stage].mean((1, 2)), arrays[f"{variant}__{label}_chmean"], rtol=1e-4, atol=1e-5
            )
        if f"{variant}__{label}_shape" in arrays:
            assert y[stage].shape == tuple(arrays[f"{variant}__{label}_shape"])
    np.testing.assert_allclose(y["logits"], arrays[f"{variant}__logits"], rtol=1e-3, atol=2e-4)
    if f"{variant}__pred" in arrays:
        np.testing.assert_allclose(y["global_pool"], arrays[f"{variant}__global"], rtol=1e-3, atol=2e-4)
        np.testing.assert_allclose(y["scores"], arrays[f"{variant}__pred"], atol=1e-4)
    for n in (1, 2, 3):
        pool = model.get_layer(f"pool{n}")
        if isinstance(pool, AdaptivePolyphasePool):
            pool.return_indices = True
            indices = ops.convert_to_numpy(pool(y[f"before pool{n}"])[1])
            pool.return_indices = False
            np.testing.assert_array_equal(indices, arrays[f"{variant}__aps{n}_idx"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_vgg41_forward(golden, variant):
    arrays = golden("shiftsec_vgg41_forward")
    pooling, ibp = VARIANTS[variant]
    model = VGG41(200, pooling=pooling, intra_block_pooling=ibp)
    weights = reference_weights(model, 1000)
    sums = [w.astype("float64").sum() for w in weights]
    np.testing.assert_allclose(sums, arrays[f"{variant}__wsum"], rtol=1e-6, atol=1e-3)
    model.set_weights(weights)
    check_forward(model, arrays, variant)


@pytest.mark.parametrize("variant", ["baseline", "TLPF5+IBP", "TLPF5+APS_l1"])
def test_vgg42_forward(golden, variant):
    arrays = golden("shiftsec_vgg42_forward")
    pooling, ibp = VARIANTS[variant]
    model = VGG42(200, pooling=pooling, intra_block_pooling=ibp)
    model.set_weights(reference_weights(model, 2000))
    check_forward(model, arrays, variant)


@pytest.mark.parametrize("variant", ["APS_l1", "TLPF5+APS_l1"])
def test_vgg41_with_the_criterion_of_the_paper(golden, variant):
    arrays = golden("paper_vgg41_aps_entrywise")
    model = VGG41(200, pooling=VARIANTS[variant][0] + "-l1")
    model.set_weights(reference_weights(model, 1000))
    check_forward(model, arrays, variant)


@pytest.mark.parametrize("released", GLOBAL_POOLING)
def test_global_pooling(golden, released):
    arrays = golden("shiftsec_global_pooling")
    model = VGG41(10, input_shape=(33, 28), global_pooling=GLOBAL_POOLING[released])
    model.set_weights(reference_weights(model, 3000))
    y = activations(model, arrays["x"][..., 0])
    np.testing.assert_allclose(y["block4b_relu"], arrays["block4"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y["global_pool"], arrays[f"{released}__global"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y["logits"], arrays[f"{released}__logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "builder, pooling, trainable, frozen",
    [
        (VGG41, "max", 1258728, 2048),
        (VGG41, "blur3", 1258728, 4208),
        (VGG41, "blur5", 1258728, 8048),
        (VGG41, "tlpf3", 1260888, 2048),
        (VGG41, "tlpf4", 1262568, 2048),
        (VGG41, "tlpf5", 1264728, 2048),
        (VGG41, "tlpf6", 1267368, 2048),
        (VGG41, "aps", 1258728, 2048),
        (VGG41, "blur5+aps", 1258728, 8048),
        (VGG41, "tlpf5+aps", 1264728, 2048),
        (VGG42, "max", 4927240, 4096),
        (VGG42, "blur3", 4927240, 8416),
        (VGG42, "blur5", 4927240, 16096),
        (VGG42, "tlpf3", 4931560, 4096),
        (VGG42, "tlpf4", 4934920, 4096),
        (VGG42, "tlpf5", 4939240, 4096),
        (VGG42, "tlpf6", 4944520, 4096),
        (VGG42, "aps", 4927240, 4096),
        (VGG42, "blur5+aps", 4927240, 16096),
        (VGG42, "tlpf5+aps", 4939240, 4096),
    ],
)
def test_parameter_counts(builder, pooling, trainable, frozen):
    for ibp in (False, True):
        model = builder(200, pooling=pooling, intra_block_pooling=ibp)
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == trainable
        assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == frozen
