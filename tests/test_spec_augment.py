"""SpecAugment against slow loops, its draws, and masks."""

import keras
import numpy as np
import pytest
from harness import compiled_training_call, computed, numpy
from keras import ops

from keras_audio_si.layers import SpecAugment


def spectrograms(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def ranges(rng, batch, count, size):
    width = rng.integers(0, size, (batch, count))
    return rng.integers(0, size + 1 - width).astype("int32"), width.astype("int32")


@pytest.mark.parametrize("channels, fill", [((), "mean"), ((2,), "mean"), ((), -3.0)])
def test_equals_loops(rng, channels, fill):
    x, lengths = spectrograms(rng, 3, 20, 9, *channels), np.int32([20, 13, 0])
    params = dict(zip(("mel_start", "mel_width"), ranges(rng, 3, 2, 9), strict=True))
    params |= dict(zip(("time_start", "time_width"), ranges(rng, 3, 2, 9), strict=True))
    y = computed(SpecAugment(fill=fill).apply, x, params, lengths)
    for example, got, i in zip(x, y, range(3), strict=True):
        audio = example[: lengths[i]]
        wanted = example.copy()
        value = fill if fill != "mean" else (audio.mean(axis=(0, 1)) if len(audio) else 0.0)
        for start, width in zip(params["mel_start"][i], params["mel_width"][i], strict=True):
            wanted[: lengths[i], start : start + width] = value
        for start, width in zip(params["time_start"][i], params["time_width"][i], strict=True):
            wanted[start : min(start + width, lengths[i])] = value
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    half = computed(
        lambda x, params: ops.cast(SpecAugment(fill=fill).apply(ops.cast(x, "bfloat16"), params), "float32"), x, params
    )
    assert set(np.unique(half - numpy(ops.cast(ops.cast(half, "bfloat16"), "float32")))) == {0.0}


def test_draws_cover_their_ranges_and_lie_within_the_audio():
    """Frames and bands of PSLA, a tenth of them, and none."""
    lengths = np.int32([1056, 100, 0] * 3000)
    layer = SpecAugment(max_mels=48, max_frames=192, num_time_masks=2, max_time_fraction=0.5, seed=0, name="mine")
    params = {name: numpy(value) for name, value in layer.draw(9000, lengths, 128).items()}
    assert params["mel_start"].shape == (9000, 1) and params["time_start"].shape == (9000, 2)
    assert set(params["mel_width"].flat) == set(range(49))
    assert params["mel_start"].min() == 0 and (params["mel_start"] + params["mel_width"]).max() == 128
    assert abs(params["mel_width"].mean() - 24) < 0.7
    ends = params["time_start"] + params["time_width"]
    assert params["time_start"].min() == 0 and (ends <= lengths[:, None]).all() and ends.max() == 1056
    for length, longest in ((1056, 192), (100, 50), (0, 0)):
        assert set(params["time_width"][lengths == length].flat) == set(range(longest + 1))
    assert len(np.unique(params["time_start"][lengths == 1056])) > 900  # Other places for other examples.
    clone = keras.layers.deserialize(keras.layers.serialize(layer))
    assert clone.get_config() == layer.get_config()
    for name, value in clone.draw(9000, lengths, 128).items():
        np.testing.assert_array_equal(numpy(value), params[name])


def test_a_mask_keeps_padding_as_it_is_and_passes_through(rng):
    x, lengths = spectrograms(rng, 4, 30, 8), np.array([30, 20, 11, 5])
    x *= (np.arange(30) < lengths[:, None])[:, :, None]
    inputs = keras.Input((None, 8))
    outputs = SpecAugment(8, None, num_mel_masks=2, fill=7.0, seed=2)(keras.layers.Masking()(inputs))
    assert outputs._keras_mask is not None
    runs = compiled_training_call(keras.Model(inputs, outputs), x, runs=2)
    for y in runs:
        assert ((y == x) | (y == 7.0)).all() and (y == 7.0).any(axis=(1, 2)).sum() >= 3
        assert (y[x == 0.0] == 0.0).all()
    assert not np.array_equal(*runs)


def test_what_is_in_the_padding_does_not_fill_the_clip(rng):
    x, mask = spectrograms(rng, 2, 10, 6), np.arange(10)[None] < np.array([[6], [10]])
    x[0, 6:] = np.nan
    y = numpy(SpecAugment(3, 3, seed=1)(x, mask=mask, training=True))
    assert np.isfinite(y[0, :6]).all() and (y != x)[0, :6].any()


def test_nothing_happens_outside_training(rng):
    x = spectrograms(rng, 2, 9, 4)
    for training in (False, None):
        np.testing.assert_array_equal(numpy(SpecAugment()(x, training=training)), x)
    assert SpecAugment()(keras.Input((None, 4, 3)), training=True).shape == (None, None, 4, 3)


def test_wrong_arguments_and_inputs():
    for settings, message in (
        ({"max_mels": -1}, "`max_mels` must be an integer of at least 0. Received: max_mels=-1"),
        ({"max_frames": 2.5}, "`max_frames` must be an integer"),
        ({"num_time_masks": None}, "`num_time_masks` must be an integer"),
        ({"max_time_fraction": 1.5}, r"`max_time_fraction` must be in \[0, 1\]"),
        ({"fill": "median"}, "`fill` must be one of 'mean'"),
    ):
        with pytest.raises(ValueError, match=message):
            SpecAugment(**settings)
    with pytest.raises(ValueError, match=r"\(batch, time, mel\) or .*Received: shape=\(2, 100\)"):
        SpecAugment()(np.zeros((2, 100), "float32"))
    with pytest.raises(TypeError, match="int32"):
        SpecAugment().apply(np.zeros((2, 9, 4), "int32"), {})
