"""Augmentations that add noise, or perturb the phase."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice, check_positive
from keras_audio_si.layers.augmentation import RandomWaveformLayer, check_range
from keras_audio_si.layers.augmentation_time import check_known_length
from keras_audio_si.layers.spectral_mixing import checked_sizes, stft_sizes
from keras_audio_si.ops.keyed_random import keyed_normal, keyed_normal_pairs, keyed_uniform
from keras_audio_si.ops.noise import (
    COLOURS,
    VARIANTS,
    add_noise,
    add_sine,
    coloured_noise,
    fast_fft_length,
    perturb_phase,
    phase_frames,
    unit_power,
)
from keras_audio_si.ops.xla import map_examples

KINDS = (*COLOURS, "uniform")


class _RandomAddedNoise(RandomWaveformLayer):
    """Draws a signal-to-noise ratio and a key for the noise."""

    def __init__(self, signal_to_noise_decibels=(30.0, 30.0), probability=1.0, seed=None, **kwargs):
        super().__init__(probability, seed, **kwargs)
        self.signal_to_noise_decibels = check_range("signal_to_noise_decibels", signal_to_noise_decibels)

    def draw_parameters(self, batch_size, num_samples):
        return {"decibels": self.uniform(batch_size, *self.signal_to_noise_decibels)}

    def get_config(self):
        return {**super().get_config(), "signal_to_noise_decibels": self.signal_to_noise_decibels}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomNoise(_RandomAddedNoise):
    """Adds noise to every waveform, at a random level below it.

    The noise of an example follows from a key of two integers that is drawn for it, the same on every backend
    up to rounding. The ratio of the two mean squares is exact, and silence stays silence.

    Args:
        kind: `"white"`, `"pink"` (power as 1 / f), `"red"` (1 / f^2), `"blue"` (f), `"violet"` (f^2), all of normal
            distribution, or `"uniform"`: white, between two limits. Of a sequence of colours, one is drawn for
            each example.
        signal_to_noise_decibels: Lowest and highest ratio of signal to noise, drawn uniformly.
        variant: `"exact"`, or `"released"`: coloured noise with its mean added to it and frequencies counted from 1,
            levels that are right on average only.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels; the number of samples must be known for coloured noise.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range, the input has several channels or an unknown length.

    Example:

    >>> x = np.ones((1, 1000), "float32")
    >>> noise = RandomNoise("pink", signal_to_noise_decibels=(20.0, 20.0))(x, training=True) - x
    >>> round(float(ops.std(noise)), 2)
    0.1

    Reference:
        gazneli2022, Table 1; the paper gives no level, the released code always takes 30 dB.
    """

    def __init__(self, kind="white", signal_to_noise_decibels=(30.0, 30.0), variant="exact", **kwargs):
        super().__init__(signal_to_noise_decibels, **kwargs)
        self.kind = kind if isinstance(kind, str) else tuple(kind)
        if isinstance(self.kind, str):
            check_choice("kind", kind, KINDS)
        elif not self.kind or not set(self.kind) <= set(COLOURS):
            raise ValueError(f"`kind` must be one of {KINDS}, or a sequence of {COLOURS}. Received: kind={kind!r}")
        check_choice("variant", variant, VARIANTS)
        self.variant = variant

    def draw_parameters(self, batch_size, num_samples):
        params = {**super().draw_parameters(batch_size, num_samples), "key": self.keys(batch_size)}
        if self.kind not in ("white", "uniform"):
            colours = [self.kind] if isinstance(self.kind, str) else self.kind
            places = ops.convert_to_tensor(np.array([COLOURS.index(colour) for colour in colours], "int32"))
            params["colour"] = ops.take(places, self.integers(batch_size, 0, len(colours) - 1), axis=0)
        return params

    def transform(self, waveforms, params):
        num_samples = ops.shape(waveforms)[1]
        if self.kind == "white":
            noise = keyed_normal(params["key"], num_samples)
        elif self.kind == "uniform":
            noise = keyed_uniform(params["key"], num_samples, -math.sqrt(3.0), math.sqrt(3.0))
        else:
            check_known_length(self, waveforms)
            fft_length = fast_fft_length(num_samples)
            spectrum = keyed_normal_pairs(params["key"], fft_length // 2 + 1)
            noise = coloured_noise(*spectrum, params["colour"], num_samples, fft_length, self.variant)
        if self.variant == "exact" and "colour" not in params:
            noise = unit_power(noise)
        return add_noise(waveforms, noise, params["decibels"])

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "variant": self.variant}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomSine(_RandomAddedNoise):
    """Adds a low hum to every waveform: a sine of random frequency and phase.

    The frequency is `highest_hertz * u + 3 * n` with `u` uniform from 0 to 1 and `n` standard normal.

    Args:
        sample_rate: In Hz.
        highest_hertz: See above.
        signal_to_noise_decibels: Lowest and highest ratio of signal to noise, drawn uniformly.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range or the input has several channels.

    Example:

    >>> tuple(RandomSine(16000)(np.ones((2, 1000), "float32"), training=True).shape)
    (2, 1000)

    Reference:
        The released code of gazneli2022, whose phase is uniform from 0 to pi; not in its Table 1.
    """

    def __init__(self, sample_rate, highest_hertz=50.0, signal_to_noise_decibels=(30.0, 30.0), **kwargs):
        super().__init__(signal_to_noise_decibels, **kwargs)
        check_positive(sample_rate=sample_rate, highest_hertz=highest_hertz)
        self.sample_rate = sample_rate
        self.highest_hertz = highest_hertz

    def draw_parameters(self, batch_size, num_samples):
        wobble = keras.random.normal((batch_size,), dtype="float32", seed=self.seed_generator)
        return {
            **super().draw_parameters(batch_size, num_samples),
            "hertz": self.uniform(batch_size, 0.0, self.highest_hertz) + 3.0 * wobble,
            "phase": self.uniform(batch_size, 0.0, math.pi),
        }

    def transform(self, waveforms, params):
        return add_sine(waveforms, params["hertz"], params["phase"], params["decibels"], self.sample_rate)

    def get_config(self):
        return {**super().get_config(), "sample_rate": self.sample_rate, "highest_hertz": self.highest_hertz}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomPhaseNoise(RandomWaveformLayer):
    """Rotates the phase of every bin of a short-time Fourier transform by a small random angle.

    Largest angle and size of the transform are drawn for each example. Examples are taken one by one: the spectra of a
    batch would not fit into a processor's cache, and the unchanged ones cost nothing.

    Args:
        sample_rate: In Hz, sets the sizes.
        radians: Lowest and highest value of the largest angle, drawn uniformly; the angles are uniform from 0 to it.
        sizes: Pairs `(fft_length, hop_length)` in samples, of which one is drawn; None for
            `spectral_mixing.stft_sizes(sample_rate)`. The window is rectangular.
        damping: Whether the magnitudes are multiplied by `exp(-v)`, `v` another such draw, as released.
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels; the number of samples must be known.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is out of range, the input has several channels or an unknown length.

    Example:

    >>> tuple(RandomPhaseNoise(22050)(np.ones((2, 1001), "float32"), training=True).shape)
    (2, 1001)

    Reference:
        gazneli2022, Table 1, "phase noise"; sizes and angles of the released code.
    """

    def __init__(self, sample_rate, radians=(0.01, 0.02), sizes=None, damping=False, **kwargs):
        super().__init__(**kwargs)
        self.sample_rate = sample_rate
        self.radians = check_range("radians", radians, 0)
        self.sizes = stft_sizes(sample_rate) if sizes is None else checked_sizes(sizes)
        self.damping = bool(damping)

    def draw_parameters(self, batch_size, num_samples):
        params = {
            "key": self.keys(batch_size),
            "radians": self.uniform(batch_size, *self.radians),
            "size": self.integers(batch_size, 0, len(self.sizes) - 1),
        }
        return {**params, "damping_key": self.keys(batch_size)} if self.damping else params

    def transform(self, waveforms, params):
        check_known_length(self, waveforms)
        keys = [params[name] for name in ("key", "damping_key") if name in params]
        choice = params["size"] + 1
        if "applied" in params:
            choice = ops.where(params["applied"], choice, 0)
        turned = [functools.partial(self.turned, size) for size in self.sizes]
        return map_examples(
            lambda x, choice, *draws: ops.switch(choice, [lambda x, *_: x, *turned], x, *draws),
            (waveforms, choice, params["radians"], *keys),
            "float32",
        )

    def turned(self, size, waveform, radians, *keys):
        """One waveform with the phases of its spectrum of a size turned by what follows from its keys."""
        fft_length, hop_length = size
        frames, bins = phase_frames(waveform.shape[0], fft_length, hop_length), fft_length // 2 + 1
        angles = [ops.reshape(keyed_uniform(key[None], frames * bins, 0.0, radians), (1, frames, bins)) for key in keys]
        damping = angles[1] if self.damping else None
        return perturb_phase(waveform[None], angles[0], fft_length, hop_length, damping)[0]

    def get_config(self):
        own = {name: getattr(self, name) for name in ("sample_rate", "radians", "sizes", "damping")}
        return {**super().get_config(), **own}
