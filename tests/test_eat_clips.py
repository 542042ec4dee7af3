"""An EAT keeps how its clips are prepared, and evaluation, tagging, shift test and export prepare them so."""

import csv

import keras
import numpy as np
import pytest
import soundfile

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

import keras_audio_si.cli.commands as verbs
from keras_audio_si import layers, models
from keras_audio_si.cli import main as cli
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.evaluation.clips import clip_evaluation, evaluate_clips
from keras_audio_si.evaluation.shift import shift_table
from keras_audio_si.experiments.model import build_model
from keras_audio_si.experiments.run import Run
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.experiments.train_and_test import train_and_test
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.inference.tagging import STEP_WINDOWS, FoundFile, tag_files
from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.training.fit_loop import TrainingResult

RATE, SAMPLES = 4000, 1000
SETTINGS = Settings().changed(
    network="eat-s",
    channels=2,
    transformer_layers=1,
    residual="common",
    aggregation="convolution",
    sample_rate=RATE,
    input_samples=SAMPLES,
    factors=(2,),
    crops="random",
    short="zero",
    peak=0.7,
    loss="softmax-or-bce",
    monitor="val_accuracy",
    batch_size=STEP_WINDOWS,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The clips, the folder of a training in which nothing is learned, and its own evaluation."""
    folder, rng, clips = tmp_path_factory.mktemp("eat"), np.random.default_rng(0), []
    for number, samples in enumerate((400, 999, 1000, 2700, 9000, 9100)):
        sound = rng.normal(size=samples) * np.linspace(0.001, 0.01 * (number + 1), samples)
        soundfile.write(folder / f"{number}.wav", sound.astype("float32"), RATE, subtype="FLOAT")
        clips.append(Clip(f"{number}.wav", ("ab"[number % 2],), split="test"))
    Manifest(clips, root=folder).write(folder / "manifest.csv")
    cache = ClipCache.build(Manifest.read(folder / "manifest.csv"), RATE, folder / "cache", progress=False)

    def fit(model, train, validation, settings, path, **arguments):
        for weight in model.trainable_weights:  # Those of a new network are so small that all scores are equal.
            if len(weight.shape) > 1:
                weight.assign(rng.normal(size=weight.shape) * (2.5 / np.prod(weight.shape[:-1])) ** 0.5)
        model.save(folder / "model.keras")
        return TrainingResult(folder / "model.keras", 0, 0.5, {"loss": [0.5]})

    evaluations = []

    def evaluate(*arguments):
        evaluations.append(clip_evaluation(*arguments))
        return evaluations[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keras_audio_si.experiments.train_and_test.fit", fit)
        patched.setattr("keras_audio_si.experiments.run.clip_evaluation", evaluate)
        train_and_test(dict.fromkeys(("train", "val", "test"), cache), SETTINGS, Run(folder, folder / "cache"))
    assert np.ptp(evaluations[0].clips.scores, axis=0).min() > 1e-3
    return folder, cache, evaluations[0].clips.scores


@pytest.fixture(scope="module")
def model(trained):
    return keras.models.load_model(trained[0] / "model.keras")


def test_evaluation_and_tagging_give_the_scores_of_the_training(trained, model):
    folder, cache, expected = trained
    evaluation = evaluate_clips(model, patch_dataset(model, cache), batch_size=STEP_WINDOWS)
    np.testing.assert_allclose(evaluation.clips.scores, expected, rtol=0, atol=1e-6)
    files = [FoundFile(str(folder / f"{number}.wav")) for number in range(6)]
    tagged = [result.scores[0] for result in tag_files(model, files)]
    np.testing.assert_allclose(tagged, expected, rtol=0, atol=2e-6)
    # Each of the two matters.
    for name, other in (("short", "repeat"), ("peak", None)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(models.fit_length_of(model), name, other)
            changed = np.array([result.scores[0] for result in tag_files(model, files)])
        assert np.abs(changed - expected).max() > 1e-3


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="in this process, so of TensorFlow's models")
def test_the_exported_graph_fills_and_scales(trained, model, tmp_path):
    import tensorflow as tf

    from keras_audio_si.export.saved_model import write_saved_model

    _, cache, expected = trained
    write_saved_model(model, tmp_path / "exported")
    serve = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    scores = [serve(waveforms=tf.constant(cache.waveform(i)[None]))["scores"][0] for i in range(6)]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    assert np.isfinite(serve(waveforms=tf.zeros((1, 30)))["scores"]).all()


def test_shifts_are_counted_in_samples_and_in_10_ms(trained, model):
    _, cache, _ = trained
    waveforms = np.stack([cache.waveform(4)[:2000], cache.waveform(5)[:2000]])
    by_time = shift_table(model, waveforms, ("time-2", "samples-80"), batch_size=STEP_WINDOWS)
    assert by_time["time-2"] == by_time["samples-80"] and by_time["time-2"].mac > 0
    scaled = [window / np.abs(window).max() * 0.7 for window in (*waveforms[:, :SAMPLES], *waveforms[:, 80:1080])]
    scores = model.predict_on_batch(np.pad(np.stack(scaled), [(0, 4), (0, 0)]))
    change = np.abs(scores[:2] - scores[2:4])[[0, 1], scores[:2].argmax(axis=1)]
    assert by_time["time-2"].mac == pytest.approx(change.mean(), abs=1e-6)
    with pytest.raises(ValueError, match="has no `LogMelSpectrogram` among its layers: shift it by 'time-N'"):
        shift_table(model, waveforms, ("freq-1",))


def test_the_command_shifts_by_what_applies(trained, model, tmp_path, monkeypatch, capsys):
    folder, _, _ = trained
    monkeypatch.setattr(verbs, "load_models", lambda paths: dict.fromkeys(paths, model))
    common = ["shift-test", "eat", "--data", str(folder / "manifest.csv"), "--cache-dir", str(folder / "cache")]
    common += ["--batch-size", str(STEP_WINDOWS), "--output", str(tmp_path)]
    assert cli.main(common) == 0
    with open(tmp_path / "shifts.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert {name.split()[0] for name in row if "-" in name} == {"time-1", "time-3", "time-5"}
    assert (tmp_path / "stability.png").stat().st_size > 0
    assert cli.main([*common, "--protocols", "time-1", "freq-1"]) == 2
    assert "'freq-N' shifts the bands" in capsys.readouterr().err


class TestWhatTheModelSays:
    def test_patches_overlap_by_half(self, model):
        assert patch_layout(model) == (RATE, SAMPLES, SAMPLES // 2, "zero", 0.7)

    def test_inside_another_model(self):
        inputs = keras.Input((SAMPLES,))
        network = keras.Sequential([keras.Input((SAMPLES,)), layers.FitLength(4, sample_rate=RATE)])
        nested = keras.Model(inputs, keras.layers.Dense(2)(network(inputs)))
        assert front_end_of(nested).sample_rate == RATE and front_end_of(nested).hop_length == 40

    def test_no_sample_rate(self):
        with pytest.raises(ValueError, match="'net' does not say its sample rate: set `models.fit_length_of"):
            front_end_of(keras.Sequential([keras.Input((SAMPLES,)), layers.FitLength(4)], name="net"))

    def test_a_trained_network_keeps_how_it_is_trained_on(self, model, tmp_path):
        model.save(tmp_path / "model.keras")
        settings = SETTINGS.changed(initial=str(tmp_path / "model.keras"), short="repeat", peak=None)
        assert patch_layout(build_model(("x", "y", "z"), settings))[-2:] == ("repeat", 0.7)
        assert patch_layout(build_model(("x", "y", "z"), settings.changed(peak=0.5)))[-2:] == ("repeat", 0.5)

    def test_after_swapping_the_pooling(self):
        inputs = keras.Input((256,))
        x = keras.layers.Reshape((16, 16, 1))(layers.FitLength(16, sample_rate=RATE, peak=0.5)(inputs))
        x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(2, 3)(x))
        x = keras.layers.GlobalAveragePooling2D()(x)
        swapped = models.swap_pooling(keras.Model(inputs, x), "blur3")
        assert patch_layout(swapped) == (RATE, 256, 128, "repeat", 0.5)

    @pytest.mark.parametrize(
        "setting", [{"short": "mirror"}, {"peak": 0}, {"multiple": 0}, {"smallest": 6}, {"sample_rate": 0}]
    )
    def test_out_of_range(self, setting):
        with pytest.raises(ValueError, match=next(iter(setting))):
            layers.FitLength(**{"multiple": 4, **setting})

    def test_an_unknown_length(self):
        with pytest.raises(ValueError, match="must know the number of samples"):
            layers.FitLength(4)(keras.Input((None,)))
