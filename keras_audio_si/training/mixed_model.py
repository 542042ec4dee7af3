"""A model in a wrapper that mixes or augments its training batches inside the compiled step."""

import keras


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MixedTrainingModel(keras.Model):
    """Trains a model on mixed batches, with loss and metrics computed against the mixed targets.

    Mixing is a layer of the training step, so that it runs in the compiled step on every backend, where
    `tf.data` could run it under TensorFlow alone. The wrapper lives as long as the training: `model` is what
    is evaluated, saved and exported, and shares its weights. Outside training nothing is mixed.

    Args:
        model: Keras model from inputs to scores.
        mixing: layer from `(inputs, labels)` to `(inputs, labels)`, such as `layers.mixing.MixUp`; None
            trains on the batches as they come.

    Input shape:
        Pair of what `model` takes and the labels. A data set for `fit` yields `((inputs, labels), labels)`.

    Output shape:
        Dictionary of `"scores"`, as `model` gives them, and `"targets"`, the labels they are compared with.

    Example:

    >>> import numpy as np
    >>> from keras_audio_si.layers.mixing import MixUp
    >>> model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(3, activation="sigmoid")])
    >>> training_model = MixedTrainingModel(model, MixUp(seed=0))
    >>> training_model.compile("adam", "binary_crossentropy")
    >>> x, y = np.zeros((8, 20), "float32"), np.ones((8, 3), "float32")
    >>> history = training_model.fit((x, y), y, batch_size=4, verbose=0)
    >>> sorted(history.history)
    ['loss']
    """

    def __init__(self, model, mixing=None, **kwargs):
        # The policy of the model decides on loss scaling. Casting the inputs is up to the model: a waveform
        # stays float32.
        super().__init__(**{"dtype": model.dtype_policy, "autocast": False, **kwargs})
        self.model = model
        self.mixing = mixing

    def call(self, inputs, training=None):
        inputs, labels = inputs
        if self.mixing is not None:
            inputs, labels = self.mixing((inputs, labels), training=training)
        return {"scores": self.model(inputs, training=training), "targets": labels}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # `y` holds the labels as they were before mixing.
        return super().compute_loss(x, y_pred["targets"], y_pred["scores"], sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y_pred["targets"], y_pred["scores"], sample_weight)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        mixing = None if self.mixing is None else serialize(self.mixing)
        return {**super().get_config(), "model": serialize(self.model), "mixing": mixing}

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        return cls(**{**config, "model": deserialize(config["model"]), "mixing": deserialize(config["mixing"])})
