"""Export of a classifier, from waveforms to class scores, in one of three formats."""

from keras_audio_si.checks import check_choice

FORMATS = ("savedmodel", "onnx", "litert")


def export(model, path, to="savedmodel", precision="float32", window_seconds=None, representative=None):
    """Writes a classifier as a SavedModel, an ONNX or a LiteRT file, and compares the copy with the model.

    The copy takes waveforms, float32 in [-1, 1] at the model's sample rate, and gives class scores. Class names, sample
    rate and window length are in it as metadata. It is compared in a process without Keras and this package, on noise
    and on `representative`, and appears only if its scores are those of the model. docs/export.md shows how each
    format is read.

    | `to` | `waveforms` | by | scores differ by at most |
    |---|---|---|---|
    | "savedmodel" | `(batch, samples)`, of any size | TensorFlow | 1e-5 |
    | "onnx" | `(batch, samples)`, of any size | ONNX Runtime (extra `onnx`) | 1e-4 |
    | "litert" | `(1, window_samples)` | LiteRT (extra `litert`) | 1e-4, of float16 1e-2 |

    Of int8, at most 5 % of `representative` may have another top class (`export.litert_file`). All are written by
    TensorFlow. Under JAX and torch the model goes there by a `.keras` file and another process. Models of mixed
    precision are written and compared in float32.

    Args:
        model: Classifier of waveforms, see `models.front_end_of`, with class names. Its layers must be
            Keras' or this package's.
        path: "savedmodel": a folder that does not exist. Else a file, which is replaced if it exists.
        to: "savedmodel", "onnx" or "litert".
        precision: "float32"; for "litert" also "float16" (weights) or "int8" (weights and feature maps of the network;
            needs `representative`).
        window_seconds: For "litert": length of the window for a model that takes waveforms of any length.
        representative: Real audio, float32 `(clips, samples)` or a list of `(samples,)`; for "litert" windows as
            evaluation cuts them.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ImportError: If TensorFlow or the extra of the format is not installed.
        FileExistsError: If the folder of a SavedModel exists.
        ValueError: If the model is not such a classifier, the format lacks one of its operations (the message names the
            layer or operation), the scores differ, or an option is not of the format. `path` is as it was then.

    Example:

    >>> export(model, "model.onnx", to="onnx")  # doctest: +SKIP
    2.4e-07
    """
    check_options(to, precision, window_seconds)
    from keras_audio_si.models.precision import in_float32

    # ONNX and LiteRT have no operations in half precision, and the rounding of a SavedModel would differ from Keras'.
    model = in_float32(model)
    if to == "litert":
        from keras_audio_si.export.litert_file import export_litert

        return export_litert(model, path, precision, window_seconds, representative)
    if to == "onnx":
        from keras_audio_si.export.onnx_file import export_onnx

        return export_onnx(model, path, representative)
    from keras_audio_si.export.saved_model import export_saved_model

    return export_saved_model(model, path, representative)


def check_options(to, precision="float32", window_seconds=None):
    """Raises a `ValueError` if the format is unknown or an option is not of it; arguments as for `export`."""
    check_choice("to", to, FORMATS)
    if to != "litert" and (precision != "float32" or window_seconds is not None):
        raise ValueError(f"`precision` and `window_seconds` are for `to='litert'`. Received: to={to!r}")
