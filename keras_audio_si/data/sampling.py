"""Order, sampling and crops of the examples of an epoch: pure functions of the seed and the epoch."""

import numpy as np


def epoch_order(num_examples, seed, epoch):
    """Order in which one epoch visits the examples, each of them once.

    Args:
        num_examples: Number of examples.
        seed: Non-negative integer.
        epoch: Number of the epoch, from 0.

    Returns:
        `(num_examples,)` int64 permutation: place `i` of the epoch holds example `order[i]`.

    Example:

    >>> from keras_audio_si.data.sampling import epoch_order
    >>> sorted(epoch_order(4, seed=0, epoch=3).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng((seed, epoch)).permutation(num_examples)


def weighted_draws(weights, seed, epoch):
    """Examples that one epoch visits, drawn with replacement: as many as there are, by their weights.

    Args:
        weights: `(num_examples,)` weights, not negative; an example of weight 0 is never drawn.
        seed: Non-negative integer.
        epoch: Number of the epoch, from 0.

    Returns:
        `(num_examples,)` int64: place `i` of the epoch holds example `draws[i]`.

    Example:

    >>> from keras_audio_si.data.sampling import weighted_draws
    >>> sorted(set(weighted_draws(np.array([1.0, 0.0, 3.0, 2.0] * 10), seed=0, epoch=3) % 4))
    [np.int64(0), np.int64(2), np.int64(3)]
    """
    weights = np.asarray(weights, "float64")
    return np.random.default_rng((seed, epoch)).choice(len(weights), len(weights), p=weights / weights.sum())


def class_balanced_weights(labels):
    """Weights by which every class is drawn about as often as any other.

    The weight of a clip is the sum, over its classes, of 1 / (number of clips of the class). Clips without a label have
    weight 0.

    Args:
        labels: `(num_clips, num_classes)` multi-hot labels.

    Returns:
        `(num_clips,)` float64.

    Raises:
        ValueError: If no clip has a label.

    Example:

    >>> from keras_audio_si.data.sampling import class_balanced_weights
    >>> class_balanced_weights(np.array([[1, 0], [1, 0], [1, 1], [0, 0]])).round(3).tolist()
    [0.333, 0.333, 1.333, 0.0]

    Reference:
        The released code of Gazneli et al., 2022.
    """
    labels, counts = _counted(labels)
    return labels @ np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)


def psla_weights(labels):
    """The weights of PSLA: 1000 / (number of clips of a class + 0.01), summed over the classes of a clip.

    They differ from `class_balanced_weights` by a factor, and by a hundredth for a class of one clip.

    Args:
        labels: `(num_clips, num_classes)` multi-hot labels.

    Returns:
        `(num_clips,)` float64.

    Raises:
        ValueError: If no clip has a label.

    Example:

    >>> from keras_audio_si.data.sampling import psla_weights
    >>> psla_weights(np.array([[1, 0], [1, 0], [1, 1], [0, 0]])).round(1).tolist()
    [332.2, 332.2, 1322.3, 0.0]

    Reference:
        Gong et al., "PSLA", 2021, section III-B, in the form of its released code.
    """
    labels, counts = _counted(labels)
    return labels @ (1000.0 / (counts + 0.01))


def _counted(labels):
    labels = np.asarray(labels)
    counts = labels.sum(axis=0, dtype="float64")
    if not counts.any():
        raise ValueError("Class-balanced sampling needs clips with labels. Received: none that has one")
    return labels, counts


def crop_starts(room, seed, epoch):
    """Where the examples of one epoch are cut, uniformly at random.

    Args:
        room: `(num_examples,)` largest possible start of each example of the epoch, in samples.
        seed: Non-negative integer.
        epoch: Number of the epoch, from 0.

    Returns:
        `(num_examples,)` int64 starts, 0 to `room` inclusive.

    Example:

    >>> from keras_audio_si.data.sampling import crop_starts
    >>> starts = crop_starts(np.array([0, 9, 9]), seed=0, epoch=3)
    >>> bool((starts <= [0, 9, 9]).all()), int(starts[0])
    (True, 0)
    """
    # A separate key: with the key of the order, crops would be correlated with the order.
    sequence = np.random.SeedSequence((seed, epoch), spawn_key=(1,))
    return np.random.default_rng(sequence).integers(0, np.asarray(room, "int64"), endpoint=True)
