"""Front-ends inside the model: their base class, and the log-mel spectrogram."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.ops import mel, signal


class FrontEnd(keras.layers.Layer):
    """Base class of the layers that turn waveforms `(batch, samples)` into features `(batch, frames, bands)`.

    Evaluation and export find the front-end of a model by this class, and cut clips by `sample_rate`, `hop_length`,
    `num_frames` and `num_samples`, of which a subclass defines the last two, beside `call`.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        hop_seconds: Time from one frame to the next in seconds, rounded to whole samples.
        num_bands: Number of features of a frame.
        short: What fills a clip that is shorter than the model's input, where evaluation, tagging and training cut
            clips: `"repeat"`, the clip again, or `"zero"`, silence.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, sample_rate, hop_seconds, num_bands, short="repeat", **kwargs):
        # Waveforms must reach the filters unrounded, also under a half precision policy.
        super().__init__(autocast=False, **kwargs)
        check_positive(sample_rate=sample_rate)
        check_choice("short", short, ("repeat", "zero"))
        self.sample_rate = sample_rate
        self.hop_seconds = hop_seconds
        self.hop_length = self.in_samples("hop_seconds", hop_seconds)
        self.num_bands = num_bands
        self.short = short

    def num_frames(self, samples):
        """Frames that a waveform of `samples` samples gives; 0 or less where it is too short for one."""
        raise NotImplementedError(f"{type(self).__name__} must define num_frames(samples).")

    def num_samples(self, frames):
        """Samples that the shortest waveform of `frames` frames has."""
        raise NotImplementedError(f"{type(self).__name__} must define num_samples(frames).")

    def in_samples(self, name, seconds):
        """Returns the argument `name` in whole samples, at least one."""
        samples = round(seconds * self.sample_rate)
        if samples < 1:
            raise ValueError(
                f"`{name}` must be at least one sample at {self.sample_rate} Hz. Received: {name}={seconds!r}"
            )
        return samples

    def check_rank(self, shape):
        """Raises a ValueError unless the shape is that of waveforms."""
        if len(shape) != 2:
            raise ValueError(
                f"{self.name} takes waveforms of shape (batch, samples). Received: shape={tuple(shape)}. "
                "Mix channels down to one and add a batch axis to a single waveform."
            )

    def compute_output_shape(self, input_shape):
        self.check_rank(input_shape)
        batch, samples = input_shape
        if samples is None:
            return (batch, None, self.num_bands)
        if self.num_frames(samples) < 1:
            raise ValueError(
                f"{self.name} takes waveforms of at least {self.num_samples(1)} samples (one frame). "
                f"Received: shape={tuple(input_shape)}. Pad the waveform or take shorter frames."
            )
        return (batch, self.num_frames(samples), self.num_bands)

    def get_config(self):
        own = {"sample_rate": self.sample_rate, "hop_seconds": self.hop_seconds, "short": self.short}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class LogMelSpectrogram(FrontEnd):
    """Turns waveforms into spectrograms of mel bands on a logarithmic level scale.

    The defaults are the front-end of the reference: 30 ms Hann windows every 10 ms, 96 bands, which makes 101
    frames of 1.03 s of audio. Frames lie inside the waveform, without padding at its ends, so the frames of
    an excerpt are the frames of the recording, and moving the excerpt by `hop_length` samples moves them by
    exactly one.

    Everything inside is computed in float32 under any dtype policy; only the result is cast to the compute
    dtype. Linear values, whose range is that of the energies, stay float32: in half precision loud bands would be
    infinite and quiet ones 0. Silence gives `log(floor)`, with gradient zero. Nothing is taken over the batch. The
    layer has no weights.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        frame_seconds: Length of the analysis window in seconds, rounded to whole samples.
        hop_seconds: Time from one frame to the next in seconds, rounded to whole samples.
        num_mels: Number of mel bands.
        min_hz: Lower edge of the lowest band in Hz.
        max_hz: Upper edge of the highest band in Hz, None for half of `sample_rate`.
        fft_length: Points of the Fourier transform, None for the next power of two from the frame length on.
        mel_scale: `"htk"` or `"slaney"`, see `ops.mel.mel_filterbank`.
        mel_normalization: None (filters of height 1) or `"slaney"` (filters of equal area).
        power: Exponent of the magnitudes that the bands add up: 2 for energy, 1 for magnitude.
        compression: `"log"` (natural logarithm), `"decibel"`, or None for linear values.
        floor: Smallest band value that is told apart from silence.
        top_db: Range in dB kept below each example's maximum, None for all.
        reference: None for absolute levels, or `"max"`: levels are relative to the maximum of each example, so that the
            gain of a recording changes nothing. Needs `top_db`, below which is silence.
        center: True extends the waveform, to centre frame `t` on sample `t * hop_length`.
        pad_mode: With `center=True`, by what: `"reflect"` (librosa before 0.10) or `"constant"`, zeros (librosa since).
        drop_last_frame: With `center=True`, whether to leave out the last frame, which may be centred on the end.
        dft: `"fft"`, or `"conv"` for a convolution with fixed kernels, for export formats without an FFT.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, samples)`, floats in [-1, 1]. `samples` may be None where the backend has dynamic shapes.

    Output shape:
        `(batch, frames, num_mels)` with `frames = num_frames(samples)`.

    Raises:
        ValueError: If an argument is out of range or unknown, the input is not of rank 2, or it is known to
            be shorter than one frame.
        TypeError: If the input is not of a real float type.

    Example:

    >>> layer = LogMelSpectrogram(sample_rate=16000)
    >>> tuple(layer(np.zeros((2, 16480), "float32")).shape)
    (2, 101, 96)
    >>> layer.num_samples(frames=101)
    16480

    Reference:
        Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in
        Convolutional Neural Networks, 2021, section III.
    """

    def __init__(
        self,
        sample_rate,
        frame_seconds=0.03,
        hop_seconds=0.01,
        num_mels=96,
        min_hz=0.0,
        max_hz=None,
        fft_length=None,
        mel_scale="htk",
        mel_normalization=None,
        power=2.0,
        compression="log",
        floor=1e-10,
        top_db=None,
        reference=None,
        center=False,
        pad_mode="reflect",
        drop_last_frame=False,
        dft="fft",
        **kwargs,
    ):
        super().__init__(sample_rate, hop_seconds, num_mels, **kwargs)
        check_choice("compression", compression, ("log", "decibel", None))
        check_choice("dft", dft, ("fft", "conv"))
        check_choice("pad_mode", pad_mode, ("reflect", "constant"))
        if not center and (pad_mode != "reflect" or drop_last_frame):
            raise ValueError("`pad_mode` and `drop_last_frame` need `center`=True: other frames lie in the waveform.")
        if top_db is not None and compression is None:
            raise ValueError(f"`top_db` must be None without `compression`. Received: top_db={top_db!r}")
        mel.check_levels(top_db, reference)
        check_positive(floor=floor, power=power)
        self.frame_seconds = frame_seconds
        self.frame_length = self.in_samples("frame_seconds", frame_seconds)
        self.fft_length = 1 << (self.frame_length - 1).bit_length() if fft_length is None else fft_length
        if self.fft_length < self.frame_length:
            raise ValueError(
                f"`fft_length` must be at least {self.frame_length}, the samples of a frame. "
                f"Received: fft_length={fft_length}"
            )
        self.num_mels = num_mels
        self.min_hz = min_hz
        self.max_hz = max_hz
        self.mel_scale = mel_scale
        self.mel_normalization = mel_normalization
        self.power = power
        self.compression = compression
        self.floor = floor
        self.top_db = top_db
        self.reference = reference
        self.center = center
        self.pad_mode = pad_mode
        self.drop_last_frame = drop_last_frame
        self.dft = dft
        self._filters = mel.mel_filterbank(
            num_mels, self.fft_length, sample_rate, min_hz, max_hz, mel_scale, mel_normalization
        )

    def num_frames(self, samples):
        return 1 - self.drop_last_frame + (samples - self._first_frame_samples()) // self.hop_length

    def num_samples(self, frames):
        return (frames - 1 + self.drop_last_frame) * self.hop_length + self._first_frame_samples()

    def call(self, inputs):
        self.check_rank(inputs.shape)
        real, imag = self.spectrum(inputs)
        if self.drop_last_frame:
            real, imag = real[:, :-1], imag[:, :-1]
        bands = self.bands(signal.power_spectrum(real, imag, self.power))
        if self.compression == "log" and self.top_db is None:
            bands = mel.log_compress(bands, self.floor)
        elif self.compression is not None:
            bands = mel.power_to_decibels(bands, self.floor, self.top_db, self.reference)
            bands = bands / mel.DECIBELS if self.compression == "log" else bands
        return ops.cast(bands, self._output_dtype)

    @property
    def _output_dtype(self):
        own = self.compute_dtype
        return keras.backend.result_type(own, "float32") if self.compression is None else own

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self._output_dtype)

    def spectrum(self, waveforms):
        """Real and imaginary part of all frames, float32 `(batch, frames, bins)` each."""
        # Measured on (32, 16480) at 16 kHz, 2 cores, forward / gradient: FFT 2.6 / 5.5 ms under XLA and 3.9 /
        # 20 ms in a TensorFlow graph; the transform as one real matrix product 8.6 / 16 and 8.2 / 33 ms, that
        # product folded by symmetry 5.8 / 13 and 5.6 / 28 ms; as a convolution 7.1 / 122 and 7.7 / 31 ms.
        return signal.stft(
            waveforms,
            self.frame_length,
            self.hop_length,
            self.fft_length,
            center=self.center,
            pad_mode=self.pad_mode,
            method=self.dft,
        )

    def bands(self, energies):
        """The energies (or magnitudes) of the mel bands, `(batch, frames, num_mels)`."""
        return ops.matmul(energies, self._filters)

    def get_config(self):
        return {
            **super().get_config(),
            "frame_seconds": self.frame_seconds,
            "num_mels": self.num_mels,
            "min_hz": self.min_hz,
            "max_hz": self.max_hz,
            "fft_length": self.fft_length,
            "mel_scale": self.mel_scale,
            "mel_normalization": self.mel_normalization,
            "power": self.power,
            "compression": self.compression,
            "floor": self.floor,
            "top_db": self.top_db,
            "reference": self.reference,
            "center": self.center,
            "pad_mode": self.pad_mode,
            "drop_last_frame": self.drop_last_frame,
            "dft": self.dft,
        }

    def _first_frame_samples(self):
        # Centring adds half a transform at both ends: all of the first frame, but for the odd sample.
        return self.fft_length % 2 if self.center else self.frame_length
