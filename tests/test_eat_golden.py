"""EAT against the released code: parameter counts, every activation on record, gradients, batch statistics."""

import keras
import numpy as np
import pytest
from eat_state_dicts import state_dict
from harness import gradients, numpy, run

from keras_audio_si.export.eat_weights import import_state_dict
from keras_audio_si.layers import AntiAliasPool, ClassToken, TimeConvolution, TimeResidualBlock, TransformerBlock
from keras_audio_si.models import EATMedium, EATSmall

COUNTS = {  # input length, factors, classes: EAT-S, EAT-M
    "ESC-50": (114688, (4, 4, 4, 4), 50, 5183618, 25302738),
    "UrbanSound8K": (90112, (4, 4, 4, 4), 10, 5175386, 25286314),
    "Speech Commands": (16384, (4, 4, 4), 35, 1971955, 12522435),
    "AudioSet": (221184, (4, 4, 4, 4), 527, 5258463, 25451951),
}


def channels_last(array):
    return np.moveaxis(array, 1, 2)


@pytest.mark.parametrize("data", COUNTS)
def test_parameter_counts(data):
    length, factors, classes, *counts = COUNTS[data]
    with keras.StatelessScope(initialize_variables=False):  # Shapes alone.
        models = [build(classes, (length,), factors) for build in (EATSmall, EATMedium)]
    assert [sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) for model in models] == counts
    for model in models:
        assert model.input_shape == (None, length) and model.get_layer("fit_length").output.shape == (None, length)


def test_full_network(golden):
    arrays = golden("eat_s_full_forward")
    model, report = import_state_dict(state_dict("eat_s_full_forward", 2000), heads=8)
    assert len(report) == 187
    names = ("stem", "down2_residual", "refine1_pool", "project", "logits")
    probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
    y = {name: numpy(value) for name, value in zip(names, run(probe, arrays["x"][:, 0]), strict=True)}
    y |= {name: np.moveaxis(value, 2, 1) for name, value in y.items() if value.ndim == 3}
    recorded = {
        "start_mean": y["stem"].mean(axis=2),
        "start_sub": y["stem"][:, :, ::256],
        "down_mean": y["down2_residual"].mean(axis=2),
        "down_sub": y["down2_residual"][:, :, ::8],
        "down2": y["refine1_pool"][:, ::4],
        "project": y["project"],
        "logits": y["logits"],
    }
    for name, got in recorded.items():
        np.testing.assert_allclose(got, arrays[name], rtol=1e-4, atol=1e-5 * np.abs(arrays[name]).max(), err_msg=name)


def test_small_network_and_its_gradient(golden):
    arrays = golden("eat_tiny_forward_grad")
    channels, width, feed_forward, blocks, heads, classes, tokens, *factors = arrays["cfg"]
    model, _ = import_state_dict(state_dict("eat_tiny_forward_grad", 2500), heads=int(heads))
    assert model.input_shape == (None, tokens * 4 * np.prod(factors)) and model.output_shape == (None, classes)
    x = arrays["x"][:, 0]
    np.testing.assert_allclose(numpy(run(model, x)), arrays["logits"], rtol=1e-4, atol=1e-5)
    model.trainable = False  # The gradients of the weights take long to compile, and none is on record.
    vjp = arrays["grad_x"][:, 0]
    np.testing.assert_allclose(gradients(model, x)[0], vjp, rtol=1e-4, atol=1e-4 * np.abs(vjp).max())


@pytest.mark.parametrize("name, stride", [("aa_s4_f9", 4), ("aa_s2_f5", 2), ("aa_s4_f9_oddlen", 4)])
def test_downsampling_filter(golden, name, stride):
    arrays = golden("eat_aadownsample")
    x = channels_last(arrays["x"][..., :-1] if name.endswith("oddlen") else arrays["x"])
    pool = AntiAliasPool(1, stride, 2 * stride + 1, "triangular", None, "reflect")
    pool.build(x.shape)
    np.testing.assert_allclose(numpy(run(pool, x)), channels_last(arrays[name]), atol=1e-6)
    taps = arrays[f"{name.removesuffix('_oddlen')}_filt"]
    np.testing.assert_allclose(numpy(pool.taps)[:, 0, :, 0], np.tile(taps[:, None], 6), atol=1e-7)


def set_convolution(layer, state, conv, norm):
    kernel = state[f"{conv}.weight"]
    layer.kernel.assign(kernel[:, 0].T if layer.filters is None else kernel.T)
    names = ("weight", "bias", "running_mean", "running_var")
    layer.norm.set_weights([state[f"{norm}.{name}"] for name in names])


def after_training(layer, x):
    """The output of a call in training, and the statistics that it leaves behind by layer name."""
    if keras.backend.backend() == "jax":
        import jax

        trainable, rest = ([w.value for w in ws] for ws in (layer.trainable_variables, layer.non_trainable_variables))
        y, rest = jax.jit(lambda x: layer.stateless_call(trainable, rest, x, training=True))(x)
        for variable, value in zip(layer.non_trainable_variables, rest, strict=True):
            variable.assign(value)
        return numpy(y)
    return numpy(layer(x, training=True))


def check_statistics(norm, mean, variance):
    np.testing.assert_allclose(numpy(norm.moving_mean), mean, atol=1e-5)
    np.testing.assert_allclose(numpy(norm.moving_variance), variance, atol=1e-5)


@pytest.mark.parametrize("dilation, base", [(1, 3000), (3, 3100), (9, 3200)])
def test_residual_block(golden, dilation, base):
    arrays, state = golden("eat_resblock"), state_dict("eat_resblock", base)
    layer, x = TimeResidualBlock(15, dilation), channels_last(arrays["x"])
    layer.build(x.shape)
    set_convolution(layer.by_channel, state, "block_t.1", "block_t.2")
    set_convolution(layer.across, state, "block_f.0", "block_f.1")
    layer.shortcut.set_weights([state["shortcut.weight"][..., 0].T, state["shortcut.bias"]])
    np.testing.assert_allclose(numpy(run(layer, x)), channels_last(arrays[f"eval_d{dilation}"]), atol=1e-5)
    vjp = channels_last(arrays[f"eval_gradx_d{dilation}"])
    np.testing.assert_allclose(gradients(layer, x)[0], vjp, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after_training(layer, x), channels_last(arrays[f"train_d{dilation}"]), atol=1e-5)
    mean, variance = (arrays[f"train_bn_t_running_{kind}_d{dilation}"] for kind in ("mean", "var"))
    check_statistics(layer.by_channel.norm, mean, variance)


@pytest.mark.parametrize("factor, base", [(4, 4000), (2, 4100)])
def test_downsampling_stage(golden, factor, base):
    arrays, state = golden("eat_down"), state_dict(f"eat_down_f{factor}", base)
    x = channels_last(arrays["x"])
    convolution = TimeConvolution(2 * x.shape[2], factor + 1)
    pool = AntiAliasPool(1, factor, 2 * factor + 1, "triangular", None, "reflect")
    layer = keras.Sequential([convolution, pool])
    layer.build(x.shape)
    set_convolution(convolution, state, "down.1", "down.2")
    np.testing.assert_allclose(numpy(run(layer, x)), channels_last(arrays[f"eval_f{factor}"]), atol=1e-5)
    np.testing.assert_allclose(after_training(layer, x), channels_last(arrays[f"train_f{factor}"]), atol=1e-5)
    mean, variance = (arrays[f"train_running_{kind}_f{factor}"] for kind in ("mean", "var"))
    check_statistics(convolution.norm, mean, variance)


def test_transformer(golden):
    arrays, state = golden("eat_taggregate"), state_dict("eat_taggregate", 5000)
    width, feed_forward, blocks, heads, *_ = (int(n) for n in arrays["cfg"])
    token = ClassToken()
    token.build((None, *channels_last(arrays["z"]).shape[1:]))
    token.set_weights([state["cls_token"], state["pos_embed"]])
    tokens = run(token, channels_last(arrays["z"]))
    np.testing.assert_allclose(numpy(tokens), arrays["tokens_in"], atol=1e-5)
    x = tokens
    for number in range(blocks):
        prefix = f"transformer_enc.layers.{number}"
        block = TransformerBlock(heads, feed_forward)
        block.build(tokens.shape)
        dense = {
            "self_attn.in_proj_": block.queries_keys_values,
            "self_attn.out_proj.": block.attended,
            "linear1.": block.hidden,
            "linear2.": block.contracted,
        }
        for name, layer in dense.items():
            layer.set_weights([state[f"{prefix}.{name}weight"].T, state[f"{prefix}.{name}bias"]])
        for name, layer in {"norm1": block.attention_norm, "norm2": block.feed_forward_norm}.items():
            layer.set_weights([state[f"{prefix}.{name}.weight"], state[f"{prefix}.{name}.bias"]])
        if number == 0:
            np.testing.assert_allclose(numpy(block.attend(x)), arrays["attn0"], atol=1e-5)
        x = run(block, x)
        if number == 0:
            np.testing.assert_allclose(numpy(x), arrays["layer0"], atol=1e-5)
    norm = keras.layers.LayerNormalization(epsilon=1e-5)
    norm.build(tokens.shape)
    norm.set_weights([state["transformer_enc.norm.weight"], state["transformer_enc.norm.bias"]])
    encoded = numpy(norm(x))
    np.testing.assert_allclose(encoded, arrays["encoded"], atol=1e-5)
    np.testing.assert_allclose(encoded[:, 0] @ state["fc.weight"].T + state["fc.bias"], arrays["logits"], atol=1e-5)
