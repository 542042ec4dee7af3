import numpy as np
import pytest
from keras import ops
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_audio_si.ops.ranking import average_precision, d_prime, roc_auc

METRICS = {
    "average_precision": (average_precision, average_precision_score),
    "roc_auc": (roc_auc, roc_auc_score),
}


def example(rng, size, classes, levels=None, positive=0.3):
    targets = (rng.random((size, classes)) < positive).astype("float32")
    scores = rng.normal(size=(size, classes)) + targets
    if levels:
        scores = np.round(scores * levels) / levels
    return targets, scores.astype("float32")


def reference(function, targets, scores):
    values = []
    for target, score in zip(targets.T, scores.T, strict=True):
        defined = target.any() and (function is average_precision_score or not target.all())
        values.append(function(target, score) if defined else np.nan)
    return np.array(values)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size, levels", [(1, None), (2, 1), (7, 1), (500, 3), (500, None), (30000, 50)])
def test_equals_scikit_learn(rng, name, size, levels):
    function, sklearn_function = METRICS[name]
    targets, scores = example(rng, size, 6, levels)
    values = ops.convert_to_numpy(function(targets, scores))
    np.testing.assert_allclose(values, reference(sklearn_function, targets, scores), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_all_scores_equal(name):
    function, sklearn_function = METRICS[name]
    targets = np.array([[1, 0], [0, 0], [0, 1], [0, 1]], "float32")
    scores = np.full((4, 2), 0.5, "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(function(targets, scores)),
        reference(sklearn_function, targets, scores),
        atol=1e-7,
    )


@pytest.mark.parametrize("name", METRICS)
def test_extreme_scores_and_negative_zero(rng, name):
    function, sklearn_function = METRICS[name]
    targets, _ = example(rng, 60, 4)
    scores = rng.choice(np.array([-np.inf, -1e30, -0.0, 0.0, 1e-30, np.inf], "float32"), (60, 4))
    finite = np.where(np.isinf(scores), np.sign(scores) * 2e30, scores)  # scikit-learn takes no infinite scores
    np.testing.assert_allclose(
        ops.convert_to_numpy(function(targets, scores)),
        reference(sklearn_function, targets, finite),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", METRICS)
def test_rows_that_are_not_valid_do_not_count(rng, name):
    function, _ = METRICS[name]
    targets, scores = example(rng, 40, 3, levels=2)
    scores[5] = -np.inf  # ties with whatever stands in for the rows that do not count
    valid = np.arange(40) % 5 < 3
    expected = ops.convert_to_numpy(function(targets[valid], scores[valid]))
    targets[~valid], scores[~valid] = 1, np.nan
    values = ops.convert_to_numpy(function(targets, scores, valid))
    np.testing.assert_allclose(values, expected, atol=1e-7)


def test_classes_that_are_not_defined_are_nan(rng):
    targets, scores = example(rng, 20, 3)
    targets[:, 1], targets[:, 2] = 0, 1
    precision, auc = (ops.convert_to_numpy(f(targets, scores)) for f in (average_precision, roc_auc))
    assert np.isnan(precision).tolist() == [False, True, False]
    assert np.isnan(auc).tolist() == [False, True, True]
    assert np.isnan(ops.convert_to_numpy(average_precision(targets, scores, np.zeros(20)))).all()


@pytest.mark.parametrize("name", METRICS)
def test_nan_scores_give_nan(rng, name):
    targets, scores = example(rng, 20, 3)
    scores[4, 1] = np.nan
    assert np.isnan(ops.convert_to_numpy(METRICS[name][0](targets, scores))).tolist() == [False, True, False]


@pytest.mark.parametrize("name", METRICS)
def test_order_of_the_examples_does_not_matter(rng, name):
    function, _ = METRICS[name]
    targets, scores = example(rng, 101, 4, levels=2)
    order = rng.permutation(101)
    np.testing.assert_allclose(
        ops.convert_to_numpy(function(targets, scores)),
        ops.convert_to_numpy(function(targets[order], scores[order])),
        atol=1e-7,
    )


def test_d_prime(rng):
    auc = np.array([0.03, 0.2, 0.5, 0.6, 0.9, 0.97], "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(d_prime(auc)), np.sqrt(2) * norm.ppf(auc.astype("float64")), rtol=0, atol=1e-6
    )
    assert float(d_prime(1.0)) == np.inf


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"`targets` and `scores`.*\(4, 3\) and \(4, 2\)"):
        average_precision(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"`targets` and `scores`.*\(4,\)"):
        roc_auc(np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match=r"`valid` must be \(4,\).*\(3,\)"):
        roc_auc(np.zeros((4, 3)), np.zeros((4, 3)), np.ones(3))
