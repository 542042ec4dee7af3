"""Splits into training, validation and test clips by group, so that no recording is in two of them."""

import dataclasses
import itertools
import os

import numpy as np

from keras_audio_si.checks import check_interval, listed

SPLITS = ("train", "val", "test")
VALIDATION_SPLIT = 0.15  # Share of the training clips that is held out where nothing else is said.
_SYNONYMS = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "eval": "test",
    "evaluation": "test",
    "testing": "test",
}


def assign_splits(
    manifest,
    train_folds=None,
    validation_folds=None,
    test_folds=None,
    validation_split=VALIDATION_SPLIT,
    test_share=0.2,
    seed=0,
    shared_validation_groups=False,
):
    """Sets the split of every clip to "train", "val" or "test".

    Folds are used if they are given, otherwise the splits of the manifest. Without either, `test_share` of the clips is
    held out for testing. If there are no validation clips, `validation_split` of the training clips is held out; see
    `hold_out`. All splits are checked by `reject_leaks`.

    Args:
        manifest: `Manifest`.
        train_folds: Folds to train on.
        validation_folds: Folds to validate on.
        test_folds: Folds to test on.
        validation_split: At least 0, for no validation clips, and below 1.
        test_share: Above 0 and below 1.
        seed: Seed of what is held out, a non-negative integer.
        shared_validation_groups: Whether a group may lie in "train" and in "val", as uploaders do in the published
            splits of FSD50K. None may ever lie in "test" and elsewhere.

    Returns:
        A `Manifest` of the clips that are used.

    Raises:
        ValueError: If folds are missing, given twice or not there, a split is empty, or a group lies in two.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> manifest = Manifest([Clip(f"{i}.wav", ("dog",), fold=i % 3) for i in range(6)])
    >>> assigned = assign_splits(manifest, train_folds=[0], validation_folds=[1], test_folds=[2])
    >>> [clip.split for clip in assigned.clips]
    ['train', 'val', 'test', 'train', 'val', 'test']
    """
    folds = {"train": train_folds, "val": validation_folds, "test": test_folds}
    present = {clip.split for clip in manifest.clips} - {""}
    if any(folds.values()):
        splits = _splits_by_fold(manifest, folds)
    elif present:
        splits = [_SYNONYMS.get(clip.split.lower(), clip.split.lower()) for clip in manifest.clips]
        if not {"train", "test"} <= set(splits):
            raise ValueError(
                "The data must have a split called 'train' and one called 'test' (or 'eval'). "
                f"It has: {', '.join(sorted(present))}"
            )
    elif any(clip.fold is not None for clip in manifest.clips):
        known = sorted({clip.fold for clip in manifest.clips if clip.fold is not None})
        raise ValueError(
            f"The data comes in the folds {known}: say which of them to train on and which to test on "
            "(`train_folds`, `test_folds`)."
        )
    else:
        splits = ["train"] * len(manifest)
        splits = _with_held_out(manifest, splits, "test", test_share, seed)
    if "val" not in splits and validation_split:
        _used(manifest, splits, shared_validation_groups)  # A leak is what to hear of first.
        splits = _with_held_out(manifest, splits, "val", validation_split, seed)
    return _used(manifest, splits, shared_validation_groups)


def reject_leaks(manifest, shared_validation_groups=False):
    """Raises an error if a group, or the same file, is in two splits, because the test would contain training data.

    Args:
        manifest: `Manifest`, every clip with its split.
        shared_validation_groups: Whether a group may lie in "train" and in "val".

    Raises:
        ValueError: If there is such a group or file; the message names it and its clips.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> clips = [Clip("1.wav", group="forest", split="train"), Clip("2.wav", group="forest", split="test")]
    >>> reject_leaks(Manifest(clips))
    Traceback (most recent call last):
      ...
    ValueError: 1 group lies in more than one split: group 'forest' in train ('1.wav') and test ('2.wav'). ...
    """
    members, spelled = {}, {}
    for clip in manifest.clips:
        file = os.path.realpath(os.path.join(manifest.root, clip.path))  # Links to it are the same file.
        spelled.setdefault(file, os.path.normpath(clip.path))
        for key in (("file", file), *([("group", clip.group)] if clip.group else [])):
            members.setdefault(key, {}).setdefault(clip.split, []).append(clip.clip_id)
    leaks = {"file": [], "group": []}
    for (kind, name), by_split in members.items():
        pairs = {frozenset(pair) for pair in itertools.combinations(by_split, 2)}
        if kind == "group" and shared_validation_groups:
            pairs.discard(frozenset(("train", "val")))
        if pairs:
            places = " and ".join(f"{split} ({listed(by_split[split])})" for split in SPLITS if split in by_split)
            shown = spelled[name] if kind == "file" else name
            leaks[kind].append(f"{kind} {shown!r} in {places}")
    found = leaks["file"] or leaks["group"]
    if found:
        kind = "file" if leaks["file"] else "group"
        advice = "Give all its clips one split."
        if not leaks["file"] and not any("test (" in leak for leak in found):
            advice += " Where that is how the data were published, allow it by `shared_validation_groups`."
        number = f"1 {kind} lies" if len(found) == 1 else f"{len(found)} {kind}s lie"
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise ValueError(f"{number} in more than one split: {'; '.join(found[:3])}{more}. {advice}")


def hold_out(manifest, share, seed=0):
    """Draws clips of every class, and of those without a class, and with a clip all others of its `group`.

    Rare classes go first, so that in multi-label data they get their share. Every class keeps a group, and one that
    has two or more gives one, unless each of them is the last one of another class.

    Args:
        manifest: `Manifest`.
        share: Share of the clips of each class, above 0 and below 1.
        seed: Non-negative integer.

    Returns:
        Sorted list of the numbers of the clips.

    Raises:
        ValueError: If `share` is out of its range, or nothing can be held out.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> manifest = Manifest([Clip(f"{i}.wav", ("dog",), group=str(i // 2)) for i in range(8)])
    >>> len(hold_out(manifest, share=0.25))
    2
    """
    check_interval("(0, 1)", share=share)
    members = {}
    for index, clip in enumerate(manifest.clips):
        members.setdefault(clip.group or clip.clip_id, []).append(index)
    groups = [members[name] for name in members]
    order = np.random.default_rng(seed).permutation(len(groups))
    has_class = manifest.label_matrix() > 0
    has_class = np.column_stack([has_class, ~has_class.any(axis=1)])  # Clips without a class are one more.
    count = np.array([has_class[group].sum(axis=0) for group in groups])  # (groups, classes)
    held = np.zeros(len(groups), bool)
    left = (count > 0).sum(axis=0)  # Groups of each class that are not held.
    for column in np.argsort(count.sum(axis=0), kind="stable"):
        candidates = order[count[order, column] > 0]
        wanted = share * count[:, column].sum()
        for group in candidates:
            given = count[candidates[held[candidates]], column].sum()
            # A group may overshoot by up to half of itself, and the first one whatever its size.
            if given and wanted - given < count[group, column] / 2:
                break
            if not held[group] and (left[count[group] > 0] > 1).all():  # No class gives its last group.
                held[group] = True
                left -= count[group] > 0
    numbers = sorted(index for group in np.flatnonzero(held) for index in groups[group])
    if not numbers:
        raise ValueError(
            f"Nothing can be held out of {len(manifest)} clips in {len(groups)} groups: every class needs at "
            "least two groups (recordings). Set clips apart by `split` or `fold`."
        )
    return numbers


def _used(manifest, splits, shared_validation_groups):
    """The clips that have one of the splits, without leaks."""
    used = [index for index, split in enumerate(splits) if split in SPLITS]
    clips = tuple(dataclasses.replace(manifest.clips[index], split=splits[index]) for index in used)
    assigned = dataclasses.replace(manifest, clips=clips)
    reject_leaks(assigned, shared_validation_groups)
    return assigned


def _splits_by_fold(manifest, folds):
    for name in ("train", "test"):
        if not folds[name]:
            raise ValueError(f"`{name}_folds` must name at least one fold when other folds are given.")
    split_of = {}
    for split, numbers in folds.items():
        for fold in numbers or ():
            if fold in split_of:
                raise ValueError(f"Fold {fold} is given for {split_of[fold]!r} and for {split!r}.")
            split_of[fold] = split
            manifest.indices(folds=fold)  # raises where there is no such fold
    return [split_of.get(clip.fold, "") for clip in manifest.clips]


def _with_held_out(manifest, splits, split, share, seed):
    train = [index for index, name in enumerate(splits) if name == "train"]
    held = {train[index] for index in hold_out(manifest.subset(train), share, seed)}
    return [split if index in held else name for index, name in enumerate(splits)]
