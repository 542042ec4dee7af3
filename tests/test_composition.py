"""Chains, random orders and choices of augmentations, and the paper's set."""

import itertools

import keras
import numpy as np
import pytest
from harness import compiled_training_call, numpy, traced

from keras_audio_si.layers import (
    AugmentationChain,
    BitCrush,
    MixUp,
    PolarityInversion,
    RandomChoice,
    RandomGain,
    RandomNoise,
    RandomOrder,
    RandomSpeed,
    RandomTimeShift,
    Roll,
    TimeMix,
    eat_augmentations,
)


def pair(rng, batch=4, samples=301):
    waveforms = (0.3 * rng.standard_normal((batch, samples))).astype("float32")
    return waveforms, np.eye(batch, 5, dtype="float32")


def steps():
    """Three augmentations whose order can be told from the result."""
    return [RandomGain((3.0, 3.0), seed=0), BitCrush((3, 3), seed=0), PolarityInversion(1.0, seed=0)]


def test_chain_goes_through_its_layers(rng):
    waveforms, labels = pair(rng)
    for chain in (AugmentationChain(steps()), AugmentationChain([AugmentationChain(steps()[:2]), steps()[2]])):
        got = numpy(chain(waveforms, training=True))
        np.testing.assert_array_equal(got, -np.floor(12 * waveforms + 0.5) / 4)
        both = chain((waveforms, labels), training=True)
        np.testing.assert_array_equal(numpy(both[0]), got)
        np.testing.assert_array_equal(numpy(both[1]), labels)


def test_order_is_drawn_and_kept_to(rng):
    waveforms, labels = pair(rng)
    augmentation = RandomOrder(steps(), seed=1)
    orders = {tuple(numpy(augmentation.draw_parameters(4)["order"])) for _ in range(40)}
    assert len(orders) == 6
    params = augmentation.draw(4, 301)
    for order, wanted in (
        ((0, 1, 2), -np.floor(12 * waveforms + 0.5) / 4),
        ((1, 2, 0), -3 * np.floor(4 * waveforms + 0.5) / 4),
        ((2, 1, 0), 3 * np.floor(-4 * waveforms + 0.5) / 4),
    ):
        got = augmentation.apply((waveforms, labels), {**params, "order": np.int32(order)})
        np.testing.assert_array_equal(numpy(got[0]), wanted.astype("float32"))
        np.testing.assert_array_equal(numpy(got[1]), labels)


def test_choice_for_the_batch(rng):
    waveforms, labels = pair(rng)
    augmentation = RandomChoice([steps()[0], steps()[2], MixUp(seed=2)], chances=(1, 2, 1), seed=1)
    choices = np.array([numpy(augmentation.draw_parameters(4)["choice"]) for _ in range(300)])
    assert choices.shape == (300,)
    np.testing.assert_allclose(np.bincount(choices) / 300, (0.25, 0.5, 0.25), atol=0.1)
    params = augmentation.draw(4, 301)
    mixed = MixUp().apply((waveforms, labels), params["layers"][2])
    for choice, wanted in enumerate(((3 * waveforms, labels), (-waveforms, labels), mixed)):
        got = augmentation.apply((waveforms, labels), {**params, "choice": np.int32(choice)})
        for value, want in zip(got, wanted, strict=True):
            np.testing.assert_allclose(numpy(value), numpy(want), atol=1e-6)


def test_choice_for_each_example(rng):
    waveforms, labels = pair(rng)
    augmentation = RandomChoice([steps()[0], steps()[2], MixUp(seed=2)], per="example", seed=1)
    params = augmentation.draw(4, 301)
    mixed = [numpy(value) for value in MixUp().apply((waveforms, labels), params["layers"][2])]
    got = augmentation.apply((waveforms, labels), {**params, "choice": np.int32([2, 0, 1, 2])})
    rows = [mixed[0][0], 3 * waveforms[1], -waveforms[2], mixed[0][3]]
    np.testing.assert_allclose(numpy(got[0]), rows, atol=1e-6)
    np.testing.assert_allclose(numpy(got[1]), [mixed[1][0], labels[1], labels[2], mixed[1][3]], atol=1e-6)
    assert set(numpy(augmentation.draw_parameters(200)["choice"])) == {0, 1, 2}
    only = RandomChoice(steps(), chances=(0, 0, 1))
    assert {int(numpy(only.draw_parameters(4)["choice"])) for _ in range(20)} == {2}


# With XLA on TensorFlow most of a minute goes into compiling; `test_augmentation_layers.py` has each layer with it.
@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_paper_set_compiled(rng, jit_compile):
    if jit_compile and keras.backend.backend() != "tensorflow":
        pytest.skip("XLA is an option on TensorFlow alone")
    waveforms, labels = pair(rng, samples=1201)
    batches = compiled_training_call(eat_augmentations(8000, seed=5), (waveforms, labels), 8, jit_compile)
    for x, y in batches:
        assert x.shape == waveforms.shape and y.shape == labels.shape
        assert np.isfinite(x).all() and np.abs(x).max() < 10
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    for (first, _), (second, _) in itertools.pairwise(batches):
        assert np.abs(first - second).max() > 1e-2


def test_paper_set_has_the_switches_of_the_paper():
    full = eat_augmentations(16000)
    assert len(eat_augmentations(16000, noise=False).layers) == len(full.layers) - 1
    assert full.mixes_labels and not eat_augmentations(16000, mixings=()).mixes_labels
    assert not RandomChoice([eat_augmentations(16000, mixings=())]).mixes_labels
    first, second = (eat_augmentations(16000, seed=1).get_config() for _ in range(2))
    assert _without_names(first) == _without_names(second)
    seeds = [layer.seed for layer in eat_augmentations(16000, seed=1).layers]
    assert len(set(seeds)) == len(seeds)


def _without_names(config):
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(value) for value in config] if isinstance(config, list) else config


def test_order_for_each_example(rng):
    waveforms, labels = pair(rng)
    augmentation = RandomOrder([*steps()[:2], MixUp(seed=3)], seed=1, per="example")
    params = augmentation.draw(4, 301)
    assert params["order"].shape == (4, 3)
    orders = [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)]
    got = augmentation.apply((waveforms, labels), {**params, "order": np.int32(orders)})
    drawn = params["layers"]
    x, y = waveforms, labels
    for place in range(3):  # Every layer on all examples as they are, and each example takes its own.
        results = [layer.apply((x, y), one) for layer, one in zip(augmentation.layers, drawn, strict=True)]
        x, y = (np.stack([numpy(results[order[place]][part])[i] for i, order in enumerate(orders)]) for part in (0, 1))
    np.testing.assert_allclose(numpy(got[0]), x, atol=1e-6)
    np.testing.assert_allclose(numpy(got[1]), y, atol=1e-6)
    with pytest.raises(ValueError, match="`per` must be one of 'batch', 'example'"):
        RandomOrder(steps(), per="clip")


def test_round_trip_repeats_the_draws(rng):
    waveforms, labels = pair(rng)
    layer = AugmentationChain(
        [RandomOrder(steps(), seed=1), RandomChoice([*steps(), MixUp(seed=9)], (1, 0, 1, 2), "example", seed=4)], seed=2
    )
    clone = keras.layers.deserialize(keras.layers.serialize(layer))
    assert clone.get_config() == layer.get_config()
    for got, want in zip(*(one((waveforms, labels), training=True) for one in (clone, layer)), strict=True):
        np.testing.assert_array_equal(numpy(got), numpy(want))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_each_by_itself_is_all_together(rng, jit_compile, batch):
    """A chain in compiled code, where each example is taken by itself, and called eagerly, with the same draws."""
    if jit_compile and keras.backend.backend() != "tensorflow":
        pytest.skip("XLA is an option on TensorFlow alone")
    half = [RandomGain((0.5, 2.0), probability=0.5, seed=1), RandomTimeShift(8000, fractional=False, seed=2)]
    chain = AugmentationChain(
        [
            AugmentationChain([PolarityInversion(0.5, seed=3), RandomOrder(half, seed=4)]),
            RandomOrder([*half, Roll(fractional=False, probability=0.5, seed=5)], seed=6, per="example"),
            RandomChoice([RandomNoise("pink", seed=7), RandomSpeed(num_zeros=4, seed=8)], seed=9, per="example"),
            RandomChoice([RandomNoise(seed=10), PolarityInversion(1.0, seed=11)], seed=12),
            RandomChoice([MixUp(seed=13), TimeMix(seed=14)], seed=15),
            RandomGain(seed=16),
        ]
    )
    inputs = pair(rng, batch, samples=501)
    for _ in range(3):
        params = keras.tree.map_structure(numpy, chain.draw(batch, 501))
        wanted = chain.apply(inputs, params)
        got = traced(lambda x, y, params=params: chain.apply((x, y), params), *inputs, jit_compile=jit_compile)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, numpy(other), atol=2e-6)


def test_chain_in_the_pipeline(rng):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.data calls functions of TensorFlow")
    import tensorflow as tf

    waveforms, _ = pair(rng, batch=5)
    chain = AugmentationChain([RandomGain((3.0, 3.0)), PolarityInversion(1.0)])
    data = tf.data.Dataset.from_tensor_slices(waveforms).batch(2).map(lambda x: chain(x, training=True))
    np.testing.assert_allclose(np.concatenate(list(data.as_numpy_iterator())), -3 * waveforms, rtol=1e-6)


def test_trains_in_the_step(rng):
    from keras_audio_si.training.augmented_model import AugmentedModel

    waveforms, labels = pair(rng, batch=8)
    labels = np.eye(8, 5, dtype="float32")
    model = keras.Sequential([keras.Input((301,)), keras.layers.Dense(5, activation="sigmoid")])
    training_model = AugmentedModel(
        model, AugmentationChain([RandomOrder(steps()[:2]), RandomChoice([MixUp(), PolarityInversion()])])
    )
    training_model.compile("adam", "binary_crossentropy")
    before = model.get_weights()[0]
    history = training_model.fit((waveforms, labels), labels, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.abs(model.get_weights()[0] - before).max() > 0


def test_wrong_arguments(rng):
    waveforms, labels = pair(rng)
    with pytest.raises(TypeError, match="`layers` must be augmentations.*Received: <Dense"):
        AugmentationChain([keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="`layers` must hold at least one"):
        RandomOrder([])
    for chances in ((1,), (1, -1), (0, 0), (1, float("nan"))):
        with pytest.raises(ValueError, match="`chances` must be 2 numbers"):
            RandomChoice(steps()[:2], chances)
    with pytest.raises(ValueError, match="`per` must be one of 'batch', 'example'"):
        RandomChoice(steps(), per="clip")
    with pytest.raises(ValueError, match="AugmentationChain mixes labels: call it with a pair"):
        eat_augmentations(16000)(waveforms, training=True)
    with pytest.raises(ValueError, match=r"\(batch, samples\).*channels"):
        eat_augmentations(16000)((waveforms[..., None], labels), training=True)
