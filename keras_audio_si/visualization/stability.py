"""Scores against shifts, Fig. 2 of fonseca2021: which clips are shown, and their curves."""

import pathlib

import numpy as np

from keras_audio_si.data.patches import scaled_to_peak
from keras_audio_si.evaluation.clips import predict_batches
from keras_audio_si.evaluation.shift import has_bands, stability
from keras_audio_si.evaluation.shift_clips import FIGURE_SHIFTS, shift_patches
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.visualization.plots import StabilityPanel, plot_stability


def write_stability(models, cache, max_clips, folder, clip_list=None):
    """Draws the scores of two test clips against the shift, as Fig. 2 of the paper.

    The clips are typical ones that all models classify correctly: sorted by the lowest score that a model gives the
    correct class, the middle one (time) and the nearest to it with another class (frequency). Models without a
    spectrogram have no bands, and no second panel.

    Args:
        models: Dict of models by name, which take the same input and know the same classes.
        cache: `ClipCache` of the test clips.
        max_clips: Largest number of clips to choose from.
        folder: Folder for `stability.png`.
        clip_list: As for `shift_patches`.

    Returns:
        Path of the figure.
    """
    first = next(iter(models.values()))
    patches = shift_patches(first, cache, (), max_clips, clip_list=clip_list)
    first_labels = cache.manifest.label_matrix()[patches.clip_indices].argmax(axis=1)
    targets = np.where(patches.classes < 0, first_labels, patches.classes)
    patch_scores = np.stack([_scores(model, patches.waveforms) for model in models.values()])
    chosen = typical_examples(patch_scores, targets)
    hop_seconds = front_end_of(first).hop_length / cache.sample_rate
    panels = []
    for (kind, max_shift), index in zip(FIGURE_SHIFTS.items(), chosen, strict=True):
        if kind == "freq" and not all(map(has_bands, models.values())):
            continue
        curves = {
            name: stability(model, patches.waveforms[index], kind, max_shift, targets[index])
            for name, model in models.items()
        }
        class_name = cache.manifest.class_names[targets[index]]
        panels.append(StabilityPanel(kind, class_name, curves, hop_seconds if kind == "time" else None))
    return plot_stability(panels, pathlib.Path(folder) / "stability.png")


def typical_examples(scores, targets):
    """Chooses two examples for `write_stability`, which says how.

    Args:
        scores: Array `(models, examples, classes)`.
        targets: Integer array `(examples,)`, the right classes.

    Returns:
        Two numbers of examples.

    Example:

    >>> scores = np.array([[[0.9, 0.2], [0.1, 0.8], [0.3, 0.6]]])
    >>> [int(number) for number in typical_examples(scores, np.array([0, 1, 1]))]
    [1, 0]
    """
    right = scores[:, np.arange(len(targets)), targets].min(axis=0)
    known = np.flatnonzero((scores.argmax(axis=2) == targets).all(axis=0))
    if not len(known):
        known = np.arange(len(targets))
    ranked = known[np.argsort(right[known], kind="stable")]
    middle = len(ranked) // 2
    by_distance = ranked[np.argsort(np.abs(np.arange(len(ranked)) - middle), kind="stable")]
    others = by_distance[targets[by_distance] != targets[by_distance[0]]]
    return by_distance[0], (others if len(others) else by_distance)[0]


def _scores(model, waveforms, batch_size=64):
    layout, size = patch_layout(model), min(batch_size, len(waveforms))
    patches = scaled_to_peak(waveforms[:, : layout.patch_samples], layout.peak)
    batches = (patches[i : i + size] for i in range(0, len(patches), size))
    return predict_batches(model, batches, len(waveforms), size)
