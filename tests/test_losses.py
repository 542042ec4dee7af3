import keras
import numpy as np
import pytest
from harness import numpy
from keras import ops

from keras_audio_si.training.losses import (
    binary_cross_entropy,
    classification_loss,
    distillation_loss,
    smooth_labels,
    softmax_cross_entropy,
)


@pytest.fixture
def released(golden):
    return golden("eat_losses")


def one_hot(indices, classes=10):
    return np.eye(classes, dtype="float32")[indices]


def test_one_class_has_no_softmax():
    for kind in ("softmax", "softmax-or-bce"):
        with pytest.raises(ValueError, match=f"`loss`='{kind}' needs at least two classes"):
            classification_loss(np.zeros((2, 1)), np.ones((2, 1)), np.ones((2, 1)), kind)
    assert np.isfinite(float(classification_loss(np.zeros((2, 1)), np.ones((2, 1)), np.ones((2, 1)), "bce")))


class TestReleased:
    """The released losses, all of which sum over the batch unless their name says otherwise."""

    def test_label_smoothing(self, released):
        labels = one_hot(released["y1"])
        for reduction, name in (("sum", "sum"), ("mean", "mean"), ("batch-mean", "mean")):
            loss = classification_loss(released["logits"], labels, labels, "softmax", reduction, 0.1)
            np.testing.assert_allclose(numpy(loss), released[f"label_smooth_{name}"], rtol=1e-5)
            mixed = classification_loss(released["logits"], labels, labels, "softmax-or-bce", reduction, 0.1)
            np.testing.assert_allclose(numpy(mixed), numpy(loss), rtol=1e-6)

    @pytest.mark.parametrize("kind", ["bce", "softmax-or-bce"])
    def test_mixed_labels(self, released, kind):
        """The union of both label sets, without a partner of a weight below a tenth."""
        kept = (released["lam"] < 0.9).astype("float32")[:, None]
        for first, second, name in (
            (one_hot(released["y1"]), one_hot(released["y2"]), "mix_loss_bce"),
            (released["multi1"], released["multi2"], "mix_loss_bce_multilabel"),
        ):
            targets = np.maximum(first, second * kept).astype("float32")
            # Labels that differ everywhere: all examples were mixed.
            loss = classification_loss(released["logits"], targets, 1 - targets, kind, "sum", 0.1 * (kind != "bce"))
            np.testing.assert_allclose(numpy(loss), released[name], rtol=1e-5)

    def test_mixed_cross_entropy(self, released):
        """Its weights meet the wrong axis: every example is mixed by the mean weight of the batch."""
        weight = released["lam"].mean()
        targets = weight * one_hot(released["y1"]) + (1 - weight) * one_hot(released["y2"])
        losses = softmax_cross_entropy(released["logits"], targets)
        np.testing.assert_allclose(numpy(losses), released["mix_loss_ce"], rtol=1e-5)

    @pytest.mark.parametrize(("kind", "name"), [("softmax", "kd_single"), ("sigmoid-released", "kd_multi")])
    def test_distillation(self, released, kind, name):
        losses = distillation_loss(released["logits"], released["teacher_logits"], kind)
        np.testing.assert_allclose(numpy(losses).mean(), released[name], rtol=1e-5)


def test_only_examples_that_were_mixed_have_the_binary_loss(rng):
    logits = rng.normal(size=(3, 4)).astype("float32")
    labels = one_hot([0, 1, 2], 4)
    targets = labels.copy()
    targets[1, 3] = 1
    got = classification_loss(logits, targets, labels, "softmax-or-bce", "sum", 0.2)
    expected = numpy(binary_cross_entropy(logits[1:2], targets[1:2])).sum()
    for i in (0, 2):
        expected += numpy(classification_loss(logits[i : i + 1], labels[i : i + 1], None, "softmax", "sum", 0.2))
    np.testing.assert_allclose(numpy(got), expected, rtol=1e-5)
    for reduction in ("mean", "batch-mean"):  # The binary loss sums over the classes beside a softmax.
        mean = classification_loss(logits, targets, labels, "softmax-or-bce", reduction, 0.2)
        np.testing.assert_allclose(numpy(mean), expected / 3, rtol=1e-5)


def test_binary_cross_entropy_of_large_logits():
    logits, targets = np.float32([[80.0, -80.0, 0.5]]), np.float32([[1.0, 1.0, 0.25]])
    p = 1 / (1 + np.exp(-0.5))
    expected = [0.0, 80.0, -(0.25 * np.log(p) + 0.75 * np.log(1 - p))]
    np.testing.assert_allclose(numpy(binary_cross_entropy(logits, targets))[0], expected, rtol=1e-6, atol=1e-30)
    half = numpy(binary_cross_entropy(ops.cast(logits, "float16"), targets))
    assert half.dtype == np.float32 and np.isfinite(half).all()


def test_smoothed_mixtures_still_add_up():
    mixed = np.float32([[0.3, 0.7, 0, 0]])
    smoothed = numpy(smooth_labels(mixed, 0.1))
    np.testing.assert_allclose(smoothed, 0.9 * mixed + 0.1 / 3 * (1 - mixed), rtol=1e-6)
    assert smoothed.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_distillation_is_least_at_the_teacher(rng, kind):
    """And grows with the square of the distance there; the released one of several labels does not."""
    teacher = rng.normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(numpy(distillation_loss(teacher, teacher, kind, 2.0)), 0.0, atol=1e-5)
    step = rng.normal(size=(5, 4)).astype("float32")
    near, far = (numpy(distillation_loss(teacher + s * step, teacher, kind, 2.0)) for s in (0.05, 0.1))
    np.testing.assert_allclose(far / near, 4.0, rtol=0.1)
    assert (numpy(distillation_loss(teacher + 0.1, teacher, "sigmoid-released")) < 0).all()


def test_high_temperatures_compare_logits():
    """The square of the temperature keeps the gradient's size: half the variance of the differences remains."""
    student, teacher = np.float32([[1.0, 2.0, 3.0]]), np.float32([[3.0, 1.0, 2.0]])
    loss = numpy(distillation_loss(student, teacher, "softmax", 200.0))
    np.testing.assert_allclose(loss, np.var(student - teacher) / 2, rtol=0.02)
    with pytest.raises(ValueError, match="'softmax', 'sigmoid', 'sigmoid-released'. Received: kind='relu'"):
        distillation_loss(student, teacher, "relu")


def test_no_gradient_reaches_the_teacher():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the same function of Keras on all backends")
    import tensorflow as tf

    student, teacher = tf.constant([[1.0, 2.0]]), tf.constant([[2.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        loss = distillation_loss(student, teacher)
    on_student, on_teacher = tape.gradient(loss, [student, teacher])
    assert on_teacher is None and np.abs(on_student).max() > 0.1
