"""Onsets that are matched within a tolerance, compared with SciPy's matching of bipartite graphs."""

import numpy as np
import pytest
import scipy.sparse

from keras_audio_si.evaluation.onsets import OnsetScores, match_onsets, onset_scores
from keras_audio_si.inference.events import Event

pytestmark = pytest.mark.once


@pytest.mark.parametrize("true, found", [(30, 40), (40, 30), (50, 5), (0, 4), (4, 0), (60, 60)])
@pytest.mark.parametrize("tolerance", [0.05, 0.2, 1.0])
def test_there_are_as_many_pairs_as_there_can_be(rng, true, found, tolerance):
    for _ in range(5):
        a, b = rng.uniform(0, 10, true), rng.uniform(0, 10, found)
        pairs = match_onsets(a, b, tolerance)
        assert all(abs(a[i] - b[j]) <= tolerance + 1e-9 for i, j in pairs)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
        graph = scipy.sparse.csr_matrix(np.abs(a[:, None] - b) <= tolerance)
        wanted = (scipy.sparse.csgraph.maximum_bipartite_matching(graph) >= 0).sum() if true and found else 0
        assert len(pairs) == wanted


def test_differences_of_the_tolerance_count():
    assert match_onsets([1.0, 4.0], [1.2, 3.8], 0.2) == [(0, 0), (1, 1)]
    assert match_onsets([1.0], [1.201], 0.2) == []


def test_scores_of_classes(rng):
    names = ["dog", "rain", "sea"]
    true = [(float(t), names[k]) for t, k in zip(rng.uniform(0, 20, 50), rng.integers(0, 3, 50), strict=True)]
    found = [
        Event(t, t + 1, names[k], 0.5) for t, k in zip(rng.uniform(0, 20, 40), rng.integers(0, 3, 40), strict=True)
    ]
    scores = onset_scores(true, found, names, 0.3)
    for name in names:
        onsets = [t for t, label in true if label == name], [e.onset for e in found if e.class_name == name]
        assert scores[name] == (len(onsets[0]), len(onsets[1]), len(match_onsets(*onsets, 0.3)))
    assert scores["all"] == tuple(np.sum([scores[name] for name in names], axis=0))
    onsets = [t for t, _ in true], [event.onset for event in found]
    assert scores["any class"].matched == len(match_onsets(*onsets, 0.3)) > scores["all"].matched


def test_shares():
    scores = OnsetScores(true=8, found=4, matched=3)
    assert (scores.precision, scores.recall) == (0.75, 0.375)
    assert scores.f1 == pytest.approx(2 / (1 / 0.75 + 1 / 0.375))
    assert np.isnan([OnsetScores(0, 0, 0).f1, OnsetScores(0, 1, 0).recall, OnsetScores(1, 0, 0).precision]).all()
    assert OnsetScores(0, 1, 0).f1 == 0
