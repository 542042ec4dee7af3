"""Kernels of learned front-ends, and the frequencies that they respond to."""

import keras
import numpy as np

from keras_audio_si.layers.convolution_frontend import ConvolutionFrontEnd
from keras_audio_si.layers.learned_frontends import LearnedFilterbank
from keras_audio_si.layers.mel_convolution import MelConvolution
from keras_audio_si.layers.rescaled_frontend import RescaledFrontEnd


def has_kernels(front_end):
    """Whether a front-end has kernels for `first_kernels`."""
    inner = front_end.front_end if isinstance(front_end, RescaledFrontEnd) else front_end
    return isinstance(inner, ConvolutionFrontEnd | MelConvolution | LearnedFilterbank)


def first_kernels(front_end):
    """The kernels of the first convolution of a front-end that learns.

    Args:
        front_end: Built layer: `ConvolutionFrontEnd`, of which `HeuriFrontEnd` and `MSTFrontEnd` are, `MelConvolution`,
            `TDFilterbanks`, `SincFilters` or `LEAF`.

    Returns:
        `(kernels, taps)` array in the order of the layer, float32, or complex64 where pairs of kernels are the real and
        the imaginary part of one.

    Raises:
        ValueError: If the layer has no such kernels.

    Example:

    >>> layer = keras_audio_si.layers.HeuriFrontEnd()
    >>> layer.build((None, 20992))
    >>> first_kernels(layer).shape
    (80, 155)
    """
    if isinstance(front_end, RescaledFrontEnd):
        return first_kernels(front_end.front_end)
    if isinstance(front_end, ConvolutionFrontEnd):
        kernels, pairs = front_end.convolutions[0].kernel, False
    elif isinstance(front_end, MelConvolution):
        kernels, pairs = front_end.fourier.kernel, True
    elif isinstance(front_end, LearnedFilterbank):
        kernels = front_end.taps()
        pairs = kernels.shape[-1] == 2 * front_end.num_filters
    else:
        raise ValueError(
            f"{front_end.name!r}, a {type(front_end).__name__}, has no kernels that it learns on the waveform: take a "
            "model with a ConvolutionFrontEnd, MelConvolution, TDFilterbanks, SincFilters or LEAF."
        )
    values = keras.ops.convert_to_numpy(kernels).astype("float32")
    values = values.reshape(len(values), -1).T
    return values[: len(values) // 2] + 1j * values[len(values) // 2 :] if pairs else values


def kernel_spectra(kernels, sample_rate, fft_length=None):
    """Magnitude of the response of kernels to each frequency.

    For a complex kernel, which is followed by a modulus, it is the root of the sum of the squared responses of its real
    and imaginary parts.

    Args:
        kernels: `(kernels, taps)` array, real or complex.
        sample_rate: In Hz.
        fft_length: Points of the Fourier transform, at least as many as taps; None for a power of two that has four
            times as many as taps or more, so that the peaks are where they are seen.

    Returns:
        `(frequencies, magnitudes)`: arrays `(bins,)`, in Hz, and `(kernels, bins)`.

    Example:

    >>> kernels = np.cos(2 * np.pi * 1000 / 8000 * np.arange(64))[None]
    >>> frequencies, magnitudes = kernel_spectra(kernels, sample_rate=8000)
    >>> float(frequencies[magnitudes[0].argmax()])
    1000.0

    Reference:
        juettner, section 4.2, Fig. 8.
    """
    kernels = np.asarray(kernels)
    if fft_length is None:
        fft_length = 2 ** int(np.ceil(np.log2(4 * kernels.shape[1])))
    parts = (kernels.real, kernels.imag) if np.iscomplexobj(kernels) else (kernels,)
    energies = sum(np.abs(np.fft.rfft(part, fft_length, axis=1)) ** 2 for part in parts)
    return np.fft.rfftfreq(fft_length, 1 / sample_rate), np.sqrt(energies)


def dominant_order(magnitudes):
    """Kernels in the order of the frequency that each responds to most.

    Args:
        magnitudes: `(kernels, bins)` array of `kernel_spectra`.

    Returns:
        `(kernels,)` integer array, numbers of the kernels; those of equal frequency stay in their order.

    Example:

    >>> dominant_order(np.array([[0.0, 0.1, 3.0], [1.0, 0.2, 0.0], [0.0, 5.0, 4.0]])).tolist()
    [1, 2, 0]
    """
    return np.argsort(np.argmax(magnitudes, axis=1), kind="stable")
