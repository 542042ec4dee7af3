"""Losses: of scores, which `compile` takes, and of logits, one value per example."""

from keras_audio_si.training.losses import (
    binary_cross_entropy,
    classification_loss,
    distillation_loss,
    score_binary_cross_entropy,
    smooth_labels,
    softmax_cross_entropy,
)

__all__ = [
    "binary_cross_entropy",
    "classification_loss",
    "distillation_loss",
    "score_binary_cross_entropy",
    "smooth_labels",
    "softmax_cross_entropy",
]
