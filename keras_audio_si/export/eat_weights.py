"""Weights of the released EAT, a PyTorch state dict, into a model of this package and back."""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_audio_si.layers.pooling import AntiAliasPool
from keras_audio_si.layers.time_convolution import TimeResidualBlock
from keras_audio_si.models.eat import DILATIONS, EAT, REFINING_FACTORS

HEAD_DIM = 16  # Width of a head in both released models; it is not part of a state dict.


class Mapped(NamedTuple):
    """A tensor of the state dict and the weight that it is assigned to.

    Attributes:
        tensor: Its name there.
        shape: Its shape there.
        weight: Path of the weight here, or None for a counter of PyTorch's batch normalisation, which has none.
    """

    tensor: str
    shape: tuple
    weight: str | None


def import_state_dict(tensors, heads=None, activation=None, class_names=None, input_length=None, sample_rate=None):
    """Builds the `EAT` that a state dict of the released code describes, with its weights.

    Channels, widths, factors, numbers of blocks and classes, and the input length follow from the shapes. The model
    stores that short clips are zero-padded and clips are scaled to a peak of 0.95, as in the released code.

    Args:
        tensors: Dict of name to array. Names may begin with "module.", as PyTorch's data parallelism has it.
        heads: Heads of the attention; None for heads of width 16, as in the released models.
        activation: See `EAT`.
        class_names: See `EAT`.
        input_length: In samples; None for the shortest one with as many tokens as there are learned positions.
            Another number of tokens is an error: see `models.with_input_length` for that.
        sample_rate: See `EAT`.

    Returns:
        Pair of the model and a list of `Mapped`, in the order of the state dict.

    Raises:
        ValueError: If tensors are missing, unknown or of other shapes than the rest implies; the message names them.

    Example:

    >>> from keras_audio_si.models import EAT
    >>> model = EAT(3, input_shape=(8192,), factors=(4, 4), channels=2, transformer_layers=1, embedding_dim=16, heads=1)
    >>> copy, report = import_state_dict(export_state_dict(model))
    >>> copy.count_params() == model.count_params(), report[0].tensor, report[0].weight
    (True, 'start.1.weight', 'stem/kernel')
    """
    tensors = {name.removeprefix("module."): np.asarray(value) for name, value in tensors.items()}
    settings = _settings(tensors)
    tokens = settings.pop("tokens")
    settings["heads"] = heads or max(1, settings["embedding_dim"] // HEAD_DIM)
    samples = input_length or tokens * math.prod((*settings["factors"], *REFINING_FACTORS))
    channels = settings.pop("waveform_channels")
    settings["input_shape"] = (samples,) if channels == 1 else (samples, channels)
    clips = {"sample_rate": sample_rate, "short": "zero", "peak": 0.95}
    model = EAT(**settings, activation=activation, class_names=class_names, **clips)
    expected = dict(_correspondence(model))
    _check_names(tensors, expected)
    report, wrong = [], []
    for name, tensor in tensors.items():
        weight, there, here = expected[name]
        wanted = () if weight is None else there(np.empty(weight.shape)).shape
        if tensor.shape != wanted:
            wrong.append(f"{name} of shape {tensor.shape}, not {wanted}")
        elif weight is not None:
            weight.assign(here(tensor))
        report.append(Mapped(name, wanted, None if weight is None else weight.path))
    if wrong:
        raise ValueError(f"the state dict has tensors that do not suit the others: {'; '.join(wrong)}")
    return model, report


def format_report(report):
    """Formats tensors and their weights as an aligned table.

    Args:
        report: List of `Mapped`.

    Returns:
        String with one line per tensor.

    Example:

    >>> print(format_report([Mapped("tf.fc.bias", (7,), "logits/bias"), Mapped("n", (), None)]))
    tf.fc.bias  (7,)  ->  logits/bias
    n           ()    ->  not used
    """
    names, shapes = ([str(entry[i]) for entry in report] for i in (0, 1))
    widths = max(map(len, names)), max(map(len, shapes))
    rows = zip(names, shapes, report, strict=True)
    return "\n".join(
        f"{name:{widths[0]}}  {shape:{widths[1]}}  ->  {entry.weight or 'not used'}" for name, shape, entry in rows
    )


def export_state_dict(model):
    """Returns the weights of an `EAT` as the released code names and shapes them.

    Args:
        model: An `EAT` as in the paper: dilated blocks, transformer, triangular filters, reflecting padding.

    Returns:
        Dict of name to array, in the released order.

    Raises:
        ValueError: If the model is another one; the message says what differs.
    """
    _check_released(model)
    return {
        name: np.zeros((), "int64")
        if place.weight is None
        else np.ascontiguousarray(place.there(ops.convert_to_numpy(place.weight)), "float32")
        for name, place in _correspondence(model)
    }


def _settings(tensors):
    """The arguments of `EAT` that follow from the shapes, and the number of tokens."""

    def shape(name, rank):
        if name not in tensors:
            raise ValueError(f"the state dict has no tensor {name}, so it is not one of the released EAT")
        if tensors[name].ndim != rank:
            raise ValueError(f"the tensor {name} must have {rank} axes. Received: shape={tensors[name].shape}")
        return tensors[name].shape

    def numbers(prefix, suffix):
        pattern = re.compile(rf"{re.escape(prefix)}(\d+){re.escape(suffix)}")
        return sorted({int(match[1]) for match in map(pattern.match, tensors) if match})

    channels, waveform_channels, _ = shape("start.1.weight", 3)
    classes, width = shape("tf.fc.weight", 2)
    blocks = "tf.transformer_enc.layers."
    return {
        "num_classes": classes,
        # A factor d has a convolution of d + 1 taps.
        "factors": tuple(shape(f"down.{n}.down.1.weight", 3)[2] - 1 for n in numbers("down.", ".down.")),
        "channels": channels,
        "waveform_channels": waveform_channels,
        "transformer_layers": 1 + max(numbers(blocks, "."), default=-1),
        "embedding_dim": width,
        "feed_forward_dim": shape(f"{blocks}0.linear1.weight", 2)[0],
        "tokens": shape("tf.pos_embed", 3)[1] - 1,
    }


def _check_names(tensors, expected):
    # Files without the counters are as good.
    lacking = [name for name in expected if name not in tensors and expected[name].weight is not None]
    unknown = [name for name in tensors if name not in expected]
    problems = [f"{what} {', '.join(names)}" for what, names in (("without", lacking), ("with", unknown)) if names]
    if problems:
        raise ValueError(f"the state dict is not one of the released EAT, but one {' and '.join(problems)}")


def _check_released(model):
    """Raises unless a model computes what the released code would with its weights."""
    names = {layer.name for layer in model.layers}
    if not {"stem", "refine1", "class_token", "transformer0"} <= names:
        raise ValueError(
            f"the model {model.name!r} is no EAT with a transformer: the released code has no place for it"
        )
    for layer in model.layers:
        convolution, problem = getattr(layer, "by_channel", layer), None
        if layer.name.endswith("_pool"):
            if not isinstance(layer, AntiAliasPool) or layer.filter != "triangular":
                problem = "has another filter than the triangular one"
        elif match := re.fullmatch(r"(down|refine)\d+_residual(\d*)", layer.name):
            dilation = DILATIONS[int(match[2] or 0)]
            if not isinstance(layer, TimeResidualBlock) or convolution.dilation != dilation:
                problem = f"is no modified residual block with a dilation of {dilation}"
        if getattr(convolution, "padding", "reflect") != "reflect":
            problem = f"has the padding {convolution.padding!r}"
        if problem:
            raise ValueError(
                f"the released code cannot express the model {model.name!r}: its layer {layer.name!r} {problem}"
            )


class _Place(NamedTuple):
    """A weight and its layout there: `there(value)` gives the tensor's, `here(tensor)` the weight's.

    The weight is None for a counter of PyTorch's batch normalisation, which has no counterpart.
    """

    weight: object
    there: Callable = lambda value: value
    here: Callable = lambda tensor: tensor


def _transposed(weight):
    """`(out, in)` or `(out, in, taps)` there, the reverse here."""
    return _Place(weight, np.transpose, np.transpose)


def _correspondence(model):
    """Yields the names of the released tensors with their `_Place`, in the released order."""
    layer = model.get_layer
    yield from _convolution("start", 1, layer("stem"))
    stages = sum(re.fullmatch(r"down\d+", entry.name) is not None for entry in model.layers)
    modules = []
    for stage in range(stages):
        modules.append(_downsampling(layer(f"down{stage}"), layer(f"down{stage}_pool")))
        if stage % 2 == 0:
            modules.append(_residual(layer(f"down{stage}_residual")))
    yield from _numbered("down", modules)
    modules = []
    for stage in range(len(REFINING_FACTORS)):
        modules += [_residual(layer(f"refine{stage}_residual{block}")) for block in range(len(DILATIONS))]
        modules.append(_downsampling(layer(f"refine{stage}"), layer(f"refine{stage}_pool")))
    yield from _numbered("down2", modules)
    yield from _pointwise("project", layer("project"))
    yield "tf.cls_token", _Place(layer("class_token").token)
    yield "tf.pos_embed", _Place(layer("class_token").positions)
    blocks = sum(re.fullmatch(r"transformer\d+", entry.name) is not None for entry in model.layers)
    yield from _numbered("tf.transformer_enc.layers", [_transformer(layer(f"transformer{n}")) for n in range(blocks)])
    yield from _layer_norm("tf.transformer_enc.norm", layer("transformer_norm"))
    yield from _dense("tf.fc", layer("logits"))


def _numbered(prefix, modules):
    for number, module in enumerate(modules):
        for name, place in module:
            yield f"{prefix}.{number}.{name}", place


def _convolution(prefix, index, layer):
    """A convolution at `index` of a sequence, and the batch normalisation behind it."""
    if layer.filters is None:
        place = _Place(layer.kernel, lambda value: value.T[:, None], lambda tensor: tensor[:, 0].T)
    else:
        place = _transposed(layer.kernel)
    yield f"{prefix}.{index}.weight", place
    norm = f"{prefix}.{index + 1}"
    yield f"{norm}.weight", _Place(layer.norm.gamma)
    yield f"{norm}.bias", _Place(layer.norm.beta)
    yield f"{norm}.running_mean", _Place(layer.norm.moving_mean)
    yield f"{norm}.running_var", _Place(layer.norm.moving_variance)
    yield f"{norm}.num_batches_tracked", _Place(None)


def _downsampling(convolution, pool):
    yield from _convolution("down", 1, convolution)
    yield (
        "down.4.filt",
        _Place(pool.taps, lambda value: value[:, 0, :, 0].T[:, None], lambda tensor: tensor[:, 0].T[:, None, :, None]),
    )


def _residual(layer):
    yield from _convolution("block_t", 1, layer.by_channel)
    yield from _convolution("block_f", 0, layer.across)
    yield from _pointwise("shortcut", layer.shortcut)


def _pointwise(prefix, layer):
    """A convolution of one tap there, a dense layer here."""
    yield f"{prefix}.weight", _Place(layer.kernel, lambda value: value.T[..., None], lambda tensor: tensor[..., 0].T)
    yield f"{prefix}.bias", _Place(layer.bias)


def _dense(prefix, layer):
    yield f"{prefix}.weight", _transposed(layer.kernel)
    yield f"{prefix}.bias", _Place(layer.bias)


def _layer_norm(prefix, layer):
    yield f"{prefix}.weight", _Place(layer.gamma)
    yield f"{prefix}.bias", _Place(layer.beta)


def _transformer(layer):
    yield "self_attn.in_proj_weight", _transposed(layer.queries_keys_values.kernel)
    yield "self_attn.in_proj_bias", _Place(layer.queries_keys_values.bias)
    yield from _dense("self_attn.out_proj", layer.attended)
    yield from _dense("linear1", layer.hidden)
    yield from _dense("linear2", layer.contracted)
    yield from _layer_norm("norm1", layer.attention_norm)
    yield from _layer_norm("norm2", layer.feed_forward_norm)
