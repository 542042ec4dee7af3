"""`keras-audio-si bench eat`: time and size of EAT (gazneli2022, Tables 2 to 5, 8 and 9)."""

import keras
import numpy as np

from keras_audio_si.bench.timing import (
    check_json_path,
    compare,
    compilation,
    format_rows,
    forward_pass,
    matmul_pass,
    precision_policy,
    report,
)
from keras_audio_si.checks import check_choices
from keras_audio_si.models import EATMedium, EATSmall

SAMPLE_RATE = 22050
MATMUL_SIZE = 1024
FACTORS = {1: (4, 4, 4), 5: (4, 4, 4, 4), 10: (4, 4, 4, 4)}  # By seconds; four of them take 1.5 s at least.
RELEASED = {  # Input length, factors and classes by data set, with the millions of parameters in the paper's tables.
    "ESC-50": (114688, (4, 4, 4, 4), 50, {"S": 5.3, "M": 25.5}),
    "UrbanSound8K": (90112, (4, 4, 4, 4), 10, {"S": 5.3}),
    "Speech Commands": (16384, (4, 4, 4), 35, {"S": 5.3}),
    "AudioSet": (221184, (4, 4, 4, 4), 527, {"S": 5.3, "M": 25.5}),
}


def bench_eat(
    batch_size=8, rounds=9, jit_compile=None, precision="float32", seconds=(1, 5, 10), medium=False, json_path=None
):
    """Times EAT and a product of two matrices, as a reference for the speed of the machine, and counts its parameters.

    The subjects are timed in turn in one run: a float32 product of 1024 x 1024 matrices; the forward pass of one
    example of each length, and of a batch of 5 s; a training step (AdamW, binary cross-entropy) on a batch of 5 s.

    Args:
        batch_size: Examples in a batch of 5 s.
        rounds: Number of timed rounds.
        jit_compile: Whether the models are compiled, by XLA or `torch.compile`; None: yes, but on PyTorch. The forward
            pass is always compiled on JAX and never on PyTorch.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        seconds: Lengths of one example, some of 1, 5 and 10, at 22050 Hz.
        medium: Whether to time EAT-M in place of EAT-S.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts as of `compare`; also printed as a table, below one of the parameters.

    Raises:
        ValueError: If a length is none of these.

    Reference:
        gazneli2022, Tables 2 to 5, 8 and 9.
    """
    check_choices("seconds", tuple(seconds), FACTORS)
    jit_compile, how = compilation(jit_compile)
    check_json_path(json_path)
    settings = {name: value for name, value in locals().items() if name not in ("how", "json_path")}
    print(format_rows(parameter_rows(), "parameters"), end="\n\n")
    build, random = (EATMedium if medium else EATSmall), np.random.default_rng(0)
    size = "EAT-M" if medium else "EAT-S"

    def waveforms(seconds, count):
        return random.normal(0, 0.1, (count, seconds * SAMPLE_RATE)).astype("float32")

    with precision_policy(precision):
        models = {n: build(50, (n * SAMPLE_RATE,), FACTORS[n], activation="sigmoid") for n in {5, *seconds}}
    models[5].compile(keras.optimizers.AdamW(5e-4, weight_decay=1e-5), "binary_crossentropy", jit_compile=jit_compile)
    x, y = waveforms(5, batch_size), np.eye(50, dtype="float32")[np.arange(batch_size) % 50]
    functions = {f"matmul {MATMUL_SIZE}^3, float32": matmul_pass(MATMUL_SIZE)}
    functions |= {
        f"{size} forward, {n} s, batch 1": forward_pass(models[n], waveforms(n, 1), jit_compile) for n in seconds
    }
    functions[f"{size} forward, 5 s, batch {batch_size}"] = forward_pass(models[5], x, jit_compile)
    functions[f"{size} step, 5 s, batch {batch_size}"] = lambda: models[5].train_on_batch(x, y)
    rows = compare(functions, rounds)
    report("eat", rows, settings, f"{how}, {precision}; the ratios are to the first row", json_path)
    return rows


def parameter_rows():
    """Counts the trainable parameters of both sizes for the four data sets of the paper.

    Returns:
        List of dicts: `data`, `input` (samples), `factors`, `EAT-S`, `EAT-M`, and what the paper's tables have for
        them, in millions.

    Example:

    >>> parameter_rows()[0]["EAT-S"]
    5183618
    """
    rows = []
    for data, (length, factors, classes, printed) in RELEASED.items():
        row = {"data": data, "input": length, "factors": " ".join(map(str, factors))}
        for name, build in (("S", EATSmall), ("M", EATMedium)):
            with keras.StatelessScope(initialize_variables=False):  # Shapes alone.
                weights = build(classes, (length,), factors).trainable_weights
            row[f"EAT-{name}"] = sum(int(np.prod(weight.shape)) for weight in weights)
            row[f"paper_{name}_(M)"] = printed.get(name)
        rows.append(row)
    return rows
