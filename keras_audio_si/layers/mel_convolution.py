"""A mel spectrogram whose Fourier kernels and mel filters are weights (juettner, section 5)."""

import keras
import numpy as np
from keras import ops

from keras_audio_si.layers.convolution_frontend import WaveformConvolution
from keras_audio_si.layers.frontend import LogMelSpectrogram
from keras_audio_si.ops import signal
from keras_audio_si.ops.arguments import as_float32


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MelConvolution(LogMelSpectrogram):
    """Two trainable convolutions that are initialised as an exact mel spectrogram.

    The first convolution, `fourier`, has windowed complex exponentials as kernels and the modulus as activation. The
    second, `mel`, has the triangular mel filters with a peak of 1, each followed by a constant factor; the biases are
    zero. The logarithm follows. Before training the layer equals the `LogMelSpectrogram` of the same arguments to 1e-4,
    within single precision: bands whose magnitude is below 1e-5 of the loudest are rounding errors in both. An output
    of a trained filter below `floor` counts as silence and has no gradient. Both convolutions are computed in float32
    under every dtype policy.

    Args:
        sample_rate: Sample rate of the waveforms in Hz.
        **kwargs: Those of `LogMelSpectrogram`, but for `dft`. `power` is the exponent of the modulus: 2 as in eq. 1 of
            the paper, or 1, which its section 5 suggests lest gradients explode; the logarithm that follows here sees
            to that for both.

    Input shape:
        `(batch, samples)`, floats in [-1, 1].

    Output shape:
        `(batch, frames, num_mels)` with `frames = num_frames(samples)`.

    Raises:
        ValueError: As `LogMelSpectrogram`.

    Example:

    >>> layer = MelConvolution(sample_rate=8000, num_mels=20)
    >>> tuple(layer(np.zeros((2, 1700), "float32")).shape)
    (2, 19, 20)
    >>> [tuple(weight.shape) for weight in layer.weights]
    [(240, 1, 258), (258,), (129, 20), (20,)]

    Reference:
        juettner, section 5, hypothesis H2, and eqs. 1 and 2.
    """

    def __init__(self, sample_rate, **kwargs):
        super().__init__(sample_rate, dft="conv", **kwargs)
        kernels = signal.dft_kernels(self.fft_length, self.frame_length)
        self.fourier = WaveformConvolution(
            kernels.shape[-1], self.frame_length, self.hop_length, _values(kernels), name="fourier"
        )
        # The weights of the filters have a peak of 1, and a constant factor has the peak of `mel_normalization`, at
        # most some hundredths: at the learning rate of the other weights, filters of that scale would be destroyed.
        filters = ops.convert_to_numpy(self._filters)
        peaks = filters.max(axis=0)
        self._peaks = np.where(peaks > 0, peaks, 1).astype("float32")
        self.mel = keras.layers.Dense(
            self.num_mels, kernel_initializer=_values(filters / self._peaks), dtype="float32", name="mel"
        )

    def build(self, input_shape):
        self.fourier.build(input_shape)
        self.mel.build((None, None, self.fft_length // 2 + 1))

    def spectrum(self, waveforms):
        waveforms = as_float32(waveforms)
        if self.center:
            waveforms = signal.extend_to_centre(waveforms, self.frame_length, self.fft_length, self.pad_mode)
        both = self.fourier(waveforms)
        bins = both.shape[-1] // 2
        return both[..., :bins], both[..., bins:]

    def bands(self, energies):
        return self.mel(energies) * ops.convert_to_tensor(self._peaks)

    def get_config(self):
        config = super().get_config()
        del config["dft"]
        return config


def _values(array):
    """An initializer that gives the array."""
    return lambda shape, dtype=None: ops.convert_to_tensor(array, dtype)
