"""Compares an exported ONNX file with recorded scores, in a process with ONNX Runtime and NumPy alone.

    python -P check_onnx.py MODEL.onnx CASES.npz

CASES is that of `check_saved_model.py`. The largest difference is printed. The file is run as a script, so that it
imports nothing of this package.
"""

import json
import sys


def check(path, cases):
    """Loads an ONNX file and compares its outputs.

    Args:
        path: Path of the file.
        cases: Path of the recorded cases.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ValueError: If a score differs by more than the tolerance or is not finite, or the metadata differ.
    """
    import numpy as np
    import onnxruntime

    cases = np.load(cases)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    names, sample_rate = json.loads(metadata["class_names"]), int(metadata["sample_rate"])
    if names != cases["class_names"].tolist() or sample_rate != cases["sample_rate"]:
        raise ValueError(f"the metadata are {names} and {sample_rate} Hz")
    largest = 0.0
    for number in range(sum(name.startswith("scores_") for name in cases)):
        waveforms, expected = cases[f"waveforms_{number}"], cases[f"scores_{number}"]
        (scores,) = session.run(["scores"], {"waveforms": waveforms})
        if scores.shape != expected.shape or scores.dtype != np.float32 or not np.isfinite(scores).all():
            raise ValueError(f"waveforms of shape {waveforms.shape} give {scores.dtype} {scores.shape}: {scores}")
        difference = float(np.abs(scores - expected).max())
        if difference > cases["tolerance"]:
            raise ValueError(f"scores of waveforms of shape {waveforms.shape} differ by {difference:.2g}")
        largest = max(largest, difference)
    return largest


if __name__ == "__main__":
    # An import of any of them would fail here, whatever is installed.
    sys.modules.update({"keras": None, "keras_audio_si": None, "tensorflow": None})
    print(check(*sys.argv[1:]))
