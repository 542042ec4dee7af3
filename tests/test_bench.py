"""The benches run everything in turn and report ratios to plain Keras; no times are asserted."""

import json
import math

import keras
import numpy as np
import pytest

from keras_audio_si.bench import diffres, eat, gpu, pipeline
from keras_audio_si.bench.layers import SUBJECTS, bench_layers
from keras_audio_si.bench.models import bench_models
from keras_audio_si.bench.timing import compare, forward_pass, gradient_pass, report

JIT = keras.backend.backend() == "jax"


def test_functions_are_called_in_turn_after_the_warmup():
    calls = []
    rows = compare({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, warmup=1)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [row["name"] for row in rows] == ["a", "b"]
    assert rows[0]["wall_ratio"] == 1.0


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="`functions` and `rounds` must be at least one"):
        compare({})


def test_passes_do_the_work_of_the_layer():
    calls = []

    class Counting(keras.layers.Dense):
        def call(self, inputs, training=None):
            calls.append(training)
            return super().call(inputs)

    x = np.ones((2, 3), "float32")
    for build_pass in (forward_pass, gradient_pass):
        run = build_pass(Counting(4), x, jit_compile=False, training=True)
        run()
        assert len(calls) >= 2 and all(calls)
        calls.clear()


def test_json_is_written_whole_and_without_nan(tmp_path, capsys):
    path = tmp_path / "bench.json"
    report("name", [{"name": "a", "wall_ms": math.nan, "cpu_ms": np.float32(2)}], {"rounds": 1}, "title", path)
    written = json.loads(path.read_text())
    assert written["rows"] == [{"name": "a", "wall_ms": None, "cpu_ms": 2.0}]
    assert written["bench"] == "name" and written["settings"] == {"rounds": 1}
    assert written["machine"]["backend"] == keras.backend.backend()
    assert [entry.name for entry in tmp_path.iterdir()] == ["bench.json"]
    assert "title" in capsys.readouterr().out


@pytest.mark.first
def test_models_reports_every_mechanism_and_restores_the_policy(one_block, capsys):
    before = keras.config.dtype_policy()
    rows = bench_models("vgg41", 2, ("aps",), rounds=1, jit_compile=JIT, input_shape=(17, 8), num_classes=3, width=0.1)
    assert [(row["pass"], row["name"]) for row in rows] == [
        ("forward", "MaxPooling2D"),
        ("forward", "aps"),
        ("step", "MaxPooling2D"),
        ("step", "aps"),
    ]
    assert keras.config.dtype_policy() == before
    assert "MaxPooling2D" in capsys.readouterr().out


@pytest.mark.first
def test_layers_are_compared_to_plain_keras(tmp_path, capsys):
    rows = bench_layers(
        ("global-pool", "mixing"), 2, rounds=1, jit_compile=JIT, json_path=tmp_path / "made" / "bench.json"
    )
    assert [(row["subject"], row["pass"], row["name"]) for row in rows] == [
        ("global-pool", "forward", "keras GlobalAveragePooling2D"),
        ("global-pool", "forward", "GlobalTimeMelPool"),
        ("global-pool", "gradient", "keras GlobalAveragePooling2D"),
        ("global-pool", "gradient", "GlobalTimeMelPool"),
        ("mixing", "forward", "keras MixUp"),
        ("mixing", "forward", "MixUp"),
    ]
    assert json.loads((tmp_path / "made" / "bench.json").read_text())["rows"] == rows


def test_every_layer_is_compared():
    from keras_audio_si import layers

    named = {label.split()[0] for subject in SUBJECTS.values() for label in subject.layers}
    public = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
    assert public <= named
    assert all(next(iter(subject.layers)).startswith("keras ") for subject in SUBJECTS.values())


def test_layers_have_names_that_graphs_of_tensorflow_take():
    for subject in SUBJECTS.values():
        for build in subject.layers.values():
            assert not build().name.startswith("_")


def test_eat_beside_a_product_of_matrices(monkeypatch, tmp_path, capsys):
    """With a network that takes no time to compile in the place of EAT-S."""

    def build(num_classes, input_shape, factors, activation=None):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Dense(num_classes, activation="sigmoid")(inputs[:, :3]))

    monkeypatch.setattr(eat, "parameter_rows", lambda: [{"data": "ESC-50", "EAT-S": 1}])
    monkeypatch.setattr(eat, "EATSmall", build)
    rows = eat.bench_eat(2, rounds=1, jit_compile=JIT, seconds=(1, 5), json_path=tmp_path / "bench.json")
    assert [row["name"] for row in rows] == [
        "matmul 1024^3, float32",
        "EAT-S forward, 1 s, batch 1",
        "EAT-S forward, 5 s, batch 1",
        "EAT-S forward, 5 s, batch 2",
        "EAT-S step, 5 s, batch 2",
    ]
    assert json.loads((tmp_path / "bench.json").read_text())["rows"] == rows
    assert "ESC-50" in capsys.readouterr().out
    with pytest.raises(ValueError, match="`seconds` must be some of 1, 5, 10. Received: seconds="):
        eat.bench_eat(seconds=(2,))


@pytest.mark.first
def test_diffres_by_length_and_frame_rate(monkeypatch, tmp_path, capsys):
    """With a layer and classifiers that take no time to compile in the place of DiffRes and EfficientNet-B2."""
    monkeypatch.setattr(diffres, "DiffResLayer", diffres.AveragePoolFrames)
    monkeypatch.setattr(diffres, "_classifier_pass", lambda *_: lambda: None)
    diffres.print_peak(16, 2, JIT)
    assert float(capsys.readouterr().out) >= 0
    monkeypatch.setattr(diffres, "_peak_in_process", lambda *_: 1.5)
    rows = diffres.bench_diffres(
        8, rounds=1, jit_compile=JIT, frames=(16, 1000), fps=(25,), json_path=tmp_path / "bench.json"
    )
    assert [row["name"] for row in rows] == [
        "matmul 1024^3, float32",
        "DiffResLayer forward, 16 frames",
        "DiffResLayer gradient, 16 frames",
        "DiffResLayer forward, 1000 frames",
        "DiffResLayer gradient, 1000 frames",
        "EfficientNet-B2 at 25 FPS, mel, averaged",
        "EfficientNet-B2 at 25 FPS, mel, DiffRes",
        "EfficientNet-B2 at 25 FPS, LEAF, averaged",
    ]
    assert [row["released_ms"] for row in rows] == [None, None, None, 61, 119, None, None, None]
    assert rows[4]["us_per_frame"] == pytest.approx(rows[4]["wall_ms"] / 8) and rows[4]["peak_mb"] == 1.5
    assert rows[-1]["clips_per_second"] == pytest.approx(8e3 / rows[-1]["wall_ms"])
    assert json.loads((tmp_path / "bench.json").read_text())["rows"] == rows
    assert "released ms" in capsys.readouterr().out


def test_table_of_a_gpu(monkeypatch, capsys):
    """With benches that take no time in the place of those that it puts together."""
    if not gpu.has_gpu():
        with pytest.raises(ValueError, match="sees no GPU here"):
            gpu.bench_gpu()
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    factor = {"float32": 2.0, "bfloat16": 1.0}

    def models(precision, **_):
        names = enumerate(("MaxPooling2D", "max", "tlpf5+aps"), start=1)
        rows = [{"name": name, "wall_ms": n * factor[precision], "wall_ratio": float(n)} for n, name in names]
        return [{"pass": kind, **row} for kind in ("forward", "step") for row in rows]

    def eat(*_, precision, **__):
        names = ("matmul", "EAT-S forward, 5 s, batch 1", "EAT-S forward, 5 s, batch 8", "EAT-S step, 5 s, batch 8")
        return [{"name": name, "wall_ms": n * factor[precision]} for n, name in enumerate(names)]

    monkeypatch.setattr(gpu, "bench_models", models)
    monkeypatch.setattr(gpu, "bench_eat", eat)
    rows = gpu.bench_gpu()
    assert [list(row.values()) for row in rows] == [
        ["VGG41, MaxPooling2D (ms)", 2.0, 2.0, 1.0, 1.0],
        ["VGG41, max", 2.0, 2.0, 2.0, 2.0],
        ["VGG41, tlpf5+aps", 3.0, 3.0, 3.0, 3.0],
        ["EAT-S, 5 s, batch 8 (ms)", 4.0, 6.0, 2.0, 3.0],
    ]
    printed = capsys.readouterr().out
    assert "| network | float32 forward | float32 step | bfloat16 forward | bfloat16 step |" in printed
    assert "| VGG41, tlpf5+aps | 3.00 | 3.00 | 3.00 | 3.00 |" in printed


def test_unknown_names_name_the_nearest():
    with pytest.raises(ValueError, match="'max-pol'. Did you mean 'max-pool'"):
        bench_layers(("max-pol",))
    with pytest.raises(ValueError, match="'vgg43'. Did you mean 'vgg4"):
        bench_models("vgg43")
    with pytest.raises(ValueError, match="'Xeption'. Did you mean 'Xception'"):
        bench_models("Xeption")
    with pytest.raises(ValueError, match="'vgg4'. Did you mean 'vgg4"):
        pipeline.bench_pipeline(model="vgg4")


@pytest.mark.first
class TestPipeline:
    @pytest.fixture(autouse=True)
    def few_clips(self, one_block, monkeypatch):
        pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")
        pytest.importorskip("array_record", reason="writes the shards")
        monkeypatch.setattr(pipeline, "SYNTHETIC_CLIPS", 10)

    def test_waiting_is_a_part_of_the_step(self, capsys):
        rows = pipeline.bench_pipeline(width=0.05, pooling="max", batch_size=2, steps=1, rounds=1, jit_compile=JIT)
        ours = [f"PatchDataset from {name}" for name in ("the cache", "files", "shards")]
        assert [row["data"] for row in rows] == ["keras audio_dataset_from_directory", *ours]
        for row in rows:
            assert 0 < row["waiting_ms"] < row["together_ms"]
            assert row["waiting_share"] == pytest.approx(row["waiting_ms"] / row["together_ms"])
        assert "Decoding: 10 clips" in capsys.readouterr().out

    def test_both_sources_give_the_same_kind_of_batches(self, tmp_path):
        from keras_audio_si.data.clip_cache import ClipCache
        from keras_audio_si.data.synthetic import write_dataset

        manifest = write_dataset(tmp_path / "data", 10, 16000, min_seconds=0.5, max_seconds=0.5)
        cache = ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
        waveforms = [cache.waveform(clip) for clip in range(10)]
        assert pipeline.obstacle_to_keras(manifest, 16000) is None
        assert "16000 Hz" in pipeline.obstacle_to_keras(manifest, 8000)
        batches = pipeline.keras_batches(manifest, tmp_path / "links", 4, 8000).as_numpy_iterator()
        for _ in range(3):
            (x, labels), targets = next(batches)
            assert x.shape == (4, 8000)
            np.testing.assert_array_equal(labels, targets)
            for example, label in zip(x, labels, strict=True):
                (clip,) = [clip for clip in range(10) if np.allclose(waveforms[clip], example, atol=1e-4)]
                np.testing.assert_array_equal(label, manifest.label_matrix()[clip])
