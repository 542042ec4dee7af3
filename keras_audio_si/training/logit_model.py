"""Training model for losses of logits, with teacher, auxiliary classifiers and moving averages."""

import keras
from keras import ops

from keras_audio_si.layers.attention_head import AttentionHead
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.models.surgery import MaskedNetwork, input_of_last, on_graph_of
from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.distillation import (
    auxiliary_classifier,
    frozen_copy,
    self_distillation_loss,
    teacher_loss,
)
from keras_audio_si.training.losses import classification_loss
from keras_audio_si.training.replicas import replica_share
from keras_audio_si.training.settings import PATCH_MONITORS


class LogitTrainingModel(AugmentedModel):
    """Trains a model by a loss of its logits, and by a teacher and auxiliary classifiers where there are any.

    Like its base class it is only used during training; `model` is saved without teacher and classifiers. If the
    settings monitor a balanced accuracy, the training has a metric `accuracy`.

    Args:
        model: Functional Keras model that ends in `layers.ClassScores`, or has a model in the end that does.
        settings: `TrainingSettings`; of those it takes the ones that speak of losses and auxiliary classifiers.
        mixing: As in `AugmentedModel`.
        averages: As in `AugmentedModel`.
        teacher: Keras model as `model` is, with as many classes; None for none. A frozen copy of it is asked, and
            gets the waveforms as the model gets them, augmented.

    Raises:
        ValueError: If the logits cannot be found, or a layer to supervise is not there.

    Example:

    >>> from keras_audio_si.layers import ClassScores
    >>> from keras_audio_si.training.settings import TrainingSettings
    >>> layers = [keras.Input((20,)), keras.layers.Dense(3, name="logits"), ClassScores("softmax")]
    >>> training_model = LogitTrainingModel(keras.Sequential(layers), TrainingSettings(loss="softmax"))
    >>> training_model.compile("adam")
    >>> x, y = np.zeros((8, 20), "float32"), np.eye(8, 3, dtype="float32")
    >>> history = training_model.fit((x, y), y, batch_size=4, verbose=0)
    >>> round(history.history["loss"][0], 1) < 1.2
    True

    Reference:
        gazneli2022, section 4.
    """

    def __init__(self, model, settings, mixing=(), averages=None, teacher=None, **kwargs):
        super().__init__(model, mixing, averages, **kwargs)
        self.settings = settings
        self.view = training_view(model, settings.auxiliary_layers, settings.seed)
        self.accuracy = keras.metrics.CategoricalAccuracy("accuracy") if settings.monitor in PATCH_MONITORS else None
        self.teacher = None
        if teacher is not None:
            self.teacher = training_view(frozen_copy(teacher))
            if self.teacher.output["logits"].shape[-1] != model.output_shape[-1]:
                raise ValueError(
                    f"The teacher must have the classes of the model, {model.output_shape[-1]}; it has "
                    f"{self.teacher.output['logits'].shape[-1]}."
                )

    @property
    def frozen_variables(self):
        return [] if self.teacher is None else self.teacher.variables

    def call(self, inputs, training=None):
        inputs, labels = self.augmented(inputs, training)
        outputs = {**self.view(inputs, training=training), "targets": labels}
        if self.teacher is not None:
            outputs["teacher"] = self.teacher(inputs, training=False)["logits"]
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        settings = self.settings
        kind = "sigmoid" if settings.loss == "bce" else "softmax"
        reduction = settings.loss_reduction

        def label_loss(logits):
            targets = y_pred["targets"]
            return classification_loss(logits, targets, y, settings.loss, reduction, settings.label_smoothing)

        logits = y_pred["logits"]
        total = label_loss(logits)
        if self.teacher is not None:
            divergence = teacher_loss(logits, y_pred["teacher"], kind, reduction, settings.teacher_temperature)
            total += settings.teacher_weight * divergence
        for features, auxiliary_logits in y_pred.get("auxiliary", ()):
            total += self_distillation_loss(
                features,
                auxiliary_logits,
                y_pred["features"],
                logits,
                label_loss(auxiliary_logits),
                kind,
                reduction,
                settings.auxiliary_weight,
                settings.auxiliary_feature_weight,
                settings.auxiliary_temperature,
            )
        total = total if reduction == "sum" else replica_share(total)
        return total + replica_share(sum(ops.sum(loss) for loss in self.losses))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if self.accuracy is not None:
            self.accuracy.update_state(y_pred["targets"], y_pred["logits"])
        return self.get_metrics_result()

    def get_config(self):
        raise NotImplementedError("A LogitTrainingModel is not saved; its `model` is.")


def training_view(model, auxiliary_layers=(), seed=0):
    """A functional model of a model's own layers, from its inputs to the logits and to auxiliary classifiers.

    Args:
        model: Functional Keras model that ends in `layers.ClassScores`, or in a functional model that does, such
            as `models.Classifier` makes.
        auxiliary_layers: Names of layers of the model that ends in `ClassScores`, each of which gets a new
            classifier.
        seed: Integer, sets the initial weights of the classifiers.

    Returns:
        Keras model whose output is a dictionary: `"logits"` `(batch, classes)` and, with auxiliary layers,
        `"features"` `(batch, width)`, what the logits are computed from, and `"auxiliary"`, a list of
        `[features, logits]`.

    Raises:
        ValueError: If the model has no logits that can be found, or no such layer.

    Example:

    >>> vgg = keras_audio_si.models.VGG41(5, width=0.125)
    >>> view = training_view(vgg, ["pool1", "pool2"])
    >>> view.output["logits"].shape, len(view.output["auxiliary"])
    ((None, 5), 2)
    """
    last = model.layers[-1] if model.layers else None
    if not getattr(model, "inputs", None) or not isinstance(last, (ClassScores, keras.Model)):
        raise ValueError(
            f"A loss of logits needs a functional model that ends in layers.ClassScores; {model.name!r} is a "
            f"{type(model).__name__} that ends in a {type(last).__name__}. Train it with loss='score-bce', without "
            "teacher and auxiliary layers."
        )
    if isinstance(last, ClassScores) and isinstance(model.layers[-2], AttentionHead):
        raise ValueError(
            f"The layer {model.layers[-2].name!r} of {model.name!r} gives scores, not logits: train it with "
            "loss='score-bce', without teacher and auxiliary layers."
        )
    if isinstance(model, MaskedNetwork) and auxiliary_layers:
        raise ValueError(
            f"`auxiliary_layers` must be empty for {model.name!r}, a masked network: their classifiers would count "
            "padding."
        )
    if isinstance(last, keras.Model):
        return on_graph_of(model, training_view(last, auxiliary_layers, seed)(input_of_last(model)))
    outputs = {"logits": last.input}
    if auxiliary_layers:
        features = model.layers[-2].input
        if isinstance(features, (list, tuple)) or len(features.shape) != 2:
            raise ValueError(
                f"Auxiliary classifiers imitate the features that the logits are computed from, (batch, width); in "
                f"{model.name!r} the layer before the class scores, {model.layers[-2].name!r}, has other inputs."
            )
        stages = [model.get_layer(name).output for name in auxiliary_layers]
        width, classes, dtype = features.shape[-1], last.input.shape[-1], model.dtype_policy
        outputs["features"] = features
        outputs["auxiliary"] = []
        for place, stage in enumerate(stages):
            name = f"auxiliary_classifier_{place}"
            classifier = auxiliary_classifier(stage.shape, width, classes, dtype, seed + place, name)
            outputs["auxiliary"].append(classifier(stage))
    return on_graph_of(model, outputs)
