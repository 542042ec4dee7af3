"""The augmentations of gazneli2022 in three strengths, and its label mixings, each as one layer."""

import numpy as np

from keras_audio_si.checks import check_choice, check_choices
from keras_audio_si.layers.augmentation_filters import RandomHighPass, RandomLowPass
from keras_audio_si.layers.augmentation_levels import (
    BitCrush,
    PolarityInversion,
    RandomFragmentGain,
    RandomGain,
    RandomMuLaw,
    RandomTimeMask,
)
from keras_audio_si.layers.augmentation_noise import RandomNoise, RandomPhaseNoise, RandomSine
from keras_audio_si.layers.augmentation_time import RandomSpeed, RandomTimeShift, Roll
from keras_audio_si.layers.composition import AugmentationChain, RandomChoice, RandomOrder
from keras_audio_si.layers.mixing import MixUp, TimeMix
from keras_audio_si.layers.spectral_mixing import FreqMix, PhaseMix
from keras_audio_si.ops.noise import COLOURS

MIXINGS = ("mixup", "timemix", "freqmix", "phasemix")
STRENGTHS = ("released", "table1", "light")

_UNION_LIMIT = 0.9  # As released.


def eat_augmentations(
    sample_rate,
    strength="released",
    noise=True,
    mixings=MIXINGS,
    mixing_probability=1.0,
    label_rule="convex",
    seed=None,
):
    """Build the augmentations of EAT as one layer.

    - `"released"`: the augmentations that the released code applies. Gain, polarity, linear shift, cyclic shift,
      fragment gain and time mask, in a random order for each example; then noise of one of eight kinds, drawn for each
      example; then speed. Each step has a probability of 0.5.
    - `"table1"`: all augmentations in Table 1 of the paper. In addition to the above it has a low- or high-pass filter
      and linear or mu-law quantisation, which the released code cannot apply. The order is speed, a linear or a cyclic
      shift, a filter, gain, fragment gain, polarity, time mask, quantisation, noise of one of seven kinds. Each step
      has a probability of 0.5. Alternatives are chosen once per batch, the colour of noise for each example. The paper
      does not state the ranges of filters and quantisation; they are ours.
    - `"light"`: for short trainings, which underfit with the others. Linear and cyclic shift by whole samples, gain and
      polarity with a probability of 0.25 each, noise with a probability of 0.1.

    Label mixing comes last. All other random parameters are drawn for each example.

    Args:
        sample_rate: In Hz.
        strength: `"released"`, `"table1"` or `"light"`, see above. The default is `"released"`: the code that the paper
            refers to applies this set, and the paper itself states neither ranges nor order.
        noise: Whether noise is added. The paper leaves it out for AudioSet and in the experiments on phase.
        mixings: Of `MIXINGS` those of which one is drawn for each batch; without any, the layer takes waveforms alone
            as well.
        mixing_probability: As `probability` of `eat_mixing`.
        label_rule: As for `eat_mixing`.
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
    check_choice("strength", strength, STRENGTHS)
    settings = _seeded(seed)
    steps = {"released": _released, "table1": _table1, "light": _light}[strength]
    layers = steps(sample_rate, noise, settings)
    if mixings:
        layers.append(eat_mixing(sample_rate, mixings, mixing_probability, label_rule, **settings()))
    return AugmentationChain(layers, **settings())


def _released(sample_rate, noise, settings):
    def step(**others):
        return settings(probability=0.5, **others)

    # Gain and polarity are left out: they commute with all others.
    in_any_order = [
        RandomTimeShift(sample_rate, **step()),
        Roll(fractional=False, **step()),
        RandomFragmentGain(sample_rate, max_start_seconds=0.1, **step()),
        RandomTimeMask(sample_rate, **step()),
    ]
    layers = [
        RandomGain(**step()),
        PolarityInversion(**step()),
        RandomOrder(in_any_order, per="example", **settings()),
    ]
    if noise:
        kinds = [
            RandomNoise(COLOURS, **step()),
            RandomNoise("uniform", **step()),
            RandomSine(sample_rate, signal_to_noise_decibels=(30.0, 35.0), **step()),
            RandomPhaseNoise(sample_rate, damping=True, **step()),
        ]
        layers.append(RandomChoice(kinds, (len(COLOURS), 1, 1, 1), per="example", **settings()))
    return [*layers, RandomSpeed(**step())]


def _table1(sample_rate, noise, settings):
    def step(**others):
        return settings(probability=0.5, **others)

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
        noises = [RandomNoise(kind, **step()) for kind in kinds]
        layers.append(RandomChoice([*noises, RandomPhaseNoise(sample_rate, **step())], (1, 4, 1, 1), **settings()))
    return layers


def _light(sample_rate, noise, settings):
    def step(probability=0.25, **others):
        return settings(probability=probability, **others)

    layers = [
        RandomTimeShift(sample_rate, fractional=False, **step()),
        Roll(fractional=False, **step()),
        RandomGain(**step()),
        PolarityInversion(**step()),
    ]
    return [*layers, RandomNoise(COLOURS, **step(0.1))] if noise else layers


def eat_mixing(sample_rate, mixings=MIXINGS, probability=1.0, label_rule="convex", seed=None):
    """Build the mixings of the paper as one layer, which draws one of them for each batch.

    Args:
        sample_rate: In Hz.
        mixings: Some of `MIXINGS`.
        probability: Chance that an example is mixed, drawn for each; the released code draws it for the batch, and has
            1 in its commands.
        label_rule: `"convex"` mixes the labels by their weights (paper); `"union"` gives the mixture the labels of
            both, without those of a partner whose weight is at most a tenth (released code).
        seed: Integer that sets all draws; None for other draws each time.

    Returns:
        `RandomChoice`, a layer from `(waveforms, labels)` to the same, waveforms `(batch, samples)`.

    Raises:
        ValueError: If there is no mixing, one is unknown, or an argument is out of range.

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
    union_limit = _UNION_LIMIT if label_rule == "union" else None
    rules = {"label_rule": label_rule, "union_limit": union_limit, "probability": probability}
    build = {
        "mixup": lambda **others: MixUp(alpha=1.0, gain_aware=True, weight_range=(0.1, 1.0), **others),
        "timemix": lambda **others: TimeMix(**others),
        "freqmix": lambda **others: FreqMix(sample_rate, **others),
        "phasemix": lambda **others: PhaseMix(sample_rate, **others),
    }
    layers = {name: build[name](**settings(name=name, **rules)) for name in MIXINGS}
    return RandomChoice([layers[name] for name in MIXINGS if name in mixings], **choice)


def _seeded(seed):
    """A function that adds a seed of its own to the settings of every layer."""
    seeds = np.random.SeedSequence(seed)

    def settings(**others):
        (child,) = seeds.spawn(1)
        return {**others, "seed": None if seed is None else int(child.generate_state(1)[0] >> 1)}

    return settings
