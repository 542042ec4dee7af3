"""Precision-recall curves, whose area is the average precision."""

import numpy as np


def precision_recall(targets, scores):
    """Precision and recall of one class at every threshold at which recall grows.

    Args:
        targets: Array `(clips,)`, 1 where a clip has the class; at least one.
        scores: Array `(clips,)`, of any scale; equal scores are one threshold.

    Returns:
        `(recall, precision)`, float64 arrays, the highest threshold first. The average precision is the area of the
        steps: each precision counts from the recall before to its own.

    Raises:
        ValueError: If no clip has the class.

    Example:

    >>> recall, precision = precision_recall([1, 0, 1], [0.9, 0.8, 0.7])
    >>> recall.tolist(), precision.round(3).tolist()
    ([0.5, 1.0], [1.0, 0.667])
    """
    targets, scores = np.asarray(targets) > 0.5, np.asarray(scores, "float64")
    if not targets.any():
        raise ValueError("`targets` must have at least one clip of the class.")
    order = np.argsort(-scores, kind="stable")
    hits = targets[order].cumsum()
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    growing = ends[np.diff(hits[ends], prepend=0) > 0]
    return hits[growing] / hits[-1], hits[growing] / (growing + 1)
