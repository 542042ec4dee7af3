"""The pools as a user meets them: names, configs, shared grids and errors that say what to do."""

import keras
import numpy as np
import pytest
import scipy.special
from harness import numpy, traced

from keras_audio_si import layers, models
from keras_audio_si.layers import AdaptivePolyphasePool, AntiAliasPool, build_pooling
from keras_audio_si.ops import depthwise


@pytest.mark.parametrize(
    "name, kind, settings",
    [
        ("max", keras.layers.MaxPooling2D, {}),
        ("average", keras.layers.AveragePooling2D, {}),
        ("blur4", AntiAliasPool, {"filter": "binomial", "filter_size": (4, 4)}),
        ("tlpf1x5", AntiAliasPool, {"filter": "trainable", "filter_size": (1, 5)}),
        ("tlpf5-box", AntiAliasPool, {"filter": "trainable", "initializer": "box"}),
        ("tlpf3-box+aps", AdaptivePolyphasePool, {"filter_size": (3, 3), "initializer": "box"}),
        ("aps", AdaptivePolyphasePool, {"filter": None, "criterion": "channel_l1"}),
        ("aps-variance", AdaptivePolyphasePool, {"criterion": "variance"}),
        ("blur3+aps-l2", AdaptivePolyphasePool, {"filter": "binomial", "filter_size": (3, 3), "criterion": "l2"}),
        ("triangular", AntiAliasPool, {"filter": "triangular", "filter_size": (5, 5)}),
        ("mean_mel_max_time", layers.TimeMelPool, {"mode": "mean_mel_max_time"}),
    ],
)
def test_names(name, kind, settings):
    pool = build_pooling(name, name="pool")
    assert type(pool) is kind and pool.name == "pool"
    assert {key: getattr(pool, key) for key in settings} == settings


def test_channels_are_last_whatever_keras_is_told():
    keras.config.set_image_data_format("channels_first")
    try:
        shapes = [tuple(build_pooling(name)(np.ones((1, 8, 6, 3), "float32")).shape) for name in ("max", "average")]
        scores = layers.ImportanceNetwork()(np.ones((2, 50, 16), "float32"))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert shapes == [(1, 4, 3, 3)] * 2 and tuple(scores.shape) == (2, 50)


@pytest.mark.parametrize("mode", ["max_mel_mean_time", "mean_mel_max_time"])
def test_padding_does_not_count_in_large_windows(mode):
    x = np.arange(1, 12, dtype="float32").reshape(1, 11, 1, 1)
    last = layers.TimeMelPool(mode, 4)(x)[0, -1, 0, 0]
    assert float(last) == (10.0 if mode == "max_mel_mean_time" else 11.0)


@pytest.mark.parametrize("mode", ["max_mel_mean_time", "mean_mel_max_time"])
def test_windows_of_a_clip_do_not_follow_its_padding(mode, rng):
    clip = rng.normal(size=(1, 4, 3, 2)).astype("float32")
    pool = layers.TimeMelPool(mode, 3)
    wanted = numpy(pool(np.pad(clip, [(0, 0), (0, 2), (0, 0), (0, 0)]), mask=np.arange(6)[None] < 4))
    for frames in (9, 10, 11, 12):
        x = np.pad(clip, [(0, 0), (0, frames - 4), (0, 0), (0, 0)], constant_values=7.0)
        np.testing.assert_allclose(numpy(pool(x, mask=np.arange(frames)[None] < 4))[:, :2], wanted, atol=1e-6)


def test_output_shape_is_known_before_the_layer_is_built():
    pool = AdaptivePolyphasePool(filter="trainable", padding="valid")
    shape = pool.compute_output_shape((3, 21, 10, 4))
    assert shape == tuple(pool(np.ones((3, 21, 10, 4), "float32")).shape) == (3, 8, 2, 4)


def test_triangular_taps_follow_the_strides():
    assert [build_pooling("triangular", 1, strides).filter_size for strides in (4, (3, 2))] == [(9, 9), (7, 5)]


@pytest.mark.parametrize(
    "name, near",
    [("tlfp5", "tlpf5"), ("asp", "aps"), ("tlpf5aps", "tlpf5+aps"), ("+aps", "aps"), ("blur5-box", "blur5")],
)
def test_an_unknown_name_brings_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"Received: pooling={name!r}. Did you mean {near!r}".replace("+", "[+]")):
        build_pooling(name)


def test_trainable_taps_start_as_named():
    def start(layer):
        layer.build((None, 9, 8, 3))
        return numpy(depthwise.softmax_taps(layer.taps))[..., 0]

    kernel = np.outer(scipy.special.comb(4, np.arange(5)), scipy.special.comb(3, np.arange(4)))
    for build in (AntiAliasPool, AdaptivePolyphasePool):
        options = {"filter": "trainable", "filter_size": (5, 4)}
        taps = start(build(**options))
        np.testing.assert_allclose(taps, np.tile(kernel[..., None] / kernel.sum(), 3), rtol=0.05)
        assert np.ptp(taps[2, 1]) > 1e-4  # Random: channels differ.
        taps = start(build(**options, initializer="box"))
        np.testing.assert_allclose(taps, 1 / 20, rtol=0.05)
        assert np.ptp(taps) > 1e-4
        zeros = build(**options, initializer="zeros")
        np.testing.assert_allclose(start(zeros), 1 / 20, rtol=1e-6)
        again = build.from_config(zeros.get_config())
        assert type(again.initializer) is keras.initializers.Zeros
        assert build.from_config(build(initializer="box").get_config()).initializer == "box"
        with pytest.raises(ValueError, match="`initializer` must be one of 'binomial', 'box' or an initializer"):
            build(initializer="binomail")


def test_callable_and_config_make_a_layer_for_every_block():
    config = keras.layers.serialize(AntiAliasPool(filter_size=3))
    for pooling in (config, lambda strides: AntiAliasPool(strides, strides, filter_size=3)):
        model = models.VGG41(3, (16, 8), pooling, width=0.125)
        pools = [layer for layer in model.layers if isinstance(layer, AntiAliasPool)]
        assert len({id(pool) for pool in pools}) == 3
    with pytest.raises(ValueError, match=r"called as pooling\(strides=2\), .* give it an argument `strides`"):
        models.VGG41(3, (16, 8), lambda: AntiAliasPool(filter_size=3), width=0.125)
    with pytest.raises(ValueError, match="callable that returns a new layer"):
        build_pooling(AntiAliasPool())


def test_given_indices_are_taken(rng):
    x = rng.standard_normal((4, 9, 8, 2)).astype("float32")
    pool = AdaptivePolyphasePool(pool_mode=None, strides=(3, 2), padding="valid", return_indices=True)
    y, indices = pool(x, np.array([0, 2, 3, 5]))
    assert list(numpy(indices)) == [0, 2, 3, 5]
    for example, p in enumerate([0, 2, 3, 5]):
        np.testing.assert_array_equal(numpy(y)[example], x[example, p % 3 :: 3, p // 3 :: 2])


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("filter, criterion", [("trainable", "l2"), ("trainable", "variance"), (None, "variance")])
def test_the_grid_of_a_clip_does_not_depend_on_its_padding(rng, filter, criterion, padding):
    pool = AdaptivePolyphasePool(2, 2, criterion, filter, padding=padding, initializer="box", return_indices=True)
    clips = np.maximum(rng.standard_normal((60, 8, 8, 3)), 0).astype("float32")
    pool.build(clips.shape)
    found = []
    for added in (0, 1, 9):
        x = np.pad(clips, ((0, 0), (0, added), (0, 0), (0, 0)), constant_values=3.0)
        mask = np.arange(8 + added)[None].repeat(60, 0) < 8
        found.append(traced(lambda x, mask: pool(x, mask=mask), x, mask))
    for y, indices in found[1:]:
        np.testing.assert_array_equal(indices, found[0][1])
        np.testing.assert_allclose(y[:, : found[0][0].shape[1]], found[0][0], atol=1e-6)


def test_ties_take_the_lowest_grid():
    _, indices = AdaptivePolyphasePool(pool_mode=None, return_indices=True)(np.ones((2, 6, 6, 3), "float32"))
    assert list(numpy(indices)) == [0, 0]


def test_the_criterion_is_float32_under_half_precision():
    # 300 steps of 1 stop counting at 256 in bfloat16, where the two grids would tie and the first would win.
    x = np.zeros((1, 600, 1), "float32")
    x[:, ::2] = 1.0
    x[:, 1::2] = 1.0
    x[:, 1, :] = 2.0
    pool = AdaptivePolyphasePool(pool_mode=None, return_indices=True, dtype="bfloat16")
    assert int(numpy(pool(x)[1])[0]) == 1


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: AntiAliasPool(padding="zeros"), "`padding` must be one of 'same'"),
        (lambda: AntiAliasPool(filter=None), "`filter` must be one of 'binomial'"),
        (lambda: AntiAliasPool(pool_mode="min"), "`pool_mode` must be one of 'max'"),
        (lambda: AntiAliasPool(filter_size=(3, 0)), "`filter_size` must be an integer of at least 1"),
        (
            lambda: AntiAliasPool(filter="triangular", filter_size=4)(np.zeros((1, 8, 8, 1))),
            "`filter_size` must be odd",
        ),
        (lambda: AntiAliasPool()(np.zeros((1, 8))), "shape .batch, time, channels"),
        (lambda: AntiAliasPool(filter_size=7, padding="reflect")(np.zeros((1, 3, 3, 1), "float32")), "at least 4"),
        (
            lambda: AntiAliasPool(padding="valid")(np.ones((1, 5, 9, 1), "float32")),
            r"window of \(6, 6\) fits in. Received: sizes \(5, 9\)",
        ),
        (lambda: AdaptivePolyphasePool(padding="valid")(keras.Input((None, 1, 2))), "`padding`='valid' needs a map"),
        (
            lambda: depthwise.low_pass(np.ones((1, 4, 2, 1), "float32"), np.ones((3, 3, 1, 1)), padding="valid"),
            r"window of \(3, 3\) fits in",
        ),
        (lambda: AdaptivePolyphasePool(strides=1), "`strides` must be at least 2"),
        (lambda: AdaptivePolyphasePool(criterion="l0"), "`criterion` must be one of 'channel_l1'"),
        (lambda: layers.TimeMelPool("max_time"), "`mode` must be one of 'mean_mel_max_time'"),
        (lambda: build_pooling("mean_mel_max_time", 3), "needs `strides` that are its `pool_size`.* strides=2"),
        (lambda: build_pooling("mean_mel_max_time", padding="edge"), "and padding 'same'. Received: .*'edge'"),
        (lambda: layers.SpatialPadding(3, "valid"), "`padding` must be one of 'same', 'reflect'.*'valid'"),
        (lambda: layers.SpatialPadding(0), "`window_size` must be an integer of at least 1"),
        (lambda: layers.ClassScores(class_names=("a", "a")), "`class_names` must differ"),
        (lambda: layers.ClassScores(class_names=("a",))(np.zeros((1, 2))), "`class_names` must name the 2 classes"),
    ],
)
def test_errors_say_what_was_expected(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_classifier_names_the_axis_that_does_not_fit():
    vgg = models.VGG41(3, (101, 96), width=0.125)
    with pytest.raises(ValueError, match="axis 1 differs"):
        models.Classifier(layers.LogMelSpectrogram(16000), vgg, input_samples=16000)
