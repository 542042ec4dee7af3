"""Keras callbacks: validation on clips, checkpoints, logs, remaining time."""

from keras_audio_si.training.activeness import ActivenessLog
from keras_audio_si.training.callbacks import BestCheckpoint, ClipValidation, PatchValidation, StopOnNaN
from keras_audio_si.training.gradient_norms import GradientNormLog
from keras_audio_si.training.progress import EpochSeconds, RemainingTime
from keras_audio_si.training.schedules import LearningRateLog
from keras_audio_si.training.score_history import ScoreHistory

__all__ = [
    "ActivenessLog",
    "BestCheckpoint",
    "ClipValidation",
    "EpochSeconds",
    "GradientNormLog",
    "LearningRateLog",
    "PatchValidation",
    "RemainingTime",
    "ScoreHistory",
    "StopOnNaN",
]
