"""Networks that leave padding out: clips against themselves alone, padded by any amount and in other batches."""

import keras
import numpy as np
import pytest
from cases import small_tagger, two_blocks, with_larger_taps
from harness import Case, built, gradients, numpy, run, slopes
from keras import ops

from keras_audio_si import layers, models
from keras_audio_si.layers.frame_mask import HidePadding, JoinMask
from keras_audio_si.layers.masked_normalization import MaskedBatchNormalization
from keras_audio_si.models import swap_pooling, with_masks
from keras_audio_si.models.masks import MaskedNetwork
from keras_audio_si.ops.lengths import strided_mask
from keras_audio_si.ops.pooling import statistic

BANDS = 12


def vgg(pooling, **arguments):
    return two_blocks(models.VGG41, 3, (None, BANDS), pooling, activation=None, **arguments)


def of_keras():
    """Layers of Keras that the networks here do not have, on values of either sign, a branch and a model inside."""
    inputs = keras.Input((None, BANDS))
    x = keras.layers.Conv1D(6, 3, padding="causal", dilation_rate=2)(inputs)
    x = keras.layers.SeparableConv1D(8, 4, strides=2, padding="same")(keras.layers.ZeroPadding1D(2)(x))
    x = keras.layers.MaxPooling1D(3, 2, padding="same")(x)
    inner = keras.Sequential([keras.Input((None, 8)), keras.layers.Conv1D(8, 3, padding="same"), keras.layers.ELU()])
    x = keras.layers.Concatenate()([inner(x), keras.layers.AveragePooling1D(2, 1, padding="same")(x)])
    x = keras.layers.LayerNormalization()(x * 0.5)
    maps = keras.layers.Reshape((-1, 4, 4))(keras.layers.GRU(16, return_sequences=True)(x))
    maps = keras.layers.AveragePooling2D(2)(keras.layers.ZeroPadding2D(((2, 1), (0, 0)))(maps))
    parts = [keras.layers.GlobalMaxPooling2D()(maps), keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)]
    parts += [keras.layers.GlobalAveragePooling1D()(x), keras.layers.GRU(4)(x)]
    return keras.Model(inputs, keras.layers.Concatenate()([keras.layers.Flatten()(part) for part in parts]))


NETWORKS = {
    "max": lambda: vgg("max"),
    "average": lambda: vgg("average", intra_block_pooling=True),
    "tlpf5": lambda: vgg("tlpf5", global_pooling="mean_max_deviation"),
    "blur3+aps": lambda: vgg("blur3+aps-l2", global_pooling="max_mel_mean_time"),
    "time_mel": lambda: vgg("mean_time_max_mel", global_pooling="mean_time_max_mel"),
    "efficientnet": lambda: small_tagger((None, BANDS)),
    "keras": of_keras,
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network with random weights."""
    case = Case(request.param, NETWORKS[request.param], None)
    return with_larger_taps(built(case, np.zeros((1, 24, BANDS), "float32")))


def masked(network, clips, frames):
    """What a network makes of clips of different lengths that are padded to a number of frames by what is no number."""
    x = np.full((len(clips), frames, clips[0].shape[1]), np.nan, "float32")
    for place, clip in enumerate(clips):
        x[place, : len(clip)] = clip
    mask = np.arange(frames) < np.array([[len(clip)] for clip in clips])
    return numpy(
        run(lambda x, training: network(JoinMask()(x, mask=ops.convert_to_tensor(mask)), training=training), x)
    )


def test_a_clip_does_not_see_its_padding_nor_the_batch(network, rng):
    clips = [rng.normal(size=(n, BANDS)).astype("float32") for n in (21, 10, 17)]
    copy = with_masks(network)
    want = masked(copy, clips, 21)
    assert np.isfinite(want).all() and np.abs(want[0] - want[1]).max() > 1e-3
    for frames in (32, 63):
        np.testing.assert_allclose(masked(copy, clips, frames), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(masked(copy, clips[1:2], 10), want[1:2], rtol=1e-5, atol=1e-5)


def test_it_is_the_network_where_there_is_no_padding(network, rng):
    """Of a number of frames that all strides divide."""
    x = rng.normal(size=(2, 32, BANDS)).astype("float32")
    copy, want = with_masks(network), numpy(run(network, x))
    for got in (run(copy, x), masked(copy, x, 32)):
        np.testing.assert_allclose(numpy(got), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(numpy(run(network, x)), want)


@pytest.mark.parametrize("padding", ["valid", "edge"])
def test_other_paddings(padding, rng):
    """Under "valid" likewise; a padding that takes the end of the input for that of the clip sees where that is."""
    clip = rng.normal(size=(41, 24)).astype("float32")
    case = Case(
        padding, lambda: two_blocks(models.VGG41, 3, (None, 24), "blur3", padding=padding, activation=None), None
    )
    copy = with_masks(built(case, clip[None]))
    alone, *padded = (masked(copy, [clip], frames) for frames in (41, 62, 123))
    np.testing.assert_allclose(padded[1], padded[0], rtol=1e-5, atol=1e-5)
    assert (np.abs(alone - padded[0]).max() < 1e-5) == (padding == "valid")


def test_statistics_leave_padding_out(rng):
    x = rng.normal(size=(2, 16, BANDS)).astype("float32")
    padded, mask = np.pad(x, ((0, 0), (0, 9), (0, 0)), constant_values=5.0), np.arange(25)[None].repeat(2, 0) < 16
    network = built(Case("statistics", lambda: vgg("max", batch_norm_momentum=0.0), None), x)
    copy = with_masks(network)
    copy(JoinMask()(padded, mask=ops.convert_to_tensor(mask)), training=True)
    network(x, training=True)
    for got, want in zip(copy.non_trainable_weights, network.non_trainable_weights, strict=True):
        np.testing.assert_allclose(numpy(got), numpy(want), rtol=1e-4, atol=1e-5)


def test_an_example_of_padding_only_has_finite_scores(rng):
    x = rng.normal(size=(3, 16, BANDS)).astype("float32")
    x[1] = 0.0
    inputs = keras.Input((None, BANDS))
    masked = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, with_masks(models.VGG41(2, input_shape=(None, BANDS), width=0.125))(masked))
    scores = numpy(model(x))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[[0, 2]], numpy(model(x[[0, 2]])), atol=1e-5)
    assert all(np.isfinite(value).all() for value in gradients(model, x))
    head = layers.AttentionHead(2)
    frames = rng.normal(size=(2, 5, 4)).astype("float32")
    mask = np.array([[True] * 5, [False] * 5])
    assert np.isfinite(numpy(head(frames, mask=mask))).all()


@pytest.mark.parametrize("shape, channels", [((3, 7, 5), 5), ((3, 7, 2, 4), 4), ((3, 7, 1), 1)])
def test_masked_batch_normalization(rng, shape, channels):
    x, lengths = rng.normal(2, 3, shape).astype("float32"), (7, 2, 4)
    mask = np.arange(7) < np.array(lengths)[:, None]
    layer = MaskedBatchNormalization(momentum=0.75)
    layer.build(shape)
    y = numpy(layer(x, mask=ops.convert_to_tensor(mask), training=True))
    inside = np.concatenate([clip[:length].reshape(-1, channels) for clip, length in zip(x, lengths, strict=True)])
    mean, variance = inside.mean(axis=0), inside.var(axis=0)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(numpy(layer.moving_mean), 0.25 * mean, rtol=1e-4)
    np.testing.assert_allclose(numpy(layer.moving_variance), 0.75 + 0.25 * variance, rtol=1e-4)
    before = layer.get_weights()
    frozen = MaskedBatchNormalization(trainable=False)
    frozen.build(shape)
    frozen.set_weights(before)
    plain = keras.layers.BatchNormalization()
    plain.build(shape)
    plain.set_weights(before)
    for got in (frozen(x, mask=ops.convert_to_tensor(mask), training=True), layer(x, mask=ops.convert_to_tensor(mask))):
        np.testing.assert_allclose(numpy(got), numpy(plain(x)), rtol=1e-5, atol=1e-5)


def test_frames_behind_strides():
    """Against the frames that a frame of the output stands for, and under "valid" against its window."""
    lengths = np.arange(1, 14)
    mask = np.arange(13) < lengths[:, None]
    for window, stride in ((1, 1), (3, 1), (2, 2), (5, 2), (3, 4)):
        same, valid = (numpy(strided_mask(mask, window, stride, padding)) for padding in ("same", "valid"))
        for length, got, inside in zip(lengths, same, valid, strict=True):
            assert len(got) == -(-13 // stride) and len(inside) == (13 - window) // stride + 1
            frames = np.arange(13) < length
            assert got.tolist() == [frames[start : start + stride].any() for start in range(0, 13, stride)]
            whole = [frames[start : start + window].all() for start in range(0, 13 - window + 1, stride)]
            assert inside.tolist() == [True, *whole[1:]]


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
def test_statistics_over_clips(rng, axes):
    x, lengths = rng.normal(3, 1, (3, 9, 4, 2)).astype("float32"), (9, 1, 6)
    mask = np.arange(9) < np.array(lengths)[:, None]
    for name, reduce in (("mean", np.mean), ("max", np.max), ("deviation", np.std)):
        got = numpy(statistic(name, keras.ops.convert_to_tensor(x), axes, keras.ops.convert_to_tensor(mask)))
        for clip, length, y in zip(x, lengths, got, strict=True):
            want = reduce(clip[:length], axis=tuple(axis - 1 for axis in axes), keepdims=True)
            np.testing.assert_allclose(y[: len(want)], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [None, 4])
def test_a_constant_channel_has_the_deviation_0_with_gradient_0(rng, frames):
    x = rng.normal(size=(2, 6, 4, 2)).astype("float32")
    x[0, :, :, 1] = 0.0
    mask = None if frames is None else ops.convert_to_tensor(np.arange(6)[None].repeat(2, 0) < frames)
    deviations = numpy(statistic("deviation", ops.convert_to_tensor(x), (1, 2), mask))
    weights = np.ones(deviations.shape, "float32")
    (found,) = slopes(lambda x: (statistic("deviation", x, (1, 2), mask),), x, weights=weights)
    assert deviations[0, 0, 0, 1] == 0.0 and not found[0, :, :, 1].any()
    assert np.isfinite(found).all() and np.abs(found[1]).max() > 0.01


def test_a_map_carries_its_mask(rng):
    """A clip of 21 of 40 frames: three of five, behind pools of 2, 2 and 2."""
    network = models.VGG41(3, (None, BANDS), width=0.125)
    maps = with_masks(keras.Model(network.input, network.get_layer("block4b_relu").output))
    x, mask = rng.normal(size=(1, 40, BANDS)).astype("float32"), np.arange(40)[None] < 21
    inputs = keras.Input((None, BANDS))
    y, of_map = layers.frame_mask.SplitMask()(maps(keras.layers.Masking(9.0)(inputs)))
    model = keras.Model(inputs, [y, of_map])
    x[~mask] = 9.0
    assert numpy(run(model, x)[1]).tolist() == [[True, True, True, False, False]]


def test_padding_of_an_unknown_layer_is_zero(rng):
    """And behind it there is no mask: a dense layer on 6 frames, of which the clip has 4."""
    inputs = keras.Input((6, 2))
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    clip = rng.normal(size=(4, 2)).astype("float32")
    x, mask = np.full((1, 6, 2), np.nan, "float32"), np.arange(6)[None] < 4
    x[0, :4] = clip
    got = numpy(with_masks(network)(JoinMask()(x, mask=ops.convert_to_tensor(mask))))
    kernel, bias = network.get_weights()
    np.testing.assert_allclose(got[0], clip.reshape(-1) @ kernel[:8] + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: keras.layers.Softmax(axis=1)(x),
        lambda x: keras.layers.LayerNormalization(axis=(-2, -1))(x),
        lambda x: keras.layers.UnitNormalization(axis=1)(x),
        lambda x: keras.layers.Concatenate(axis=1)([x, x]),
    ],
)
def test_padding_of_a_layer_along_frames_is_zero(layer, rng):
    inputs = keras.Input((6, 2))
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(layer(inputs)))
    x, mask = rng.normal(size=(1, 6, 2)).astype("float32"), np.arange(6)[None] < 4
    got = with_masks(network)(JoinMask()(np.where(mask[..., None], x, np.nan), mask=ops.convert_to_tensor(mask)))
    want = network(np.where(mask[..., None], x, 0.0))
    np.testing.assert_allclose(numpy(got), numpy(want), rtol=1e-5, atol=1e-6)


def test_a_model_inside_that_takes_a_list(rng):
    inner = of_keras()
    inputs = keras.Input(inner.input_shape[1:])
    listed, plain = keras.Model(inputs, inner([inputs])), keras.Model(inputs, inner(inputs))
    clips = [rng.normal(size=(n, BANDS)).astype("float32") for n in (21, 10)]
    np.testing.assert_array_equal(masked(with_masks(listed), clips, 32), masked(with_masks(plain), clips, 32))


def test_copies(network, tmp_path, rng):
    copy = with_masks(network)
    assert type(copy) is MaskedNetwork and with_masks(copy) is copy
    assert [w.shape for w in copy.weights] == [w.shape for w in network.weights]
    copy.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    clips = [rng.normal(size=(n, BANDS)).astype("float32") for n in (21, 10)]
    np.testing.assert_array_equal(masked(loaded, clips, 32), masked(copy, clips, 32))


def test_gradients_are_finite(rng):
    """Behind maxima, whose padding is -inf, on values of either sign."""
    inputs = keras.Input((9, BANDS, 1))
    x = keras.layers.Activation("swish")(keras.layers.MaxPooling2D(2, padding="same")(inputs))
    x = keras.layers.BatchNormalization()(layers.AntiAliasPool()(keras.layers.Conv2D(2, 3, padding="same")(x)))
    network = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x))
    x = rng.normal(size=(2, 9, BANDS, 1)).astype("float32")
    x[:, 3:] = 0.0
    wrapped = keras.Sequential([keras.Input((9, BANDS, 1)), keras.layers.Masking(), ReducedMask(), with_masks(network)])
    found = gradients(wrapped, x)
    assert all(np.isfinite(g).all() for g in found) and not found[0][:, 4:].any() and np.abs(found[1]).max() > 0


class ReducedMask(keras.layers.Layer):
    """A mask of frames from that of frames and bands, which `Masking` makes of maps."""

    def compute_mask(self, inputs, previous_mask):
        return None if isinstance(previous_mask, keras.KerasTensor) else ops.any(previous_mask, axis=-1)

    def call(self, inputs):
        return ops.copy(inputs)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy, rng):
    clips = [rng.normal(size=(n, BANDS)).astype("float32") for n in (21, 10)]
    results = []
    for name in ("float32", policy):
        keras.config.set_dtype_policy(name)
        try:
            network = built(Case(name, lambda: vgg("average"), None), np.zeros((1, 24, BANDS), "float32"))
            results.append(masked(with_masks(network), clips, 32))
        finally:
            keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(results[1], results[0], rtol=0.05, atol=0.05 * np.abs(results[0]).max())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are TensorFlow's")
def test_a_graph_of_any_length(rng):
    import tensorflow as tf

    inputs = keras.Input((None, BANDS))
    network = built(Case("graph", lambda: small_tagger((None, BANDS)), None), np.zeros((1, 24, BANDS), "float32"))
    model = keras.Model(inputs, with_masks(network)(keras.layers.Masking(9.0)(inputs)))
    call = tf.function(lambda x: model(x, training=False), [tf.TensorSpec((None, None, BANDS))])
    x = rng.normal(size=(2, 21, BANDS)).astype("float32")
    want = numpy(model(x))
    for frames in (21, 50):
        padded = np.pad(x, ((0, 0), (0, frames - 21), (0, 0)), constant_values=9.0)
        np.testing.assert_allclose(numpy(call(padded)), want, rtol=1e-5, atol=1e-5)


def test_hidden_padding(rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    mask = np.array([[True] * 5, [True, True, False, False, False]])
    y = numpy(HidePadding(fill=-2.0, multiple=4)(x, mask=ops.convert_to_tensor(mask)))
    want = np.full((2, 8, 3), -2.0, "float32")
    want[0, :5], want[1, :2] = x[0], x[1, :2]
    np.testing.assert_array_equal(y, want)


def test_pooling_of_a_masked_model_cannot_be_swapped():
    with pytest.raises(ValueError, match="must not mask padding: swap the pooling before `with_masks`"):
        swap_pooling(with_masks(vgg("max")), "blur5")
    with pytest.raises(ValueError, match="must be a functional or Sequential Keras model"):
        with_masks(keras.layers.Dense(2))
