"""EAT, the network on waveforms of gazneli2022 (section 3.1, Fig. 4, Table 9), and its ablations (Table 6b)."""

import math

import keras
from keras import layers

from keras_audio_si.checks import check_choice, new_names
from keras_audio_si.layers.fit_length import FitLength
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.layers.pooling import AntiAliasPool
from keras_audio_si.layers.pooling_names import build_pooling
from keras_audio_si.layers.time_convolution import TimeConvolution, TimeResidualBlock
from keras_audio_si.layers.transformer import ClassToken, TransformerBlock, interpolate_positions
from keras_audio_si.models.surgery import ResizedCopy

REFINING_FACTORS = (2, 2)  # Downsampling of the stages with dilated blocks, on top of `factors`.
DILATIONS = (1, 3, 9)
KERNEL_SIZE = 15  # Of the residual blocks, along time.
RESIDUALS = ("dilated", "modified", "common")
AGGREGATIONS = ("transformer", "convolution")


@new_names
def EAT(
    num_classes,
    input_shape=(114688,),
    factors=(4, 4, 4, 4),
    channels=16,
    transformer_layers=4,
    heads=8,
    embedding_dim=128,
    feed_forward_dim=512,
    residual="dilated",
    aggregation="transformer",
    pooling=None,
    padding="reflect",
    activation="sigmoid",
    class_names=None,
    dropout=0.1,
    batch_norm_momentum=0.9,
    fit="pad",
    sample_rate=None,
    short="repeat",
    peak=None,
    name="eat",
):
    """Builds EAT: strided convolutions with residual blocks on the waveform, followed by a transformer.

    Every factor downsamples by a convolution, a low-pass filter and a stride, and doubles the channels; a residual
    block follows every other one. Two more stages of three dilated residual blocks and a factor of 2 each follow.
    A token stands for `4 * prod(factors)` samples. Waveforms whose length is not a multiple of that are padded with
    silence (or cut) by the layer `fit_length`, and nowhere else; so are those shorter than the padding needs (32768
    samples for the default factors).

    Args:
        num_classes: Number of classes.
        input_shape: Samples of the waveforms, and channels if there are several.
        factors: Downsampling factors of the first stages, each at least 2.
        channels: Number of filters of the first convolution.
        transformer_layers: Number of transformer blocks.
        heads: Heads of their attention.
        embedding_dim: Width of the tokens.
        feed_forward_dim: Width of the hidden layers of the transformer blocks.
        residual: "dilated" (modified blocks, those of the last two stages with dilations of 1, 3 and 9), "modified"
            (all with a dilation of 1) or "common" (blocks of two convolutions of 3 taps).
        aggregation: "transformer", or "convolution": one of 3 taps and the mean over time in its place.
        pooling: What filters and subsamples after every strided convolution: None or "triangular" for the paper's
            filter of `2 * factor + 1` taps, or the name of another mechanism of `layers.build_pooling`, such as
            "triangular+aps", "blur5" or "aps"; "max" and "average" take windows of the factor. A callable is called
            as `pooling(strides=factor)` and returns a layer.
        padding: Padding of the convolutions and filters: "reflect" (as released), "same" (zeros), "edge" or
            "circular".
        activation: Of the scores: "sigmoid" (several classes at once), "softmax" (one of them) or None (logits).
        class_names: Names of the classes, kept in the model, or None.
        dropout: Dropout of the transformer.
        batch_norm_momentum: Momentum of the moving statistics.
        fit: "pad" or "cut", for lengths that are no multiple.
        sample_rate: Of the waveforms in Hz, kept in the model, or None.
        short: What fills short clips, "repeat" or "zero": kept in the model for evaluation, see `layers.FitLength`.
        peak: Magnitude that inputs are scaled to, likewise, or None.
        name: Name of the model.

    Input shape:
        `(batch, samples)`, or `(batch, samples, channels)`.

    Output shape:
        `(batch, num_classes)`, float32

    Returns:
        A functional `keras.Model` that ends in `ClassScores`.

    Raises:
        ValueError: If an argument is not one of the above, or the waveforms are too short to be cut.

    Example:

    >>> model = EAT(num_classes=10, input_shape=(8000,), factors=(4, 2), channels=2, transformer_layers=1)
    >>> model.get_layer("fit_length").output.shape, model.output_shape
    ((None, 8000), (None, 10))

    Reference:
        gazneli2022, section 3.1, Fig. 4, Table 6b and Table 9.
    """
    _check(factors, residual, aggregation)
    common = {"padding": padding, "batch_norm_momentum": batch_norm_momentum}

    def residual_block(x, dilation, label):
        if residual != "common":
            dilation = dilation if residual == "dilated" else 1
            return TimeResidualBlock(KERNEL_SIZE, dilation, **common, name=label)(x)
        filters = x.shape[-1]
        y = TimeConvolution(filters, 3, **common, name=f"{label}a")(x)
        y = TimeConvolution(filters, 3, **common, negative_slope=1.0, name=f"{label}b")(y)
        return layers.LeakyReLU(0.2, name=label)(layers.Add(name=f"{label}_add")([x, y]))

    def downsample(x, factor, label):
        x = TimeConvolution(2 * x.shape[-1], factor + 1, **common, name=label)(x)
        return _downsampling(pooling, factor, padding, f"{label}_pool")(x)

    inputs = keras.Input(tuple(input_shape), name="waveform")
    multiple = math.prod((*factors, *REFINING_FACTORS))
    smallest = multiple * math.ceil(_smallest_length(factors, residual, padding) / multiple)
    x = FitLength(multiple, smallest, fit, sample_rate, short, peak, name="fit_length")(inputs)
    if len(input_shape) == 1:
        x = layers.Reshape((-1, 1), name="channel")(x)
    x = TimeConvolution(channels, 7, **common, name="stem")(x)
    for stage, factor in enumerate(factors):
        x = downsample(x, factor, f"down{stage}")
        if stage % 2 == 0:
            x = residual_block(x, 1, f"down{stage}_residual")
    for stage, factor in enumerate(REFINING_FACTORS):
        for block, dilation in enumerate(DILATIONS):
            x = residual_block(x, dilation, f"refine{stage}_residual{block}")
        x = downsample(x, factor, f"refine{stage}")
    convolution = keras.initializers.RandomNormal(stddev=0.02)
    x = layers.Dense(embedding_dim, kernel_initializer=convolution, name="project")(x)
    if aggregation == "transformer":
        x = ClassToken(name="class_token")(x)
        for number in range(transformer_layers):
            x = TransformerBlock(heads, feed_forward_dim, dropout, name=f"transformer{number}")(x)
        x = layers.LayerNormalization(epsilon=1e-5, name="transformer_norm")(x)
        x = x[:, 0]
    else:
        x = TimeConvolution(embedding_dim, 3, **common, name="gather")(x)
        x = layers.GlobalAveragePooling1D(data_format="channels_last", name="mean_time")(x)
    x = layers.Dense(num_classes, name="logits")(x)
    outputs = ClassScores(activation, class_names, name="scores")(x)
    return keras.Model(inputs, outputs, name=name)


def EATSmall(num_classes, input_shape=(114688,), factors=(4, 4, 4, 4), activation="sigmoid", **kwargs):
    """Builds EAT-S: 16 channels, 4 transformer blocks of 8 heads, tokens of width 128; see `EAT`.

    Example:

    >>> model = EATSmall(num_classes=35, input_shape=(16384,), factors=(4, 4, 4))
    >>> sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    1971955

    Reference:
        gazneli2022, Table 9.
    """
    return EAT(num_classes, input_shape, factors, activation=activation, **{"name": "eat_small", **kwargs})


def EATMedium(num_classes, input_shape=(114688,), factors=(4, 4, 4, 4), activation="sigmoid", **kwargs):
    """Builds EAT-M: 32 channels, 6 transformer blocks of 16 heads, tokens of width 256; see `EAT`.

    Example:

    >>> EATMedium(num_classes=35, input_shape=(16384,), factors=(4, 4, 4)).name
    'eat_medium'

    Reference:
        gazneli2022, Table 9. The width of the feed-forward networks, 2048, is that of the released models.
    """
    medium = {
        "channels": 32,
        "transformer_layers": 6,
        "heads": 16,
        "embedding_dim": 256,
        "feed_forward_dim": 2048,
        "name": "eat_medium",
    }
    return EAT(num_classes, input_shape, factors, activation=activation, **{**medium, **kwargs})


def with_input_length(model, input_length):
    """Copies a network on waveforms for another length, with the learned positions of its tokens interpolated.

    All other weights are kept. The scores of a short clip in the longer network differ from those in the original one,
    because the positions represent other times. An alternative is to score windows of the old length and average.

    Args:
        model: Functional model on waveforms of a fixed length, such as `EAT` or a `Classifier`. It is not changed.
        input_length: New length, in samples.

    Returns:
        Functional `keras.Model`.

    Raises:
        ValueError: If the model has other weights that depend on the length; the message names the layer.

    Example:

    >>> model = EAT(10, input_shape=(4096,), factors=(4, 2), channels=2, transformer_layers=1)
    >>> with_input_length(model, 8192).get_layer("class_token").output.shape
    (None, 257, 128)
    """
    (old,) = model.inputs
    return _OfLength("input length").copy(model, keras.KerasTensor((None, input_length, *old.shape[2:]), old.dtype))


class _OfLength(ResizedCopy):
    """One copy of a network for waveforms of another length."""

    def weights(self, layer, copied):
        values = layer.get_weights()
        if isinstance(layer, ClassToken):
            values = [values[0], interpolate_positions(values[1], copied.positions.shape[1] - 1)]
        return values


def _check(factors, residual, aggregation):
    if not factors or any(not isinstance(factor, int) or factor < 2 for factor in factors):
        raise ValueError(f"`factors` must be integers of at least 2. Received: factors={factors!r}")
    check_choice("residual", residual, RESIDUALS)
    check_choice("aggregation", aggregation, AGGREGATIONS)


def _smallest_length(factors, residual, padding):
    """Smallest length, given by the reflect padding of the last dilated block of the second refining stage."""
    if padding in ("same", "edge"):
        return 1
    farthest = {"dilated": max(DILATIONS) * (KERNEL_SIZE // 2), "modified": KERNEL_SIZE // 2, "common": 2}[residual]
    return math.prod(factors) * REFINING_FACTORS[0] * (farthest + (padding == "reflect"))


def _downsampling(pooling, factor, padding, name):
    if pooling is None:
        pooling = "triangular"
    if callable(pooling):
        return pooling(strides=factor)
    if pooling in ("max", "average"):
        return AntiAliasPool(factor, factor, filter_size=1, pool_mode=pooling, padding=padding, name=name)
    return build_pooling(pooling, pool_size=1, strides=factor, padding=padding, name=name)
