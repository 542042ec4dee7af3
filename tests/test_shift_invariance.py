"""What the pools are for: exact invariance to circular shifts, and its failure where it is not promised."""

import keras
import numpy as np
import pytest
from harness import Case, built, numpy, run
from keras import layers

from keras_audio_si.layers import AdaptivePolyphasePool, AntiAliasPool, GlobalTimeMelPool, SpatialPadding
from keras_audio_si.models import VGG41


def residual_network(size, shared, filter=None, criterion="channel_l1"):
    """Two residual stages with adaptive sampling in the branch and in the shortcut, circular throughout."""

    def convolution(x, filters):
        return layers.Conv2D(filters, 3, padding="valid", activation="relu")(SpatialPadding(3, "circular")(x))

    def pool(**arguments):
        return AdaptivePolyphasePool(criterion=criterion, filter=filter, filter_size=3, padding="circular", **arguments)

    inputs = keras.Input((*size, 1))
    x = convolution(inputs, 6)
    for filters in (6, 8):
        branch, indices = pool(return_indices=True)(convolution(x, filters))
        shortcut = layers.Conv2D(filters, 1)(pool()(x, indices) if shared else pool()(x))
        x = layers.Add()([branch, shortcut])
    x = GlobalTimeMelPool("mean")(x)
    case = Case("residual", lambda: keras.Model(inputs, layers.Dense(4)(x)), None)
    return built(case, np.zeros((1, *size, 1)))


def all_shifts(x):
    return np.concatenate([np.roll(x, (t, f), (1, 2)) for t in range(x.shape[1]) for f in range(x.shape[2])])


# Components that tie leave the choice to rounding. Random maps do not tie, with one exception: a binomial filter has no
# gain at the Nyquist frequency, so that all components of a non-negative map have one l1 norm after it, and only a
# criterion that is not linear tells them apart.
@pytest.mark.parametrize(
    "filter, criterion",
    [(None, "channel_l1"), (None, "l1"), ("trainable", "channel_l1"), ("binomial", "l2"), ("binomial", "linf")],
)
def test_residual_network_is_invariant_to_every_circular_shift(rng, filter, criterion):
    x = rng.standard_normal((1, 12, 8, 1)).astype("float32")
    model = residual_network(x.shape[1:3], True, filter, criterion)
    scores = numpy(run(model, all_shifts(x)))
    assert np.ptp(scores, axis=0).max() / np.abs(scores).max() < 1e-6


def test_branches_with_grids_of_their_own_are_not_invariant(rng):
    # The branch and the shortcut of this input choose different grids, which is why `indices` exist.
    x = rng.standard_normal((1, 12, 8, 1)).astype("float32")
    scores = numpy(run(residual_network(x.shape[1:3], shared=False), all_shifts(x)))
    assert np.ptp(scores, axis=0).max() / np.abs(scores).max() > 1e-3


def test_indices_follow_the_shift(rng):
    x = rng.standard_normal((1, 12, 9, 3)).astype("float32")
    pool = AdaptivePolyphasePool(strides=(2, 3), pool_mode=None, padding="circular", return_indices=True)
    y, indices = (numpy(part) for part in run(pool, all_shifts(x)))
    for shift, (moved, index) in enumerate(zip(y, indices, strict=True)):
        t, f = indices[0] % 2 + shift // 9, indices[0] // 2 + shift % 9
        assert index == t % 2 + 2 * (f % 3)
        np.testing.assert_array_equal(moved, np.roll(y[0], (t // 2, f // 3), (0, 1)))


def test_vgg_with_circular_padding_is_invariant(rng):
    x = rng.standard_normal((1, 16, 8)).astype("float32")

    def spread(pooling):
        case = Case("vgg", lambda: VGG41(4, (16, 8), pooling, padding="circular", width=0.125, activation=None), None)
        scores = numpy(run(built(case, x), all_shifts(x)))
        return np.ptp(scores, axis=0).max() / np.abs(scores).max()

    assert spread("tlpf3+aps") < 1e-6
    assert spread("max") > 1e-3


def test_sizes_that_do_not_divide_are_refused():
    for pool in (AntiAliasPool(padding="circular"), AdaptivePolyphasePool(padding="circular")):
        with pytest.raises(ValueError, match="strides .* divide"):
            pool(np.zeros((1, 7, 8, 2), "float32"))
