"""`keras-audio-si bench models`: run times of networks with each pooling mechanism, compared with max pooling."""

import keras
import numpy as np

from keras_audio_si.bench.timing import check_json_path, compare, compilation, forward_pass, precision_policy, report
from keras_audio_si.checks import check_choice
from keras_audio_si.models import swap_pooling
from keras_audio_si.models.networks import network

POOLINGS = ("max", "blur5", "tlpf5", "aps", "tlpf5+aps")
VGGS = ("vgg41", "vgg42")
APPLICATIONS = ("ResNet50", "MobileNetV2", "EfficientNetB0", "DenseNet121", "Xception")


def bench_models(
    model="vgg41",
    batch_size=32,
    pooling=POOLINGS,
    rounds=9,
    jit_compile=None,
    precision="float32",
    input_shape=(101, 96),
    num_classes=200,
    width=1.0,
    json_path=None,
):
    """Compares a network with each pooling mechanism with its version with max pooling: forward pass, training step.

    Args:
        model: "vgg41" or "vgg42", beside the same with `keras.layers.MaxPooling2D`; or a network of
            `keras.applications` (see `APPLICATIONS`) with random weights, beside the same after `swap_pooling`,
            strided convolutions included.
        batch_size: Examples in a batch.
        pooling: Names of the mechanisms; see `layers.build_pooling`. "max" is left out for `keras.applications`.
        rounds: Number of timed rounds.
        jit_compile: Whether the models are compiled, by XLA or `torch.compile`; None: yes, but on PyTorch. The forward
            pass is always compiled on JAX and never on PyTorch.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        input_shape: Frames and mel bands; an application takes them as an image of three channels.
        num_classes: Number of classes.
        width: Factor on the number of filters of VGG41 and VGG42; others have none.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts as of `compare`, with `pass` ("forward" or "step") as well; also printed as a table.

    Raises:
        ValueError: If the model or a mechanism is unknown; the message has the nearest known one. If `width` is given
            for a network without.

    Reference:
        fonseca2021, section III.
    """
    jit_compile, how = compilation(jit_compile)
    check_json_path(json_path)
    settings = {name: value for name, value in locals().items() if name not in ("how", "json_path")}
    random = np.random.default_rng(0)
    channels = () if model in VGGS else (3,)
    x = random.normal(size=(batch_size, *input_shape, *channels)).astype("float32")
    y = (random.random((batch_size, num_classes)) < 0.02).astype("float32")
    with precision_policy(precision):
        networks = _networks(model, pooling, (*input_shape, *channels), num_classes, width)
        for network in networks.values():
            network.compile("adam", "binary_crossentropy", jit_compile=jit_compile)
    passes = {
        "forward": {name: forward_pass(network, x, jit_compile) for name, network in networks.items()},
        "step": {name: _step(network, x, y) for name, network in networks.items()},
    }
    rows = [{"pass": kind, **row} for kind, functions in passes.items() for row in compare(functions, rounds)]
    report("models", rows, settings, f"{how}, {precision}, {model}, batch {batch_size}", json_path)
    return rows


def _networks(model, pooling, input_shape, num_classes, width):
    if model in VGGS:

        def vgg(pooling):
            return network(model).build(num_classes, input_shape, pooling=pooling, width=width)

        plain = vgg(lambda strides: keras.layers.MaxPooling2D(strides, padding="same"))
        return {"MaxPooling2D": plain, **{name: vgg(name) for name in pooling}}
    check_choice("model", model, (*VGGS, *APPLICATIONS))
    if width != 1:
        raise ValueError(f"`width` is for {' and '.join(VGGS)}: leave it out for {model}. Received: width={width}")
    build = getattr(keras.applications, model)
    published = build(weights=None, input_shape=input_shape, classes=num_classes, classifier_activation="sigmoid")
    swapped = {name: swap_pooling(published, name, strided_convolutions=True) for name in pooling if name != "max"}
    return {"as published": published, **swapped}


def _step(model, x, y):
    return lambda: model.train_on_batch(x, y)
