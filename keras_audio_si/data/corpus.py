"""Statistics of a corpus, its duplicates, and what lies in several splits, from what is known of each clip."""

import collections

import numpy as np

SILENT_DECIBELS = -60.0  # Of the largest sample, to full scale.
CLIPPED_SHARE = 1e-3  # Of the samples of a channel that are at full scale.
_LENGTHS = {"shortest": np.min, "median": np.median, "longest": np.max}


def describe(statistics):
    """The statistics that `prepare` returns, as text for people.

    Example:

    >>> counts = dict.fromkeys(("unlabelled", "silent", "clipped", "cut_off", "failed", "duplicates", "leaks"), 0)
    >>> seconds = {"shortest": 1.0, "median": 4.0, "longest": 4.0}
    >>> print(describe({"clips": 2, "hours": 0.0014, "seconds": seconds, "classes": {"dog": {"clips": 2}},
    ...     "sample_rates": {"44100": 2}, "channels": {"1": 2}, **counts, "silent": 1}))
    2 clips of 1 class, 0.00 hours; 1 to 4 s, median 4 s
    Sample rates: 44100 Hz (2). Channels: 1 (2)
    1 silent: no sample above -60 dB of full scale
    """
    classes = f"{len(statistics['classes'])} class{'es' * (len(statistics['classes']) != 1)}"
    lengths = "{shortest:.3g} to {longest:.3g} s, median {median:.3g} s".format(**statistics["seconds"])
    rates = ", ".join(f"{rate} Hz ({count})" for rate, count in statistics["sample_rates"].items())
    channels = ", ".join(f"{number} ({count})" for number, count in statistics["channels"].items())
    remarks = {
        "failed": "cannot be read and are left out (failures.csv)",
        "unlabelled": "without a class",
        "silent": f"silent: no sample above {SILENT_DECIBELS:.0f} dB of full scale",
        "clipped": f"clipped: more than {CLIPPED_SHARE:.1%} of the samples of a channel at full scale",
        "cut_off": "end before their header says",
        "duplicates": "have the same samples as an earlier one (duplicates.csv)",
        "leaks": "groups or duplicates lie in several splits or folds (leaks.csv)",
    }
    return "\n".join(
        [
            f"{statistics['clips']} clips of {classes}, {statistics['hours']:.2f} hours; {lengths}",
            f"Sample rates: {rates}. Channels: {channels}",
            *(f"{statistics[name]} {text}" for name, text in remarks.items() if statistics[name]),
        ]
    )


def duplicates_of(facts):
    """Clips whose samples are those of an earlier one: a list of the ids of both."""
    first, rows = {}, []
    for clip in facts:
        earlier = first.setdefault(clip["digest"], clip["clip_id"])
        if earlier != clip["clip_id"]:
            rows.append((clip["clip_id"], earlier))
    return rows


def leaks_of(clips, facts):
    """Groups, and clips of equal samples, that lie in several splits or folds: a list of (kind, name, clips)."""
    members = {}
    for clip, fact in zip(clips, facts, strict=True):
        division = clip.split or (f"fold {clip.fold}" if clip.fold is not None else "")
        for key in (("group", clip.group), ("duplicate", fact["digest"])):
            if key[1]:
                members.setdefault(key, {}).setdefault(division, []).append(clip.clip_id)
    return [
        (kind, name, "; ".join(f"{where}: {', '.join(ids)}" for where, ids in places.items()))
        for (kind, name), places in members.items()
        if len(places) > 1
    ]


def statistics_of(clips, facts, class_names):
    """Counts, hours and levels of clips, a dict that JSON can hold, from the facts of each that `prepare` keeps."""
    seconds = np.array([fact["seconds"] for fact in facts])
    numbers, durations = collections.Counter(), collections.Counter()
    for clip, length in zip(clips, seconds.tolist(), strict=True):
        numbers.update(clip.labels)
        durations.update(dict.fromkeys(clip.labels, length))
    return {
        "clips": len(clips),
        "hours": round(float(seconds.sum()) / 3600, 4),
        "seconds": {name: round(float(value(seconds)), 3) for name, value in _LENGTHS.items()},
        "classes": {name: {"clips": numbers[name], "hours": round(durations[name] / 3600, 4)} for name in class_names},
        "unlabelled": sum(not clip.labels for clip in clips),
        "sample_rates": _counts(fact["source_sample_rate"] for fact in facts),
        "channels": _counts(fact["source_channels"] for fact in facts),
        "silent": sum(fact["peak_decibels"] < SILENT_DECIBELS for fact in facts),
        "clipped": sum(fact["clipped"] > CLIPPED_SHARE for fact in facts),
        "cut_off": sum(fact["missing_seconds"] > 0 for fact in facts),
    }


def _counts(values):
    return {str(value): count for value, count in sorted(collections.Counter(values).items())}
