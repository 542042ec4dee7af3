"""Layers that mix the waveforms of a batch in their short-time spectra, with their labels."""

import functools
import math

import keras
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.mixing import BatchMixing
from keras_audio_si.ops import framing, mixing

# (fft_length, hop_length) in samples, as in the released code of EAT.
_RELEASED_SIZES = {
    22050: ((512, 128), (1024, 256), (2048, 1024)),
    16000: ((256, 64), (512, 128), (1024, 256)),
}


def stft_sizes(sample_rate):
    """Sizes of the short-time Fourier transforms for the mixing of waveforms of a sample rate.

    At 22050 and 16000 Hz they are those of the released code of EAT. At other rates the frames are 512, 1024 and 2048
    samples at 22050 to 44099 Hz, half or twice as many below or above that, and so on, with hops of a quarter.

    Args:
        sample_rate: sample rate in Hz.

    Returns:
        Tuple of pairs `(fft_length, hop_length)`, in samples.

    Raises:
        ValueError: if the sample rate is below 100 Hz.

    Example:

    >>> stft_sizes(22050)
    ((512, 128), (1024, 256), (2048, 1024))
    >>> stft_sizes(44100)
    ((1024, 256), (2048, 512), (4096, 1024))
    """
    if not sample_rate >= 100:
        raise ValueError(f"`sample_rate` must be at least 100 Hz. Received: sample_rate={sample_rate!r}")
    if sample_rate in _RELEASED_SIZES:
        return _RELEASED_SIZES[sample_rate]
    octaves = math.floor(math.log2(sample_rate / 22050))
    lengths = [round(length * 2.0**octaves) for length in (512, 1024, 2048)]
    return tuple((length, max(1, length // 4)) for length in lengths)


class SpectralMixing(BatchMixing):
    """Base class of `FreqMix` and `PhaseMix`: the short-time transform, whose size is drawn once per call.

    Args:
        sample_rate: sample rate of the waveforms in Hz, which sets the sizes.
        sizes: pairs `(fft_length, hop_length)` in samples to use instead, or None.
        window: `"hann"`, `"hamming"` or `"rectangular"`.
        **kwargs: as in `BatchMixing`.
    """

    def __init__(self, sample_rate, sizes, window, **kwargs):
        super().__init__(**kwargs)
        self.sample_rate = sample_rate
        self.sizes = stft_sizes(sample_rate) if sizes is None else checked_sizes(sizes)
        framing.make_window(self.sizes[0][0], window)
        self.window = window

    def draw(self, batch_size):
        """Draws what `apply` needs.

        Args:
            batch_size: number of examples, an integer or a scalar tensor.

        Returns:
            Dictionary of `"weight"`, float32 `(batch_size,)` in `weight_range`, `"partner"`, integer `(batch_size,)`,
            a permutation, `"size"`, an integer scalar, which of `sizes` all examples have, and what else the layer
            draws.
        """
        size = keras.random.randint((), 0, len(self.sizes), dtype="int32", seed=self.seed_generator)
        return {**super().draw(batch_size), "size": size}

    def mix(self, inputs, params):
        mixtures = [
            functools.partial(self.mix_spectra, inputs, params, fft_length, hop_length)
            for fft_length, hop_length in self.sizes
        ]
        size = params["size"]
        if len(mixtures) == 1 or isinstance(size, int):
            return mixtures[size if isinstance(size, int) else 0](), self.label_weight(params)
        return ops.switch(size, mixtures), self.label_weight(params)

    def label_weight(self, params):
        return params["weight"]

    def get_config(self):
        names = ("sample_rate", "sizes", "window")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class FreqMix(SpectralMixing):
    """Replaces the high or the low frequencies of each waveform by those of another one of the batch.

    Of the bins of a short-time spectrum the share `weight` stays, the rest is the partner's; the labels are mixed by
    `weight`. Whether the high or the low bins are replaced is drawn per example, the size of the transform once per
    call. Waveforms of any length come back with that length; pairs and precision are as in `MixUp`.

    The released code of EAT is `FreqMix(sample_rate, label_rule="union", union_limit=0.9)`.

    Args:
        sample_rate: sample rate of the waveforms in Hz, which sets `sizes`.
        weight_range: pair of the least and the largest share that the example keeps, drawn uniformly.
        bins: of `bins` bins, `"released"` replaces `int((1 - weight) * bins)`, `"paper"` keeps `int(weight * bins)`,
            which is one less at times.
        sizes: pairs `(fft_length, hop_length)` in samples, one of which is drawn for each call; None for
            `stft_sizes(sample_rate)`.
        window: `"hann"` (released code), `"hamming"` or `"rectangular"`.
        label_rule: `"convex"` mixes the labels by the weight (paper); `"union"` gives the mixture the labels of both.
        union_limit: with `"union"`, the weight from which on the labels of the partner are left out, 0.9 in the
            released code; None for never.
        seed: integer that sets the draws; None for other draws each time.
        probability: chance that an example is mixed, drawn for each.

    Input shape:
        Pair of `(batch, samples)` and `(batch, ...)`, one-hot or multi-hot labels, both floating point.

    Output shape:
        The same.

    Raises:
        ValueError: if an argument is out of range, the input is not a pair, the waveforms have channels, or the
            batches differ.
        TypeError: if waveforms or labels are integers.

    Example:

    >>> mixing = FreqMix(sample_rate=16000, seed=0)
    >>> x, y = mixing((np.zeros((8, 16000), "float32"), np.eye(8, 10, dtype="float32")), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((8, 16000), (8, 10))

    Reference:
        Gazneli et al., "End-to-End Audio Strikes Back", 2022, algorithm 1 and eq. 1.
    """

    def __init__(
        self,
        sample_rate,
        weight_range=(0.5, 1.0),
        bins="released",
        sizes=None,
        window="hann",
        label_rule="convex",
        union_limit=None,
        seed=None,
        probability=1.0,
        **kwargs,
    ):
        common = {"weight_range": weight_range, "label_rule": label_rule, "union_limit": union_limit, "seed": seed}
        super().__init__(sample_rate, sizes, window, probability=probability, **common, **kwargs)
        check_choice("bins", bins, mixing.BIN_RULES)
        self.bins = bins

    def draw(self, batch_size):
        """Draws what `apply` needs.

        Args:
            batch_size: number of examples, an integer or a scalar tensor.

        Returns:
            Dictionary of `"weight"`, float32 `(batch_size,)` in `weight_range`, `"partner"`, integer `(batch_size,)`,
            a permutation, `"size"`, an integer scalar, and `"high"`, boolean `(batch_size,)`: whether the high bins are
            replaced.
        """
        return {**super().draw(batch_size), "high": self.draw_uniform(batch_size) < 0.5}

    def mix_spectra(self, inputs, params, fft_length, hop_length):
        return mixing.mix_in_frequency(
            inputs,
            params["partner"],
            params["weight"],
            params["high"],
            fft_length,
            hop_length,
            self.window,
            self.bins,
        )

    def get_config(self):
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class PhaseMix(SpectralMixing):
    """Mixes the phases of each waveform's short-time spectrum with those of another one, and keeps its magnitudes.

    The phases, from -pi to pi, are mixed as numbers: `weight * phase + (1 - weight) * phase of the partner`. The labels
    are mixed by `(1 + weight) / 2`, because the magnitudes are all the example's. The size of the transform is drawn
    once per call. Waveforms of any length come back with that length; pairs and precision are as in `MixUp`.

    The released code of EAT is `PhaseMix(sample_rate, label_rule="union", union_limit=0.9)`. The paper does not say
    which window it takes.

    Args:
        sample_rate: sample rate of the waveforms in Hz, which sets `sizes`.
        weight_range: pair of the least and the largest weight, drawn uniformly.
        sizes: pairs `(fft_length, hop_length)` in samples, one of which is drawn for each call; None for
            `stft_sizes(sample_rate)`.
        window: `"rectangular"` (released code), `"hann"` or `"hamming"`.
        label_rule: `"convex"` mixes the labels by `(1 + weight) / 2` (paper); `"union"` gives the mixture the labels of
            both.
        union_limit: with `"union"`, the value of `(1 + weight) / 2` from which on the labels of the partner are left
            out, 0.9 in the released code; None for never.
        seed: integer that sets the draws; None for other draws each time.
        probability: chance that an example is mixed, drawn for each.

    Input shape:
        Pair of `(batch, samples)` and `(batch, ...)`, one-hot or multi-hot labels, both floating point.

    Output shape:
        The same.

    Raises:
        ValueError: if an argument is out of range, the input is not a pair, the waveforms have channels, or the
            batches differ.
        TypeError: if waveforms or labels are integers.

    Example:

    >>> mixing = PhaseMix(sample_rate=16000, seed=0)
    >>> x, y = mixing((np.zeros((8, 16000), "float32"), np.eye(8, 10, dtype="float32")), training=True)
    >>> tuple(x.shape), tuple(y.shape)
    ((8, 16000), (8, 10))

    Reference:
        Gazneli et al., "End-to-End Audio Strikes Back", 2022, algorithm 2.
    """

    def __init__(
        self,
        sample_rate,
        weight_range=(0.0, 1.0),
        sizes=None,
        window="rectangular",
        label_rule="convex",
        union_limit=None,
        seed=None,
        probability=1.0,
        **kwargs,
    ):
        common = {"weight_range": weight_range, "label_rule": label_rule, "union_limit": union_limit, "seed": seed}
        super().__init__(sample_rate, sizes, window, probability=probability, **common, **kwargs)

    def mix_spectra(self, inputs, params, fft_length, hop_length):
        return mixing.mix_phases(inputs, params["partner"], params["weight"], fft_length, hop_length, self.window)

    def label_weight(self, params):
        return 0.5 + 0.5 * params["weight"]


def checked_sizes(sizes):
    """Return sizes of short-time spectra as a tuple of pairs `(fft_length, hop_length)`, or raise a ValueError."""
    sizes = tuple(tuple(size) for size in sizes)
    for size in sizes:
        if len(size) != 2 or not 0 < size[1] <= size[0] // 2:
            raise ValueError(
                "`sizes` must be pairs (fft_length, hop_length) in samples, hops of at most half a frame. "
                f"Received: sizes={sizes!r}"
            )
    if not sizes:
        raise ValueError("`sizes` must hold at least one pair (fft_length, hop_length). Received: sizes=()")
    return sizes
