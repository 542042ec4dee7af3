"""Calibration: whether classes are right as often as their scores say."""

from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_integer


class Calibration(NamedTuple):
    """Scores in bins of equal width, and how often they were right.

    Attributes:
        edges: float64 array `(bins + 1,)`, from 0 to 1. A score on an edge belongs to the bin below.
        counts: int64 array `(bins,)`, number of scores.
        confidence: float64 array `(bins,)`, their mean; NaN in an empty bin.
        observed: float64 array `(bins,)`, share of them whose class was right; NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    observed: np.ndarray

    @property
    def error(self):
        """Expected calibration error: the mean of |observed - confidence|, every score weighing the same."""
        known = self.counts > 0
        gaps = np.abs(self.observed[known] - self.confidence[known])
        return float((self.counts[known] * gaps).sum() / self.counts.sum())


def reliability(targets, scores, single_label, bins=10):
    """Compares scores with how often they are right.

    Args:
        targets: Multi-hot array `(clips, classes)`.
        scores: Probabilities `(clips, classes)`.
        single_label: True looks at the top score of each clip, and whether it is the right class (top-1 confidence).
            False pools the scores of all classes.
        bins: Number of bins.

    Returns:
        `Calibration`

    Raises:
        ValueError: If scores are not in [0, 1].

    Example:

    >>> found = reliability([[1, 0], [0, 1]], [[0.75, 0.25], [0.875, 0.125]], single_label=True, bins=2)
    >>> found.counts.tolist(), float(found.confidence[1]), float(found.observed[1]), found.error
    ([0, 2], 0.8125, 0.5, 0.3125)

    Reference:
        C. Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2.
    """
    check_integer(1, bins=bins)
    targets, scores = np.asarray(targets) > 0.5, np.asarray(scores, "float64")
    if single_label:
        top = np.arange(len(scores)), scores.argmax(axis=1)
        targets, scores = targets[top], scores[top]
    targets, scores = targets.ravel(), scores.ravel()
    # A float16 softmax may exceed 1 by a rounding.
    if not (scores.min() >= 0 and scores.max() <= 1 + 1e-3):
        raise ValueError(f"`scores` must be probabilities. Received: from {scores.min():.3g} to {scores.max():.3g}")
    edges = np.linspace(0, 1, bins + 1)
    places = np.searchsorted(edges[1:-1], scores)
    counts = np.bincount(places, minlength=bins)

    def means(values):
        sums = np.bincount(places, values, minlength=bins)
        return np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)

    return Calibration(edges, counts, means(scores), means(targets))
