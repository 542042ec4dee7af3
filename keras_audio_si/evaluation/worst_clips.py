"""The clips with the largest errors, each with its spectrogram and its audio as data URIs."""

import io
from typing import NamedTuple

import keras
import numpy as np
import soundfile

from keras_audio_si.checks import check_matplotlib
from keras_audio_si.escaping import data_uri
from keras_audio_si.layers.frontend import LogMelSpectrogram

SECONDS = 10.0  # of audio, at most
MAX_BYTES = 14_000_000  # of all data URIs: the page stays below 20 MB with its tables
_TAGS = 3


class WorstClip(NamedTuple):
    """A clip that a model is wrong about, as a page shows it.

    Attributes:
        clip_id: Its id.
        error: How wrong the score is, see `largest_errors`.
        class_name: The class whose score it is.
        score: The score.
        labels: Tuple of the names of the right classes.
        tags: List of `(name, score)`, the highest scores first.
        seconds: Length of the clip.
        shown_seconds: Length of what is shown of it.
        picture: Data URI of a PNG file with the mel spectrogram.
        audio: Data URI of a FLAC file, None where the page would become too large.
    """

    clip_id: str
    error: float
    class_name: str
    score: float
    labels: tuple
    tags: list
    seconds: float
    shown_seconds: float
    picture: str
    audio: str | None


def largest_errors(targets, scores, single_label, count):
    """Finds the clips whose scores are the most wrong.

    Args:
        targets: Multi-hot array `(clips, classes)`.
        scores: Array `(clips, classes)`.
        single_label: True takes 1 - score of the right class. False takes the largest |target - score| of all classes.
        count: Number of clips.

    Returns:
        List of `(clip, class, error)`, numbers and a float, the largest error first.

    Example:

    >>> largest_errors([[1, 0], [0, 1]], [[0.75, 0.25], [0.5, 0.375]], single_label=True, count=2)
    [(1, 1, 0.625), (0, 0, 0.25)]
    """
    targets, scores = np.asarray(targets) > 0.5, np.asarray(scores, "float64")
    errors = np.abs(targets - scores)
    if single_label:
        errors = np.where(targets, 1 - scores, -np.inf)
    classes = errors.argmax(axis=1)
    errors = errors[np.arange(len(errors)), classes]
    order = np.argsort(-errors, kind="stable")[:count]
    return [(int(clip), int(classes[clip]), float(errors[clip])) for clip in order]


def worst_clips(clips, cache, single_label, count=20):
    """Collects the clips with the largest errors.

    Args:
        clips: `clips.ClipScores`.
        cache: `ClipCache` with these clips.
        single_label: As for `largest_errors`.
        count: Number of clips.

    Returns:
        List of `WorstClip`, the largest error first.

    Raises:
        ImportError: If matplotlib is missing.
    """
    numbers = {clip.clip_id: number for number, clip in enumerate(cache.manifest.clips)}
    found, total = [], 0
    for clip, class_number, error in largest_errors(clips.targets, clips.scores, single_label, count):
        waveform = cache.waveform(numbers[clips.clip_ids[clip]])
        shown = waveform[: round(SECONDS * cache.sample_rate)]
        picture, audio = spectrogram_uri(shown, cache.sample_rate), audio_uri(shown, cache.sample_rate)
        total += len(picture) + len(audio)
        if total > MAX_BYTES:
            total, audio = total - len(audio), None
        best = np.argsort(-clips.scores[clip], kind="stable")[:_TAGS]
        found.append(
            WorstClip(
                clip_id=clips.clip_ids[clip],
                error=error,
                class_name=clips.class_names[class_number],
                score=float(clips.scores[clip, class_number]),
                labels=tuple(clips.class_names[number] for number in np.flatnonzero(clips.targets[clip] > 0.5)),
                tags=[(clips.class_names[number], float(clips.scores[clip, number])) for number in best],
                seconds=len(waveform) / cache.sample_rate,
                shown_seconds=len(shown) / cache.sample_rate,
                picture=picture,
                audio=audio,
            )
        )
    return found


def audio_uri(waveform, sample_rate):
    """Returns a waveform as the data URI of a FLAC file of 16 bits; what exceeds full scale is clipped."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(waveform, -1, 1), sample_rate, "PCM_16", format="FLAC")
    return data_uri("audio/flac", file.getvalue())


def spectrogram_uri(waveform, sample_rate):
    """Returns the mel spectrogram of a waveform, 80 dB below its maximum, as the data URI of a PNG file.

    Args:
        waveform: `(samples,)` array.
        sample_rate: In Hz.

    Raises:
        ImportError: If matplotlib is missing.
    """
    check_matplotlib()
    import matplotlib.image

    front_end = LogMelSpectrogram(
        sample_rate, frame_seconds=0.04, hop_seconds=0.02, num_mels=80, compression="decibel", top_db=80.0
    )
    short = max(0, front_end.num_samples(1) - len(waveform))
    mel = keras.ops.convert_to_numpy(front_end(np.pad(waveform, (0, short))[None].astype("float32")))[0].T
    file, top = io.BytesIO(), mel.max()
    matplotlib.image.imsave(file, mel, vmin=top - 80, vmax=top, cmap="magma", origin="lower", format="png")
    return data_uri("image/png", file.getvalue())
