"""Distillation from the logits of a frozen teacher, and self-distillation by deep supervision."""

import keras
from keras import layers, ops

from keras_audio_si.training.losses import distillation_loss, reduced


def frozen_copy(model):
    """A copy of a functional model with the same weights, none of which is trained.

    Args:
        model: Functional Keras model.

    Returns:
        Keras model.

    Example:

    >>> teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> copy = frozen_copy(teacher)
    >>> len(copy.trainable_weights), len(teacher.trainable_weights)
    (0, 2)
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.trainable = False
    return copy


def auxiliary_classifier(stage_shape, width, num_classes, dtype=None, seed=0, name="auxiliary_classifier"):
    """Makes a classifier of a stage of a model.

    A convolution of size 1 to the width of the model's last features, a normalisation and a ReLU (the bottleneck
    of the paper, which has no pooling here), the mean over all positions, and a dense layer.

    Args:
        stage_shape: Shape of the stage's output, `(batch, ..., channels)`.
        width: Number of features.
        num_classes: Number of classes.
        dtype: Dtype policy of its layers.
        seed: Integer, sets its initial weights.
        name: Name of the model.

    Returns:
        Keras model from the stage's output to `[features, logits]`, `(batch, width)` and `(batch, num_classes)`.

    Example:

    >>> auxiliary_classifier((None, 50, 8), width=16, num_classes=3).output_shape
    [(None, 16), (None, 3)]

    Reference:
        Zhang et al., "Be Your Own Teacher", 2019, section 3.
    """
    first, second = (keras.initializers.GlorotUniform(seed=2 * seed + place) for place in range(2))
    stage = keras.Input(batch_shape=stage_shape)
    x = layers.Dense(width, use_bias=False, kernel_initializer=first, dtype=dtype, name=f"{name}_bottleneck")(stage)
    x = layers.BatchNormalization(momentum=0.9, dtype=dtype, name=f"{name}_normalization")(x)
    x = layers.ReLU(dtype=dtype)(x)
    positions = tuple(range(1, len(x.shape) - 1))
    # In float16 the sum of a long map is too large.
    features = ops.mean(ops.cast(x, "float32"), axis=positions) if positions else x
    logits = layers.Dense(num_classes, kernel_initializer=second, dtype=dtype, name=f"{name}_logits")(features)
    return keras.Model(stage, [features, logits], name=name)


def self_distillation_loss(
    features, logits, model_features, model_logits, label_loss, kind, reduction, weight, feature_weight, temperature
):
    """Loss of an auxiliary classifier: (1 - weight) labels + weight divergence + feature_weight distance.

    The divergence is that of its class probabilities from those of the model, the distance the squared one of its
    features from the model's. No gradient of either flows to the model's own logits and features.

    Args:
        features: `(batch, width)`, the classifier's.
        logits: `(batch, classes)`, the classifier's.
        model_features: `(batch, width)`
        model_logits: `(batch, classes)`
        label_loss: Scalar, the classifier's loss against the labels.
        kind: `"softmax"` or `"sigmoid"`; see `distillation_loss`.
        reduction: As in `classification_loss`.
        weight: At least 0 and below 1.
        feature_weight: At least 0.
        temperature: Positive.

    Returns:
        Scalar.

    Example:

    >>> x = np.ones((2, 3), "float32")
    >>> arguments = {"kind": "softmax", "reduction": "sum", "weight": 0.25, "feature_weight": 0.5, "temperature": 3.0}
    >>> float(self_distillation_loss(x, x, 2 * x, x, label_loss=4.0, **arguments))  # 0.75 * 4 + 0.5 * 6
    6.0

    Reference:
        Zhang et al., "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self
        Distillation", 2019, section 3: the deepest classifier teaches those before it.
    """
    divergence = teacher_loss(logits, model_logits, kind, reduction, temperature)
    teacher = ops.stop_gradient(ops.cast(model_features, "float32"))
    distance = reduced(ops.sum((ops.cast(features, "float32") - teacher) ** 2, axis=-1), reduction)
    return (1.0 - weight) * label_loss + weight * divergence + feature_weight * distance


def teacher_loss(logits, teacher_logits, kind, reduction, temperature):
    """`distillation_loss` of a batch; its mean over the classes as well, where that of the labels is one.

    Args:
        logits: `(batch, classes)`
        teacher_logits: `(batch, classes)`
        kind: As in `distillation_loss`.
        reduction: As in `classification_loss`. A softmax has one value for all classes.
        temperature: Positive.

    Returns:
        Scalar.

    Example:

    >>> round(float(teacher_loss(np.float32([[0, 0]]), np.float32([[9, 9]]), "sigmoid", "mean", 1.0)), 3)
    0.692
    """
    losses = distillation_loss(logits, teacher_logits, kind, temperature)
    classes = logits.shape[-1] if kind != "softmax" and reduction == "mean" else 1
    return reduced(losses, reduction) / classes
