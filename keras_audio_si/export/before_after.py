"""Accuracy and shift consistency of a model before and after its export to LiteRT, on the same windows."""

from typing import NamedTuple

import numpy as np

from keras_audio_si.data.patches import scaled_to_peak
from keras_audio_si.evaluation.clips import ClipScores, average_over_clips, score_clips
from keras_audio_si.evaluation.report import quantities
from keras_audio_si.evaluation.shift import compare_scores
from keras_audio_si.evaluation.shift_clips import select_patches
from keras_audio_si.export.litert_file import litert_scores
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.inference.tagging import score_windows
from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.spacing import evenly_spaced

PROTOCOL = "time-1"


class BeforeAfter(NamedTuple):
    """What a LiteRT file gives beside the model that it was exported from.

    Attributes:
        rows: Two dicts for `evaluation.report.format_text`: the metrics of clips, and the consistency under a shift by
            one frame where there are clips that it can be measured on.
        windows: Number of windows.
        largest: Largest absolute difference of a score.
        mean: Mean absolute difference.
        agreement: Share of the windows whose top class is the same.
    """

    rows: list
    windows: int
    largest: float
    mean: float
    agreement: float


def windows_over(model, cache, count, window_seconds=None):
    """Windows of clips as evaluation cuts them, at most `count`, spread evenly: `(windows, samples)` float32."""
    patches = patch_dataset(model, cache, window_seconds)
    return np.asarray(patches.waveforms(evenly_spaced(patches.num_patches, count)), "float32")


def before_after(model, path, cache, max_shift_clips=200, window_seconds=None):
    """Evaluates a model and its LiteRT file on clips.

    Args:
        model: Classifier of waveforms.
        path: Its LiteRT file.
        cache: `ClipCache` with labels in the model's order of classes.
        max_shift_clips: Largest number of clips that are shifted.
        window_seconds: Length of the window for a model that takes waveforms of any length.

    Returns:
        `BeforeAfter`.
    """
    patches, layout = patch_dataset(model, cache, window_seconds), patch_layout(model, window_seconds)
    hop = front_end_of(model, any_length=True).hop_length
    try:
        context = select_patches(cache, layout.patch_samples, hop, max_shift_clips).waveforms
    except ValueError:  # No clip with a single label is long enough.
        context = None
    found, rows = [], []
    for name, score in (("model", lambda x: score_windows(model, x)), ("LiteRT", lambda x: litert_scores(path, x))):
        scores = np.concatenate([score(some) for some in _in_steps(patches)])
        clips = average_over_clips(scores, patches.patch_clip, len(patches.labels))
        clips = ClipScores(tuple(patches.clip_ids), clips, np.asarray(patches.labels), tuple(patches.class_names))
        shifts = {}
        if context is not None:
            pair = (context[:, first : first + layout.patch_samples] for first in (0, hop))
            shifts = {PROTOCOL: compare_scores(*(score(scaled_to_peak(some, layout.peak)) for some in pair))}
        found.append(scores)
        rows.append({"model": name, **quantities(score_clips(clips), shifts)})
    difference = np.abs(found[0] - found[1])
    same = found[0].argmax(axis=1) == found[1].argmax(axis=1)
    return BeforeAfter(rows, len(same), float(difference.max()), float(difference.mean()), float(same.mean()))


def _in_steps(patches, step=64):
    for first in range(0, patches.num_patches, step):
        yield patches.waveforms(np.arange(first, min(first + step, patches.num_patches)))
