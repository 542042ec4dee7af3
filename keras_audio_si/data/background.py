"""Background noise: recordings that are mixed into training patches."""

import numpy as np

from keras_audio_si.checks import check_interval


class BackgroundNoise:
    """Adds a random section of a random recording to patches, at a random level.

    Args:
        cache: `ClipCache` of the recordings, at the rate of the patches; shorter ones are repeated.
        snr_decibels: Lowest and highest ratio of the patch's power to that of the noise, in dB.
        probability: Share of the patches that get noise.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> from keras_audio_si.data.background import BackgroundNoise
    >>> from keras_audio_si.data.clip_cache import ClipCache
    >>> hum = ClipCache.from_waveforms([np.sin(np.arange(50.0))], [()], sample_rate=100, class_names=("dog",))
    >>> noise = BackgroundNoise(hum, snr_decibels=(20.0, 20.0), probability=1.0)
    >>> patches = np.ones((2, 80), "float32")
    >>> added = noise.add(patches, np.random.default_rng(0)) - patches
    >>> print(-10 * np.log10((added**2).mean(axis=1)).round(3))
    [20. 20.]
    """

    def __init__(self, cache, snr_decibels=(0.0, 30.0), probability=0.5):
        low, high = snr_decibels
        if not -np.inf < low <= high < np.inf:
            raise ValueError(f"`snr_decibels` must be (lowest, highest). Received: snr_decibels={snr_decibels!r}")
        check_interval("[0, 1]", probability=probability)
        self.cache, self.snr_decibels, self.probability = cache, (float(low), float(high)), probability

    def add(self, patches, rng, first=0):
        """Patches with noise.

        Args:
            patches: `(batch, samples)` float32.
            rng: `numpy.random.Generator`, which decides everything.
            first: Place of the first of these patches in their batch: the draws for those before it are passed over.

        Returns:
            `(batch, samples)` float32. A silent patch stays silent: it has no power to compare with.
        """
        noisy = patches.copy()
        for place in range(-first, len(noisy)):
            chosen, snr = rng.random() < self.probability, rng.uniform(*self.snr_decibels)
            index = rng.integers(len(self.cache))
            start = rng.integers(max(self.cache.lengths[index] - patches.shape[1], 0), endpoint=True)
            if place < 0 or not chosen:
                continue
            patch = noisy[place]
            noise = np.resize(self.cache.section(index, start, len(patch)), len(patch))
            power, noise_power = np.mean(patch**2, dtype="float64"), np.mean(noise**2, dtype="float64")
            if noise_power > 0:
                patch += noise * np.float32(np.sqrt(power / noise_power) * 10 ** (-snr / 20))
        return noisy
