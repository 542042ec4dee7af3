"""Precision and recall of the onsets of sound events, within a tolerance."""

from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_positive


class OnsetScores(NamedTuple):
    """How many onsets were found.

    Attributes:
        true: Number of onsets that there are.
        found: Number of onsets that were found.
        matched: Number of pairs of one of each.
    """

    true: int
    found: int
    matched: int

    @property
    def precision(self):
        """Share of the found onsets that are matched, nan if there are none."""
        return self.matched / self.found if self.found else float("nan")

    @property
    def recall(self):
        """Share of the true onsets that are matched, nan if there are none."""
        return self.matched / self.true if self.true else float("nan")

    @property
    def f1(self):
        """Harmonic mean of precision and recall, nan if there are no onsets at all."""
        return 2 * self.matched / (self.true + self.found) if self.true + self.found else float("nan")


def match_onsets(true, found, tolerance=0.2):
    """Pairs true onsets with found ones, each at most once, so that the number of pairs is the largest possible.

    Args:
        true: Onsets in seconds, `(n,)`, in any order.
        found: Onsets in seconds, `(m,)`, in any order.
        tolerance: Largest difference within a pair, in seconds.

    Returns:
        List of `(index in true, index in found)`, by time.

    Raises:
        ValueError: If `tolerance` is not positive.

    Example:

    >>> match_onsets([1.0, 2.0, 3.0], [2.9, 1.15, 1.05])
    [(0, 2), (2, 0)]
    """
    check_positive(tolerance=tolerance)
    true, found = np.asarray(true, "float64"), np.asarray(found, "float64")
    pairs, waiting = [], list(np.argsort(found, kind="stable")[::-1])
    # Intervals of one length: giving each, in order of time, the first onset that is left is optimal.
    for index in np.argsort(true, kind="stable"):
        while waiting and found[waiting[-1]] < true[index] - tolerance - 1e-9:
            waiting.pop()
        if waiting and found[waiting[-1]] <= true[index] + tolerance + 1e-9:
            pairs.append((int(index), int(waiting.pop())))
    return pairs


def onset_scores(true, found, class_names, tolerance=0.2):
    """Counts the onsets that are found, of each class, and of all with and without regard to the class.

    Args:
        true: List of `(onset in seconds, class name)`, or of longer tuples whose onset and class are `onset` and
            `class_name`, such as `inference.events.Event`.
        found: The same of what was found.
        class_names: Classes to count.
        tolerance: Largest difference within a pair, in seconds.

    Returns:
        Dict of class name to `OnsetScores`; `"all"`: their sums; `"any class"`: pairs of any two classes.

    Example:

    >>> scores = onset_scores([(1.0, "dog"), (5.0, "rain")], [(1.1, "dog"), (5.1, "dog")], ["dog", "rain"])
    >>> scores["all"], scores["any class"].matched
    (OnsetScores(true=2, found=2, matched=1), 2)
    """
    true, found = ([_onset_and_class(event) for event in events] for events in (true, found))

    def scores(of):
        onsets = [[onset for onset, name in events if name in of] for events in (true, found)]
        return OnsetScores(*map(len, onsets), len(match_onsets(*onsets, tolerance)))

    by_class = {name: scores({name}) for name in class_names}
    totals = OnsetScores(*(sum(counts) for counts in zip(*by_class.values(), strict=True)))
    return by_class | {"all": totals, "any class": scores(set(class_names))}


def _onset_and_class(event):
    return (event.onset, event.class_name) if hasattr(event, "onset") else tuple(event)
