"""The augmentations of gazneli2022, Table 1, and its label mixings, each as one layer."""

import numpy as np

from keras_audio_si.checks import check_choices
from keras_audio_si.layers.augmentation_filters import RandomHighPass, RandomLowPass
from keras_audio_si.layers.augmentation_levels import (
    BitCrush,
    PolarityInversion,
    RandomFragmentGain,
    RandomGain,
    RandomMuLaw,
    RandomTimeMask,
)
from keras_audio_si.layers.augmentation_noise import RandomNoise, RandomPhaseNoise
from keras_audio_si.layers.augmentation_time import RandomSpeed, RandomTimeShift, Roll
from keras_audio_si.layers.composition import AugmentationChain, RandomChoice
from keras_audio_si.layers.mixing import MixUp, TimeMix
from keras_audio_si.layers.spectral_mixing import FreqMix, PhaseMix

MIXINGS = ("mixup", "timemix", "freqmix", "phasemix")


def eat_augmentations(
    sample_rate,
    noise=True,
    mixings=MIXINGS,
    probability=0.5,
    signal_to_noise_decibels=(30.0, 30.0),
    seed=None,
):
    """Builds the augmentations of the paper's Table 1 as one layer.

    In this order: speed; a linear or a cyclic shift; a low- or a high-pass filter; gain of the whole clip and of a
    fragment, polarity, a time mask, linear or mu-law quantisation; noise of one kind; one mixing. Alternatives are
    chosen once per batch (except pink, red, blue and violet noise, four of the seven kinds, which are chosen per
    example). Other parameters are drawn for each example, and each step is applied to an example with the given
    `probability`. Mixing is always applied.

    Args:
        sample_rate: In Hz.
        noise: Whether noise is added. The paper leaves it out for AudioSet and in the experiments on phase.
        mixings: Of `MIXINGS` those of which one is drawn for each batch; without any, the layer takes waveforms alone
            as well.
        probability: Chance of each step to be applied to an example.
        signal_to_noise_decibels: Lowest and highest ratio of signal to noise.
        seed: Integer that sets all draws; None for other draws each time.

    Returns:
        `AugmentationChain`, a layer from `(waveforms, labels)` to the same, waveforms `(batch, samples)`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> augmentation = eat_augmentations(16000, noise=False, seed=0)
    >>> waveforms, labels = np.ones((4, 2000), "float32"), np.eye(4, dtype="float32")
    >>> waveforms, labels = augmentation((waveforms, labels), training=True)
    >>> tuple(waveforms.shape), tuple(labels.shape)
    ((4, 2000), (4, 4))

    Reference:
        gazneli2022, Table 1 and section 4.
    """
    settings = _seeded(seed)

    def step(**others):
        return settings(probability=probability, **others)

    layers = [
        RandomSpeed(**step()),
        RandomChoice([RandomTimeShift(sample_rate, **step()), Roll(**step())], **settings()),
        RandomChoice([RandomLowPass(**step()), RandomHighPass(**step())], **settings()),
        RandomGain(**step()),
        RandomFragmentGain(sample_rate, **step()),
        PolarityInversion(**step()),
        RandomTimeMask(sample_rate, **step()),
        RandomChoice([BitCrush(**step()), RandomMuLaw(**step())], **settings()),
    ]
    if noise:
        kinds = ("white", ("pink", "red", "blue", "violet"), "uniform")
        noises = [RandomNoise(kind, signal_to_noise_decibels, **step()) for kind in kinds]
        layers.append(RandomChoice([*noises, RandomPhaseNoise(**step())], (1, 4, 1, 1), **settings()))
    if mixings:
        layers.append(eat_mixing(sample_rate, mixings, **settings()))
    return AugmentationChain(layers, **settings())


def eat_mixing(sample_rate, mixings=MIXINGS, seed=None):
    """Builds the label mixings of the paper as one layer, which applies one of them to each batch.

    Args:
        sample_rate: In Hz.
        mixings: Some of `MIXINGS`.
        seed: Integer that sets all draws; None for other draws each time.

    Returns:
        `RandomChoice`, a layer from `(waveforms, labels)` to the same, waveforms `(batch, samples)`.

    Raises:
        ValueError: If there is no mixing, or one is unknown.

    Example:

    >>> [layer.name for layer in eat_mixing(16000, ("timemix", "freqmix"), seed=0).layers]
    ['timemix', 'freqmix']

    Reference:
        gazneli2022, section 3.2, Table 1 and Table 6a.
    """
    check_choices("mixings", tuple(mixings), MIXINGS)
    # Each has seeds of its own, whichever others there are; with one for all, the choice would be tied to the weights.
    settings = _seeded(seed)
    choice = settings()
    build = {
        "mixup": lambda **others: MixUp(alpha=1.0, gain_aware=True, weight_range=(0.1, 1.0), **others),
        "timemix": lambda **others: TimeMix(**others),
        "freqmix": lambda **others: FreqMix(sample_rate, **others),
        "phasemix": lambda **others: PhaseMix(sample_rate, **others),
    }
    layers = {name: build[name](**settings(name=name)) for name in MIXINGS}
    return RandomChoice([layers[name] for name in MIXINGS if name in mixings], **choice)


def _seeded(seed):
    """A function that adds a seed of its own to the settings of every layer."""
    seeds = np.random.SeedSequence(seed)

    def settings(**others):
        (child,) = seeds.spawn(1)
        return {**others, "seed": None if seed is None else int(child.generate_state(1)[0] >> 1)}

    return settings
