import gc
import math
import weakref

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.evaluation.clips import (
    ClipScores,
    average_over_clips,
    evaluate_clips,
    predict_batches,
    score_clips,
)


def clip_scores(scores, targets):
    classes = tuple(f"class-{i}" for i in range(np.shape(scores)[1]))
    return ClipScores(tuple(map(str, range(len(scores)))), np.asarray(scores), np.asarray(targets), classes)


class ShapeRecorder(keras.layers.Layer):
    """Notes the batch sizes that it is traced with (or called with, where nothing is traced)."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x):
        self.seen.append(x.shape[0])
        return x


def linear_model(length, weights, recorder=None):
    inputs = keras.Input((length,))
    hidden = recorder(inputs) if recorder else inputs
    outputs = keras.layers.Dense(weights.shape[1], activation="sigmoid", use_bias=False)(hidden)
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights([weights])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype("float64")))


class TestPredictBatches:
    @pytest.mark.parametrize("examples, batch_size", [(11, 4), (8, 4), (3, 4), (1, 1)])
    def test_scores_of_every_example_once(self, rng, examples, batch_size):
        weights = rng.standard_normal((5, 3)).astype("float32")
        x = rng.standard_normal((examples, 5)).astype("float32")
        batches = (x[i : i + batch_size] for i in range(0, examples, batch_size))
        scores = predict_batches(linear_model(5, weights), batches, examples, batch_size)
        np.testing.assert_allclose(scores, sigmoid(x @ weights), atol=1e-6)

    def test_every_batch_has_the_same_shape(self, rng):
        recorder = ShapeRecorder()
        model = linear_model(5, np.ones((5, 2), "float32"), recorder)
        recorder.seen.clear()
        x = rng.standard_normal((11, 5)).astype("float32")
        predict_batches(model, (x[i : i + 4] for i in range(0, 11, 4)), 11, 4)
        assert set(recorder.seen) <= {4, None}

    def test_no_batch_stays_in_memory(self):
        """A training of hundreds of epochs predicts the validation patches after each."""
        model, seen = linear_model(5, np.ones((5, 2), "float32")), []

        def batches():
            for _ in range(3):
                batch = np.zeros((4, 5), "float32")
                seen.append(weakref.ref(batch))
                yield batch

        predict_batches(model, batches(), 12, 4)
        gc.collect()
        assert [batch() for batch in seen] == [None] * 3

    def test_fewer_batches_than_announced(self):
        model = linear_model(5, np.ones((5, 2), "float32"))
        with pytest.raises(ValueError, match="11 examples in 3 batches of 4, but ended after 2"):
            predict_batches(model, (np.zeros((4, 5), "float32") for _ in range(2)), 11, 4)

    def test_nothing_to_predict(self):
        with pytest.raises(ValueError, match="at least 1"):
            predict_batches(linear_model(5, np.ones((5, 2), "float32")), [], 0, 4)


class TestAverageOverClips:
    def test_equals_a_loop(self, rng):
        patch_clip = np.array([2, 0, 1, 2, 2, 1, 0])
        scores = rng.random((7, 4)).astype("float32")
        expected = [
            [np.mean([float(scores[p, c]) for p in range(7) if patch_clip[p] == clip]) for c in range(4)]
            for clip in range(3)
        ]
        np.testing.assert_allclose(average_over_clips(scores, patch_clip, 3), expected, rtol=1e-15)

    def test_is_float64(self):
        # In float32 the sum of these is 2**24, and the mean a quarter off.
        scores = np.array([[2.0**24], [1.0]], "float32")
        assert average_over_clips(scores, [0, 0], 1) == [[2.0**23 + 0.5]]

    @pytest.mark.parametrize(
        "scores, patch_clip, num_clips, message",
        [
            (np.zeros((3, 2)), [0, 1], 2, "patch_scores"),
            (np.zeros(3), [0, 1, 1], 2, "patch_scores"),
            (np.zeros((3, 2)), [0, 1, 2], 2, "must be in"),
            (np.zeros((3, 2)), [0, -1, 1], 2, "must be in"),
            (np.zeros((3, 2)), [0, 2, 2], 4, r"\[1, 3\] have no patch"),
        ],
    )
    def test_errors(self, scores, patch_clip, num_clips, message):
        with pytest.raises(ValueError, match=message):
            average_over_clips(scores, patch_clip, num_clips)


class TestScoreClips:
    def test_equals_scikit_learn(self, rng):
        targets = (rng.random((60, 5)) < 0.3).astype("float32")
        scores = np.round(rng.random((60, 5)) * 0.6 + targets * 0.3, 1)  # rounded: many ties
        result = score_clips(clip_scores(scores, targets))
        precisions = [reference.average_precision_score(targets[:, c], scores[:, c]) for c in range(5)]
        auc = reference.roc_auc_score(targets, scores, average="macro")
        np.testing.assert_allclose(result.per_class, precisions, atol=1e-6)
        np.testing.assert_allclose(result.mAP, np.mean(precisions), atol=1e-6)
        np.testing.assert_allclose(result.roc_auc, auc, atol=1e-6)
        np.testing.assert_allclose(result.d_prime, math.sqrt(2) * stats.norm.ppf(auc), atol=1e-5)
        assert result.excluded_classes == ()

    def test_accuracy_equals_scikit_learn_for_single_labels(self, rng):
        labels = rng.integers(0, 4, 50)
        scores = rng.random((50, 4)) + 0.5 * np.eye(4)[labels]
        result = score_clips(clip_scores(scores, np.eye(4)[labels]))
        np.testing.assert_allclose(result.accuracy, reference.accuracy_score(labels, scores.argmax(axis=1)))

    def test_accuracy_takes_any_of_several_labels(self):
        targets = [[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]
        scores = [[0.2, 0.9, 0.1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.9, 0.1, 0.1]]
        assert score_clips(clip_scores(scores, targets)).accuracy == 2 / 3  # The last has no label to be right by.
        assert np.isnan(score_clips(clip_scores(scores[3:], targets[3:])).accuracy)

    def test_keeps_the_order_of_float64(self):
        # Equal in float32: a tie would give an average precision of 1/2.
        scores = 0.5 + np.array([[1e-12], [0.0]])
        assert score_clips(clip_scores(scores, [[1], [0]])).mAP == 1.0
        assert score_clips(clip_scores(scores, [[0], [1]])).mAP == 0.5

    def test_excludes_and_names_classes_without_positives(self, rng):
        targets = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0]])
        scores = rng.random((3, 3))
        result = score_clips(clip_scores(scores, targets))
        assert result.excluded_classes == ("class-1",)
        assert np.isnan(result.per_class[1])
        expected = [reference.average_precision_score(targets[:, c], scores[:, c]) for c in (0, 2)]
        np.testing.assert_allclose(result.mAP, np.mean(expected), atol=1e-6)

    def test_scores_that_are_not_finite_give_no_number(self):
        result = score_clips(clip_scores([[0.5, np.nan], [0.1, 0.2]], np.eye(2)))
        assert np.isnan([result.mAP, result.d_prime, result.roc_auc, result.accuracy, *result.per_class]).all()

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="Received: shapes .4, 2. and .3, 2."):
            score_clips(clip_scores(np.zeros((4, 2)), np.zeros((3, 2))))


class TestEvaluateClips:
    @pytest.fixture
    def patches(self, rng):
        lengths = [5, 8, 20, 31, 16, 50]
        waveforms = [rng.standard_normal(length).astype("float32") for length in lengths]
        labels = [("a",), ("b",), ("a", "b"), ("b",), ("a",), ("c",)]
        cache = ClipCache.from_waveforms(waveforms, labels, sample_rate=8, class_names=("a", "b", "c", "unused"))
        return PatchDataset(cache, patch_samples=8)

    def test_equals_a_loop_over_clips(self, rng, patches):
        weights = rng.standard_normal((8, 4)).astype("float32")
        result = evaluate_clips(linear_model(8, weights), patches, batch_size=4)
        assert patches.num_patches % 4, "the last batch should be a partial one"
        for clip, scores in enumerate(result.clips.scores):
            waveform = patches.cache.waveform(clip)
            if len(waveform) < 8:
                waveform = np.tile(waveform, 8)[:8]
            cut = [waveform[i : i + 8] for i in range(0, len(waveform) - 7, 4)]
            np.testing.assert_allclose(scores, np.mean([sigmoid(patch @ weights) for patch in cut], axis=0), atol=1e-6)
        np.testing.assert_array_equal(result.clips.targets, patches.labels)
        assert result.clips.class_names == ("a", "b", "c", "unused")
        assert result.clips.clip_ids == tuple(patches.clip_ids)
        assert result.excluded_classes == ("unused",)
        assert result.mAP == score_clips(result.clips).mAP

    def test_does_not_depend_on_the_batch_size(self, rng, patches):
        model = linear_model(8, rng.standard_normal((8, 4)).astype("float32"))
        one, many = (evaluate_clips(model, patches, batch_size=size) for size in (3, 64))
        np.testing.assert_allclose(one.clips.scores, many.clips.scores, atol=1e-6)

    def test_model_of_other_classes(self, patches):
        with pytest.raises(ValueError, match="4 classes"):
            evaluate_clips(linear_model(8, np.ones((8, 3), "float32")), patches)
