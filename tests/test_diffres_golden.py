"""DiffRes and its baselines against the released code: every array on record."""

import keras
import numpy as np
import pytest
from diffres_weights import formula_weights
from harness import computed, numpy, run
from keras import ops

from keras_audio_si.layers import (
    AverageMaxPoolFrames,
    AveragePoolFrames,
    ChangeHopSize,
    ConvAveragePool,
    DiffResLayer,
    ImportanceNetwork,
)
from keras_audio_si.layers.importance import importance_channels
from keras_audio_si.ops import guide, warp
from keras_audio_si.ops.frame_pooling import sampled_frames

RATES = {"d25": 0.25, "d50": 0.5, "d75": 0.75}
BASES = {128: 65000, 64: 79000, 40: 58000}


def tags(arrays, ending):
    return [name.removesuffix(ending) for name in arrays if name.endswith(ending)]


def rate_of(tag):
    return RATES[tag.split("_")[0]]


def test_rescaled_scores(golden):
    arrays = golden("diffres_score_norm")
    for rate in RATES:
        names = [tag for tag in tags(arrays, "_in") if tag.startswith(rate)]
        scores = np.concatenate([arrays[f"{tag}_in"][..., 0] for tag in names])
        for rescale, key in (("released", "out"), ("paper", "paper")):
            wanted = np.concatenate([arrays[f"{tag}_{key}"][..., 0] for tag in names])
            got = computed(warp.rescale_scores, scores, num_frames=int(100 * (1 - RATES[rate])), rescale=rescale)
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-5)


def test_warp_matrix(golden):
    arrays = golden("diffres_warp")
    for rate, names in by_rate(tags(arrays, "_s")):
        num_frames = int(100 * (1 - RATES[rate]))
        scores = np.concatenate([arrays[f"{tag}_s"][..., 0] for tag in names])
        got = computed(lambda s, t=num_frames: warp.warp_matrix(warp.warp_of(s), t), scores)
        for tag, matrix in zip(names, np.split(got, len(names)), strict=True):
            for key in ("W", "Wslow"):
                if f"{tag}_{key}" in arrays:
                    wanted = np.swapaxes(arrays[f"{tag}_{key}"], 1, 2)
                    np.testing.assert_allclose(matrix, wanted, atol=5e-6, err_msg=f"{tag}_{key}")


def by_rate(names):
    return [(rate, [tag for tag in names if tag.startswith(rate)]) for rate in RATES]


def test_aggregation(golden):
    arrays = golden("diffres_aggregate")
    for rate, names in by_rate(tags(arrays, "_s")):
        num_frames = int(100 * (1 - RATES[rate]))
        scores, frames = (np.concatenate([arrays[f"{tag}_{key}"] for tag in names]) for key in ("s", "x"))

        def merged(s, x, num_frames=num_frames):
            return warp.merge_frames(x, warp.warp_of(s), num_frames)

        mean, largest = computed(merged, scores[..., 0], frames)
        largest = largest / (1 - RATES[rate])
        for key, got in (("mean", mean), ("maxdirect", largest), ("max", largest)):
            wanted = np.concatenate([arrays[f"{tag}_{key}"] for tag in names])
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4, err_msg=f"{rate} {key}")


def test_maximum_where_the_released_code_misplaces_a_frame(golden):
    arrays = golden("diffres_max_artefact")
    scores, rate = arrays["s"][..., 0], float(arrays["rate"][0])
    num_frames = arrays["max_direct"].shape[1]
    found = warp.warp_of(scores)
    (got,) = warp.merge_frames(arrays["x"], found, num_frames, ["max"])
    np.testing.assert_allclose(numpy(got) / (1 - rate), arrays["max_direct"], atol=1e-5)
    matrix = np.swapaxes(numpy(warp.warp_matrix(found, num_frames)), 1, 2)
    np.testing.assert_allclose(matrix, arrays["W"], atol=1e-5)
    released, row = arrays["max_code"], arrays["row_differs"].astype(bool)
    assert row.any() and (np.abs(np.log(numpy(got) / (1 - rate)) - np.log(released))[row] > 0.1).any()


@pytest.mark.parametrize("family", ["flat", "peaky"])
def test_gradient(golden, family):
    arrays = golden("diffres_grad")
    s, x, weights = (arrays[f"{family}_{name}"] for name in ("s", "x", "R"))

    def loss(both):
        (mean,) = warp.merge_frames(both[..., 1:], warp.warp_of(both[..., 0]), 50, ["mean"])
        return ops.sum(mean * ops.convert_to_tensor(weights))

    # The scores add up to the number of output frames, where the gradient has two sides: a little more would be lost
    # behind the last one. On which side the record is depends on the rounding of each example.
    sides = [value_and_gradient(loss, np.concatenate([s * scale, x], axis=-1)) for scale in (1 - 1e-6, 1 + 1e-6)]
    for value, vjp in sides:
        np.testing.assert_allclose(value, arrays[f"{family}_loss"], rtol=1e-4)
        np.testing.assert_allclose(vjp[..., 1:], arrays[f"{family}_dx"], rtol=1e-3, atol=1e-3)
    for example, wanted in enumerate(arrays[f"{family}_ds"]):
        errors = [np.abs(vjp[example, :, :1] - wanted).max() for _, vjp in sides]
        assert min(errors) < 1e-3 * np.abs(wanted).max()


def value_and_gradient(function, x):
    """The value of a function of one array, and its gradient."""
    if keras.backend.backend() == "jax":
        import jax

        return tuple(map(np.asarray, jax.jit(jax.value_and_grad(function))(x)))
    if keras.backend.backend() == "torch":
        import torch

        x = torch.tensor(x, requires_grad=True)
        y = function(x)
        y.backward()
        return y.item(), x.grad.numpy()
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y.numpy(), tape.gradient(y, x).numpy()


def test_positional_encoding(golden):
    for name, wanted in golden("diffres_posenc").items():
        frames, features = (int(part[1:]) for part in name.split("_"))
        np.testing.assert_allclose(warp.positional_encoding(frames, features), wanted, atol=1e-5)


def test_guide_loss_and_activeness(golden):
    arrays = golden("diffres_guide_loss")
    for tag in tags(arrays, "_guide"):
        x, scores = np.exp(arrays[f"{tag}_x"]), ops.convert_to_tensor(arrays[f"{tag}_s"][..., 0])
        kept = 1 - rate_of(tag)
        empty, active = guide.empty_frames(ops.convert_to_tensor(x), "released")
        assert numpy(empty).sum(axis=1).tolist() == arrays[f"{tag}_nempty"].tolist()
        loss = numpy(guide.guide_loss(scores, empty, kept, form="released")).mean()
        spread = numpy(guide.activeness(scores, empty, active, kept, "released")).mean()
        np.testing.assert_allclose([loss, spread], [arrays[f"{tag}_{key}"][0] for key in ("guide", "act")], atol=1e-5)


@pytest.mark.parametrize("features", BASES)
def test_forward(golden, features):
    arrays = golden(f"diffres_forward_F{features}")
    x = arrays["x"]
    inputs = keras.Input(x.shape[1:])
    network = ImportanceNetwork()
    model = keras.Model(inputs, network(inputs))
    counts = {128: 82371, 64: 63579, 40: 25041}
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == counts[features]
    logits = {}
    for gain, tolerance in ((1, 5e-4), (6, 1e-2)):
        weights, sums = formula_weights(importance_channels(features), features, BASES[features], gain)
        network.set_weights(ordered(network, weights))
        logits[gain] = model.predict_on_batch(x)
        for rate in RATES:
            np.testing.assert_allclose(logits[gain], arrays[f"{rate}_G{gain}_logit"][..., 0], atol=tolerance)
    for place, total in sums.items():
        np.testing.assert_allclose(total, arrays["wsum"][place], rtol=1e-5, atol=1e-5)
    for rate in RATES:
        check_from_logits(arrays, rate, x, logits)


def check_from_logits(arrays, rate, x, logits):
    layer = DiffResLayer(RATES[rate])

    def outputs(x, logits):
        layer.importance.call = lambda *args, **kwargs: logits
        scores, _, features = layer.warp(x)
        empty, active = guide.empty_frames(ops.exp(x), "released")
        kept = 1 - RATES[rate]
        loss = guide.guide_loss(scores, empty, kept, form="released")
        return scores, features, loss, guide.activeness(scores, empty, active, kept, "released")

    found = computed(outputs, np.concatenate([x, x]), np.concatenate(list(logits.values())))
    for gain, scores, features, loss, spread in zip(logits, *(np.split(array, 2) for array in found), strict=True):
        tag = f"{rate}_G{gain}"
        assert not arrays[f"{tag}_maxdirect_bad"].any()
        np.testing.assert_allclose(scores, arrays[f"{tag}_score"][..., 0], atol=2e-4)
        recorded = [arrays[f"{tag}_{key}"][0] for key in ("guide", "act")]
        np.testing.assert_allclose([loss.mean(), spread.mean()], recorded, atol=1e-4)
        for channel, tolerance in enumerate((5e-3, 5e-3, 1e-3)):
            y = features[..., channel]
            values = {"feature": y, "feature_mean_t": y.mean(axis=1), "feature_mean_f": y.mean(axis=2)}
            values = {key: value for key, value in values.items() if f"{tag}_{key}" in arrays}
            assert values
            for key, value in values.items():
                wanted = arrays[f"{tag}_{key}"][:, channel]
                np.testing.assert_allclose(value, wanted, atol=tolerance, err_msg=f"{tag} {key} {channel}")


def ordered(layer, arrays):
    """Arrays in the order of the released layers, in the order of a layer's weights."""
    paths = [weight.path for block in layer.blocks for step in block.steps for part in step for weight in part.weights]
    by_path = dict(zip(paths, arrays, strict=True))
    return [by_path[weight.path] for weight in layer.weights]


@pytest.mark.parametrize("features", [8, 128])
def test_baselines(golden, features):
    arrays = golden("diffres_baselines")
    x = arrays[f"F{features}_x"]
    kinds = {"ChangeHopSize": ChangeHopSize, "AvgPool": AveragePoolFrames, "AvgMaxPool": AverageMaxPoolFrames}
    for rate in RATES:
        for name, kind in kinds.items():
            got = np.moveaxis(numpy(run(kind(RATES[rate]), x)), -1, 1)
            np.testing.assert_allclose(got, arrays[f"F{features}_{rate}_{name}"], atol=1e-5, err_msg=f"{rate} {name}")


def test_sampled_frames(golden):
    arrays = golden("diffres_baselines")
    for name, wanted in arrays.items():
        if name.endswith("_hop_idx") or name.startswith("hop_"):
            frames = int(name.split("_")[1][1:]) if name.startswith("hop_") else 100
            sizes = {"num_frames": len(wanted), "lengths": frames, "output_lengths": len(wanted)}
            np.testing.assert_array_equal(computed(sampled_frames, **sizes)[0], wanted)


def test_convolutions_and_average(golden):
    arrays = golden("diffres_baselines")
    x = arrays["F128_x"]
    weights, sums = formula_weights((128, 128, 128), 128, 40000)
    for place, total in sums.items():
        np.testing.assert_allclose(total, arrays["conv_wsum"][place], rtol=1e-5, atol=1e-5)
    for rate in RATES:
        layer = ConvAveragePool(RATES[rate])
        layer.build(x.shape)
        assert sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) == 493824
        layer.set_weights(ordered(layer, weights))
        got = np.moveaxis(numpy(run(layer, x)), -1, 1)
        np.testing.assert_allclose(got, arrays[f"F128_{rate}_ConvAvgPool"], atol=1e-3)
