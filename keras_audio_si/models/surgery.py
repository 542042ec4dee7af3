"""Model surgery: copies of a model with replaced layers, and with other classes."""

import keras

from keras_audio_si.layers.attention_head import AttentionHead
from keras_audio_si.layers.heads import ClassScores


def with_classes(model, class_names, activation=None):
    """Copies a trained classifier with other classes: a new last layer, all other weights shared.

    Args:
        model: Functional model that ends in a `Dense` layer or an `AttentionHead`, and `ClassScores`, such as `EAT`,
            `VGG41` or `EfficientNetTagger`, or in such a model, as a `Classifier` does.
        class_names: Names of the new classes.
        activation: Of the scores: None (logits), "sigmoid" or "softmax". An `AttentionHead` gives scores of several
            labels without one, so that it takes no "softmax".

    Returns:
        Functional `keras.Model` on the same layers: training it changes `model`.

    Raises:
        ValueError: If the model ends otherwise, or with "softmax" in an `AttentionHead`.

    Example:

    >>> vgg = keras_audio_si.models.VGG41(num_classes=10, width=0.125)
    >>> with_classes(vgg, ("dog", "rain")).output_shape
    (None, 2)

    Reference:
        gazneli2022, section 4: EAT is trained on AudioSet, then on the other data sets.
    """

    def classes(last, scores):
        if isinstance(last, AttentionHead):
            if activation == "softmax":
                raise ValueError("`activation` must be None or 'sigmoid' for a model with an `AttentionHead`.")
            inputs = last.input if isinstance(last.input, list) else [last.input]  # With masks the mask as well.
            found = AttentionHead(len(class_names), last.heads, name=last.name)(*inputs)
            return ClassScores(None, class_names, name=scores.name)(found)
        logits = keras.layers.Dense(len(class_names), dtype=last.dtype_policy, name=last.name)(last.input)
        return ClassScores(activation, class_names, name=scores.name)(logits)

    return _with_end(model, classes, (keras.layers.Dense, AttentionHead))


def embedding_model(model):
    """Makes the model from waveforms to embeddings: what the last dense layer of a classifier takes.

    Args:
        model: Functional model that ends in a `Dense` layer and `ClassScores`, such as `EAT` or `VGG41`, or in such a
            model, as a `Classifier` does.

    Returns:
        Functional `keras.Model` on the same layers, from the inputs of `model` to `(batch, features)`.

    Raises:
        ValueError: If the model ends otherwise.

    Example:

    >>> vgg = keras_audio_si.models.VGG41(num_classes=10, width=0.125)
    >>> embedding_model(vgg).output_shape
    (None, 32)
    """
    return _with_end(model, lambda logits, scores: logits.input, (keras.layers.Dense,))


def _with_end(model, end, kinds):
    """The model on the same layers up to its last layer of such kinds, with `end(last, scores)` as its output."""
    last, scores = (None, *model.layers)[-2:]
    if isinstance(scores, keras.Model):
        # Not a copy of the graph: layers that are called again no longer tell what they make in either of the two.
        return on_graph_of(model, _with_end(scores, end, kinds)(input_of_last(model)), name=model.name)
    if not isinstance(scores, ClassScores) or not isinstance(last, kinds):
        allowed = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"The model {model.name!r} must end in {allowed}, then ClassScores; it ends in {type(last).__name__}, then "
            f"{type(scores).__name__}."
        )
    return on_graph_of(model, end(last, scores), name=model.name)


def inputs_of(model):
    """The inputs of a functional or Sequential model, as it takes them."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def input_of_last(model):
    """What the last layer of a functional or Sequential model takes. The layers are in the order of the graph."""
    return inputs_of(model) if len(model.layers) == 1 else model.layers[-2].output


def on_graph_of(model, outputs, name=None):
    """A functional model from the inputs of another one to tensors of its graph; it takes masks if that one does."""
    kind = MaskedNetwork if isinstance(model, MaskedNetwork) else keras.Model
    return kind(inputs_of(model), outputs, name=name)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MaskedNetwork(keras.Model):
    """The functional model that `with_masks` makes, which Keras may give masks."""

    def compute_mask(self, inputs, previous_mask):
        return None  # A map that comes out has its own.


def graph_copy(model, clone=None, call=None, inputs=None):
    """Copies the graph of a model layer by layer; the given functions copy layers and their weights.

    Args:
        model: Functional or Sequential model that is built.
        clone: Function from each layer (and operation of `keras.ops`) to its copy; None makes one of its config.
        call: Function of `(layer, *args, **kwargs)` that calls a copy; None calls it.
        inputs: Tensors of the shapes of the new inputs, as `model.input` is structured; None for those that it has.

    Returns:
        Functional `keras.Model`

    Raises:
        ValueError: If the layers of the model cannot be told from outside.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None) or not model.built:
        raise ValueError(
            f"`model` must be a functional or Sequential Keras model that is built. Received: {type(model).__name__} "
            f"{model.name!r}: the layers of a subclassed model cannot be told from outside."
        )
    graph = model
    if isinstance(model, keras.Sequential):
        graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    # Named as the input layers: Keras would take the names of their tensors.
    names = {id(layer.output): layer.name for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)}
    inputs = keras.tree.map_structure(
        lambda old, new: keras.Input(batch_shape=new.shape, dtype=new.dtype, name=names[id(old)]),
        graph.input,
        graph.input if inputs is None else inputs,
    )
    return keras.models.clone_model(graph, input_tensors=inputs, clone_function=clone, call_function=call)


class ModelCopy:
    """Copies a model and the models inside it; subclasses say what becomes of the layers and of their calls."""

    def __init__(self):
        self.clones_of = {}  # A layer that is used twice is copied once.

    def copy(self, model):
        return graph_copy(model, self.clone, self.call)

    def copy_with_weights(self, model):
        copied = self.copy(model)
        self.copy_weights()
        return copied

    def clone(self, layer):
        if not isinstance(layer, keras.Layer):
            return layer  # An operation of `keras.ops`, which has no weights.
        if layer not in self.clones_of:
            self.clones_of[layer] = self.copy(layer) if self.is_graph(layer) else self.clone_layer(layer)
        return self.clones_of[layer]

    def is_graph(self, layer):
        """Whether a layer is copied layer by layer itself."""
        return isinstance(layer, keras.Model)

    def clone_layer(self, layer):
        return type(layer).from_config(layer.get_config())

    def call(self, layer, *args, **kwargs):
        return layer(*args, **kwargs)

    def copy_weights(self):
        for layer, clone in self.clones_of.items():
            if not self.is_graph(layer) and layer.weights:
                clone.set_weights(layer.get_weights())


class ResizedCopy:
    """Copies a model and the models inside it for inputs of another length; subclasses say what changes with it.

    Args:
        size: What of the layers changes, for the error of one that cannot follow.
    """

    def __init__(self, size):
        self.size = size
        self.copies = {}  # By the identity of the original. A layer that is used twice is copied once.

    def copy(self, model, inputs=None):
        """Copies a model, for inputs of the shapes of these."""
        if inputs is not None:  # A model may be called with a list of one.
            inputs = keras.tree.pack_sequence_as(inputs_of(model), keras.tree.flatten(inputs))
        return graph_copy(model, lambda layer: layer, self.call, inputs)

    def config(self, layer):
        """The configuration of the copy of a layer."""
        return layer.get_config()

    def weights(self, layer, copied):
        """The values of the weights of the copy of a layer, which is built."""
        return layer.get_weights()

    def call(self, layer, *args, **kwargs):
        if not isinstance(layer, keras.Layer):
            return layer(*args, **kwargs)  # An operation of `keras.ops`, which has no weights.
        inner = isinstance(layer, keras.Model)
        if id(layer) not in self.copies:
            self.copies[id(layer)] = self.copy(layer, args[0]) if inner else type(layer).from_config(self.config(layer))
        copied = self.copies[id(layer)]
        if inner:
            return copied(*args, **kwargs)
        try:
            outputs = copied(*args, **kwargs)
            copied.set_weights(self.weights(layer, copied))
        except ValueError as error:
            raise ValueError(f"The layer {layer.name!r} cannot have another {self.size}: {error}") from error
        return outputs
