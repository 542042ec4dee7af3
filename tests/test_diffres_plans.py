"""The plans of liu2022 against what else is known of the data sets, and against what they make of a training."""

import numpy as np
import pytest
from keras import ops

from keras_audio_si.data.datasets import LAYOUTS
from keras_audio_si.data.pipeline import SAMPLING
from keras_audio_si.diffres_plans import PLANS
from keras_audio_si.training.optimizer import build_optimizer

SECONDS = {"audioset": 10, "fsd50k": 30, "esc50": 5, "speech_commands": 1, "nsynth": 4}


@pytest.mark.parametrize("name", PLANS)
def test_clips_fill_the_frames(name):
    plan = PLANS[name]
    missing = plan.clip_samples / plan.sample_rate - SECONDS[name]
    assert abs(missing) <= plan.frame_seconds  # Table 5 counts a frame every hop, of Speech Commands the whole ones.
    assert plan.layout in LAYOUTS and plan.sampling in SAMPLING


@pytest.mark.parametrize("name, first, factor", [("esc50", 40, 0.95), ("fsd50k", 20, 0.5), ("nsynth", 10, 0.85)])
def test_the_learning_rate_falls_when_the_table_says(name, first, factor):
    training = PLANS[name].training
    steps = 200
    optimizer = build_optimizer(training, [], steps * training.epochs)
    rate = ops.convert_to_numpy(optimizer._learning_rate(np.arange(training.epochs, dtype="int32") * steps))
    peak = training.learning_rate
    np.testing.assert_allclose(rate[[0, 1, 5, first - 1, first]], np.array([0, 0.2, 1, 1, factor]) * peak, rtol=1e-6)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.l2, optimizer.epsilon) == (0.95, 0.999, 5e-7, 1e-8)


def test_other_settings():
    plan = PLANS["audioset"].changed(num_mels=64, epochs=3, mixup_alpha=None)
    assert (plan.num_mels, plan.training.epochs, plan.training.mixup_alpha) == (64, 3, None)
    assert plan.front_end().num_mels == 64 and plan.training.batch_size == 22
