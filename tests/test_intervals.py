"""Bootstrap over recordings: against scikit-learn on resampled clips, NumPy's quantiles and slow counts."""

import math

import numpy as np
import pytest
import sklearn.metrics

from keras_audio_si.evaluation.clips import ClipScores, score_clips
from keras_audio_si.evaluation.comparison import compare_results
from keras_audio_si.evaluation.intervals import (
    Interval,
    average_precisions,
    bootstrap,
    centred,
    resample_counts,
    two_sided_p,
    units_of,
)

pytestmark = pytest.mark.once
NAMES = ("dog", "rain", "wind")


def made_up(rng, num_clips=40, decimals=8, noise=1.0, first=0, names=NAMES):
    """Clips with one label each, whose scores are right more often than not."""
    targets = np.eye(len(names), dtype="float32")[rng.integers(len(names), size=num_clips)]
    scores = (targets + noise * rng.uniform(size=targets.shape)).round(decimals) / 3
    return ClipScores(tuple(f"{first + i}.wav" for i in range(num_clips)), scores, targets, names)


@pytest.mark.parametrize("decimals", [1, 8])  # With one decimal many scores are equal.
def test_average_precision_of_resamples_is_that_of_scikit_learn_on_repeated_clips(rng, decimals):
    clips = made_up(rng, decimals=decimals)
    counts = resample_counts(np.zeros(40, int), np.arange(40), resamples=6, seed=3)
    found = average_precisions(clips.targets > 0.5, clips.scores, counts)
    for column, values in zip(counts.T, found, strict=True):
        repeated = np.repeat(np.arange(40), column.astype(int))
        for number in range(3):
            targets, scores = clips.targets[repeated, number], clips.scores[repeated, number]
            assert values[number] == pytest.approx(sklearn.metrics.average_precision_score(targets, scores), abs=1e-12)


def test_without_a_positive_clip_it_is_not_defined():
    targets, scores = np.array([[True, False], [False, False]]), np.array([[0.9, 0.9], [0.1, 0.1]])
    found = average_precisions(targets, scores, np.array([[1, 0], [1, 2]], "float32"))
    np.testing.assert_array_equal(found, [[1.0, np.nan], [np.nan, np.nan]])


def test_blocks_make_no_difference(rng, monkeypatch):
    clips, counts = made_up(rng), resample_counts(np.zeros(40, int), np.arange(40), 9)
    whole = average_precisions(clips.targets > 0.5, clips.scores, counts)
    monkeypatch.setattr("keras_audio_si.evaluation.intervals._BLOCK", 100)
    np.testing.assert_array_equal(average_precisions(clips.targets > 0.5, clips.scores, counts), whole)


def test_resamples_keep_the_size_of_strata():
    strata = np.array([0, 1, 0, 1, 1, 2])
    counts = resample_counts(strata, np.arange(6), 200, seed=1)
    assert (counts[:, 0] == 1).all()
    for stratum, size in enumerate((2, 3, 1)):
        assert (counts[strata == stratum].sum(axis=0) == size).all()
    # Each clip comes once on average: a binomial deviation of the mean of 200 is 0.06.
    np.testing.assert_allclose(counts[:, 1:].mean(axis=1), 1, atol=0.25)
    assert (counts == resample_counts(strata, np.arange(6), 200, seed=1)).all()
    assert (counts != resample_counts(strata, np.arange(6), 200, seed=2)).any()


@pytest.mark.parametrize("size", [1, 4])
def test_metrics_are_those_of_the_evaluation_and_of_repeated_clips(rng, size):
    clips = made_up(rng, noise=2.0)
    clips = clips._replace(groups=tuple(f"recording {i // size}" for i in range(40)))
    found, evaluation = bootstrap([clips], resamples=2, seed=4), score_clips(clips)
    assert found.mean_precision[0] == pytest.approx(evaluation.mAP, abs=1e-6)
    assert found.accuracy[0] == evaluation.accuracy
    np.testing.assert_allclose(found.per_class[0], evaluation.per_class, atol=1e-6)
    ids, *units = units_of([clips])
    counts = resample_counts(*units, 2, seed=4)
    for column in range(3):
        repeated = [clips.clip_ids.index(name) for name in np.repeat(ids, counts[:, column].astype(int))]
        assert len({repeated.count(i) for i in range(size)}) == 1  # Clips of one recording come together.
        one = score_clips(ClipScores(tuple(repeated), clips.scores[repeated], clips.targets[repeated], NAMES))
        assert found.mean_precision[column] == pytest.approx(one.mAP, abs=1e-6)
        assert found.accuracy[column] == pytest.approx(one.accuracy, abs=1e-12)


def test_metrics_of_folds_and_seeds_are_averaged(rng):
    runs = [made_up(rng, 20, first=first, noise=2.0) for first in (0, 0, 20, 20)]
    runs[1], runs[3] = (runs[i]._replace(targets=runs[i - 1].targets) for i in (1, 3))
    single = [score_clips(run) for run in runs]
    found = bootstrap(runs, resamples=3)
    assert found.mean_precision[0] == pytest.approx(np.mean([one.mAP for one in single]), abs=1e-6)
    assert found.accuracy[0] == pytest.approx(np.mean([one.accuracy for one in single]), abs=1e-12)
    np.testing.assert_allclose(found.per_class[0], np.mean([one.per_class for one in single], axis=0), atol=1e-6)


def test_the_order_of_clips_makes_no_difference(rng):
    clips, order = made_up(rng), rng.permutation(40)
    shuffled = ClipScores(
        tuple(clips.clip_ids[i] for i in order), clips.scores[order], clips.targets[order], clips.class_names
    )
    for one, other in zip(bootstrap([clips], 7), bootstrap([shuffled], 7), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_interval_is_of_percentiles_around_the_value(rng):
    values = np.append(0.5, rng.uniform(size=1001) / 4)
    values[7] = np.nan
    bias = np.nanmean(values[1:]) - 0.5
    low, high = np.nanpercentile(values[1:], [2.5, 97.5]) - bias
    assert Interval.of(values) == pytest.approx((0.5, low, high), abs=1e-12)
    assert Interval.of(values, within=(0.45, 0.5)) == (0.5, 0.45, 0.5)
    value, low, high = Interval.of(np.full(4, np.nan))
    assert math.isnan(value) and math.isnan(low) and math.isnan(high)


def test_coverage_of_mean_average_precision():
    """Of 40 data sets about 95 % have an interval with what as many clips have on average; 31 without a correction."""
    rng, shape, inside = np.random.default_rng(8), (400, 50), 0
    ids, names = (tuple(map(str, range(size))) for size in shape)

    def drawn():
        targets = np.eye(shape[1], dtype="float32")[rng.integers(shape[1], size=shape[0])]
        return ClipScores(ids, 2 * targets + rng.normal(size=shape), targets, names)

    def precision(clips):
        return np.nanmean(average_precisions(clips.targets > 0.5, clips.scores, np.ones((400, 1), "float32")))

    expected = np.mean([precision(drawn()) for _ in range(100)])
    for _ in range(40):
        value, low, high = Interval.of(bootstrap([drawn()], 200).mean_precision)
        assert low < value < high
        inside += low <= expected <= high
    assert 35 <= inside < 40


def test_resamples_without_a_difference_stay_without():
    """Where results differ for few clips, moving all resamples would make 28 of these 120 differences significant."""
    rng, significant = np.random.default_rng(7), 0
    for _ in range(60):
        one = made_up(rng, 60, noise=3.0)
        again = (rng.uniform(size=60) < 0.04)[:, None]
        other = one._replace(scores=np.where(again, one.targets / 3 + rng.uniform(size=(60, 3)), one.scores))
        for compared in compare_results({"a": [one], "b": [other]}, 200).metrics["b"].values():
            interval, p = compared.difference
            significant += p < 0.05
            assert (interval.low <= 0 <= interval.high) or p < 0.06
    assert significant <= 6


def test_p_is_counted(rng):
    for shift in (-2, -0.3, 0, 0.3, 2):
        draws = rng.normal(size=99).round(1) + shift
        below, above = sum(d <= 0 for d in draws), sum(d >= 0 for d in draws)
        assert two_sided_p(draws) == pytest.approx(min(1, 2 * min(below + 1, above + 1) / 100))
    assert two_sided_p(np.ones(999)) == 0.002 and two_sided_p(np.zeros(9)) == 1
    assert math.isnan(two_sided_p(np.array([np.nan])))


@pytest.mark.parametrize("of_recording", [1, 8])
def test_coverage_of_a_known_accuracy(of_recording):
    """Of 60 data sets of 50 recordings, about 95 % have an interval with the accuracy that they were drawn by.

    All clips of a recording are right, or none. By clips alone the intervals would be too narrow.
    """
    rng, num_clips = np.random.default_rng(5), 50 * of_recording
    inside = dict.fromkeys(("recordings", "clips"), 0)
    for _ in range(60):
        targets = np.eye(2, dtype="float32")[rng.integers(2, size=num_clips)]
        right = (rng.uniform(size=50) < 0.7).repeat(of_recording)
        scores = np.where(right[:, None], targets, 1 - targets)
        ids = tuple(f"{i:03}" for i in range(num_clips))
        groups = {"recordings": tuple(f"{i // of_recording}" for i in range(num_clips)), "clips": ()}
        for unit in inside:
            clips = ClipScores(ids, scores, targets, ("a", "b"), groups[unit])
            _, low, high = Interval.of(bootstrap([clips], 200).accuracy)
            inside[unit] += low <= 0.7 <= high
    assert 51 <= inside["recordings"] < 60
    assert (inside["clips"] < 40) == (of_recording > 1)


class TestErrors:
    def test_scores_that_are_not_finite(self, rng):
        clips = made_up(rng)
        clips.scores[3, 1] = np.nan
        with pytest.raises(ValueError, match="Scores must be finite. Those of clip '3.wav' are not"):
            bootstrap([clips])

    def test_runs_of_different_classes(self, rng):
        with pytest.raises(ValueError, match="must have the same classes"):
            bootstrap([made_up(rng), made_up(rng, names=("dog", "wind", "rain"))])


class TestCompare:
    def test_differences_are_paired(self, rng):
        first = made_up(rng, 60, noise=2.0)
        second = first._replace(scores=first.scores + 0.1 * first.targets)
        compared = compare_results({"a": [first], "b": [second]}, resamples=200)
        draws = [bootstrap([clips], 200) for clips in (first, second)]
        difference = compared.metrics["b"]["mAP"].difference
        by_hand = draws[1].mean_precision - draws[0].mean_precision
        assert difference.interval.value == pytest.approx(by_hand[0])
        assert difference.interval[1:] == pytest.approx(tuple(np.percentile(centred(by_hand), [2.5, 97.5])))
        assert centred(by_hand).mean() == pytest.approx(by_hand[0])
        # Pairs make the interval of the difference narrower than those of the two.
        own = compared.metrics["a"]["mAP"].interval
        assert difference.interval.high - difference.interval.low < 0.7 * (own.high - own.low)
        assert compared.metrics["a"]["mAP"].difference is None
        assert difference.p == two_sided_p(centred(by_hand)) < 0.05

    def test_equal_results_have_no_difference(self, rng):
        clips = made_up(rng)
        compared = compare_results({"a": [clips], "b": [clips]}, resamples=50).metrics["b"]["accuracy"]
        assert compared.difference == (Interval(0, 0, 0), 1.0)

    def test_clips_without_a_label_are_in_no_accuracy(self, rng):
        clips = made_up(rng, 40)
        targets = np.concatenate([clips.targets[:30], np.zeros_like(clips.targets[:10])])
        labelled = clips._replace(clip_ids=clips.clip_ids[:30], scores=clips.scores[:30], targets=targets[:30])
        accuracy = [bootstrap([part], 20).accuracy for part in (clips._replace(targets=targets), labelled)]
        assert accuracy[0][0] == accuracy[1][0] and np.isfinite(accuracy[0]).all()

    def test_another_number_of_seeds(self, rng):
        folds = [made_up(rng, 20, first=first) for first in (0, 20)]
        again = [fold._replace(scores=fold.scores[::-1]) for fold in folds]
        compared = compare_results({"one": folds, "two": [*again, *folds]}, resamples=20)
        assert compared.runs == {"one": 2, "two": 4} and compared.num_clips == 40
        with pytest.raises(ValueError, match="'two' has more runs on some folds than on others"):
            compare_results({"one": folds, "two": [again[0], *folds]}, resamples=20)

    def test_p_values_where_there_is_no_difference(self):
        """They are below 0.2 in about a fifth of the cases."""
        rng, small = np.random.default_rng(6), 0
        for _ in range(40):
            one = made_up(rng, 50, noise=3.0)
            other = one._replace(scores=one.targets / 3 + rng.uniform(size=one.targets.shape))
            small += compare_results({"a": [one], "b": [other]}, 100).metrics["b"]["accuracy"].difference.p < 0.2
        assert small <= 16

    def test_what_differs_is_named(self, rng):
        clips = made_up(rng)
        shorter = clips._replace(
            clip_ids=(*clips.clip_ids[:-2], "x.wav"), scores=clips.scores[:-1], targets=clips.targets[:-1]
        )
        message = "different clips, 40 and 39; only in 'a': '38.wav', '39.wav'; only in 'b': 'x.wav'"
        with pytest.raises(ValueError, match=message):
            compare_results({"a": [clips], "b": [shorter]})
        with pytest.raises(ValueError, match="only in 'a': 'wind'; only in 'b': 'cat'"):
            compare_results({"a": [clips], "b": [clips._replace(class_names=("dog", "rain", "cat"))]})
        with pytest.raises(ValueError, match="different classes, in another order"):
            compare_results({"a": [clips], "b": [clips._replace(class_names=("rain", "dog", "wind"))]})
        relabelled = clips._replace(targets=1 - clips.targets)
        with pytest.raises(ValueError, match="different labels for the clips '0.wav', '1.wav', '2.wav' and 37 more"):
            compare_results({"a": [clips], "b": [relabelled]})
        halves = [
            ClipScores(clips.clip_ids[part], clips.scores[part], clips.targets[part], NAMES)
            for part in (slice(20), slice(20, 40))
        ]
        with pytest.raises(ValueError, match="same clips in different folds"):
            compare_results({"a": [clips], "b": halves})
        with pytest.raises(ValueError, match="different groups for the same clips"):
            compare_results({"a": [clips], "b": [clips._replace(groups=("one",) * 40)]})
        with pytest.raises(ValueError, match="At least two results are needed. Received: a"):
            compare_results({"a": [clips]})
