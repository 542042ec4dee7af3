"""A front-end and a network joined to a model that takes waveforms."""

import keras


def Classifier(front_end, backbone, input_samples=None, name="classifier"):
    """Join a front-end layer and a network on its features to one model from waveforms to class scores.

    Args:
        front_end: Layer from waveforms to features, such as `layers.LogMelSpectrogram`.
        backbone: Model on those features, such as `models.VGG41`.
        input_samples: Length of the waveforms in samples; None leaves it open, for a backbone that takes any number
            of frames.
        name: Name of the model.

    Input shape:
        `(batch, samples)`, float32 in [-1, 1]

    Output shape:
        That of the backbone.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the features of `input_samples` samples do not fit the backbone.

    Example:

    >>> front_end = keras_audio_si.layers.LogMelSpectrogram(sample_rate=16000)
    >>> vgg = keras_audio_si.models.VGG41(num_classes=10, width=0.25)
    >>> Classifier(front_end, vgg, input_samples=front_end.num_samples(101)).output_shape
    (None, 10)
    """
    waveforms = keras.Input((input_samples,), dtype="float32", name="waveform")
    features = front_end(waveforms)
    wanted = backbone.input_shape
    for axis, (got, want) in enumerate(zip(features.shape, wanted, strict=True)):
        if None not in (got, want) and got != want:
            raise ValueError(
                f"{input_samples} samples give features of shape {tuple(features.shape)}, but {backbone.name} takes "
                f"{wanted}: axis {axis} differs; change input_samples or the input_shape of the network"
            )
    return keras.Model(waveforms, backbone(features), name=name)
