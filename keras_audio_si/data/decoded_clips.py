"""What clips that can be read as waveforms have in common, wherever the samples come from."""

import sys

import numpy as np

LISTED = 20  # Files left out that are named on stderr: of AudioSet tens of thousands are missing.


class DecodedClips:
    """Mono waveforms of the clips of a manifest at one sampling rate; base of `ClipCache` and `ClipFiles`.

    Args:
        manifest: `Manifest` of the clips that are here.
        sample_rate: In Hz.
        lengths: `(num_clips,)` length of each clip in samples.
        failures: `(path, reason)` of the files that were left out.

    Raises:
        ValueError: If a clip has no samples, or the numbers of clips disagree.
    """

    def __init__(self, manifest, sample_rate, lengths, failures=()):
        self.manifest = manifest
        self.sample_rate = sample_rate
        self.lengths = np.asarray(lengths, "int64")
        self.failures = tuple((str(path), reason) for path, reason in failures)
        if len(manifest) != len(self.lengths):
            raise ValueError(
                f"`manifest` and `lengths` must be of one length. Received: {len(manifest)} and {len(self.lengths)}"
            )
        if self.lengths.min() < 1:
            clip = manifest.clips[int(self.lengths.argmin())]
            raise ValueError(f"Every clip must have samples. Clip {clip.clip_id!r} has none.")

    def __len__(self):
        return len(self.lengths)

    def waveform(self, index):
        """Samples of one clip, `(samples,)` float32."""
        return self.section(index, 0, self.lengths[index])

    def section(self, index, start, samples):
        """Some samples of one clip from `start` on, fewer where the clip ends: `(at most samples,)` float32."""
        raise NotImplementedError

    def select(self, split=None, folds=None):
        """Clips of a split or of some folds; the arguments are those of `Manifest.select`."""
        return self.subset(self.manifest.indices(split, folds))

    def subset(self, indices):
        """Clips by number, in the order of `indices`."""
        return self._view(self.manifest.subset(indices), indices)

    def of(self, manifest):
        """The clips of another manifest, by their ids, with its splits: another division of the same clips."""
        number = {clip.clip_id: index for index, clip in enumerate(self.manifest.clips)}
        return self._view(manifest, [number[clip.clip_id] for clip in manifest.clips])

    def _view(self, manifest, kept):
        raise NotImplementedError


def report_failures(manifest, failures):
    """Names on stderr what is left out of a manifest.

    Args:
        manifest: `Manifest` of all clips.
        failures: Dict from the number of a clip to `(path, reason)`.

    Raises:
        ValueError: If no clip of a split is left.
    """
    by_split = {"": range(len(manifest))}  # All of them are the first to be looked at.
    for number, clip in enumerate(manifest.clips):
        if clip.split:
            by_split.setdefault(clip.split, []).append(number)
    for split, numbers in by_split.items():
        if all(number in failures for number in numbers):
            of_split = f" of the split {split!r}" if split else ""
            first = _described([failures[numbers[0]]])
            raise ValueError(f"None of the {len(numbers)} clips{of_split} could be read. The first: {first}")
    if failures:
        left_out = f"Left out {len(failures)} of {len(manifest)} clips:"
        print(left_out, _described(list(failures.values())), sep="\n", file=sys.stderr)


def _described(failures):
    lines = [f"  {path}: {reason}" for path, reason in failures[:LISTED]]
    return "\n".join([*lines, f"  and {len(failures) - LISTED} more"] if len(failures) > LISTED else lines)
