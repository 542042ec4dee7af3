"""Scores of audio files of any length, read as streams; errors are kept per file."""

import array
import collections
import os
import pathlib
from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_integer
from keras_audio_si.data.audio_io import AUDIO_SUFFIXES, AudioError
from keras_audio_si.data.audio_stream import stream_audio
from keras_audio_si.data.patches import filled, scaled_to_peak
from keras_audio_si.data.prepared import UNFINISHED, damage_of, is_unfinished, listed_shards
from keras_audio_si.data.shards import clips_of, is_shard
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.models.metadata import class_names_of

# The network always sees this many windows at once, the last ones filled up with silence. Another number would make
# the libraries add up in another order, and a rounding can decide between the grids of an adaptive pooling. On two
# cores 8 are as fast as 64: 2.5 ms per window on TensorFlow, 3.3 on JAX (VGG41, a quarter of the filters).
STEP_WINDOWS = 8

# Windows of this many files are scored together, and the next ones by themselves, as a matrix product may round by the
# row of a window: files that are divided among processes by this number have the same scores as in one process.
GROUP_FILES = 16


class FoundFile(NamedTuple):
    """A file to tag.

    Attributes:
        path: Its path, str.
        problem: Why there is nothing to read, or None.
    """

    path: str
    problem: str | None = None


class Window(NamedTuple):
    """A section of a waveform.

    Attributes:
        start: First sample.
        end: Sample after the last one that the waveform has in the window.
        samples: `(window_samples,)` float32.
        evaluated: Whether it is one of the patches of evaluation, which the score of a clip is the mean of.
    """

    start: int
    end: int
    samples: np.ndarray
    evaluated: bool


class FileScores(NamedTuple):
    """The scores of one file, or its error.

    Attributes:
        path: Path of the file, str.
        seconds: Duration of what was read.
        starts: Where each row starts in seconds, float64 `(rows,)`.
        ends: Where each row ends in seconds, float64 `(rows,)`.
        scores: `(rows, classes)`: float64 means for whole clips, float32 for windows; no rows after an error.
        error: Why there are no scores, or None.
        warning: What is wrong with a file that has scores, or None.
    """

    path: str
    seconds: float
    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    error: str | None = None
    warning: str | None = None


def find_audio(paths):
    """Lists the audio files that some paths name.

    Folders are searched to any depth for files with a suffix in `data.audio_io.AUDIO_SUFFIXES`, hidden ones as well;
    links to folders inside them are not followed. A file that is named itself counts whatever its suffix is. Of a shard
    (`data.shards`) the clips are listed. What cannot be read is listed with the reason: a folder without audio or
    permission, one whose list of shards is unfinished or damaged, whose shards do not count, and a shard that is
    damaged, that has no clips, or that `prepare` has listed and is gone.

    Args:
        paths: Paths of files and folders.

    Returns:
        List of `FoundFile`, sorted by path, each file once.

    Example:

    >>> find_audio(["nowhere.wav"])
    [FoundFile(path='nowhere.wav', problem=None)]
    """
    found = {}

    def add(path, problem=None):
        found.setdefault(os.path.abspath(path), FoundFile(str(path), problem))

    def add_shard(path):
        try:
            clips, problem = clips_of(path), "is a shard without clips"
        except (OSError, ValueError) as error:
            clips, problem = (), str(error)
        for clip in clips:
            add(clip)
        if not clips:
            add(path, damage_of(path) or problem)

    for path in paths:
        if not os.path.isdir(path):
            (add_shard if is_shard(path) else add)(path)
            continue
        empty = f"is a folder without audio files (by their suffix: {', '.join(sorted(AUDIO_SUFFIXES))})"
        unreadable = []
        for folder, _, names in os.walk(path, onerror=unreadable.append):
            names = {*names, *listed_shards(folder)}
            if is_unfinished(pathlib.Path(folder)):
                add(folder, UNFINISHED)
                names, empty = {name for name in names if not is_shard(name)}, None
            for name in names:
                if is_shard(name) or pathlib.Path(name).suffix.lower() in AUDIO_SUFFIXES:
                    (add_shard if is_shard(name) else add)(os.path.join(folder, name))
                    empty = None
        for error in unreadable:
            add(error.filename, f"is a folder that cannot be read ({error.strerror})")
        if empty and not unreadable:
            add(path, empty)
    return sorted(found.values(), key=lambda file: pathlib.Path(file.path).parts)


def cut_windows(blocks, window_samples, hop_samples, short="repeat"):
    """Cuts a waveform that comes in blocks into windows of one length.

    They are the patches of `data.pipeline.PatchDataset`: at 0, `hop_samples`, `2 * hop_samples`, ... as long as a
    whole one fits, and one window of a shorter waveform, filled up. Where more than a hundredth of a window is left at
    the end there is one window more, which ends with the waveform.

    Args:
        blocks: Iterable of one-dimensional float32 arrays.
        window_samples: Length of a window.
        hop_samples: From the start of a window to the start of the next, at most `window_samples`.
        short: What fills a shorter waveform, see `data.patches.filled`.

    Yields:
        `Window`, in the order of time. Nothing is held but about a block and a window.

    Example:

    >>> windows = cut_windows([np.zeros(150, "float32"), np.zeros(120, "float32")], 100, 50)
    >>> [(window.start, window.end, window.evaluated) for window in windows]
    [(0, 100, True), (50, 150, True), (100, 200, True), (150, 250, True), (170, 270, False)]
    """
    held, held_start, next_start = np.zeros(0, "float32"), 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        while held_start + len(held) >= next_start + window_samples:
            offset = next_start - held_start
            samples = held[offset : offset + window_samples]
            yield Window(next_start, next_start + window_samples, samples, evaluated=True)
            next_start += hop_samples
        # A window's length before the end of what has come is what the last window can need.
        done = max(0, min(next_start - held_start, len(held) - window_samples))
        held, held_start = held[done:].copy(), held_start + done
    end = held_start + len(held)
    if 0 < end < window_samples:
        yield Window(0, end, filled(held, window_samples, short), evaluated=True)
    elif end - (next_start - hop_samples + window_samples) > window_samples // 100:
        yield Window(end - window_samples, end, held[-window_samples:], evaluated=False)


def tag_files(
    model,
    files,
    by_window=False,
    window_seconds=None,
    hop_seconds=None,
    batch_size=64,
    progress=None,
    stream=None,
):
    """Scores the classes of a model on audio files.

    Files are decoded and resampled as streams and cut by `cut_windows`. The score of a clip is the mean over the
    patches that evaluation takes, so it is the one that `evaluate_clips` ranks and that an exported model gives.
    Windows of several files (`GROUP_FILES`) go into one batch. A file that is damaged anywhere has an error and no
    scores.

    Args:
        model: Classifier of waveforms, see `models.front_end_of`. Or an `models.embedding_model`, whose
            embeddings then take the place of scores.
        files: Iterable of `FoundFile`, such as `find_audio` returns.
        by_window: Whether to return a row for every window, the last one to the end of the file included, rather
            than one for the clip.
        window_seconds: Length of the windows for a model that takes waveforms of any length.
        hop_seconds: From the start of a window to the start of the next, for `by_window`; None for half a window.
        batch_size: Windows that are read before they are scored. The scores do not depend on it: the network always
            takes `STEP_WINDOWS` at once.
        progress: Function of a path and the seconds of it that have been read, called for every window, or None.
        stream: Function of a path and a sample rate that yields the blocks of a waveform; None for `stream_audio`.

    Yields:
        A `FileScores` for every file, in order, each as soon as it is known.

    Raises:
        ValueError: If the model is not such a classifier, or an argument is out of its range.
    """
    if hop_seconds is not None and not by_window:
        raise ValueError(
            "`hop_seconds` is for rows by window: the score of a clip is the mean over half-overlapping ones."
        )
    layout = patch_layout(model, window_seconds, hop_seconds)
    check_integer(1, batch_size=batch_size)
    batch, waiting = [], collections.deque()
    for number, (path, problem) in enumerate(files, start=1):
        file = _File(path, by_window, layout.sample_rate, model.output_shape[-1], problem)
        waiting.append(file)
        try:
            if problem:
                blocks = ()
            elif stream is None:
                blocks = stream_audio(path, layout.sample_rate, cut_off=file.warn)
            else:
                blocks = stream(path, layout.sample_rate)
            for window in cut_windows(file.counted(blocks), layout.patch_samples, layout.hop_samples, layout.short):
                if by_window or window.evaluated:
                    file.unscored += 1
                    batch.append((file, window))
                if progress is not None:
                    progress(path, window.end / layout.sample_rate)
                if len(batch) >= batch_size:
                    _score(model, batch, layout.peak)
                if file.error:
                    break
        except AudioError as error:
            file.error = error.reason
        file.read = True
        if number % GROUP_FILES == 0:
            _score(model, batch, layout.peak)
        while waiting and waiting[0].done:
            yield waiting.popleft().result()
    _score(model, batch, layout.peak)
    for file in waiting:
        yield file.result()


def score_windows(model, windows):
    """Scores windows of one length, always `STEP_WINDOWS` at once, so that the model is compiled once.

    Args:
        model: Keras model from waveforms to scores.
        windows: Sequence of `(samples,)` float32 arrays, or `(windows, samples)`.

    Returns:
        `(windows, classes)` float32 array, the same up to rounding however many windows come together.

    Raises:
        ValueError: If the model fails on them: the layers of a saved model may not suit each other.
    """
    scores = []
    for first in range(0, len(windows), STEP_WINDOWS):
        some = np.stack(windows[first : first + STEP_WINDOWS])
        filled = np.pad(some, [(0, STEP_WINDOWS - len(some)), (0, 0)])
        try:
            scores.append(np.asarray(model.predict_on_batch(filled))[: len(some)])
        except Exception as error:  # Of any layer and backend.
            reason = " ".join(str(error).split())
            raise ValueError(
                f"The model {model.name!r} cannot score waveforms of {some.shape[1]} samples: {reason}"
            ) from error
    return np.concatenate(scores)


def required_class_names(model):
    """The class names that a model carries.

    Raises:
        ValueError: If it has none.
    """
    names = class_names_of(model)
    if names is None:
        raise ValueError(
            f"The model {model.name!r} does not name its classes: build it with `class_names`, or end it in "
            f"`layers.ClassScores(class_names=...)`, and save it again."
        )
    return names


def choose_tags(scores, top_k=None, threshold=None):
    """Chooses the classes to show.

    Args:
        scores: `(classes,)` array.
        top_k: How many classes, the highest ones; all if there are fewer.
        threshold: Smallest score, of all classes or of each, instead of `top_k`.

    Returns:
        List of class numbers, the highest score first and, of equals, the first class.

    Example:

    >>> choose_tags(np.array([0.2, 0.9, 0.5]), top_k=2)
    [1, 2]
    >>> choose_tags(np.array([0.2, 0.9, 0.5]), threshold=0.6)
    [1]
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    chosen = order[:top_k] if threshold is None else order[(np.asarray(scores) >= threshold)[order]]
    return [int(number) for number in chosen]


class _File:
    """State of a file whose windows have not all been scored."""

    def __init__(self, path, by_window, sample_rate, num_classes, error):
        self.path, self.by_window, self.sample_rate, self.error = path, by_window, sample_rate, error
        self.warning = None
        self.samples, self.unscored, self.scored, self.read = 0, 0, 0, False
        self.sum = np.zeros(num_classes)
        # Rows of windows, without an object for each: at a hop of 0.1 s, ten hours have 360,000.
        self.times, self.scores = array.array("q"), array.array("f")

    @property
    def done(self):
        return self.read and (self.error is not None or not self.unscored)

    def counted(self, blocks):
        for block in blocks:
            self.samples += len(block)
            yield block

    def warn(self, missing_seconds):
        self.warning = f"ends {missing_seconds:.3f} s before its header says"

    def add(self, window, scores):
        self.unscored -= 1
        if self.error is not None:
            return
        if not np.isfinite(scores).all():
            self.error = f"the model gives scores that are not finite at {window.start / self.sample_rate:.3f} s"
            del self.times[:], self.scores[:]
        elif self.by_window:
            self.times.extend((window.start, window.end))
            self.scores.frombytes(np.float32(scores).tobytes())
        else:
            self.sum += scores
            self.scored += 1

    def result(self):
        seconds = self.samples / self.sample_rate
        if self.error is not None:
            none = np.zeros(0)
            return FileScores(self.path, seconds, none, none, np.zeros((0, len(self.sum))), self.error)
        if self.by_window:
            starts, ends = np.array(self.times).reshape(-1, 2).T / self.sample_rate
            scores = np.array(self.scores).reshape(len(starts), -1)
        else:
            starts, ends, scores = np.zeros(1), np.array([seconds]), self.sum[None] / self.scored
        return FileScores(self.path, seconds, starts, ends, scores, warning=self.warning)


def _score(model, batch, peak):
    """Scores a list of `(file, window)` and empties it."""
    if batch:
        scores = score_windows(model, scaled_to_peak(np.stack([window.samples for _, window in batch]), peak))
        for (file, window), row in zip(batch, scores, strict=True):
            file.add(window, row)
        batch.clear()
