import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si import layers, models
from keras_audio_si.layers import ClassScores
from keras_audio_si.training.distillation import frozen_copy
from keras_audio_si.training.logit_model import LogitTrainingModel, training_view
from keras_audio_si.training.settings import TrainingSettings

SETTINGS = TrainingSettings(loss="softmax", label_smoothing=0.1)


def network(seed=0, classes=3):
    """A functional model of sequences with two stages to supervise."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((12, 2))
    x = keras.layers.Conv1D(5, 3, activation="relu", name="stage1")(inputs)
    x = keras.layers.Conv1D(4, 3, activation="relu", name="stage2")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, ClassScores("softmax")(x))


def batch(rng, classes=3):
    return rng.normal(size=(8, 12, 2)).astype("float32"), np.eye(classes, dtype="float32")[np.arange(8) % classes]


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def outputs_of(training_model, x, y):
    return {
        name: [[numpy(v) for v in pair] for pair in value] if name == "auxiliary" else numpy(value)
        for name, value in training_model((x, y), training=False).items()
    }


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x)).astype("float64")


def loss_of(training_model, x, y):
    return float(ops.convert_to_numpy(training_model.compute_loss(None, y, training_model((x, y), training=False))))


def test_view_shares_the_weights(rng):
    model = network()
    view = training_view(model, ["stage1", "stage2"])
    x, _ = batch(rng)
    outputs = view.predict(x, verbose=0)
    np.testing.assert_allclose(np.exp(log_softmax(outputs["logits"])), model.predict(x, verbose=0), rtol=1e-5)
    assert [tuple(v.shape) for pair in outputs["auxiliary"] for v in pair] == [(8, 4), (8, 3)] * 2
    shared = {id(w) for w in model.weights}
    assert shared < {id(w) for w in view.weights}
    again = training_view(model, ["stage1", "stage2"])  # a model can be trained more than once
    new, same = ([numpy(w) for w in v.weights if id(w) not in shared] for v in (view, again))
    for one, other in zip(new, same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_view_of_a_model_in_a_model(rng):
    """As `models.Classifier` joins a front-end and a network; the layers are those of the network."""
    inputs = keras.Input((24,))
    chain = keras.Model(inputs, network()(keras.layers.Reshape((12, 2))(inputs)))
    x = rng.normal(size=(2, 24)).astype("float32")
    outputs = training_view(chain, ["stage1", "stage2"]).predict(x, verbose=0)
    np.testing.assert_allclose(np.exp(log_softmax(outputs["logits"])), chain.predict(x, verbose=0), rtol=1e-5)
    assert len(outputs["auxiliary"]) == 2
    vgg = models.VGG41(4, input_shape=(16, 20), width=0.0625)
    classifier = models.Classifier(layers.LogMelSpectrogram(8000, num_mels=20), vgg, input_samples=1440)
    view = training_view(classifier, ["pool1"])
    assert view.input_shape == (None, 1440) and view.output["logits"].shape == (None, 4)


def test_view_of_others_is_refused():
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="ends in layers.ClassScores; .* that ends in a Dense.*loss='score-bce'"):
        training_view(plain)
    with pytest.raises(ValueError, match="No such layer: stage9"):
        training_view(network(), ["stage9"])
    with pytest.raises(ValueError, match="`auxiliary_layers` must be empty for .*, a masked network"):
        training_view(models.with_masks(network()), ["stage1"])
    logits = keras.Sequential([keras.Input((4, 3)), keras.layers.Flatten(), ClassScores()], name="flat")
    with pytest.raises(ValueError, match="in 'flat' the layer before the class scores, 'flatten.*', has other inputs"):
        training_view(logits, [logits.layers[0].name])


def test_teacher(rng):
    """Its divergence is added, it does not learn, and the one who lent it keeps it as it was."""
    teacher, model = network(seed=1), network(seed=2)
    settings = TrainingSettings(loss="softmax", teacher_weight=0.5, teacher_temperature=2.0, mixup_alpha=None)
    training_model = LogitTrainingModel(model, settings, teacher=teacher)
    x, y = batch(rng)
    logits, asked = (numpy(training_view(m)(x)["logits"]) for m in (model, teacher))
    divergence = np.exp(log_softmax(asked / 2)) * (log_softmax(asked / 2) - log_softmax(logits / 2))
    expected = -np.mean(np.sum(y * log_softmax(logits), axis=1)) + 0.5 * 4 * np.mean(np.sum(divergence, axis=1))
    np.testing.assert_allclose(loss_of(training_model, x, y), expected, rtol=1e-5)
    before = teacher.get_weights()
    training_model.compile(keras.optimizers.Adam(0.1))
    losses = training_model.fit((x, y), y, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for weights in (teacher.get_weights(), training_model.teacher.get_weights()):
        assert all(np.array_equal(*pair) for pair in zip(weights, before, strict=True))
    assert len(training_model.trainable_variables) == len(model.trainable_variables) == 6
    assert len(training_model.frozen_variables) == 6 and teacher.trainable_weights
    with pytest.raises(ValueError, match="must have the classes of the model, 3; it has 4"):
        LogitTrainingModel(model, settings, teacher=network(classes=4))


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_auxiliary_classifiers(rng, loss):
    settings = TrainingSettings(
        loss=loss,
        loss_reduction="sum",
        auxiliary_layers=["stage1", "stage2"],
        auxiliary_weight=0.25,
        auxiliary_feature_weight=0.5,
        auxiliary_temperature=2.0,
    )
    model = network()
    training_model = LogitTrainingModel(model, settings)
    x, y = batch(rng)
    outputs = outputs_of(training_model, x, y)

    def against_labels(z):
        if loss == "softmax":
            return -np.sum(y * log_softmax(z))
        return np.sum(np.log1p(np.exp(z)) - y * z)

    def divergence(z, teacher):
        z, teacher = z / 2, teacher / 2
        if loss == "softmax":
            return 4 * np.sum(np.exp(log_softmax(teacher)) * (log_softmax(teacher) - log_softmax(z)))
        p, q = 1 / (1 + np.exp(-teacher)), 1 / (1 + np.exp(-z))
        return 4 * np.sum(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))

    expected = against_labels(outputs["logits"])
    for features, logits in outputs["auxiliary"]:
        expected += 0.75 * against_labels(logits) + 0.25 * divergence(logits, outputs["logits"])
        expected += 0.5 * np.sum((features - outputs["features"]) ** 2)
    np.testing.assert_allclose(loss_of(training_model, x, y), expected, rtol=1e-4)


def test_auxiliary_classifiers_are_trained_and_not_saved(rng, tmp_path):
    settings = TrainingSettings(loss="softmax", auxiliary_layers=["stage1"])
    model = network()
    names = [weight.path for weight in model.weights]
    training_model = LogitTrainingModel(model, settings)
    # Its kernels, biases and norm: five more that are trained.
    assert len(training_model.trainable_variables) == 6 + 5
    before = training_model.view.get_weights()
    training_model.compile(keras.optimizers.Adam(0.01))
    x, y = batch(rng)
    training_model.fit((x, y), y, epochs=2, verbose=0)
    for one, other in zip(before, training_model.view.get_weights(), strict=True):
        assert not np.array_equal(one, other)
    model.save(tmp_path / "model.keras")
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert [weight.path for weight in saved.weights] == names
    with pytest.raises(NotImplementedError, match="its `model` is"):
        training_model.get_config()


def test_losses_of_the_layers_are_added_once(rng):
    model = network()
    x, y = batch(rng)
    plain = loss_of(LogitTrainingModel(model, SETTINGS), x, y)
    kernel = model.get_layer("stage1").kernel
    kernel.regularizer = keras.regularizers.L2(0.5)
    with_penalty = loss_of(LogitTrainingModel(model, SETTINGS), x, y)
    np.testing.assert_allclose(with_penalty - plain, 0.5 * np.sum(numpy(kernel) ** 2), rtol=1e-4)


@pytest.mark.slow
def test_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, teacher = network(), network(seed=1)
    finally:
        keras.config.set_dtype_policy("float32")
    settings = TrainingSettings(loss="softmax", auxiliary_layers=["stage2"])
    training_model = LogitTrainingModel(model, settings, teacher=teacher)
    training_model.compile(keras.optimizers.AdamW(0.01))
    x, y = batch(rng)
    losses = training_model.fit((x, y), y, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert isinstance(training_model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_frozen_copy_is_another_model():
    model = network()
    copy = frozen_copy(model)
    model.layers[1].kernel.assign(np.zeros((3, 2, 5)))
    assert np.abs(copy.get_weights()[0]).max() > 0 and not copy.trainable_weights and model.trainable_weights
