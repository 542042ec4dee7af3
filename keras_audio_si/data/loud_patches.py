"""Patches with 50 % overlap and without silent ones, as in juettner, with counts of what was left out."""

import sys
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si.data.pipeline import PatchDataset


class PatchCounts(NamedTuple):
    """Numbers of clips and patches, and of those left out.

    Attributes:
        clips: Number of clips that have a patch.
        patches: Number of patches.
        short_clips: Number of clips that are shorter than a patch; filled or left out, as was chosen.
        silent_patches: Number of patches left out because they are silent.
        silent_clips: Number of clips left out because all their patches are.

    Example:

    >>> print(PatchCounts(clips=9, patches=41, short_clips=1, silent_patches=3, silent_clips=0))
    41 patches of 9 clips; 1 clips shorter than a patch; left out as silent: 3 patches, 0 whole clips
    """

    clips: int
    patches: int
    short_clips: int
    silent_patches: int
    silent_clips: int

    def __str__(self):
        return (
            f"{self.patches} patches of {self.clips} clips; {self.short_clips} clips shorter than a patch; "
            f"left out as silent: {self.silent_patches} patches, {self.silent_clips} whole clips"
        )


def cut_loud_patches(
    cache, spectrogram, patch_samples=20992, short="drop", silence_decibels=-70.0, peak_of="clip", sampling="once"
):
    """Cuts clips into patches with 50 % overlap, scales them by their peaks and leaves the silent ones out.

    A patch is silent if the mean of its mel spectrogram in decibels is at most `silence_decibels`, with the clip scaled
    to a peak of 1. The threshold therefore does not depend on the level of a recording, nor on the scaling of single
    patches.

    Args:
        cache: `ClipCache` of the clips, at the rate of the spectrogram.
        spectrogram: Function from `(batch, patch_samples)` to levels in decibels, such as
            `models.piczak_spectrogram()`.
        patch_samples: Length of a patch; the next starts half of it later.
        short: What becomes of clips shorter than a patch: `"drop"`, as released, `"zero"` or `"repeat"`.
        silence_decibels: Level up to which a patch is silent; None keeps all.
        peak_of: `"clip"` scales every patch by the largest magnitude of its clip, as released, `"patch"` by its
            own, as in the paper.
        sampling: `"once"`, or `"class_balanced"` for oversampled batches.

    Returns:
        `(PatchDataset, PatchCounts)`

    Raises:
        ValueError: If nothing is left, or an argument is none of its values.

    Example:

    >>> from keras_audio_si.data.clip_cache import ClipCache
    >>> noise = np.random.default_rng(0).uniform(-1, 1, 40000)
    >>> cache = ClipCache.from_waveforms([noise, noise[:9000]], [("rain",), ("dog",)], sample_rate=22050)
    >>> patches, counts = cut_loud_patches(cache, keras_audio_si.models.piczak_spectrogram())
    >>> print(counts)
    2 patches of 1 clips; 1 clips shorter than a patch; left out as silent: 0 patches, 0 whole clips

    Reference:
        juettner, section 1.1, and its released code.
    """
    patches = PatchDataset(cache, patch_samples, short=short, sampling=sampling, peak=1.0, peak_of=peak_of)
    all_patches, all_clips = patches.num_patches, patches.num_clips
    if silence_decibels is not None:
        by_clip = PatchDataset(cache, patch_samples, short=short, peak=1.0, peak_of="clip")
        loud = mean_levels(by_clip, spectrogram) > silence_decibels
        if not loud.any():
            raise ValueError(
                f"All {all_patches} patches are silent: their mean level is at most {silence_decibels} dB."
            )
        if not loud.all():
            patches = patches.keeping(loud)
    silent = all_patches - patches.num_patches, all_clips - patches.num_clips
    return patches, PatchCounts(patches.num_clips, patches.num_patches, patches.num_short, *silent)


def mean_levels(patches, spectrogram, batch_size=64):
    """Mean of the spectrogram of each patch.

    Args:
        patches: `PatchDataset`
        spectrogram: Function from `(batch, samples)` to levels in decibels.
        batch_size: Patches per call; all calls have as many.

    Returns:
        `(num_patches,)` float64.
    """
    levels, begun, done = [], time.monotonic(), 0
    for values in spectrograms_of(patches, spectrogram, batch_size):
        levels.append(np.mean(values, axis=tuple(range(1, np.ndim(values))), dtype="float64"))
        done += len(values)
        if sys.stderr.isatty() and time.monotonic() - begun > 1:
            end = "\n" if done == patches.num_patches else ""
            print(f"\rLevels of {done}/{patches.num_patches} patches", end=end, file=sys.stderr, flush=True)
    return np.concatenate(levels)


def spectrograms_of(patches, spectrogram, batch_size=64):
    """Iterates over the spectrograms of all patches, a batch at a time.

    Args:
        patches: `PatchDataset`
        spectrogram: Function from `(batch, samples)` to spectrograms.
        batch_size: Patches per call; all calls have as many, the last one filled up.

    Returns:
        Iterator over float32 arrays, of which the last may be shorter.
    """
    for first in range(0, patches.num_patches, batch_size):
        indices = np.arange(first, first + batch_size) % patches.num_patches
        values = keras.ops.cast(spectrogram(patches.waveforms(indices)), "float32")
        yield keras.ops.convert_to_numpy(values)[: patches.num_patches - first]
