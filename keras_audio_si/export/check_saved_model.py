"""Compares an exported SavedModel with recorded scores, in a process without Keras.

    python -P check_saved_model.py FOLDER CASES.npz

CASES contains `waveforms_0`, `scores_0`, `waveforms_1`, ..., `class_names`, `sample_rate` and `tolerance`. The largest
difference is printed. The file is run as a script, so that it imports nothing of this package.
"""

import sys


def check(folder, cases):
    """Reloads a SavedModel and compares its outputs.

    Args:
        folder: Folder of the SavedModel.
        cases: Path of the recorded cases.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ValueError: If a score differs by more than the tolerance or is not finite, or the metadata differ.
    """
    import numpy as np
    import tensorflow as tf

    cases = np.load(cases)
    signatures = tf.saved_model.load(folder).signatures
    metadata = {name: value.numpy() for name, value in signatures["metadata"]().items()}
    names = [name.decode("utf-8") for name in metadata["class_names"]]
    if names != cases["class_names"].tolist() or metadata["sample_rate"] != cases["sample_rate"]:
        raise ValueError(f"the metadata are {names} and {metadata['sample_rate']} Hz")
    largest = 0.0
    for number in range(sum(name.startswith("scores_") for name in cases)):
        waveforms, expected = cases[f"waveforms_{number}"], cases[f"scores_{number}"]
        scores = signatures["serving_default"](waveforms=tf.constant(waveforms))["scores"].numpy()
        if scores.shape != expected.shape or scores.dtype != np.float32 or not np.isfinite(scores).all():
            raise ValueError(f"waveforms of shape {waveforms.shape} give {scores.dtype} {scores.shape}: {scores}")
        difference = float(np.abs(scores - expected).max())
        if difference > cases["tolerance"]:
            raise ValueError(f"scores of waveforms of shape {waveforms.shape} differ by {difference:.2g}")
        largest = max(largest, difference)
    return largest


if __name__ == "__main__":
    # An import of either would fail here, whatever is installed.
    sys.modules.update({"keras": None, "keras_audio_si": None})
    print(check(*sys.argv[1:]))
