"""A wrapper model that augments and mixes its training batches inside the compiled step."""

import keras


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AugmentedModel(keras.Model):
    """Wraps a model to train it on augmented and mixed batches, with loss and metrics for the mixed targets.

    Augmentation and mixing are layers of the compiled training step, so that they run on every backend. The wrapper is
    only used during training: the inner `model`, which shares its weights, is evaluated, saved and exported. Outside of
    training nothing is mixed.

    Args:
        model: Keras model from inputs to scores.
        mixing: Layer from `(inputs, labels)` to `(inputs, labels)`, such as `layers.mixing.MixUp`, or a list of
            such layers in their order; None trains on the batches as they come.
        averages: `WeightAverages` of the model, which take in its weights at each step; None for none.

    Input shape:
        Pair of what `model` takes and the labels. A data set for `fit` yields `((inputs, labels), labels)`.

    Output shape:
        Dictionary of `"scores"`, as `model` gives them, and `"targets"`, the labels they are compared with.

    Example:

    >>> import numpy as np
    >>> from keras_audio_si.layers.mixing import MixUp
    >>> model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(3, activation="sigmoid")])
    >>> training_model = AugmentedModel(model, MixUp(seed=0))
    >>> training_model.compile("adam", "binary_crossentropy")
    >>> x, y = np.zeros((8, 20), "float32"), np.ones((8, 3), "float32")
    >>> history = training_model.fit((x, y), y, batch_size=4, verbose=0)
    >>> sorted(history.history)
    ['loss']
    """

    def __init__(self, model, mixing=None, averages=None, **kwargs):
        # The policy of the model decides on loss scaling. Casting the inputs is up to the model: a waveform
        # stays float32.
        super().__init__(**{"dtype": model.dtype_policy, "autocast": False, **kwargs})
        self.model = model
        self.mixing = list(mixing) if isinstance(mixing, (list, tuple)) else [] if mixing is None else [mixing]
        self.averages = averages

    def call(self, inputs, training=None):
        inputs, labels = self.augmented(inputs, training)
        return {"scores": self.model(inputs, training=training), "targets": labels}

    def augmented(self, inputs, training=None):
        """The pair that a step works on: what `mixing` makes of it, and in passing the averages are updated."""
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                "An `AugmentedModel` takes pairs of inputs and labels: the data set must yield "
                "((inputs, labels), labels), as `PatchDataset.batches` and `PatchSequence` do with mixed=True."
            )
        inputs, labels = inputs
        if self.averages is not None:
            inputs = self.averages(inputs, training=training)
        for layer in self.mixing:
            inputs, labels = layer((inputs, labels), training=training)
        return inputs, labels

    @property
    def frozen_variables(self):
        """List of variables that no step changes, which a checkpoint need not have."""
        return []

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # `y` holds the labels as they were before mixing.
        return super().compute_loss(x, y_pred["targets"], y_pred["scores"], sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y_pred["targets"], y_pred["scores"], sample_weight)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        mixing = [serialize(layer) for layer in self.mixing]
        return {**super().get_config(), "model": serialize(self.model), "mixing": mixing}

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        mixing = [deserialize(layer) for layer in config["mixing"]]
        return cls(**{**config, "model": deserialize(config["model"]), "mixing": mixing})
