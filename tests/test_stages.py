"""Training in stages: what is frozen, what stages begin with, and that a continued one ends the same."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from harness import numpy

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from kill_and_resume import differences, outcome
from tiny_training import patches

from keras_audio_si import layers, models
from keras_audio_si.evaluation.patches import evaluate_patches
from keras_audio_si.experiments.model import precision
from keras_audio_si.training.fit_loop import fit
from keras_audio_si.training.forcing import forcing_model, normalised, spectrogram_statistics
from keras_audio_si.training.freezing import layers_by_path, training_only
from keras_audio_si.training.icebreaker_stages import HEURI_SETTINGS, MST_SETTINGS, forcing_settings, icebreaker
from keras_audio_si.training.settings import TrainingSettings
from keras_audio_si.training.stages import Stage, train_stages

SETTINGS = dataclasses.replace(MST_SETTINGS, learning_rate=0.05, batch_size=8, epochs=2, gradient_clip_norm=0.5)
NAMES = ("forcing", "front", "all")


def spectrogram():
    return layers.LogMelSpectrogram(
        100, frame_seconds=0.16, hop_seconds=0.04, num_mels=4, center=True, drop_last_frame=True, name="spectrogram"
    )


def network(front_end, name="classifier"):
    inputs = keras.Input((16, 4), name="spectrogram")
    x = keras.layers.Conv1D(5, 3, name="conv1")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = keras.layers.GlobalMaxPooling1D(name="pool")(keras.layers.ReLU(name="relu")(x))
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    x = keras.layers.Dense(2, name="logits")(x)
    net = keras.Model(inputs, layers.ClassScores("softmax", name="scores")(x), name="net")
    return models.Classifier(front_end=front_end, backbone=net, input_samples=64, name=name)


def stages_of(seed, train):
    keras.utils.set_random_seed(seed)
    front = layers.ConvolutionFrontEnd(100, (6, 4), (8, 3), (4, 1), padding="same", name="front")
    model = network(front)
    target = normalised(spectrogram(), spectrogram_statistics(spectrogram(), train))
    return [
        Stage("forcing", forcing_model(front, 64), forcing_settings(SETTINGS, 2, 0.01), target=target),
        Stage("front", model, SETTINGS, trains=("front", "net/conv1"), start={"front": "forcing"}),
        Stage("all", model, SETTINGS, start="front"),
    ]


def run(folder, seed=0, **arguments):
    train = patches(0)
    stages = stages_of(seed, train)
    arguments = {"checkpoint_steps": 2, "verbose": 0, **arguments}
    return stages, train_stages(stages, train, patches(1), folder, **arguments)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    before = [numpy(weight) for weight in stages_of(0, patches(0))[1].model.weights]
    stages, results = run(folder)
    return folder, stages, results, before


def weights_of(folder, name):
    model = keras.models.load_model(folder / name / "model.keras")
    return {
        f"{path}/{weight.name}": numpy(weight)
        for path, layer in layers_by_path(model).items()
        for weight in layer.weights
    }


def test_each_stage_trains_its_layers_from_the_weights_it_says(undisturbed):
    folder, stages, results, before = undisturbed
    names = [weight.path for weight in stages[1].model.weights]
    initial = dict(zip(names, before, strict=True))
    forced, front, last = (weights_of(folder, name) for name in NAMES)
    assert not np.array_equal(forced["front/conv1/kernel"], initial["front/conv1/kernel"])
    assert not np.array_equal(front["front/conv1/kernel"], forced["front/conv1/kernel"])
    np.testing.assert_array_equal(front["net/logits/kernel"], initial["logits/kernel"])  # frozen
    np.testing.assert_array_equal(front["net/norm/moving_mean"], 0.0)  # and so in inference mode
    assert not np.array_equal(front["net/conv1/kernel"], initial["conv1/kernel"])
    for name in ("front/conv1/kernel", "net/logits/kernel", "net/norm/moving_mean"):
        assert not np.array_equal(last[name], front[name]), name
    # The model is left with the best weights of the last stage, and with nothing frozen.
    model = stages[1].model
    np.testing.assert_array_equal(numpy(model.get_layer("net").get_layer("logits").kernel), last["net/logits/kernel"])
    assert len(model.trainable_weights) == len(model.weights) - 2
    assert list(results) == list(NAMES)


def test_logs_have_scores_accuracy_and_the_norm_of_each_layers_gradients(undisturbed):
    history = {name: result.history for name, result in undisturbed[2].items()}
    logged = {"val_mse", "val_explained_variance", "val_time_correlation", "gradient_norm/front/conv2"}
    assert logged < set(history["forcing"])
    assert history["forcing"]["val_mse"][1] < history["forcing"]["val_mse"][0]
    assert undisturbed[2]["forcing"].best_value == max(history["forcing"]["val_explained_variance"])
    for name, trained in (("front", {"front/conv1", "front/conv2", "conv1"}), ("all", {"logits", "norm"})):
        log = history[name]
        assert {"accuracy", "val_patch_balanced_accuracy", "val_mean_balanced_accuracy"} < set(log)
        layers_logged = {key.removeprefix("gradient_norm/") for key in log if key.startswith("gradient_norm/")}
        assert trained <= layers_logged and ("logits" in layers_logged) == (name == "all")
        for layer in trained:
            mean, largest = np.array(log[f"gradient_norm/{layer}"]), np.array(log[f"gradient_norm_max/{layer}"])
            assert (0 < mean).all() and (mean <= largest).all()
        assert log["learning_rate"] == pytest.approx([0.05] * 2)
    scores = evaluate_patches(undisturbed[1][2].model, patches(1), batch_size=8)
    assert undisturbed[2]["all"].best_value == pytest.approx(scores.patches.balanced_accuracy)


@pytest.mark.slow
def test_a_continued_training_ends_the_same(undisturbed, tmp_path):
    """From the middle of an epoch of the second stage, and with other weights at hand than those it was begun with."""
    folder = shutil.copytree(undisturbed[0], tmp_path / "run")
    shutil.rmtree(folder / "all")
    newest, before = sorted((folder / "front" / "checkpoints").glob("*.npz"), reverse=True)[:2]
    assert "step-0000002" not in newest.name and "step-0000000" not in before.name
    newest.unlink()
    with pytest.raises(FileExistsError, match="resume=True"):
        run(folder)
    stages = stages_of(0, patches(0))
    with pytest.raises(ValueError, match="begun with other settings or data: stage front"):
        stages[1] = dataclasses.replace(stages[1], frozen="training")
        train_stages(stages, patches(0), patches(1), folder, resume=True)
    _, results = run(folder, seed=5, resume=True)
    for name in NAMES:
        one, other = outcome(undisturbed[0] / name), outcome(folder / name)
        assert differences(one, other) == [], (one["model config"], other["model config"])
        assert results[name].history == undisturbed[2][name].history


def test_frozen_layers_run_as_in_inference_or_as_in_training(rng):
    keras.utils.set_random_seed(3)
    model = network(spectrogram())
    x = rng.standard_normal((4, 64)).astype("float32")
    model.get_layer("net").get_layer("norm").moving_mean.assign(np.full(5, 0.3))
    wanted = numpy(model(x, training=False))
    net = model.get_layer("net")
    for frozen, same in (("inference", True), ("training", False)):
        with training_only(model, ["spectrogram"], frozen):
            assert not model.trainable_variables
            assert np.allclose(numpy(model(x, training=True)), wanted, atol=1e-6) is same
            assert model.get_config() == keras.Model.from_config(model.get_config()).get_config()
    with training_only(model, ["net/norm"]):  # its neighbours are frozen, and the network around it is not
        model(x, training=True)
        assert [variable.name for variable in model.trainable_variables] == ["gamma", "beta"]
    assert not np.allclose(numpy(net.get_layer("norm").moving_mean), 0.3)
    assert len(model.trainable_variables) == 6 and "call" not in vars(net.get_layer("dropout"))
    with pytest.raises(ValueError, match="no layer 'conv1'. Its layers with weights: net, net/conv1, net/norm"):
        with training_only(model, ["conv1"]):
            pass


def test_stages_that_do_not_fit_together(tmp_path):
    model, other = network(spectrogram()), keras.Sequential([keras.Input((64,)), keras.layers.Dense(2, name="net")])
    cases = {
        "starts from 'b', which is no earlier stage": [Stage("a", model, SETTINGS, start="b")],
        "Two stages are called 'a'": [Stage("a", model, SETTINGS), Stage("a", model, SETTINGS)],
        "the weights of 'net' have other shapes": [
            Stage("a", other, SETTINGS),
            Stage("b", model, SETTINGS, start={"net": "a"}),
        ],
        "weights of 'classifier' have other shapes": [
            Stage("a", other, SETTINGS),
            Stage("b", model, SETTINGS, start="a"),
        ],
        "has no layer 'net/conv9'": [
            Stage("a", model, SETTINGS),
            Stage("b", model, SETTINGS, start={"net/conv9": "a"}),
        ],
    }
    for message, stages in cases.items():
        with pytest.raises(ValueError, match=message):
            train_stages(stages, None, None, tmp_path)
    assert not list(tmp_path.iterdir())
    for arguments, message in (
        ({"name": "a/b"}, "`name` must be of letters"),
        ({"frozen": "yes"}, "`frozen` must be one of"),
        ({"trains": ()}, "at least one layer"),
        ({"trains": ("conv9",)}, "has no layer 'conv9'"),
    ):
        with pytest.raises(ValueError, match=message):
            Stage(**{"name": "a", "model": model, "settings": SETTINGS, **arguments})


def test_the_icebreaker_has_the_numbers_of_the_paper():
    heuri, mst = HEURI_SETTINGS, MST_SETTINGS
    assert (heuri.learning_rate, mst.learning_rate) == (2e-3, 5e-3) and heuri.momentum == mst.momentum == 0.9
    assert (heuri.gradient_clip_norm, mst.gradient_clip_norm, mst.gradient_clip_by) == (None, 3.0, "variable")
    alone, model = network(spectrogram()), network(layers.MSTFrontEnd(100, (6, 4), (8, 3), (4, 1), ("relu", "tanh")))
    forcing = Stage("forcing", forcing_model(model.layers[1], 64), forcing_settings(mst, 10))
    stages = icebreaker(alone, model, mst, forced=forcing)
    assert [stage.name for stage in stages] == ["forcing", "phase0", "phase1", "phase2", "phase3"]
    assert [stage.settings.epochs for stage in stages] == [10, 300, 100, 100, 100]
    assert stages[2].start == {"net": "phase0", model.layers[1].name: "forcing"}
    assert stages[3].trains == (model.layers[1].name, "net/conv1") and stages[4].trains is None
    assert {stage.settings.batch_size for stage in stages} == {1000}


def test_forcing_leaves_out_what_is_for_losses_of_labels():
    of_labels = {"label_smoothing": 0.1, "loss_reduction": "sum", "auxiliary_layers": ("relu",)}
    settings = forcing_settings(dataclasses.replace(MST_SETTINGS, **of_labels), 10)
    assert (settings.label_smoothing, settings.loss_reduction, settings.auxiliary_layers) == (0.0, "mean", ())


def test_settings_that_exclude_each_other():
    with pytest.raises(ValueError, match="need each other"):
        TrainingSettings(loss="mse")
    for optimizer in ("sgd", "adam-l2"):
        with pytest.raises(ValueError, match="`optimizer` must be 'adam' or 'adamw' with `schedule`='one-cycle'"):
            TrainingSettings(optimizer=optimizer, schedule="one-cycle")


def test_loss_scaling_does_not_change_the_norms(tmp_path):
    """Of half precision: the gradients are those of a loss that is scaled by 2^15."""
    settings = dataclasses.replace(SETTINGS, epochs=1, learning_rate=1e-6, gradient_clip_norm=None)
    norms = {}
    for policy in (None, "float16"):
        with precision(policy):
            inputs = keras.Input((64,))
            x = keras.layers.Conv1D(4, 9, strides=4, activation="relu", name="conv")(keras.ops.expand_dims(inputs, -1))
            x = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling1D()(x))
            model = keras.Model(inputs, layers.ClassScores("softmax", name="scores")(x))
            for weight, seed in zip(model.trainable_weights, range(9), strict=False):
                weight.assign(np.random.default_rng(seed).normal(size=weight.shape) * 0.3)
            history = fit(model, patches(0), patches(1), settings, tmp_path / str(policy), verbose=0).history
        norms[policy] = [
            history[f"gradient_norm{kind}/{name}"][0] for kind in ("", "_max") for name in ("conv", "logits")
        ]
    assert min(norms[None]) > 1e-3
    assert norms["float16"] == pytest.approx(norms[None], rel=0.02)
