"""The comparison runs everything in turn and reports ratios to the first; no times are asserted."""

import keras
import pytest

from keras_audio_si.bench import bench_pooling, compare


def test_functions_are_called_in_turn_after_the_warmup():
    calls = []
    rows = compare({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, warmup=1)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [row["name"] for row in rows] == ["a", "b"]
    assert rows[0]["wall_ratio"] == 1.0


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="compare needs functions"):
        compare({})


def test_bench_pooling_reports_every_mechanism_and_restores_the_policy(capsys):
    before = keras.config.dtype_policy()
    jit = keras.backend.backend() == "jax"
    rows = bench_pooling(2, ("max",), rounds=1, jit=jit, input_shape=(17, 8), num_classes=3, width=0.1)
    assert [(row["pass"], row["name"]) for row in rows] == [
        ("forward", "MaxPooling2D"),
        ("forward", "max"),
        ("step", "MaxPooling2D"),
        ("step", "max"),
    ]
    assert keras.config.dtype_policy() == before
    assert "MaxPooling2D" in capsys.readouterr().out
