import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_audio_si.layers import FreqMix, PhaseMix, TimeMix
from keras_audio_si.layers.mixing import MixUp


def compiled(function):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    pytest.skip("torch.compile is not part of the contract")


def batch(rng, shape=(6, 50), classes=4, dtype="float32"):
    labels = (rng.random((shape[0], classes)) < 0.4).astype("float32")
    return ops.cast(rng.normal(size=shape), dtype), ops.convert_to_tensor(labels)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 1.25, 5.0, 20.0])
def test_weights_are_beta_distributed(alpha):
    weight = ops.convert_to_numpy(MixUp(alpha, seed=3).draw(100_000)["weight"]).astype("float64")
    assert weight.min() >= 0 and weight.max() <= 1
    # float32 has no numbers between 1 - 6e-8 and 1, where a small alpha puts many; the lower half is exact.
    folded = np.where(weight > 0.5, np.float64(0.5), weight)
    law = stats.beta(alpha, alpha)
    test = stats.kstest(folded[folded < 0.5], lambda x: law.cdf(x) / 0.5)
    assert test.pvalue > 1e-3
    assert abs((weight > 0.5).mean() - 0.5) < 4 * 0.5 / np.sqrt(len(weight))
    upper = 1 - weight[weight > 0.5]
    assert (
        stats.kstest(upper[upper > 1e-4], lambda x: (law.cdf(x) - law.cdf(1e-4)) / (0.5 - law.cdf(1e-4))).pvalue > 1e-3
    )


@pytest.mark.parametrize("alpha", [0.1, 1.25, 20.0])
def test_quantiles_match_scipy(alpha):
    from keras_audio_si.layers.mixing import _LOGIT_LIMIT, _beta_logits

    table = _beta_logits(alpha).astype("float64")
    probability = 1 / (1 + np.exp(-np.linspace(-_LOGIT_LIMIT, _LOGIT_LIMIT, len(table))))
    np.testing.assert_allclose(1 / (1 + np.exp(-table)), stats.beta(alpha, alpha).ppf(probability), rtol=0, atol=1e-6)


def test_partners_are_a_permutation():
    mixing = MixUp(seed=0)
    draws = np.stack([ops.convert_to_numpy(mixing.draw(5)["partner"]) for _ in range(60)])
    assert (np.sort(draws, axis=1) == np.arange(5)).all()
    assert all(set(column) == set(range(5)) for column in draws.T)


@pytest.mark.parametrize("shape", [(6, 50), (6, 7, 5), (6, 7, 5, 2)])
@pytest.mark.parametrize("label_rule", ["convex", "union"])
def test_apply_is_the_formula(rng, shape, label_rule):
    x, y = batch(rng, shape)
    weight, partner = rng.random(6).astype("float32"), rng.permutation(6)
    mixed, labels = MixUp(label_rule=label_rule).apply((x, y), {"weight": weight, "partner": partner})
    x, y = ops.convert_to_numpy(x), ops.convert_to_numpy(y)
    for i in range(6):
        w, p = weight[i], partner[i]
        np.testing.assert_allclose(ops.convert_to_numpy(mixed[i]), w * x[i] + (1 - w) * x[p], atol=1e-6)
        expected = w * y[i] + (1 - w) * y[p] if label_rule == "convex" else np.maximum(y[i], y[p])
        np.testing.assert_allclose(ops.convert_to_numpy(labels[i]), expected, atol=1e-6)


def test_gain_aware_labels(rng):
    """A loud and a soft sound are mixed to the ratio of levels that the weight says, and by that go the labels."""
    loud, soft = (rng.normal(size=4000).astype("float32") * scale for scale in (0.5, 0.02))
    x, y = np.stack([loud, soft]), np.eye(2, dtype="float32")
    params = {"weight": np.float32([0.8, 0.8]), "partner": np.array([1, 0])}
    layer = MixUp(gain_aware=True, labels_by="loudness")
    mixed, labels = (ops.convert_to_numpy(part) for part in layer.apply((x, y), params))
    np.testing.assert_allclose(labels, [[0.8, 0.2], [0.2, 0.8]], atol=1e-6)
    for example, share in zip(mixed, (4.0, 1 / 4), strict=True):
        parts, *_ = np.linalg.lstsq(x.T.astype("float64"), example.astype("float64"), rcond=None)
        levels = np.abs(parts) * np.sqrt((x.astype("float64") ** 2).mean(axis=1))
        assert levels[0] / levels[1] == pytest.approx(share, rel=1e-3)
    _, released = MixUp(gain_aware=True).apply((x, y), params)
    assert float(ops.convert_to_numpy(released)[0, 0]) < 0.2  # The amplitude of the louder one.
    with pytest.raises(ValueError, match="labels_by"):
        MixUp(labels_by="energy")


def test_call_draws_and_applies(rng):
    x, y = batch(rng)
    one, two = MixUp(seed=5), MixUp(seed=5)
    expected = one.apply((x, y), one.draw(6))
    for value, want in zip(two((x, y), training=True), expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), ops.convert_to_numpy(want))
    again = two((x, y), training=True)
    assert np.abs(ops.convert_to_numpy(again[0] - expected[0])).max() > 1e-3


SOME = [
    lambda **rest: MixUp(10.0, **rest),
    lambda **rest: MixUp(10.0, "union", gain_aware=True, **rest),
    lambda **rest: TimeMix((0.2, 0.8), **rest),
    lambda **rest: FreqMix(8000, (0.2, 0.8), sizes=[(32, 8)], **rest),
    lambda **rest: PhaseMix(8000, (0.2, 0.8), sizes=[(32, 8)], **rest),
]


@pytest.mark.parametrize("build", SOME)
def test_some_are_left_alone(rng, build):
    x, y = batch(rng, (400, 50))
    mixed, labels = build(seed=1, probability=0.25)((x, y), training=True)
    same = (ops.convert_to_numpy(mixed) == ops.convert_to_numpy(x)).all(axis=1)
    assert 0.65 < same.mean() < 0.85
    np.testing.assert_array_equal(ops.convert_to_numpy(labels)[same], ops.convert_to_numpy(y)[same])


@pytest.mark.parametrize("build", SOME)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_is(rng, build, value):
    """In its own example, which is not mixed; the others become what they are without it."""
    x, y = (ops.convert_to_numpy(part) for part in batch(rng, (6, 50)))
    layer = build(seed=2)
    params = {name: ops.convert_to_numpy(drawn) for name, drawn in layer.draw(6).items()}
    params["partner"] = np.array([1, 2, 3, 4, 5, 0])
    mixed, labels = (ops.convert_to_numpy(part) for part in layer.apply((x, y), params))
    assert np.isfinite(mixed).all() and (np.abs(mixed - x).max(axis=1) > 1e-3).all()
    broken = x.copy()
    broken[2, 10] = value
    got, got_labels = (ops.convert_to_numpy(part) for part in layer.apply((broken, y), params))
    left_alone = [1, 2]  # The one before it has it for a partner.
    np.testing.assert_array_equal(got[left_alone], broken[left_alone])
    np.testing.assert_array_equal(got_labels[left_alone], y[left_alone])
    others = [0, 3, 4, 5]
    np.testing.assert_allclose(got[others], mixed[others], atol=1e-6)
    np.testing.assert_array_equal(got_labels[others], labels[others])


def test_identity_outside_training(rng):
    x, y = batch(rng)
    for training in (False, None):
        for value, same in zip(MixUp()((x, y), training=training), (x, y), strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(value), ops.convert_to_numpy(same))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float32"])
def test_dtypes_are_kept(rng, dtype):
    mixing = MixUp(seed=0, dtype=dtype)
    for given in ("float32", "bfloat16"):
        x, y = mixing(batch(rng, dtype=given), training=True)
        assert (keras.backend.standardize_dtype(x.dtype), keras.backend.standardize_dtype(y.dtype)) == (
            given,
            "float32",
        )


@pytest.mark.parametrize("batch_size", [1, 6])
def test_compiles(rng, batch_size):
    mixing = MixUp(alpha=0.5, seed=0)
    x, y = batch(rng, (batch_size, 20))

    # The draws are made outside of JAX's function, which may not change the generator's state.
    if keras.backend.backend() == "jax":

        def step(x, y, seed):
            (mixed, _), state = mixing.stateless_call([], [seed], (x, y), training=True)
            return mixed, state

        mixed, state = compiled(step)(x, y, mixing.non_trainable_variables[0].value)
        assert not np.array_equal(state[0], mixing.non_trainable_variables[0].value)
    else:
        mixed, _ = compiled(lambda x, y: mixing((x, y), training=True))(x, y)
    assert tuple(mixed.shape) == (batch_size, 20) and np.isfinite(ops.convert_to_numpy(mixed)).all()


def test_batch_size_may_be_unknown():
    x, y = MixUp()((keras.Input((50,)), keras.Input((4,))), training=True)
    assert (x.shape, y.shape) == ((None, 50), (None, 4))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        mixing = MixUp(seed=0)
        signature = [tf.TensorSpec((None, 8)), tf.TensorSpec((None, 3))]
        for jit_compile in (False, True):
            function = tf.function(lambda x, y: mixing((x, y), training=True), signature, jit_compile=jit_compile)
            assert function(tf.ones((5, 8)), tf.ones((5, 3)))[0].shape == (5, 8)


def test_wrong_arguments():
    for alpha in (0, -1.0, float("nan"), float("inf"), "1"):
        with pytest.raises(ValueError, match=r"`alpha` must be in \(0, inf\). Received: alpha="):
            MixUp(alpha)
    with pytest.raises(ValueError, match=r"`probability` must be in \(0, 1\]. Received: probability=0"):
        MixUp(probability=0)
    with pytest.raises(ValueError, match="`label_rule` must be one of"):
        MixUp(label_rule="both")
    x = np.zeros((4, 10), "float32")
    with pytest.raises(ValueError, match="must be a pair"):
        MixUp()(x, training=True)
    with pytest.raises(TypeError, match="labels must be floating point.*int32.*one-hot"):
        MixUp()((x, np.zeros(4, "int32")), training=True)
    with pytest.raises(TypeError, match="inputs must be floating point.*int16"):
        MixUp()((np.zeros((4, 10), "int16"), x), training=True)
    with pytest.raises(ValueError, match="as many examples. Received: 4 and 3"):
        MixUp()((x, np.zeros((3, 2), "float32")), training=True)


def test_config_round_trip():
    layer = keras.layers.deserialize(keras.layers.serialize(MixUp(0.3, "union", seed=7, name="mine")))
    assert (layer.alpha, layer.label_rule, layer.seed, layer.name) == (0.3, "union", 7, "mine")
