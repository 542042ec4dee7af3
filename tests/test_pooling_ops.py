"""The pooling operations against slow direct formulas in NumPy, values and gradients, on the current backend."""

import itertools

import keras
import numpy as np
import pytest
from harness import central_differences, slopes, spread
from keras import ops

from keras_audio_si.ops.adaptive_sampling import adaptive_sample
from keras_audio_si.ops.depthwise import low_pass
from keras_audio_si.ops.padding import PADDINGS, window_padding
from keras_audio_si.ops.polyphase import CRITERIA
from keras_audio_si.ops.pooling import average_pool, dense_average, dense_max

NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def padded(x, amounts, padding, value=0.0):
    widths = [(0, 0), *amounts, (0, 0)]
    if padding in NUMPY_MODES:
        return np.pad(x, widths, mode=NUMPY_MODES[padding])
    return np.pad(x, widths, constant_values=value)


def windows(x, window, strides):
    """(batch, out time, out mel, channels, window time, window mel), without padding."""
    view = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))
    return view[:, :: strides[0], :: strides[1]]


def direct_low_pass(x, taps, strides, padding):
    x = padded(x, window_padding(x.shape[1:3], taps.shape[:2], strides, padding), padding)
    return np.einsum("btfcij,ijc->btfc", windows(x, taps.shape[:2], strides), taps[..., 0])


def direct_max(x, window, padding):
    x = padded(x, window_padding(x.shape[1:3], window, (1, 1), padding), padding, -np.inf)
    return windows(x, window, (1, 1)).max(axis=(-1, -2))


def direct_sample(x, taps, window, strides, criterion, padding):
    y = direct_low_pass(direct_max(x, window, padding), taps, (1, 1), padding)
    rest = [(0, -n % s) for n, s in zip(y.shape[1:3], strides, strict=True)]
    if padding == "valid":
        y = y[:, : y.shape[1] // strides[0] * strides[0], : y.shape[2] // strides[1] * strides[1]]
    else:
        y = padded(y, rest, "reflect" if padding == "same" else padding)
    measure = {
        "channel_l1": lambda c: np.abs(c).sum(axis=(0, 1)).max(),
        "l1": lambda c: np.abs(c).sum(),
        "l2": lambda c: np.sqrt(np.square(c).sum()),
        "linf": lambda c: np.abs(c).max(),
        "variance": np.var,
    }[criterion]
    outputs, indices = [], []
    for example in y:
        components = [
            example[p % strides[0] :: strides[0], p // strides[0] :: strides[1]] for p in range(np.prod(strides))
        ]
        indices.append(int(np.argmax([measure(c) for c in components])))
        outputs.append(components[indices[-1]])
    return np.stack(outputs), np.array(indices)


def run_everywhere(function, *arrays):
    """Results of `function` called as is and compiled; on TensorFlow with XLA, without, and for any batch and time."""
    yield function(*[ops.convert_to_tensor(a) for a in arrays])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for jit in (True, False):
            yield tf.function(function, jit_compile=jit)(*[tf.constant(a) for a in arrays])
        yield run_any_size(function, *arrays)
    if keras.backend.backend() == "jax":
        import jax

        yield jax.jit(function)(*arrays)


def run_any_size(function, *arrays):
    """Results of `function` where batch and time are not known in advance, on TensorFlow."""
    import tensorflow as tf

    specs = [tf.TensorSpec(a.shape, a.dtype) for a in arrays]
    specs[0] = tf.TensorSpec((None, None, *arrays[0].shape[2:]), arrays[0].dtype)
    return tf.function(function, input_signature=specs)(*[tf.constant(a) for a in arrays])


def run_uncompiled(function, *arrays):
    """Results beside those of compiled programs; JAX compiles every operation of its own, which takes longest."""
    if keras.backend.backend() != "jax":
        yield function(*[ops.convert_to_tensor(a) for a in arrays])
    if keras.backend.backend() == "tensorflow":
        yield run_any_size(function, *arrays)


def signed_map(rng, time=9, mel=8, channels=3, batch=2):
    return rng.normal(size=(batch, time, mel, channels)).astype("float32")


def some_taps(rng, height, width, channels=3):
    taps = rng.uniform(0.1, 1.0, (height, width, channels, 1)).astype("float32")
    return taps / taps.sum(axis=(0, 1))


CASES = [
    # time, mel, window, strides, taps, paddings
    (8, 7, (2, 2), (2, 2), (3, 2), PADDINGS),
    (9, 8, (2, 2), (2, 2), (5, 5), ("same",)),
    (10, 7, (3, 2), (3, 2), (2, 3), ("same", "valid", "circular")),
    (11, 1, (2, 1), (2, 1), (5, 1), ("same", "edge")),
    (7, 9, (1, 3), (2, 4), (1, 3), ("reflect",)),
    (1, 2, (2, 2), (2, 4), (3, 3), ("same",)),  # Too short to be mirrored once.
    (1, 6, (2, 2), (2, 2), (3, 3), ("same",)),
]


@pytest.mark.parametrize(
    "time, mel, window, strides, taps, padding",
    [
        pytest.param(*case, padding, marks=[pytest.mark.slow] if padding != paddings[0] and case[0] != 8 else [])
        for *case, paddings in CASES
        for padding in paddings
    ],
)
def test_adaptive_sample_equals_the_direct_formula(rng, time, mel, window, strides, taps, padding):
    if padding == "circular":
        time, mel = -(-time // strides[0]) * strides[0], -(-mel // strides[1]) * strides[1]
    if padding == "valid":
        time, mel = time + 8, mel + (0 if mel == 1 else 8)
    x, taps = signed_map(rng, time, mel, batch=3), some_taps(rng, *taps)
    x[1] = np.abs(x[1])  # What is not negative takes another way.
    expected, indices = direct_sample(x, taps, window, strides, "channel_l1", padding)

    def run(x, taps):
        return adaptive_sample(x, strides, "channel_l1", taps, padding, dense=lambda x: dense_max(x, window, padding))

    def check(y, chosen):
        np.testing.assert_array_equal(chosen, indices)
        np.testing.assert_allclose(y, expected, atol=2e-6)

    for results in run_uncompiled(run, x, taps):
        check(*map(ops.convert_to_numpy, results))

    weights = rng.normal(size=expected.shape).astype("float32")
    found = slopes(run, x, taps, weights=weights, check=check)

    def value(x, taps):
        return (direct_sample(x, taps, window, strides, "channel_l1", padding)[0] * weights).sum()

    for position, (array, slope) in enumerate(zip((x, taps), found, strict=True)):
        places = spread(array.shape)
        pair = [x.astype("float64"), taps.astype("float64")]

        def of_one(moved, position=position, pair=pair):
            return value(*[moved if i == position else a for i, a in enumerate(pair)])

        expected_slopes = central_differences(of_one, array, places, 1e-6)
        np.testing.assert_allclose([slope[p] for p in places], expected_slopes, atol=1e-4)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_equals_the_direct_formula(rng, criterion):
    x, taps = np.abs(signed_map(rng, batch=6)), some_taps(rng, 3, 3)
    x[4:] = signed_map(rng, batch=2)

    for part, non_negative in ((x, False), (x[:4], False), (x[:4], True)):
        expected, indices = direct_sample(part, taps, (2, 2), (2, 2), criterion, "same")

        def run(x, taps, non_negative=non_negative):
            dense = lambda x: dense_max(x, (2, 2))  # noqa: E731
            return adaptive_sample(x, (2, 2), criterion, taps, dense=dense, non_negative=non_negative)

        for y, chosen in run_everywhere(run, part, taps):
            np.testing.assert_array_equal(ops.convert_to_numpy(chosen), indices)
            np.testing.assert_allclose(ops.convert_to_numpy(y), expected, atol=2e-6)


def test_given_indices_are_taken_and_none_for_no_filter(rng):
    x, indices = signed_map(rng, 8, 6, batch=4), np.array([3, 0, 2, 1], "int32")
    y, back = adaptive_sample(x, (2, 2), indices=indices)
    np.testing.assert_array_equal(ops.convert_to_numpy(back), indices)
    for example, p, original in zip(ops.convert_to_numpy(y), indices, x, strict=True):
        np.testing.assert_array_equal(example, original[p % 2 :: 2, p // 2 :: 2])


@pytest.mark.parametrize(
    "strides, padding",
    [
        *[((2, 2), padding) for padding in PADDINGS],
        ((1, 1), "same"),
        ((3, 2), "reflect"),
        ((6, 5), "edge"),
        *[
            pytest.param(strides, padding, marks=pytest.mark.slow)
            for strides, tested in (((1, 1), "same"), ((3, 2), "reflect"))
            for padding in PADDINGS
            if padding != tested
        ],
    ],
)
def test_low_pass_and_its_gradients(rng, padding, strides):
    x, taps = signed_map(rng, 13, 10), some_taps(rng, 5, 4)
    expected = direct_low_pass(x, taps, strides, padding)

    def run(x, taps):
        return (low_pass(x, taps, strides, padding),)

    def check(y):
        np.testing.assert_allclose(y, expected, atol=1e-6)

    for (y,) in run_uncompiled(run, x, taps):
        check(ops.convert_to_numpy(y))
    weights = rng.normal(size=expected.shape).astype("float32")
    found = slopes(run, x, taps, weights=weights, check=check)
    functions = (
        lambda moved: (direct_low_pass(moved, taps, strides, padding) * weights).sum(),
        lambda moved: (direct_low_pass(x, moved, strides, padding) * weights).sum(),
    )
    for array, slope, function in zip((x, taps), found, functions, strict=True):
        places = spread(array.shape)
        expected_slopes = central_differences(function, array, places)
        np.testing.assert_allclose([slope[p] for p in places], expected_slopes, atol=1e-4)


def test_the_first_of_equal_maxima_gets_the_gradient():
    if keras.backend.backend() == "torch":
        pytest.skip("torch keeps the gradient of its own max pooling")
    x = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 2.0]], "float32")[None, :, :, None]
    (found,) = slopes(lambda x: (dense_max(x, (2, 2), "valid"),), x)
    np.testing.assert_array_equal(found[0, :, :, 0], [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    "window, padding",
    [
        pytest.param(window, padding, marks=[] if window == (3, 3) or padding == "same" else pytest.mark.slow)
        for window, padding in itertools.product([(2, 2), (3, 3), (1, 4), (2, 1)], PADDINGS)
    ],
)
def test_dense_max_and_its_gradient(rng, window, padding):
    x = signed_map(rng, 9, 8)
    expected = direct_max(x, window, padding)

    def run(x):
        return (dense_max(x, window, padding),)

    def check(y):
        np.testing.assert_array_equal(y, expected)

    for (y,) in run_uncompiled(run, x):
        check(ops.convert_to_numpy(y))
    weights = rng.normal(size=expected.shape).astype("float32")
    (found,) = slopes(run, x, weights=weights, check=check)
    places = spread(x.shape, 60)
    expected_slopes = central_differences(lambda x: (direct_max(x, window, padding) * weights).sum(), x, places, 1e-6)
    np.testing.assert_allclose([found[p] for p in places], expected_slopes, atol=1e-4)


@pytest.mark.parametrize("window", [(1, 3), (3, 1), (4, 4)])
def test_average_pool_does_not_count_padding(rng, window):
    x = rng.normal(size=(2, 11, 7, 3)).astype("float32")
    view = windows(padded(x, window_padding(x.shape[1:3], window, window, "same"), "same", np.nan), window, window)
    found = ops.convert_to_numpy(average_pool(ops.convert_to_tensor(x), window, window, "same"))
    np.testing.assert_allclose(found, np.nanmean(view, axis=(4, 5)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window, padding", [((4, 3), "same"), ((2, 2), "same"), ((4, 1), "edge")])
def test_dense_average_does_not_count_padding(rng, window, padding):
    x = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    amounts = window_padding(x.shape[1:3], window, (1, 1), padding)
    view = windows(padded(x, amounts, padding, np.nan), window, (1, 1))
    found = ops.convert_to_numpy(dense_average(ops.convert_to_tensor(x), window, padding))
    np.testing.assert_allclose(found, np.nanmean(view, axis=(4, 5)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_chooses_as_float32_does(rng, dtype):
    x = ops.cast(signed_map(rng, batch=8), dtype)
    taps = some_taps(rng, 5, 5)
    y, chosen = adaptive_sample(x, (2, 2), "channel_l1", taps, dense=lambda x: dense_max(x, (2, 2)))
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    filtered = ops.convert_to_numpy(ops.cast(low_pass(dense_max(x, (2, 2)), taps), "float32"))
    _, expected = direct_sample(filtered, np.ones((1, 1, 3, 1)), (1, 1), (2, 2), "channel_l1", "same")
    np.testing.assert_array_equal(ops.convert_to_numpy(chosen), expected)


def test_an_example_does_not_depend_on_its_batch(rng):
    x, taps = np.abs(signed_map(rng, batch=5)), some_taps(rng, 5, 5)
    y, chosen = adaptive_sample(x, (2, 2), "channel_l1", taps)
    alone, index = adaptive_sample(x[2:3], (2, 2), "channel_l1", taps)
    np.testing.assert_array_equal(ops.convert_to_numpy(chosen)[2:3], ops.convert_to_numpy(index))
    np.testing.assert_allclose(ops.convert_to_numpy(y)[2:3], ops.convert_to_numpy(alone), atol=1e-6)
