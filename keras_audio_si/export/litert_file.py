"""Export of classifiers to LiteRT (TensorFlow Lite): one window of a waveform to class scores."""

import importlib.util
import json
import pathlib
import re
import sys
import tempfile

import keras
import numpy as np

from keras_audio_si.checks import check_choice
from keras_audio_si.export.checked import write_checked
from keras_audio_si.export.litert_int8 import quantised, with_metadata
from keras_audio_si.export.portable import portable_trace
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import required_class_names, score_windows

TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "int8": float("inf")}
AGREEMENT = 0.95  # Of int8: smallest share of representative windows whose top class is that of the model.
_NEEDED = {"tensorflow": "tensorflow", "ai_edge_litert": "ai-edge-litert"}


def export_litert(model, path, precision="float32", window_seconds=None, representative=None):
    """Writes a classifier as a LiteRT file, and compares it with the model in a process with LiteRT alone.

    The signature `serving_default` takes `waveforms`, float32 `(1, window_samples)` in [-1, 1], and gives `scores`,
    float32 `(1, classes)`. The signature `metadata` takes nothing and gives `json`, bytes of UTF-8: an object with
    `class_names`, `sample_rate` in Hz, and how evaluation cuts clips into windows: `window_samples`, `hop_samples`,
    `short` ("repeat" or "zero", what fills a shorter clip) and `peak` (what a window is scaled to, or null). The score
    of a clip is the mean over its windows. The Fourier transform of a front-end is written as a convolution.

    Under JAX and torch the model goes to TensorFlow by a `.keras` file and another process.

    Args:
        model: Classifier of waveforms, see `models.front_end_of`, with class names. Its layers must be
            Keras' or this package's.
        path: File to write, which is replaced if it exists.
        precision: "float32", "float16" for weights of half the size, or "int8" for a network with weights and feature
            maps of 8 bits behind a front-end in float32 (`export.litert_int8`). Input and output are float32 always.
        window_seconds: Length of the window for a model that takes waveforms of any length.
        representative: Real audio, `(windows, window_samples)` float32, as evaluation cuts it. "int8" needs it, for
            the ranges of feature maps; the others are compared on it as well.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ImportError: If the extra `litert` or TensorFlow is not installed.
        ValueError: If the model is not such a classifier, LiteRT lacks one of its operations, or a score of the copy
            differs by more than 1e-4, of float16 1e-2; of int8, if more than 5 % of the representative windows have
            another top class, or there are none. The file is left as it was then.
    """
    check_choice("precision", precision, TOLERANCES)
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"A LiteRT file is written by TensorFlow under every backend, and {', '.join(missing)} is not installed: "
            "pip install 'keras-audio-si[litert,tensorflow-cpu]'"
        )
    layout = patch_layout(model, window_seconds)
    representative = _representative(representative, precision, layout)
    rng = np.random.default_rng(0)
    noises = rng.uniform(0.02, 0.5, (8, 1)) * rng.standard_normal((8, layout.patch_samples))
    noises[0, layout.patch_samples // 2 :] = 0  # As clips that were filled up are.
    # Noise is not among what the ranges of int8 were chosen for.
    windows = representative if precision == "int8" else np.concatenate([noises.astype("float32"), representative])
    scores = score_windows(model, windows)
    cases = [(windows[[number]], scores[[number]]) for number in range(len(windows))]
    with tempfile.TemporaryDirectory() as folder:
        recorded = pathlib.Path(folder) / "representative.npy"
        np.save(recorded, representative)
        return write_checked(
            model,
            path,
            "litert",
            write_litert,
            _metadata(model, layout),
            cases,
            TOLERANCES[precision],
            (precision, window_seconds, str(recorded)),
            AGREEMENT if precision == "int8" else 0.0,
        )


def litert_scores(path, windows):
    """Scores windows by a LiteRT file, one at a time.

    Args:
        path: File that `export_litert` wrote.
        windows: Sequence of `(window_samples,)` float32 arrays.

    Returns:
        `(windows, classes)` float32 array.
    """
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path)).get_signature_runner("serving_default")
    return np.concatenate([serve(waveforms=np.asarray(window)[None])["scores"] for window in windows])


def _representative(windows, precision, layout):
    """Checks the real audio; without any, an array of no windows."""
    if windows is None and precision == "int8":
        raise ValueError(
            "`representative` is needed for precision='int8': windows of real audio, by which the ranges of the "
            "feature maps are chosen (on the command line `--data`). Received: None"
        )
    windows = np.zeros((0, layout.patch_samples), "float32") if windows is None else np.asarray(windows, "float32")
    if windows.shape[1:] != (layout.patch_samples,) or (precision == "int8" and not len(windows)):
        raise ValueError(
            f"`representative` must be (windows, {layout.patch_samples}), at least one for int8. "
            f"Received: shape={windows.shape}"
        )
    return windows


def write_litert(model, path, precision="float32", window_seconds=None, representative=None):
    """Writes the LiteRT file of a model of the TensorFlow backend, unchecked.

    Args:
        model: As for `export_litert`.
        path: File to write.
        precision: As for `export_litert`.
        window_seconds: As for `export_litert`.
        representative: Path of a `.npy` file with the windows of real audio, for "int8".

    Raises:
        ValueError: If LiteRT lacks an operation.
    """
    import tensorflow as tf

    layout = patch_layout(model, window_seconds)
    text = json.dumps(_metadata(model, layout), ensure_ascii=False).encode()

    @tf.function(input_signature=[tf.TensorSpec((1, layout.patch_samples), tf.float32, name="waveforms")])
    def serving_default(waveforms):
        return {"scores": model(waveforms, training=False)}

    @tf.function(input_signature=[])
    def metadata():
        return {"json": tf.constant(np.frombuffer(text, np.uint8))}

    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    signatures = {"serving_default": serving_default, "metadata": metadata}
    module.serving_default, module.metadata = serving_default, metadata
    with tempfile.TemporaryDirectory() as folder:
        with portable_trace(model):
            tf.saved_model.save(module, folder, signatures)
        keys = ["serving_default"] if precision == "int8" else list(signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=keys)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        try:
            if precision == "int8":
                content = with_metadata(quantised(converter, model, np.load(representative)), text)
            else:
                content = converter.convert()
        except Exception as error:  # The converter has no type of its own for what a format lacks.
            lacking = sorted(set(re.findall(r"'tfl?\.(\w+)' op", str(error))))
            raise ValueError(
                f"LiteRT has no operation {', '.join(lacking) or 'for a layer'}, which {model.name!r} needs. Export "
                "this model to ONNX or to a SavedModel."
            ) from error
    pathlib.Path(path).write_bytes(content)


def _metadata(model, layout):
    """What a program needs to know beside the weights."""
    return {
        "class_names": list(required_class_names(model)),
        "sample_rate": layout.sample_rate,
        "window_samples": layout.patch_samples,
        "hop_samples": layout.hop_samples,
        "short": layout.short,
        "peak": layout.peak,
    }


if __name__ == "__main__":
    write_litert(keras.models.load_model(sys.argv[1]), sys.argv[2], *map(json.loads, sys.argv[3:]))
