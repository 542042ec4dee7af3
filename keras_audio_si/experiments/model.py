"""Models and augmentations from settings: any front-end, resolution, network and head that fit."""

import contextlib
import functools
import inspect

import keras

from keras_audio_si import layers, models
from keras_audio_si.checks import check_choice
from keras_audio_si.layers.fit_length import SHORT
from keras_audio_si.layers.time_mel import ORDERS, STATISTICS
from keras_audio_si.models.loading import load_model
from keras_audio_si.models.networks import network as network_of
from keras_audio_si.models.pretrained import model_file

RESOLUTIONS = {
    "none": None,
    "hop": layers.ChangeHopSize,
    "average": layers.AveragePoolFrames,
    "average-max": layers.AverageMaxPoolFrames,
    "conv-average": layers.ConvAveragePool,
    "diffres": layers.DiffResLayer,
}
FRONT_ENDS = {
    "auto": None,
    "mel": layers.LogMelSpectrogram,
    "mel-pcen": layers.PCEN,  # Behind a mel spectrogram of energies.
    "piczak": models.piczak_spectrogram,
    "td-fbank": layers.TDFilterbanks,
    "sincnet": layers.SincFilters,
    "leaf": layers.LEAF,
}
HEADS = {"attention": layers.AttentionHead, **dict.fromkeys((*ORDERS, *STATISTICS), layers.GlobalTimeMelPool)}
_GAINS = {"gain": {"probability": 0.5}, "level": {"gain": (-25.0, 15.0), "unit": "decibels"}}
DIFFRES = (
    "aggregations",
    "resolution_encoding",
    "even",
    "guide_weight",
    "guide_form",
    "guide_threshold",
    "guide_emptiness",
    "dilations",
)
_OF_MEL = ("fft_length", "top_db", "reference")
_FRONT_END = ("num_mels", "frame_seconds", "hop_seconds", "filter_stride", *_OF_MEL)
_NETWORK = (
    "pooling",
    "intra_block_pooling",
    "width",
    "batch_norm_momentum",
    "channels",
    "transformer_layers",
    "residual",
    "aggregation",
    "factors",
    "dense_units",
    "deltas",
    "weights",
)


def build_model(class_names, settings):
    """Builds the classifier of waveforms that settings describe, or takes a trained one, for some classes.

    Args:
        class_names: Names of the classes in the order of the scores; the model keeps them.
        settings: `Settings`. The seed of its training is that of SpecAugment.

    Returns:
        Functional `keras.Model` from `(batch, samples)` to `(batch, classes)`, which ends in `ClassScores`.

    Raises:
        ValueError: If parts do not fit, or a setting is given that the network does not have.

    Example:

    >>> from keras_audio_si.experiments.settings import Settings
    >>> settings = Settings().changed(pooling="tlpf5+aps", width=0.25, front_end="leaf", sample_rate=16000)
    >>> settings = settings.changed(resolution="diffres", frames_per_second=50)
    >>> build_model(("dog", "rain"), settings).get_layer("vgg41").input_shape
    (None, 50, 96, 3)
    """
    with precision(settings.model.mixed_precision):
        if settings.model.initial is not None:
            return _trained(class_names, settings)
        if settings.data.peak is not None and not _scales(settings.model.network):
            raise _no_peak("network", _name(settings.model.network))
        if _takes(settings.model.network) == "waveform":
            return _waveform_network(class_names, settings)
        return _spectrogram_network(class_names, settings)


def build_front_end(settings):
    """Builds the layer from waveforms to spectrograms of settings; "mel-pcen" is the mel spectrogram before PCEN."""
    model = settings.model
    short = _kept(short=_filling(settings.data))
    if not isinstance(model.front_end, str):
        _check_object("front_end", model, _FRONT_END)
        if short and model.front_end.short != settings.data.short:
            raise ValueError(
                f"`short` must be that of the layer `front_end`, {model.front_end.short!r}. Received: "
                f"short={settings.data.short!r}"
            )
        return _copied(model.front_end)
    check_choice("front_end", model.front_end, FRONT_ENDS)
    name = model.front_end
    if name == "auto":
        name = "piczak" if model.network == "piczak" else "mel"
    options = _kept(**{option: getattr(model, option) for option in _FRONT_END})
    if name == "piczak":
        if options:
            raise ValueError(f"The front-end 'piczak' has its own `{next(iter(options))}`: leave that setting out.")
        return models.piczak_spectrogram(settings.data.sample_rate, **short)
    bands = options.pop("num_mels", _default_shape(model.network)[1])
    options |= short
    of_mel = name in ("mel", "mel-pcen")
    for lacking in ("filter_stride",) if of_mel else _OF_MEL:
        if lacking in options:
            raise ValueError(f"The front-end {name!r} has no `{lacking}`: leave that setting out.")
    if of_mel:
        compression = {"compression": None} if name == "mel-pcen" else {}
        return layers.LogMelSpectrogram(settings.data.sample_rate, num_mels=bands, **compression, **options)
    return FRONT_ENDS[name](settings.data.sample_rate, num_filters=bands, **options)


def build_resolution(settings, frames_per_second):
    """Builds the layer that reduces the frames of settings, or returns None.

    Args:
        settings: `Settings`
        frames_per_second: Frames per second of the front-end.
    """
    model = settings.model
    if not isinstance(model.resolution, str):
        _check_object("resolution", model, ("frames_per_second", *DIFFRES))
        return _copied(model.resolution)
    check_choice("resolution", model.resolution, RESOLUTIONS)
    if model.resolution == "none":
        return None
    options = {name: getattr(model, name) for name in DIFFRES} if model.resolution == "diffres" else {}
    return RESOLUTIONS[model.resolution](
        frames_per_second=model.frames_per_second, input_frames_per_second=frames_per_second, **options
    )


def _check_object(part, model, options):
    """Refuses settings of a part that is given as a layer, which has its own."""
    for name in options:
        if getattr(model, name) != getattr(type(model), name):
            raise ValueError(f"The layer `{part}` has its own `{name}`: leave that setting out.")


def _copied(layer):
    """A copy of a layer of the settings, with its weights: no run starts from what another one has trained."""
    if not isinstance(layer, keras.Layer):
        return layer
    copied = type(layer).from_config(layer.get_config())
    if layer.weights:
        copied.build_from_config(layer.get_build_config())
        copied.set_weights(layer.get_weights())
    return copied


def build_augmentation(settings):
    """Builds the layer that augments `(waveforms, labels)` in training, or returns None.

    Args:
        settings: `Settings`, of which the training's seed sets the draws.
    """
    model, rate, seed = settings.model, settings.data.sample_rate, settings.training.seed
    if not isinstance(model.augment, str):
        return _copied(model.augment)
    if not model.mixings and (model.label_rule, model.mixing_probability) != ("convex", 1.0):
        raise ValueError(
            "`label_rule` and `mixing_probability` are of `mixings`, of which there are none here: set some, or leave "
            "these out. Presets mix in long trainings alone."
        )
    if model.mixings and settings.training.loss == "softmax":
        raise ValueError("`mixings` give several labels: `loss` must be 'softmax-or-bce', 'bce' or 'score-bce'.")
    mixing = (model.mixings, model.mixing_probability, model.label_rule, seed)
    if model.augment.startswith("roll"):
        _, gain, *speed = model.augment.split("-")
        speed = [layers.RandomSpeed(probability=0.5, seed=seed + 3)] if speed else []
        mixing = [layers.eat_mixing(rate, *mixing)] if model.mixings else []
        return layers.AugmentationChain([*speed, *_roll_gain(seed, _GAINS[gain]), *mixing], seed=seed)
    if model.augment != "none":
        strength = model.augment.removeprefix("eat-")
        return layers.eat_augmentations(rate, strength, model.augment_noise, *mixing)
    return layers.eat_mixing(rate, *mixing) if model.mixings else None


def _roll_gain(seed, gain):
    """Where a sound begins in a clip, and how loud it is, say nothing of its class."""
    return [
        layers.Roll(fractional=False, seed=seed),
        layers.RandomGain(**gain, seed=seed + 1),
        layers.PolarityInversion(probability=0.5, seed=seed + 2),
    ]


def class_activation(training):
    """Returns the activation of the scores for the loss of a training: "softmax" for one label, else "sigmoid"."""
    return "softmax" if training.loss.startswith("softmax") else "sigmoid"


@contextlib.contextmanager
def precision(mixed_precision):
    """Sets the dtype policy that models are built under, within the block.

    Args:
        mixed_precision: None, `"bfloat16"` or `"float16"`.

    Example:

    >>> with precision("bfloat16"):
    ...     keras.config.dtype_policy().name
    'mixed_bfloat16'
    """
    before = keras.config.dtype_policy()
    if mixed_precision is not None:
        keras.config.set_dtype_policy(f"mixed_{mixed_precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _spectrogram_network(class_names, settings):
    model, data = settings.model, settings.data
    if data.input_samples is not None or model.content != "waveform":
        raise ValueError("`input_samples` and `content` are for networks on waveforms: set `frames` here.")
    front_end = build_front_end(settings)
    frames = data.frames or _default_shape(model.network)[0]
    samples = front_end.num_samples(frames)
    resolution = build_resolution(settings, front_end.sample_rate / front_end.hop_length)
    shape = (frames, front_end.num_bands)
    if resolution is not None:
        shape = (resolution.output_frames(frames), front_end.num_bands, resolution.num_channels)
    backbone = _network(class_names, shape, settings)
    front = [front_end, *([layers.PCEN(name="pcen")] if model.front_end == "mel-pcen" else [])]
    if model.spec_augment:
        bands = round(model.masked_bands * front_end.num_bands)
        masking = {"max_frames": None, "max_time_fraction": model.masked_frames, "seed": settings.training.seed}
        front.append(layers.SpecAugment(bands, **masking))
    lengths = "zeros" if model.masked else None
    options = {"input_samples": samples, "lengths": lengths, "standardise": model.standardised}
    return models.Classifier(front, backbone, resolution, **options)


def _waveform_network(class_names, settings):
    model, data = settings.model, settings.data
    own = {"front_end": "auto", "resolution": "none", "spec_augment": False, "masked": False}
    given = [name for name, value in own.items() if getattr(model, name) != value]
    if given or data.frames is not None:
        name = (given or ["frames"])[0]
        raise ValueError(f"`{name}` is for networks on spectrograms, and {_name(model.network)!r} takes waveforms.")
    if model.standardised != "none" and not (isinstance(model.network, str) and _standardises(model.network)):
        raise ValueError(f"`standardise` is for networks with a spectrogram, which {_name(model.network)!r} has not.")
    samples = data.input_samples or _default_shape(model.network)[0]
    known = network_of(model.network).options if isinstance(model.network, str) else ("sample_rate",)
    kept = _kept(sample_rate=data.sample_rate, short=_filling(data), peak=data.peak)
    kept = {name: value for name, value in kept.items() if name in known}
    if model.content == "waveform":
        return _network(class_names, (samples,), settings, **kept)
    if isinstance(model.network, str) and not _scales(model.network):
        raise ValueError(f"`content` is of EAT, and not of {_name(model.network)!r}: leave it out.")
    shape = (samples, 2) if model.content == "both" else (samples,)
    network = _network(class_names, shape, settings, **kept)
    waveforms = keras.Input((samples,), name="waveform")
    return keras.Model(waveforms, network(layers.PhaseWaveform(model.content)(waveforms)))


def _network(names, shape, settings, **others):
    model = settings.model
    options = _kept(**{name: getattr(model, name) for name in _NETWORK})
    build, own_head = model.network, ()
    if isinstance(build, str):
        named = network_of(build)
        unknown = [name for name in options if name not in named.options]
        if unknown:
            raise ValueError(f"The network {build!r} has no `{unknown[0]}`: leave that setting out.")
        build, own_head = named.build, named.head
        if _standardises(model.network):
            options["standardise"] = model.standardised
    scores = {"activation": class_activation(settings.training), "class_names": names}
    if model.head is None:
        return build(len(names), shape, **{**scores, **options, **others})
    if not own_head:
        raise ValueError(f"The network {_name(model.network)!r} takes no other `head`: leave that setting out.")
    network = build(len(names), shape, **options, **others)
    x = next(layer for layer in network.layers if layer.name in own_head).input
    return _with_head(network, x, settings, **scores)


def _with_head(network, x, settings, activation, class_names):
    """The network up to its feature maps `x`, with the head of the settings behind them."""
    head = settings.model.head
    if isinstance(head, str):
        check_choice("head", head, HEADS)
        if head == "attention":
            head = functools.partial(layers.AttentionHead, name="attention_head")
        elif len(x.shape) != 4:
            name = _name(settings.model.network)
            raise ValueError(
                f"`head` must be 'attention' or a function for the network {name!r}. Received: head={head!r}"
            )
        else:
            x = layers.GlobalTimeMelPool(head, name="global_pool")(x)
            head = functools.partial(keras.layers.Dense, name="logits")
    layer = head(len(class_names))
    if isinstance(layer, layers.AttentionHead):
        if settings.training.loss != "score-bce":
            raise ValueError(
                "`loss` must be 'score-bce' with an attention head, which gives scores, not logits. "
                f"Received: loss={settings.training.loss!r}"
            )
        activation = None
    scores = layers.ClassScores(activation, class_names, name="scores")(layer(x))
    return keras.Model(network.input, scores, name=network.name)


def _trained(class_names, settings):
    """A trained network with a new last layer; it stores what is given of rate, `short` and `peak`."""
    model, data = load_model(model_file(settings.model.initial)), settings.data
    if data.input_samples is not None and model.input_shape[1] != data.input_samples:
        model = models.with_input_length(model, data.input_samples)
    model = models.with_classes(model, class_names, class_activation(settings.training))
    fit_length = models.fit_length_of(model)
    if fit_length is not None:
        fit_length.sample_rate = fit_length.sample_rate or data.sample_rate
        if data.peak is not None:
            fit_length.peak = data.peak
    elif data.peak is not None:
        raise _no_peak("model", model.name)
    if (short := _filling(data)) is not None:
        models.front_end_of(model).short = short
    return model


def _filling(data):
    """What fills short clips where a model is used, by the settings of the data; None if they do not say it."""
    return data.short if data.short in SHORT else None


def _kept(**values):
    return {name: value for name, value in values.items() if value is not None}


def _no_peak(part, name):
    return ValueError(f"The {part} {name!r} has no `peak`: leave that setting out, or set `peak_of`.")


def _takes(network):
    """Whether a network takes a "spectrogram" or a "waveform"; of a function its default `input_shape` says."""
    if isinstance(network, str):
        return network_of(network).input
    return "waveform" if len(_default_shape(network)) == 1 else "spectrogram"


def _scales(network):
    """Whether a network stores the peak that patches are scaled to."""
    return isinstance(network, str) and "peak" in network_of(network).options


def _standardises(network):
    """Whether a builder, of a network with a front-end of its own, standardises what that gives."""
    return "standardise" in network_of(network).options


def _default_shape(network):
    build = network_of(network).build if isinstance(network, str) else network
    return inspect.signature(build).parameters["input_shape"].default


def _name(network):
    return network if isinstance(network, str) else network.__name__
