"""Padding or truncation of waveforms to a length that a network takes."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_integer, check_interval, check_positive

FITS = ("pad", "cut")
SHORT = ("repeat", "zero")
HOP_SECONDS = 0.01  # Hop of the spectrograms of fonseca2021.


@keras.saving.register_keras_serializable(package="keras_audio_si")
class FitLength(keras.layers.Layer):
    """Pads waveforms with silence at their end, or truncates them, to a multiple of a number of samples.

    It also stores what must be known about the clips of a network without a front-end: their sampling rate, and how
    evaluation, tagging and export fill and scale clips. The layer does not fill or scale clips itself, because
    augmentation in training comes between these steps.

    Args:
        multiple: What the length is to be a multiple of, in samples.
        smallest: Smallest length, a multiple as well.
        fit: "pad" or "cut". A waveform shorter than `smallest` can only be padded.
        sample_rate: In Hz, or None for a network that may be told any.
        short: What fills a clip that is shorter than the network's input: "repeat" (the clip) or "zero" (silence).
        peak: Largest magnitude that each input is scaled to, silence excepted, or None.

    Input shape:
        `(batch, samples)` or `(batch, samples, channels)`; the number of samples must be known.

    Output shape:
        The same rank, the samples a multiple.

    Raises:
        ValueError: If an argument is unknown or out of range, or the waveforms are too short to be cut or of unknown
            length.

    Example:

    >>> tuple(FitLength(multiple=256)(keras.ops.ones((2, 1000))).shape)
    (2, 1024)
    >>> tuple(FitLength(multiple=256, fit="cut")(keras.ops.ones((2, 1000))).shape)
    (2, 768)
    """

    def __init__(self, multiple, smallest=None, fit="pad", sample_rate=None, short="repeat", peak=None, **kwargs):
        super().__init__(**kwargs)
        check_integer(1, multiple=multiple)
        smallest = multiple if smallest is None else smallest
        check_integer(1, smallest=smallest)
        if smallest % multiple:
            raise ValueError(f"`smallest` must be a multiple of {multiple}. Received: smallest={smallest}")
        if sample_rate is not None:
            check_positive(sample_rate=sample_rate)
        check_choice("fit", fit, FITS)
        check_choice("short", short, SHORT)
        if peak is not None:
            check_interval("(0, 1]", peak=peak)
        self.multiple, self.smallest, self.fit = multiple, smallest, fit
        self.sample_rate, self.short, self.peak = sample_rate, short, peak

    @property
    def hop_length(self):
        """Samples in 10 ms, by which shifts in time are counted where there are no frames."""
        return round(HOP_SECONDS * self.sample_rate)

    def fitted(self, samples):
        """Returns the length that waveforms of `samples` samples get."""
        if samples is None:
            raise ValueError(f"{self.name} must know the number of samples. Received: None. Set it in the input shape.")
        if self.fit == "pad":
            return max(-(-samples // self.multiple) * self.multiple, self.smallest)
        if samples < self.smallest:
            raise ValueError(
                f"The network takes at least {self.smallest} samples. Received: samples={samples}. Use fit='pad' or a "
                "longer input."
            )
        return samples // self.multiple * self.multiple

    def call(self, x):
        samples = x.shape[1]
        wanted = self.fitted(samples)
        if wanted <= samples:
            return x[:, :wanted]
        return ops.pad(x, [(0, 0), (0, wanted - samples), *[(0, 0)] * (len(x.shape) - 2)])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.fitted(input_shape[1]), *input_shape[2:])

    def get_config(self):
        names = ("multiple", "smallest", "fit", "sample_rate", "short", "peak")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
