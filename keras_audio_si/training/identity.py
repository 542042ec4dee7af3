"""Identity of a run: settings, data and model, compared before a run is continued."""

import dataclasses
import hashlib
import json

import keras
import numpy as np

_CLIPS_HEARD = 64  # reading all clips of a large corpus would take minutes
_LISTED = 5

_ANY = object()


def _start_of_taps(config):
    return "box" if config["filter"] == "trainable" else _ANY  # What is not trained is not started.


# Arguments that layers did not have at first, with the values that stand for that, or functions of the config that give
# them: a run of an earlier version, whose record knows nothing of them, is the same as one with these.
_ADDED = {
    "TimeMix": {"probability": 1.0},
    "FreqMix": {"probability": 1.0},
    "PhaseMix": {"probability": 1.0},
    "RandomFragmentGain": {"max_start_seconds": None},
    "LogMelSpectrogram": {"reference": None},
    "RandomGain": {"unit": "factor"},
    "MixUp": {"labels_by": "amplitude"},
    "RandomOrder": {"per": "batch"},
    "AntiAliasPool": {"initializer": _start_of_taps},
    # `non_negative` changes how fast a result comes, not which.
    "AdaptivePolyphasePool": {"initializer": _start_of_taps, "non_negative": _ANY},
}


def run_identity(model, train_data, validation, settings, augmentation=None, teacher=None, target=None):
    """Describes a training by all properties that its result depends on.

    Args:
        model: Keras model.
        train_data: `data.pipeline.PatchDataset` of the training clips.
        validation: `data.pipeline.PatchDataset` of the validation clips, or None.
        settings: Dataclass of the settings.
        augmentation: Keras layer, or None.
        teacher: Keras model, or None.
        target: Keras layer, or None.

    Returns:
        Dict of values that JSON has. Of the audio it takes the length of all clips and the samples of up to 64, of
        the teacher its weights as well.
    """
    return {
        **dataclasses.asdict(settings),
        "backend": keras.backend.backend(),
        "model": list(_layers(model)),
        "augmentation": None if augmentation is None else _described_layer(augmentation),
        "teacher": None if teacher is None else [*_layers(teacher), _weights_digest(teacher)],
        "target": None if target is None else _described_layer(target),
        **_described("training", train_data),
        **({} if validation is None else _described("validation", validation)),
    }


def refuse_differences(before, now):
    """Raises a `ValueError` that names what differs between two dicts of a run's properties.

    Args:
        before: Dict as it was recorded.
        now: Dict as it is now.

    Example:

    >>> refuse_differences({"epochs": 3, "seed": 0}, {"epochs": 5, "seed": 0})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: The run was begun with other settings or data: epochs (3 then, 5 now). Continue it with ...
    """
    before, now = (json.loads(json.dumps(properties)) for properties in (before, now))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        listed = ", ".join(f"{name} ({_difference(before.get(name), now.get(name))})" for name in names[:_LISTED])
        if len(names) > _LISTED:
            listed += f" and {len(names) - _LISTED} more"
        raise ValueError(
            f"The run was begun with other settings or data: {listed}. Continue it with those it was begun with, "
            "choose another folder, or replace it with overwrite=True (--overwrite)."
        )


def _difference(before, now):
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            if one != other:
                return f"number {number + 1}: {_difference(one, other)}"
    return f"{_shown(before)} then, {_shown(now)} now"


def _shown(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def audio_digest(cache, order):
    """Checksum of the audio of a `ClipCache`: the lengths of all clips and the samples of up to 64, in this order."""
    digest = hashlib.sha256(np.ascontiguousarray(np.asarray(cache.lengths)[order]))
    for place in np.unique(np.linspace(0, len(order) - 1, _CLIPS_HEARD).astype(int)):
        digest.update(np.ascontiguousarray(cache.waveform(order[place])))
    return digest.hexdigest()[:16]


def _described(split, patches):
    return {
        f"{split} clips": _digest(repr(patches.clip_ids).encode()),
        f"{split} classes": list(patches.class_names),
        f"{split} labels": _digest(np.ascontiguousarray(patches.labels)),
        f"{split} audio": audio_digest(patches.cache, np.arange(patches.num_clips)),
        f"{split} patches": [patches.num_patches, patches.patch_samples, patches.hop_samples, patches.sample_rate],
        **{f"{split} {name}": value for name, value in patches.options.items()},
    }


def _layers(model):
    """Every layer's class and settings, without the names that Keras numbers through."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield _described_layer(layer)


def _described_layer(layer):
    try:
        described = {"class_name": type(layer).__name__, "config": layer.get_config()}
        config = json.dumps(_nameless(described)["config"], sort_keys=True, default=str)
    except NotImplementedError:
        config = ""
    return f"{type(layer).__name__} {_digest(config.encode())}"


def _weights_digest(model):
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def _nameless(config):
    if isinstance(config, dict):
        added = _ADDED.get(config.get("class_name"), {})
        if added:
            own = config["config"]
            then = {name: value(own) if callable(value) else value for name, value in added.items()}
            kept = {name: v for name, v in own.items() if name not in then or then[name] not in (v, _ANY)}
            config = {**config, "config": kept}
        return {key: _nameless(value) for key, value in config.items() if key != "name"}
    return [_nameless(value) for value in config] if isinstance(config, (list, tuple)) else config


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:16]
