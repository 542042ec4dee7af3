"""Settings by network and clips: "quick" for two cores, "thorough" for hours or a GPU, "paper" as published."""

import math
from typing import NamedTuple

from keras_audio_si.checks import check_choice
from keras_audio_si.data.statistics import ClipStatistics
from keras_audio_si.experiments.recipes import RECIPES
from keras_audio_si.experiments.settings import Settings, StageSettings, refuse_building
from keras_audio_si.models.deep_fourier import piczak_spectrogram
from keras_audio_si.models.eat import with_input_length
from keras_audio_si.models.loading import load_model
from keras_audio_si.models.metadata import sample_rate_of
from keras_audio_si.models.networks import NETWORKS, network_in
from keras_audio_si.models.pretrained import model_file

PRESETS = ("quick", "thorough", "paper")
AN_HOUR = ClipStatistics(num_clips=720, median_seconds=5.0, single_label=True)

_PAPER = {
    "vgg41": "fonseca2021",
    "vgg42": "fonseca2021",
    "eat-s": "gazneli2022-esc50",
    "eat-m": "gazneli2022-esc50",
    "efficientnet-b0": "liu2022-esc50",
    "efficientnet-b1": "liu2022-esc50",
    "efficientnet-b2": "liu2022-esc50",
    "piczak": "juettner",
    "heurinet": "juettner",
    "mstnet": "juettner",
    "melconvnet": "juettner",
}
# The last epoch of one cycle has its best weights, whatever a few validation clips say of single epochs.
_SHARED = {
    "schedule": "one-cycle",
    "learning_rate": 1e-3,
    "early_stopping_patience": None,
    "restore_best_weights": False,
    "optimizer": "adam",
}
_FAMILIES = {
    "vgg": {"batch_size": 16},
    "eat": {
        "batch_size": 16,
        "crops": "random",
        "peak": 0.95,
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "beta_2": 0.99,
        "epsilon": 1e-4,
        "gradient_clip_norm": 1.0,
    },
    "efficientnet": {"batch_size": 16, "crops": "random", "short": "repeat"},
    "juettner": {"batch_size": 64, "dense_units": 500, "peak_of": "clip", "short": "repeat", "gradient_clip_norm": 3.0},
}
# Shortest and longest patch, in seconds; juettner's has a fixed length.
_PATCH_SECONDS = {"vgg": (1.0, 5.0), "eat": (1.0, 5.2), "efficientnet": (0.0, 10.0)}
_FEWEST_TOKENS = 32  # Below which EAT cannot be built.
# Seconds of audio that all steps take together; docs/training.md has the minutes.
_AUDIO_SECONDS = {
    "quick": {"vgg": 360_000, "eat": 80_000, "efficientnet": 128_000, "juettner": 120_000},
    "thorough": {"vgg": 1_200_000, "eat": 800_000, "efficientnet": 1_280_000, "juettner": 1_200_000},
}
_MOST_STEPS = {"quick": 7500, "thorough": 75_000}  # Of short patches: more of them gain nothing, and take longer.
_MOST_EPOCHS = 500
# Mixing and masking make a network learn more slowly: in few steps it underfits, and in few epochs it does not see its
# clips often enough to learn them by heart.
_VARIED_STEPS, _VARIED_EPOCHS = {"vgg": 1000, "eat": 1000, "efficientnet": 3000, "juettner": 3000}, 40
_MASKED = {"mixup_alpha": 0.4, "spec_augment": True, "masked_bands": 0.2, "masked_frames": 0.2}
_VARIED = {
    "vgg": _MASKED,
    "eat": {
        "mixings": ("mixup", "timemix", "freqmix", "phasemix"),
        "mixing_from_epoch": 12,
        "augment": "eat-light",
    },
    "efficientnet": _MASKED | {"augment": "eat-light"},
    "juettner": {},
}
_MANY_STEPS = 5000  # From here on the moving statistics keep up at the momentum as published.


def preset(name, network=None, clips=AN_HOUR, **changes):
    """Returns the settings of a preset for a network and the clips that it is trained on.

    Args:
        name: "quick": about 15 minutes on two cores, EAT-S about 25. "thorough": some hours on two cores, or a GPU.
            Both choose by the clips the length of the patches, the epochs, the loss and whether clips are augmented,
            mixed and masked; docs/training.md has the rules and the trials. "paper": as published, whatever the clips.
        network: Name of a network; None for that of `initial`, or else "vgg41".
        clips: `data.ClipStatistics` of the training clips.
        **changes: Flat settings that count in place of those of the preset. With `icebreaker` the phases share the
            epochs of the preset, or `epochs`, as in the paper, unless theirs are given. With `initial` the sampling
            rate and the length of the patches are those of the trained model.

    Returns:
        `Settings`

    Raises:
        ValueError: If the preset, the network or a setting is unknown, or a setting does not go with `initial`.

    Example:

    >>> preset("paper", "eat-s").training.epochs
    3500
    >>> from keras_audio_si.data import ClipStatistics
    >>> clips = ClipStatistics(num_clips=200, median_seconds=5.0, single_label=True)
    >>> for name in ("quick", "thorough"):
    ...     settings = preset(name, "vgg41", clips)
    ...     print(settings.training.epochs, settings.training.mixup_alpha)
    348 0.4
    500 0.4
    """
    check_choice("preset", name, PRESETS)
    trained = _trained(network, changes) if changes.get("initial") else None
    own = {} if trained is None else trained.settings
    network = network or (trained and trained.network) or "vgg41"
    check_choice("network", network, NETWORKS)
    if name == "paper":
        settings = RECIPES[_PAPER[network]].settings.changed(network=network, protocols=(), **own)
        phases = _phases(changes["epochs"]) if changes.get("icebreaker") and "epochs" in changes else {}
        return settings.changed(resolution="none", frames_per_second=None).changed(**{**phases, **changes})
    family = _family(network)
    chosen = _SHARED | _FAMILIES[family] | _labels(family, clips, changes)
    if family == "vgg":
        chosen |= _vgg(name, changes)
    if changes.get("masked"):
        chosen["short"] = "zero"  # What is masked.
    if not isinstance(changes.get("front_end", "auto"), str):
        chosen["short"] = None  # The layer has its own.
    settings = Settings().changed(network=network, **chosen)
    patch = own or _patch(family, settings.changed(**changes), clips)
    settings = settings.changed(**{**patch, **changes})
    seconds = _seconds(family, settings) if trained is None else trained.seconds
    per_epoch = math.ceil(clips.num_clips * _patches(settings, clips, seconds) / settings.training.batch_size)
    planned = min(_AUDIO_SECONDS[name][family] / (seconds * settings.training.batch_size), _MOST_STEPS[name])
    epochs = changes.get("epochs", min(max(round(planned / per_epoch), 2), _MOST_EPOCHS))
    chosen = {"epochs": epochs, **(_phases(epochs) if changes.get("icebreaker") else {})}
    steps = epochs * per_epoch
    if steps >= _VARIED_STEPS[family] and epochs >= _VARIED_EPOCHS:
        chosen |= _VARIED[family]
        if changes.get("masked"):  # Augmentations move or fill the padding.
            chosen["augment"] = "none"
        if changes.get("mixings"):  # In place of mixup by the batch.
            chosen["mixup_alpha"] = None
    if family in ("vgg", "efficientnet") and steps < _MANY_STEPS:
        chosen["batch_norm_momentum"] = 0.9
    settings = settings.changed(**{**chosen, **changes})
    if settings.training.needs_validation or settings.stages.icebreaker or "monitor" in changes:
        return settings
    # Nothing is chosen by validation clips: of data in folds, whose test clips are given, all others are trained on.
    return settings.changed(validation_split=changes.get("validation_split"))


class _Trained(NamedTuple):
    """What a trained model decides: its network, if that is known, the length of its patches, and settings."""

    network: str | None
    seconds: float
    settings: dict


def _trained(network, changes):
    refuse_building(changes)
    model = load_model(model_file(changes["initial"]))
    known = network_in(model)
    if network is not None and known is not None and _family(network) != _family(known):
        raise ValueError(
            f"`network` must be that of `initial`, {known!r}, or be left out. Received: network={network!r}"
        )
    rate = sample_rate_of(model)
    given = changes.get("sample_rate", rate)
    if rate is not None and given != rate:
        raise ValueError(
            f"`sample_rate` must be that of `initial`, {rate} Hz, or be left out. Received: sample_rate={given}"
        )
    if changes.get("input_samples"):
        model = with_input_length(model, changes["input_samples"])
    settings = {"frames": None, "peak": None, "input_samples": None, "short": None}
    if given is not None:
        settings["sample_rate"] = given
    if len(model.input_shape) != 2 or model.input_shape[1] is None:
        raise ValueError(
            f"`initial` must take waveforms of a fixed length. Received: {changes['initial']!r}, which takes inputs of "
            f"shape {model.input_shape}; an open length is fixed by `input_samples`."
        )
    return _Trained(known, model.input_shape[1] / (given or Settings().data.sample_rate), settings)


def _family(network):
    if network in ("piczak", "heurinet", "mstnet", "melconvnet"):
        return "juettner"
    return network.partition("-")[0].rstrip("0123456789")


def _labels(family, clips, changes):
    """One label per clip: scores that add up to 1, also where examples are mixed; several: one score for each class."""
    if family == "eat":
        return _eat(clips, changes)
    if family != "vgg" or not clips.single_label or changes.get("head") == "attention":
        return {}
    return {"loss": "softmax-or-bce" if changes.get("mixings") else "softmax"}


def _eat(clips, changes):
    """The published losses, with what they take."""
    loss = changes.get("loss", "softmax-or-bce" if clips.single_label else "bce")
    chosen = {"loss": loss}
    if "softmax" in loss:
        chosen["label_smoothing"] = 0.1
    elif loss == "bce":
        chosen["loss_reduction"] = "batch-mean"
    return chosen


def _vgg(name, changes):
    """Of the published spectrogram half the frames, unless they are reduced later, and two thirds of the bands."""
    chosen = {"width": 0.5 if name == "thorough" else 0.25}
    if not changes.get("masked"):  # As in `preset`.
        chosen["augment"] = "roll-level-speed"
        if changes.get("augment", chosen["augment"]) == chosen["augment"]:
            # Of two clips 40 dB apart only one is heard, whatever their weights. The others vary levels by 8 dB.
            chosen |= {"mixup_gain_aware": True, "mixup_probability": 0.5}
    chosen["short"] = "zero"  # Other recordings of a class have silence around it.
    front_end = changes.get("front_end", "auto")
    if isinstance(front_end, str) and front_end != "piczak":  # These have their own.
        chosen["num_mels"] = 64
        if "frames_per_second" not in changes:
            chosen |= {"frame_seconds": 0.04, "hop_seconds": 0.02}
    return chosen


def _patch(family, settings, clips):
    """A patch as long as the clips, within the limits of the family."""
    if family == "juettner":
        return {}
    shortest, longest = _PATCH_SECONDS[family]
    seconds = min(max(clips.median_seconds, shortest), longest)
    if family == "eat":
        samples = int(seconds * settings.data.sample_rate)
        published = (4, 4, 4, 4) if samples >= _FEWEST_TOKENS * 4 * 4**4 else (4, 4, 4)  # As for Speech Commands.
        factors = settings.model.factors or published
        token = 4 * math.prod(factors)
        return {"factors": factors, "input_samples": token * max(_FEWEST_TOKENS, samples // token)}
    if front_end := _own_front_end(settings):
        return {"frames": max(8, front_end.num_frames(int(seconds * front_end.sample_rate)))}
    window, hop = settings.model.frame_seconds or 0.03, settings.model.hop_seconds or 0.01
    return {"frames": max(8, 1 + int((seconds - window) / hop))}


def _phases(epochs):
    """Settings of the IceBreaker for so many epochs of its four phases together, in the proportions of the default."""
    default = StageSettings()
    share = epochs / (default.first_epochs + 3 * default.phase_epochs)
    names = ("first_epochs", "phase_epochs", "forcing_epochs")
    return {name: max(1, round(share * getattr(default, name))) for name in names}


def _seconds(family, settings):
    """Length of a patch."""
    if family == "juettner":
        return 20992 / 22050
    if settings.data.input_samples:
        return settings.data.input_samples / settings.data.sample_rate
    front_end = _own_front_end(settings)
    hop = front_end.hop_length / front_end.sample_rate if front_end else settings.model.hop_seconds or 0.01
    return (settings.data.frames or 101) * hop


def _own_front_end(settings):
    """The front-end if its frames are its own, not those of the settings: Piczak's, or one given as a layer."""
    front_end = settings.model.front_end
    if front_end == "piczak":
        return piczak_spectrogram(settings.data.sample_rate)
    return None if isinstance(front_end, str) else front_end


def _patches(settings, clips, seconds):
    """Training examples per clip."""
    if settings.data.crops == "random":
        return 1
    return 1 + max(0, int((clips.median_seconds - seconds) / (seconds / 2)))
