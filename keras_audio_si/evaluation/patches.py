"""Balanced accuracy and confusion matrices of patches, and of clips by votes or mean scores of their patches."""

from typing import NamedTuple

import numpy as np

from keras_audio_si.evaluation.clips import average_over_clips, predict_patches


class Confusion(NamedTuple):
    """Confusion matrix: counts of predicted classes by class.

    Attributes:
        counts: int64 array `(classes, classes)`, right classes in the rows, predicted ones in the columns; all 0 where
            the scores were not finite.

    Example:

    >>> confusion = Confusion.of([0, 0, 0, 1], [0, 0, 1, 1], num_classes=3)
    >>> confusion.counts.tolist()
    [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    >>> round(confusion.accuracy, 3), round(confusion.balanced_accuracy, 3)
    (0.75, 0.833)
    """

    counts: np.ndarray

    @classmethod
    def of(cls, targets, predictions, num_classes):
        """Counts `(targets, predictions)`, both integer arrays `(examples,)`."""
        counts = np.zeros((num_classes, num_classes), "int64")
        np.add.at(counts, (np.asarray(targets, "int64"), np.asarray(predictions, "int64")), 1)
        return cls(counts)

    @property
    def accuracy(self):
        """Share of the examples whose class was predicted; NaN without examples."""
        return float(np.trace(self.counts) / total) if (total := self.counts.sum()) else float("nan")

    @property
    def recalls(self):
        """float64 array `(classes,)`, share of each class's examples that were found; NaN for classes without."""
        totals = self.counts.sum(axis=1)
        return np.divide(np.diag(self.counts), totals, out=np.full(len(totals), np.nan), where=totals > 0)

    @property
    def balanced_accuracy(self):
        """Mean of the recalls of all classes that have examples; NaN without any."""
        known = self.recalls[~np.isnan(self.recalls)]
        return float(known.mean()) if len(known) else float("nan")


class PatchEvaluation(NamedTuple):
    """Confusion matrices of a model for patches, and for their clips.

    Attributes:
        patches: `Confusion` of the single patches, as juettner scores.
        clip_votes: `Confusion` of clips by the majority of their patches' classes, as Piczak does; of classes with as
            many votes the one with the higher mean score is taken.
        clip_means: `Confusion` of clips by the mean of their patches' scores, Piczak's other way.
        class_names: Tuple of str, one per class.
    """

    patches: Confusion
    clip_votes: Confusion
    clip_means: Confusion
    class_names: tuple

    def balanced_accuracies(self):
        """Dict of the three balanced accuracies, by the names that they have in logs and tables."""
        return {
            "patch_balanced_accuracy": self.patches.balanced_accuracy,
            "vote_balanced_accuracy": self.clip_votes.balanced_accuracy,
            "mean_balanced_accuracy": self.clip_means.balanced_accuracy,
        }


def majority_vote(patch_scores, patch_clip, num_clips):
    """Classes of clips by the top classes of their patches.

    Args:
        patch_scores: Finite array `(patches, classes)`.
        patch_clip: Integer array `(patches,)`, the clip that each patch was cut from.
        num_clips: Number of clips.

    Returns:
        int64 array `(num_clips,)`. Of classes with as many votes it is the one with the higher mean score.

    Raises:
        ValueError: If the shapes do not agree, or a clip has no patch.

    Example:

    >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.4, 0.6], [0.7, 0.3]])
    >>> majority_vote(scores, np.array([0, 0, 0, 1, 1]), num_clips=2).tolist()
    [1, 0]
    """
    return _majority_vote(patch_scores, patch_clip, average_over_clips(patch_scores, patch_clip, num_clips))


def _majority_vote(patch_scores, patch_clip, means):
    votes = np.zeros(means.shape, "int64")
    np.add.at(votes, (np.asarray(patch_clip), np.argmax(patch_scores, axis=1)), 1)
    return np.where(votes == votes.max(axis=1, keepdims=True), means, -np.inf).argmax(axis=1)


def check_single_labels(patch_dataset):
    """Raises a `ValueError` unless each clip has exactly one label, as balanced accuracies need."""
    several = np.flatnonzero(np.asarray(patch_dataset.labels).sum(axis=1) != 1)
    if len(several):
        wrong = patch_dataset.clip_ids[int(several[0])]
        raise ValueError(f"Balanced accuracy is of clips with one label each; {wrong!r} has none or several.")


def score_patches(patch_scores, patch_dataset):
    """Scores what a model has predicted for patches with one label each.

    Args:
        patch_scores: Array `(num_patches, classes)`.
        patch_dataset: `data.pipeline.PatchDataset` of the patches.

    Returns:
        `PatchEvaluation`. Scores that are not finite give NaN accuracies.

    Raises:
        ValueError: If a clip has not exactly one label.
    """
    check_single_labels(patch_dataset)
    labels = np.asarray(patch_dataset.labels)
    classes, patch_clip, num_clips = labels.argmax(axis=1), patch_dataset.patch_clip, len(labels)
    num_classes = labels.shape[1]
    if not np.isfinite(patch_scores).all():
        nothing = Confusion.of([], [], num_classes)
        return PatchEvaluation(nothing, nothing, nothing, patch_dataset.class_names)
    means = average_over_clips(patch_scores, patch_clip, num_clips)
    return PatchEvaluation(
        patches=Confusion.of(classes[patch_clip], patch_scores.argmax(axis=1), num_classes),
        clip_votes=Confusion.of(classes, _majority_vote(patch_scores, patch_clip, means), num_classes),
        clip_means=Confusion.of(classes, means.argmax(axis=1), num_classes),
        class_names=patch_dataset.class_names,
    )


def evaluate_patches(model, patch_dataset, batch_size=64, verbose=0):
    """Evaluates a classifier on patches, each by itself, and on their clips.

    Args:
        model: Keras model from patches to scores `(batch, classes)`.
        patch_dataset: `data.pipeline.PatchDataset`, such as `data.loud_patches.cut_loud_patches` makes it.
        batch_size: Patches per batch.
        verbose: As for `predict_batches`.

    Returns:
        `PatchEvaluation`

    Raises:
        ValueError: If the model does not fit the data, or a clip has not exactly one label.

    Reference:
        juettner, sections 1.3 and 2.3.4; Piczak, "Environmental sound classification with convolutional neural
        networks", 2015.
    """
    check_single_labels(patch_dataset)  # Before the predictions, which take time.
    return score_patches(predict_patches(model, patch_dataset, batch_size, verbose), patch_dataset)
