"""Augmentations of the time axis: shifts by whole samples and fractions, reversal, speed."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.layers.augmentation import RandomWaveformLayer
from keras_audio_si.ops.resampling import resample_to_length
from keras_audio_si.ops.shifts import INTERPOLATIONS, delay, shift_samples
from keras_audio_si.ops.xla import map_examples


class _RandomShift(RandomWaveformLayer):
    circular = False

    def __init__(self, fractional=True, interpolation="sinc", probability=1.0, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        self.fractional = bool(fractional)
        self.interpolation = interpolation

    def draw_parameters(self, batch_size, num_samples):
        params = {"samples": self.integers(batch_size, *self.limits(num_samples))}
        if self.fractional:
            params["fraction"] = self.uniform(batch_size, -0.5, 0.5)
        return params

    def transform(self, waveforms, params):
        if "fraction" not in params:
            return shift_samples(waveforms, params["samples"], self.circular)
        return delay(waveforms, params["samples"], params["fraction"], self.circular, self.interpolation)

    def get_config(self):
        return {**super().get_config(), "fractional": self.fractional, "interpolation": self.interpolation}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomTimeShift(_RandomShift):
    """Shifts every waveform in time; samples beyond the ends are lost, and silence is inserted.

    Args:
        sample_rate: In Hz.
        max_seconds: Largest shift, either way; all whole numbers of samples up to it are equally likely.
        fractional: Whether a fraction of a sample between -0.5 and 0.5 is added.
        interpolation: `"sinc"` for 31 taps, or `"fourier"` as released: through the spectrum of the whole clip, which
            carries ringing around its ends and takes longer.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> shift = RandomTimeShift(16000, fractional=False)
    >>> print(keras.ops.convert_to_numpy(shift.apply(np.float32([[1, 2, 3]]), {"samples": np.int32([1])})))
    [[0. 1. 2.]]

    Reference:
        gazneli2022, Table 1, "linear with integer and fractional delay"; range of the released code.
    """

    def __init__(self, sample_rate, max_seconds=0.1, fractional=True, interpolation="sinc", **kwargs):
        super().__init__(fractional, interpolation, **kwargs)
        check_positive(sample_rate=sample_rate, max_seconds=max_seconds)
        self.sample_rate = sample_rate
        self.max_seconds = max_seconds

    def limits(self, num_samples):
        largest = round(self.max_seconds * self.sample_rate)
        return -largest, largest

    def get_config(self):
        return {**super().get_config(), "sample_rate": self.sample_rate, "max_seconds": self.max_seconds}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class Roll(_RandomShift):
    """Shifts every waveform cyclically by a random number of samples.

    Args:
        fractional: Whether a fraction of a sample between -0.5 and 0.5 is added.
        interpolation: `"sinc"` for 31 taps, or `"fourier"`, exact and slower.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> shift = Roll(fractional=False)
    >>> print(keras.ops.convert_to_numpy(shift.apply(np.float32([[1, 2, 3]]), {"samples": np.int32([1])})))
    [[3. 1. 2.]]

    Reference:
        gazneli2022, Table 1, "cyclic with integer and fractional delay".
    """

    circular = True

    def limits(self, num_samples):
        return 0, num_samples - 1


@keras.saving.register_keras_serializable(package="keras_audio_si")
class Reverse(RandomWaveformLayer):
    """Reverses waveforms in time, with a probability of 0.5 by default.

    Args:
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If `probability` is not from 0 to 1 or the input has several channels.

    Example:

    >>> print(keras.ops.convert_to_numpy(Reverse(1.0)(np.float32([[1, 2]]), training=True)))
    [[2. 1.]]

    Reference:
        The released code of gazneli2022; not in its Table 1.
    """

    def __init__(self, probability=0.5, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)

    def draw_parameters(self, batch_size, num_samples):
        return {}

    def transform(self, waveforms, params):
        return ops.flip(waveforms, axis=1)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomSpeed(RandomWaveformLayer):
    """Changes the speed of waveforms, including the pitch, and keeps their length.

    A faster clip is padded with silence at its end; the end of a slower one is cut off. Examples are processed one by
    one, so that the cost of each depends on its factor, and unchanged ones cost nothing.

    Args:
        length_factors: Durations to choose from, relative to the original: 0.8 is 1.25 times as fast.
        num_zeros: Zero crossings of the resampling filter on either side; fewer are faster and less steep.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels; the number of samples must be known.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range, the input has several channels or an unknown length.

    Example:

    >>> tuple(RandomSpeed()(np.zeros((2, 1001), "float32"), training=True).shape)
    (2, 1001)

    Reference:
        gazneli2022, section 3.2, "re-sampling". Factors and filter of the released code, which draws one factor for
        the whole batch, with a probability of 0.5.
    """

    def __init__(self, length_factors=(0.8, 0.9, 1.1, 1.2), num_zeros=64, probability=1.0, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)
        self.length_factors = tuple(float(factor) for factor in length_factors)
        if not self.length_factors or min(self.length_factors) <= 0:
            raise ValueError(f"`length_factors` must be positive numbers. Received: length_factors={length_factors!r}")
        check_positive(num_zeros=num_zeros)
        self.num_zeros = num_zeros

    def draw_parameters(self, batch_size, num_samples):
        return {"factor": self.integers(batch_size, 0, len(self.length_factors) - 1)}

    def transform(self, waveforms, params):
        check_known_length(self, waveforms)
        choice = params["factor"] + 1
        if "applied" in params:
            choice = ops.where(params["applied"], choice, 0)
        stretched = [
            lambda x, factor=factor: resample_to_length(x[None], factor, self.num_zeros)[0]
            for factor in self.length_factors
        ]
        return map_examples(
            lambda x, choice: ops.switch(choice, [lambda x: x, *stretched], x), (waveforms, choice), "float32"
        )

    def get_config(self):
        return {**super().get_config(), "length_factors": self.length_factors, "num_zeros": self.num_zeros}


def check_known_length(layer, waveforms):
    """Raise a ValueError that names the layer if the number of samples is not known before the call."""
    if waveforms.shape[1] is None:
        raise ValueError(
            f"{type(layer).__name__} must know the number of samples. Received: shape={tuple(waveforms.shape)}. Cut or "
            "pad the clips to one length."
        )
