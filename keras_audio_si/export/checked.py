"""Writing of exported models by TensorFlow under every backend, kept only if they give the model's scores."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

import keras_audio_si

_NAMES = {"savedmodel": "SavedModel", "onnx": "ONNX file", "litert": "LiteRT file"}


def write_checked(model, path, format, write, metadata, cases, tolerance, settings=(), agreement=0.0):
    """Writes an exported model, compares it in a process without Keras, and moves it to its place.

    Under JAX and torch the model goes to TensorFlow by a `.keras` file and another process.

    Args:
        model: Keras model.
        path: Where the exported model is to be; its parents are made.
        format: "savedmodel", "onnx" or "litert".
        write: Function of a model of the TensorFlow backend, a path and the settings that writes it. Run as a program,
            its module takes the path of a `.keras` file, the path to write and the settings as JSON.
        metadata: What the metadata of the exported model must be, a dict for JSON.
        cases: List of `(waveforms, scores)` that the exported model must give.
        tolerance: Largest absolute difference of a score.
        settings: Further arguments of `write`.
        agreement: Smallest share of all rows of the cases whose largest score is that of the same class.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ValueError: If it cannot be written or loaded, or what it gives differs. Nothing is at `path` then that was not
            there before.
    """
    path = pathlib.Path(path)
    arrays = {"metadata": json.dumps(metadata), "tolerance": tolerance, "agreement": agreement}
    for number, (waveforms, scores) in enumerate(cases):
        arrays |= {f"waveforms_{number}": waveforms, f"scores_{number}": scores}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as temporary:
        temporary = pathlib.Path(temporary)
        part, recorded = temporary / "exported", temporary / "cases.npz"
        if keras.backend.backend() == "tensorflow":
            write(model, part, *settings)
        else:
            model.save(temporary / "model.keras")
            failure = f"writing the {_NAMES[format]} failed"
            arguments = [temporary / "model.keras", part, *map(json.dumps, settings)]
            _run_tensorflow(failure, "-m", write.__module__, *arguments)
        np.savez(recorded, **arrays)
        script = pathlib.Path(__file__).with_name("check_export.py")
        failure = f"the {_NAMES[format]} does not give the model's scores"
        largest = _run_tensorflow(failure, "-P", script, format, part, recorded)
        os.replace(part, path)
    return float(largest)


def _run_tensorflow(failure, *args):
    """Runs Python on the CPU with TensorFlow as Keras' backend; the package is found where it is found now.

    Returns:
        The last line that it prints, or "".

    Raises:
        ValueError: If it fails: `failure` and the last line of its errors.
    """
    package = str(pathlib.Path(keras_audio_si.__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    env["PYTHONPATH"] = os.pathsep.join(paths)
    result = subprocess.run([sys.executable, *map(str, args)], env=env, capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        raise ValueError(f"{failure}, so nothing was left: {reason}")
    return (result.stdout.strip().splitlines() or [""])[-1]
