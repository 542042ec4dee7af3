"""Scores against shifts over the test clips, Fig. 2 of fonseca2021 for more than one clip."""

import pathlib

import numpy as np

from keras_audio_si.evaluation.shift import has_bands, stability
from keras_audio_si.evaluation.shift_clips import FIGURE_SHIFTS
from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.spacing import evenly_spaced
from keras_audio_si.visualization.plots import StabilityPanel, plot_stability

FIGURE_CLIPS = 100  # Every clip is scored after 47 shifts.


def write_stability(models, cache, patches, folder):
    """Draws the score of the correct class of test clips against the shift, its mean and spread over the clips.

    The clips are those of the shift test; of more than `FIGURE_CLIPS` so many, evenly. Models without a spectrogram
    have no bands, and no second column.

    Args:
        models: Dict of models by name, which take the same input and know the same classes.
        cache: `ClipCache` of the test clips.
        patches: `SelectedPatches` of these clips, as of `shift_patches`.
        folder: Folder for `stability.png`.

    Returns:
        Path of the figure.

    Reference:
        Fonseca et al., 2021, Fig. 2, which has one clip.
    """
    first = next(iter(models.values()))
    first_labels = cache.manifest.label_matrix()[patches.clip_indices].argmax(axis=1)
    targets = np.where(patches.classes < 0, first_labels, patches.classes)
    count = len(targets)
    shown = evenly_spaced(count, FIGURE_CLIPS)
    waveforms, targets = patches.waveforms[shown], targets[shown]
    hop_seconds = front_end_of(first).hop_length / cache.sample_rate
    panels = []
    for kind, max_shift in FIGURE_SHIFTS.items():
        if kind == "freq" and not all(map(has_bands, models.values())):
            continue
        curves = {
            name: stability(model, waveforms, kind, max_shift, targets, batch_size=50) for name, model in models.items()
        }
        panels.append(StabilityPanel(kind, curves, hop_seconds if kind == "time" else None))
    return plot_stability(panels, pathlib.Path(folder) / "stability.png")
