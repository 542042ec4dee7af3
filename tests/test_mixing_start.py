"""Mixings that begin after some epochs of a training: which step, what before it, compiled once, saved."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.layers import AugmentationChain, MixUp, RandomChoice, RandomGain, TimeMix
from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.mixing_start import LateStart, chained, starting_late

JITS = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}[keras.backend.backend()]


@keras.saving.register_keras_serializable(package="test_mixing_start")
class Halves(keras.layers.Layer):
    """Half of each example and half of its opposite in the batch: a mixing without chance, which counts its traces."""

    traces = 0

    def call(self, inputs, training=None):
        Halves.traces += 1
        return tuple((x + ops.flip(x, axis=0)) / 2 for x in inputs) if training else inputs


def training_model(mixing, jit_compile=False):
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(3, activation="sigmoid")])
    wrapper = AugmentedModel(model, mixing)
    wrapper.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", jit_compile=jit_compile)
    return wrapper


def data(rng, batch=8):
    return rng.normal(size=(batch, 7)).astype("float32"), (rng.random((batch, 3)) < 0.5).astype("float32")


def losses(wrapper, x, y, epochs):
    return wrapper.fit((x, y), y, batch_size=4, epochs=epochs, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize("jit_compile", JITS)
def test_the_loss_is_that_of_mixed_batches_from_an_epoch_on(rng, jit_compile):
    """With weights that stand still; and nothing is compiled again when the mixing begins."""
    x, y = data(rng)
    wrapper = training_model(starting_late([Halves()], first_step=4), jit_compile)
    plain, mixed = training_model([]), training_model([Halves()])
    for other in (plain, mixed):
        other.model.set_weights(wrapper.model.get_weights())
    (before,), (after,) = losses(plain, x, y, 1), losses(mixed, x, y, 1)
    assert abs(before - after) > 1e-3
    wrapper.fit((x, y), y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    traces = Halves.traces
    got = losses(wrapper, x, y, 3)  # The epochs 1, 2 and 3 of two steps each.
    np.testing.assert_allclose(got, [before, after, after], rtol=1e-6)
    if keras.backend.backend() != "torch":  # Which runs the layer at every step.
        assert Halves.traces == traces
    np.testing.assert_allclose(wrapper.evaluate((x, y), y, verbose=0), before, rtol=1e-6)


def test_labels_and_waveforms_before_the_start_are_the_same_bits(rng):
    x, y = data(rng)
    layer = LateStart(MixUp(seed=0), first_step=1)
    for value, same in zip(layer((x, y), training=True), (x, y), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), same)
    assert np.abs(ops.convert_to_numpy(layer((x, y), training=True)[0]) - x).max() > 1e-3
    for value, same in zip(layer((x, y), training=False), (x, y), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), same)
    assert int(layer.step) == 2  # Calls that do not train do not count.


def test_only_what_mixes_labels_begins_late():
    gain, mixing, custom = RandomGain(), RandomChoice([MixUp(), TimeMix()]), Halves()
    chain = AugmentationChain([gain, AugmentationChain([RandomGain(), mixing])])
    layers = starting_late([chain, custom], first_step=3)
    assert chained([chain, custom]) == [gain, chain.layers[1].layers[0], mixing, custom]
    assert [isinstance(layer, LateStart) for layer in layers] == [False, False, True, True]
    assert layers[0] is gain and layers[2].mixing is mixing and layers[3].mixing is custom


def test_round_trip(rng, tmp_path):
    x, y = data(rng)
    wrapper = training_model(starting_late([Halves()], first_step=2))
    losses(wrapper, x, y, 1)
    wrapper.save(tmp_path / "wrapper.keras")
    copy = keras.models.load_model(tmp_path / "wrapper.keras")
    (layer,) = copy.mixing
    assert (layer.first_step, int(layer.step)) == (2, 2)
    mixed = ops.convert_to_numpy(copy((x, y), training=True)["targets"])
    np.testing.assert_allclose(mixed, (y + y[::-1]) / 2, atol=1e-6)
