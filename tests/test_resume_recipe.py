"""Everything that the training can do, at once: continued from any of its checkpoints, it ends the same."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from kill_and_resume import differences, outcome
from tiny_training import RESUMED, VALIDATION, patches, train

from keras_audio_si import layers
from keras_audio_si.data.background import BackgroundNoise
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.layers import ClassScores
from keras_audio_si.training.checkpoint import Checkpoint
from keras_audio_si.training.fit_loop import fit
from keras_audio_si.training.identity import refuse_differences, run_identity
from keras_audio_si.training.settings import TrainingSettings

STEPS = 6  # of an epoch
CYCLE = dataclasses.replace(
    RESUMED,
    epochs=3,
    mixing_from_epoch=2,  # After the cut.
    early_stopping_patience=None,
    optimizer="adamw",
    weight_decay=0.01,
    epsilon=1e-4,
    gradient_clip_norm=1.0,
    schedule="one-cycle",
    loss="softmax-or-bce",
    loss_reduction="sum",
    label_smoothing=0.1,
    ema_decay=0.9,
    auxiliary_layers=("stage",),
)
PLATEAU = dataclasses.replace(RESUMED, epochs=4, optimizer="adamw", loss="bce", ema_decay=0.5, ema_update="released")


@keras.saving.register_keras_serializable(package="test_resume_recipe")
class RandomLevel(keras.layers.Layer):
    """An augmentation with draws of its own."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=None):
        waveforms, labels = inputs
        if training:
            waveforms = waveforms * keras.random.uniform((8, 1), 0.5, 1.5, seed=self.seed_generator)
        return waveforms, labels

    def compute_output_spec(self, inputs, training=None):
        return tuple(keras.KerasTensor(x.shape, dtype=x.dtype) for x in inputs)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def network(seed, policy="float32"):
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    try:
        # Names of its own, so that models of one process have one configuration.
        inputs = keras.Input((64,), name="waveform")
        x = keras.layers.Reshape((64, 1), name="channel")(inputs)
        x = keras.layers.Conv1D(4, 9, use_bias=False, activation="relu", name="stage")(x)
        x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
        x = keras.layers.Dropout(0.2, name="dropout")(x)
        x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
        x = keras.layers.Dense(2, name="logits")(x)
        scores = ClassScores("softmax", ("low", "high"), name="scores")(x)
        return keras.Model(inputs, scores, name="network")
    finally:
        keras.config.set_dtype_policy("float32")


def drawn_patches():
    """Random crops of clips drawn by class, with noise behind some; as many steps in an epoch as without."""
    hum = ClipCache.from_waveforms([np.sin(np.arange(500.0))], [()], 100, ("low", "high"))
    drawing = {"crops": "random", "sampling": "class_balanced", "background": BackgroundNoise(hum)}
    return patches(0, num_clips=8 * STEPS, noise=3.0, short="zero", peak=0.95, **drawing)


@dataclasses.dataclass
class Run:
    """A training that nothing disturbs, and what a kill at a step of it would leave."""

    settings: TrainingSettings
    policy: str
    cut: int  # after this step, counted over all epochs
    base: object

    def extras(self):
        """What belongs to one of the trainings: a teacher and an augmentation, or data that are drawn."""
        if self.settings is CYCLE:
            return {"augmentation": RandomLevel(seed=3), "teacher": network(7)}
        return {"data": drawn_patches()}

    def train(self, folder, seed, **arguments):
        self.model = network(seed, self.policy)
        return train(folder, settings=self.settings, model=self.model, **self.extras(), **arguments)

    def undisturbed(self):
        steps = iter(range(1, 1000))

        def left_behind(batch, logs):
            if next(steps) == self.cut:
                shutil.copytree(self.base / "undisturbed", self.base / "killed")

        callback = keras.callbacks.LambdaCallback(
            on_train_batch_end=left_behind, on_epoch_end=lambda *_: self.trained.append(self.model.get_weights())
        )
        self.trained = []
        self.result = self.train(self.base / "undisturbed", 1, callbacks=[callback])
        self.best = self.model.get_weights()
        return self


@pytest.fixture(scope="module")
def cycle(tmp_path_factory):
    return Run(CYCLE, "float32", STEPS + 5, tmp_path_factory.mktemp("cycle")).undisturbed()


@pytest.fixture(scope="module")
def plateau(tmp_path_factory):
    return Run(PLATEAU, "mixed_float16", 2 * STEPS + 1, tmp_path_factory.mktemp("plateau")).undisturbed()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cycle", "plateau"])
def test_ends_as_if_nothing_had_happened(request, name):
    run = request.getfixturevalue(name)
    newest = Checkpoint.newest(run.base / "killed" / "checkpoints")
    assert newest.epoch * STEPS + newest.step in (run.cut - 1, run.cut) and newest.epoch > 0
    again = run.train(run.base / "killed", seed=99)  # what it begins with does not count
    assert again.history == run.result.history and len(set(again.history["learning_rate"])) > 1
    assert differences(outcome(run.base / "undisturbed"), outcome(run.base / "killed")) == []


class TestAverages:
    def test_they_are_what_is_saved(self, cycle):
        """The model on the disk, and in memory at the end, has them; callbacks see the weights that are trained."""
        saved = keras.models.load_model(cycle.result.best_model_path)
        for one, other in zip(saved.get_weights(), cycle.best, strict=True):
            np.testing.assert_array_equal(one, other)
        assert cycle.result.best_epoch == VALIDATION.index(max(VALIDATION[:3]))
        for trained, best in zip(cycle.trained[cycle.result.best_epoch], cycle.best, strict=True):
            assert not np.array_equal(trained, best)

    def test_they_are_what_is_evaluated(self, cycle):
        saved = keras.models.load_model(cycle.result.best_model_path)
        accuracy = evaluate_clips(saved, patches(1, noise=3.0), 8).accuracy
        assert accuracy == cycle.result.history["val_accuracy"][cycle.result.best_epoch]

    def test_nothing_else_is_saved(self, cycle):
        saved = keras.models.load_model(cycle.result.best_model_path)
        assert [layer.name for layer in saved.layers] == [layer.name for layer in network(1).layers]


def test_checkpoints_leave_the_teacher_out(cycle):
    checkpoint = Checkpoint.newest(cycle.base / "undisturbed" / "checkpoints")
    shapes = [array.shape for array in checkpoint.variables]
    # The kernel of the stage: itself, its average, two moments.
    assert shapes.count((9, 1, 4)) == 4


def test_runs_of_earlier_versions_go_on(tmp_path):
    """Their checkpoints do not know the settings that were not there. Nor does a model mind a second training."""
    settings = dataclasses.replace(RESUMED, epochs=2, ema_decay=0.9)
    model = network(1)
    train(tmp_path, settings=settings, model=model, checkpoint_steps=None)
    (tmp_path / "checkpoints" / "epoch-00002-step-0000000.npz").unlink()
    checkpoint = Checkpoint.newest(tmp_path / "checkpoints")
    added = {"optimizer", "beta_2", "schedule", "loss", "auxiliary_layers", "augmentation", "teacher"}
    old = {name: value for name, value in checkpoint.identity.items() if name not in added}
    checkpoint._replace(identity=old).write(tmp_path / "checkpoints")
    result = train(tmp_path, settings=settings, model=model, checkpoint_steps=None)
    assert len(result.history["loss"]) == 2 and np.isfinite(result.history["loss"]).all()


def test_layers_are_described_as_in_earlier_versions():
    """Digests of 0.2.0, which had none of the arguments that came later."""

    def described(layer):
        return run_identity(network(1), patches(0), patches(1), RESUMED, layer)["augmentation"]

    fragment = layers.RandomFragmentGain(8000, seed=2)
    order = [layers.RandomOrder([layers.RandomGain(seed=0)], seed=1), fragment]
    assert described(layers.AugmentationChain(order)) == "AugmentationChain 14a7b5e86683497f"
    assert described(layers.eat_mixing(16000, seed=3)) == "RandomChoice 0778eddbb4470108"
    assert described(layers.eat_mixing(16000, probability=0.5, seed=3)) != "RandomChoice 0778eddbb4470108"
    assert described(layers.MixUp(10.0, probability=0.5, seed=5)) == "MixUp 0936cb2ec831e53b"
    assert described(layers.LogMelSpectrogram(16000)) == "LogMelSpectrogram 5fc8d5e95da57c84"
    pools = {
        "AntiAliasPool ea1cce855b96bb2d": layers.AntiAliasPool(),
        "AntiAliasPool bddb42ff3a3ebbc0": layers.AntiAliasPool(filter="trainable", initializer="box"),
        "AdaptivePolyphasePool 30afa5d22da10780": layers.AdaptivePolyphasePool(non_negative=True),
        "AdaptivePolyphasePool 719912980fff16c1": layers.AdaptivePolyphasePool(filter="trainable", initializer="box"),
    }
    assert {described(pool): pool for pool in pools.values()} == pools
    assert described(layers.AntiAliasPool(filter="trainable")) not in pools  # It has another start now.


class TestRefused:
    def test_another_teacher_or_augmentation(self):
        def identity(augmentation=None, teacher=None):
            return run_identity(network(1), patches(0), patches(1), CYCLE, augmentation, teacher)

        begun = identity(RandomLevel(3), network(7))
        refuse_differences(begun, identity(RandomLevel(3), network(7)))
        for now, name in (
            (identity(RandomLevel(4), network(7)), "augmentation"),
            (identity(RandomLevel(3)), "teacher"),
            (identity(RandomLevel(3), network(8)), "teacher"),
        ):
            with pytest.raises(ValueError, match=f"other settings or data: {name}"):
                refuse_differences(begun, now)

    def test_what_a_loss_of_scores_cannot_have(self, tmp_path):
        with pytest.raises(ValueError, match="`teacher` needs a `loss` of logits"):
            fit(network(1), patches(0), patches(1), RESUMED, tmp_path, teacher=network(2))
        with pytest.raises(ValueError, match="needs a functional model that ends in layers.ClassScores"):
            train(tmp_path, settings=CYCLE)
        for changed in ({"label_smoothing": 0.1}, {"loss_reduction": "sum"}, {"auxiliary_layers": ("stage",)}):
            with pytest.raises(ValueError, match=f"`{next(iter(changed))}` .*`loss`"):
                TrainingSettings(**changed)
