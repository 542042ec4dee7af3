"""Sound events, with onset and offset, from the scores of overlapping windows."""

from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_interval, check_positive


class Event(NamedTuple):
    """A section of a recording in which a class is active.

    Attributes:
        onset: Start in seconds.
        offset: End in seconds.
        class_name: Name of the class.
        score: Its largest score over time in the section.
    """

    onset: float
    offset: float
    class_name: str
    score: float


def scores_over_time(starts, ends, scores, hop_seconds):
    """Averages the scores of overlapping windows in steps of time.

    The score of a step is the mean over the windows that contain its centre; the last step ends with the last window.

    Args:
        starts: Starts of the windows in seconds, `(windows,)`, the first one 0.
        ends: Their ends; no step is outside of all windows.
        scores: `(windows, classes)`
        hop_seconds: Length of a step, usually the time from the start of a window to the start of the next.

    Returns:
        `(steps, classes)` float64; step `k` begins at `k * hop_seconds`.

    Example:

    >>> windows = [[0.0], [1.0], [0.0]]
    >>> scores_over_time([0, 1, 2], [2, 3, 4], windows, hop_seconds=1.0)[:, 0].tolist()
    [0.0, 0.5, 0.5, 0.0]
    """
    check_positive(hop_seconds=hop_seconds)
    starts, ends, scores = np.asarray(starts, "float64"), np.asarray(ends, "float64"), np.asarray(scores)
    steps = max(1, int(np.ceil(ends.max() / hop_seconds - 1e-6)))
    first = np.ceil(starts / hop_seconds - 0.5 - 1e-6).astype(int)
    last = np.ceil(ends / hop_seconds - 0.5 - 1e-6).astype(int)
    last[ends == ends.max()] = steps
    first = np.minimum(first, steps - 1)
    last = np.maximum(last, first)

    def sums(values):
        # A window adds its value from its first step on and takes it away behind its last one.
        return np.cumsum(np.bincount(first, values, steps + 1) - np.bincount(last, values, steps + 1))[:steps]

    counts = np.round(sums(np.ones(len(starts))))
    if not counts.all():
        raise ValueError("Every step must be in a window: `hop_seconds` must be at most the length of the windows.")
    means = np.empty((steps, scores.shape[1]))
    for number, values in enumerate(scores.T):  # Class by class, which takes a fraction of the memory.
        means[:, number] = sums(values) / counts
    return means


def find_events(scores, hop_seconds, class_names, threshold=0.5, offset_threshold=None, min_seconds=0.0, seconds=None):
    """Finds where classes are active, by two thresholds (hysteresis).

    An event is a longest section of steps whose score is at least `offset_threshold`, if one of them reaches
    `threshold`. Classes are found independently and may overlap.

    Args:
        scores: `(steps, classes)`, such as `scores_over_time` returns.
        hop_seconds: Length of a step.
        class_names: Names of the classes.
        threshold: Score that begins an event, one for all classes or one of each.
        offset_threshold: Score below which it ends, at most `threshold`; None for half of `threshold`.
        min_seconds: Shortest event; shorter ones are left out.
        seconds: Duration of the recording, at which the last step ends if it is longer.

    Returns:
        List of `Event`, by onset, then by class.

    Raises:
        ValueError: If a threshold is out of its range.

    Example:

    >>> scores = np.array([[0.1], [0.4], [0.9], [0.4], [0.1], [0.4]])
    >>> find_events(scores, 0.5, ["dog"], threshold=0.8, offset_threshold=0.3)
    [Event(onset=0.5, offset=2.0, class_name='dog', score=0.9)]
    """
    scores = np.asarray(scores)
    high = np.broadcast_to(np.asarray(threshold, "float64"), len(class_names))
    low = high / 2 if offset_threshold is None else np.broadcast_to(offset_threshold, len(class_names))
    for name, values in (("threshold", high), ("offset_threshold", low)):
        for value in np.unique(values):
            check_interval("(0, 1]", **{name: float(value)})
    if (low > high).any():
        raise ValueError(
            f"`offset_threshold` must be at most `threshold`. Received: {offset_threshold} and {threshold}"
        )
    check_interval("[0, inf)", min_seconds=min_seconds)
    end = len(scores) * hop_seconds if seconds is None else seconds
    events = []
    for number, name in enumerate(class_names):
        active = np.concatenate([[False], scores[:, number] >= low[number], [False]])
        begins, ends = np.flatnonzero(active[1:] & ~active[:-1]), np.flatnonzero(active[:-1] & ~active[1:])
        for first, last in zip(begins, ends, strict=True):
            best = float(scores[first:last, number].max())
            onset, offset = float(first * hop_seconds), float(min(last * hop_seconds, end))
            if best >= high[number] and offset - onset >= min_seconds - 1e-9:
                events.append((onset, number, Event(onset, offset, name, best)))
    return [event for _, _, event in sorted(events, key=lambda found: found[:2])]
