"""The tables of liu2022: their rows as settings, and what the paper has in them."""

import math


def rows_of_table_1(settings, methods=("hop", "average", "conv-average", "diffres"), rates=(75, 50, 25)):
    """The rows of Table 1: the spectrogram as it is, and what reduces it to some frame rates.

    Args:
        settings: `DiffResExperiment` for all else.
        methods: Some of the keys of `METHODS` but "none".
        rates: Frames per second.

    Returns:
        Dict of `DiffResExperiment` by name, as `PAPER_RESULTS` has them.

    Example:

    >>> from keras_audio_si.diffres_experiment import DiffResExperiment
    >>> from keras_audio_si.diffres_plans import PLANS
    >>> list(rows_of_table_1(DiffResExperiment(PLANS["esc50"]), ["hop", "diffres"], [25]))
    ['none, 100 FPS', 'hop, 25 FPS', 'diffres, 25 FPS']
    """
    full = 1 / settings.plan.hop_seconds
    rows = {f"none, {full:g} FPS": settings.changed(method="none", frames_per_second=full, masked=False)}
    for rate in rates:
        for method in methods:
            rows[f"{method}, {rate:g} FPS"] = settings.changed(method=method, frames_per_second=rate)
    return rows


def rows_of_table_2(settings, hops=(0.01, 0.006, 0.003, 0.001), rate=100):
    """The rows of Table 2: shorter hops, reduced to one frame rate by DiffRes.

    Args:
        settings: `DiffResExperiment` for all else.
        hops: Hops in seconds.
        rate: Frames per second; a hop that gives these has no DiffRes.

    Returns:
        Dict of `DiffResExperiment` by name.

    Example:

    >>> from keras_audio_si.diffres_experiment import DiffResExperiment
    >>> from keras_audio_si.diffres_plans import PLANS
    >>> rows = rows_of_table_2(DiffResExperiment(PLANS["esc50"]))
    >>> [(name, row.method, row.plan.frames) for name, row in rows.items()][::3]
    [('hop of 10 ms', 'none', 500), ('hop of 1 ms', 'diffres', 5000)]
    """
    rows = {}
    for hop in hops:
        plain = math.isclose(hop * rate, 1)
        method = {"method": "none", "masked": False} if plain else {"method": "diffres"}
        plan = settings.plan.with_hop(hop)
        rows[f"hop of {1000 * hop:g} ms"] = settings.changed(plan=plan, frames_per_second=rate, **method)
    return rows


def _table_1(baseline, **rates):
    methods = ("hop", "average", "conv-average", "diffres")
    rows = {"none, 100 FPS": baseline}
    for rate, values in rates.items():
        rows |= {f"{method}, {rate[1:]} FPS": value for method, value in zip(methods, values, strict=True)}
    return rows


def _table_2(*values):
    return {f"hop of {hop} ms": value for hop, value in zip((10, 6, 3, 1), values, strict=True)}


# What the paper has, mAP or accuracy in %: Tables 1 and 2, and the 15 frames per second of section 3.1.
PAPER_RESULTS = {
    "audioset": _table_1(43.7, _25=(38.6, 39.9, 40.1, 41.7), _50=(41.8, 42.4, 42.7, 43.6), _75=(42.7, 43.6, 43.5, 44.2))
    | _table_2(43.7, 44.1, 43.8, 43.7),
    "fsd50k": _table_1(55.6, _25=(48.9, 51.4, 49.2, 56.9), _50=(53.3, 54.5, 52.2, 57.2), _75=(54.8, 55.3, 54.4, 57.1))
    | {"diffres, 15 FPS": 55.6},
    "esc50": _table_1(85.2, _25=(74.6, 75.6, 72.4, 82.9), _50=(82.4, 83.2, 77.3, 85.5), _75=(84.9, 85.2, 81.8, 86.8))
    | _table_2(85.2, 87.2, 88.0, 88.4),
    "speech_commands": _table_1(
        97.2, _25=(93.5, 94.9, 95.8, 95.0), _50=(96.1, 96.0, 96.0, 96.7), _75=(96.8, 96.9, 97.0, 97.2)
    )
    | _table_2(97.2, 97.6, 97.9, 97.8),
    "nsynth": _table_1(79.9, _25=(79.7, 78.3, 78.0, 80.5), _50=(79.9, 79.5, 79.4, 81.0), _75=(79.8, 79.6, 79.7, 80.8))
    | _table_2(79.9, 81.3, 81.8, 80.6),
}

# Table 3: ROC AUC (AudioSet) or accuracy in %.
PAPER_FRONT_ENDS = {
    name: dict(zip(("audioset", "speech_commands", "nsynth"), values, strict=True))
    for name, values in {
        "mel": (96.8, 93.6, 70.7),
        "td-fbank": (96.5, 89.5, 66.3),
        "sincnet": (96.1, 91.4, 67.4),
        "leaf": (96.8, 93.6, 70.2),
        "mel, diffres": (97.0, 95.4, 78.5),
        "mel, diffres, best": (97.5, 97.9, 81.8),
    }.items()
}
