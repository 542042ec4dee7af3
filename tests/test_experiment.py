"""From audio files to the report, small: narrow networks of one block, synthetic events, one or two epochs."""

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")
pytest.importorskip("matplotlib", reason="the report has figures")

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.data.splits import assign_splits
from keras_audio_si.data.synthetic import write_dataset
from keras_audio_si.evaluation.clips import evaluate_clips
from keras_audio_si.evaluation.shift import shift_table
from keras_audio_si.evaluation.shift_clips import shift_patches
from keras_audio_si.experiment import Experiment, TrainingSettings, build_model, compare, load_splits, run
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.layers.pooling_names import build_pooling
from keras_audio_si.models.metadata import class_names_of, front_end_of
from keras_audio_si.training.checkpoint import Checkpoint
from keras_audio_si.training.run_folder import locked
from keras_audio_si.variants import PAPER_MAP, TABLES, Variant
from keras_audio_si.visualization.stability import typical_examples

TINY = Experiment(
    sample_rate=16000,
    width=0.0625,
    batch_norm_momentum=0.5,
    protocols=("time-1", "freq-2", "samples-9"),
    training=TrainingSettings(learning_rate=0.01, batch_size=16, epochs=1),
)
VARIANTS = [Variant("max"), Variant("aps", intra_block_pooling=True, mixup=True)]


pytestmark = pytest.mark.usefixtures("one_block")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    manifest = write_dataset(folder / "data", 50, sample_rate=16000, min_seconds=2.0, max_seconds=2.2)
    return load_splits(assign_splits(manifest), 16000, folder / "cache")


@pytest.fixture(scope="module")
def report(splits, one_block, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, compare(VARIANTS, splits, TINY, folder, verbose=0)


@pytest.fixture(scope="module")
def seeds(splits, tmp_path_factory):
    """Two runs of the first variant of `report`, the first of them with its seed, without shifts."""
    folder = tmp_path_factory.mktemp("seeds")
    settings = dataclasses.replace(TINY, seeds=(0, 1), protocols=())
    return folder, compare([Variant("max")], splits, settings, folder, verbose=0)


def test_report_has_everything(report):
    folder, runs = report
    names = ("table.csv", "table.md", "stability.png", "learning_curves.png", "experiment.json", "manifest.csv")
    assert all((folder / name).stat().st_size > 100 for name in (*names, "shift_clips.csv"))
    assert [one.result.model for one in runs] == ["baseline", "aps+ibp+mixup"]
    assert [one.folder for one in runs] == [folder / "baseline", folder / "aps+ibp+mixup"]
    for one in runs:
        assert {path.name for path in one.folder.iterdir()} == {
            "model.keras",
            "log.csv",
            "tensorboard",
            "settings.json",
            "checkpoints",
        }
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def rows_of(folder):
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_table_is_what_was_measured(report):
    folder, runs = report
    rows = rows_of(folder)
    assert [row["model"] for row in rows] == ["baseline", "aps+ibp+mixup"]
    for row, (result, _) in zip(rows, runs, strict=True):
        assert float(row["mAP"]) == pytest.approx(result.evaluation.mAP)
        assert float(row["samples-9 MAC"]) == pytest.approx(result.shifts["samples-9"].mac)


def test_table_has_mean_and_deviation_of_the_seeds(seeds):
    folder, runs = seeds
    (row,) = rows_of(folder)
    values = [one.result.evaluation.mAP for one in runs]
    assert row["runs"] == "2" and float(row["mAP"]) == pytest.approx(np.mean(values))
    assert float(row["mAP std"]) == pytest.approx(np.std(values, ddof=1))


def test_a_single_variant_has_no_folder_of_its_own(seeds):
    folder, runs = seeds
    assert [one.folder for one in runs] == [folder / "seed-0", folder / "seed-1"]
    assert (folder / "learning_curves.png").exists() and not (folder / "stability.png").exists()


def test_same_seed_same_model_other_seed_another(report, seeds):
    scores = [one.result.evaluation.clips.scores for one in (report[1][0], *seeds[1])]
    np.testing.assert_array_equal(scores[1], scores[0])
    assert np.abs(scores[2] - scores[0]).max() > 1e-3


def test_only_variants_with_mixup_mix(report):
    settings = [json.loads((one.folder / "settings.json").read_text()) for one in report[1]]
    assert [record["mixup_alpha"] for record in settings] == [None, 1.25]


class CutOff(Exception):
    pass


class TestResume:
    @pytest.fixture(scope="class")
    def cut_off(self, report, splits, tmp_path_factory):
        """The comparison of `report`, cut off in its second run, after a checkpoint."""
        folder = tmp_path_factory.mktemp("cut_off")
        write, written = Checkpoint.write, []

        def cut(self, folder):
            write(self, folder)
            written.append((self.epoch, self.step))
            if len(written) == 3:  # the first run has one within its epoch and one at its end
                raise CutOff

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Checkpoint, "write", cut)
            with pytest.raises(CutOff):
                compare(VARIANTS, splits, TINY, folder, verbose=0, checkpoint_steps=4)
        assert written == [(0, 4), (1, 0), (0, 4)]
        return folder

    def test_a_comparison_is_continued(self, report, cut_off, splits, tmp_path, monkeypatch):
        folder = shutil.copytree(cut_off, tmp_path / "run")
        steps = []
        monkeypatch.setattr(Checkpoint, "write", lambda self, folder: steps.append((self.epoch, self.step)))
        runs = compare(VARIANTS, splits, TINY, folder, verbose=0, resume=True)
        assert steps == [(1, 0)]
        for name in ("table.csv", "table.md", "baseline/log.csv", "aps+ibp+mixup/log.csv", "experiment.json"):
            assert (folder / name).read_bytes() == (report[0] / name).read_bytes()
        for one, expected in zip(runs, report[1], strict=True):
            np.testing.assert_array_equal(one.result.evaluation.clips.scores, expected.result.evaluation.clips.scores)
            assert one.result.shifts == expected.result.shifts
        assert (folder / "stability.png").exists()

    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"width": 0.5}, r"width \(0.0625 then, 0.5 now\)"),
            ({"learning_rate": 0.5}, r"learning_rate \(0.01 then, 0.5 now\)"),
            ({"seeds": (0, 1)}, r"seeds"),
        ],
    )
    def test_other_settings_are_refused(self, cut_off, splits, changed, message):
        settings = {name: value for name, value in {**vars(TINY), **vars(TINY.training)}.items() if name != "training"}
        before = (cut_off / "experiment.json").read_bytes()
        with pytest.raises(ValueError, match=f"other settings or data: {message}"):
            compare(VARIANTS, splits, Experiment.of(**{**settings, **changed}), cut_off, resume=True)
        assert (cut_off / "experiment.json").read_bytes() == before

    def test_other_clips_are_refused(self, cut_off, splits):
        test = splits["test"]
        fewer = ClipCache(test.manifest.subset(range(2)), 16000, test.samples, test.starts[:2], test.lengths[:2])
        with pytest.raises(ValueError, match=r"clip audio/0\d+.wav \(\[.*\] then, null now\), .* and 3 more"):
            compare(VARIANTS, {**splits, "test": fewer}, TINY, cut_off, resume=True)

    def test_nothing_is_replaced_by_accident(self, cut_off, splits):
        for variants in (VARIANTS, [Variant("blur3")]):
            with pytest.raises(FileExistsError, match="(baseline|mixup)' has a run in it.*--resume"):
                compare(variants, splits, TINY, cut_off)

    def test_two_at_once(self, cut_off, splits):
        with locked(cut_off, "comparison.lock"), pytest.raises(BlockingIOError, match="in use by process"):
            compare(VARIANTS, splits, TINY, cut_off, resume=True)


def test_saved_model_gives_the_numbers_of_the_training(report, splits, tmp_path):
    """Another process has the model file and the manifest of the report, nothing else."""
    folder, runs = report
    result = runs[1].result
    model = keras.models.load_model(runs[1].folder / "model.keras")
    manifest = read_dataset(folder / "manifest.csv").select(split="test")
    assert set(class_names_of(model)) == set(manifest.class_names)
    manifest = dataclasses.replace(manifest, class_names=class_names_of(model))
    cache = ClipCache.build(manifest, front_end_of(model).sample_rate, tmp_path, progress=False)
    evaluation = evaluate_clips(model, patch_dataset(model, cache), batch_size=7)
    assert evaluation.clips.clip_ids == result.evaluation.clips.clip_ids
    np.testing.assert_allclose(evaluation.clips.scores, result.evaluation.clips.scores, atol=1e-6)
    assert evaluation.mAP == pytest.approx(result.evaluation.mAP, abs=1e-6)
    patches = shift_patches(model, cache, TINY.protocols)
    for protocol, shift in shift_table(model, patches.waveforms, TINY.protocols).items():
        assert shift.consistency == result.shifts[protocol].consistency
        assert shift.mac == pytest.approx(result.shifts[protocol].mac, abs=1e-6)


def test_the_list_of_shifted_clips_gives_the_same_patches(report, splits):
    folder, runs = report
    model = build_model(Variant(), splits["test"].manifest.class_names, TINY)
    drawn = shift_patches(model, splits["test"], TINY.protocols)
    listed = shift_patches(model, splits["test"], TINY.protocols, clip_list=folder / "shift_clips.csv")
    np.testing.assert_array_equal(listed.waveforms, drawn.waveforms)
    assert len(drawn.starts) == runs[0].result.shifts["time-1"].num_patches


def test_a_list_of_other_clips_is_known_before_the_training(splits, tmp_path):
    (tmp_path / "clips.csv").write_text("clip_id\nno-such-clip\n")
    settings = dataclasses.replace(TINY, shift_clips=str(tmp_path / "clips.csv"))
    with pytest.raises(ValueError, match="clips.csv, line 2: clip 'no-such-clip' is not among the clips"):
        compare([Variant()], splits, settings, tmp_path / "report")


def test_mixed_precision_is_that_of_the_model_alone():
    model = build_model(Variant("blur3"), ("a", "b"), dataclasses.replace(TINY, mixed_precision="bfloat16"))
    assert model.get_layer("vgg41").get_layer("block1a_conv").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_clips_that_cannot_be_shifted_are_known_before_the_training(splits, tmp_path):
    short = dataclasses.replace(TINY, protocols=("time-900",))
    with pytest.raises(ValueError, match="No clip can be used for a shift test.*no protocols"):
        run(Variant(), splits, short, 0, tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_patches_overlap_by_half_to_the_frame():
    model = build_model(Variant(), ("a", "b"), dataclasses.replace(TINY, sample_rate=22050))
    front_end = front_end_of(model)
    cache = ClipCache.from_waveforms([np.zeros(60000, "float32")], [("a",)], 22050, ("a", "b"))
    starts = patch_dataset(model, cache).patch_start
    assert front_end.num_frames(model.input_shape[1]) == 101
    assert set(np.diff(starts)) == {50 * front_end.hop_length}


def test_models_without_a_front_end_are_turned_down():
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"LogMelSpectrogram.*\(None, 20\)"):
        front_end_of(model)


def test_typical_examples_are_known_to_all_models_and_of_two_classes():
    targets = np.array([0, 0, 1, 1, 1])
    right = np.array([[0.9, 0.2, 0.8, 0.6, 0.7], [0.7, 0.9, 0.4, 0.8, 0.9]])
    scores = np.where(np.eye(2)[targets].astype(bool), right[:, :, None], 0.3)
    scores[1, 2] = [0.5, 0.4]  # the second model mistakes example 2, the first one example 1
    time, freq = typical_examples(scores, targets)
    # Known: 0 (at least 0.7), 3 (0.6), 4 (0.7). The middle one of 3, 0, 4 is 0.
    assert (time, targets[freq]) == (0, 1) and freq in (3, 4)


def test_typical_examples_where_none_is_known():
    assert typical_examples(np.array([[[0.1, 0.9], [0.2, 0.8]]]), np.array([0, 0])) == (1, 1)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "`width` must be positive"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum"),
        ({"mixed_precision": "float8"}, "'bfloat16' or 'float16'"),
        ({"seeds": ()}, "`seeds`"),
        ({"seeds": (1, 1)}, "`seeds`"),
        ({"protocols": ("tempo-1",)}, "'tempo-1'"),
        ({"epochs": 0}, "`epochs`"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Experiment.of(**settings)


def test_unknown_setting():
    with pytest.raises(TypeError, match="learning_rte"):
        Experiment.of(learning_rte=0.1)


def test_defaults_are_those_of_the_paper():
    settings = Experiment()
    assert (settings.frames, settings.width, settings.protocols[0]) == (101, 1.0, "time-1")
    training = settings.training
    assert (training.learning_rate, training.batch_size, training.epochs) == (3e-5, 128, 150)
    assert (training.plateau_patience, training.early_stopping_patience, training.mixup_alpha) == (10, 20, 1.25)


def test_repeated_variants(splits, tmp_path):
    with pytest.raises(ValueError, match="baseline"):
        compare([Variant(), Variant.parse("baseline")], splits, TINY, tmp_path)


class TestVariants:
    @pytest.mark.parametrize("name", PAPER_MAP)
    def test_every_row_of_the_tables(self, name):
        variant = Variant.parse(name)
        assert variant.name == name
        assert variant.intra_block_pooling == ("ibp" in name) and variant.mixup == ("mixup" in name)
        assert variant.model == ("vgg42" if "vgg42" in name else "vgg41")
        build_pooling(variant.pooling)

    def test_other_names_of_the_same(self):
        assert Variant.parse("max") == Variant.parse("baseline") == Variant.parse("vgg41") == Variant()
        assert Variant.parse("aps+mixup+ibp") == Variant.parse("aps+ibp+mixup")
        assert Variant.parse("tlpf7x3+aps-l2").pooling == "tlpf7x3+aps-l2"

    @pytest.mark.parametrize(
        "name, nearest",
        [("basline", "baseline"), ("tlfp5+aps", "tlpf5+aps"), ("aps+mixpu", "aps+mixup"), ("", ""), ("ibp+ibp", "")],
    )
    def test_unknown_name(self, name, nearest):
        with pytest.raises(ValueError, match=f"unknown variant '{name}'".replace("+", r"\+")) as raised:
            Variant.parse(name)
        assert not nearest or f"did you mean '{nearest}" in str(raised.value)

    def test_rows_of_the_tables(self):
        assert [len(TABLES[table]) for table in ("I", "II", "III")] == [22, 8, 2]
        assert {*TABLES["I"], *TABLES["II"]} == set(PAPER_MAP)

    @pytest.mark.parametrize("name", PAPER_MAP)
    def test_aps_as_in_the_paper_and_as_released(self, name):
        variant = Variant.parse(name)
        default, paper, released = (variant.as_in(source) for source in ("default", "paper", "released"))
        assert default == variant
        aps = "aps" in name
        assert (paper != variant) == (aps and "l2" not in name)
        assert (released != variant) == (aps and "tlpf" not in name)
        for other in (paper, released):
            assert dataclasses.replace(other, pooling=variant.pooling) == variant
            build_pooling(other.pooling)

    def test_unknown_source(self):
        with pytest.raises(ValueError, match="'relaesed'; did you mean 'released'"):
            Variant().as_in("relaesed")

    def test_unknown_model_and_pooling(self):
        with pytest.raises(ValueError, match="'vgg43'; did you mean 'vgg4"):
            Variant(model="vgg43")
        with pytest.raises(ValueError, match="'tlfp5'; did you mean 'tlpf5'"):
            Variant("tlfp5")
