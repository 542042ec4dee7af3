"""Figures of a trained model, as files and for TensorBoard."""

import pathlib
import sys

from keras_audio_si.evaluation.patches import evaluate_patches
from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.visualization.activations import front_activations, loudest_patches, one_clip_per_class
from keras_audio_si.visualization.classification import plot_confusion
from keras_audio_si.visualization.front_ends import plot_activations, plot_kernels
from keras_audio_si.visualization.kernels import first_kernels, has_kernels


def write_pictures(models, patches, folder, batch_size=64):
    """Writes the kernels, activations and confusion matrix of a model, as files and for TensorBoard.

    Args:
        models: Dict of classifiers of waveforms, or of front-ends as `training.forcing.forcing_model` makes them, by
            name: the phases of one network. The pictures are those of the last; activations are of all.
        patches: `data.pipeline.PatchDataset` of the clips to look at; activations are those of one clip per class.
        folder: Folder of the training, as `fit` has it: the files come to `pictures/`, the images to `tensorboard/`.
            A front-end without kernels that learn has no `kernels.png`, one without classes no `confusion.png`, and a
            network on waveforms no `activations.png`.
        batch_size: Patches per batch.

    Returns:
        Dict of the files by name. It is empty, and a message says so, where matplotlib is missing.
    """
    folder, written = pathlib.Path(folder) / "pictures", {}
    name, model = list(models.items())[-1]
    front_end = front_end_of(model)
    try:
        if has_kernels(front_end):
            path = folder / "kernels.png"
            written["kernels"] = plot_kernels(first_kernels(front_end), front_end.sample_rate, path, name)
        if isinstance(front_end, FrontEnd):
            clips = one_clip_per_class(patches)
            labels = [patches.class_names[int(patches.labels[clip].argmax())] for clip in clips]
            found = front_activations(models, patches.waveforms(loudest_patches(patches, clips)))
            written["activations"] = plot_activations(found, labels, folder / "activations.png")
        if model.output_shape == (None, len(patches.class_names)):
            confusion = evaluate_patches(model, patches, batch_size).patches
            path = folder / "confusion.png"
            written["confusion"] = plot_confusion(confusion, patches.class_names, path, f"{name}, patches")
    except ImportError as error:
        print(f"No pictures. {error}", file=sys.stderr)
    write_images(written, folder.parent / "tensorboard" / "pictures")
    return written


def write_images(pictures, log_dir, step=0):
    """Writes PNG files as images for TensorBoard, where TensorFlow is installed.

    Args:
        pictures: Dict of files by name.
        log_dir: Folder that TensorBoard reads.
        step: Step that they are shown at.
    """
    try:
        import tensorflow as tf
    except ImportError:
        return
    writer = tf.summary.create_file_writer(str(log_dir))
    with writer.as_default():
        for name, path in pictures.items():
            image = tf.io.decode_png(pathlib.Path(path).read_bytes(), channels=3)
            tf.summary.image(name, image[None], step=step)
    writer.close()
