"""The mixings against recorded outputs of the released EAT code, with its draws."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.layers import FreqMix, MixUp, PhaseMix, TimeMix

SPECTRA = ["s0_w512", "s0_w1024", "s0_w2048", "s1_w512"]


def applied(layer, inputs, params):
    """`layer.apply`, compiled under JAX, where each operation of its own takes far longer."""
    apply = layer.apply
    if keras.backend.backend() == "jax":
        import jax

        apply = jax.jit(apply)
    params = {name: ops.convert_to_tensor(value) for name, value in params.items()}
    mixed, labels = apply(tuple(map(ops.convert_to_tensor, inputs)), params)
    return ops.convert_to_numpy(mixed), ops.convert_to_numpy(labels)


def given(golden, tag):
    """Waveforms and one-hot labels, what every mixing draws, and which side is replaced."""
    record = golden(f"eat_mix_input_{tag}")
    labels = np.eye(record["y"].max() + 1, dtype="float32")[record["y"]]
    draws = {"weight": record["u"], "partner": record["perm"]}
    return (record["x"][:, 0], labels), draws, record["coin"] < 0.5


def check_labels(labels, given_labels, partner, weight):
    weight = np.asarray(weight).reshape(-1, 1)
    np.testing.assert_allclose(labels, weight * given_labels + (1 - weight) * given_labels[partner], atol=1e-6)


@pytest.mark.parametrize("tag", ["s0", "s1"])
def test_mixup(golden, tag):
    inputs, draws, _ = given(golden, tag)
    wanted = golden(f"eat_mixup_timemix_{tag}")
    layer = MixUp(1.0, weight_range=(0.1, 1.0), gain_aware=True)
    mixed, labels = applied(layer, inputs, {**draws, "weight": 0.1 + 0.9 * draws["weight"]})
    np.testing.assert_allclose(mixed, wanted["mixup"][:, 0], atol=1e-5)
    check_labels(labels, inputs[1], draws["partner"], wanted["mixup_lam"])


@pytest.mark.parametrize("tag", ["s0", "s1"])
def test_timemix(golden, tag):
    inputs, draws, at_end = given(golden, tag)
    wanted = golden(f"eat_mixup_timemix_{tag}")
    draws |= {"weight": 0.5 + 0.5 * draws["weight"], "position": at_end.astype("float32")}
    mixed, labels = applied(TimeMix(), inputs, draws)
    np.testing.assert_array_equal(mixed, wanted["timemix"][:, 0])
    check_labels(labels, inputs[1], draws["partner"], wanted["timemix_lam"])


@pytest.mark.parametrize("tag", SPECTRA)
def test_freqmix(golden, tag):
    inputs, draws, at_end = given(golden, tag[:2])
    wanted = golden(f"eat_freq_ph_{tag}")
    fft_length, _, hop_length = wanted["stft"].tolist()
    layer = FreqMix(22050, sizes=[(fft_length, hop_length)])
    mixed, labels = applied(layer, inputs, {**draws, "weight": 0.5 + 0.5 * draws["weight"], "high": at_end, "size": 0})
    np.testing.assert_allclose(mixed, wanted["freqmix"][:, 0], atol=1e-5)
    check_labels(labels, inputs[1], draws["partner"], wanted["freqmix_lam"])


@pytest.mark.parametrize("tag", SPECTRA)
def test_phasemix(golden, tag):
    inputs, draws, _ = given(golden, tag[:2])
    wanted = golden(f"eat_freq_ph_{tag}")
    fft_length, _, hop_length = wanted["stft"].tolist()
    mixed, labels = applied(PhaseMix(22050, sizes=[(fft_length, hop_length)]), inputs, {**draws, "size": 0})
    # Mirrored, the first frame has the phases 0 and pi, and rounding chooses the signs of pi.
    known = slice(fft_length // 2, None)
    np.testing.assert_allclose(mixed[:, known], wanted["phmix"][:, 0, known], atol=1e-4)
    check_labels(labels, inputs[1], draws["partner"], wanted["phmix_lam_label"])


def test_released_sizes(golden):
    """The recorded sizes are among those that are drawn from."""
    for tag, sample_rate in zip(SPECTRA, (22050, 22050, 22050, 16000), strict=True):
        fft_length, _, hop_length = golden(f"eat_freq_ph_{tag}")["stft"].tolist()
        assert (fft_length, hop_length) in FreqMix(sample_rate).sizes


def test_union_of_labels(golden):
    inputs, draws, _ = given(golden, "s0")
    draws["weight"] = np.float32([0.2, 0.85, 0.9, 0.95])
    own, others = inputs[1], inputs[1][draws["partner"]]
    for limit, both in ((None, [True] * 4), (0.9, [True, True, False, False])):
        _, labels = applied(MixUp(label_rule="union", union_limit=limit), inputs, draws)
        np.testing.assert_array_equal(labels, np.where(np.reshape(both, (4, 1)), np.maximum(own, others), own))
