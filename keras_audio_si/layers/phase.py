"""Waveforms of the phase or the magnitude of a sound, or of both as channels (gazneli2022, eqs. 2 and 3)."""

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.ops import framing, signal, spectrum

CONTENTS = ("phase", "magnitude", "both")


@keras.saving.register_keras_serializable(package="keras_audio_si")
class PhaseWaveform(keras.layers.Layer):
    """Waveforms that contain the phase or the magnitude of their input only, or both as channels.

    With the short-time spectrum `X = |X| exp(j phi)`, the phase waveform is the inverse transform of
    `H = exp(-j phi)`, the filter of magnitude 1 that takes `X` to `|X|`; the magnitude waveform is that of `|X|`, which
    is `x` filtered by `H`, frame by frame. Where a bin is silent, so is `H`. Computed in float32 under any dtype
    policy; the layer has no weights and does the same in training and inference.

    The paper does not say which frames and window it takes. The default frames are those it calls typical for 22.05
    kHz; the default window is rectangular, because any other is nearly zero where the magnitude waveform has its peaks,
    at the beginning of each frame.

    Args:
        content: `"phase"`, `"magnitude"`, or `"both"` for two channels in this order.
        fft_length: Samples per frame, the points of the transform.
        hop_length: Samples from one frame to the next, at most `fft_length`.
        window: `"rectangular"`, `"hann"` or `"hamming"`.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(batch, samples)`, floats. `samples` may be None where the backend has dynamic shapes.

    Output shape:
        `(batch, samples)`, or `(batch, samples, 2)` for `content="both"`, float32.

    Raises:
        ValueError: If an argument is out of range or unknown, or the input is not of rank 2.
        TypeError: If the input is not of a real float type.

    Example:

    >>> tuple(PhaseWaveform("both")(np.zeros((2, 22050), "float32")).shape)
    (2, 22050, 2)

    Reference:
        Gazneli et al., "End-to-End Audio Strikes Back", 2022, appendix A, eq. 2 and 3, Table 7.
    """

    def __init__(self, content="phase", fft_length=1024, hop_length=256, window="rectangular", **kwargs):
        super().__init__(autocast=False, **kwargs)
        check_choice("content", content, CONTENTS)
        check_positive(fft_length=fft_length, hop_length=hop_length)
        if hop_length > fft_length:
            raise ValueError(
                f"`hop_length` must be at most `fft_length`, {fft_length}. Received: hop_length={hop_length}"
            )
        framing.make_window(fft_length, window)
        self.content = content
        self.fft_length = fft_length
        self.hop_length = hop_length
        self.window = window
        self.built = True

    def call(self, inputs):
        self._check_rank(inputs)
        settings = (ops.shape(inputs)[1], self.fft_length, self.hop_length, self.window)
        real, imag = spectrum.analyse(inputs, self.fft_length, self.hop_length, self.window)
        magnitude = signal.power_spectrum(real, imag, power=1.0)
        waveforms = []
        if self.content != "magnitude":
            heard = magnitude > 0.0
            scale = ops.where(heard, 1.0 / ops.where(heard, magnitude, 1.0), 0.0)
            waveforms.append(spectrum.synthesise(scale * real, -scale * imag, *settings))
        if self.content != "phase":
            waveforms.append(spectrum.synthesise(magnitude, ops.zeros_like(magnitude), *settings))
        return ops.stack(waveforms, axis=-1) if self.content == "both" else waveforms[0]

    def compute_output_shape(self, input_shape):
        return (*input_shape, 2) if self.content == "both" else tuple(input_shape)

    def compute_output_spec(self, inputs):
        self._check_rank(inputs)
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self):
        names = ("content", "fft_length", "hop_length", "window")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _check_rank(self, inputs):
        if len(inputs.shape) != 2:
            raise ValueError(
                f"PhaseWaveform takes waveforms of one channel, (batch, samples). Received: shape={tuple(inputs.shape)}"
            )
