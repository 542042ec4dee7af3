"""PiczakNet on spectrograms; HeuriNet, MSTNet and MelConvNet: PiczakNet behind a learned front-end (juettner)."""

import keras
from keras import layers

from keras_audio_si.checks import new_names
from keras_audio_si.layers.convolution_frontend import HeuriFrontEnd, MSTFrontEnd
from keras_audio_si.layers.deltas import Deltas
from keras_audio_si.layers.frontend import LogMelSpectrogram
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.layers.mel_convolution import MelConvolution
from keras_audio_si.layers.monte_carlo_dropout import MonteCarloDropout
from keras_audio_si.models.classifier import Classifier

SAMPLE_RATE = 22050
PATCH_SAMPLES = 20992  # 41 hops of 512
FRAME_SAMPLES, HOP_SAMPLES = 1024, 512


@new_names
def PiczakNet(
    num_classes,
    input_shape=(41, 60),
    deltas=False,
    filters=80,
    dense_units=5000,
    dropout=0.5,
    dropout_in_inference=False,
    activation="sigmoid",
    class_names=None,
    name="piczak_net",
):
    """Builds PiczakNet: two convolutions with max pooling and two dense layers.

    The first convolution and its pooling cover all bands: kernels cover all bands but three, and the maximum is taken
    over their four positions. The rest of the network operates along time.

    Args:
        num_classes: Number of classes.
        input_shape: Frames and bands of the spectrogram; at least 20 and 4.
        deltas: Whether the network sees their change along time as well, as Piczak's did and the paper's does not.
        filters: Filters of both convolutions.
        dense_units: Units of both dense layers.
        dropout: Share of the values dropped in training after the first pooling and the dense layers.
        dropout_in_inference: Whether they are dropped always, as in the released code, whose scores are random.
        activation: Of the scores: "sigmoid" (several classes at once), "softmax" (one of them) or None (logits).
        class_names: Names of the classes, kept in the model, or None.
        name: Name of the model.

    Input shape:
        `(batch, frames, bands)`

    Output shape:
        `(batch, num_classes)`, float32

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the spectrogram is too small.

    Example:

    >>> model = PiczakNet(num_classes=10, dense_units=500)
    >>> model.count_params()
    422730

    Reference:
        Piczak, "Environmental sound classification with convolutional neural networks", 2015; juettner, Fig. 1.
    """
    frames, bands = input_shape
    if None in (frames, bands) or frames < 20 or bands < 4:
        raise ValueError(
            f"`input_shape` must be at least 20 frames and 4 bands. Received: input_shape={tuple(input_shape)}"
        )

    dropping = MonteCarloDropout if dropout_in_inference else layers.Dropout

    def convolution(x, size, label):
        return layers.Conv2D(filters, size, activation="relu", data_format="channels_last", name=label)(x)

    def pooling(x, size, strides, label):
        return layers.MaxPooling2D(size, strides, data_format="channels_last", name=label)(x)

    inputs = keras.Input(tuple(input_shape), name="spectrogram")
    x = Deltas(name="deltas")(inputs) if deltas else layers.Reshape((frames, bands, 1), name="channel")(inputs)
    x = pooling(convolution(x, (6, bands - 3), "conv1"), (3, 4), (3, 1), "pool1")
    x = dropping(dropout, name="dropout1")(x)
    x = pooling(convolution(x, (3, 1), "conv2"), (3, 1), (3, 1), "pool2")
    x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(dense_units, activation="relu", name=f"dense{number}")(x)
        x = dropping(dropout, name=f"dropout{number + 1}")(x)
    x = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, ClassScores(activation, class_names, name="scores")(x), name=name)


def piczak_spectrogram(sample_rate=SAMPLE_RATE, pad_mode="reflect", power=2.0, **changes):
    """The mel spectrogram of Piczak's experiments: 60 bands in decibels, 41 frames of 20992 samples.

    Frames are centred, and the last of the 42 is left out.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        pad_mode: What extends the waveform: "reflect", as librosa did then, or "constant" (zeros), as it does from
            version 0.10 on. The first and last frames differ.
        power: Exponent of the magnitudes: 2, or 1, which halves the decibels; the loudest 80 dB of sound are kept.
        **changes: Other arguments of `layers.LogMelSpectrogram`.

    Returns:
        `layers.LogMelSpectrogram`

    Example:

    >>> front_end = piczak_spectrogram()
    >>> front_end.num_frames(20992), front_end.num_samples(41)
    (41, 20992)

    Reference:
        juettner, section 1.1, eqs. 1 and 2.
    """
    return LogMelSpectrogram(**{**_spectrogram_arguments(sample_rate, pad_mode, power), **changes})


@new_names
def HeuriNet(
    num_classes,
    input_shape=(PATCH_SAMPLES,),
    sample_rate=SAMPLE_RATE,
    standardise="set",
    short="repeat",
    name="heuri_net",
    **piczak,
):
    """Builds HeuriNet: `layers.HeuriFrontEnd` followed by PiczakNet.

    Args:
        num_classes: Number of classes.
        input_shape: Samples of the waveforms.
        sample_rate: Sample rate of the waveforms in Hz, kept in the model.
        standardise: What PiczakNet gets is standardised by, as for `Classifier`; as released `"none"`.
        short: What fills a clip that is shorter than the input, kept in the model: `"repeat"` or `"zero"`.
        name: Name of the model.
        **piczak: Other arguments of `PiczakNet`.

    Input shape:
        `(batch, samples)`

    Output shape:
        `(batch, num_classes)`, float32

    Returns:
        A functional `keras.Model`.

    Example:

    >>> HeuriNet(num_classes=10, dense_units=50).get_layer("heuri_front_end").output.shape
    (None, 41, 60)

    Reference:
        juettner, section 2.2.1.
    """
    front_end = HeuriFrontEnd(sample_rate, short=short, name="heuri_front_end")
    return _behind(front_end, num_classes, input_shape, standardise, name, piczak)


@new_names
def MSTNet(
    num_classes,
    input_shape=(PATCH_SAMPLES,),
    sample_rate=SAMPLE_RATE,
    standardise="none",
    short="repeat",
    name="mst_net",
    **piczak,
):
    """Builds MSTNet: `layers.MSTFrontEnd` followed by PiczakNet; the arguments are those of `HeuriNet`.

    The front-end ends in tanh, so that nothing is standardised by default.

    Example:

    >>> MSTNet(num_classes=10, dense_units=50).get_layer("mst_front_end").output.shape
    (None, 41, 60)

    Reference:
        juettner, section 2.2.2.
    """
    front_end = MSTFrontEnd(sample_rate, short=short, name="mst_front_end")
    return _behind(front_end, num_classes, input_shape, standardise, name, piczak)


@new_names
def MelConvNet(
    num_classes,
    input_shape=(PATCH_SAMPLES,),
    sample_rate=SAMPLE_RATE,
    pad_mode="reflect",
    power=2.0,
    standardise="set",
    short="repeat",
    name="mel_conv_net",
    **piczak,
):
    """Builds MelConvNet: `layers.MelConvolution`, initialised as a mel spectrogram, followed by PiczakNet.

    With the weights of a PiczakNet that was trained on `piczak_spectrogram(sample_rate, pad_mode, power)`, standardised
    by the same statistics, it computes the same scores before training.

    Args:
        num_classes: Number of classes.
        input_shape: Samples of the waveforms.
        sample_rate: Sample rate of the waveforms in Hz.
        pad_mode: As for `piczak_spectrogram`.
        power: Exponent of the modulus, 2 (eq. 1) or 1 (section 5).
        standardise: As for `HeuriNet`.
        short: As for `HeuriNet`.
        name: Name of the model.
        **piczak: Other arguments of `PiczakNet`.

    Input shape:
        `(batch, samples)`

    Output shape:
        `(batch, num_classes)`, float32

    Returns:
        A functional `keras.Model`.

    Example:

    >>> MelConvNet(num_classes=10, dense_units=50).get_layer("mel_convolution").output.shape
    (None, 41, 60)

    Reference:
        juettner, section 5, hypothesis H2.
    """
    arguments = _spectrogram_arguments(sample_rate, pad_mode, power)
    front_end = MelConvolution(**arguments, short=short, name="mel_convolution")
    return _behind(front_end, num_classes, input_shape, standardise, name, piczak)


def _spectrogram_arguments(sample_rate, pad_mode, power):
    return {
        "sample_rate": sample_rate,
        "frame_seconds": FRAME_SAMPLES / sample_rate,
        "hop_seconds": HOP_SAMPLES / sample_rate,
        "num_mels": 60,
        "mel_scale": "slaney",
        "mel_normalization": "slaney",
        "power": power,
        "compression": "decibel",
        "top_db": 40.0 * power,
        "center": True,
        "pad_mode": pad_mode,
        "drop_last_frame": True,
    }


def _behind(front_end, num_classes, input_shape, standardise, name, piczak):
    (samples,) = input_shape
    backbone = PiczakNet(num_classes, front_end.compute_output_shape((None, samples))[1:], **piczak)
    return Classifier(front_end, backbone, input_samples=samples, standardise=standardise, name=name)
