"""Exact ranking metrics, per class: average precision, area under the ROC curve, d'.

Equal scores are one step of the curve, as in scikit-learn. The metrics consist of sorts, sums and maxima of static
shape, so that they compile under `jit` on every backend.
"""

import math
from typing import NamedTuple

from keras import ops


def average_precision(targets, scores, valid=None):
    """Average precision of each class: precision at each threshold, weighted by the growth of recall there.

    Args:
        targets: `(N, C)`, 1 (above 0.5) where the example has the class, 0 elsewhere.
        scores: `(N, C)`, of any scale: only the order within a class counts. NaN scores give NaN.
        valid: `(N,)` boolean or 0/1 mask of the examples that count; None for all. `N` must be static.

    Returns:
        `(C,)` float32; NaN for a class without a positive example.

    Raises:
        ValueError: If the shapes do not agree.

    Example:

    >>> import numpy as np
    >>> targets = np.array([[1], [0], [1], [0]])
    >>> scores = np.array([[0.9], [0.8], [0.8], [0.1]])  # a tie between a positive and a negative
    >>> round(float(average_precision(targets, scores)[0]), 4)
    0.8333
    """
    curve = _curve(targets, scores, valid)
    precision = curve.true_positives / ops.maximum(curve.true_positives + curve.false_positives, 1.0)
    new_positives = curve.true_positives - _previous(curve.true_positives)
    total = _sum(new_positives * precision) / ops.maximum(curve.positives, 1.0)
    return ops.where(curve.positives > 0, total, math.nan) + curve.poison


def roc_auc(targets, scores, valid=None):
    """Area under the ROC curve of each class: how often a positive outscores a negative, ties counting half.

    Args:
        targets: `(N, C)`, 1 (above 0.5) where the example has the class, 0 elsewhere.
        scores: `(N, C)`, of any scale: only the order within a class counts. NaN scores give NaN.
        valid: `(N,)` boolean or 0/1 mask of the examples that count; None for all. `N` must be static.

    Returns:
        `(C,)` float32; NaN for a class without a positive or without a negative example.

    Raises:
        ValueError: If the shapes do not agree.

    Example:

    >>> import numpy as np
    >>> targets = np.array([[1], [0], [1], [0]])
    >>> scores = np.array([[0.9], [0.8], [0.8], [0.1]])
    >>> float(roc_auc(targets, scores)[0])
    0.875
    """
    curve = _curve(targets, scores, valid)
    negatives = curve.negatives[:, None]
    below = negatives - (curve.false_positives + _previous(curve.false_positives)) / 2
    new_positives = curve.true_positives - _previous(curve.true_positives)
    total = _sum(new_positives * (below / ops.maximum(negatives, 1.0))) / ops.maximum(curve.positives, 1.0)
    defined = ops.logical_and(curve.positives > 0, curve.negatives > 0)
    return ops.where(defined, total, math.nan) + curve.poison


def d_prime(auc):
    """Separation of two unit normal distributions with this area under the ROC curve, `sqrt(2) Phi^-1(auc)`.

    The slope grows without bound towards 0 and 1 (53 at 0.99), and with it the effect of the last float32
    digit of `auc`.

    Args:
        auc: Area under the ROC curve, number or tensor in [0, 1].

    Returns:
        float32 tensor of the shape of `auc`; infinite at 0 and 1.

    Example:

    >>> float(d_prime(0.5))
    0.0

    Reference:
        Hershey et al., "CNN Architectures for Large-Scale Audio Classification", 2017.
    """
    # Phi^-1(p) = sqrt(2) erfinv(2 p - 1)
    return 2.0 * ops.erfinv(2.0 * ops.convert_to_tensor(auc, "float32") - 1.0)


class _Curve(NamedTuple):
    """Counts of the examples above each threshold, `(C, N)`: one column per distinct score, highest first,
    and then repetitions of the last, which add nothing to an integral over the curve."""

    true_positives: object
    false_positives: object
    positives: object  # (C,), as is all below
    negatives: object
    poison: object


def _curve(targets, scores, valid):
    targets, scores = ops.convert_to_tensor(targets), ops.convert_to_tensor(scores)
    if len(targets.shape) != 2 or tuple(targets.shape) != tuple(scores.shape):
        raise ValueError(
            "`targets` and `scores` must both be (examples, classes) with static shapes. "
            f"Received: shapes {tuple(targets.shape)} and {tuple(scores.shape)}"
        )
    size = targets.shape[0]
    valid = ops.ones((size,), "float32") if valid is None else ops.cast(valid, "float32")
    if tuple(valid.shape) != (size,):
        raise ValueError(f"`valid` must be ({size},), one value per example. Received: shape={tuple(valid.shape)}")

    targets = ops.transpose(ops.cast(ops.cast(targets, "float32") > 0.5, "float32") * valid[:, None])
    scores = ops.transpose(ops.where(valid[:, None] > 0, ops.cast(scores, "float32"), -math.inf))
    order = ops.argsort(-scores, axis=1)
    scores = ops.take_along_axis(scores, order, axis=1)
    true_positives = ops.cumsum(ops.take_along_axis(targets, order, axis=1), axis=1)
    false_positives = ops.cumsum(ops.take(valid, order), axis=1) - true_positives

    # Only the last of a group of equal scores is a threshold. The counts never fall along the order, so that
    # the others, raised to the total and sorted, move behind the last threshold, and the thresholds stay in
    # order.
    threshold = ops.pad(scores[:, 1:] != scores[:, :-1], [[0, 0], [0, 1]], constant_values=True)
    return _Curve(
        true_positives=ops.sort(ops.where(threshold, true_positives, true_positives[:, -1:]), axis=1),
        false_positives=ops.sort(ops.where(threshold, false_positives, false_positives[:, -1:]), axis=1),
        positives=true_positives[:, -1],
        negatives=false_positives[:, -1],
        # A diverged model must not get a number that looks like a result.
        poison=ops.where(ops.any(ops.isnan(scores), axis=1), math.nan, 0.0),
    )


def _previous(counts):
    return ops.pad(counts[:, :-1], [[0, 0], [1, 0]])


def _sum(values):
    """Sums over the last axis in two stages: float32 rounding stays near 1e-7 for any number of values."""
    rows, size = values.shape
    block = max(1, math.isqrt(size))
    values = ops.pad(values, [[0, 0], [0, -size % block]])
    return ops.sum(ops.sum(ops.reshape(values, (rows, -1, block)), axis=2), axis=1)
