"""Pooling against the numbers of the released code of fonseca2021, Zhang (2019) and Chaman and Dokmanic (2021)."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.layers import AdaptivePolyphasePool, AntiAliasPool, build_pooling
from keras_audio_si.ops.adaptive_sampling import adaptive_sample
from keras_audio_si.ops.depthwise import binomial_taps, low_pass
from keras_audio_si.ops.padding import centred_padding, pad_spatial
from keras_audio_si.ops.polyphase import criterion_values, pad_to_multiple, select
from keras_audio_si.ops.pooling import dense_max

CRITERIA = {"l1": "channel_l1", "l2": "l2", "euclidean": "l2", "l_infty": "linf", "var": "variance"}
POOL_MODES = {"max": "max", "avg": None}
SIZES = (0, 1, 2)


def numpy(x):
    return ops.convert_to_numpy(x)


def taps(size, channels):
    return np.broadcast_to(binomial_taps(size, size)[:, :, None, None], (size, size, channels, 1))


def check(got, wanted, tolerance=1e-5):
    np.testing.assert_allclose(numpy(got), wanted, rtol=tolerance, atol=tolerance)


def clear(gap):
    """Examples whose choice does not hang on rounding; at gap 0 the candidates tie and the lowest index wins."""
    return (gap == 0) | (gap >= 1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_blur_pool(golden, size):
    arrays = golden("shiftsec_blurpool")
    for k in range(1, 8):
        for released, mode in POOL_MODES.items():
            layer = AntiAliasPool(filter_size=k, pool_mode=mode)
            check(layer(arrays[f"s{size}_x"]), arrays[f"s{size}_k{k}_{released}"])


def test_blur_pool_of_a_spectrogram(golden):
    arrays = golden("shiftsec_blurpool_big")
    for key in arrays:
        if key != "x":
            k, released = key[1:].split("_")
            check(AntiAliasPool(filter_size=int(k), pool_mode=POOL_MODES[released])(arrays["x"]), arrays[key])


@pytest.mark.parametrize("size", SIZES)
def test_trainable_low_pass(golden, size):
    arrays = golden("shiftsec_tlpf")
    x = arrays[f"s{size}_x"]
    for k in range(3, 8):
        for released, mode in POOL_MODES.items():
            layer = AntiAliasPool(filter_size=k, filter="trainable", pool_mode=mode)
            layer.build(x.shape)
            layer.set_weights([arrays[f"s{size}_k{k}_raw"]])
            check(layer(x), arrays[f"s{size}_k{k}_{released}"])


@pytest.mark.parametrize("size", SIZES)
def test_trainable_low_pass_of_rectangular_size(golden, size):
    arrays = golden("recipe_tlpf_rect")
    x = arrays[f"s{size}_x"]
    for time, mel in ((1, 4), (1, 5), (1, 6), (4, 1), (5, 1), (6, 1), (3, 5)):
        layer = build_pooling(f"tlpf{time}x{mel}")
        layer.build(x.shape)
        layer.set_weights([arrays[f"s{size}_k{time}x{mel}_raw"]])
        check(layer(x), arrays[f"s{size}_k{time}x{mel}_max"])


@pytest.mark.parametrize("size", SIZES)
def test_plain_and_time_mel_pools(golden, size):
    arrays = golden("shiftsec_simple_pools")
    x = arrays[f"s{size}_x"]
    pools = {
        "mp_size_same_stride": ("max", 2, 2),
        "ap_size_same_stride": ("average", 2, 2),
        "mp_invar": ("max", 3, 1),
        "ap_invar": ("average", 3, 1),
        "tf_maxmeantime": ("mean_time_max_mel", 2, 2),
        "tf_maxmeanfreq": ("mean_mel_max_time", 2, 2),
        "tf_meanmaxfreq": ("max_mel_mean_time", 2, 2),
        "tf_meanmaxtime": ("max_time_mean_mel", 2, 2),
    }
    for released, (name, pool_size, strides) in pools.items():
        check(build_pooling(name, pool_size, strides)(x), arrays[f"s{size}_{released}"])


@pytest.mark.parametrize("filtered", ["k1", "k3", "k4", "k5", "learn3", "learn5"])
@pytest.mark.parametrize("size", (0, 1))
def test_adaptive_pool(golden, size, filtered):
    arrays = golden("shiftsec_aps")
    x = arrays[f"s{size}_x"]
    k = int(filtered[-1])
    filter = "trainable" if filtered.startswith("learn") else None if k == 1 else "binomial"
    for released, criterion in CRITERIA.items():
        layer = AdaptivePolyphasePool(criterion=criterion, filter=filter, filter_size=k, return_indices=True)
        layer.build(x.shape)
        if filter == "trainable":
            layer.set_weights([arrays[f"s{size}_raw{k}"]])
        y, indices = layer(x)
        key = f"s{size}_{filtered}_{released}"
        rows = clear(arrays[f"{key}_gap"])
        assert rows.any()
        np.testing.assert_array_equal(numpy(indices)[rows], arrays[f"{key}_idx"][rows])
        check(numpy(y)[rows], arrays[f"{key}_y"][rows])


@pytest.mark.parametrize("name", ["x", "x_signed"])
def test_criterion_values(golden, name):
    arrays = golden("shiftsec_aps_mid")
    for k in (1, 3, 5):
        pooled = dense_max(ops.convert_to_tensor(arrays[name]), (2, 2))
        filtered = pooled if k == 1 else low_pass(pooled, taps(k, 4))
        padded = pad_to_multiple(filtered, (2, 2))
        for released, criterion in (("l1", "channel_l1"), ("l1entry", "l1"), ("l2", "l2")):
            values = criterion_values(padded, (2, 2), criterion)
            np.testing.assert_allclose(numpy(values), arrays[f"{name}_k{k}_{released}_values"], rtol=1e-5)
        for released, criterion in {**CRITERIA, "l1entry": "l1"}.items():
            y, indices = adaptive_sample(
                pooled, (2, 2), criterion, None if k == 1 else ops.convert_to_tensor(taps(k, 4))
            )
            key = f"{name}_k{k}_{released}"
            rows = clear(arrays[f"{key}_gap"]) if f"{key}_gap" in arrays else slice(None)
            np.testing.assert_array_equal(numpy(indices)[rows], arrays[f"{key}_idx"][rows])
            if f"{key}_y" in arrays:
                check(y, arrays[f"{key}_y"])


def test_order_of_the_components(golden):
    arrays = golden("shiftsec_aps_order")
    for index, wanted in enumerate(arrays["y_per_index"]):
        y = select(ops.convert_to_tensor(arrays["x"]), ops.convert_to_tensor([index]), (2, 2))
        np.testing.assert_array_equal(numpy(y), wanted)
    padded = pad_to_multiple(ops.convert_to_tensor(arrays["pad_x"]), (2, 2))
    np.testing.assert_array_equal(numpy(padded), arrays["pad_y"])


@pytest.mark.parametrize("size", SIZES)
def test_blur_pool_of_zhang(golden, size):
    arrays = golden("adobe_blurpool")
    x = arrays[f"s{size}_x_nhwc"]
    for k in range(1, 8):
        layer = AntiAliasPool(filter_size=k, pool_mode=None, padding="reflect")
        check(layer(x), arrays[f"s{size}_k{k}_nhwc"])
    for k in (3, 4, 5):
        check(AntiAliasPool(filter_size=k, pool_mode=None, padding="edge")(x), arrays[f"s{size}_k{k}_repl_nhwc"])
        stride3 = AntiAliasPool(filter_size=k, strides=3, pool_mode=None, padding="reflect")
        check(stride3(x), arrays[f"s{size}_k{k}_stride3_nhwc"])
        # Zeros with centred taps are no padding of the layer, but an addition in front of a "valid" filter.
        zeros = pad_spatial(ops.convert_to_tensor(x), [centred_padding(k)] * 2, "same")
        valid = AntiAliasPool(filter_size=k, pool_mode=None, padding="valid")
        check(valid(zeros), arrays[f"s{size}_k{k}_zero_nhwc"])
    for k in (3, 5):
        stride1 = AntiAliasPool(filter_size=k, strides=1, pool_mode=None, padding="reflect")
        check(stride1(x), arrays[f"s{size}_k{k}_stride1_nhwc"])


@pytest.mark.parametrize("size", (0, 1))
def test_blur_pool_of_zhang_along_time(golden, size):
    arrays = golden("adobe_blurpool1d")
    x = np.swapaxes(arrays[f"s{size}_x_ncw"], 1, 2)
    for k in range(1, 8):
        layer = AntiAliasPool(filter_size=k, pool_mode=None, padding="reflect")
        check(np.swapaxes(numpy(layer(x)), 1, 2), arrays[f"s{size}_k{k}_ncw"])


@pytest.mark.parametrize("size", (0, 1))
def test_adaptive_sampling_of_chaman(golden, size):
    arrays = golden("chaman_aps")
    x = np.transpose(arrays[f"s{size}_x_nchw"], (0, 2, 3, 1))
    for k in range(1, 6):
        for released, criterion in (("l1", "l1"), ("l2", "l2"), ("l_infty", "linf")):
            filtered = None if k == 1 else ops.convert_to_tensor(taps(k, x.shape[-1]))
            y, indices = adaptive_sample(ops.convert_to_tensor(x), (2, 2), criterion, filtered, "circular")
            key = f"s{size}_k{k}_{released}"
            rows = clear(arrays[f"{key}_gap"])
            np.testing.assert_array_equal(numpy(indices)[rows], arrays[f"{key}_idx"][rows])
            check(numpy(y)[rows], np.transpose(arrays[f"{key}_nchw"], (0, 2, 3, 1))[rows])
    order = np.transpose(arrays["order_x"], (0, 2, 3, 1))
    for index, wanted in enumerate(arrays["order_y"]):
        y = select(ops.convert_to_tensor(order), ops.convert_to_tensor([index]), (2, 2))
        np.testing.assert_array_equal(numpy(y)[0, :, :, 0], wanted[0])
    padded = pad_to_multiple(ops.convert_to_tensor(np.transpose(arrays["pad_x"], (0, 2, 3, 1))), (2, 2), "circular")
    np.testing.assert_array_equal(numpy(padded)[0, :, :, 0], arrays["pad_y"][0, 0])


def test_frozen_taps_are_not_trained():
    layer = AntiAliasPool(filter_size=3)
    layer.build((None, 8, 8, 5))
    assert not layer.trainable_weights
    assert layer.count_params() == 3 * 3 * 5
    assert isinstance(layer, keras.layers.Layer)
