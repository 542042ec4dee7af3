"""Settings by network: "quick" for an hour of clips on two cores, "paper" as published."""

from keras_audio_si.checks import check_choice
from keras_audio_si.experiments.recipes import RECIPES
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.models.networks import NETWORKS

PRESETS = ("quick", "paper")

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


def preset(name, network):
    """Returns the settings of a preset for a network.

    Args:
        name: "quick": settings for about 15 minutes on two cores and an hour of clips (docs/training.md has the table
            that they come from). "paper": those of the paper that the network is from.
        network: Name of a network.

    Returns:
        `Settings`

    Raises:
        ValueError: If the preset is unknown.

    Example:

    >>> preset("paper", "eat-s").training.epochs
    3500
    >>> preset("quick", "vgg41").training.schedule
    'one-cycle'
    """
    check_choice("preset", name, PRESETS)
    check_choice("network", network, NETWORKS)
    if name == "paper":
        settings = RECIPES[_PAPER[network]].settings.changed(network=network, protocols=())
        return settings.changed(resolution="none", frames_per_second=None)
    return _quick(network)


# Steps that fit into about 12 minutes on two cores, with the batch size beside them.
_QUICK = {
    "vgg": {"width": 0.5, "batch_size": 32, "batch_norm_momentum": 0.9},
    "eat": {"batch_size": 16, "crops": "random", "optimizer": "adamw", "peak": 0.95},
    "efficientnet": {"batch_size": 16, "batch_norm_momentum": 0.9},
    "juettner": {"batch_size": 64, "dense_units": 500, "peak_of": "clip", "short": "repeat", "gradient_clip_norm": 3.0},
}
_STEPS = {"vgg": 2000, "eat": 1000, "efficientnet": 800, "juettner": 2000}


def _quick(network):
    family = _family(network)
    shared = {"schedule": "one-cycle", "learning_rate": 1e-3, "early_stopping_patience": None, "optimizer": "adam"}
    return Settings().changed(network=network, **{**shared, **_QUICK[family]})


def quick_epochs(network, steps_per_epoch):
    """Returns the number of epochs of the quick preset for a network, by the steps of an epoch.

    Example:

    >>> quick_epochs("vgg41", 50), quick_epochs("vgg41", 5000)
    (40, 2)
    """
    return int(min(max(round(_STEPS[_family(network)] / steps_per_epoch), 2), 60))


def _family(network):
    if network in ("piczak", "heurinet", "mstnet", "melconvnet"):
        return "juettner"
    return network.partition("-")[0].rstrip("0123456789")
