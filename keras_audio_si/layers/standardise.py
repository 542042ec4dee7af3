"""Standardisation of spectrograms by the mean and standard deviation of a training set."""

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops import normalisation

FORMS = ("set", "bands", "none")


@keras.saving.register_keras_serializable(package="keras_audio_si")
class Standardise(keras.layers.Layer):
    """Subtracts the mean of the training set and divides by its standard deviation.

    The statistics are weights that no optimizer changes, saved with the model. They are 0 and 1 until `adapt` computes
    them; `training.fit` does so at the beginning of a training, from the training patches alone (`training.adapt`).
    Everything is computed in float32 under any dtype policy; only the result is cast to the compute dtype. Each channel
    has its own statistics.

    `keras.layers.Normalization` computes the same, but copies its weights into constants when it is adapted or loaded:
    weights that are assigned later, by `set_weights` or a checkpoint, do not reach its output.

    Args:
        per_band: Whether each band has a mean and a deviation, or all bands of a channel share one pair.
        mean: Initial mean, a number or an array of the shape of the weights. With `mean` and `variance` the statistics
            count as known, and `training.fit` keeps them.
        variance: Initial variance, the square of the standard deviation, likewise.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, time, mel)` or `(batch, time, mel, channels)`, floats. A Keras mask passes through.

    Output shape:
        The same.

    Raises:
        ValueError: If the input has another rank, only one of `mean` and `variance` is given, or a variance is not
            positive.
        TypeError: If the input is not of a real float type.

    Example:

    >>> layer = Standardise()
    >>> layer.adapt([np.float32([[[-60.0, -20.0]]]), np.float32([[[-40.0, -80.0]]])])
    >>> float(layer.mean), float(layer.variance)
    (-50.0, 500.0)
    >>> print(np.round(keras.ops.convert_to_numpy(layer(np.float32([[[-50.0, 0.0]]]))), 3))
    [[[0.    2.236]]]

    Reference:
        Piczak, "Environmental sound classification with convolutional neural networks", 2015, released code. Gong et
        al., "PSLA", 2021.
    """

    def __init__(self, per_band=False, mean=None, variance=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if (mean is None) != (variance is None):
            raise ValueError(f"`mean` and `variance` need each other. Received: mean={mean!r}, variance={variance!r}")
        if variance is not None and not np.all(np.asarray(variance) > 0):
            raise ValueError(f"`variance` must be positive. Received: variance={variance!r}")
        self.per_band = per_band
        self.initial = None if mean is None else [np.asarray(value, "float64").tolist() for value in (mean, variance)]
        self.supports_masking = True

    def build(self, input_shape):
        self._check_rank(input_shape)
        shape = tuple(input_shape[2:] if self.per_band else input_shape[3:])
        mean, variance = (0.0, 1.0) if self.initial is None else self.initial
        fixed = {"dtype": "float32", "trainable": False, "autocast": False}
        self.mean = self.add_weight(name="mean", shape=shape, initializer=_filled(mean), **fixed)
        self.variance = self.add_weight(name="variance", shape=shape, initializer=_filled(variance), **fixed)
        self.count = self.add_weight(name="count", shape=(), initializer=_filled(self.initial is not None), **fixed)

    def call(self, inputs):
        self._check_rank(inputs.shape)
        values = normalisation.standardise(
            inputs, ops.convert_to_tensor(self.mean), ops.convert_to_tensor(self.variance)
        )
        return ops.cast(values, self.compute_dtype)

    @property
    def known(self):
        """Whether the statistics are those of data, or were given, and not the initial 0 and 1."""
        return float(ops.convert_to_numpy(self.count)) > 0

    def summary(self):
        """Mean and deviation in words; of several their ranges."""
        mean = ops.convert_to_numpy(self.mean)
        deviation = np.sqrt(ops.convert_to_numpy(self.variance))
        ranges = (" to ".join(f"{value:.4g}" for value in np.unique([np.min(x), np.max(x)])) for x in (mean, deviation))
        return "mean {}, deviation {}".format(*ranges)

    def adapt(self, batches):
        """Computes the statistics of batches of inputs, which are read one after the other.

        Sums are float64. A constant, whose variance is 0 up to rounding, gets the variance 1: it becomes 0.

        Args:
            batches: Iterable of arrays of the input shape, or of pairs of these and masks, `(batch, time)` bool, of the
                frames that count.

        Raises:
            ValueError: If there are no values, or some that are not finite.
        """
        count, mean, squares = 0, 0.0, 0.0
        for batch in batches:
            values, mask = batch if isinstance(batch, tuple) else (batch, None)
            if not self.built:
                self.build(np.shape(values))
            frames = _frames(np.asarray(values, "float64"), mask)
            if not np.isfinite(frames).all():
                raise ValueError(f"What reaches {self.name} is not finite: look for such samples in the audio.")
            axes = 0 if self.per_band else (0, 1)
            number = len(frames) if self.per_band else len(frames) * frames.shape[1]
            if number:
                # As in Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for sample variances", 1979.
                distance = frames.mean(axis=axes) - mean
                squares = squares + frames.var(axis=axes) * number + distance**2 * (count * number / (count + number))
                count += number
                mean = mean + distance * (number / count)
        if not count:
            raise ValueError(f"`batches` must have values for {self.name} to adapt to. Received: none")
        variance = squares / count
        self.mean.assign(np.float32(mean))
        self.variance.assign(np.float32(np.where(variance > (1e-6 * mean) ** 2, variance, 1.0)))
        self.count.assign(np.float32(count))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        mean, variance = (None, None) if self.initial is None else self.initial
        return {**super().get_config(), "per_band": self.per_band, "mean": mean, "variance": variance}

    def _check_rank(self, shape):
        if len(shape) not in (3, 4):
            raise ValueError(
                f"{self.name} takes spectrograms of shape (batch, time, mel) or (batch, time, mel, channels). "
                f"Received: shape={tuple(shape)}"
            )


def build_standardise(form):
    """Builds the layer of a form of standardisation.

    Args:
        form: `"set"`, one mean and deviation of all bands, `"bands"`, one pair for each, or `"none"`; or a layer, which
            is returned.

    Returns:
        A `Standardise` called "standardise", or None.

    Raises:
        ValueError: If the form is unknown.

    Example:

    >>> build_standardise("bands").per_band, build_standardise("none")
    (True, None)
    """
    if isinstance(form, keras.layers.Layer):
        return form
    check_choice("standardise", form, FORMS)
    return None if form == "none" else Standardise(per_band=form == "bands", name="standardise")


def _frames(values, mask):
    """All frames that count, one after the other: `(frames, mel)` or `(frames, mel, channels)`."""
    return values.reshape(-1, *values.shape[2:]) if mask is None else values[np.asarray(mask, bool)]


def _filled(value):
    """An initializer with the value, a number or an array, whatever the policy."""
    return lambda shape, dtype=None: ops.cast(ops.convert_to_tensor(np.broadcast_to(value, shape).copy()), dtype)
