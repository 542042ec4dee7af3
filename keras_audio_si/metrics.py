"""Exact streaming metrics: mean average precision, mean area under the ROC curve, d', balanced accuracy."""

import math

import keras
from keras import ops

from keras_audio_si.checks import check_integer
from keras_audio_si.ops import ranking

__all__ = ["BalancedAccuracy", "DPrime", "MeanAveragePrecision", "MeanROCAUC"]

CAPACITY = 10_000  # Examples that a ranking metric has room for unless it is told otherwise.


class _RankingMetric(keras.metrics.Metric):
    """Base class of exact ranking metrics, which store all targets and scores.

    The state are two float32 arrays `(capacity, num_classes)`, which are sorted for each result. With
    `compile(metrics=[...])` Keras computes the result at every training step, which takes tenths of a second for
    20000 examples of 50 classes on a CPU; `training.callbacks.ClipValidation` ranks once per epoch.
    """

    _direction = "up"  # By it the callbacks of Keras know what is better.

    def __init__(self, num_classes, capacity=CAPACITY, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        check_integer(1, capacity=capacity, num_classes=num_classes)
        self.capacity = capacity
        self.num_classes = num_classes
        shape = (capacity, num_classes)
        self._targets = self.add_variable(shape, "zeros", dtype="float32", name="targets")
        self._scores = self.add_variable(shape, "zeros", dtype="float32", name="scores")
        self._count = self.add_variable((), "zeros", dtype="int32", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: `(batch, num_classes)`, 1 (above 0.5) where the example has the class, 0 elsewhere.
            y_pred: `(batch, num_classes)` scores of any scale.
            sample_weight: Must be None: weighted ranking is not supported.

        Raises:
            ValueError: If a shape is wrong, weights are given, or the examples exceed `capacity`. Inside a
                compiled step the last cannot be seen; there the result becomes NaN.
        """
        if sample_weight is not None:
            raise ValueError(f"{type(self).__name__} does not support `sample_weight`; pass None.")
        y_true = ops.cast(ops.convert_to_tensor(y_true), "float32")
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        for argument, value in (("y_true", y_true), ("y_pred", y_pred)):
            if len(value.shape) != 2 or value.shape[1] not in (None, self.num_classes):
                raise ValueError(
                    f"`{argument}` must be (batch, {self.num_classes}), multi-hot or scores. "
                    f"Received: shape={tuple(value.shape)}"
                )
        if None not in (y_true.shape[0], y_pred.shape[0]) and y_true.shape[0] != y_pred.shape[0]:
            raise ValueError(
                f"`y_true` and `y_pred` must hold as many examples. Received: {y_true.shape[0]} and {y_pred.shape[0]}"
            )
        size = ops.shape(y_pred)[0]
        if isinstance(size, int) and size > self.capacity:
            raise ValueError(
                f"A batch of {size} examples exceeds `capacity`={self.capacity}; make it at least as large."
            )
        count = self._count + size
        if _known(count) and int(count) > self.capacity:
            raise ValueError(
                f"{int(count)} examples exceed `capacity`={self.capacity}. Make it the number of examples "
                "between two calls of `reset_state` (one epoch)."
            )
        # Past the end the slice lands on rows that are taken already: `result` is NaN by then.
        start = (self._count.value, 0)
        self._targets.assign(ops.slice_update(self._targets.value, start, y_true))
        self._scores.assign(ops.slice_update(self._scores.value, start, y_pred))
        self._count.assign(count)

    def result(self):
        """Mean over the classes that are not excluded; NaN if there are none or `capacity` was exceeded."""
        values, defined = self._values()
        number = ops.sum(ops.cast(defined, "float32"))
        # Only undefined classes are left out: NaN scores of a defined class make the mean NaN.
        mean = ops.sum(ops.where(defined, values, 0.0)) / number
        return ops.where(self._count > self.capacity, math.nan, mean)

    def per_class(self):
        """Values of the single classes.

        Returns:
            float32 NumPy array `(num_classes,)`; NaN for the excluded classes.
        """
        return ops.convert_to_numpy(self._values()[0])

    def excluded_classes(self):
        """Classes for which the metric is not defined by the examples so far and which the mean leaves out.

        Returns:
            List of class indices.
        """
        defined = ops.convert_to_numpy(self._values()[1])
        return [index for index, value in enumerate(defined) if not value]

    def _values(self):
        """Values and whether they are defined, both `(num_classes,)`."""
        valid = ops.arange(self.capacity) < self._count
        positive = ops.logical_and(self._targets > 0.5, valid[:, None])
        negative = ops.logical_and(self._targets <= 0.5, valid[:, None])
        return self._evaluate(valid, ops.any(positive, axis=0), ops.any(negative, axis=0))

    def get_config(self):
        return {**super().get_config(), "capacity": self.capacity, "num_classes": self.num_classes}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MeanAveragePrecision(_RankingMetric):
    """Mean over classes of the average precision (mAP), exact, equal to scikit-learn's.

    Classes without a positive example are left out of the mean; `excluded_classes()` names them.

    Args:
        num_classes: Number of classes.
        capacity: Largest number of examples between two resets, such as the size of the validation set. The memory is 8
            bytes per example and class. More examples are an error; in a compiled step the result becomes NaN.
        name: Name of the metric.
        dtype: As in `keras.metrics.Metric`.

    Example:

    >>> metric = MeanAveragePrecision(num_classes=2)
    >>> metric.update_state([[1, 0], [0, 0]], [[0.2, 0.1], [0.8, 0.3]])
    >>> metric.update_state([[1, 0]], [[0.9, 0.6]])
    >>> round(float(metric.result()), 4)
    0.8333
    >>> metric.excluded_classes()
    [1]
    """

    def __init__(self, num_classes, capacity=CAPACITY, name="mAP", dtype=None):
        super().__init__(num_classes, capacity, name, dtype)

    def _evaluate(self, valid, positive, negative):
        return ranking.average_precision(self._targets, self._scores, valid), positive


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MeanROCAUC(_RankingMetric):
    """Mean over classes of the area under the ROC curve, exact, equal to scikit-learn's.

    Classes without a positive or without a negative example are left out of the mean; `excluded_classes()`
    names them.

    Args:
        num_classes: Number of classes.
        capacity: Largest number of examples between two resets, such as the size of the validation set. The memory is 8
            bytes per example and class. More examples are an error; in a compiled step the result becomes NaN.
        name: Name of the metric.
        dtype: As in `keras.metrics.Metric`.

    Example:

    >>> metric = MeanROCAUC(num_classes=1)
    >>> metric.update_state([[1], [0], [1], [0]], [[0.9], [0.8], [0.8], [0.1]])
    >>> float(metric.result())
    0.875
    """

    def __init__(self, num_classes, capacity=CAPACITY, name="mROC_AUC", dtype=None):
        super().__init__(num_classes, capacity, name, dtype)

    def _evaluate(self, valid, positive, negative):
        return ranking.roc_auc(self._targets, self._scores, valid), ops.logical_and(positive, negative)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class DPrime(MeanROCAUC):
    """d' of the mean area under the ROC curve, as reported for AudioSet and FSD50K.

    It is the d' of the mean, not the mean of the classes' d' (which `per_class()` gives).

    Args:
        num_classes: Number of classes.
        capacity: Largest number of examples between two resets, such as the size of the validation set. The memory is 8
            bytes per example and class. More examples are an error; in a compiled step the result becomes NaN.
        name: Name of the metric.
        dtype: As in `keras.metrics.Metric`.

    Example:

    >>> metric = DPrime(num_classes=1)
    >>> metric.update_state([[1], [0], [1], [0]], [[0.9], [0.8], [0.8], [0.1]])
    >>> round(float(metric.result()), 4)
    1.6268

    Reference:
        Hershey et al., "CNN Architectures for Large-Scale Audio Classification", 2017.
    """

    def __init__(self, num_classes, capacity=CAPACITY, name="d_prime", dtype=None):
        super().__init__(num_classes, capacity, name, dtype)

    def result(self):
        """d' of the mean over the classes that are not excluded."""
        return ranking.d_prime(super().result())

    def per_class(self):
        """Values of the single classes.

        Returns:
            float32 NumPy array `(num_classes,)`; NaN for the excluded classes.
        """
        return ops.convert_to_numpy(ranking.d_prime(super().per_class()))


@keras.saving.register_keras_serializable(package="keras_audio_si")
class BalancedAccuracy(keras.metrics.Metric):
    """Balanced accuracy: the mean of the recalls of all classes that occur.

    Args:
        num_classes: Number of classes.
        name: Name of the metric.
        dtype: As in `keras.metrics.Metric`.

    Example:

    >>> metric = BalancedAccuracy(num_classes=3)
    >>> metric.update_state([[1, 0, 0], [1, 0, 0]], [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])
    >>> metric.update_state([[0, 1, 0]], [[0.1, 0.8, 0.1]])
    >>> float(metric.result())
    0.75

    Reference:
        juettner, section 2.3.4.
    """

    _direction = "up"

    def __init__(self, num_classes, name="balanced_accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        check_integer(1, num_classes=num_classes)
        self.num_classes = num_classes
        self._right = self.add_variable((num_classes,), "zeros", dtype="float32", name="right")
        self._all = self.add_variable((num_classes,), "zeros", dtype="float32", name="all")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch.

        Args:
            y_true: `(batch, num_classes)`, one-hot.
            y_pred: `(batch, num_classes)` scores of any scale.
            sample_weight: `(batch,)` weights, or None.
        """
        targets = ops.one_hot(ops.argmax(y_true, axis=-1), self.num_classes)
        right = ops.cast(ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1)), "float32")
        weights = ops.ones_like(right) if sample_weight is None else ops.cast(sample_weight, "float32")
        self._right.assign(self._right + ops.sum(targets * (weights * right)[:, None], axis=0))
        self._all.assign(self._all + ops.sum(targets * weights[:, None], axis=0))

    def result(self):
        """Mean over the classes that occurred; NaN before the first example."""
        right, every = ops.convert_to_tensor(self._right), ops.convert_to_tensor(self._all)
        known = every > 0
        recalls = ops.where(known, right / ops.where(known, every, 1.0), 0.0)
        return ops.sum(recalls) / ops.sum(ops.cast(known, "float32"))

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def _known(value):
    """Whether a scalar has a value now, rather than being traced by a compiler."""
    try:
        int(value)
    except (TypeError, NotImplementedError):  # a tracer of JAX; a symbolic tensor of TensorFlow
        return False
    return True
