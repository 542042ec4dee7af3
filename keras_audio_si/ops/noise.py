"""Noises of given spectra, and their addition at a signal-to-noise ratio."""

import math

import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.arguments import TINY, as_float32
from keras_audio_si.ops.signal import istft, stft
from keras_audio_si.ops.trigonometry import cos_sin

SLOPES = {"white": 0, "pink": -1, "red": -2, "blue": 1, "violet": 2}
COLOURS = tuple(SLOPES)
VARIANTS = ("exact", "released")


def coloured_noise(real, imag, colour, num_samples, fft_length, variant="exact"):
    """Shapes white noise, given by its spectrum, so that its power is proportional to a power of the frequency.

    Args:
        real: Float tensor, `(batch, fft_length // 2 + 1)`, the real part of the spectrum of white noise.
        imag: The imaginary part.
        colour: int32 tensor `(batch,)` with places in `COLOURS`: white, pink (power as 1 / f), red (1 / f^2), blue (f)
            and violet (f^2).
        num_samples: Samples wanted, at most `fft_length`.
        fft_length: Points of the transform.
        variant: `"exact"` leaves out the constant component. `"released"` takes frequency 0 as the first step of the
            scale, the next as the second and so on, adds the mean instead of subtracting it, and divides by
            the unbiased deviation.

    Returns:
        float32 tensor, `(batch, num_samples)`, of mean square 1 (about 1 if `"released"`).

    Raises:
        ValueError: If the variant is unknown.

    Example:

    >>> pink = np.int32([COLOURS.index("pink")] * 2)
    >>> tuple(coloured_noise(np.ones((2, 5)), np.zeros((2, 5)), pink, num_samples=7, fft_length=8).shape)
    (2, 7)
    """
    check_choice("variant", variant, VARIANTS)
    steps = np.arange(fft_length // 2 + 1) + (variant == "released")
    gains = np.maximum(steps, 1.0) ** (np.array([list(SLOPES.values())]).T / 2) * (steps > 0)
    gain = ops.take(ops.convert_to_tensor(gains.astype("float32")), colour, axis=0)
    noise = ops.irfft((as_float32(real, "real") * gain, as_float32(imag, "imag") * gain), fft_length=fft_length)
    noise = noise[:, :num_samples]
    if variant == "exact":
        return unit_power(noise)
    noise = noise + ops.mean(noise, axis=1, keepdims=True)
    deviation = ops.maximum(ops.std(noise, axis=1, keepdims=True), TINY)  # Of one sample it is 0.
    return noise / (deviation * math.sqrt(num_samples / max(num_samples - 1, 1)))


def unit_power(noise):
    """Scales every example to a mean square of 1; silence stays silence.

    Example:

    >>> print(keras.ops.convert_to_numpy(unit_power(np.float32([[3, -3]]))))
    [[ 1. -1.]]
    """
    noise = as_float32(noise, "noise")
    return noise * ops.rsqrt(ops.maximum(_mean_square(noise), TINY))


def fast_fft_length(num_samples):
    """The next even number without prime factors above 5, for which a Fourier transform is fast.

    Example:

    >>> fast_fft_length(110251)
    110592
    """
    length = num_samples + num_samples % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2


def add_noise(x, noise, decibels):
    """Adds noise to every example so that the mean square of the signal is `decibels` above that of the noise.

    Args:
        x: Float tensor, `(batch, samples)`; silence stays silence.
        noise: Float tensor of the same shape, of mean square 1.
        decibels: Float tensor, `(batch,)`, signal-to-noise ratios.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> print(keras.ops.convert_to_numpy(add_noise(np.float32([[2, 2]]), np.float32([[1, -1]]), np.float32([0]))))
    [[4. 0.]]
    """
    x = as_float32(x)
    return x + as_float32(noise, "noise") * (ops.sqrt(_mean_square(x)) * _amplitude(decibels))


def add_sine(x, hertz, phase, decibels, sample_rate):
    """Adds a sine to every example, as loud as the signal-to-noise ratio says for a whole number of periods.

    Args:
        x: Float tensor, `(batch, samples)`; silence stays silence.
        hertz: Float tensor, `(batch,)`.
        phase: Float tensor, `(batch,)`, in radians, at the first sample.
        decibels: Float tensor, `(batch,)`, signal-to-noise ratios.
        sample_rate: In Hz.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> x = np.ones((1, 4), "float32")
    >>> y = add_sine(x, np.float32([1]), np.float32([0]), np.float32([0]), sample_rate=4)
    >>> [round(float(value), 3) for value in y[0]]
    [1.0, 2.414, 1.0, -0.414]
    """
    x = as_float32(x)
    time = ops.arange(ops.shape(x)[1], dtype="float32") / sample_rate
    angle = 2.0 * math.pi * as_float32(hertz, "hertz")[:, None] * time + as_float32(phase, "phase")[:, None]
    return x + ops.sin(angle) * (ops.sqrt(2.0 * _mean_square(x)) * _amplitude(decibels))


def perturb_phase(x, phase, fft_length=512, hop_length=128, damping=None):
    """Turns the phase of every bin of a short-time Fourier transform by an angle.

    Args:
        x: Float tensor, `(batch, samples)`.
        phase: Float tensor, `(batch, frames, fft_length // 2 + 1)`, in radians, for the
            frames of `phase_frames`.
        fft_length: Points of the transform, whose window is rectangular.
        hop_length: Samples from one frame to the next.
        damping: None, or a float tensor like `phase`: magnitudes are multiplied by `exp(-damping)`.

    Returns:
        float32 tensor of the shape of `x`.

    Example:

    >>> x = np.ones((1, 100), "float32")
    >>> phase = np.zeros((1, phase_frames(100), 257), "float32")
    >>> bool(keras.ops.max(keras.ops.abs(perturb_phase(x, phase) - x)) < 1e-5)
    True
    """
    x = as_float32(x)
    num_samples = x.shape[1]
    settings = {
        "frame_length": fft_length,
        "hop_length": hop_length,
        "window": "rectangular",
        "center": True,
    }
    # Reflect padding needs more samples than half a frame; shorter clips are zero-padded first.
    missing = max(fft_length // 2 + 1 - num_samples, 0)
    real, imag = stft(ops.pad(x, [(0, 0), (0, missing)]), **settings)
    phase = as_float32(phase, "phase")
    cos, sin = cos_sin(phase - 2 * math.pi * ops.round(phase / (2 * math.pi)))
    if damping is not None:
        cos, sin = cos * ops.exp(-damping), sin * ops.exp(-damping)
    turned = istft(real * cos - imag * sin, real * sin + imag * cos, length=num_samples + missing, **settings)
    return turned[:, :num_samples]


def phase_frames(num_samples, fft_length=512, hop_length=128):
    """The number of frames that `perturb_phase` makes of a clip.

    Example:

    >>> phase_frames(1000)
    8
    """
    return 1 + (max(num_samples, fft_length // 2 + 1) - fft_length % 2) // hop_length


def _mean_square(x):
    return ops.mean(ops.square(x), axis=1, keepdims=True)


def _amplitude(decibels):
    return ops.power(10.0, as_float32(decibels, "decibels")[:, None] / -20.0)
