"""Augmentations of the amplitude: gain, polarity inversion, time masks, quantisation."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.layers.augmentation import RandomWaveformLayer, check_range
from keras_audio_si.ops.quantisation import quantise, quantise_mu_law


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomGain(RandomWaveformLayer):
    """Multiplies every waveform by a random factor.

    Args:
        gain: Lowest and highest gain, drawn uniformly.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.
        unit: Of `gain`: "factor", or "decibels", on whose scale the gains are uniform then.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> quieter = RandomGain((0.5, 0.5))(np.ones((2, 3), "float32"), training=True)
    >>> print(keras.ops.convert_to_numpy(quieter)[0])
    [0.5 0.5 0.5]

    Reference:
        gazneli2022, Table 1, "amplitude"; range of the released code.
    """

    def __init__(self, gain=(0.5, 1.3), probability=1.0, seed=None, unit="factor", **kwargs):
        super().__init__(probability, seed, **kwargs)
        check_choice("unit", unit, ("factor", "decibels"))
        self.gain = check_range("gain", gain)
        self.unit = unit

    def draw_parameters(self, batch_size, num_samples):
        gain = self.uniform(batch_size, *self.gain)
        return {"gain": gain if self.unit == "factor" else ops.power(10.0, gain / 20)}

    def transform(self, waveforms, params):
        return waveforms * params["gain"][:, None]

    def get_config(self):
        return {**super().get_config(), "gain": self.gain, "unit": self.unit}


class _RandomFragmentLayer(RandomWaveformLayer):
    """Draws a fragment of each waveform: a length from the range `seconds`, and a place where it fits."""

    def __init__(self, sample_rate, seconds=(0.1, 0.1), probability=1.0, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)
        check_positive(sample_rate=sample_rate)
        self.sample_rate = sample_rate
        self.seconds = check_range("seconds", seconds, 0)

    def draw_parameters(self, batch_size, num_samples):
        shortest, longest = (ops.minimum(round(end * self.sample_rate), num_samples) for end in self.seconds)
        length = self.integers(batch_size, shortest, longest)
        return {"start": self.integers(batch_size, 0, self.latest_start(num_samples - length)), "length": length}

    def latest_start(self, room):
        """The last sample at which a fragment may start, of those where it fits."""
        return room

    def inside(self, waveforms, params):
        """Whether a sample belongs to the fragment, `(batch, samples)`."""
        offset = ops.arange(ops.shape(waveforms)[1], dtype="int32")[None, :] - params["start"][:, None]
        return ops.logical_and(offset >= 0, offset < params["length"][:, None])

    def get_config(self):
        return {**super().get_config(), "sample_rate": self.sample_rate, "seconds": self.seconds}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomFragmentGain(_RandomFragmentLayer):
    """Multiplies a fragment of every waveform by a random factor.

    Args:
        sample_rate: In Hz.
        seconds: Shortest and longest fragment, drawn uniformly; in a shorter clip it is the whole.
        gain: Lowest and highest factor, drawn uniformly.
        max_start_seconds: Latest start of the fragment, 0.1 in the released code; None for anywhere in the clip.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> params = {"gain": np.float32([2]), "start": np.int32([1]), "length": np.int32([2])}
    >>> print(keras.ops.convert_to_numpy(RandomFragmentGain(16000).apply(np.ones((1, 4), "float32"), params)))
    [[1. 2. 2. 1.]]

    Reference:
        gazneli2022, Table 1, "amplitude"; length and factors of the released code, whose fragments start within the
        first 0.1 s only.
    """

    def __init__(
        self,
        sample_rate,
        seconds=(0.1, 0.1),
        gain=(0.5, 1.3),
        max_start_seconds=None,
        probability=1.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(sample_rate, seconds, probability, seed, **kwargs)
        self.gain = check_range("gain", gain)
        if max_start_seconds is not None:
            check_positive(max_start_seconds=max_start_seconds)
        self.max_start_seconds = max_start_seconds

    def draw_parameters(self, batch_size, num_samples):
        fragment = super().draw_parameters(batch_size, num_samples)
        return {**fragment, "gain": self.uniform(batch_size, *self.gain)}

    def latest_start(self, room):
        if self.max_start_seconds is None:
            return room
        return ops.minimum(round(self.max_start_seconds * self.sample_rate), room)

    def transform(self, waveforms, params):
        return waveforms * ops.where(self.inside(waveforms, params), params["gain"][:, None], 1.0)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain, "max_start_seconds": self.max_start_seconds}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomTimeMask(_RandomFragmentLayer):
    """Silences a fragment of every waveform.

    Args:
        sample_rate: In Hz.
        seconds: Shortest and longest fragment, drawn uniformly; in a shorter clip it is the whole.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> params = {"start": np.int32([1]), "length": np.int32([2])}
    >>> print(keras.ops.convert_to_numpy(RandomTimeMask(16000).apply(np.ones((1, 4), "float32"), params)))
    [[1. 0. 0. 1.]]

    Reference:
        gazneli2022, Table 1, "time masking"; length of the released code, which leaves noise of 1e-6 in the fragment.
    """

    def transform(self, waveforms, params):
        return ops.where(self.inside(waveforms, params), 0.0, waveforms)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class PolarityInversion(RandomWaveformLayer):
    """Multiplies waveforms by -1, with a probability of 0.5 by default.

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

    >>> print(keras.ops.convert_to_numpy(PolarityInversion(1.0)(np.ones((1, 2), "float32"), training=True)))
    [[-1. -1.]]

    Reference:
        gazneli2022, Table 1, "invert polarity".
    """

    def __init__(self, probability=0.5, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)

    def draw_parameters(self, batch_size, num_samples):
        return {}

    def transform(self, waveforms, params):
        return -waveforms


class _RandomLevels(RandomWaveformLayer):
    """Draws a number of bits."""

    def __init__(self, bits=(8, 8), probability=1.0, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)
        self.bits = tuple(int(number) for number in check_range("bits", bits, 1, 24))
        if self.bits != tuple(bits):
            raise ValueError(f"`bits` must be a range of integers from 1 to 24. Received: bits={bits!r}")

    def draw_parameters(self, batch_size, num_samples):
        return {"bits": ops.cast(self.integers(batch_size, *self.bits), "float32")}

    def get_config(self):
        return {**super().get_config(), "bits": self.bits}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class BitCrush(_RandomLevels):
    """Quantises every waveform to the evenly spaced levels of a few bits.

    Args:
        bits: Fewest and most bits, integers from 1 to 24, drawn uniformly; levels are `2^(1 - bits)` apart.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> rounded = BitCrush((2, 2))(np.float32([[0.3, -0.9]]), training=True)
    >>> print(keras.ops.convert_to_numpy(rounded))
    [[ 0.5 -1. ]]

    Reference:
        gazneli2022, Table 1, "linear regime"; the paper gives no number of bits and the released code has no such
        step: 8 to 12 is our choice, audible in quiet passages and no more.
    """

    def __init__(self, bits=(8, 12), probability=1.0, seed=None, **kwargs):
        super().__init__(bits, probability, seed, **kwargs)

    def transform(self, waveforms, params):
        return quantise(waveforms, params["bits"])


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomMuLaw(_RandomLevels):
    """Quantises every waveform to mu-law levels, which are denser near zero.

    Args:
        bits: Fewest and most bits, integers from 1 to 24, drawn uniformly; mu is `2^bits - 1`.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> rounded = RandomMuLaw()(np.float32([[1.0, 0.5]]), training=True)
    >>> [round(float(value), 3) for value in rounded[0]]
    [1.0, 0.497]

    Reference:
        gazneli2022, Table 1, "mu law"; 8 bits as in the released code.
    """

    def transform(self, waveforms, params):
        return quantise_mu_law(waveforms, params["bits"])
