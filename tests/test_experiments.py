"""Models and trainings from settings: any parts that fit, reports of real runs, continued and used again."""

import dataclasses

import keras
import numpy as np
import pytest
import soundfile
from recipe_data import RATE, rows_of, untimed, write_tones

from keras_audio_si import layers
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.data.splits import assign_splits
from keras_audio_si.data.synthetic import write_dataset
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.evaluation.patches import Confusion
from keras_audio_si.evaluation.report import write_table
from keras_audio_si.evaluation.shift import shift_consistency, shift_table
from keras_audio_si.evaluation.shift_clips import shift_patches
from keras_audio_si.experiments import icebreaker as icebreaker_module
from keras_audio_si.experiments import train_and_test as train_module
from keras_audio_si.experiments.divisions import divide
from keras_audio_si.experiments.model import build_augmentation, build_front_end, build_model, build_resolution
from keras_audio_si.experiments.presets import preset
from keras_audio_si.experiments.report import read_scores
from keras_audio_si.experiments.run import Run, _counts, cut_patches
from keras_audio_si.experiments.runner import run_experiment
from keras_audio_si.experiments.settings import MIXINGS, Settings
from keras_audio_si.experiments.train_and_test import train_and_test
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.models import class_names_of, front_end_of
from keras_audio_si.models.surgery import embedding_model, with_classes
from keras_audio_si.training.checkpoint import Checkpoint
from keras_audio_si.training.fit_loop import TrainingResult

VGG = Settings().changed(
    sample_rate=16000,
    width=0.0625,
    batch_norm_momentum=0.5,
    protocols=("time-1", "freq-2", "samples-9"),
    learning_rate=0.01,
    batch_size=16,
    epochs=1,
)
ROWS = {
    "max": VGG.changed(pooling="max"),
    "aps+ibp+mixup": VGG.changed(pooling="aps", intra_block_pooling=True, mixup_alpha=1.25),
}


def small_network(num_classes, input_shape=(1024,), activation="sigmoid", class_names=None, sample_rate=None):
    """A network on waveforms, with the signature of a builder."""
    inputs = keras.Input(input_shape, name="waveform")
    x = layers.FitLength(multiple=8, sample_rate=sample_rate, short="zero", peak=0.95)(inputs)
    x = keras.layers.Reshape((input_shape[0], -1))(x)
    x = keras.layers.Conv1D(4, 16, strides=8, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    logits = keras.layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, layers.ClassScores(activation, class_names, name="scores")(logits))


def small_classifier(num_classes, input_shape=(24, 16), activation="sigmoid", class_names=None):
    """A network on spectrograms, with the signature of a builder."""
    inputs = keras.Input(input_shape)
    x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Flatten()(inputs))
    logits = keras.layers.Dense(num_classes)(keras.layers.Dense(5, activation="relu")(x))
    return keras.Model(inputs, layers.ClassScores(activation, class_names)(logits), name="small")


EAT = Settings().changed(
    network=small_network,
    sample_rate=RATE,
    crops="random",
    short="zero",
    loss="softmax-or-bce",
    monitor="val_accuracy",
    schedule="one-cycle",
    early_stopping_patience=None,
    optimizer="adamw",
    mixings=("mixup",),
    epochs=8,
    batch_size=8,
    learning_rate=0.03,
    validation_split=0.25,
)
DIFFRES = Settings().changed(
    network=small_classifier,
    sample_rate=RATE,
    num_mels=16,
    fft_length=128,
    frames=24,
    hop_seconds=0.01,
    short="zero",
    crops="random",
    spec_augment=True,
    resolution="diffres",
    frames_per_second=50,
    masked=True,
    epochs=6,
    batch_size=8,
    learning_rate=0.01,
    validation_split=0.25,
    monitor="val_accuracy",
)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """48 clips of a low or a high tone, of 0.1 to 0.4 s, in two folds."""
    return write_tones(tmp_path_factory.mktemp("tones"), RATE // 10, RATE // 5 * 2)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    manifest = write_dataset(folder / "data", 50, sample_rate=16000, min_seconds=2.0, max_seconds=2.2)
    return divide(manifest), folder / "cache"


def compare(rows, events, folder, **arguments):
    divisions, cache_dir = events
    return run_experiment(rows, divisions, folder, cache_dir, verbose=0, **arguments)


@pytest.fixture(scope="module")
def report(events, one_block, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, compare(ROWS, events, folder)


@pytest.mark.first
class TestReport:
    def test_it_has_everything(self, report):
        folder, scores = report
        names = ("runs.csv", "table.csv", "table.md", "stability.png", "learning_curves.png", "experiment.json")
        assert all((folder / name).stat().st_size > 100 for name in (*names, "manifest.csv", "shift_clips.csv"))
        assert [score.row for score in scores] == list(ROWS)
        for row in ROWS:
            assert {path.name for path in (folder / row).iterdir()} == {
                "model.keras",
                "log.csv",
                "tensorboard",
                "settings.json",
                "checkpoints",
                "clips.csv",
                "model_card.md",
            }
        assert not [path for path in folder.rglob("*") if path.name.startswith(".")]

    def test_saved_model_gives_the_numbers_of_the_training(self, report, tmp_path):
        """Another process has the model file and the manifest of the report, nothing else."""
        folder, scores = report
        model = keras.models.load_model(folder / "aps+ibp+mixup" / "model.keras")
        manifest = read_dataset(folder / "manifest.csv").select(split="test")
        manifest = dataclasses.replace(manifest, class_names=class_names_of(model))
        cache = ClipCache.build(manifest, front_end_of(model).sample_rate, tmp_path, progress=False)
        values = scores[1].values
        assert evaluate_clips(model, patch_dataset(model, cache), batch_size=7).mAP == pytest.approx(values["mAP"])
        patches = shift_patches(model, cache, VGG.evaluation.protocols)
        for protocol, shift in shift_table(model, patches.waveforms, VGG.evaluation.protocols).items():
            assert 100 * shift.consistency == values[f"{protocol} consistency (%)"]
            assert shift.mac == pytest.approx(values[f"{protocol} MAC"], abs=1e-6)

    def test_the_list_of_shifted_clips_gives_the_same_patches(self, report, one_block):
        folder, _ = report
        manifest = read_dataset(folder / "manifest.csv").select(split="test")
        cache = ClipCache.build(manifest, 16000, folder / "cache", progress=False)
        model = build_model(manifest.class_names, VGG)
        drawn = shift_patches(model, cache, VGG.evaluation.protocols)
        listed = shift_patches(model, cache, VGG.evaluation.protocols, clip_list=folder / "shift_clips.csv")
        np.testing.assert_array_equal(listed.waveforms, drawn.waveforms)

    @pytest.mark.slow
    def test_same_seed_same_numbers_other_seed_others(self, report, events, one_block, tmp_path):
        row = {"": ROWS["max"].changed(protocols=())}
        scores = compare(row, events, tmp_path, seeds=(0, 1))
        assert scores[0].values["mAP"] == report[1][0].values["mAP"] != scores[1].values["mAP"]
        assert {"seed-0", "seed-1"} < {path.name for path in tmp_path.iterdir()}
        assert not (tmp_path / "stability.png").exists()

    @pytest.mark.slow
    def test_clips_that_cannot_be_shifted_are_known_before_the_training(self, events, one_block, tmp_path, monkeypatch):
        (tmp_path / "clips.csv").write_text("clip_id\nno-such-clip\n")
        with pytest.raises(ValueError, match="clips.csv, line 2: clip 'no-such-clip' is not among the clips"):
            compare({"": VGG.changed(shift_clips=str(tmp_path / "clips.csv"))}, events, tmp_path / "listed")
        monkeypatch.setattr("keras_audio_si.evaluation.shift_clips.MIN_CLIP_SECONDS", 100.0)
        with pytest.raises(ValueError, match="No clip can be used for a shift test.* 100 s or more.*no protocols"):
            compare({"": VGG}, events, tmp_path / "short")


class CutOff(Exception):
    pass


@pytest.mark.slow
def test_a_comparison_is_continued_to_the_bit(report, events, one_block, tmp_path, monkeypatch):
    """Cuts off in its second run, after a checkpoint."""
    folder, write, written = tmp_path / "run", Checkpoint.write, []

    def cut(self, folder):
        write(self, folder)
        written.append((self.epoch, self.step))
        if len(written) == 3:  # The first run has one within its epoch and one at its end.
            raise CutOff

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoint, "write", cut)
        with pytest.raises(CutOff):
            compare(ROWS, events, folder, checkpoint_steps=4)
    assert written == [(0, 4), (1, 0), (0, 4)]
    steps = []
    monkeypatch.setattr(Checkpoint, "write", lambda self, folder: steps.append((self.epoch, self.step)))
    compare(ROWS, events, folder, resume=True)
    assert steps == [(1, 0)]
    for name in ("runs.csv", "table.csv", "table.md"):
        assert untimed(folder / name) == untimed(report[0] / name)
    for name in ("experiment.json", "max/log.csv", "aps+ibp+mixup/log.csv"):
        assert (folder / name).read_bytes() == (report[0] / name).read_bytes()
    assert (folder / "stability.png").exists()


@pytest.mark.first
def test_folds_of_a_network_on_waveforms(tones, tmp_path, monkeypatch):
    manifest = read_dataset(tones)
    arguments = ({"": EAT}, divide(manifest, validation_split=0.25), tmp_path, tones / "cache")
    scores = run_experiment(*arguments, quantity="accuracy", verbose=0)
    assert [(score.fold, score.clips) for score in scores] == [("fold-1", "18/6/24"), ("fold-2", "18/6/24")]
    assert scores[0].values["accuracy"] > 0.9
    cache = ClipCache.build(manifest.select(folds=2), RATE, tones / "cache", progress=False)
    model = keras.models.load_model(tmp_path / "fold-2" / "model.keras")
    assert class_names_of(model) == ("high", "low")
    evaluation = evaluate_clips(model, PatchDataset(cache, 1024, short="zero", peak=0.95))
    assert evaluation.accuracy == scores[1].values["accuracy"]
    assert evaluation.mAP == pytest.approx(scores[1].values["mAP"], abs=1e-6)

    monkeypatch.setattr(train_module, "fit", None)  # Nothing is trained.
    assert run_experiment(*arguments, resume=True) == scores == read_scores(tmp_path)
    changed = {"": EAT.changed(learning_rate=0.5)}
    with pytest.raises(ValueError, match=r"learning_rate \(0.03 then, 0.5 now\)"):
        run_experiment(changed, *arguments[1:], resume=True)


@pytest.mark.slow
@pytest.mark.first
def test_resolution_behind_a_front_end(tones, tmp_path):
    rows = {"none": DIFFRES.changed(resolution="none", frames_per_second=None), "diffres": DIFFRES}
    divisions = divide(read_dataset(tones), folds=[2], validation_split=0.25)
    scores = run_experiment(rows, divisions, tmp_path, tones / "cache", quantity="accuracy", verbose=0)
    # By chance 0.5. The first epoch that is right on the few validation clips counts, with all there is to learn yet.
    assert min(score.values["accuracy"] for score in scores) > 0.7
    log = rows_of(tmp_path / "diffres" / "log.csv")
    assert len(log) == 6 and all(float(row["activeness"]) > 0 for row in log) and "guide_loss" in log[0]
    with np.load(tmp_path / "diffres" / "scores.npz") as history:  # One clip of each class.
        assert history["scores"].shape[:2] == (6, 2) and len(set(history["clip_names"])) == 2
    assert (tmp_path / "diffres" / "scores.gif").exists()
    assert (tmp_path / "diffres.png").stat().st_size > 1000
    model = keras.models.load_model(tmp_path / "diffres" / "model.keras")
    assert class_names_of(model) == ("high", "low") and patch_layout(model).short == "zero"
    assert any(isinstance(layer, layers.DiffResLayer) for layer in nested_layers(model))


@pytest.mark.slow
@pytest.mark.first
def test_a_class_may_be_called_class(tmp_path):
    counts = _counts(Confusion(np.int64([[3, 1], [0, 2]])), ["class", "dog"])
    write_table(counts, tmp_path, "confusion")
    lines = (tmp_path / "confusion.csv").read_text().splitlines()
    assert lines == [",class,dog", "class,3,1", "dog,0,2"]
    assert _counts(Confusion(np.int64([[3]])), ["dog"]) == [{"class": "dog", "dog": "3"}]


def test_a_network_in_stages(tones, tmp_path):
    settings = Settings().changed(
        network="heurinet",
        icebreaker=True,
        first_epochs=2,
        phase_epochs=1,
        dense_units=5,
        peak_of="clip",
        short="repeat",
        loss="softmax",
        optimizer="sgd",
        schedule="constant",
        early_stopping_patience=None,
        monitor="val_patch_balanced_accuracy",
        patch_scores=True,
        batch_size=8,
    )
    divisions = divide(read_dataset(tones), folds=[2], validation_split=0.25)
    arguments = ({"": settings}, divisions, tmp_path, tones / "cache")
    (score,) = run_experiment(*arguments, quantity="patch balanced accuracy", verbose=0)
    assert score.values["epochs"] == 5 and score.values["seconds"] > 0
    (line,) = rows_of(tmp_path / "table.csv")
    assert line["epochs"] == "5" and line["seconds"] == str(round(score.values["seconds"]))
    assert (tmp_path / "phases.png").stat().st_size > 1000 and not (tmp_path / "learning_curves.png").exists()
    stages = {path.parent.name for path in tmp_path.glob("*/log.csv")}
    assert stages == {"phase0", "phase1", "phase2", "phase3"}


def test_settings_of_stages_reach_them(tmp_path, monkeypatch):
    sounds = list(np.random.default_rng(0).uniform(-0.5, 0.5, (3, 50000)).astype("float32"))
    cache = ClipCache.from_waveforms(sounds, [("a",), ("b",), ("a",)], 22050, ("a", "b"))
    small = {"icebreaker": True, "epochs": 2, "dense_units": 5}
    changes = small | {"augment": "roll-gain", "mixings": ("timemix",), "protocols": ("time-1",)}
    settings, seen = preset("quick", "heurinet", **changes), {}

    def train_stages(stages, train, validation, folder, **arguments):
        seen.update(arguments, epochs=[stage.settings.epochs for stage in stages])
        (folder / "phase3").mkdir()
        (folder / "phase3" / "model.keras").touch()
        return {stage.name: TrainingResult(None, 0, 0.5, {"loss": [0.5]}) for stage in stages}

    monkeypatch.setattr(icebreaker_module, "train_stages", train_stages)
    splits, run = dict.fromkeys(("train", "val", "test"), cache), Run(tmp_path, verbose=0)
    values = train_and_test(splits, settings, run)
    assert seen["epochs"] == [1, 1, 1, 1] and "time-1 consistency (%)" in values
    (mixing,) = seen["augmentation"].layers[-1].layers
    assert isinstance(mixing, layers.TimeMix)
    card = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert "4 of 4" in card and "Of shifts it was tested against time-1 alone." in card
    with pytest.raises(ValueError, match="`icebreaker` needs validation clips, .*: `validation_split`"):
        train_and_test({"train": cache, "test": cache}, settings, run)
    with pytest.raises(ValueError, match="`teacher` must be None with `icebreaker`.* Received: .*gone"):
        train_and_test(splits, settings, dataclasses.replace(run, teacher=tmp_path / "gone"))


@pytest.mark.once
def test_without_validation_clips(tones, tmp_path):
    row = DIFFRES.changed(epochs=2, restore_best_weights=False, early_stopping_patience=None, schedule="constant")
    divisions = divide(read_dataset(tones), folds=[2], validation_split=None)
    (score,) = run_experiment({"": row}, divisions, tmp_path, tones / "cache", verbose=0)
    assert score.clips.split("/")[1] == "0" and "mAP" in score.values
    for name in ("learning_curves.png", "diffres.png", "scores.gif", "model.keras"):
        assert (tmp_path / name).stat().st_size > 1000
    assert "| val |" not in (tmp_path / "model_card.md").read_text(encoding="utf-8")


@pytest.mark.once
def test_roc_auc_is_that_of_the_clips(tones, tmp_path):
    from sklearn.metrics import roc_auc_score

    row = {"": DIFFRES.changed(resolution="average", epochs=1)}
    divisions = divide(read_dataset(tones), folds=[2], validation_split=0.25)
    (score,) = run_experiment(row, divisions, tmp_path, tones / "cache", verbose=0)
    cache = ClipCache.build(read_dataset(tones).select(folds=2), RATE, tones / "cache", progress=False)
    model = keras.models.load_model(tmp_path / "model.keras")
    clips = evaluate_clips(model, patch_dataset(model, cache)).clips
    expected = roc_auc_score(clips.targets, clips.scores, average="macro")
    assert score.values["ROC AUC"] == pytest.approx(expected, abs=1e-6)


def test_options_of_a_training_reach_it(tones, tmp_path, monkeypatch):
    cache = ClipCache.build(read_dataset(tones), RATE, tones / "cache", progress=False)
    splits = {split: cache.select(folds=1 + (split == "test")) for split in ("train", "val", "test")}
    seen = {}

    def fit(model, train, validation, training, folder, **arguments):
        seen.update(arguments, train=train, validation=validation, training=training)
        return TrainingResult(None, 0, 0.5, {"loss": [0.5, 0.25]}, seconds=3.21)

    monkeypatch.setattr(train_module, "fit", fit)
    build_model(("high", "low"), EAT).save(tmp_path / "model.keras")
    run = Run(tmp_path, tones / "cache", teacher=tmp_path, resume=True, verbose=0)
    values = train_and_test(splits, EAT.changed(sampling="class_balanced", seed=3), run)
    assert list(values)[:3] == ["parameters", "epochs", "seconds"] and (values["epochs"], values["seconds"]) == (2, 3.2)
    assert (seen["train"].crops, seen["train"].sampling, seen["train"].short) == ("random", "class_balanced", "zero")
    assert seen["validation"].crops == "fixed" and seen["training"].seed == 3 and seen["resume"]
    assert seen["teacher"].input_shape == (None, 1024) and seen["validation"].background is None


def test_background_noise_of_speech_commands(tmp_path):
    for name in ("yes/a", "yes/b", "yes/c", "no/a", "no/b", "no/c", "_background_noise_/hum"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", np.full(500, 0.1), RATE)
    (tmp_path / "validation_list.txt").write_text("yes/a.wav\nno/a.wav\n")
    (tmp_path / "testing_list.txt").write_text("yes/b.wav\nno/b.wav\n")
    settings = EAT.changed(background_noise=True)
    cache = ClipCache.build(assign_splits(read_dataset(tmp_path)), RATE, tmp_path / "cache", progress=False)
    model, run = build_model(("no", "yes"), settings), Run(tmp_path, tmp_path / "cache")
    patches = {split: cut_patches(model, cache.select(split=split), settings, run, split) for split in ("train", "val")}
    assert len(patches["train"].background.cache) == 1 and patches["val"].background is None


class TestModel:
    def test_parts_by_name(self):
        model = build_model(("a", "b"), DIFFRES.changed(seed=3))
        kinds = [type(layer).__name__ for layer in model.layers]
        assert {"LogMelSpectrogram", "SpecAugment", "FrameMask", "DiffResLayer", "MaskedNetwork"} <= set(kinds)
        assert model.get_layer("small").input_shape == (None, 12, 16, 3)
        augment = next(layer for layer in model.layers if isinstance(layer, layers.SpecAugment))
        assert (augment.max_mels, augment.max_time_fraction, augment.seed) == (6, 0.5, 3)

    def test_parts_as_objects(self):
        front_end = layers.LogMelSpectrogram(8000, num_mels=12)
        resolution = layers.AveragePoolFrames(num_frames=6)
        pooling = lambda strides: keras.layers.AveragePooling2D(strides, padding="same")  # noqa: E731
        changes = {"front_end": front_end, "resolution": resolution, "pooling": pooling, "frames_per_second": None}
        settings = VGG.changed(**changes, sample_rate=8000, frames=24)
        model = build_model(("a", "b"), settings)
        assert model.layers[1] is not front_end and model.layers[1].get_config() == front_end.get_config()
        assert model.get_layer("vgg41").input_shape[1:3] == (6, 12)
        pools = [layer for layer in nested_layers(model) if isinstance(layer, keras.layers.AveragePooling2D)]
        assert pools
        record = settings.record()["model"]
        assert record["front_end"]["config"]["num_mels"] == 12 and "<lambda>" in record["pooling"]

    def test_runs_do_not_share_layers(self):
        front_end = layers.TDFilterbanks(8000, num_filters=12)
        settings = VGG.changed(front_end=front_end, sample_rate=8000, frames=24)
        first, second = (build_model(("a", "b"), settings).layers[1] for _ in range(2))
        assert first is not second and len(first.weights) == len(second.weights) > 0
        first.set_weights([weight + 1 for weight in first.get_weights()])
        assert not np.allclose(first.get_weights()[0], second.get_weights()[0])
        trained = build_model(("a", "b"), settings.changed(front_end=first)).layers[1]
        for kept, weight in zip(trained.get_weights(), first.get_weights(), strict=True):
            np.testing.assert_array_equal(kept, weight)

    @pytest.mark.parametrize("front_end", ["td-fbank", "sincnet", "leaf"])
    def test_front_ends_take_the_place_of_log_mel(self, front_end):
        settings = DIFFRES.changed(front_end=front_end, fft_length=None)
        layer, mel = build_front_end(settings), build_front_end(DIFFRES)
        assert (layer.num_bands, layer.hop_length, layer.short) == (mel.num_bands, mel.hop_length, "zero")
        strides = [build_front_end(settings.changed(filter_stride=stride)).filter_stride for stride in (None, 4)]
        assert strides == [1, 4]

    @pytest.mark.first
    def test_pcen_behind_a_mel_spectrogram(self, rng):
        settings = VGG.changed(front_end="mel-pcen", frames=24, num_mels=16, hop_seconds=0.01, spec_augment=True)
        model = build_model(("a", "b"), settings)
        assert [type(layer).__name__ for layer in model.layers[1:4]] == ["LogMelSpectrogram", "PCEN", "SpecAugment"]
        waveforms = (0.1 * rng.standard_normal((2, model.input_shape[1]))).astype("float32")
        mel = layers.LogMelSpectrogram(16000, hop_seconds=0.01, num_mels=16, compression=None)
        wanted = model.get_layer("vgg41")(layers.PCEN()(mel(waveforms)))
        found, wanted = map(keras.ops.convert_to_numpy, (model(waveforms), wanted))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        assert front_end_of(model).hop_length == 160 and model.count_params() == model.layers[-1].count_params() + 64
        # Noise in place of bands is drawn behind PCEN: among energies it would be negative.
        longer = np.concatenate([waveforms, waveforms], axis=1)
        assert np.isfinite(shift_consistency(model, longer, "freq-3").mac)

    def test_heads_by_name(self, one_block):
        names, settings = ("a", "b", "c"), VGG.changed(frames=24, num_mels=16, protocols=())
        vgg = build_model(names, settings.changed(head="attention")).get_layer("vgg41")
        assert [type(layer).__name__ for layer in vgg.layers[-3:]] == ["MaxPooling2D", "AttentionHead", "ClassScores"]
        assert vgg.layers[-2].input.shape == (None, 12, 8, 3) and class_names_of(vgg) == names
        assert vgg.layers[-1].activation is keras.activations.linear
        vgg = build_model(names, settings.changed(head="mean_max", loss="softmax")).get_layer("vgg41")
        own = build_model(names, settings).get_layer("vgg41")
        assert [layer.name for layer in vgg.layers] == [layer.name for layer in own.layers]
        assert (vgg.layers[-3].mode, own.layers[-3].mode) == ("mean_max", "mean_mel_max_time")
        assert vgg.layers[-1].activation is keras.activations.softmax and vgg.layers[-2].input.shape == (None, 6)
        with keras.StatelessScope(initialize_variables=False):
            settings = Settings().changed(network="efficientnet-b0", frames=64, loss="bce", head="mean")
            network = build_model(names, settings).layers[-1]
            assert [layer.name for layer in network.layers[-3:]] == ["global_pool", "logits", "scores"]
            assert network.get_layer("logits").input.shape == (None, 1280)

    def test_heads_of_networks_on_waveforms(self):
        small = {"input_samples": 4096, "factors": (4, 2), "channels": 2, "transformer_layers": 1}
        settings = Settings().changed(network="eat-s", sample_rate=8000, **small, head="attention")
        assert build_model(("a", "b"), settings.changed(content="phase")).output_shape == (None, 2)
        model = build_model(("a", "b"), settings)
        assert isinstance(model.layers[-2], layers.AttentionHead) and model.layers[-2].input.shape == (None, 128, 128)
        assert class_names_of(model) == ("a", "b") and front_end_of(model).sample_rate == 8000

        def head(classes):
            return keras.Sequential([keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(classes)])

        model = build_model(("a", "b"), settings.changed(head=head, loss="softmax"))
        assert isinstance(model.layers[-2], keras.Sequential) and model.output_shape == (None, 2)
        assert model.layers[-1].activation is keras.activations.softmax

    def test_settings_of_diffres_reach_the_layer(self):
        change = {
            "aggregations": ["mean"],
            "resolution_encoding": False,
            "even": False,
            "guide_weight": 0.0,
            "guide_form": "released",
            "guide_threshold": 0.7,
            "guide_emptiness": "rms",
        }
        layer = build_resolution(DIFFRES.changed(**change, dilations=(1, 2, 4, 8, 16)), 100)
        assert (layer.num_channels, layer.even, layer.guide_weight, layer.guide_form) == (1, False, 0.0, "released")
        assert (layer.guide_threshold, layer.guide_emptiness) == (0.7, "rms")
        assert build_resolution(DIFFRES, 100).guide_form == "hinge"
        assert layer.importance.dilations == (1, 2, 4, 8, 16)

    def test_names_and_activation(self):
        model = build_model(("a", "b", "c"), EAT)
        assert class_names_of(model) == ("a", "b", "c") and model.layers[-1].activation is keras.activations.softmax
        model = build_model(("a", "b"), EAT.changed(loss="bce"))
        assert model.layers[-1].activation is keras.activations.sigmoid

    @pytest.mark.parametrize("content", ["phase", "magnitude", "both"])
    def test_contents(self, content):
        model = build_model(("a", "b"), EAT.changed(content=content))
        assert model.input_shape == (None, 1024) and class_names_of(model) == ("a", "b")
        assert with_classes(model, ("x", "y", "z")).output_shape == (None, 3)
        assert embedding_model(model).output_shape[1] > 2

    @pytest.mark.parametrize("network", ["heurinet", "mstnet", "melconvnet", "piczak"])
    def test_models_keep_what_fills_short_clips(self, network, tmp_path):
        settings = Settings().changed(network=network, dense_units=5)
        for short in ("repeat", "zero"):
            assert patch_layout(build_model(("a", "b"), settings.changed(short=short))).short == short
        build_model(("a", "b"), settings).save(tmp_path / "model.keras")
        trained = Settings().changed(initial=str(tmp_path / "model.keras"), short="zero")
        assert patch_layout(build_model(("a", "b"), trained)).short == "zero"

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"front_end": layers.LogMelSpectrogram(16000), "num_mels": 64}, "`front_end` has its own `num_mels`"),
            ({"front_end": layers.LogMelSpectrogram(16000), "short": "zero"}, "`short` must be that of the layer"),
            (
                {"resolution": layers.DiffResLayer(0.5), "frames_per_second": 10},
                "`resolution` has its own `frames_per_second`",
            ),
            ({"resolution": layers.DiffResLayer(0.5), "guide_weight": 0.0}, "`resolution` has its own `guide_weight`"),
            ({"masked": True, "augment": "roll-gain"}, "`augment` must be 'none' with `masked`"),
            ({"masked": True, "short": "repeat"}, "`short` must be 'zero', 'drop' or None with `masked`"),
        ],
    )
    def test_settings_that_a_layer_would_ignore(self, changes, message):
        with pytest.raises(ValueError, match=message):
            build_model(("a", "b"), Settings().changed(sample_rate=16000, width=0.0625, **changes))

    def test_a_trained_network_gets_other_classes(self, tmp_path):
        trained = build_model(("a", "b"), EAT)
        trained.save(tmp_path / "model.keras")
        settings = EAT.changed(initial=str(tmp_path / "model.keras"), short="repeat", peak=None)
        model = build_model(("x", "y", "z"), settings)
        assert class_names_of(model) == ("x", "y", "z") and model.output_shape == (None, 3)
        kept = [weight.shape == other.shape for weight, other in zip(model.weights, trained.weights, strict=True)]
        assert kept == [True, True, False, False]
        for weight, other in list(zip(model.weights, trained.weights, strict=True))[:2]:
            np.testing.assert_array_equal(weight.numpy(), other.numpy())
        assert patch_layout(model)[-2:] == ("repeat", 0.95)
        assert patch_layout(build_model(("x", "y"), settings.changed(peak=0.5))).peak == 0.5

    def test_a_trained_network_that_stores_no_peak(self, tmp_path, one_block):
        build_model(("a", "b"), VGG).save(tmp_path / "model.keras")
        with pytest.raises(ValueError, match="The model '.*' has no `peak`: leave that setting out"):
            build_model(("a", "b"), VGG.changed(initial=str(tmp_path / "model.keras"), peak=0.5))

    def test_networks_without_a_last_layer_to_replace(self):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Softmax()])
        with pytest.raises(ValueError, match="ends in Dense, then Softmax"):
            with_classes(model, ("a",))

    def test_mixed_precision_is_that_of_the_model_alone(self, one_block):
        model = build_model(("a", "b"), VGG.changed(pooling="blur3", mixed_precision="bfloat16"))
        assert model.get_layer("vgg41").get_layer("block1a_conv").compute_dtype == "bfloat16"
        assert keras.config.dtype_policy().name == "float32"

    def test_weights_of_efficientnets(self):
        with pytest.raises(OSError, match=r"no/such\.h5"):
            build_model(("a", "b"), Settings().changed(network="efficientnet-b0", weights="no/such.h5", frames=32))

    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"network": "vgg43"}, "`network` must be one of .*'vgg43'. Did you mean 'vgg4"),
            ({"factors": (4, 4)}, "The network 'vgg41' has no `factors`"),
            ({"network": "eat-s", "masked": True}, "`masked` is for networks on spectrograms"),
            ({"network": "eat-s", "front_end": "leaf"}, "`front_end` is for networks on spectrograms, and 'eat-s'"),
            ({"network": "eat-s", "width": 2.0}, "The network 'eat-s' has no `width`"),
            ({"input_samples": 100}, "`input_samples` and `content` are for networks on waveforms"),
            ({"front_end": "cqt"}, "`front_end` must be one of"),
            ({"head": "attention", "loss": "bce"}, "`loss` must be 'score-bce' with an attention head.* loss='bce'"),
            ({"head": "atention"}, "`head` must be one of 'attention', .* Did you mean 'attention'"),
            ({"peak": 0.5}, "The network 'vgg41' has no `peak`: leave that setting out, or set `peak_of`"),
            ({"network": "heurinet", "peak": 0.5}, "The network 'heurinet' has no `peak`"),
            ({"network": small_network, "peak": 0.5}, "The network 'small_network' has no `peak`"),
            ({"network": "piczak", "head": "mean"}, "The network 'piczak' takes no other `head`"),
            ({"network": small_classifier, "head": "mean"}, "The network 'small_classifier' takes no other `head`"),
            ({"network": "eat-s", "head": "mean"}, "`head` must be 'attention' or a function for .*'eat-s'"),
            ({"network": "heurinet", "content": "both"}, "`content` is of EAT, and not of 'heurinet'"),
            ({"front_end": "leaf", "fft_length": 512}, "The front-end 'leaf' has no `fft_length`"),
            ({"front_end": "leaf", "top_db": 40.0, "reference": "max"}, "The front-end 'leaf' has no `top_db`"),
            ({"front_end": "mel-pcen", "filter_stride": 4}, "The front-end 'mel-pcen' has no `filter_stride`"),
            ({"front_end": "leaf", "filter_stride": 7}, "`filter_stride` must divide the hop"),
            ({"resolution": "stretch", "frames_per_second": 25}, "`resolution` must be one of"),
            ({"resolution": "diffres", "frames_per_second": 101}, "frames_per_second"),
        ],
    )
    def test_parts_that_do_not_fit(self, changed, message):
        with pytest.raises(ValueError, match=message):
            build_model(("a", "b"), Settings().changed(**changed))


class TestAugmentation:
    def test_nothing(self):
        assert build_augmentation(EAT.changed(mixings=())) is None

    def test_mixings_alone(self):
        augmentation = build_augmentation(EAT.changed(mixings=MIXINGS))
        assert [type(layer).__name__ for layer in augmentation.layers] == ["MixUp", "TimeMix", "FreqMix", "PhaseMix"]

    def test_everything(self):
        rules = {"mixing_probability": 0.5, "label_rule": "union"}
        with pytest.raises(ValueError, match="are of `mixings`, of which there are none"):
            build_augmentation(EAT.changed(mixings=(), **rules))
        augmentation = build_augmentation(EAT.changed(mixings=MIXINGS, augment="eat-table1", **rules))
        mixings = augmentation.layers[-1].layers
        assert [layer.name for layer in mixings] == list(MIXINGS)
        assert {(layer.probability, layer.label_rule, layer.union_limit) for layer in mixings} == {(0.5, "union", 0.9)}
        kinds = {type(layer) for choice in augmentation.layers[1:3] for layer in choice.layers}
        assert {layers.RandomLowPass, layers.RandomHighPass} < kinds

    def test_without_noise(self):
        augmentation = build_augmentation(EAT.changed(mixings=(), augment="eat-light", augment_noise=False))
        assert not any(isinstance(layer, layers.RandomNoise) for layer in augmentation.layers)

    @pytest.mark.parametrize(
        "augment, factors",
        [
            ("roll-gain", (1.0,)),
            ("roll-gain-speed", (0.8, 0.9, 1.0, 1.1, 1.2)),
            ("roll-level-speed", (0.8, 0.9, 1.0, 1.1, 1.2)),
        ],
    )
    def test_speed_changes_the_pitch(self, augment, factors):
        settings = EAT.changed(mixings=(), augment=augment)
        samples, pitch = settings.data.sample_rate, 500
        sines = np.sin(2 * np.pi * pitch / samples * np.arange(samples))[None].repeat(80, axis=0).astype("float32")
        sines *= np.hanning(samples).astype("float32")  # Without clicks where a roll puts the end before the start.
        varied = keras.ops.convert_to_numpy(build_augmentation(settings)(sines, training=True))
        peaks = np.abs(np.fft.rfft(varied)).argmax(axis=1)
        assert {min(factors, key=lambda factor: abs(pitch / factor - peak)) for peak in peaks} == set(factors)
        assert all(min(abs(pitch / factor - peak) for factor in factors) <= 2 for peak in peaks)

    @pytest.mark.parametrize("augment, lowest, highest", [("roll-gain", -6.1, 2.3), ("roll-level-speed", -25.0, 15.0)])
    def test_levels(self, augment, lowest, highest):
        settings = EAT.changed(mixings=(), augment=augment)
        sine = np.sin(2 * np.pi * np.arange(16000) / 32)[None].repeat(400, axis=0).astype("float32")
        varied = keras.ops.convert_to_numpy(build_augmentation(settings)(sine, training=True))
        levels = 20 * np.log10(np.abs(varied).max(axis=1))  # At the ends of a faster clip the filter rings.
        assert lowest - 1.0 < levels.min() < lowest + 2.0 and highest - 2.0 < levels.max() < highest + 1.0

    def test_mixed_labels_need_a_loss_of_several(self):
        with pytest.raises(ValueError, match="`mixings` give several labels"):
            build_augmentation(EAT.changed(loss="softmax"))


@pytest.mark.once
class TestSettings:
    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"mixed_precision": "float8"}, "'bfloat16', 'float16'"),
            ({"content": "pitch"}, "`content` must be one of"),
            ({"mixings": ("cutmix",)}, "`mixings` must be some of"),
            ({"augment": "all"}, "`augment` must be one of"),
            ({"augment": "eat"}, "`augment`='eat' is 'eat-released', 'eat-table1' or 'eat-light' since version 0.3.0"),
            ({"augment": "eat-no-noise"}, "with `augment_noise` or without. Received: augment='eat-no-noise'"),
            ({"mixing_probability": 0.0}, "`mixing_probability` must be"),
            ({"label_rule": "both"}, "`label_rule` must be one of 'convex', 'union'"),
            ({"mixing_from_epoch": -1}, "`mixing_from_epoch` must be an integer of at least 0"),
            ({"resolution": "diffres"}, "`resolution` and `frames_per_second` .* need each other"),
            ({"frames": 0}, "`frames` must be positive"),
            ({"silence_decibels": -70.0}, "`silence_decibels` needs `peak_of`"),
            ({"peak_of": "clip", "crops": "random"}, "`crops` must be 'fixed' with `peak_of`='clip'.* crops='random'"),
            ({"peak_of": "patch", "background_noise": True}, "`background_noise` must be False with `peak_of`='patch'"),
            ({"peak_of": "clip", "peak": 0.5}, "`peak` must be None with `peak_of`='clip'.* Received: peak=0.5"),
            ({"initial": "x.keras", "frames": 50}, "`frames` must be None with `initial`.* Received: frames=50"),
            ({"initial": "x.keras", "mixed_precision": "bfloat16"}, "`mixed_precision` must be None with `initial`"),
            ({"epochs": 0}, "`epochs`"),
            ({"learning_rte": 0.1}, "`learning_rte` is no setting. Did you mean `learning_rate`"),
            ({"first_epochs": 0}, "`first_epochs` must be an integer of at least 1. Received: first_epochs=0"),
        ],
    )
    def test_out_of_range(self, changed, message):
        with pytest.raises(ValueError, match=message):
            Settings().changed(**changed)

    def test_old_names(self):
        with pytest.raises(TypeError, match="`validation_share` is `validation_split` since version 0.2.0"):
            Settings().changed(validation_share=0.1)


def test_patches_overlap_by_half_to_the_frame(one_block):
    model = build_model(("a", "b"), VGG.changed(sample_rate=22050))
    front_end = front_end_of(model)
    cache = ClipCache.from_waveforms([np.zeros(60000, "float32")], [("a",)], 22050, ("a", "b"))
    starts = patch_dataset(model, cache).patch_start
    assert front_end.num_frames(model.input_shape[1]) == 101
    assert set(np.diff(starts)) == {50 * front_end.hop_length}


def test_models_without_a_front_end_are_turned_down():
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"LogMelSpectrogram.*\(None, 20\)"):
        front_end_of(model)
