"""A trained network for other classes: everything but the last layer stays."""

import keras

from keras_audio_si.layers.heads import ClassScores


def with_classes(model, class_names, activation=None):
    """Give a trained classifier other classes: a new last dense layer, all other weights shared.

    Args:
        model: Functional model that ends in a `Dense` layer and `ClassScores`, such as `EAT` or `VGG41`.
        class_names: Names of the new classes.
        activation: Of the scores: None (logits), "sigmoid" or "softmax".

    Returns:
        Functional `keras.Model` on the same layers: training it changes `model`.

    Raises:
        ValueError: If the model ends otherwise.

    Example:

    >>> vgg = keras_audio_si.models.VGG41(num_classes=10, width=0.125)
    >>> with_classes(vgg, ("dog", "rain")).output_shape
    (None, 2)

    Reference:
        gazneli2022, section 4: EAT is trained on AudioSet, then on the other data sets.
    """
    *_, logits, scores = model.layers
    if not isinstance(scores, ClassScores) or not isinstance(logits, keras.layers.Dense):
        raise ValueError(
            f"The model {model.name!r} must end in a Dense layer and ClassScores to get other classes; it ends in "
            f"{type(logits).__name__} and {type(scores).__name__}."
        )
    features = keras.layers.Dense(len(class_names), dtype=logits.dtype_policy, name=logits.name)(logits.input)
    return keras.Model(model.input, ClassScores(activation, class_names, name=scores.name)(features), name=model.name)
