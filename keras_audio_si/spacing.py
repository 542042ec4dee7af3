"""Evenly spaced choices."""

import numpy as np


def evenly_spaced(total, count):
    """Returns at most `count` of the numbers below `total`, from the first to the last.

    Example:

    >>> evenly_spaced(10, 4).tolist()
    [0, 3, 6, 9]
    >>> evenly_spaced(2, 4).tolist()
    [0, 1]
    """
    return np.linspace(0, total - 1, min(total, count)).round().astype(int)
