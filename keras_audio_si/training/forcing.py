"""Spectrogram forcing: a front-end is trained to reproduce a mel spectrogram before it is trained to classify."""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.data.loud_patches import spectrograms_of
from keras_audio_si.evaluation.clips import predict_batches, waveform_batches
from keras_audio_si.layers.rescaled_frontend import RescaledFrontEnd
from keras_audio_si.models.metadata import check_sample_rate
from keras_audio_si.training.callbacks import trained_model
from keras_audio_si.training.ema import averaged

FORMS = ("centred", "unit")


class SpectrogramStatistics(NamedTuple):
    """Values of all spectrograms of some data.

    Attributes:
        mean: their mean.
        minimum: the smallest.
        maximum: the largest.
    """

    mean: float
    minimum: float
    maximum: float


def spectrogram_statistics(front_end, patches, batch_size=64):
    """Mean, minimum and maximum of the spectrograms of all patches.

    Use training data only, because statistics of validation or test data would leak into the model. The released code
    uses all folds.

    Args:
        front_end: layer from waveforms to spectrograms.
        patches: `data.pipeline.PatchDataset` of the training data.
        batch_size: patches per call.

    Returns:
        `SpectrogramStatistics`

    Raises:
        ValueError: if a value is not finite.
    """
    total, minimum, maximum = 0.0, np.inf, -np.inf
    for values in spectrograms_of(patches, front_end, batch_size):
        total += values.mean(dtype="float64") * len(values)
        minimum, maximum = min(minimum, float(values.min())), max(maximum, float(values.max()))
    mean = float(total / patches.num_patches)
    if not np.isfinite([mean, minimum, maximum]).all():
        raise ValueError("The spectrograms have values that are not finite: look for such samples in the audio.")
    return SpectrogramStatistics(mean, minimum, maximum)


def normalised(front_end, statistics, form="centred", **kwargs):
    """A front-end whose values are normalised by the statistics of training data.

    Args:
        front_end: layer from waveforms to spectrograms.
        statistics: `SpectrogramStatistics` of it.
        form: `"centred"`, (x - mean) / (maximum - minimum), within [-1, 1], as in the paper; or `"unit"`,
            (x - minimum) / (maximum - minimum), within [0, 1], as released.
        **kwargs: keyword arguments of the layer, such as `name`.

    Returns:
        `layers.RescaledFrontEnd`

    Raises:
        ValueError: if the form is unknown, or all values are equal.

    Example:

    >>> layer = normalised(keras_audio_si.models.piczak_spectrogram(), SpectrogramStatistics(-30.0, -80.0, 20.0))
    >>> layer.scale, layer.offset
    (0.01, 0.3)

    Reference:
        juettner, section 2.3.2.
    """
    check_choice("form", form, FORMS)
    extent = statistics.maximum - statistics.minimum
    if not extent > 0:
        raise ValueError(f"All values of the spectrograms are {statistics.minimum}: there is nothing to reproduce.")
    origin = statistics.mean if form == "centred" else statistics.minimum
    return RescaledFrontEnd(front_end, 1.0 / extent, -origin / extent, **kwargs)


def forcing_model(front_end, input_samples, name="forcing"):
    """A model of a front-end alone, for `fit(..., target=...)`; it shares the layer, and so its weights.

    Args:
        front_end: layer from waveforms to features.
        input_samples: length of the waveforms.
        name: name of the model.

    Returns:
        Functional `keras.Model`.

    Example:

    >>> forcing_model(keras_audio_si.layers.MSTFrontEnd(), 20992).output_shape
    (None, 41, 60)
    """
    waveforms = keras.Input((input_samples,), dtype="float32", name="waveform")
    return keras.Model(waveforms, front_end(waveforms), name=name)


def check_target(model, target, train_data, validation):
    """Raises a `ValueError` if a model cannot learn to reproduce a target on these data.

    Args:
        model: Keras model of waveforms.
        target: layer of waveforms.
        train_data: `data.pipeline.PatchDataset` of the training clips.
        validation: `data.pipeline.PatchDataset` of the validation clips.
    """
    wanted = tuple(target.compute_output_shape((None, model.input_shape[-1])))
    if tuple(model.output_shape) != wanted:
        raise ValueError(f"`target` gives {wanted}, the model {tuple(model.output_shape)}: they must be the same.")
    if target.trainable_weights:
        raise ValueError(
            "`target` must have no weights that could be trained. "
            f"Received: {target.name!r}, which has {len(target.trainable_weights)}"
        )
    for patches in (train_data, validation):
        check_sample_rate(model, patches.sample_rate)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class Reproduction(keras.layers.Layer):
    """Replaces the labels by the output of a front-end, in the training step.

    Args:
        target: front-end layer without trainable weights.

    Input shape:
        Pair of `(batch, samples)` and labels.

    Output shape:
        Pair of `(batch, samples)` and what the target gives.

    Example:

    >>> layer = Reproduction(keras_audio_si.layers.LogMelSpectrogram(16000))
    >>> _, targets = layer((np.zeros((2, 16480), "float32"), np.zeros((2, 5), "float32")))
    >>> tuple(targets.shape)
    (2, 101, 96)
    """

    def __init__(self, target, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.target = target

    def call(self, inputs):
        waveforms, _ = inputs
        return waveforms, ops.stop_gradient(ops.cast(self.target(waveforms), "float32"))

    def get_config(self):
        return {**super().get_config(), "target": keras.saving.serialize_keras_object(self.target)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "target": keras.saving.deserialize_keras_object(config["target"])})


class ForcingValidation(keras.callbacks.Callback):
    """Adds, at the end of each epoch, how well the target is reproduced on validation data to the logs.

    `val_mse` is the mean squared error. `val_explained_variance` is the fraction of the target's variance that is
    explained: 1 for a perfect reproduction, 0 for the constant mean. Larger is better (the released code selects the
    epoch with the largest error).

    Much of that variance is between bands and between patches. `val_time_correlation` is about the course in time
    alone: in each band of each patch the correlation over the frames between what the model gives and the target, and
    of these the mean. Bands whose target is constant are left out, and where the model alone is constant it is 0.

    Args:
        validation: `data.pipeline.PatchDataset` of the validation clips.
        target: front-end layer.
        batch_size: patches per batch.

    Example:

    >>> callback = ForcingValidation(validation=None, target=None, batch_size=32)
    """

    def __init__(self, validation, target, batch_size=64):
        super().__init__()
        self.validation, self.target, self.batch_size = validation, target, batch_size
        self._errors = None

    def on_train_begin(self, logs=None):
        model = trained_model(self.model)
        sums = _Sums(dtype="float32")([model.output, self.target(model.inputs[0])])
        self._errors = keras.Model(model.inputs, sums)
        self._errors.jit_compile = model.jit_compile

    def on_epoch_end(self, epoch, logs=None):
        batches = waveform_batches(self.validation, self.batch_size)
        with averaged(self.model):
            sums = predict_batches(self._errors, batches, self.validation.num_patches, self.batch_size)
        error, total, squares, correlation, moving = sums.sum(axis=0, dtype="float64")
        values = self.validation.num_patches * np.prod(trained_model(self.model).output_shape[1:])
        variance = squares - total**2 / values
        logs["val_mse"] = float(error / values)
        logs["val_explained_variance"] = float(1 - error / variance) if variance > 0 else math.nan
        logs["val_time_correlation"] = float(correlation / moving) if moving > 0 else math.nan


class _Sums(keras.layers.Layer):
    """Of a result and its target, the sums over each example: of the squared error, the target and its square; over
    the bands whose target moves in time, of the correlation in time and of their number."""

    def call(self, inputs):
        result, target = (ops.cast(x, "float32") for x in inputs)
        course, wanted = _course(result), _course(target)
        energies = [ops.sum(ops.square(x), axis=1) for x in (course, wanted)]
        moving = ops.cast(energies[1] > 0, "float32")
        product = ops.sum(course * wanted, axis=1)
        energy = energies[0] * energies[1]
        correlation = product * ops.rsqrt(ops.where(energy > 0, energy, 1.0))
        values = (ops.square(result - target), target, target**2, correlation, moving)
        return ops.stack([ops.sum(x, axis=tuple(range(1, len(x.shape)))) for x in values], axis=-1)


def _course(x):
    """Values less their mean over time, scaled to a maximum of 1, or 0 where they are constant up to rounding."""
    mean = ops.mean(x, axis=1, keepdims=True)
    distance = x - mean
    largest = ops.max(ops.abs(distance), axis=1, keepdims=True)
    constant = largest <= 1e-6 * ops.abs(mean)
    return ops.where(constant, 0.0, distance / ops.where(constant, 1.0, largest))
