import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_audio_si.metrics import DPrime, MeanAveragePrecision, MeanROCAUC

METRICS = (MeanAveragePrecision, MeanROCAUC, DPrime)


def reference(metric, targets, scores):
    function = average_precision_score if metric is MeanAveragePrecision else roc_auc_score
    mean = np.mean([function(t, s) for t, s in zip(targets.T, scores.T, strict=True) if 0 < t.sum() < len(t)])
    return np.sqrt(2) * norm.ppf(mean) if metric is DPrime else mean


@pytest.fixture
def batches(rng):
    """Targets and scores with ties, a class without positives, and batches of several sizes."""
    targets = (rng.random((100, 5)) < 0.3).astype("float32")
    targets[:, 3] = 0
    scores = (np.round(4 * (rng.normal(size=(100, 5)) + targets)) / 4).astype("float32")
    return targets, scores, [slice(0, 32), slice(32, 64), slice(64, 96), slice(96, 100)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("capacity", [100, 137])
def test_streams_to_scikit_learn_in_any_order(batches, metric, capacity):
    targets, scores, slices = batches
    for order in (slices, slices[::-1]):
        m = metric(5, capacity)
        for part in order:
            m.update_state(targets[part], scores[part])
        np.testing.assert_allclose(float(m.result()), reference(metric, targets, scores), rtol=0, atol=1e-6)
        assert m.excluded_classes() == [3]
        assert np.isnan(m.per_class()).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("metric", METRICS)
def test_reset_forgets(batches, metric):
    targets, scores, _ = batches
    m = metric(5, 100)
    m.update_state(targets, scores)
    m.reset_state()
    assert np.isnan(float(m.result())) and m.excluded_classes() == [0, 1, 2, 3, 4]
    m.update_state(targets[:40], scores[:40])
    np.testing.assert_allclose(float(m.result()), reference(metric, targets[:40], scores[:40]), rtol=0, atol=1e-6)


def test_auc_excludes_a_class_without_negatives(batches):
    targets, scores, _ = batches
    targets[:, 0] = 1
    auc, precision = MeanROCAUC(5, 100), MeanAveragePrecision(5, 100)
    for m in (auc, precision):
        m.update_state(targets, scores)
    assert auc.excluded_classes() == [0, 3] and precision.excluded_classes() == [3]


def test_d_prime_is_that_of_the_mean(batches):
    targets, scores, _ = batches
    m, auc = DPrime(5, 100), MeanROCAUC(5, 100)
    for metric in (m, auc):
        metric.update_state(targets, scores)
    np.testing.assert_allclose(m.per_class(), np.sqrt(2) * norm.ppf(auc.per_class().astype("float64")), atol=1e-6)
    assert abs(float(m.result()) - np.nanmean(m.per_class())) > 1e-3


def test_scores_of_a_diverged_model_give_nan(batches):
    targets, scores, _ = batches
    scores[0, 0] = np.nan
    m = MeanAveragePrecision(5, 100)
    m.update_state(targets, scores)
    assert np.isnan(float(m.result())) and m.excluded_classes() == [3]


def test_half_precision_scores(batches):
    targets, scores, _ = batches
    m = MeanAveragePrecision(5, 100)
    m.update_state(targets, ops.cast(scores, "bfloat16"))
    np.testing.assert_allclose(float(m.result()), reference(MeanAveragePrecision, targets, scores), atol=1e-6)


def test_overflow_and_wrong_arguments(batches):
    targets, scores, _ = batches
    m = MeanAveragePrecision(5, 50)
    with pytest.raises(ValueError, match="batch of 100 examples exceeds `capacity`=50"):
        m.update_state(targets, scores)
    m.update_state(targets[:40], scores[:40])
    with pytest.raises(ValueError, match="80 examples exceed `capacity`=50"):
        m.update_state(targets[:40], scores[:40])
    np.testing.assert_allclose(float(m.result()), reference(MeanAveragePrecision, targets[:40], scores[:40]), atol=1e-6)
    with pytest.raises(ValueError, match="sample_weight"):
        m.update_state(targets[:2], scores[:2], sample_weight=np.ones(2))
    with pytest.raises(ValueError, match=r"`y_true` must be \(batch, 5\).*\(2,\)"):
        m.update_state(np.array([1, 2]), scores[:2])
    with pytest.raises(ValueError, match=r"`y_pred` must be \(batch, 5\).*\(2, 4\)"):
        m.update_state(targets[:2], scores[:2, :4])
    with pytest.raises(ValueError, match="`y_true` and `y_pred` must hold as many examples.*2 and 3"):
        m.update_state(targets[:2], scores[:3])
    for arguments in ((5, 0), (2.5, 10), (5, True)):
        with pytest.raises(ValueError, match="must be an integer of at least 1. Received: "):
            MeanROCAUC(*arguments)


@pytest.mark.parametrize("metric", METRICS)
def test_config_round_trip(metric):
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric(3, 12, name="mine")))
    assert (type(copy), copy.capacity, copy.num_classes, copy.name) == (metric, 12, 3, "mine")


def linear_model(classes, capacity, jit_compile):
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Activation("linear")])
    metrics = [metric(classes, capacity) for metric in METRICS]
    model.compile(loss="mse", metrics=metrics, jit_compile=jit_compile)
    return model


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_metrics(batches, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch.compile is not part of the contract")
    targets, scores, _ = batches
    model = linear_model(5, 100, jit_compile)
    for _ in range(2):  # the second pass starts from a reset
        logs = model.evaluate(scores, targets, batch_size=32, verbose=0, return_dict=True)
        for metric, name in zip(METRICS, ("mAP", "mROC_AUC", "d_prime"), strict=True):
            np.testing.assert_allclose(logs[name], reference(metric, targets, scores), rtol=0, atol=1e-6)


def test_compiled_overflow_gives_nan(batches):
    targets, scores, _ = batches
    model = linear_model(5, 50, jit_compile="auto")
    if keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="exceed `capacity`=50"):
            model.evaluate(scores, targets, batch_size=32, verbose=0)
        return
    logs = model.evaluate(scores, targets, batch_size=32, verbose=0, return_dict=True)
    assert all(np.isnan(logs[name]) for name in ("mAP", "mROC_AUC", "d_prime"))
