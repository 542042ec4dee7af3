"""Front-ends whose filters are learned: TD-filterbanks, SincNet's filters, LEAF."""

import math

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.layers.pcen import PCEN, bounded, bounded_weight
from keras_audio_si.ops import filter_frames, filterbanks, mel
from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.padding import pad_axis


class LearnedFilterbank(FrontEnd):
    """Base class of front-ends whose filters and windows have the length of a frame.

    A subclass has `taps()`, `pool(outputs)` from filter outputs to frames, and `compress(frames)`; the shapes are those
    of `ops.filter_frames`.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        num_filters: Number of filters.
        frame_seconds: Length of the filters, and of the window over their outputs, in seconds; rounded to an odd number
            of samples.
        hop_seconds: Time from one frame to the next in seconds, rounded to whole samples.
        min_hz: Lower edge of the lowest filter at the start, in Hz.
        max_hz: Upper edge of the highest filter at the start, in Hz.
        padding: "same" or "valid".
        filter_stride: Samples from one filter output to the next.
        floor: Smallest value of a frame that is told apart from silence.

    Raises:
        ValueError: If an argument is out of range or unknown.
    """

    def __init__(
        self,
        sample_rate,
        num_filters=40,
        frame_seconds=0.025,
        hop_seconds=0.01,
        min_hz=None,
        max_hz=None,
        padding="same",
        filter_stride=1,
        floor=1e-5,
        **kwargs,
    ):
        super().__init__(sample_rate, hop_seconds, num_filters, **kwargs)
        check_positive(num_filters=num_filters, floor=floor)
        check_choice("padding", padding, ("same", "valid"))
        if filter_stride < 1 or self.hop_length % filter_stride:
            divisors = [str(n) for n in range(1, min(self.hop_length, 20) + 1) if self.hop_length % n == 0]
            raise ValueError(
                f"`filter_stride` must divide the hop of {self.hop_length} samples, as do {', '.join(divisors)}. "
                f"Received: filter_stride={filter_stride}"
            )
        self.num_filters = num_filters
        self.frame_seconds = frame_seconds
        self.num_taps = 2 * (self.in_samples("frame_seconds", frame_seconds) // 2) + 1
        lowest, highest = self.default_range()
        self.min_hz = lowest if min_hz is None else min_hz
        self.max_hz = highest if max_hz is None else max_hz
        mel.mel_spaced_hz(2, sample_rate, self.min_hz, self.max_hz)  # Refuses edges that make no sense.
        self.padding = padding
        self.filter_stride = filter_stride
        # Of the window the taps where there is a filter output, the one in the middle among them.
        self.window_steps = range(self.num_taps // 2 % filter_stride, self.num_taps, filter_stride)
        self.floor = floor

    def default_range(self):
        """Lower edge of the lowest filter and upper edge of the highest in Hz, where none are given."""
        return 60.0, 0.4875 * self.sample_rate

    def num_frames(self, samples):
        if self.padding == "same":
            return samples // self.hop_length
        return 1 + (samples - self._samples_of_a_frame()) // self.hop_length

    def num_samples(self, frames):
        if self.padding == "same":
            return frames * self.hop_length
        return (frames - 1) * self.hop_length + self._samples_of_a_frame()

    def call(self, inputs):
        self.check_rank(inputs.shape)
        num_frames = self.compute_output_shape(inputs.shape)[1]
        if num_frames is None:
            num_frames = self.num_frames(ops.shape(inputs)[1])
        x = as_float32(inputs, "inputs")
        if self.padding == "same":
            # The waveform is extended, not the filter outputs, which ring on in the silence before and after it: the
            # frames of a clip are those of the same clip with silence behind it.
            # Negative where the hop is more than twice as long as a frame, whose centre is that of the hop.
            front = self.num_taps // 2 + (self.num_taps - self.hop_length) // 2
            x = pad_axis(x, 1, front, 0, "same") if front >= 0 else x[:, -front:]
        spanned = filter_frames.spanned_hops(len(self.window_steps), self.hop_length // self.filter_stride)
        outputs = filter_frames.filter_hops(
            x[:, self.window_steps.start :], self.taps(), num_frames + spanned - 1, self.hop_length, self.filter_stride
        )
        features = self.compress(ops.maximum(self.pool(outputs), self.floor))
        return ops.cast(features, self.compute_dtype)

    def pool_energy(self, outputs, window):
        """Sums the energies of complex filter outputs under a window `(num_taps, channels)`."""
        window = window[self.window_steps.start :: self.filter_stride] * self.filter_stride
        return filter_frames.pool_hops(filter_frames.squared_modulus(outputs), window)

    def get_config(self):
        names = ("num_filters", "frame_seconds", "min_hz", "max_hz", "padding", "filter_stride", "floor")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _samples_of_a_frame(self):
        return 2 * self.num_taps - 1


@keras.saving.register_keras_serializable(package="keras_audio_si")
class TDFilterbanks(LearnedFilterbank):
    """Time-domain filterbanks: trainable complex filters, their energy under a trainable window, and the logarithm.

    The filters are initialised as Gabor filters on the mel scale with energy 1, the window, which all filters share, as
    a squared Hann window. All taps are trainable: 51,729 weights for 64 filters of 401 taps.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        num_filters: Number of filters.
        frame_seconds: Length of the filters, and of the window over their outputs, in seconds; rounded to an odd number
            of samples, 401 at 16 kHz.
        hop_seconds: Time from one frame to the next in seconds, rounded to whole samples.
        min_hz: Lower edge of the lowest filter at the start, in Hz; None for 60.
        max_hz: Upper edge of the highest filter at the start, in Hz; None for 0.4875 times `sample_rate`, 7800 at 16
            kHz.
        padding: `"same"` for a frame per hop, centred on it, with silence before and after the waveform; `"valid"`
            for the frames that lie inside the waveform, filters and window.
        filter_stride: Samples from one filter output to the next; it must divide the hop. 1 is as published; 4 takes a
            third of the time and changes the result by little, see docs/front-ends.md.
        floor: Smallest energy that is told apart from silence.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, samples)`, floats in [-1, 1]. `samples` may be None where the backend has dynamic shapes.

    Output shape:
        `(batch, frames, num_filters)` with `frames = num_frames(samples)`: `samples // hop_length` for "same".

    Raises:
        ValueError: If an argument is out of range or unknown, the input is not of rank 2, or it is known to
            be shorter than one frame.
        TypeError: If the input is not of a real float type.

    Example:

    >>> layer = TDFilterbanks(sample_rate=16000, num_filters=64)
    >>> tuple(layer(np.zeros((2, 16000), "float32")).shape), layer.count_params()
    ((2, 100, 64), 51729)

    Reference:
        Zeghidour et al., "Learning Filterbanks from Raw Speech for Phone Recognition", 2018. Liu et al., 2022, Table 3.
    """

    def build(self, input_shape):
        centre, width = _mel_gabor(self)
        # The energy of a Gabor filter is 1 / (2 sqrt(pi) width).
        scale = np.sqrt(2 * math.sqrt(math.pi) * width).astype("float32")
        taps = filterbanks.gabor_taps(centre, width, self.num_taps) * ops.convert_to_tensor(scale)
        self.filter_taps = bounded_weight(self, "filter_taps", taps.shape, taps)
        self.window_taps = bounded_weight(
            self, "window_taps", (self.num_taps, 1), np.hanning(self.num_taps)[:, None] ** 2
        )

    def taps(self):
        return ops.reshape(ops.cast(self.filter_taps, "float32"), (self.num_taps, -1))

    def pool(self, outputs):
        return self.pool_energy(outputs, ops.cast(self.window_taps, "float32"))

    def compress(self, frames):
        return mel.log_compress(frames, self.floor)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class SincFilters(LearnedFilterbank):
    """SincNet's front-end: band-pass filters with learned cutoffs, leaky ReLU, maximum over a window, normalisation.

    The initial bands are adjacent, with equal widths on the mel scale. Lower cutoffs and widths are trainable, in
    cycles per sample, and clipped to 0 to 0.5 after every optimizer step. Layer normalisation is over the bands of a
    frame, with a trainable scale and offset per band: 256 weights for 64 filters.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        num_filters: Number of filters.
        frame_seconds: Length of the filters, and of the window over their outputs, in seconds; rounded to an odd number
            of samples, 401 at 16 kHz.
        hop_seconds: Time from one frame to the next in seconds, rounded to whole samples.
        min_hz: Lower edge of the lowest band at the start, in Hz; None for 50.
        max_hz: Upper edge of the highest band at the start, in Hz; None for 100 Hz below half of `sample_rate`.
        padding: `"same"` for a frame per hop, centred on it, with silence before and after the waveform; `"valid"`
            for the frames that lie inside the waveform, filters and window.
        filter_stride: Samples from one filter output to the next; it must divide the hop. 1 is as published; larger
            strides miss maxima.
        floor: Smallest value that is told apart from silence.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, samples)`, floats in [-1, 1]. `samples` may be None where the backend has dynamic shapes.

    Output shape:
        `(batch, frames, num_filters)` with `frames = num_frames(samples)`: `samples // hop_length` for "same".

    Raises:
        ValueError: If an argument is out of range or unknown, the input is not of rank 2, or it is known to
            be shorter than one frame.
        TypeError: If the input is not of a real float type.

    Example:

    >>> layer = SincFilters(sample_rate=16000, num_filters=64)
    >>> tuple(layer(np.zeros((2, 16000), "float32")).shape), layer.count_params()
    ((2, 100, 64), 256)

    Reference:
        Ravanelli, Bengio: "Speaker Recognition from Raw Waveform with SincNet", 2018. Pooling and normalisation as in
        Zeghidour et al., "LEAF", 2021. Liu et al., 2022, Table 3.
    """

    def default_range(self):
        return 50.0, self.sample_rate / 2 - 100.0

    def build(self, input_shape):
        low, band = filterbanks.mel_bands(self.num_filters, self.sample_rate, self.min_hz, self.max_hz)
        self.low = bounded_weight(self, "low", low.shape, low, 0.0, 0.5)
        self.band = bounded_weight(self, "band", band.shape, band, 0.0, 0.5)
        self.normalization = keras.layers.LayerNormalization(dtype="float32", name="normalization")
        self.normalization.build((None, None, self.num_filters))

    def taps(self):
        low = bounded(self.low)
        return filterbanks.sinc_taps(low, ops.minimum(bounded(self.band), 0.5 - low), self.num_taps)[:, 0]

    def pool(self, outputs):
        outputs = ops.leaky_relu(outputs, negative_slope=0.2)
        return filter_frames.max_pool_hops(outputs, len(self.window_steps))

    def compress(self, frames):
        return self.normalization(frames)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class LEAF(LearnedFilterbank):
    """LEAF: complex Gabor filters, their energy under a Gaussian window per filter, and sPCEN, all learned.

    The parameters are the centre frequency (radians per sample) and envelope width (samples) of each filter, the width
    of each window (in half windows), and four values of `PCEN` per band: 448 weights for 64 filters. The filters are
    initialised on the mel scale. After every optimizer step the centres are clipped to 0 to pi, the half-maximum widths
    of the responses to between `1 / num_taps` and 1 / 4 of the sample rate, and the window widths to between
    `2 / num_taps` and 0.5.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        num_filters: Number of filters.
        frame_seconds: Length of the filters, and of the window over their outputs, in seconds; rounded to an odd number
            of samples, 401 at 16 kHz.
        hop_seconds: Time from one frame to the next in seconds, rounded to whole samples.
        min_hz: Lower edge of the lowest filter at the start, in Hz; None for 60.
        max_hz: Upper edge of the highest filter at the start, in Hz; None for 0.4875 times `sample_rate`, 7800 at 16
            kHz.
        padding: `"same"` for a frame per hop, centred on it, with silence before and after the waveform; `"valid"`
            for the frames that lie inside the waveform, filters and window.
        filter_stride: Samples from one filter output to the next; it must divide the hop. 1 is as published; 4 takes a
            third of the time and changes the result by little, see docs/front-ends.md.
        floor: Smallest energy that is told apart from silence.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, samples)`, floats in [-1, 1]. `samples` may be None where the backend has dynamic shapes.

    Output shape:
        `(batch, frames, num_filters)` with `frames = num_frames(samples)`: `samples // hop_length` for "same".

    Raises:
        ValueError: If an argument is out of range or unknown, the input is not of rank 2, or it is known to
            be shorter than one frame.
        TypeError: If the input is not of a real float type.

    Example:

    >>> layer = LEAF(sample_rate=16000, num_filters=64)
    >>> tuple(layer(np.zeros((2, 16000), "float32")).shape), layer.count_params()
    ((2, 100, 64), 448)

    Reference:
        Zeghidour et al., "LEAF: A Learnable Frontend for Audio Classification", 2021. Liu et al., 2022, Table 3.
    """

    def build(self, input_shape):
        centre, width = _mel_gabor(self)
        self.centre = bounded_weight(self, "centre", centre.shape, centre, 0.0, math.pi)
        self.width = bounded_weight(self, "width", width.shape, width, *_width_bounds(self.num_taps))
        self.window_width = bounded_weight(self, "window_width", centre.shape, 0.4, 2.0 / self.num_taps, 0.5)
        self.pcen = PCEN(gain=0.96, smoothing=0.04, floor=1e-12, dtype="float32", name="pcen")
        self.pcen.build((None, None, self.num_filters))

    def taps(self):
        taps = filterbanks.gabor_taps(bounded(self.centre), bounded(self.width), self.num_taps)
        return ops.reshape(taps, (self.num_taps, -1))

    def pool(self, outputs):
        window = filterbanks.gaussian_window(bounded(self.window_width), self.num_taps)
        return self.pool_energy(outputs, window)

    def compress(self, frames):
        return self.pcen(frames)


def _mel_gabor(layer):
    """Initial Gabor filters of a front-end: on the mel scale, and at least as wide as their length can resolve."""
    centre, width = filterbanks.mel_gabor(layer.num_filters, layer.sample_rate, layer.min_hz, layer.max_hz)
    return centre, np.clip(width, *_width_bounds(layer.num_taps))


def _width_bounds(num_taps):
    return 4 * filterbanks.HALF_WIDTH / math.pi, num_taps * filterbanks.HALF_WIDTH / math.pi
