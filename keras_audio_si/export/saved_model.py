"""Export of classifiers to SavedModel: waveforms of any length to class scores, without Keras."""

import contextlib
import importlib.util
import pathlib
import sys

import keras
import numpy as np

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.evaluation.clips import average_over_clips
from keras_audio_si.export.checked import write_checked
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.inference.tagging import STEP_WINDOWS, required_class_names, score_windows
from keras_audio_si.models.metadata import front_end_of

TOLERANCE = 1e-5


def export_saved_model(model, output_dir, representative=None):
    """Writes a classifier as a SavedModel, and compares it with the model in a process without Keras.

    The signature `serving_default` takes `waveforms`, float32 `(batch, samples)` in [-1, 1] at the model's sample rate,
    both sizes of any value from 1 on, and gives `scores`, float32 `(batch, classes)`. Waveforms are cut as evaluation
    cuts clips, into patches of the model's input length that overlap by half, filled up and scaled as the model has
    it, and the scores are averaged. A model whose input length is open gets them whole. The signature `metadata` takes
    nothing and gives `class_names` (strings), `sample_rate` (int32, in Hz) and `window_samples` (int32, the length of a
    patch; 0 where the input length is open).

    Under JAX and torch the model goes to TensorFlow by a `.keras` file and another process. What the copy is compared
    with are the scores of `model` itself, on clips of several lengths and numbers.

    Args:
        model: Classifier of waveforms, see `models.front_end_of`, with class names. Its layers must
            be Keras' or this package's.
        output_dir: Folder to make; its parents are made as well.
        representative: Real audio to compare on as well, `(clips, samples)` float32.

    Returns:
        Largest absolute difference of a score.

    Raises:
        ImportError: If TensorFlow is not installed.
        FileExistsError: If the folder exists.
        ValueError: If the model is not such a classifier, or the copy cannot be written or loaded, or a score of it
            differs by more than 1e-5. There is no folder then.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(
            "A SavedModel is written by TensorFlow under every backend: install the extra `tensorflow-cpu` "
            "(pip install 'keras-audio-si[tensorflow-cpu]')."
        )
    output = pathlib.Path(output_dir)
    if output.exists():
        raise FileExistsError(f"{output} exists: name a folder that does not, or remove it")
    cases = [(waveforms, clip_scores(model, waveforms)) for waveforms in sample_waveforms(model, representative)]
    return write_checked(model, output, "savedmodel", write_saved_model, clip_metadata(model), cases, TOLERANCE)


def clip_metadata(model):
    """Names of the classes, sampling rate in Hz and length of a patch (0: any), as a dict."""
    return {
        "class_names": list(required_class_names(model)),
        "sample_rate": front_end_of(model, any_length=True).sample_rate,
        "window_samples": model.input_shape[1] or 0,
    }


def clip_scores(model, waveforms):
    """Scores clips of one length as evaluation does, in NumPy: what the exported function must give.

    Args:
        model: Classifier of waveforms.
        waveforms: `(batch, samples)` float32.

    Returns:
        `(batch, classes)` float32.
    """
    if model.input_shape[1] is None:
        missing = front_end_of(model, any_length=True).num_samples(1) - waveforms.shape[1]
        whole = waveforms if missing <= 0 else np.pad(waveforms, [(0, 0), (0, missing)], mode="wrap")
        return score_windows(model, whole).astype("float32")
    rate = front_end_of(model).sample_rate
    patches = patch_dataset(model, ClipCache.from_waveforms(list(waveforms), [("any",)] * len(waveforms), rate))
    scores = score_windows(model, patches.waveforms(np.arange(patches.num_patches)))
    return average_over_clips(scores, patches.patch_clip, len(waveforms)).astype("float32")


def clip_function(model, score):
    """The function of TensorFlow from waveforms of one length to scores: `clip_scores` in a graph.

    Args:
        model: As for `export_saved_model`.
        score: Function from `(patches, samples)` to `(patches, classes)`.

    Returns:
        Function from `(batch, samples)` float32, both sizes open, to `(batch, classes)`.
    """
    import tensorflow as tf

    layout = None if model.input_shape[1] is None else patch_layout(model)
    smallest = layout.patch_samples if layout else front_end_of(model, any_length=True).num_samples(1)

    def of_clips(waveforms):
        samples = tf.shape(waveforms)[1]
        if layout and layout.short == "zero":
            waveforms = tf.pad(waveforms, [[0, 0], [0, tf.maximum(smallest - samples, 0)]])
        else:
            repeats = (smallest + samples - 1) // samples  # ONNX Runtime rounds quotients of integers towards 0.
            waveforms = tf.tile(waveforms, [1, tf.maximum(repeats, 1)])[:, : tf.maximum(samples, smallest)]
        if not layout:
            return score(waveforms)
        starts = layout.hop_samples * tf.range(1 + (tf.shape(waveforms)[1] - smallest) // layout.hop_samples)
        patches = tf.gather(waveforms, starts[:, None] + tf.range(smallest), axis=1)
        if layout.peak is not None:
            peaks = tf.reduce_max(tf.abs(patches), axis=-1, keepdims=True)
            patches = tf.math.divide_no_nan(patches, peaks) * layout.peak
        scores = score(tf.reshape(patches, [-1, smallest]))
        shape = [tf.shape(patches)[0], tf.shape(patches)[1], model.output_shape[-1]]
        return tf.reduce_mean(tf.reshape(scores, shape), axis=1)

    return of_clips


def write_saved_model(model, folder):
    """Writes the SavedModel of a model of the TensorFlow backend, unchecked.

    Args:
        model: As for `export_saved_model`.
        folder: Folder to write.
    """
    import tensorflow as tf

    names, length = required_class_names(model), model.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32, name="waveforms")])
    def serving_default(waveforms):
        tf.debugging.assert_positive(tf.shape(waveforms)[1], "waveforms must have samples")
        return {"scores": of_clips(waveforms)}

    def in_steps(patches):
        """Scores a few patches at a time: the feature maps of a long waveform's would not fit into memory."""
        if length is None:
            return model(patches, training=False)
        number = tf.shape(patches)[0]
        step = tf.clip_by_value(number, 1, STEP_WINDOWS)
        steps = tf.maximum(1, -(-number // step))
        patches = tf.pad(patches, [[0, steps * step - number], [0, 0]])
        scores = tf.map_fn(
            lambda some: model(tf.ensure_shape(some, (None, length)), training=False),
            tf.reshape(patches, [steps, step, length]),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec((None, len(names)), tf.float32),
        )
        return tf.reshape(scores, [-1, len(names)])[:number]

    of_clips = clip_function(model, in_steps)

    @tf.function(input_signature=[])
    def metadata():
        return {name: tf.constant(value) for name, value in clip_metadata(model).items()}

    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    signatures = {function.__name__: function for function in (serving_default, metadata)}
    module.serving_default, module.metadata = serving_default, metadata
    with _plain_gradients(tf):
        tf.saved_model.save(module, str(folder), signatures)


@contextlib.contextmanager
def _plain_gradients(tf):
    """Leaves custom gradients out of what is traced, and TensorFlow's own in their place.

    They are there for the speed of training. A SavedModel cannot hold those that are made in a loop, and would warn of
    it whenever it is loaded.
    """
    custom_gradient = tf.custom_gradient
    tf.custom_gradient = lambda function: lambda *args: function(*args)[0]
    try:
        yield
    finally:
        tf.custom_gradient = custom_gradient


def sample_waveforms(model, representative=None):
    """Clips shorter than, as long as and longer than a patch, alone and in batches: noise at various levels.

    And `representative` clips, one by one, if there are any.
    """
    front_end = front_end_of(model, any_length=True)
    patch = model.input_shape[1] or front_end.num_samples(frames=50)
    rng = np.random.default_rng(0)
    for batch, samples in ((1, patch // 3), (3, patch - 1), (2, patch), (1, 2 * patch - 1), (5, 3 * patch + 17)):
        levels = rng.uniform(0.02, 0.3, (batch, 1))
        yield (levels * rng.standard_normal((batch, samples))).astype("float32")
    for clip in () if representative is None else representative:
        yield np.asarray(clip, "float32")[None]


if __name__ == "__main__":
    write_saved_model(keras.models.load_model(sys.argv[1]), sys.argv[2])
