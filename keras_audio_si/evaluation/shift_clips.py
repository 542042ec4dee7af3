"""Selection of the clips of a shift test: the constraints of the paper, and lists of clips.

The paper takes clips "with one single label (i.e., presumably containing one single sound event)". The labels of FSD50K
include all ancestors ("Bark", "Dog", "Domestic_animals_and_pets", "Animal"), so labels that another label implies are
not counted: see `single_events`.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from keras_audio_si.checks import check_integer
from keras_audio_si.data.manifest import read_rows
from keras_audio_si.evaluation.shift import parse_protocol
from keras_audio_si.files import plain_text, write_csv
from keras_audio_si.models.metadata import check_sample_rate, front_end_of

MIN_CLIP_SECONDS = 2.0
PATCH_START_SECONDS = 0.5
FIGURE_SHIFTS = {"time": 30, "freq": 15}  # Largest shifts in Fig. 2, in frames and mel bands.
MIN_CLIPS_TO_IMPLY = 3  # Fewer clips of a class may have another label in common by chance.
SHIFT_CLIPS = "shift_clips.csv"  # Name of the list of clips in the folder of results.
COLUMNS = ("clip_id", "start_sample", "sample_rate", "label")


class NoClipError(ValueError):
    """None of the clips can be used for a shift test."""


class SelectedPatches(NamedTuple):
    """Patches for a shift experiment, with the audio that follows them.

    Attributes:
        waveforms: float32 array `(patches, patch_samples + context_samples)`.
        clip_indices: Integer array `(patches,)`, rows of the manifest.
        num_eligible: Number of clips that met the constraints, before `max_clips` were drawn.
        num_clips: Number of clips looked at.
        starts: Integer array `(patches,)`, the sample of its clip at which each patch starts.
        classes: Integer array `(patches,)`, the class of the event; -1 where a listed clip has no single event.
    """

    waveforms: np.ndarray
    clip_indices: np.ndarray
    num_eligible: int
    num_clips: int
    starts: np.ndarray
    classes: np.ndarray


def single_events(labels):
    """The class of each clip's only event, where it has a single one.

    A class implies another one if all clips of it have the other label as well, and these are three clips or more.
    The event of a clip is that one of its labels which implies all its others: the only one, or in a hierarchy the
    most specific one. Of several such labels, which then imply each other, it is the rarer one, then the first.

    Args:
        labels: Multi-hot array `(clips, classes)`.

    Returns:
        Integer array `(clips,)`: a class, or -1 for clips without a label or with several events.

    Example:

    >>> labels = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]])  # bark, animal, rain
    >>> single_events(labels).tolist()
    [0, 0, 0, 1, -1]
    """
    labels = np.asarray(labels, "float64")  # The counts below are products of matrices.
    together = labels.T @ labels  # (classes, classes): clips with both
    count = together.diagonal()
    implies = (together == count[:, None]) & (count >= MIN_CLIPS_TO_IMPLY)[:, None]
    implies |= np.eye(len(count), dtype=bool)
    left_over = labels @ (~implies).T.astype("float64")  # (clips, classes): labels that the class does not imply
    explains = (labels > 0) & (left_over == 0)
    rarest_first = np.argsort(count, kind="stable")
    events = rarest_first[explains[:, rarest_first].argmax(axis=1)]
    return np.where(explains.any(axis=1), events, -1)


def select_patches(cache, patch_samples, context_samples, max_clips=1000, seed=0):
    """Cuts one patch from each of `max_clips` random clips that meet the constraints of the paper.

    A clip is eligible if it has a single event (see `single_events`) and lasts at least 2 s. Its patch starts at
    0.5 s, so that silence at the beginning is left out. Clips that end before the patch and its context are repeated,
    as those are in training that are shorter than a patch; for the patches of 1 s of the paper there are none.

    Args:
        cache: `keras_audio_si.data.clip_cache.ClipCache`.
        patch_samples: Samples that the model sees.
        context_samples: Samples behind the patch, at least as many as the largest shift in time.
        max_clips: Number of clips to draw, all eligible ones if there are fewer.
        seed: Seed of the draw.

    Returns:
        `SelectedPatches`, in the order of the manifest.

    Raises:
        NoClipError: A `ValueError`, if no clip is eligible.
        ValueError: If `max_clips` is below 1.

    Reference:
        Fonseca et al., 2021, section IV-C.
    """
    check_integer(1, max_clips=max_clips)
    events = single_events(cache.manifest.label_matrix())
    start = round(PATCH_START_SECONDS * cache.sample_rate)
    single = np.flatnonzero(events >= 0)
    eligible = single[cache.lengths[single] >= round(MIN_CLIP_SECONDS * cache.sample_rate)]
    if not len(eligible):
        raise NoClipError(
            f"No clip can be used for a shift test: of {len(cache)} clips {len(single)} have a single label, "
            f"and none of these lasts {MIN_CLIP_SECONDS:g} s or more."
        )
    drawn = np.sort(np.random.default_rng(seed).permutation(eligible)[:max_clips])
    starts = np.full(len(drawn), start)
    waveforms = _cut(cache, drawn, starts, patch_samples + context_samples)
    return SelectedPatches(waveforms, drawn, len(eligible), len(cache), starts, events[drawn])


def write_clip_list(patches, cache, path):
    """Writes which patches were selected, a CSV file that `listed_patches` reads.

    Args:
        patches: `SelectedPatches`.
        cache: The `ClipCache` that they were cut from.
        path: Path of the file; its columns are `clip_id,start_sample,sample_rate,label`.
    """
    names = (*cache.manifest.class_names, "")  # the last one is that of class -1
    clip_ids = [cache.manifest.clips[index].clip_id for index in patches.clip_indices]
    labels = [names[number] for number in patches.classes]
    rates = [cache.sample_rate] * len(clip_ids)
    write_csv(path, COLUMNS, zip(clip_ids, patches.starts, rates, labels, strict=True))


def listed_patches(cache, path, patch_samples, context_samples):
    """Cuts the patches of a list that an earlier test has written, or that someone has published.

    Args:
        cache: `ClipCache` with the clips of the list, and perhaps others.
        path: CSV file with the column `clip_id` and perhaps `start_sample` and `sample_rate` (of the start, in Hz);
            a patch without these starts at 0.5 s.
        patch_samples: Samples that the model sees.
        context_samples: Samples behind the patch, at least as many as the largest shift in time.

    Returns:
        `SelectedPatches`, in the order of the list.

    Raises:
        ValueError: If the list names a clip twice, one that is not in the cache, or one that ends before its patch.
    """
    number_of = {clip.clip_id: number for number, clip in enumerate(cache.manifest.clips)}
    numbers, starts = [], []
    # Earlier versions wrote the bytes of names that are not UTF-8.
    for line, row in read_rows(pathlib.Path(path), ("clip_id",), errors="surrogateescape"):
        clip_id = plain_text(row["clip_id"])
        number = number_of.get(clip_id)
        if number is None or number in numbers:
            problem = "is not among the clips that could be read" if number is None else "is listed twice"
            raise ValueError(f"{path}, line {line}: clip {clip_id!r} {problem}.")
        start = _start_of(row, cache.sample_rate, f"{path}, line {line}")
        if cache.lengths[number] <= start:
            seconds = [samples / cache.sample_rate for samples in (cache.lengths[number], start)]
            raise ValueError(
                f"{path}, line {line}: clip {clip_id!r} lasts {seconds[0]:.2f} s; its patch is to start at "
                f"{seconds[1]:.2f} s."
            )
        numbers.append(number)
        starts.append(start)
    events = single_events(cache.manifest.label_matrix())[numbers]
    waveforms = _cut(cache, numbers, starts, patch_samples + context_samples)
    return SelectedPatches(waveforms, np.array(numbers), len(numbers), len(cache), np.array(starts), events)


def _start_of(row, sample_rate, where):
    if not row.get("start_sample"):
        return round(PATCH_START_SECONDS * sample_rate)
    try:
        start, listed_rate = int(row["start_sample"]), int(row["sample_rate"])
    except (KeyError, TypeError, ValueError):  # TypeError: of a row that is too short.
        start, listed_rate = -1, 0
    if start < 0 or listed_rate < 1:
        raise ValueError(f"{where}: `start_sample` and `sample_rate` must be whole numbers, the rate in Hz.")
    return round(start * sample_rate / listed_rate)


def _cut(cache, numbers, starts, length):
    pieces = [
        cache.waveform(number).take(np.arange(start, start + length), mode="wrap")
        for number, start in zip(numbers, starts, strict=True)
    ]
    return np.stack(pieces).astype("float32")


def shift_patches(model, cache, protocols, max_clips=1000, seed=0, clip_list=None):
    """Cuts the patches for a shift test, with as much context as the protocols and the figure need.

    Args:
        model: Classifier of waveforms, see `front_end_of`.
        cache: `ClipCache` of the test clips, at the model's sample rate.
        protocols: Names of the shifts.
        max_clips: Largest number of clips to draw.
        seed: Seed of the draw.
        clip_list: CSV file with the clips to take instead of drawing them; see `listed_patches`.

    Returns:
        `SelectedPatches`.

    Raises:
        NoClipError: A `ValueError`, if no clip is eligible.
        ValueError: If a listed clip cannot be used, the clips are at another rate, or a shift is longer than all of
            them.
    """
    front_end = front_end_of(model)
    check_sample_rate(model, cache.sample_rate)
    samples, longest = {"time": front_end.hop_length, "samples": 1, "freq": 0}, cache.lengths.max()
    shifts = {protocol: parse_protocol(protocol) for protocol in protocols}
    for protocol, (kind, shift) in shifts.items():
        if shift * samples[kind] > longest:
            raise ValueError(
                f"`protocols` must shift by no more than the longest clip, {longest / cache.sample_rate:.2f} s. "
                f"Received: {protocol}"
            )
    context = max(shift * samples[kind] for kind, shift in [*shifts.values(), *FIGURE_SHIFTS.items()])
    if clip_list:
        return listed_patches(cache, clip_list, model.input_shape[1], context)
    return select_patches(cache, model.input_shape[1], context, max_clips, seed)
