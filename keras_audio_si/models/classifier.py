"""Classifier of waveforms: a front-end, a resolution layer, a backbone and a head in one model."""

import inspect

import keras

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.frame_mask import FrameMask, JoinMask, SplitMask
from keras_audio_si.layers.nested import all_layers
from keras_audio_si.layers.standardise import build_standardise
from keras_audio_si.models.masks import with_masks

LENGTHS = (None, "zeros", "input")


def Classifier(
    front_end,
    backbone,
    resolution=None,
    head=None,
    input_samples=None,
    lengths=None,
    standardise="none",
    name="classifier",
):
    """Builds a model of waveforms from a front-end, a resolution layer, a backbone and a head.

    Args:
        front_end: Layer from waveforms to spectrograms, such as `layers.LogMelSpectrogram`, or a list of it and of
            layers on spectrograms that follow, such as SpecAugment; None for a network on waveforms, such as `EAT`.
        backbone: Model on what comes before, such as `VGG41`, `EfficientNetTagger` or `EfficientNetBackbone`.
        resolution: Layer from spectrograms to spectrograms of other frames, with channels, between the two, such as
            `DiffResLayer` or the baselines it is compared with; None for the frames as they are.
        head: Layer or model from what the network gives to class scores, such as `AttentionHead`; None for a network
            that has one itself.
        input_samples: Length of the waveforms in samples; None takes that of a network on waveforms, and else leaves
            it open, for parts that take any number of frames.
        lengths: How the model learns where clips end that zeros pad to one length: None, it does not; "zeros", each
            clip ends with its last sample that is not zero, as evaluation, tagging and export know; "input", the model
            has a second input, `samples`. The mask of the frames of the clips is passed to the layers on spectrograms
            that take one, which must keep the number of frames, and to `resolution`; `backbone` is copied by
            `with_masks`. So the scores of a clip do not depend on its padding, as far as the layers on spectrograms
            that take no mask see no later frames. A front-end that centres frames must do so with zeros,
            `pad_mode="constant"`: a reflection at the end of the input is not one at the end of the clip.
        standardise: What the network gets is standardised by: `"set"`, one mean and deviation of the training set,
            `"bands"`, one of each band, or `"none"`; or a `layers.Standardise`. `training.fit` computes the statistics.
        name: Name of the model.

    Input shape:
        `(batch, samples)`, float32 in [-1, 1]; with `lengths="input"` a pair of that and `(batch,)` int32, the lengths
        of the clips in samples.

    Output shape:
        That of the last part.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If two parts do not fit, or the front-end and `lengths`; the message names them.

    Example:

    >>> front_end = keras_audio_si.layers.LogMelSpectrogram(sample_rate=16000)
    >>> vgg = keras_audio_si.models.VGG41(num_classes=10, width=0.25)
    >>> Classifier(front_end, vgg, input_samples=front_end.num_samples(101)).output_shape
    (None, 10)

    Reference:
        liu2022, Fig. 2 and Algorithm 2.
    """
    front_end, *augmentations = front_end if isinstance(front_end, (list, tuple)) else [front_end]
    _check(front_end, resolution, backbone, lengths)
    if front_end is None and input_samples is None:
        input_samples = backbone.input_shape[1]
    waveforms = keras.Input((input_samples,), dtype="float32", name="waveform")
    inputs, x, mask = waveforms, waveforms, None
    if front_end is not None:
        x = front_end(x)
    if lengths is not None:
        clips = waveforms
        if lengths == "input":
            clips = keras.Input((), dtype="int32", name="samples")
            inputs = [waveforms, clips]
        mask = FrameMask(front_end.num_samples(1), front_end.hop_length, name="frame_mask")([x, clips])
    for layer in augmentations:
        x = layer(x, mask=mask) if mask is not None and _takes_mask(layer) else layer(x)
    if resolution is not None:
        x = resolution(x) if mask is None else resolution(x, mask=mask)
    if resolution is not None and mask is not None:
        x, mask = SplitMask(name="frames")(x)
    wanted = backbone.input_shape
    if len(x.shape) == len(wanted) + 1 and x.shape[-1] == 1:
        x = x[..., 0]
    if mask is not None:
        x = JoinMask(name="masked_frames")(x, mask=mask)
    standardiser = build_standardise(standardise)
    if standardiser is not None:
        x = standardiser(x)
    _check_features(x.shape, wanted, backbone, input_samples)
    x = (backbone if mask is None else with_masks(backbone))(x)
    return keras.Model(inputs, x if head is None else head(x), name=name)


def _takes_mask(layer):
    return "mask" in inspect.signature(layer.call).parameters


def _check(front_end, resolution, backbone, lengths):
    if not isinstance(backbone, keras.Model):
        raise ValueError(f"`backbone` must be a Keras model. Received: backbone={backbone!r}")
    check_choice("lengths", lengths, LENGTHS)
    if resolution is not None and front_end is None:
        raise ValueError("`resolution` changes the frames of spectrograms: it needs a `front_end`. Received: None")
    if front_end is None and lengths is not None:
        raise ValueError(f"`lengths` are for the mask of frames: they need a `front_end`. Received: {lengths!r}")
    needed = f"`lengths`={lengths!r} needs a `front_end` whose last frames of a clip do not depend on its padding. "
    if lengths is not None and any(map(_reflects, all_layers(front_end))):
        raise ValueError(
            f"{needed}Received: {front_end.name!r} with center=True and pad_mode='reflect'. Set pad_mode='constant'."
        )
    if lengths is not None and any(getattr(layer, "sees_padding", False) for layer in all_layers(front_end)):
        raise ValueError(f"{needed}Received: {front_end.name!r}, whose later convolutions have padding='same'.")


def _reflects(layer):
    return getattr(layer, "center", False) and getattr(layer, "pad_mode", None) == "reflect"


def _check_features(features, wanted, backbone, input_samples):
    advice = "change input_samples, the resolution, or the input_shape of the network"
    differing = [
        axis
        for axis, (got, want) in enumerate(zip(features, wanted, strict=False))
        if None not in (got, want) and got != want
    ]
    if len(features) != len(wanted) or differing:
        raise ValueError(
            f"{input_samples} samples give features of shape {tuple(features)}, but {backbone.name} takes {wanted}: "
            f"{f'axis {differing[0]} differs' if differing else 'it has another number of axes'}; {advice}"
        )
