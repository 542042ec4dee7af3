"""VGG41 and VGG42, the networks of fonseca2021 (section III-B), with any pooling mechanism."""

import keras
from keras import layers

from keras_audio_si.checks import new_names
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.layers.padding import SpatialPadding
from keras_audio_si.layers.pooling_names import build_pooling
from keras_audio_si.layers.time_mel import GlobalTimeMelPool

BLOCK_FILTERS = (48, 64, 128, 256)


@new_names
def VGG41(
    num_classes,
    input_shape=(101, 96),
    pooling="max",
    intra_block_pooling=False,
    padding="same",
    activation="sigmoid",
    global_pooling="mean_mel_max_time",
    width=1.0,
    batch_norm_momentum=0.99,
    class_names=None,
    name="vgg41",
):
    """Builds VGG41: a 3x3 convolution, then four blocks of two 3x3 convolutions, as released.

    Pooling follows each of the first three blocks, a mean over mel and a maximum over time the fourth.

    Args:
        num_classes: Number of classes.
        input_shape: Frames and mel bands of a spectrogram, and channels if there are several; the frames may be None.
        pooling: Pooling mechanism after blocks 1 to 3; see `layers.build_pooling`.
        intra_block_pooling: Whether to put a dense 3x3 max pooling between the two convolutions of blocks 1 to 3.
        padding: Padding of the convolutions and pools: "same", "valid", "reflect", "edge" or "circular".
        activation: Of the scores: "sigmoid" (several classes at once), "softmax" (one of them) or None (logits).
        global_pooling: How the last map becomes a vector; see `layers.GlobalTimeMelPool`.
        width: Factor on the number of filters of every convolution.
        batch_norm_momentum: Momentum of the moving statistics. Trainings of few steps want less than the default.
        class_names: Names of the classes, kept in the model, or None.
        name: Name of the model.

    Input shape:
        `(batch, frames, bands)`, or `(batch, frames, bands, channels)`.

    Output shape:
        `(batch, num_classes)`, float32

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the pooling, the padding or the global pooling is unknown.

    Example:

    >>> model = VGG41(num_classes=200, pooling="tlpf5+aps")
    >>> sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    1264728

    Reference:
        fonseca2021, section III-B; Tables I and II.
    """
    conv_padding = padding if padding in ("same", "valid") else "valid"

    def convolution(x, filters, label):
        if padding not in ("same", "valid"):
            x = SpatialPadding(3, padding, name=f"{label}_pad")(x)
        x = layers.Conv2D(
            round(filters * width),
            3,
            padding=conv_padding,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            data_format="channels_last",
            name=f"{label}_conv",
        )(x)
        x = layers.BatchNormalization(momentum=batch_norm_momentum, epsilon=1e-3, name=f"{label}_norm")(x)
        return layers.ReLU(name=f"{label}_relu")(x)

    shape = tuple(input_shape)
    inputs = keras.Input(shape, name="spectrogram")
    x = layers.Reshape((-1, shape[1], 1), name="channel")(inputs) if len(shape) == 2 else inputs
    x = convolution(x, 32, "front")
    for block, filters in enumerate(BLOCK_FILTERS, start=1):
        x = convolution(x, filters, f"block{block}a")
        if intra_block_pooling and block < 4:
            x = build_pooling("max", 3, 1, padding, name=f"block{block}_dense_pool")(x)
        x = convolution(x, filters, f"block{block}b")
        if block < 4:
            x = build_pooling(pooling, padding=padding, name=f"pool{block}", non_negative=True)(x)
    x = GlobalTimeMelPool(global_pooling, name="global_pool")(x)
    x = layers.Dense(num_classes, name="logits")(x)
    outputs = ClassScores(activation, class_names, name="scores")(x)
    return keras.Model(inputs, outputs, name=name)


def VGG42(num_classes, input_shape=(101, 96), pooling="max", width=1.0, name="vgg42", **kwargs):
    """Builds VGG41 with twice the filters in every convolution; the arguments are those of `VGG41`.

    Example:

    >>> VGG42(num_classes=200).name
    'vgg42'

    Reference:
        fonseca2021, section III-B; Table II.
    """
    return VGG41(num_classes, input_shape, pooling, width=2 * width, name=name, **kwargs)
