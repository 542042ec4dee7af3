"""Output layer: class scores in float32, with the class names."""

import keras


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ClassScores(keras.layers.Layer):
    """Turns logits into scores, in float32 under every dtype policy, and keeps names and thresholds with the model.

    Args:
        activation: "sigmoid" (several classes at once), "softmax" (one of them) or None (logits).
        class_names: Names of the classes in the order of the logits, or None.
        thresholds: Score of each class from which on it counts as present, such as `evaluation.f1_thresholds` finds
            them, or None. They do not change the scores; the attribute can be set, and is saved with the model.

    Input shape:
        `(batch, classes)`

    Output shape:
        `(batch, classes)`

    Raises:
        ValueError: If the number of names or thresholds is not the number of logits, or a name occurs twice.

    Example:

    >>> layer = ClassScores("sigmoid", class_names=("dog", "rain"))
    >>> print(keras.ops.convert_to_numpy(layer(keras.ops.zeros((1, 2)))))
    [[0.5 0.5]]
    """

    def __init__(self, activation="sigmoid", class_names=None, thresholds=None, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_classes = None  # Not known before `build`.
        self.activation = keras.activations.get(activation)
        self.class_names = None if class_names is None else tuple(class_names)
        self.thresholds = thresholds
        if self.class_names is not None and len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"`class_names` must differ. Received: class_names={self.class_names}")

    def build(self, input_shape):
        if self.class_names is not None and len(self.class_names) != input_shape[-1]:
            raise ValueError(
                f"`class_names` must name the {input_shape[-1]} classes of the logits. "
                f"Received: {len(self.class_names)} names"
            )
        self.num_classes = input_shape[-1]
        self.thresholds = self.thresholds  # Checks their number.

    @property
    def thresholds(self):
        return self._thresholds

    @thresholds.setter
    def thresholds(self, values):
        values = None if values is None else tuple(float(value) for value in values)
        if values is not None and self.num_classes not in (None, len(values)):
            raise ValueError(
                f"`thresholds` must be {self.num_classes} numbers, one for each class. Received: {len(values)}"
            )
        self._thresholds = values

    def call(self, logits):
        return self.activation(logits)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        config = {**super().get_config(), "activation": activation, "class_names": self.class_names}
        return config | ({} if self.thresholds is None else {"thresholds": self.thresholds})
