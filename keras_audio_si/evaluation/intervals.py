"""Bootstrap over recordings: intervals of average precision and accuracy, and paired differences of two results.

A result is the scores of one run, or those of several runs of the same settings: folds, which test different clips,
and seeds, which test the same ones. Metrics are taken within each run and averaged over the runs. A resample draws
recordings with replacement, as many as there are, and takes all clips of each; a clip of unknown group is a recording
of its own. It draws separately among the clips that the same runs have scored, so that every fold keeps its number of
recordings. All runs and all results see the same resamples, which makes differences paired.

Average precision is larger in resamples than in samples: a positive clip that is drawn twice counts twice where it is
ranked, which raises the precision there. With few positive clips the interval of the resamples may lie above the value.
Intervals and p-values are therefore of resamples that are moved by this bias, see `centred`.
"""

from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_integer

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 1 << 23  # Counts that are sorted at once: 32 MiB.


class Interval(NamedTuple):
    """A value and the percentile interval of its resamples, without their bias.

    Attributes:
        value: Of the clips themselves; NaN where it is not defined.
        low: Lower end.
        high: Upper end.

    Example:

    >>> Interval.of(np.array([0.5, 0.25, 0.5, 0.75, 0.5]), level=0.5)
    Interval(value=0.5, low=0.4375, high=0.5625)
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values, level=LEVEL, within=(0.0, 1.0)):
        """Takes the value from the first place and the percentiles from the others, `centred`.

        `within` is the range of the quantity, to which the ends are clipped.
        """
        drawn = centred(values)
        if not len(drawn):
            return cls(float(values[0]), float("nan"), float("nan"))
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).clip(*within)
        return cls(float(values[0]), float(low), float(high))


class Resamples(NamedTuple):
    """Metrics of the clips, in row 0, and of every resample of them, in the other rows.

    Attributes:
        mean_precision: float64 array `(1 + resamples,)`: the mean of the average precisions of the classes that have a
            positive clip in the resample.
        accuracy: float64 array `(1 + resamples,)`: share of the clips with a label whose top class is one of their
            labels; NaN without such clips in the resample.
        per_class: float64 array `(1 + resamples, classes)`, average precisions; NaN without a positive clip.
    """

    mean_precision: np.ndarray
    accuracy: np.ndarray
    per_class: np.ndarray


class Difference(NamedTuple):
    """A difference of two results of the same clips.

    Attributes:
        interval: `Interval` of the difference.
        p: Two-sided p-value, see `two_sided_p`.
    """

    interval: Interval
    p: float

    @classmethod
    def of(cls, first, second, level=LEVEL):
        """Second minus first, both arrays `(1 + resamples,)` as `Resamples` has them."""
        differences = np.asarray(second) - np.asarray(first)
        return cls(Interval.of(differences, level, within=(-1.0, 1.0)), two_sided_p(centred(differences)))


def centred(values):
    """Moves resamples by their bias, so that their mean is the value of the clips themselves.

    A resample without a difference between two results stays one: which of few clips that tell results apart were drawn
    says more than the mean of all resamples, and moved zeros would all count for the same result.

    Args:
        values: Array `(1 + resamples,)`: the value, and what the resamples have; NaN do not count.

    Returns:
        Array of at most `resamples`.

    Example:

    >>> centred(np.array([0.25, 0.5, 0.375, 0.625, np.nan])).tolist()
    [0.25, 0.125, 0.375]
    """
    drawn = values[1:][~np.isnan(values[1:])]
    bias = drawn.mean() - values[0] if len(drawn) else 0.0
    return np.where(drawn == 0, 0.0, drawn - bias)


def bootstrap(runs, resamples=RESAMPLES, seed=0):
    """Computes the metrics of clips and of resamples of them.

    Args:
        runs: List of `clips.ClipScores` with one tuple of classes; their metrics are averaged.
        resamples: Number of resamples.
        seed: Seed of the draws. Results of the same clips get the same draws by the same seed, in any order of clips.

    Returns:
        `Resamples`

    Raises:
        ValueError: If scores are not finite, or runs have different classes.

    Reference:
        B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, sections 10.2 (the bootstrap estimate
        of bias) and 13.3 (percentile intervals).
        A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8 (clusters).
    """
    check_integer(1, resamples=resamples)
    for run in runs:
        if run.class_names != runs[0].class_names:
            raise ValueError("`runs` must have the same classes in the same order.")
        if not np.isfinite(run.scores).all():
            clip = run.clip_ids[int(np.flatnonzero(~np.isfinite(run.scores).all(axis=1))[0])]
            raise ValueError(f"Scores must be finite. Those of clip {clip!r} are not.")
    ids, strata, recordings = units_of(runs)
    counts = resample_counts(strata, recordings, resamples, seed)
    place = {clip_id: number for number, clip_id in enumerate(ids)}
    found = []
    for run in runs:
        own = counts[[place[clip_id] for clip_id in run.clip_ids]]
        targets, scores = np.asarray(run.targets) > 0.5, np.asarray(run.scores, "float64")
        hits = targets[np.arange(len(scores)), scores.argmax(axis=1)]
        per_class = average_precisions(targets, scores, own)
        parts = hits, targets.any(axis=1)
        right, labelled = ((part[:, None] * own).sum(axis=0, dtype="float64") for part in parts)
        accuracy = np.divide(right, labelled, out=np.full_like(right, np.nan), where=labelled > 0)
        found.append((_mean(per_class, axis=1), accuracy, per_class))
    return Resamples(*(_mean(np.stack(values), axis=0) for values in zip(*found, strict=True)))


def units_of(runs):
    """Which clips are drawn together, and which ones take each other's place.

    Args:
        runs: List of `clips.ClipScores`.

    Returns:
        `(ids, strata, recordings)`: the sorted ids of all clips, and two integer arrays `(clips,)`: equal for clips
        that are in the same runs, and equal for clips of one recording in them.
    """
    members, groups = {}, {}
    for number, run in enumerate(runs):
        for clip_id, group in zip(run.clip_ids, run.groups or ("",) * len(run.clip_ids), strict=True):
            members.setdefault(clip_id, []).append(number)
            groups[clip_id] = group
    ids = sorted(members)
    strata = [tuple(members[clip_id]) for clip_id in ids]
    recordings = [
        (stratum, "group", groups[clip_id]) if groups[clip_id] else (stratum, "clip", clip_id)
        for stratum, clip_id in zip(strata, ids, strict=True)
    ]
    return ids, _numbered(strata), _numbered(recordings)


def _numbered(keys):
    """Numbers by the first place of each key, so that the order and the number of runs make no difference."""
    numbers = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def resample_counts(strata, recordings, resamples, seed=0):
    """How often each clip is in each resample.

    Args:
        strata: Integer array `(clips,)`; a resample has as many recordings of each stratum as there are.
        recordings: Integer array `(clips,)`; clips of one recording, which is in one stratum, are drawn together.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        float32 array `(clips, 1 + resamples)`, whose first column, the clips themselves, is 1.

    Example:

    >>> counts = resample_counts(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2]), resamples=5)
    >>> print((counts[1] == counts[2]).all(), counts[0] + counts[1], counts[3])
    True [2. 2. 2. 2. 2. 2.] [1. 1. 1. 1. 1. 1.]
    """
    strata, rng = np.asarray(strata), np.random.default_rng(seed)
    counts = np.ones((len(strata), 1 + resamples), "float32")
    members = []
    for stratum in np.unique(strata):
        clips = np.flatnonzero(strata == stratum)
        members.append((clips, *np.unique(np.asarray(recordings)[clips], return_inverse=True)))
    for column in range(1, 1 + resamples):
        for clips, own, of_clip in members:
            drawn = np.bincount(rng.integers(len(own), size=len(own)), minlength=len(own))
            counts[clips, column] = drawn[of_clip]
    return counts


def average_precisions(targets, scores, counts):
    """Average precision of each class in every resample, as scikit-learn defines it.

    Args:
        targets: Bool array `(clips, classes)`.
        scores: Array `(clips, classes)`, of any scale; equal scores are one threshold.
        counts: float32 array `(clips, resamples)`, how often each clip counts.

    Returns:
        float64 array `(resamples, classes)`; NaN where a class has no positive clip.

    Example:

    >>> targets, scores = np.array([[True], [False], [True]]), np.array([[0.9], [0.8], [0.7]])
    >>> average_precisions(targets, scores, np.array([[1, 0], [1, 1], [1, 2]], "float32"))[:, 0].round(4).tolist()
    [0.8333, 0.6667]
    """
    width = max(1, _BLOCK // len(counts))
    blocks = [counts[:, first : first + width] for first in range(0, counts.shape[1], width)]
    columns = [
        np.concatenate([_average_precision(targets[:, number], scores[:, number], block) for block in blocks])
        for number in range(targets.shape[1])
    ]
    return np.stack(columns, axis=1)


def two_sided_p(differences):
    """P-value of the hypothesis that there is no difference, by the resamples on the other side of zero.

    It is twice the smaller share of resamples with a difference of at most, or at least, zero, one being added to the
    counts so that it is never 0: the smallest of 1000 resamples is 0.002.

    Args:
        differences: Array `(resamples,)`; NaN do not count.

    Returns:
        Float in (0, 1]; NaN where no difference is defined.

    Example:

    >>> two_sided_p(np.array([0.1, 0.2, -0.1, 0.3, 0.1, 0.2, 0.1, 0.4, 0.1]))
    0.4

    Reference:
        A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 4.2.
    """
    known = np.asarray(differences)[~np.isnan(differences)]
    if not len(known):
        return float("nan")
    return float(min(1.0, 2 * (1 + min((known <= 0).sum(), (known >= 0).sum())) / (1 + len(known))))


def _average_precision(targets, scores, counts):
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], targets[order]
    if not hits.any():
        return np.full(counts.shape[1], np.nan)
    # Recall grows only at the thresholds that some positive clip has: the others are summed up between these.
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    thresholds = np.unique(ends[np.searchsorted(ends, np.flatnonzero(hits))])
    starts = np.append(0, thresholds[:-1] + 1)
    counts = counts[order[: thresholds[-1] + 1]]
    found = np.add.reduceat(counts, starts, axis=0).cumsum(axis=0, dtype="float64")
    right = np.add.reduceat(counts * hits[: thresholds[-1] + 1, None], starts, axis=0)
    precision = right.cumsum(axis=0, dtype="float64") / np.maximum(found, 1)
    positives = right.sum(axis=0, dtype="float64")
    total = (right * precision).sum(axis=0)
    return np.divide(total, positives, out=np.full(len(total), np.nan), where=positives > 0)


def _mean(values, axis):
    """Mean of the values that are defined."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
