"""Thresholds of scores by class, chosen on validation clips."""

import numpy as np


def f1_thresholds(targets, scores, default=0.5):
    """Finds for each class the threshold with the largest F1 of the clips whose score is at least the threshold.

    Thresholds lie halfway between neighbouring scores, so that scores that are rounded elsewhere stay on their side.
    Of thresholds with the same F1 it is the highest.

    Args:
        targets: `(clips, classes)`, 1 where a clip has a class.
        scores: `(clips, classes)`
        default: Threshold of classes that no clip or every clip has.

    Returns:
        float64 `(classes,)`.

    Raises:
        ValueError: If a score is NaN or infinite.

    Example:

    >>> f1_thresholds([[1, 0], [1, 0], [0, 0]], [[0.8, 0.4], [0.6, 0.2], [0.5, 0.1]]).round(2).tolist()
    [0.55, 0.5]
    """
    targets, scores = np.asarray(targets) > 0, np.asarray(scores, "float64")
    if not np.isfinite(scores).all():
        raise ValueError("`scores` must be finite: the model gives NaN or infinity for some clips.")
    found = np.full(targets.shape[1], float(default))
    for number in range(targets.shape[1]):
        positives = targets[:, number].sum()
        if not 0 < positives < len(targets):
            continue
        order = np.argsort(-scores[:, number], kind="stable")
        ranked, hits = scores[order, number], np.cumsum(targets[order, number])
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # Equal scores are on one side.
        f1 = 2 * hits[ends] / (ends + 1 + positives)
        last = ends[f1.argmax()]
        below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
        found[number] = (ranked[last] + below) / 2
    return found
