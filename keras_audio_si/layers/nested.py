"""Iteration over the layers inside a model or a layer."""

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


def all_layers(layer, include_self=True, recursive=True):
    """Returns a layer and the layers inside it, from the outside in; of models too.

    Keras has no public way that enters layers which are no models.

    Args:
        layer: Layer or model.
        include_self: Whether the layer itself is the first.
        recursive: Whether the layers inside the layers inside follow.

    Returns:
        List of layers.
    """
    return list(layer._flatten_layers(include_self=include_self, recursive=recursive))
