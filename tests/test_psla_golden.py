"""The parts of PSLA against its released code: attention head, learning rates, metrics, sampling weights."""

import numpy as np
import pytest
from harness import computed, gradients, numpy, run
from keras import ops

from keras_audio_si.data.sampling import psla_weights
from keras_audio_si.layers import AttentionHead
from keras_audio_si.ops import ranking
from keras_audio_si.ops.attention import normalised_attention
from keras_audio_si.training.optimizer import build_optimizer
from keras_audio_si.training.settings import TrainingSettings

CLASSES, CHANNELS = 5, 32


def drawn(number, *shape):
    return np.random.default_rng(number).standard_normal(shape)


def convolutions(first, count):
    """Kernel (channels, count, classes) and bias (count, classes) of 1x1 convolutions, numbered by their tensors."""
    kernels = [drawn(first + 2 * i, CLASSES, CHANNELS, 1, 1)[..., 0, 0].T for i in range(count)]
    biases = [drawn(first + 2 * i + 1, CLASSES) for i in range(count)]
    return np.stack(kernels, axis=1) / np.sqrt(CHANNELS), 0.1 * np.stack(biases)


def head(heads, *weights):
    layer = AttentionHead(CLASSES, heads)
    layer.build((None, None, CHANNELS))
    layer.set_weights(weights)
    return layer


@pytest.fixture(scope="module")
def four_heads():
    attention, classes = convolutions(5001, 4), convolutions(5009, 4)
    return head(4, *classes, *attention, 0.25 + 0.1 * drawn(5000, 4))


def last(array):
    """(batch, channels, ...) with the channels last."""
    return np.moveaxis(array, 1, -1)


def test_four_heads_on_feature_maps(golden, four_heads):
    arrays = golden("psla_attention")
    maps = np.moveaxis(arrays["feat"], (1, 2, 3), (3, 2, 1))
    np.testing.assert_allclose(numpy(run(four_heads, maps)), arrays["mhead_out"], atol=1e-5)


def test_four_heads_on_frames_and_the_gradient(golden, four_heads):
    arrays = golden("psla_attention")
    frames = last(arrays["pooled"])
    np.testing.assert_allclose(numpy(run(four_heads, frames)), arrays["mhead_out"], atol=1e-5)
    gradient = gradients(four_heads, frames)[0]
    np.testing.assert_allclose(gradient, last(arrays["mhead_grad_pooled"]), atol=1e-5)
    # Of more axes than (batch, channels, time) the released head takes the first place only.
    direct = last(arrays["direct_in"][..., 0])
    np.testing.assert_allclose(numpy(run(four_heads, direct)), arrays["direct_out"], atol=1e-5)


def test_one_head_and_its_attention(golden):
    arrays = golden("psla_attention")
    frames, attention = last(arrays["pooled"]), convolutions(5050, 1)
    layer = head(1, *convolutions(5052, 1), *attention, np.ones(1))
    np.testing.assert_allclose(numpy(run(layer, frames)), arrays["attn_out"], atol=1e-5)
    logits = (frames @ attention[0][:, 0] + attention[1]).astype("float32")
    np.testing.assert_allclose(last(numpy(normalised_attention(logits))), arrays["attn_norm_att"], atol=1e-5)


def test_mean_over_time(golden):
    arrays = golden("psla_attention")
    layer = head(0, *convolutions(5080, 1))
    np.testing.assert_allclose(numpy(run(layer, last(arrays["pooled"]))), arrays["meanpool_out"], atol=1e-5)


def test_metrics(golden):
    arrays = golden("psla_metrics")
    valid = np.flatnonzero(arrays["valid"])

    def metrics(targets, scores):
        targets, scores = ops.take(targets, valid, axis=1), ops.take(scores, valid, axis=1)
        precision, areas = ranking.average_precision(targets, scores), ranking.roc_auc(targets, scores)
        mean = ops.mean(areas)
        return precision, ops.mean(precision), areas, mean, ranking.d_prime(areas), ranking.d_prime(mean)

    names = ("ap_valid", "mAP_valid", "auc_valid", "mAUC_valid", "dprime_per_class_valid", "dprime_of_mean_auc")
    for name, got in zip(names, computed(metrics, arrays["targets"], arrays["scores"]), strict=True):
        np.testing.assert_allclose(got, arrays[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("plan, peak, start", [("as_bal", 1e-3, 35), ("as_full", 1e-4, 10), ("fsd", 5e-4, 10)])
def test_learning_rates(golden, plan, peak, start):
    arrays = golden("psla_lr_schedule")
    of_epochs, rising = arrays[f"{plan}_epoch_end_lr_x1e4"], arrays[f"{plan}_warm_every50_x1e4"]
    settings = TrainingSettings(
        learning_rate=peak,
        epochs=len(of_epochs),
        schedule="warm-up-and-decay",
        optimizer="adam-l2",
        decay_start_epoch=start,
    )
    steps = 300
    optimizer = build_optimizer(settings, [], steps * len(of_epochs))
    rate = numpy(computed(optimizer._learning_rate, np.arange(steps * len(of_epochs), dtype="int32"))) * 1e4
    np.testing.assert_allclose(rate[steps - 1 :: steps], of_epochs, rtol=1e-6)
    np.testing.assert_allclose(rate[: 50 * len(rising) : 50], rising, rtol=1e-6)


def test_sampling_weights(golden):
    arrays = golden("psla_sampling_weights")
    np.testing.assert_allclose(psla_weights(arrays["targets"]), arrays["sample_weight"], rtol=1e-6)
