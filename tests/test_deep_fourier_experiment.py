"""The recipes of juettner, with small networks on tones: stages, rows, report, continuation."""

import dataclasses
import functools
import json

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from recipe_data import RECIPES, load_recipe, rows_of

from keras_audio_si import deep_fourier_experiment as experiment
from keras_audio_si import layers, models
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.segments import cut_segments
from keras_audio_si.evaluation.segments import evaluate_segments

pytestmark = pytest.mark.once  # what depends on the backend is tested by `test_stages.py`

TINY = experiment.DeepFourierExperiment(
    rows=("PiczakNet", "MSTNet random", "MSTNet IceBreaker"),
    dense_units=3,
    first_epochs=2,
    random_epochs=1,
    forcing_epochs=1,
    forcing_form="centred",
    mst_learning_rate=0.05,
).changed(epochs=1, batch_size=8, learning_rate=0.05)


def spectrogram():
    return layers.LogMelSpectrogram(
        100,
        frame_seconds=0.16,
        hop_seconds=0.04,
        num_mels=4,
        compression="decibel",
        center=True,
        drop_last_frame=True,
        name="spectrogram",
    )


def piczak(num_classes, class_names, dense_units):
    inputs = keras.Input((16, 4), name="spectrogram")
    x = keras.layers.Conv1D(dense_units, 3, activation="relu", name="conv1")(inputs)
    x = keras.layers.GlobalMaxPooling1D(name="pool")(x)
    x = keras.layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, layers.ClassScores("softmax", class_names, name="scores")(x), name="piczak_net")


def mst_net(**options):
    front = layers.ConvolutionFrontEnd(100, (6, 4), (8, 3), (4, 1), padding="same", name="mst_front_end")
    return models.Classifier(front_end=front, backbone=piczak(**options), input_samples=64, name="mst_net")


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "PiczakNet", piczak)
        patched.setattr(models, "piczak_spectrogram", spectrogram)
        patched.setattr(experiment, "NETWORKS", {"MSTNet": mst_net})
        patched.setattr(experiment, "SEGMENT_SAMPLES", 64)
        patched.setattr(experiment, "cut_segments", functools.partial(cut_segments, segment_samples=64))
        patched.setattr(experiment, "write_pictures", lambda *arguments: PICTURES.append(arguments))
        yield


PICTURES = []


@pytest.fixture(scope="module")
def data():
    """24 clips of a low or a high tone, three or four segments each, and their splits."""
    rng, waveforms = np.random.default_rng(0), []
    for index in range(24):
        time = np.arange(128 + 32 * (index % 2))
        tone = np.sin((0.3, 2.0)[index % 2] * time + rng.uniform(0, 6))
        waveforms.append((0.2 * tone + 0.01 * rng.normal(size=len(time))).astype("float32"))
    cache = ClipCache.from_waveforms(waveforms, [(("low", "high")[i % 2],) for i in range(24)], 100)
    splits = ("train", "val", "test")
    clips = [dataclasses.replace(clip, split=splits[i // 2 % 3]) for i, clip in enumerate(cache.manifest.clips)]
    return cache, {"test": dataclasses.replace(cache.manifest, clips=tuple(clips))}


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    cache, divisions = data
    folder = tmp_path_factory.mktemp("report") / "run"
    return folder, experiment.compare_rows(TINY, divisions, cache, folder, verbose=0), list(PICTURES)


def test_rows_are_the_tests_of_the_saved_models(report, data):
    folder, table, _ = report
    assert [row["row"] for row in table] == list(TINY.rows)
    cache, divisions = data
    test, _ = cut_segments(cache.of(divisions["test"].select(split="test")), spectrogram(), segment_samples=64)
    for row, line in zip(table, rows_of(folder / "rows.csv"), strict=True):
        model = keras.models.load_model(folder / experiment.way_of(row["row"])[-1] / "model.keras")
        measured = evaluate_segments(model, test, batch_size=8)
        wanted = [part.balanced_accuracy for part in (measured.segments, measured.clip_votes, measured.clip_means)]
        assert [row[name].mean for name in ("segments", "clips by votes", "clips by mean scores")] == wanted
        assert float(line["segments"]) == wanted[0] and int(line["parameters"]) == model.count_params()
        name = row["row"].lower().replace(" ", "-")
        counts = [[int(n) for n in list(row.values())[1:]] for row in rows_of(folder / f"rows/{name}-segments.csv")]
        assert counts == measured.segments.counts.tolist()
        assert {f"{name}-confusion.png", f"{name}-curves.png"} <= {path.name for path in (folder / "rows").iterdir()}
    assert [row["epochs"] for row in table] == [2, 1, 6]  # 2 of phase 0, forcing, 3 phases
    assert (folder / "bars.png").exists() and (folder / "curves.png").exists()


def test_rows_share_a_spectrogram_and_follow_the_icebreaker(report):
    folder = report[0]
    plan = json.loads((folder / "stages.json").read_text())
    assert plan["stages"] == [
        *("piczak", "mst-all", "forcing", "piczak-normalised", "mst-phase1", "mst-phase2", "mst-phase3")
    ]
    start = {"piczak_net": "piczak-normalised", "mst_front_end": "forcing"}
    assert plan["stage mst-phase1"] == {"trains": ["mst_front_end"], "start": start, "frozen": "training"}
    assert plan["stage mst-phase2"]["start"] == "mst-phase1" and plan["stage mst-phase3"]["trains"] is None
    settings = {name: json.loads((folder / name / "settings.json").read_text()) for name in plan["stages"]}
    assert {name: (s["epochs"], s["gradient_clip_norm"]) for name, s in settings.items()} == {
        "piczak": (2, None),
        "mst-all": (1, 3.0),
        "forcing": (1, None),
        "piczak-normalised": (2, 3.0),
        **dict.fromkeys(("mst-phase1", "mst-phase2", "mst-phase3"), (1, 3.0)),
    }
    # MSTNet's spectrogram is centred, between -1 and 1.
    front_end = keras.models.load_model(folder / "piczak-normalised" / "model.keras").layers[1]
    assert 0 < front_end.offset < 1


def test_pictures_are_of_all_phases_so_far(report):
    shown = {folder.name: list(networks) for networks, _, folder in report[2]}
    assert shown["piczak"] == ["piczak"] and shown["mst-all"] == ["mst-all"]
    assert shown["mst-phase2"] == ["forcing", "mst-phase1", "mst-phase2"]


def test_a_report_is_continued(report, data):
    folder, table, _ = report
    cache, divisions = data
    (folder / "rows.csv").unlink()
    (folder / "mst-phase3" / "test.json").unlink()  # as if it had been cut off before
    log = (folder / "mst-phase3" / "log.csv").read_bytes()
    assert experiment.compare_rows(TINY, divisions, cache, folder, resume=True, verbose=0) == table
    assert len(rows_of(folder / "rows.csv")) == 3 and (folder / "mst-phase3" / "log.csv").read_bytes() == log
    with pytest.raises(FileExistsError, match="has a run"):
        experiment.compare_rows(TINY, divisions, cache, folder, verbose=0)
    with pytest.raises(ValueError, match=r"dense_units \(3 then, 4 now\)"):
        experiment.compare_rows(TINY.changed(dense_units=4), divisions, cache, folder, resume=True, verbose=0)


def test_a_network_alone_has_its_own_learning_rate():
    settings = experiment.DeepFourierExperiment().changed(learning_rate=0.5, heuri_learning_rate=0.25)
    rates = {name: settings.training_of(name).learning_rate for name in ("PiczakNet", "HeuriNet", "MSTNet")}
    assert rates == {"PiczakNet": 0.5, "HeuriNet": 0.25, "MSTNet": 5e-3}
    assert settings.training_of("MelConvNet").gradient_clip_norm == 3.0
    assert settings.training_of("HeuriNet").gradient_clip_norm is None


@pytest.mark.parametrize(
    "change", [{"rows": ("PiczakNet", "AlexNet")}, {"rows": ()}, {"seeds": (1, 1)}, {"dense_units": 0}]
)
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=f"`{next(iter(change))}` must be"):
        experiment.DeepFourierExperiment(**change)


def test_every_fold_is_the_test_once():
    manifest = Manifest([Clip(f"{i}.wav", ("dog",), fold=1 + i % 10) for i in range(20)])
    rotated = experiment.rotations(manifest)
    assert list(rotated) == [f"fold-{number}" for number in range(1, 11)]
    folds = {split: {clip.fold for clip in rotated["fold-10"].select(split=split).clips} for split in ("val", "test")}
    assert folds == {"val": {9}, "test": {10}}  # the paper's
    assert {clip.fold for clip in rotated["fold-1"].select(split="val").clips} == {10}
    with pytest.raises(ValueError, match="three folds"):
        experiment.rotations(manifest.select(folds=[1, 2]))


@pytest.mark.parametrize("recipe", ["icebreaker_vs_random", "deepfourier_urbansound8k"])
def test_recipes_take_their_options(recipe, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(RECIPES)
    monkeypatch.syspath_prepend(RECIPES.parent)
    module = load_recipe(recipe)
    options = ["--data", "x", "--seeds", "2", "--rows", "PiczakNet", "--dense-units", "500", "--epochs", "9"]
    args = module.parser_of("", "runs").parse_args([*options, "--learning-rate", "0.1", "--silence-decibels", "none"])
    import icebreaker_vs_random as recipe_module

    settings = recipe_module.cli.changed_settings(args, recipe_module.SETTINGS)
    assert (settings.seeds, settings.rows, settings.silence_decibels) == ((0, 1), ("PiczakNet",), None)
    assert (settings.training.epochs, settings.training.learning_rate, settings.first_epochs) == (9, 0.1, 300)
    if recipe == "deepfourier_urbansound8k":
        manifest = Manifest([Clip(f"{i}.wav", ("dog",), fold=1 + i) for i in range(10)])
        args.all_folds = False
        (division,) = module.divide(manifest, args, 0.15).values()
        assert [clip.split for clip in division.clips] == ["train"] * 8 + ["val", "test"]
        args.all_folds = True
        assert len(module.divide(manifest, args, 0.15)) == 10
