"""Patches and their scores: counts on record, silence, short clips, levels; balanced accuracy by scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.loud_patches import cut_loud_patches, mean_levels
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.evaluation.patches import Confusion, evaluate_patches, majority_vote, score_patches
from keras_audio_si.metrics import BalancedAccuracy
from keras_audio_si.models import piczak_spectrogram

CLASSES = ("dog", "rain", "sea")


def cache_of(waveforms, labels=None):
    labels = labels or [(CLASSES[index % 3],) for index in range(len(waveforms))]
    return ClipCache.from_waveforms(waveforms, labels, 22050, CLASSES)


def square_level(waveforms):
    """Level in dB, in the shape of a spectrogram of one value."""
    return 10 * np.log10(np.maximum(np.mean(np.square(waveforms), axis=1), 1e-10))[:, None, None]


def test_number_of_segments(golden):
    counts = golden("df_segment_counts")
    samples, hop = counts["cfg"].tolist()
    waveforms = [np.ones(length) for length in counts["clip_len"]]
    patches = PatchDataset(cache_of(waveforms), samples, hop, short="drop")
    found = np.zeros(len(waveforms), int)
    np.add.at(found, [int(name.split("-")[1]) for name in np.array(patches.clip_ids)[patches.patch_clip]], 1)
    np.testing.assert_array_equal(found, counts["n_segments"])
    assert patches.num_short == 1


def test_short_clips_are_dropped_or_filled_and_counted():
    cache = cache_of([np.full(60, 0.5), np.linspace(0.1, 1, 100), np.full(99, 0.5)])
    for short, (clips, expected) in {"drop": (1, 1), "zero": (3, 3), "repeat": (3, 3)}.items():
        patches, counts = cut_loud_patches(cache, square_level, 100, short)
        assert (counts.clips, counts.patches, counts.short_clips) == (clips, expected, 2)
        assert (counts.silent_patches, counts.silent_clips) == (0, 0)
        assert patches.num_patches == len(patches.patch_clip) == expected and patches.num_clips == clips
    with pytest.raises(ValueError, match="All 3 clips are shorter than `patch_samples` \\(200\\)"):
        cut_loud_patches(cache, square_level, 200)


def test_silence_is_left_out_by_the_level_of_the_clip():
    quiet = np.concatenate([np.full(100, 0.2), np.full(150, 0.2e-4)])  # -80 dB below the start of its clip
    cache = cache_of([quiet, np.zeros(100), np.full(100, 1e-5)])
    for peak_of in ("patch", "clip"):
        patches, counts = cut_loud_patches(cache, square_level, 100, peak_of=peak_of)
        assert patches.clip_ids == ("clip-0", "clip-2") and patches.labels.argmax(axis=1).tolist() == [0, 2]
        assert patches.patch_clip.tolist() == [0, 0, 1] and patches.patch_start.tolist() == [0, 50, 0]
        assert tuple(counts) == (2, 3, 0, 3, 1)
        np.testing.assert_allclose(np.abs(patches.waveforms(range(3))).max(axis=1), 1.0, rtol=1e-6)
    assert cut_loud_patches(cache, square_level, 100, silence_decibels=None)[0].num_patches == 6
    with pytest.raises(ValueError, match="All 6 patches are silent"):
        cut_loud_patches(cache, square_level, 100, silence_decibels=1.0)


def test_segments_are_scaled_by_their_own_peak_or_by_that_of_their_clip():
    cache = cache_of([np.concatenate([np.full(100, 0.5), np.full(100, 0.25)])])
    peaks = {}
    for peak_of in ("patch", "clip"):
        patches, _ = cut_loud_patches(cache, square_level, 100, peak_of=peak_of)
        peaks[peak_of] = np.abs(patches.waveforms(range(3))).max(axis=1)
    np.testing.assert_allclose(peaks["patch"], [1, 1, 1])
    np.testing.assert_allclose(peaks["clip"], [1, 1, 0.5])


def test_level_of_the_mel_spectrogram(golden):
    arrays = golden("df_melspectrogram")
    cache = cache_of([*arrays["x"], *(1e-6 * arrays["x"])])
    levels = mean_levels(PatchDataset(cache, 20992), piczak_spectrogram(), batch_size=3)
    np.testing.assert_allclose(levels, [*arrays["mean_db"], *arrays["mel_db_quiet_mean"]], atol=1e-3)


def test_another_rule_is_another_run():
    cache = cache_of([np.concatenate([np.full(100, 0.5), np.full(100, 0.5e-3)]), np.ones(100)])
    options = [
        cut_loud_patches(cache, square_level, 100, silence_decibels=level)[0].options for level in (None, -50.0, -80.0)
    ]
    assert options[0] == options[2] == {"short": "drop", "peak": 1.0, "peak_of": "clip"} and options[1][
        "kept"
    ].startswith("3 of 4 (")


def patches_with(scores, patch_clip, labels):
    """A data set with as many patches of each clip, and a model that gives these scores."""
    lengths = np.bincount(patch_clip)
    waveforms = [np.full(4 * n, 0.0) for n in lengths]
    patches = PatchDataset(cache_of(waveforms, [(CLASSES[label],) for label in labels]), 4, 4)
    samples = patches.cache.samples
    for patch, row in enumerate(scores):
        samples[4 * patch : 4 * patch + 3] = row
    inputs = keras.Input((4,))
    return patches, keras.Model(inputs, inputs[:, :3])


def test_clips_of_several_labels_are_refused_before_they_are_scored():
    patches = PatchDataset(cache_of([np.ones(100)] * 2, [("dog",), ("dog", "rain")]), 100, 50)
    with pytest.raises(ValueError, match="with one label each; 'clip-1' has none or several"):
        evaluate_patches(None, patches)


def test_scores_of_segments_and_clips(rng):
    patch_clip = np.repeat(np.arange(12), rng.integers(1, 6, 12))
    labels = np.append(rng.integers(0, 2, 11), 2)
    scores = rng.random((len(patch_clip), 3)).astype("float32")
    patches, model = patches_with(scores, patch_clip, labels)
    result = evaluate_patches(model, patches, batch_size=5)

    truth, predicted = labels[patch_clip], scores.argmax(axis=1)
    np.testing.assert_array_equal(result.patches.counts, confusion_matrix(truth, predicted, labels=range(3)))
    assert result.patches.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted))
    means = np.array([scores[patch_clip == clip].mean(axis=0) for clip in range(12)])
    assert result.clip_means.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, means.argmax(axis=1)))
    votes = np.array([np.bincount(predicted[patch_clip == clip], minlength=3) for clip in range(12)])
    winners = [max(range(3), key=lambda c: (votes[clip, c], means[clip, c])) for clip in range(12)]
    assert majority_vote(scores, patch_clip, 12).tolist() == winners
    assert result.clip_votes.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, winners))
    assert result.clip_votes.accuracy == pytest.approx(np.mean(labels == winners))
    assert set(result.balanced_accuracies().values()) == {
        confusion.balanced_accuracy for confusion in (result.patches, result.clip_votes, result.clip_means)
    }

    metric = BalancedAccuracy(3)
    for part in (slice(0, 5), slice(5, None)):
        metric.update_state(np.eye(3, dtype="float32")[truth[part]], scores[part])
    assert float(metric.result()) == pytest.approx(result.patches.balanced_accuracy, abs=1e-6)
    assert BalancedAccuracy.from_config(metric.get_config()).num_classes == 3


def test_callbacks_know_that_a_higher_balanced_accuracy_is_better():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[BalancedAccuracy(3)])
    stopping = keras.callbacks.EarlyStopping("balanced_accuracy")
    model.fit(np.eye(3), np.eye(3), verbose=0, callbacks=[stopping])
    assert stopping.monitor_op(1.0, 0.5)


def test_scores_that_cannot_be_ranked(rng):
    patches, _ = patches_with(np.zeros((3, 3)), np.array([0, 1, 1]), [0, 1])
    assert np.isnan(list(score_patches(np.full((3, 3), np.nan), patches).balanced_accuracies().values())).all()
    assert np.isnan(Confusion.of([], [], 2).accuracy)
    several = PatchDataset(cache_of([np.ones(4)] * 2, [("dog",), ("dog", "sea")]), 4)
    with pytest.raises(ValueError, match="'clip-1' has none or several"):
        score_patches(np.zeros((2, 3)), several)
    with pytest.raises(ValueError, match="`num_classes` must be an integer of at least 1"):
        BalancedAccuracy(0)
    with pytest.raises(ValueError, match="'fixed' and some stay"):
        several.keeping([False, False])
