"""Export of classifiers to ONNX: waveforms of any length to class scores, by ONNX Runtime alone."""

import importlib.util
import json
import sys

import keras

from keras_audio_si.export.checked import write_checked
from keras_audio_si.export.portable import portable_trace
from keras_audio_si.export.saved_model import clip_function, clip_metadata, clip_scores, sample_waveforms

TOLERANCE = 1e-4
OPSET = 18
_NEEDED = ("tensorflow", "tf2onnx", "onnx", "onnxruntime")


def export_onnx(model, path, representative=None):
    """Writes a classifier as an ONNX file, and compares it with the model in a process with ONNX Runtime alone.

    The input `waveforms` is float32 `(batch, samples)` in [-1, 1] at the model's sample rate, both sizes of any value
    from 1 on; the output `scores` is float32 `(batch, classes)`. As in a SavedModel (`export_saved_model`), waveforms
    are cut as evaluation cuts clips, and the scores of the patches are averaged. All patches are scored at once, so
    that memory grows with the length. The metadata, in JSON, are `class_names` (a list), `sample_rate` (in Hz) and
    `window_samples`, the length of a patch (0 where the input length is open). The Fourier transform of a front-end is
    written as a convolution.

    Under JAX and torch the model goes to TensorFlow by a `.keras` file and another process.

    Args:
        model: Classifier of waveforms, see `models.front_end_of`, with class names. Its layers must be
            Keras' or this package's.
        path: File to write, which is replaced if it exists.
        representative: Real audio to compare on as well, `(clips, samples)` float32.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ImportError: If the extra `onnx` or TensorFlow is not installed.
        ValueError: If the model is not such a classifier, ONNX lacks one of its operations, or a score of the copy
            differs by more than 1e-4. The file is left as it was then.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"An ONNX file is written by tf2onnx under every backend, and {', '.join(missing)} is not installed: "
            "pip install 'keras-audio-si[onnx,tensorflow-cpu]'"
        )
    cases = [(waveforms, clip_scores(model, waveforms)) for waveforms in sample_waveforms(model, representative)]
    return write_checked(model, path, "onnx", write_onnx, clip_metadata(model), cases, TOLERANCE)


def write_onnx(model, path):
    """Writes the ONNX file of a model of the TensorFlow backend, unchecked.

    Args:
        model: As for `export_onnx`.
        path: File to write.

    Raises:
        ValueError: If ONNX lacks an operation; the message names the layer.
    """
    import logging

    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, None), tf.float32, name="waveforms")]
    of_clips = clip_function(model, lambda patches: model(patches, training=False))
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # What it says is in the error below.
    with portable_trace(model):
        function = tf.function(lambda waveforms: {"scores": of_clips(waveforms)}, input_signature=signature)
        proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    for node in [node for graph in _graphs(proto.graph) for node in graph.node]:
        if node.domain in ("", "ai.onnx") and node.op_type not in known:
            raise ValueError(
                f"ONNX has no operation {node.op_type}, which {node.name!r} of {model.name!r} needs. Export this model "
                "to a SavedModel, or replace the layer."
            )
    for name, value in clip_metadata(model).items():
        proto.metadata_props.add(key=name, value=json.dumps(value, ensure_ascii=False))
    onnx.save(proto, str(path))


def _graphs(graph):
    """A graph and those of its conditions and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


if __name__ == "__main__":
    write_onnx(keras.models.load_model(sys.argv[1]), sys.argv[2])
