"""The augmentations of EAT in their three strengths: what they consist of, what they draw, how much they change."""

import pathlib
import runpy

import keras
import numpy as np
import pytest
from harness import compiled_training_call, computed, numpy

from keras_audio_si.data.synthetic import CLASS_NAMES, synthesize_clip
from keras_audio_si.layers import (
    BitCrush,
    RandomChoice,
    RandomFragmentGain,
    RandomGain,
    RandomHighPass,
    RandomLowPass,
    RandomMuLaw,
    RandomNoise,
    RandomOrder,
    RandomPhaseNoise,
    RandomSine,
    RandomSpeed,
    RandomTimeMask,
    RandomTimeShift,
    Roll,
    eat_augmentations,
    eat_mixing,
)
from keras_audio_si.layers.eat_augmentations import STRENGTHS

RATE = 8000


def kinds(layer):
    return [type(inner) for inner in getattr(layer, "layers", [])]


def steps_of(strength, **arguments):
    return [layer for layer in leaves(eat_augmentations(RATE, strength, mixings=(), **arguments))]


def leaves(layer):
    if not hasattr(layer, "layers"):
        return [layer]
    return [leaf for inner in layer.layers for leaf in leaves(inner)]


class TestReleased:
    def test_steps(self):
        chain = eat_augmentations(RATE)
        gain, polarity, ordered, noise, speed, mixing = chain.layers
        assert kinds(ordered) == [RandomTimeShift, Roll, RandomFragmentGain, RandomTimeMask]
        assert (type(ordered), ordered.per, ordered.layers[1].fractional) == (RandomOrder, "example", False)
        assert ordered.layers[2].max_start_seconds == 0.1
        assert kinds(noise) == [RandomNoise, RandomNoise, RandomSine, RandomPhaseNoise]
        assert noise.per == "example" and isinstance(speed, RandomSpeed) and isinstance(mixing, RandomChoice)
        assert {layer.probability for layer in steps_of("released")} == {0.5}
        filters = {RandomLowPass, RandomHighPass, BitCrush, RandomMuLaw}
        assert not filters & set(map(type, steps_of("released"))) and filters < set(map(type, steps_of("table1")))

    def test_eight_noises_are_equally_likely(self):
        noise = eat_augmentations(RATE, seed=0).layers[3]
        params = noise.draw(8000, 1)
        choice, colour = numpy(params["choice"]), numpy(params["layers"][0]["colour"])
        shares = [*(np.mean((choice == 0) & (colour == place)) for place in range(5))]
        shares += [np.mean(choice == number) for number in (1, 2, 3)]
        np.testing.assert_allclose(shares, 1 / 8, atol=0.015)
        sine, phase = params["layers"][2:]
        assert 30 <= numpy(sine["decibels"]).min() < 30.1 and 34.9 < numpy(sine["decibels"]).max() <= 35
        assert 0.01 <= numpy(phase["radians"]).min() < 0.0101 and 0.0199 < numpy(phase["radians"]).max() <= 0.02
        assert set(numpy(phase["size"])) == {0, 1, 2} and len(noise.layers[3].sizes) == 3

    def test_each_clip_has_an_order_of_its_own(self):
        order = numpy(eat_augmentations(RATE, seed=0).layers[2].draw(500, 100)["order"])
        assert len(np.unique(order, axis=0)) == 24

    def test_fragments_start_early(self):
        layer = RandomFragmentGain(RATE, max_start_seconds=0.01)
        assert set(numpy(layer.draw(2000, 4000)["start"])) == set(range(81))
        assert set(numpy(layer.draw(2000, 820)["start"])) == set(range(21))  # Where it fits.

    def test_a_quarter_is_not_shifted(self):
        shift, roll, *_ = eat_augmentations(RATE, seed=3).layers[2].draw(8000, 100)["layers"]
        still = ~numpy(shift["applied"]) & ~numpy(roll["applied"])
        assert abs(still.mean() - 0.25) < 0.02


def test_noise_can_be_left_out():
    noises = {RandomNoise, RandomSine, RandomPhaseNoise}
    for strength in STRENGTHS:
        assert noises & set(map(type, steps_of(strength)))
        assert not noises & set(map(type, steps_of(strength, noise=False)))


def test_light_is_light():
    layers = steps_of("light")
    assert max(layer.probability for layer in layers) == 0.25
    assert not {RandomSpeed, RandomPhaseNoise, RandomLowPass, RandomHighPass, RandomMuLaw} & set(map(type, layers))


def test_rules_of_mixing_reach_every_mixing():
    for layer in eat_augmentations(RATE, mixing_probability=0.5, label_rule="union").layers[-1].layers:
        assert (layer.probability, layer.label_rule, layer.union_limit) == (0.5, "union", 0.9)
    for layer in eat_mixing(RATE).layers:
        assert (layer.probability, layer.label_rule, layer.union_limit) == (1.0, "convex", None)


@pytest.mark.parametrize("strength", ["released", "light"])
def test_examples_go_by_their_own_draws(strength, rng):
    """In another order with other neighbours, each example becomes the same."""
    chain = eat_augmentations(RATE, strength, mixings=(), seed=4)
    x = (0.3 * rng.standard_normal((6, 900))).astype("float32")
    params = keras.tree.map_structure(numpy, chain.draw(*x.shape))
    y = computed(chain.apply, x, params)
    others = np.float32([1, 30, 1, 30, 1, 30])[:, None] * x
    backwards = computed(
        chain.apply, others[::-1].copy(), keras.tree.map_structure(lambda value: value[::-1].copy(), params)
    )
    np.testing.assert_allclose(backwards[::-1][::2], y[::2], atol=1e-5)
    assert (np.abs(y - x).max(axis=1) > 1e-4).any()


@pytest.mark.parametrize("strength", ["table1", "light"])
def test_runs_compiled(strength, rng):
    """In a graph of TensorFlow; `test_composition.py` has the released strength, and XLA."""
    x = (0.3 * rng.standard_normal((4, 1001))).astype("float32")
    first, second = compiled_training_call(eat_augmentations(RATE, strength, mixings=(), seed=5), x, 2, False)
    for y in (first, second):
        assert y.shape == (4, 1001) and np.isfinite(y).all() and np.abs(y).max() < 10
    assert np.abs(first - second).max() > 1e-2


@pytest.fixture(scope="module")
def share():
    """The share of built-in sounds that an augmentation changes by more than 6 dB, by docs/measure_augmentations.py."""
    measure = runpy.run_path(str(pathlib.Path(__file__).parent.parent / "docs" / "measure_augmentations.py"))
    rng = np.random.default_rng(0)
    clips = [synthesize_clip([CLASS_NAMES[i % len(CLASS_NAMES)]], 0.5, 16000, rng) for i in range(96)]
    clips = np.float32([clip / np.abs(clip).max() for clip in clips])
    return lambda augmentation, rounds=1: np.mean(measure["changes"](augmentation, clips, 16000, rounds) > 6.0)


@pytest.mark.once
def test_the_high_pass_changes_few_spectra(share):
    strong = RandomHighPass((0.05, 0.4), probability=0.25, seed=1)
    assert share(strong) > 0.15 > 0.05 > share(RandomHighPass(probability=0.25, seed=1))
    assert (
        abs(share(RandomGain((0.25, 0.25), probability=0.5, seed=1)) - 0.5) < 0.1
    )  # 12 dB: all that it is applied to.
    assert share(RandomGain((0.6, 0.6))) == 0  # 4.4 dB.


@pytest.mark.slow  # The page has them for real clips.
@pytest.mark.once
def test_table_1_changes_spectra_as_often_as_released(share):
    strengths = [eat_augmentations(16000, strength, mixings=(), seed=1) for strength in STRENGTHS]
    released, table1, light = (share(augmentation, rounds=3) for augmentation in strengths)
    assert light == 0 < released < 0.15 and abs(table1 - released) < 0.06


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`strength` must be one of 'released', 'table1', 'light'"):
        eat_augmentations(RATE, "table 1")
    with pytest.raises(ValueError, match="`strength` must be one of"):
        eat_augmentations(RATE, False)  # Once the place of `noise`.
    with pytest.raises(ValueError, match="mixings.? must be some of"):
        eat_mixing(RATE, ("cutmix",))
    with pytest.raises(ValueError, match="`label_rule` must be one of"):
        eat_mixing(RATE, label_rule="both")
    with pytest.raises(ValueError, match="`probability` must be"):
        eat_mixing(RATE, probability=0.0)
