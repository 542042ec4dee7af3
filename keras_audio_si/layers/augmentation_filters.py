"""Augmentations by filters: low pass and high pass with random cutoff."""

import keras

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.augmentation import RandomWaveformLayer, check_range
from keras_audio_si.ops.fir import TAP_SCALES, band_taps, correlate_each, reflect_ends


class _RandomFilter(RandomWaveformLayer):
    """Draws a cutoff and filters by a windowed sinc, the ends of the waveform reflected."""

    band = None
    scale = "band"
    closed = None  # The cutoff with which nothing passes, so that the gain cannot be set.

    def __init__(self, cutoff, num_taps=15, probability=1.0, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)
        self.cutoff = check_range("cutoff", cutoff, 0, 1)
        if self.closed in self.cutoff:
            raise ValueError(
                f"`cutoff` must not be {self.closed} for a {self.band} pass, which nothing passes then. "
                f"Received: cutoff={cutoff!r}"
            )
        if not isinstance(num_taps, int) or num_taps < 1 or num_taps % 2 == 0:
            raise ValueError(f"`num_taps` must be odd and at least 1. Received: num_taps={num_taps!r}")
        self.num_taps = num_taps

    def draw_parameters(self, batch_size, num_samples):
        return {"cutoff": self.uniform(batch_size, *self.cutoff)}

    def transform(self, waveforms, params):
        taps = band_taps(params["cutoff"], self.num_taps, self.band, self.scale)
        return correlate_each(reflect_ends(waveforms, self.num_taps // 2), taps)

    def get_config(self):
        return {**super().get_config(), "cutoff": self.cutoff, "num_taps": self.num_taps}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomLowPass(_RandomFilter):
    """Low-pass filters every waveform with a random cutoff.

    Args:
        cutoff: Lowest and highest cutoff, where the amplitude is halved, as fractions of the Nyquist frequency, above
            0 and up to 1; drawn uniformly.
        num_taps: Taps of the filter, an odd number. The gain falls within about `6.6 / num_taps` of the Nyquist
            frequency.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> dull = RandomLowPass()(np.ones((2, 1000), "float32"), training=True)
    >>> bool(keras.ops.max(keras.ops.abs(dull - 1.0)) < 1e-5)
    True

    Reference:
        gazneli2022, Table 1, "low/high pass filter with randomized cutoff frequency"; taps of the released code, which
        has no way to the filter. The range is ours.
    """

    band, closed = "low", 0

    def __init__(self, cutoff=(0.5, 0.9), num_taps=15, probability=1.0, seed=None, **kwargs):
        super().__init__(cutoff, num_taps, probability, seed, **kwargs)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomHighPass(_RandomFilter):
    """High-pass filters every waveform with a random cutoff.

    Args:
        cutoff: Lowest and highest cutoff, where the amplitude is halved, as fractions of the Nyquist frequency, from 0
            to below 1; drawn uniformly.
        num_taps: Taps of the filter, an odd number. The gain rises within about `6.6 / num_taps` of the Nyquist
            frequency, so that with few taps low cutoffs leave some of the lowest frequencies.
        scale: `"band"` for a gain of 1 at the highest frequency, or `"sum"` as released: taps divided by their sum,
            which is the gain at frequency 0, and so an amplification of up to a hundredfold.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> thin = RandomHighPass((0.4, 0.4))(np.ones((2, 1000), "float32"), training=True)
    >>> bool(keras.ops.max(keras.ops.abs(thin)) < 0.05)
    True

    Reference:
        gazneli2022, Table 1, "low/high pass filter with randomized cutoff frequency"; taps of the released code, which
        has no way to the filter. The range is ours: up to 0.1 the lowest frequencies lose 12 dB at most, while a cutoff
        of 0.2 takes off the octaves in which most sounds have their energy.
    """

    band, closed = "high", 1

    def __init__(self, cutoff=(0.0, 0.1), num_taps=15, scale="band", probability=1.0, seed=None, **kwargs):
        super().__init__(cutoff, num_taps, probability, seed, **kwargs)
        check_choice("scale", scale, TAP_SCALES)
        self.scale = scale

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}
