"""Iteration over the layers of a model, including those of nested models."""

import keras


def nested_layers(model):
    """Yields the layers of a model, with nested models replaced by their layers.

    Args:
        model: A Keras model.

    Yields:
        Layers in the order of `model.layers`.

    Example:

    >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> [type(layer).__name__ for layer in nested_layers(keras.Sequential([inner, keras.layers.Softmax()]))]
    ['Dense', 'Softmax']
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from nested_layers(layer)
        else:
            yield layer
