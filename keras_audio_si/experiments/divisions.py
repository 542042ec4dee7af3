"""Divisions of clips into training, validation and test: one split, or each fold once as the test."""

from keras_audio_si.data.splits import SPLITS, VALIDATION_SPLIT, assign_splits


def divide(
    manifest,
    folds=None,
    train_folds=None,
    validation_folds=None,
    test_folds=None,
    validation_split=VALIDATION_SPLIT,
    shared_validation_groups=False,
):
    """Divides clips into training, validation and test, in one way or in as many as they have folds.

    With `test_folds`, or for clips that come with splits, there is one division. Else each of `folds` is the test
    once, and all other folds are trained on. Where no clips are set apart to validate on, a share of the training
    recordings is held out, see `data.splits.hold_out`.

    Args:
        manifest: `Manifest`
        folds: Folds that are the test, one after the other; None for all.
        train_folds: Folds to train on, without the test; None for all others.
        validation_folds: Folds to validate on; "previous" for the one before the test fold, of which the first has the
            last (juettner); None holds a share of the training recordings out.
        test_folds: Folds that are the test together, in place of `folds`.
        validation_split: Share held out, below 1; 0 for none. None for none of data in folds, and 0.15 of others.
        shared_validation_groups: As for `data.splits.assign_splits`.

    Returns:
        Dict of `Manifest` with splits, by name: "fold-1", ... or "test".

    Raises:
        ValueError: If folds are not there, or given for clips that have none.

    Example:

    >>> from keras_audio_si.data.manifest import Clip, Manifest
    >>> manifest = Manifest([Clip(f"{i}.wav", ("dog",), fold=1 + i % 2) for i in range(20)])
    >>> {name: [clip.split for clip in part.clips].count("test") for name, part in divide(manifest).items()}
    {'fold-1': 10, 'fold-2': 10}
    """
    shared = {"shared_validation_groups": shared_validation_groups}
    known = sorted({clip.fold for clip in manifest.clips if clip.fold is not None})
    chosen = folds or train_folds or validation_folds or test_folds
    if folds and test_folds:
        raise ValueError("`folds` and `test_folds` exclude each other: each of `folds` is the test by itself.")
    if chosen and not known:
        raise ValueError("The data have no folds: leave `folds`, `train_folds`, ... out.")
    if not known or (not chosen and all(clip.split for clip in manifest.clips)):
        share = VALIDATION_SPLIT if validation_split is None else validation_split
        return {"test": assign_splits(manifest, validation_split=share, **shared)}

    def division(test, validation):
        others = [fold for fold in train_folds or known if fold not in (*test, *validation)]
        return assign_splits(manifest, others, validation, test, validation_split or 0.0, **shared)

    for name, given in (("folds", folds), ("test_folds", test_folds)):
        if not set(given or ()) <= set(known):
            raise ValueError(f"`{name}` must be some of {known}. Received: {name}={list(given)}")
    if validation_folds == "previous":
        before = dict(zip(known, (known[-1], *known[:-1]), strict=True))
        if len(known) < 3:
            raise ValueError(
                f"`validation_folds`='previous' needs three folds or more. Received: data with the folds {known}"
            )
        validation_of = lambda test: [before[test[0]]]  # noqa: E731
    else:
        validation_of = lambda test: list(validation_folds or ())  # noqa: E731
    if test_folds:
        return {"test": division(list(test_folds), validation_of(list(test_folds)))}
    return {f"fold-{fold}": division([fold], validation_of([fold])) for fold in folds or known}


def clip_counts(manifest):
    """Returns the numbers of training, validation and test clips, such as "1360/240/400"."""
    splits = [clip.split for clip in manifest.clips]
    return "/".join(str(splits.count(split)) for split in SPLITS)
