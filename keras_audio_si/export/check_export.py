"""Compares an exported model with recorded scores, in a process without Keras and this package.

    python -P check_export.py FORMAT PATH CASES.npz

FORMAT is savedmodel, onnx or litert. CASES contains `waveforms_0`, `scores_0`, `waveforms_1`, ..., `metadata`,
`tolerance` and `agreement`. The largest difference is printed. The file is run as a script, so that it imports nothing
of this package.
"""

import json
import sys


def _saved_model(path):
    import tensorflow as tf

    signatures = tf.saved_model.load(path).signatures
    metadata = {name: value.numpy() for name, value in signatures["metadata"]().items()}
    metadata["class_names"] = [name.decode("utf-8") for name in metadata["class_names"]]
    serve = signatures["serving_default"]
    return metadata, lambda waveforms: serve(waveforms=tf.constant(waveforms))["scores"].numpy()


def _onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    metadata = {name: json.loads(value) for name, value in metadata.items()}
    return metadata, lambda waveforms: session.run(["scores"], {"waveforms": waveforms})[0]


def _litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    metadata = json.loads(interpreter.get_signature_runner("metadata")()["json"].tobytes())
    serve = interpreter.get_signature_runner("serving_default")
    return metadata, lambda waveforms: serve(waveforms=waveforms)["scores"]


FAR = 0.25  # Of a largest score to that of the model.
NEARLY_EQUAL = 0.05  # Classes whose scores differ by less may change places.
LOADERS = {"savedmodel": _saved_model, "onnx": _onnx, "litert": _litert}


def check(format, path, cases):
    """Loads an exported model and compares its outputs.

    Args:
        format: One of `LOADERS`.
        path: Path of the model.
        cases: Path of the recorded cases.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ValueError: If a score differs by more than the tolerance or is not finite, the largest scores are far from the
            model's or those of other classes, whose own were clearly smaller, in too many rows, or the metadata
            differ.
    """
    import numpy as np

    cases = np.load(cases)
    metadata, serve = LOADERS[format](path)
    if metadata != json.loads(str(cases["metadata"])):
        raise ValueError(f"the metadata are {metadata}")
    largest, same = 0.0, []
    for number in range(sum(name.startswith("scores_") for name in cases)):
        waveforms, expected = cases[f"waveforms_{number}"], cases[f"scores_{number}"]
        scores = serve(waveforms)
        if scores.shape != expected.shape or scores.dtype != np.float32 or not np.isfinite(scores).all():
            raise ValueError(f"waveforms of shape {waveforms.shape} give {scores.dtype} {scores.shape}: {scores}")
        difference = float(np.abs(scores - expected).max())
        if difference > cases["tolerance"]:
            raise ValueError(f"scores differ by {difference:.2g}, of waveforms of shape {waveforms.shape}")
        largest = max(largest, difference)
        top = scores.argmax(axis=1)[:, None]
        found, there = (np.take_along_axis(of, top, axis=1)[:, 0] for of in (expected, scores))
        # A single class, or small scores, are nearly equal whatever the file gives.
        same.extend((found >= expected.max(axis=1) - NEARLY_EQUAL) & (np.abs(found - there) <= FAR))
    if np.mean(same) < cases["agreement"]:
        raise ValueError(
            f"in {1 - np.mean(same):.0%} of {len(same)} windows the largest score is that of another class, or far "
            f"from the model's; scores differ by up to {largest:.2g}"
        )
    return largest


if __name__ == "__main__":
    # An import of any of them would fail here, whatever is installed.
    hidden = ["keras", "keras_audio_si"] if sys.argv[1] == "savedmodel" else ["keras", "keras_audio_si", "tensorflow"]
    sys.modules.update(dict.fromkeys(hidden))
    print(check(*sys.argv[1:]))
