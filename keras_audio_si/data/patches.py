"""Filling of short clips to the length of a patch, and scaling of patches to a peak."""

import numpy as np


def filled(waveform, samples, short="repeat"):
    """Fills a waveform up to a number of samples.

    Args:
        waveform: One-dimensional float array of at least one and at most `samples` samples.
        samples: Length of the result.
        short: `"repeat"`, the waveform again, or `"zero"`, silence at its end.

    Returns:
        `(samples,)` array.

    Example:

    >>> filled(np.array([1.0, 2.0]), 5), filled(np.array([1.0, 2.0]), 5, "zero")
    (array([1., 2., 1., 2., 1.]), array([1., 2., 0., 0., 0.]))
    """
    if short == "repeat":
        return np.resize(waveform, samples)
    return np.pad(waveform, (0, samples - len(waveform)))


def scaled_to_peak(patches, peak, largest=None):
    """Scales each patch to a largest magnitude, silence excepted.

    Args:
        patches: `(patches, samples)` float32 array.
        peak: The magnitude, or None to leave the patches as they are.
        largest: `(patches,)`, the largest magnitude that becomes `peak`, such as that of a patch's clip; None for that
            of the patch.

    Returns:
        Array of the same shape and type.

    Example:

    >>> scaled_to_peak(np.array([[0.25, -0.5], [0.0, 0.0]], "float32"), 1.0)
    array([[ 0.5, -1. ],
           [ 0. ,  0. ]], dtype=float32)
    """
    if peak is None:
        return patches
    peaks = (np.abs(patches).max(axis=1) if largest is None else np.float32(largest))[:, None]
    # Divided first: the reciprocal of what some decoders take for silence, 1e-40, is infinite.
    return patches / np.where(peaks > 0, peaks, 1) * np.float32(peak)
