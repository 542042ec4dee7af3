"""Number, length and labels of clips, from the headers of their files."""

from typing import NamedTuple

import numpy as np

from keras_audio_si.data.audio_io import AudioError, audio_info
from keras_audio_si.spacing import evenly_spaced

MOST_FILES = 1000  # Whose headers are read; of more clips as many, evenly spaced.


class ClipStatistics(NamedTuple):
    """What settings are chosen by.

    Attributes:
        num_clips: Number of clips.
        median_seconds: Median of their lengths.
        single_label: Whether every clip has exactly one label.
    """

    num_clips: int
    median_seconds: float
    single_label: bool


def clip_statistics(manifest):
    """Counts clips and takes the median of their lengths, without decoding them.

    Args:
        manifest: `Manifest`. Files whose header cannot be read do not count for the median; those whose header
            has no length are decoded, see `audio_io.audio_info`.

    Returns:
        `ClipStatistics`

    Raises:
        ValueError: If no header can be read.

    Example:

    >>> import tempfile
    >>> from keras_audio_si.data import write_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clip_statistics(write_dataset(folder, num_clips=10, min_seconds=2.0, max_seconds=2.0))
    ClipStatistics(num_clips=10, median_seconds=2.0, single_label=True)
    """
    paths, seconds, failed = manifest.paths(), [], None
    for index in evenly_spaced(len(paths), MOST_FILES):
        try:
            seconds.append(audio_info(paths[index]).seconds)
        except AudioError as error:
            failed = failed or error
    if not seconds:
        raise ValueError(f"None of the {len(paths)} clips could be read. The first: {failed}")
    single = all(len(clip.labels) == 1 for clip in manifest.clips)
    return ClipStatistics(len(paths), float(np.median(seconds)), single)
