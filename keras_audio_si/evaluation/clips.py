"""Clip-level evaluation: patch scores are averaged per clip, then ranked."""

import itertools
import math
from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si.data.patch_sequence import read_ahead
from keras_audio_si.distribution import spread
from keras_audio_si.models.metadata import check_class_names, check_sample_rate
from keras_audio_si.ops import ranking


class ClipScores(NamedTuple):
    """Scores and targets of whole clips, row by row.

    Attributes:
        clip_ids: Tuple of str, one per clip.
        scores: float64 array `(clips, classes)`, means over the patches of each clip.
        targets: float32 multi-hot array `(clips, classes)`.
        class_names: Tuple of str, one per class.
        groups: Tuple of str, the recording or speaker of each clip, empty where it is not known; `()` if none is.
    """

    clip_ids: tuple
    scores: np.ndarray
    targets: np.ndarray
    class_names: tuple
    groups: tuple = ()


class ClipEvaluation(NamedTuple):
    """Metrics of one model on one set of clips.

    Attributes:
        mAP: Mean of the per-class average precisions, every class weighing the same.
        d_prime: d' of the mean per-class area under the ROC curve.
        accuracy: Share of the clips with a label whose top class is one of their labels; NaN without such clips.
        per_class: float64 array `(classes,)`, average precision; NaN for the excluded classes.
        excluded_classes: Names of the classes without a positive clip, which no mean includes.
        clips: The `ClipScores` behind the metrics.
        roc_auc: Mean of the per-class areas under the ROC curve.
    """

    mAP: float
    d_prime: float
    accuracy: float
    per_class: np.ndarray
    excluded_classes: tuple
    clips: ClipScores
    roc_auc: float


def predict_batches(model, batches, num_examples, batch_size, verbose=0):
    """Predicts an iterable of batches, all of one shape so that the model is compiled once.

    The last batch, where it is short, is filled up with copies of its last example, and their scores are
    dropped.

    Args:
        model: Keras model with one output.
        batches: Iterable of arrays `(batch_size, ...)`, or of tuples of them, one for each input of the model; the last
            one may be shorter.
        num_examples: Number of examples in `batches`.
        batch_size: Examples per batch.
        verbose: As in `keras.Model.predict`: 0 shows nothing, 1 or "auto" a progress bar, 2 a line at the end.

    Returns:
        Array `(num_examples, ...)`, in the model's output dtype.

    Raises:
        ValueError: If `batches` holds another number of examples.
    """
    if num_examples < 1:
        raise ValueError(f"`num_examples` must be at least 1. Received: num_examples={num_examples}")

    def padded(inputs):
        inputs = np.asarray(inputs)
        missing = batch_size - len(inputs)
        if missing:
            inputs = np.pad(inputs, [(0, missing)] + [(0, 0)] * (inputs.ndim - 1), mode="edge")
        return spread(inputs)

    # Not `predict`: on TensorFlow it keeps the first batches of every generator that it is given.
    steps, outputs = math.ceil(num_examples / batch_size), []
    progress = keras.utils.Progbar(steps, verbose=1 if verbose == "auto" else verbose)
    for batch in itertools.islice(batches, steps):
        outputs.append(np.asarray(model.predict_on_batch(keras.tree.map_structure(padded, batch)))[:batch_size])
        progress.update(len(outputs))
    if len(outputs) < steps:
        raise ValueError(
            f"`batches` should hold {num_examples} examples in {steps} batches of {batch_size}, "
            f"but ended after {len(outputs)} batches."
        )
    return np.concatenate(outputs)[:num_examples]


def average_over_clips(patch_scores, patch_clip, num_clips):
    """Averages patch scores per clip, in float64.

    Args:
        patch_scores: Array `(patches, classes)`.
        patch_clip: Integer array `(patches,)`, the clip that each patch was cut from.
        num_clips: Number of clips.

    Returns:
        float64 array `(num_clips, classes)`.

    Raises:
        ValueError: If the shapes do not agree, a clip index is out of range, or a clip has no patch.

    Example:

    >>> average_over_clips(np.array([[0.0, 1.0], [1.0, 1.0], [0.5, 0.25]]), np.array([0, 0, 1]), 2)
    array([[0.5 , 1.  ],
           [0.5 , 0.25]])
    """
    patch_scores, patch_clip = np.asarray(patch_scores, "float64"), np.asarray(patch_clip)
    if patch_scores.ndim != 2 or patch_clip.shape != patch_scores.shape[:1]:
        raise ValueError(
            "`patch_scores` must be (patches, classes) and `patch_clip` (patches,). "
            f"Received: shapes {patch_scores.shape} and {patch_clip.shape}"
        )
    if patch_clip.size and not 0 <= patch_clip.min() <= patch_clip.max() < num_clips:
        raise ValueError(
            f"`patch_clip` must be in [0, {num_clips}). Received: from {patch_clip.min()} to {patch_clip.max()}"
        )
    counts = np.bincount(patch_clip, minlength=num_clips)
    if not counts.all():
        raise ValueError(f"Clips {np.flatnonzero(counts == 0)[:10].tolist()} have no patch: there is no mean to take.")
    sums = np.zeros((num_clips, patch_scores.shape[1]))
    np.add.at(sums, patch_clip, patch_scores)
    return sums / counts[:, None]


def score_clips(clips):
    """Computes the clip-level metrics.

    Scores that are not finite give NaN metrics, never a number that looks like a result.

    Args:
        clips: `ClipScores`.

    Returns:
        `ClipEvaluation`.

    Raises:
        ValueError: If scores and targets differ in shape.
    """
    scores, targets = np.asarray(clips.scores, "float64"), np.asarray(clips.targets, "float32")
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(
            "The scores and targets of `clips` must both be (clips, classes). "
            f"Received: shapes {scores.shape} and {targets.shape}"
        )
    positives = targets > 0.5
    excluded = tuple(name for name, some in zip(clips.class_names, positives.any(axis=0), strict=True) if not some)
    if not np.isfinite(scores).all():
        nan = float("nan")
        return ClipEvaluation(nan, nan, nan, np.full(scores.shape[1], nan), excluded, clips, nan)
    # The ranking metrics depend on the order alone. Dense ranks take the order of the float64 scores, and
    # their ties, through float32 operations unchanged.
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in scores.T], axis=1).astype("float32")
    precision = keras.ops.convert_to_numpy(ranking.average_precision(targets, ranks)).astype("float64")
    areas = keras.ops.convert_to_numpy(ranking.roc_auc(targets, ranks)).astype("float64")
    roc_auc = _mean_of_defined(areas)
    top, labelled = scores.argmax(axis=1), positives.any(axis=1)
    return ClipEvaluation(
        mAP=_mean_of_defined(precision),
        d_prime=float(keras.ops.convert_to_numpy(ranking.d_prime(roc_auc))),
        accuracy=float(positives[np.arange(len(top)), top][labelled].mean()) if labelled.any() else float("nan"),
        per_class=precision,
        excluded_classes=excluded,
        clips=clips,
        roc_auc=roc_auc,
    )


def waveform_batches(patch_dataset, batch_size):
    """The waveforms of all patches of a `data.pipeline.PatchDataset`, in batches that are read ahead."""
    read, steps = patch_dataset.reader(batch_size, training=False)
    return (batch[0] for batch in read_ahead(read, range(steps)))


def predict_patches(model, patch_dataset, batch_size=64, verbose=0):
    """Scores of all patches of a data set.

    Args:
        model: Keras model from patches to scores `(batch, classes)`.
        patch_dataset: `keras_audio_si.data.pipeline.PatchDataset`.
        batch_size: Patches per batch; every batch has this size (the last one is filled up), so that the
            model is compiled once.
        verbose: As for `predict_batches`.

    Returns:
        Array `(num_patches, classes)`.

    Raises:
        ValueError: If the model's scores do not fit the labels, or it was made for another sampling rate or other
            classes.
    """
    check_sample_rate(model, patch_dataset.sample_rate)
    check_class_names(model, patch_dataset.class_names)
    waveforms = waveform_batches(patch_dataset, batch_size)
    patch_scores = predict_batches(model, waveforms, patch_dataset.num_patches, batch_size, verbose)
    classes = len(patch_dataset.class_names)
    if patch_scores.ndim != 2 or patch_scores.shape[1] != classes:
        raise ValueError(
            f"The model must give one score for each of {classes} classes; "
            f"it gave shape {('batch',) + patch_scores.shape[1:]}."
        )
    return patch_scores


def evaluate_clips(model, patch_dataset, batch_size=64, verbose=0):
    """Evaluates a model on whole clips, whose scores are the means over their patches.

    The arguments and errors are those of `predict_patches`.

    Returns:
        `ClipEvaluation`.

    Reference:
        Fonseca et al., "Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
        Neural Networks", 2021, section III-A.
    """
    return clip_evaluation(predict_patches(model, patch_dataset, batch_size, verbose), patch_dataset)


def clip_evaluation(patch_scores, patch_dataset):
    """`ClipEvaluation` of what `predict_patches` returned for a data set."""
    targets = np.asarray(patch_dataset.labels)
    return score_clips(
        ClipScores(
            clip_ids=tuple(patch_dataset.clip_ids),
            scores=average_over_clips(patch_scores, patch_dataset.patch_clip, len(targets)),
            targets=targets,
            class_names=tuple(patch_dataset.class_names),
            groups=tuple(clip.group for clip in patch_dataset.cache.manifest.clips),
        )
    )


def _mean_of_defined(values):
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
