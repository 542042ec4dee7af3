"""Tables 1 to 3 and Fig. 8 of liu2022: DiffRes and its baselines on five data sets.

Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022. The paper
does not say how it chose the epoch; here validation clips choose it.
"""

import math

from keras_audio_si.experiments.recipe import Recipe
from keras_audio_si.experiments.settings import Settings

METHODS = ("hop", "average", "conv-average", "diffres")
FRONT_ENDS = ("mel", "td-fbank", "sincnet", "leaf")

# Section 3 and Table 5; settings that they do not state are those of PSLA. The paper does not state the FFT length
# either: with 512 points the lowest of 128 bands would be empty.
SETTINGS = Settings().changed(
    network="efficientnet-b2",
    weights="imagenet",
    sample_rate=16000,
    frame_seconds=0.025,
    hop_seconds=0.01,
    fft_length=1024,
    num_mels=128,
    short="zero",
    crops="random",
    spec_augment=True,
    resolution="diffres",
    frames_per_second=25,
    schedule="warm-up-and-decay",
    warm_up_steps=1000,
    optimizer="adam-l2",
    weight_decay=5e-7,
    beta_1=0.95,
    mixup_alpha=10.0,
    mixup_probability=0.5,
    early_stopping_patience=None,
)


def _data_set(frames, learning_rate, epochs, batch_size, start_epoch, factor, every_epochs, monitor, **others):
    """Settings of a data set: a row of Table 5 (frames) and of Table 4, whose start epochs are counted from 1."""
    return SETTINGS.changed(
        frames=frames,
        learning_rate=learning_rate,
        epochs=epochs,
        batch_size=batch_size,
        decay_start_epoch=start_epoch - 1,
        decay_factor=factor,
        decay_every_epochs=every_epochs,
        monitor=monitor,
        **others,
    )


DATA_SETS = {
    "audioset": _data_set(1000, 1e-4, 30, 22, 11, 0.5, 5, "val_mAP", sampling="psla"),
    "fsd50k": _data_set(3000, 5e-4, 40, 15, 21, 0.5, 5, "val_mAP", sampling="psla", shared_validation_groups=True),
    "esc50": _data_set(500, 2.5e-4, 80, 32, 41, 0.95, 1, "val_accuracy"),
    "speech_commands": _data_set(98, 2.5e-4, 60, 128, 25, 0.9, 1, "val_accuracy"),
    "nsynth": _data_set(400, 1e-4, 30, 48, 11, 0.85, 1, "val_accuracy"),
}

# Table 1, mAP or accuracy in %: 100 frames per second, then METHODS at 25, 50 and 75.
_TABLE_1 = {
    "audioset": (43.7, {25: (38.6, 39.9, 40.1, 41.7), 50: (41.8, 42.4, 42.7, 43.6), 75: (42.7, 43.6, 43.5, 44.2)}),
    "fsd50k": (55.6, {25: (48.9, 51.4, 49.2, 56.9), 50: (53.3, 54.5, 52.2, 57.2), 75: (54.8, 55.3, 54.4, 57.1)}),
    "esc50": (85.2, {25: (74.6, 75.6, 72.4, 82.9), 50: (82.4, 83.2, 77.3, 85.5), 75: (84.9, 85.2, 81.8, 86.8)}),
    "speech_commands": (
        97.2,
        {25: (93.5, 94.9, 95.8, 95.0), 50: (96.1, 96.0, 96.0, 96.7), 75: (96.8, 96.9, 97.0, 97.2)},
    ),
    "nsynth": (79.9, {25: (79.7, 78.3, 78.0, 80.5), 50: (79.9, 79.5, 79.4, 81.0), 75: (79.8, 79.6, 79.7, 80.8)}),
}
# Table 2, in %: hops of 10, 6, 3 and 1 ms at 100 frames per second.
_TABLE_2 = {
    "audioset": (43.7, 44.1, 43.8, 43.7),
    "esc50": (85.2, 87.2, 88.0, 88.4),
    "speech_commands": (97.2, 97.6, 97.9, 97.8),
    "nsynth": (79.9, 81.3, 81.8, 80.6),
}
# Table 3: ROC AUC (AudioSet) or accuracy in %. Its conditions are those of Zeghidour et al., LEAF, 2021.
_TABLE_3 = {
    "audioset": dict(zip((*FRONT_ENDS, "mel, diffres", "best"), (96.8, 96.5, 96.1, 96.8, 97.0, 97.5), strict=True)),
    "speech_commands": dict(
        zip((*FRONT_ENDS, "mel, diffres", "best"), (93.6, 89.5, 91.4, 93.6, 95.4, 97.9), strict=True)
    ),
    "nsynth": dict(zip((*FRONT_ENDS, "mel, diffres", "best"), (70.7, 66.3, 67.4, 70.2, 78.5, 81.8), strict=True)),
}


def with_hop(data_set, hop_seconds):
    """Returns the changes to the settings of a data set for another hop, with patches of the same duration.

    Example:

    >>> with_hop("audioset", 0.003)
    {'hop_seconds': 0.003, 'frames': 3333}
    """
    settings = DATA_SETS[data_set]
    frames = settings.data.frames * settings.model.hop_seconds / hop_seconds
    return {"hop_seconds": hop_seconds, "frames": round(frames)}


def table_1(data_set):
    """Returns the rows of Table 1: the spectrogram as it is, and what reduces it to some frame rates."""
    full, rates = _TABLE_1[data_set]
    rows = {"none, 100 FPS": ({"resolution": "none", "frames_per_second": None}, full / 100)}
    for rate in sorted(rates, reverse=True):
        for method, value in zip(METHODS, rates[rate], strict=True):
            rows[f"{method}, {rate} FPS"] = ({"resolution": method, "frames_per_second": rate}, value / 100)
    if data_set == "fsd50k":  # Section 3.1.
        rows["diffres, 15 FPS"] = ({"resolution": "diffres", "frames_per_second": 15}, 0.556)
    return rows


def table_2(data_set):
    """Returns the rows of Table 2: shorter hops, reduced to 100 frames per second by DiffRes."""
    rows = {}
    for hop, value in zip((0.01, 0.006, 0.003, 0.001), _TABLE_2[data_set], strict=True):
        rate = {"frames_per_second": 100}
        if math.isclose(hop, 0.01):
            rate = {"resolution": "none", "frames_per_second": None}
        rows[f"hop of {1000 * hop:g} ms"] = (with_hop(data_set, hop) | rate, value / 100)
    return rows


def table_3(data_set):
    """Returns the rows of Table 3: front-ends, followed by DiffRes or not.

    The paper does not state the hop of the rows with DiffRes. At 10 ms there would be nothing to reduce, so they use
    the best hop of Table 2, 6 ms for AudioSet and 3 ms otherwise. "best" has the conditions of Tables 1 and 2. DiffRes
    after a learned front-end is not in the paper.
    """
    conditions = {"network": "efficientnet-b0", "weights": None}
    if data_set == "audioset":
        conditions |= {"num_mels": 64}
    else:
        conditions |= {"num_mels": 40, "spec_augment": False, "mixup_alpha": None}
    plain = {"resolution": "none", "frames_per_second": None}
    merged = with_hop(data_set, 0.006 if data_set == "audioset" else 0.003) | {"frames_per_second": 100}
    paper, rows = _TABLE_3[data_set], {}
    for suffix, resolution in (("", plain), (", diffres", merged)):
        for front_end in FRONT_ENDS:
            changes = {"front_end": front_end, **({} if front_end == "mel" else {"fft_length": None})}
            value = paper.get(front_end + suffix)
            rows[front_end + suffix] = (conditions | changes | resolution, None if value is None else value / 100)
    rows["best"] = (merged, paper["best"] / 100)
    return rows


def ablation(data_set):
    """Returns the rows of Fig. 8, without numbers in the paper, and of appendix A.2: short hops, wider convolutions."""
    short = with_hop(data_set, 0.001) | {"frames_per_second": 100}
    rows = {
        "proposed": {},
        "without guide loss": {"guide_weight": 0.0},
        "without encoding": {"resolution_encoding": False},
        "without maximum": {"aggregations": ("mean",)},
        "without Algorithm 1": {"even": False},
        "hop of 1 ms": short,
        "hop of 1 ms, dilated": short | {"dilations": (1, 2, 4, 8, 16)},
    }
    return {row: (changes, None) for row, changes in rows.items()}


_TABLES = {"1": "frame rates (Table 1)", "2": "hops (2)", "3": "front-ends (3)", "ablation": "its parts (ablation)"}


def _recipe(data_set):
    tables = {"1": table_1(data_set)}
    tables |= {"2": table_2(data_set)} if data_set in _TABLE_2 else {}
    tables |= {"3": table_3(data_set)} if data_set in _TABLE_3 else {}
    tables |= {"ablation": ablation(data_set)}
    settings = DATA_SETS[data_set]
    return Recipe(
        f"liu2022-{data_set.replace('_', '-')}",
        f"DiffRes on {data_set}: {', '.join(_TABLES[table] for table in tables)}.",
        settings,
        tables,
        layout=data_set,
        quantity=settings.training.monitor.removeprefix("val_"),
        quantities={"3": "ROC AUC"} if data_set == "audioset" else {},
    )


RECIPES = [_recipe(data_set) for data_set in DATA_SETS]
