"""Settings of an experiment: its model, data, training and evaluation, as frozen dataclasses."""

import dataclasses
import difflib
import functools

from keras_audio_si.checks import (
    check_choice,
    check_choices,
    check_integer,
    check_interval,
    check_positive,
    refuse_renamed,
)
from keras_audio_si.training.settings import TrainingSettings

AUGMENTATIONS = ("none", "roll-gain", "roll-gain-speed", "roll-level-speed", "eat-released", "eat-table1", "eat-light")
AS_BUILT = "as built"  # What texts say of the pooling of a network that is given no other.
STANDARDISED = ("piczak", "heurinet", "melconvnet")
FORCED = "mstnet"  # With the IceBreaker its front-end is fitted to spectrograms before phase 1.
MIXINGS = ("mixup", "timemix", "freqmix", "phasemix")
LABEL_RULES = ("convex", "union")
CONTENTS = ("waveform", "phase", "magnitude", "both")
PRECISIONS = (None, "bfloat16", "float16")
# Of `ModelSettings` those that have an effect on a trained model (`initial`), or are refused elsewhere.
_KEPT = "network initial augment augment_noise mixings mixing_probability label_rule mixed_precision".split()


def _field(default, **metadata):
    return dataclasses.field(default=default, metadata=metadata)


def _as_tuples(settings, *names):
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            object.__setattr__(settings, name, tuple(value))


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The parts of a model, each given by its name or as an object; None for the default of the network.

    Args:
        network: Name of the network, see `keras-audio-si list networks`. Or a function with the signature of a builder.
        front_end: Name of the layer from waveforms to spectrograms; "auto" is that of the network. Or the layer.
        num_mels: Mel bands of the front-end.
        frame_seconds: Analysis window of the front-end, in seconds.
        hop_seconds: Time from one frame to the next, in seconds.
        fft_length: Points of the Fourier transform.
        top_db: Range in dB that a mel spectrogram keeps below the loudest sound of each patch.
        reference: "max" for levels relative to that sound, which do not depend on the gain of a recording; it needs
            `top_db`. None for absolute levels.
        filter_stride: Samples from one filter output to the next, of a front-end with learned filters. It must divide
            the hop; 4 takes about a third of the time of 1, see docs/front-ends.md.
        augment: Augmentation of the training waveforms: "none", "roll-gain" (a cyclic shift; half of the time another
            gain and the opposite sign), "roll-gain-speed" (half of the time another speed, and with it pitch, as well),
            "roll-level-speed" (the same, and always another gain, of -25 to 15 dB), "eat-released", "eat-table1" or
            "eat-light" (`layers.eat_augmentations`). Or a layer from `(waveforms, labels)` to the same.
        augment_noise: Whether these augmentations add noise.
        mixings: Label mixings of gazneli2022: some of mixup, timemix, freqmix, phasemix. One is drawn for each batch.
        mixing_probability: Probability that an example is mixed by them.
        label_rule: Labels of their mixtures: "convex" (by weight, as in gazneli2022) or "union" (of both, as released).
        spec_augment: Whether SpecAugment masks bands and frames in training.
        masked_bands: Largest share of the bands that SpecAugment masks.
        masked_frames: Largest share of the frames that SpecAugment masks.
        resolution: Name of the layer that reduces the frames, see `keras-audio-si list resolutions`. Or the layer.
        frames_per_second: Frames per second behind that layer.
        masked: Whether the padding of short clips is masked: SpecAugment, the layer that reduces the frames and the
            network leave it out. It needs `augment="none"`: augmentations move or fill padding.
        aggregations: Aggregations of merged frames by DiffRes: mean, max or both.
        resolution_encoding: Whether DiffRes adds its encoding of the resolution.
        even: Whether DiffRes rescales the scores (Algorithm 1 of liu2022).
        guide_weight: Factor on the guide loss of DiffRes.
        guide_form: Form of the guide loss: "hinge", "paper" or "released".
        guide_threshold: Share of an even score up to which the guide loss leaves an empty frame alone, λ of liu2022.
        guide_emptiness: Which frames are empty to the guide loss: "rms" (below 1e-4) or "released" (by the quietest of
            the batch); None for what belongs to its form.
        dilations: Dilations of the convolutions of DiffRes.
        pooling: Name of the pooling, see `keras-audio-si list poolings`. Or a function `pooling(strides=...)` that
            returns a layer, or the config of a layer.
        intra_block_pooling: Whether VGG pools densely between the convolutions of a block as well.
        width: Factor on the number of filters of VGG.
        batch_norm_momentum: Momentum of the moving statistics. Use 0.9 for trainings of few steps.
        channels: Filters of the first convolution of EAT.
        transformer_layers: Transformer blocks of EAT.
        residual: Residual blocks of EAT: "dilated", "modified" or "common".
        aggregation: End of EAT: "transformer" or "convolution".
        factors: Downsampling factors of EAT.
        head: Name of the head in place of the network's own, see `keras-audio-si list heads`. Or a function from the
            number of classes to a layer from feature maps to logits (or to scores, of an `AttentionHead`).
        content: Input of EAT: "waveform", "phase", "magnitude" or "both" of the latter as channels.
        dense_units: Units of the dense layers of PiczakNet.
        deltas: Whether PiczakNet gets the differences of its spectrogram along time as well.
        weights: Initial weights of an EfficientNet: "imagenet" or a file.
        standardise: Standardisation of the input of the network: "set", by one mean and deviation of the training set,
            "bands", by one of each band, or "none". "auto" is "set" for piczak, heurinet, melconvnet and networks with
            initial weights, and "none" for others.
        initial: Trained model to start from, instead of the settings above; its last layer is new. A .keras file, or a
            name of `keras-audio-si list pretrained`.
        mixed_precision: "bfloat16" or "float16"; None for float32 throughout, or what `initial` has.

    Raises:
        ValueError: If a value is none of those known.

    Example:

    >>> ModelSettings("eat-s", pooling="triangular+aps").factors is None
    True
    """

    network: str = _field("vgg41", flag="model")
    front_end: str = "auto"
    num_mels: int | None = None
    frame_seconds: float | None = None
    hop_seconds: float | None = None
    fft_length: int | None = None
    top_db: float | None = None
    reference: str | None = None
    filter_stride: int | None = None
    augment: str = "none"
    augment_noise: bool = True
    mixings: tuple[str, ...] = ()
    mixing_probability: float = 1.0
    label_rule: str = "convex"
    spec_augment: bool = False
    masked_bands: float = 0.375
    masked_frames: float = 0.5
    resolution: str = "none"
    frames_per_second: float | None = _field(None, flag="fps")
    masked: bool = False
    aggregations: tuple[str, ...] = ("mean", "max")
    resolution_encoding: bool = True
    even: bool = True
    guide_weight: float = 1.0
    guide_form: str = "hinge"
    guide_threshold: float = 0.5
    guide_emptiness: str | None = None
    dilations: tuple[int, ...] = (1, 1, 1, 1, 1)
    pooling: str | None = None
    intra_block_pooling: bool | None = None
    width: float | None = None
    batch_norm_momentum: float | None = None
    channels: int | None = None
    transformer_layers: int | None = None
    residual: str | None = None
    aggregation: str | None = None
    factors: tuple[int, ...] | None = None
    head: str | None = None
    content: str = "waveform"
    dense_units: int | None = None
    deltas: bool | None = None
    weights: str | None = None
    standardise: str = "auto"
    initial: str | None = None
    mixed_precision: str | None = None

    def __post_init__(self):
        _as_tuples(self, "mixings", "aggregations", "dilations", "factors")
        if isinstance(self.augment, str):
            if self.augment in ("eat", "eat-no-noise"):
                raise ValueError(
                    "`augment`='eat' is 'eat-released', 'eat-table1' or 'eat-light' since version 0.3.0, each with "
                    f"`augment_noise` or without. Received: augment={self.augment!r}"
                )
            check_choice("augment", self.augment, AUGMENTATIONS)
        if self.mixings:
            check_choices("mixings", self.mixings, MIXINGS)
        check_interval("(0, 1]", mixing_probability=self.mixing_probability)
        check_choice("label_rule", self.label_rule, LABEL_RULES)
        check_choice("content", self.content, CONTENTS)
        check_choice("standardise", self.standardise, ("auto", "set", "bands", "none"))
        check_choice("mixed_precision", self.mixed_precision, PRECISIONS)
        if self.initial is not None and self.mixed_precision is not None:
            raise ValueError(
                "`mixed_precision` must be None with `initial`, whose layers keep theirs: leave it out. "
                f"Received: mixed_precision={self.mixed_precision!r}"
            )
        named = isinstance(self.resolution, str)
        if named and (self.resolution != "none") != (self.frames_per_second is not None):
            raise ValueError(
                "`resolution` and `frames_per_second` (--fps) need each other. Received: "
                f"resolution={self.resolution!r}, frames_per_second={self.frames_per_second!r}"
            )

    @property
    def standardised(self):
        """What `standardise` stands for: "set", "bands" or "none"."""
        if self.standardise != "auto":
            return self.standardise
        return "set" if self.network in STANDARDISED or self.weights is not None else "none"


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Decoding, cutting and sampling of clips.

    Args:
        sample_rate: Rate that all audio is resampled to, in Hz.
        frames: Length of a patch in frames of the front-end; None for the network's default, or what `initial` has.
        input_samples: Length of a patch in samples, of a network on waveforms; None for the network's default.
        crops: Patches of a clip in training: "fixed", all patches, overlapping by half, or "random", one patch at a
            random position in each epoch.
        sampling: How examples are drawn: "once", "class_balanced" or "psla" (weights of rare classes).
        short: Filling of clips shorter than a patch: "repeat" or "zero"; "drop" leaves them out. None for the default
            of the network.
        peak: Largest magnitude that each patch is scaled to, for EAT; None for no scaling, or that of `initial`.
        peak_of: Scaling to a peak of 1 per "clip" or per "patch" (juettner), of fixed patches without background noise;
            None to use `peak`.
        silence_decibels: Mean level in dB up to which a patch is left out as silent; None keeps all.
        background_noise: Whether the noise that comes with Speech Commands is mixed in, at 0 to 30 dB.
        validation_split: Share of the training recordings held out to validate on, if no clips are given for it; 0 for
            none; None for none of data in folds, and 0.15 of others.
        shared_validation_groups: Whether a group (recording, uploader) may be in both training and validation clips.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> DataSettings(sample_rate=16000, frames=98).crops
    'fixed'
    """

    sample_rate: int = 22050
    frames: int | None = None
    input_samples: int | None = None
    crops: str = "fixed"
    sampling: str = "once"
    short: str | None = None
    peak: float | None = None
    peak_of: str | None = None
    silence_decibels: float | None = None
    background_noise: bool = False
    validation_split: float | None = 0.15  # `data.splits.VALIDATION_SPLIT`; --help must not wait for NumPy.
    shared_validation_groups: bool = False

    def __post_init__(self):
        check_choice("crops", self.crops, ("fixed", "random"))
        check_choice("sampling", self.sampling, ("once", "class_balanced", "psla"))
        check_choice("short", self.short, (None, "repeat", "zero", "drop"))
        check_choice("peak_of", self.peak_of, (None, "clip", "patch"))
        if self.silence_decibels is not None and self.peak_of is None:
            raise ValueError("`silence_decibels` needs `peak_of`, which says what is scaled before the level is taken.")
        without = {"crops": "fixed", "background_noise": False, "peak": None}  # What patches by `peak_of` have.
        for name, value in without.items():
            if self.peak_of is not None and getattr(self, name) != value:
                raise ValueError(
                    f"`{name}` must be {value!r} with `peak_of`={self.peak_of!r}: leave it out, or set `peak_of` to "
                    f"None. Received: {name}={getattr(self, name)!r}"
                )
        sizes = {name: getattr(self, name) for name in ("sample_rate", "frames", "input_samples")}
        check_positive(**{name: value for name, value in sizes.items() if value is not None})


@dataclasses.dataclass(frozen=True)
class StageSettings:
    """Training in stages, for the networks of juettner whose front-end learns.

    Args:
        icebreaker: Whether to train with the IceBreaker: PiczakNet on spectrograms, then the front-end, then the
            front-end with more and more layers of PiczakNet (section 2.3.1). The epochs are those below, not `epochs`.
        first_epochs: Epochs of PiczakNet alone, phase 0.
        phase_epochs: Epochs of each of the phases 1 to 3.
        forcing_epochs: Epochs of spectrogram forcing, of MSTNet (section 2.3.2).
        forcing_form: Target of forcing: "centred", in [-1, 1] as in the paper, or "unit", in [0, 1] as released.

    Example:

    >>> StageSettings(icebreaker=True, first_epochs=80).forcing_epochs
    50
    """

    icebreaker: bool = False
    first_epochs: int = 300
    phase_epochs: int = 100
    forcing_epochs: int = 50
    forcing_form: str = "centred"

    def __post_init__(self):
        check_choice("forcing_form", self.forcing_form, ("centred", "unit"))
        check_integer(1, **{name: getattr(self, name) for name in ("first_epochs", "phase_epochs", "forcing_epochs")})


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """Measurements on the test clips, in addition to mAP, d', ROC AUC and accuracy of whole clips.

    Args:
        protocols: Shifts to measure, such as time-1 (frames), freq-3 (mel bands) or samples-40; none for no shift test.
        max_shift_clips: Largest number of test clips that are shifted.
        shift_clips: CSV file with the test clips to shift, such as shift_clips.csv of another report; None draws them
            by the rules of fonseca2021.
        train_scores: Whether to measure mAP and accuracy of the training clips as well, without augmentation.
        patch_scores: Whether to measure balanced accuracies of patches and of clips by vote, and confusion matrices;
            for clips with one label each.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> EvaluationSettings(protocols=("time-1", "freq-1")).max_shift_clips
    1000
    """

    protocols: tuple[str, ...] = ()
    max_shift_clips: int = 1000
    shift_clips: str | None = None
    train_scores: bool = False
    patch_scores: bool = False

    def __post_init__(self):
        _as_tuples(self, "protocols")
        check_positive(max_shift_clips=self.max_shift_clips)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of one row of an experiment.

    Args:
        model: `ModelSettings`
        data: `DataSettings`
        training: `training.TrainingSettings`
        stages: `StageSettings`
        evaluation: `EvaluationSettings`

    Example:

    >>> settings = Settings().changed(network="eat-s", epochs=3, sample_rate=16000)
    >>> settings.model.network, settings.training.epochs, settings.data.sample_rate
    ('eat-s', 3, 16000)
    >>> Settings().changed(pooling="max", epoch=3)
    Traceback (most recent call last):
    ValueError: `epoch` is no setting. Did you mean `epochs`?
    """

    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    stages: StageSettings = StageSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    def __post_init__(self):
        if self.model.initial is not None and self.data.frames is not None:
            raise ValueError(
                "`frames` must be None with `initial`, which has its own length: leave it out. "
                f"Received: frames={self.data.frames!r}"
            )
        if self.model.masked and self.data.short == "repeat":
            raise ValueError("`short` must be 'zero', 'drop' or None with `masked`, which masks the zeros.")
        if self.model.masked and isinstance(self.model.augment, str) and self.model.augment != "none":
            raise ValueError(
                "`augment` must be 'none' with `masked`: cyclic shifts and noise would move and fill the padding. "
                f"Received: augment={self.model.augment!r}"
            )

    @property
    def stage_epochs(self):
        """Dict of the epochs of the stages of the IceBreaker by their names; empty without it."""
        if not self.stages.icebreaker:
            return {}
        forcing = {"forcing": self.stages.forcing_epochs} if self.model.network == FORCED else {}
        phases = dict.fromkeys(("phase1", "phase2", "phase3"), self.stages.phase_epochs)
        return {**forcing, "phase0": self.stages.first_epochs, **phases}

    def changed(self, **settings):
        """Returns the same settings with other values of some, by flat keyword arguments.

        Raises:
            ValueError: If a name is no setting, or a value is out of its range.
        """
        parts, places = {}, part_of()
        for name, value in settings.items():
            if name not in places:
                refuse_renamed([name])
                nearest = difflib.get_close_matches(name, places, n=1, cutoff=0.0)[0]
                raise ValueError(f"`{name}` is no setting. Did you mean `{nearest}`?")
            parts.setdefault(places[name], {})[name] = value
        changed = {part: dataclasses.replace(getattr(self, part), **values) for part, values in parts.items()}
        return dataclasses.replace(self, **changed)

    def record(self):
        """Returns the settings as a dict of parts in values that JSON has; objects are described by their config."""
        record = {
            part.name: {
                field.name: _described(getattr(getattr(self, part.name), field.name))
                for field in dataclasses.fields(part.type)
            }
            for part in dataclasses.fields(self)
        }
        record["model"]["standardise"] = self.model.standardised  # By name: what "auto" is may change.
        return record


def refuse_building(changes):
    """Raises a `ValueError` if one of the flat settings is of what a trained model, `initial`, has of its own."""
    for name in changes:
        if part_of().get(name) == "model" and name not in _KEPT:
            raise ValueError(f"`{name}` has no effect with `initial`, a trained model that has its own: leave it out.")


@functools.cache
def part_of():
    """Returns a dict from the name of every setting to the part of `Settings` that has it."""
    return {field.name: part.name for part in dataclasses.fields(Settings) for field in dataclasses.fields(part.type)}


def _described(value):
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        return {key: _described(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_described(item) for item in value]
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": _described(value.get_config())}
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
