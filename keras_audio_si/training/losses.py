"""Losses of logits, one value per example, and their reductions."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice

_ONE_CLASS = "`loss`={!r} needs at least two classes (the softmax of one is always 1): take 'bce'. Received: one class"


def check_labels(loss, class_names, clip_ids, num_labels):
    """Raises a `ValueError` unless a loss can be computed from the labels of these clips.

    The softmax losses need one label per clip. This includes `"softmax-or-bce"`, whose binary cross-entropy is for
    mixed labels only, not for clips that have several labels themselves.

    Args:
        loss: One of `training.settings.LOSSES`.
        class_names: Names of the classes.
        clip_ids: Names of the clips.
        num_labels: Number of labels of each clip.

    Example:

    >>> check_labels("bce", ("dog", "rain"), ("a", "b"), (1, 2))
    >>> check_labels("softmax-or-bce", ("dog", "rain"), ("a", "b"), (1, 2))
    Traceback (most recent call last):
    ValueError: `loss`='softmax-or-bce' needs clips of one label each: take 'bce'. Received: clip 'b' with 2 labels
    """
    if "softmax" not in loss:
        return
    if len(class_names) < 2:
        raise ValueError(_ONE_CLASS.format(loss))
    for clip, number in zip(clip_ids, num_labels, strict=True):
        if number != 1:
            raise ValueError(
                f"`loss`={loss!r} needs clips of one label each: take 'bce'. "
                f"Received: clip {clip!r} with {int(number)} labels"
            )


def smooth_labels(labels, amount):
    """Spreads a share of each label evenly over the other classes.

    A label of 1 becomes `1 - amount` and the others share `amount`, as released: `amount / (classes - 1)` each.
    Keras spreads over all classes, the labelled one included. Labels that add up to 1 still do.

    Args:
        labels: `(batch, classes)`, of one class per example or mixtures of them.
        amount: At least 0 and below 1.

    Returns:
        `(batch, classes)`

    Example:

    >>> keras.ops.convert_to_numpy(smooth_labels(np.float32([[0, 1, 0]]), 0.5)).tolist()
    [[0.25, 0.5, 0.25]]

    Reference:
        gazneli2022, section 4.
    """
    off = amount / (labels.shape[-1] - 1)
    return labels * (1.0 - amount - off) + off


def binary_cross_entropy(logits, targets):
    """Binary cross-entropy of each class, exact for any logits.

    Args:
        logits: `(batch, classes)`
        targets: `(batch, classes)` in [0, 1]: multi-hot or mixed labels.

    Returns:
        `(batch, classes)`, float32

    Example:

    >>> keras.ops.convert_to_numpy(binary_cross_entropy(np.float32([[200.0, -200.0]]), np.float32([[0, 0]]))).tolist()
    [[200.0, 0.0]]
    """
    logits, targets = (ops.cast(x, "float32") for x in (logits, targets))
    return ops.softplus(logits) - targets * logits


def softmax_cross_entropy(logits, targets):
    """Cross-entropy of the classes of each example.

    Args:
        logits: `(batch, classes)`
        targets: `(batch, classes)`, which add up to 1 for each example.

    Returns:
        `(batch,)`, float32

    Example:

    >>> loss = softmax_cross_entropy(np.zeros((1, 4), "float32"), np.float32([[0, 1, 0, 0]]))
    >>> round(float(loss[0]), 4)
    1.3863
    """
    logits, targets = (ops.cast(x, "float32") for x in (logits, targets))
    return -ops.sum(targets * ops.log_softmax(logits), axis=-1)


def classification_loss(logits, targets, labels, kind, reduction="mean", label_smoothing=0.0):
    """Loss of a batch against its labels, which may have been mixed.

    Args:
        logits: `(batch, classes)`
        targets: `(batch, classes)`, the labels after mixing.
        labels: `(batch, classes)`, those before; by them `"softmax-or-bce"` knows the mixed examples.
        kind: `"bce"`, `"softmax"` or `"softmax-or-bce"`.
        reduction: `"mean"` over batch and classes, `"batch-mean"` over the batch, or `"sum"`, as released. The first
            two are the same with a softmax: it has one value for all classes, and beside it the binary loss is
            their sum, so that mixed examples weigh as much as others.
        label_smoothing: Of the softmax losses, at least 0 and below 1.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: if there is one class, of which a softmax is 1 whatever the logit.

    Example:

    >>> logits, labels = np.zeros((2, 4), "float32"), np.eye(2, 4, dtype="float32")
    >>> for reduction in ("mean", "batch-mean", "sum"):
    ...     print(reduction, round(float(classification_loss(logits, labels, labels, "bce", reduction)), 3))
    mean 0.693
    batch-mean 2.773
    sum 5.545

    Reference:
        gazneli2022, section 4: label smoothing, and binary cross-entropy where labels are mixed.
    """
    binary = ops.sum(binary_cross_entropy(logits, targets), axis=-1)
    if kind == "bce":
        return reduced(binary / logits.shape[-1] if reduction == "mean" else binary, reduction)
    if logits.shape[-1] < 2:
        raise ValueError(_ONE_CLASS.format(kind))
    softmax = softmax_cross_entropy(logits, smooth_labels(targets, label_smoothing))
    if kind == "softmax":
        return reduced(softmax, reduction)
    mixed = ops.any(ops.not_equal(targets, labels), axis=-1)
    return reduced(ops.where(mixed, binary, softmax), reduction)


def distillation_loss(logits, teacher_logits, kind="softmax", temperature=1.0):
    """Divergence of a student's class probabilities from a teacher's, times the square of the temperature.

    No gradient flows to the teacher.

    Args:
        logits: `(batch, classes)`, the student's.
        teacher_logits: `(batch, classes)`
        kind: `"softmax"`, one class per example; `"sigmoid"`, each class for itself; or `"sigmoid-released"`,
            which leaves out the divergence of the probabilities that a class is absent. Its smallest value is
            not at the teacher's logits: it pushes all logits up.
        temperature: Positive number that both logits are divided by.

    Returns:
        `(batch,)`, float32, summed over the classes.

    Raises:
        ValueError: If the kind is unknown.

    Example:

    >>> logits = np.float32([[1.0, 2.0, 3.0]])
    >>> abs(float(distillation_loss(logits, logits + 5)[0])) < 1e-6  # the softmax is the same
    True

    Reference:
        Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.
    """
    check_choice("kind", kind, ("softmax", "sigmoid", "sigmoid-released"))
    student = ops.cast(logits, "float32") / temperature
    teacher = ops.stop_gradient(ops.cast(teacher_logits, "float32")) / temperature
    if kind == "softmax":
        divergence = ops.softmax(teacher) * (ops.log_softmax(teacher) - ops.log_softmax(student))
    else:
        divergence = ops.sigmoid(teacher) * (ops.log_sigmoid(teacher) - ops.log_sigmoid(student))
        if kind == "sigmoid":
            divergence += ops.sigmoid(-teacher) * (ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student))
    return temperature**2 * ops.sum(divergence, axis=-1)


def reduced(losses, reduction):
    """The sum of the losses of a batch for `"sum"`, else their mean.

    Example:

    >>> float(reduced(np.float32([1, 2]), "sum"))
    3.0
    """
    return ops.sum(losses) if reduction == "sum" else ops.mean(losses)


def score_binary_cross_entropy(targets, scores):
    """Mean binary cross-entropy over the classes, of scores in [0, 1]; in the order of Keras' losses.

    Keras' own differs between the backends where a score saturates (TensorFlow looks up the logits), and
    under torch a NaN raises, on a GPU for the rest of the process.

    Args:
        targets: `(batch, classes)` in [0, 1].
        scores: `(batch, classes)` in [0, 1].

    Returns:
        `(batch,)`

    Example:

    >>> round(float(score_binary_cross_entropy(np.float32([[1, 0]]), np.float32([[0.5, 0.5]]))[0]), 4)
    0.6931
    """
    targets = ops.convert_to_tensor(targets)
    scores = ops.clip(scores, keras.config.epsilon(), 1.0 - keras.config.epsilon())
    losses = targets * ops.log(scores) + (1.0 - targets) * ops.log1p(-scores)
    return -ops.mean(losses, axis=-1)
