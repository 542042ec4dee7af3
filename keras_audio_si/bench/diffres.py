"""`keras-audio-si bench diffres`: time and memory of DiffRes by length, and throughput by frame rate (liu2022)."""

import os
import subprocess
import sys

import keras
import numpy as np

from keras_audio_si.bench.timing import (
    check_json_path,
    compare,
    compilation,
    forward_pass,
    gradient_pass,
    matmul_pass,
    precision_policy,
    report,
)
from keras_audio_si.layers import LEAF, AveragePoolFrames, DiffResLayer, LogMelSpectrogram

NUM_MELS = 128
REDUCTION_RATE = 0.75
SAMPLE_RATE = 16000
CLIP_FRAMES_PER_SECOND = 100
RELEASED_MS = {1000: (61, 119), 3000: (622, 1365)}  # Forward, gradient; batch 8, wall time on two idle cores.


def bench_diffres(
    batch_size=8,
    rounds=9,
    jit_compile=None,
    precision="float32",
    frames=(1000, 3000, 10000),
    fps=(25, 50, 75, 100),
    seconds=10,
    json_path=None,
):
    """Times `DiffResLayer` by the length of the spectrograms, and classifiers with it by their frame rate.

    The subjects are timed in turn in one run: a float32 product of 1024 x 1024 matrices, as a reference for the speed
    of the machine; the layer at a reduction rate of 0.75, forward and with the gradient; EfficientNet-B2 on clips, from
    waveforms to scores, on a log-mel spectrogram of 100 frames per second with average pooling or DiffRes, and on LEAF
    with average pooling. The peak memory of the gradient is measured in a separate process for each length.

    Args:
        batch_size: Examples in a batch.
        rounds: Number of timed rounds.
        jit_compile: Whether the functions are compiled by XLA; None: yes, but on PyTorch. JAX always compiles.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        frames: Lengths of the spectrograms.
        fps: Frames per second that the classifiers see; none for no classifiers.
        seconds: Length of the clips.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts as of `compare`, without ratios, and with `us_per_frame` (wall time per input frame),
        `released_ms` (the released code on two idle cores), `peak_mb` and `clips_per_second`, None where they do not
        apply; also printed as a table.

    Reference:
        liu2022, Fig. 5.
    """
    jit_compile, how = compilation(jit_compile)
    check_json_path(json_path)
    settings = {name: value for name, value in locals().items() if name not in ("how", "json_path")}
    facts, functions = {}, {"matmul 1024^3, float32": matmul_pass()}
    with precision_policy(precision):
        for count in frames:
            layer, x = _subject(count, batch_size)
            released = RELEASED_MS.get(count, (None, None)) if batch_size == 8 else (None, None)
            peaks = (None, _peak_in_process(count, batch_size, jit_compile, precision))
            passes = {"forward": forward_pass, "gradient": gradient_pass}
            for (name, timed), reference, peak in zip(passes.items(), released, peaks, strict=True):
                label = f"DiffResLayer {name}, {count} frames"
                functions[label] = timed(layer, x, jit_compile)
                facts[label] = {"frames": count * batch_size, "released_ms": reference, "peak_mb": peak}
        for rate in fps:
            for name in ("mel, averaged", "mel, DiffRes", "LEAF, averaged"):
                label = f"EfficientNet-B2 at {rate} FPS, {name}"
                functions[label] = _classifier_pass(name, rate, seconds, batch_size, jit_compile)
                facts[label] = {"clips": batch_size}
    rows = [_row(row, **facts.get(row["name"], {})) for row in compare(functions, rounds)]
    report("diffres", rows, settings, f"{how}, {precision}, batch {batch_size}", json_path)
    return rows


def _subject(frames, batch_size):
    x = np.random.default_rng(0).normal(-6, 3, (batch_size, frames, NUM_MELS)).astype("float32")
    return DiffResLayer(REDUCTION_RATE), x


def _classifier_pass(name, fps, seconds, batch_size, jit_compile):
    if name.startswith("LEAF"):
        front_end = LEAF(SAMPLE_RATE, NUM_MELS, hop_seconds=1 / CLIP_FRAMES_PER_SECOND)
    else:
        front_end = LogMelSpectrogram(SAMPLE_RATE, 0.025, 1 / CLIP_FRAMES_PER_SECOND, NUM_MELS, fft_length=1024)
    samples = front_end.num_samples(seconds * CLIP_FRAMES_PER_SECOND)
    resolution = DiffResLayer if name.endswith("DiffRes") else AveragePoolFrames
    reduced = resolution(frames_per_second=fps, input_frames_per_second=CLIP_FRAMES_PER_SECOND)
    shape = (reduced.output_frames(seconds * CLIP_FRAMES_PER_SECOND), NUM_MELS, reduced.num_channels)
    network = keras.applications.EfficientNetB2(weights=None, input_shape=shape, classes=527)
    model = keras.Sequential([keras.Input((samples,)), front_end, reduced, network])
    x = np.random.default_rng(0).normal(0, 0.1, (batch_size, samples)).astype("float32")
    return forward_pass(model, x, jit_compile)


def _row(timed, frames=None, released_ms=None, peak_mb=None, clips=None):
    return {
        "name": timed["name"],
        "wall_ms": timed["wall_ms"],
        "cpu_ms": timed["cpu_ms"],
        "us_per_frame": timed["wall_ms"] * 1e3 / frames if frames else None,
        "released_ms": released_ms,
        "peak_mb": peak_mb,
        "clips_per_second": clips / timed["wall_ms"] * 1e3 if clips else None,
    }


def _peak_in_process(*arguments):
    """MB that the gradient takes beyond what the process had when it began; arguments are those of `print_peak`."""
    code = f"from keras_audio_si.bench import diffres; diffres.print_peak{arguments}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout
    return float(output.split()[-1])


def print_peak(frames, batch_size, jit_compile, precision="float32"):
    """Prints the MB by which the memory of this process grows with the gradient of `DiffResLayer`.

    Args:
        frames: Length of the spectrograms.
        batch_size: Examples in a batch.
        jit_compile: Whether TensorFlow compiles by XLA.
        precision: As for `bench_diffres`.
    """
    import resource  # Not on Windows.

    with precision_policy(precision):
        warm_layer, warm_x = _subject(8, 1)
        gradient_pass(warm_layer, warm_x, jit_compile)()
        layer, x = _subject(frames, batch_size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        gradient_pass(layer, x, jit_compile)()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
