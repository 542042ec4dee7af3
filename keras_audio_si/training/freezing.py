"""Freezing of layers, as a context manager."""

import contextlib
import functools
import inspect

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.nested import all_layers

FROZEN = ("inference", "training")


def layers_by_path(model):
    """The layers of a model, those inside of models and of layers among them, by their paths.

    Args:
        model: Keras model.

    Returns:
        Dict of layers, in the order of the model. A path is made of names, such as "piczak_net/conv1".

    Example:

    >>> net = keras_audio_si.models.HeuriNet(10, dense_units=5)
    >>> [path for path in layers_by_path(net) if path.endswith("conv1")]
    ['heuri_front_end/conv1', 'piczak_net/conv1']
    """
    found = {}

    def visit(layer, prefix):
        for inner in all_layers(layer, include_self=False, recursive=False):
            path = f"{prefix}{inner.name}"
            found.setdefault(path, inner)
            visit(inner, f"{path}/")

    visit(model, "")
    return found


def chosen_layers(model, paths):
    """The layers of some paths.

    Args:
        model: Keras model.
        paths: Tuple of paths as in `layers_by_path`.

    Returns:
        List of layers.

    Raises:
        ValueError: If there is no such layer; the message lists those with weights.
    """
    known = layers_by_path(model)
    for path in paths:
        if path not in known:
            weighted = ", ".join(path for path, layer in known.items() if layer.weights)
            raise ValueError(f"{model.name!r} has no layer {path!r}. Its layers with weights: {weighted}.")
    return [known[path] for path in paths]


@contextlib.contextmanager
def training_only(model, paths=None, frozen="inference"):
    """Freezes all layers of a model but some, within the block.

    Gradients flow through frozen layers; only their weights are not updated. The configuration of the model does not
    change: a model that is saved within the block is not frozen when it is loaded.

    Args:
        model: Keras model.
        paths: Paths of the layers to train, each with all that is inside of it; None for all layers.
        frozen: How the frozen layers run in training: `"inference"`, without dropout and with the moving statistics of
            batch normalisations, or `"training"`, like the others: with dropout, and with the statistics of batches,
            which the moving ones follow.

    Raises:
        ValueError: If a path is unknown, or `frozen` is none of its values.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
    >>> model = keras.Sequential(layers, name="net")
    >>> with training_only(model, ["b"]):
    ...     print([variable.path for variable in model.trainable_variables])
    ['net/b/kernel', 'net/b/bias']
    >>> len(model.trainable_variables)
    4
    """
    check_choice("frozen", frozen, FROZEN)
    if paths is None:
        yield
        return
    chosen = chosen_layers(model, paths)
    trained = {id(variable) for layer in chosen for variable in layer.trainable_variables}
    variables = [variable for variable in model.trainable_variables if id(variable) not in trained]
    layers = _apart_from(model, chosen) if frozen == "inference" else []
    try:
        for variable in variables:
            variable.trainable = False
        for layer in layers:
            object.__setattr__(layer, "call", _in_inference(layer.call))
        yield
    finally:
        for variable in variables:
            variable.trainable = True
        for layer in layers:
            vars(layer).pop("call", None)


def _apart_from(model, chosen):
    """The layers that are asked whether they train, and neither are, nor lie in, nor hold, one of the chosen."""
    inside = {id(layer) for one in chosen for layer in all_layers(one)}
    return [
        layer
        for layer in all_layers(model, include_self=False)
        if "training" in inspect.signature(layer.call).parameters
        and not inside & {id(inner) for inner in all_layers(layer)}
    ]


def _in_inference(call):
    @functools.wraps(call)
    def called(*args, **kwargs):
        return call(*args, **{**kwargs, "training": False})

    return called
