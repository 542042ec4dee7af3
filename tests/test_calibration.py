"""Reliability and precision-recall curves against scikit-learn, and the calibration error against a slow formula."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from keras_audio_si.evaluation.calibration import reliability
from keras_audio_si.evaluation.curves import precision_recall

pytestmark = pytest.mark.once


@pytest.fixture
def made_up(rng):
    scores = rng.dirichlet(np.ones(4), size=200)
    scores[:8] = scores[:8].round(1)  # Some lie on the edges of bins.
    return np.eye(4)[rng.integers(4, size=200)], scores


@pytest.mark.parametrize("bins", [5, 10])
def test_bins_are_those_of_scikit_learn(made_up, bins):
    targets, scores = made_up
    top = scores.argmax(axis=1)
    flat = {
        True: (targets[np.arange(200), top], scores.max(axis=1)),
        False: (targets.ravel(), scores.ravel()),
    }
    for single_label, (right, confidence) in flat.items():
        found = reliability(targets, scores, single_label, bins)
        expected = sklearn.calibration.calibration_curve(right, confidence, n_bins=bins)
        known = found.counts > 0
        np.testing.assert_allclose(found.observed[known], expected[0], atol=1e-12)
        np.testing.assert_allclose(found.confidence[known], expected[1], atol=1e-12)
        assert found.counts.sum() == len(right)


def test_error_is_the_mean_gap(made_up):
    targets, scores = made_up
    error, total = 0.0, 0
    for low in np.arange(10) / 10:
        members = [
            (score, target)
            for score, target in zip(scores.ravel(), targets.ravel(), strict=True)
            if low < score <= low + 0.1 or (low == 0 and score == 0)
        ]
        if members:
            error += abs(sum(score - target for score, target in members))
        total += len(members)
    assert total == 800
    assert reliability(targets, scores, single_label=False).error == pytest.approx(error / 800, abs=1e-12)


def test_calibrated_scores_have_a_small_error(rng):
    scores = rng.uniform(size=(20000, 1))
    assert reliability(rng.uniform(size=(20000, 1)) < scores, scores, single_label=False).error < 0.02
    assert reliability(np.ones((9, 1)), np.full((9, 1), 0.25), single_label=False).error == 0.75


def test_scores_that_are_no_probabilities():
    with pytest.raises(ValueError, match="`scores` must be probabilities. Received: from -1 to 2"):
        reliability([[1, 0]], [[2.0, -1.0]], single_label=False)


@pytest.mark.parametrize("decimals", [1, 8])
def test_curve_is_that_of_scikit_learn(rng, decimals):
    targets = rng.uniform(size=50) < 0.3
    scores = (0.3 * targets + rng.uniform(size=50)).round(decimals)
    recall, precision = precision_recall(targets, scores)
    area = (np.diff(recall, prepend=0) * precision).sum()
    assert area == pytest.approx(sklearn.metrics.average_precision_score(targets, scores), abs=1e-12)
    expected = sklearn.metrics.precision_recall_curve(targets, scores)
    points = {(round(p, 9), round(r, 9)) for p, r in zip(*expected[:2], strict=True)}
    assert {(round(p, 9), round(r, 9)) for p, r in zip(precision, recall, strict=True)} <= points
    with pytest.raises(ValueError, match="at least one clip"):
        precision_recall(np.zeros(3), np.ones(3))
