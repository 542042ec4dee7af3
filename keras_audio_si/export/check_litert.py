"""Compares an exported LiteRT file with recorded scores, in a process with LiteRT and NumPy alone.

    python -P check_litert.py MODEL.tflite CASES.npz

CASES contains `windows`, `scores`, `metadata` and `tolerance`. The largest difference is printed. The file is run as a
script, so that it imports nothing of this package.
"""

import json
import sys


def check(path, cases):
    """Loads a LiteRT file and compares its outputs.

    Args:
        path: Path of the file.
        cases: Path of the recorded cases.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ValueError: If a score differs by more than the tolerance or is not finite, or the metadata differ.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    cases = np.load(cases)
    interpreter = Interpreter(path)
    metadata = json.loads(interpreter.get_signature_runner("metadata")()["json"].tobytes())
    if metadata != json.loads(str(cases["metadata"])):
        raise ValueError(f"the metadata are {metadata}")
    serve, largest = interpreter.get_signature_runner("serving_default"), 0.0
    for window, expected in zip(cases["windows"], cases["scores"], strict=True):
        scores = serve(waveforms=window[None])["scores"]
        if scores.shape != (1, len(expected)) or scores.dtype != np.float32 or not np.isfinite(scores).all():
            raise ValueError(f"a window gives {scores.dtype} {scores.shape}: {scores}")
        largest = max(largest, float(np.abs(scores[0] - expected).max()))
    if largest > cases["tolerance"]:
        raise ValueError(f"scores differ by {largest:.2g}")
    return largest


if __name__ == "__main__":
    # An import of any of them would fail here, whatever is installed.
    sys.modules.update({"keras": None, "keras_audio_si": None, "tensorflow": None})
    print(check(*sys.argv[1:]))
