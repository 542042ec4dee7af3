"""EfficientNets on spectrograms with the attention head of PSLA, the networks of liu2022."""

import pathlib

import keras
import numpy as np
from keras import layers

from keras_audio_si.checks import check_choice, new_names
from keras_audio_si.layers.attention_head import AttentionHead
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.models.keras_cv_backbones import KERAS_CV_VARIANTS, keras_cv_backbone
from keras_audio_si.models.surgery import graph_copy

VARIANTS = ("B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "V2B0", "V2B1", "V2B2", "V2B3", "V2S", "V2M", "V2L")
LIBRARIES = ("keras.applications", "keras_cv")
WEIGHTS_ADDRESS = "https://storage.googleapis.com/keras-applications/"


@new_names
def EfficientNetTagger(
    num_classes=527,
    input_shape=(1000, 128),
    variant="B2",
    heads=4,
    weights=None,
    activation="sigmoid",
    class_names=None,
    name=None,
    **kwargs,
):
    """Builds an EfficientNet with the attention head of PSLA. Its outputs are scores, for a loss of scores.

    Args:
        num_classes: Number of classes.
        input_shape: Frames and mel bands of a spectrogram, and channels if there are several, as of `DiffResLayer` (3);
            the frames may be None.
        variant: As for `EfficientNetBackbone`.
        heads: Heads of the attention; see `layers.AttentionHead`.
        weights: As for `EfficientNetBackbone`.
        activation: Of the scores: "sigmoid", which is within the attention head; no other.
        class_names: Names of the classes, kept in the model, or None.
        name: Name of the model; None for that of the variant.
        **kwargs: Further arguments of `EfficientNetBackbone`.

    Input shape:
        `(batch, frames, bands)`, or `(batch, frames, bands, channels)`

    Output shape:
        `(batch, num_classes)`, float32 scores

    Returns:
        A functional `keras.Model` of three layers: backbone, head and `ClassScores`.

    Raises:
        ValueError: If an argument is not one of the above.
        OSError: If the weights are not there.

    Example:

    >>> with keras.StatelessScope(initialize_variables=False):  # for its size alone
    ...     model = EfficientNetTagger(num_classes=527, input_shape=(1056, 128), variant="B0")
    >>> sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    9407672

    Reference:
        Gong et al., "PSLA", 2021; liu2022, section 3 (B2 with four heads, 13,640,766 parameters; B0 in Table 3).
    """
    if activation != "sigmoid":
        raise ValueError(
            "`activation` must be 'sigmoid', which is within the attention head: train with the loss 'score-bce'. "
            f"Received: activation={activation!r}"
        )
    backbone = EfficientNetBackbone(variant, input_shape, weights, **kwargs)
    inputs = keras.Input(backbone.input_shape[1:], name="spectrogram")
    scores = AttentionHead(num_classes, heads, name="attention_head")(backbone(inputs))
    outputs = ClassScores(None, class_names, name="scores")(scores)
    return keras.Model(inputs, outputs, name=name or f"{backbone.name}_tagger")


@new_names
def EfficientNetBackbone(
    variant="B2",
    input_shape=(1000, 128),
    weights=None,
    library="keras.applications",
    input_mean=0.0,
    input_deviation=1.0,
    batch_norm_momentum=None,
    name=None,
):
    """Builds an EfficientNet from spectrograms to feature maps, 32 times smaller along both axes.

    The rescaling and normalisation of images in `keras.applications` are left out. Strided convolutions have
    `padding="same"` instead of padding layers, whose amounts hold for one known size. For that size the result is the
    same, and a network of open length equals the network of the length of its input. With weights from ImageNet the mel
    bands are the height of the image and the frames its width, so kernels are transposed. For 3 channels the kernels of
    the first convolution are kept. For another number of channels they are the mean over the colours, scaled so that
    equal channels give the output of a grey image.

    Args:
        variant: "B0" to "B7", "V2B0" to "V2B3", "V2S", "V2M" or "V2L".
        input_shape: Frames and mel bands of a spectrogram, and channels if there are several; the frames may be None.
        weights: None for random ones; "imagenet" for those that Keras downloads, and keeps in its folder; or the path
            of a file of them (without the top), where there is no network.
        library: Where the layers come from: "keras.applications", or "keras_cv" (the extra `cv`, only V2, only random
            weights).
        input_mean: Subtracted from the spectrogram, a number or one for each channel. Weights from ImageNet want inputs
            about 0; of the front-end of PSLA on AudioSet, -4.6476 and 4.5699 are mean and deviation.
        input_deviation: What the result is divided by, likewise.
        batch_norm_momentum: Momentum of the moving statistics; None for that of the library. Trainings of few steps
            want 0.9.
        name: Name of the model; None for that of the variant.

    Input shape:
        `(batch, frames, bands)`, or `(batch, frames, bands, channels)`

    Output shape:
        `(batch, ceil(frames / 32), ceil(bands / 32), channels)`

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument is not one of the above, or the file holds other weights.
        OSError: If the weights are not there; the message says how to get them.
        ImportError: If the library is "keras_cv" and it is not installed.

    Example:

    >>> with keras.StatelessScope(initialize_variables=False):
    ...     EfficientNetBackbone("B0", input_shape=(250, 128, 3)).output_shape
    (None, 8, 4, 1280)

    Reference:
        Tan and Le, "EfficientNet", 2019; "EfficientNetV2", 2021. Gong et al., "PSLA", 2021.
    """
    _check(variant, library, weights)
    pretrained = None if weights is None else _pretrained_weights(variant, weights)
    plain = len(input_shape) == 2
    shape = (*input_shape, 1) if plain else tuple(input_shape)
    images = keras.Input(shape, name="image")
    if library == "keras_cv":
        network = keras_cv_backbone(variant, images)
    else:
        network = _rewired(variant, images)
    network.name = f"efficientnet_{variant.lower()}"
    if batch_norm_momentum is not None:
        for layer in network.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
    if pretrained is not None:
        _assign(network, pretrained, shape[-1])
    inputs = keras.Input(tuple(input_shape), name="spectrogram")
    x = inputs if not plain else layers.Reshape((-1, shape[1], 1), name="channel")(inputs)
    if np.any(np.not_equal(input_mean, 0.0)) or np.any(np.not_equal(input_deviation, 1.0)):
        scale = np.divide(1.0, input_deviation)
        x = layers.Rescaling(scale.tolist(), np.multiply(scale, np.negative(input_mean)).tolist(), name="normalise")(x)
    return keras.Model(inputs, network(x), name=name or f"{network.name}_backbone")


def _check(variant, library, weights):
    check_choice("library", library, LIBRARIES)
    check_choice("variant", variant, KERAS_CV_VARIANTS if library == "keras_cv" else VARIANTS)
    if library == "keras_cv" and weights is not None:
        raise ValueError(f"`weights` must be None with `library`='keras_cv'. Received: weights={weights!r}")
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("EfficientNets need keras.config.set_image_data_format('channels_last')")


def _application(variant):
    return getattr(keras.applications, f"EfficientNet{variant}")


def _options(variant):
    return {"include_top": False, **({"include_preprocessing": False} if variant.startswith("V2") else {})}


def _rewired(variant, images):
    """The network without preprocessing, its convolutions padded by themselves, with new weights."""
    with keras.StatelessScope(initialize_variables=False):  # For its graph alone.
        any_size = keras.Input((None, None, images.shape[-1]), name="image")
        network = _application(variant)(**_options(variant), weights=None, input_tensor=any_size)
        network = keras.Model(any_size, network.output)

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            config["padding"] = "same"
        return type(layer).from_config(config)

    def call(layer, x, *args, **kwargs):
        left_out = isinstance(layer, (layers.Rescaling, layers.Normalization, layers.ZeroPadding2D))
        return x if left_out else layer(x, *args, **kwargs)

    return graph_copy(network, clone, call, images)


def _without_preprocessing(network):
    """The same layers without those in front of the first convolution and its padding."""
    first = next(layer for layer in network.layers if isinstance(layer, (layers.ZeroPadding2D, layers.Conv2D)))
    return keras.Model(first.input, network.output)


def _pretrained_weights(variant, weights):
    """The weights of the network for images, in its order, those of the layers for preprocessing left out."""
    file = f"efficientnet{variant.lower().replace('v2', 'v2-')}_notop.h5"
    path = None if weights == "imagenet" else pathlib.Path(weights)
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"`weights` must be None, 'imagenet' or a file such as {file}. There is no file {path}")
    try:
        network = _application(variant)(**_options(variant), weights=str(weights), input_shape=(None, None, 3))
    except Exception as error:  # Keras raises bare ones where a download fails.
        if path is not None:
            raise ValueError(f"{path} does not hold the weights of EfficientNet{variant}, no top: {error}") from error
        raise OSError(
            f"The ImageNet weights of EfficientNet{variant} could not be had from {WEIGHTS_ADDRESS}{file} ({error}). "
            "Download that file where there is a network, and give its path: weights='path/to/" + file + "'"
        ) from error
    return _without_preprocessing(network).get_weights()


def _assign(network, pretrained, channels):
    """Assigns the weights of the image network of the same variant."""
    values = [np.swapaxes(value, 0, 1) if value.ndim == 4 else value for value in pretrained]
    if channels != 3:
        values[0] = np.repeat(values[0].sum(axis=2, keepdims=True) / channels, channels, axis=2)
    network.set_weights(values)
