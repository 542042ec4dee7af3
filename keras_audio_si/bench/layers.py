"""`keras-audio-si bench layers`: run times of all layers, compared with the most similar Keras layers."""

import keras
import numpy as np

from keras_audio_si.bench.feature_subjects import FEATURES
from keras_audio_si.bench.timing import (
    check_json_path,
    compare,
    compilation,
    forward_pass,
    gradient_pass,
    precision_policy,
    report,
)
from keras_audio_si.bench.waveform_subjects import WAVEFORMS
from keras_audio_si.checks import check_choice

SUBJECTS = {**FEATURES, **WAVEFORMS}


def bench_layers(names=tuple(SUBJECTS), batch_size=32, rounds=9, jit_compile=None, precision="float32", json_path=None):
    """Compares layers with the most similar Keras layer, forward and with the gradient.

    Args:
        names: What to compare, some of `SUBJECTS`.
        batch_size: Examples in a batch.
        rounds: Number of timed rounds.
        jit_compile: Whether TensorFlow compiles by XLA, where both sides can be; None: yes. JAX always does, PyTorch
            never.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts as of `compare`, with `subject` and `pass` ("forward" or "gradient") as well; also printed as a
        table.

    Raises:
        ValueError: If a name is unknown; the message has the nearest known one.
    """
    for name in names:
        check_choice("names", name, SUBJECTS)
    jit_compile, how = compilation(False if keras.backend.backend() == "torch" else jit_compile)
    check_json_path(json_path)
    settings = {
        "names": names,
        "batch_size": batch_size,
        "rounds": rounds,
        "jit_compile": jit_compile,
        "precision": precision,
    }
    rows = []
    for name in names:
        subject = SUBJECTS[name]
        x = np.random.default_rng(0).uniform(-1, 1, (batch_size, *subject.shape)).astype("float32")
        passes = {"forward": forward_pass} if subject.training else {"forward": forward_pass, "gradient": gradient_pass}
        for kind, build_pass in passes.items():
            with precision_policy(precision):
                functions = {
                    label: build_pass(
                        build(),
                        subject.inputs(label, x) if subject.inputs else x,
                        jit_compile and (subject.plain_xla or label != next(iter(subject.layers))),
                        subject.training,
                    )
                    for label, build in subject.layers.items()
                }
            rows += [{"subject": name, "pass": kind, **row} for row in compare(functions, rounds)]
    report("layers", rows, settings, f"{how}, {precision}, batch {batch_size}", json_path)
    return rows
