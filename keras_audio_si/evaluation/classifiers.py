"""Classifiers of waveforms on clips: the model's own front-end says how clips are cut for it."""

import pathlib
from typing import NamedTuple

import numpy as np

from keras_audio_si.data.patches import scaled_to_peak
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.evaluation.clips import predict_batches
from keras_audio_si.evaluation.compatibility import check_sample_rate
from keras_audio_si.evaluation.plots import StabilityPanel, plot_stability
from keras_audio_si.evaluation.shift import has_bands, parse_protocol, stability
from keras_audio_si.evaluation.shift_clips import listed_patches, select_patches
from keras_audio_si.layers.fit_length import FitLength, fit_length_of
from keras_audio_si.layers.frame_mask import FrameMask
from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.layers.nested import nested_layers

STABILITY_SHIFTS = {"time": 30, "freq": 15}  # Largest shifts in the figure, in frames and mel bands.


def front_end_of(model, any_length=False):
    """The layer of a classifier of waveforms that says which audio it takes: its `sample_rate` and `hop_length`.

    It is the front-end, such as a `LogMelSpectrogram`, or, of a network on the waveforms themselves, its `FitLength`.

    Args:
        model: Keras model.
        any_length: Whether its input may be of open length.

    Raises:
        ValueError: If the model has neither, does not say its sample rate, or takes other inputs.
    """
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 2 and (any_length or shape[1] is not None):
        for layer in model.layers:
            if isinstance(layer, FrontEnd):
                return layer
        if fit_length := fit_length_of(model):
            if fit_length.sample_rate is None:
                raise ValueError(
                    f"The model {model.name!r} does not say its sample rate: set "
                    "`layers.fit_length_of(model).sample_rate`, in Hz, and save it again."
                )
            return fit_length
    raise ValueError(
        f"The model {model.name!r} must take waveforms{'' if any_length else ' of a fixed length'} and have a "
        f"front-end (`LogMelSpectrogram`) or a `FitLength` among its layers. Its input shape is {shape}."
    )


class PatchLayout(NamedTuple):
    """How clips are cut for a model.

    Attributes:
        sample_rate: In Hz.
        patch_samples: Length of a patch.
        hop_samples: From the start of a patch to the start of the next.
        short: What fills a clip that is shorter than a patch, `"repeat"` or `"zero"`.
        peak: Largest magnitude that each patch is scaled to, or None.
    """

    sample_rate: int
    patch_samples: int
    hop_samples: int
    short: str = "repeat"
    peak: float | None = None


def patch_layout(model, patch_seconds=None):
    """How evaluation cuts clips for a model: into its input length, overlapping by half (to the frame, if it has any).

    Args:
        model: Classifier of waveforms, see `front_end_of`.
        patch_seconds: Length of the patches where the model leaves it open, rounded to whole frames.

    Returns:
        A `PatchLayout`.

    Raises:
        ValueError: If the model is not a classifier of waveforms, or not exactly one of `patch_seconds` and the model
            says how long the patches are.
    """
    front_end = front_end_of(model, any_length=True)
    patch_samples = model.input_shape[1]
    if (patch_samples is None) == (patch_seconds is None):
        length = "any length" if patch_samples is None else f"{patch_samples / front_end.sample_rate:.3g} s"
        raise ValueError(
            f"The model {model.name!r} takes waveforms of {length}: the length of the windows must be given for a "
            f"model that takes any, and for no other. Received {patch_seconds} seconds."
        )
    if isinstance(front_end, FitLength):
        hop_samples = max(1, patch_samples // 2)
        return PatchLayout(front_end.sample_rate, patch_samples, hop_samples, front_end.short, front_end.peak)
    if patch_seconds is not None:
        frames = max(1, front_end.num_frames(round(patch_seconds * front_end.sample_rate)))
        patch_samples = front_end.num_samples(frames)
    hop_frames = max(1, front_end.num_frames(patch_samples) // 2)
    masked = any(isinstance(layer, FrameMask) for layer in nested_layers(model))
    short = "zero" if masked else front_end.short  # Padding that the model masks is silence.
    return PatchLayout(front_end.sample_rate, patch_samples, hop_frames * front_end.hop_length, short)


def patch_dataset(model, cache, **training):
    """Cuts clips into the patches that a model takes, by `patch_layout`.

    Args:
        model: Classifier of waveforms, see `front_end_of`.
        cache: `ClipCache` at the model's sample rate.
        **training: `crops`, `sampling` and `background` of `PatchDataset`.

    Returns:
        A `PatchDataset`.

    Raises:
        ValueError: If the clips are at another rate.
    """
    check_sample_rate(model, cache.sample_rate)
    layout = patch_layout(model)
    return PatchDataset(
        cache, layout.patch_samples, layout.hop_samples, short=layout.short, peak=layout.peak, **training
    )


def shift_patches(model, cache, protocols, max_clips=1000, seed=0, clip_list=None):
    """Cuts the patches for a shift test, with as much context as the protocols and the figure need.

    Args:
        model: Classifier of waveforms, see `front_end_of`.
        cache: `ClipCache` of the test clips, at the model's sample rate.
        protocols: Names of the shifts.
        max_clips: Largest number of clips to draw.
        seed: Seed of the draw.
        clip_list: CSV file with the clips to take instead of drawing them; see `shift_clips.listed_patches`.

    Returns:
        `SelectedPatches`.

    Raises:
        ValueError: If no clip is eligible, a listed one cannot be used, or the clips are at another rate.
    """
    front_end = front_end_of(model)
    check_sample_rate(model, cache.sample_rate)
    samples = {"time": front_end.hop_length, "samples": 1, "freq": 0}
    shifts = [*map(parse_protocol, protocols), *STABILITY_SHIFTS.items()]
    context = max(shift * samples[kind] for kind, shift in shifts)
    if clip_list:
        return listed_patches(cache, clip_list, model.input_shape[1], context)
    try:
        return select_patches(cache, model.input_shape[1], context, max_clips, seed)
    except ValueError as error:
        raise ValueError(f"{error} Give no protocols to leave the shift test out.") from None


def write_stability(models, cache, max_clips, folder, clip_list=None):
    """Draws the scores of two test clips against the shift, as Fig. 2 of the paper.

    The clips are typical ones that all models know: of those whose right class is every model's top class, in
    the order of the lowest score that a model gives it, the middle one (time) and the nearest to it that has
    another class (frequency). Models without a spectrogram have no bands, and no second panel.

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
    for (kind, max_shift), index in zip(STABILITY_SHIFTS.items(), chosen, strict=True):
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
