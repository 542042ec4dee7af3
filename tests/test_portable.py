"""The golden arrays once more, by the operations that exports are traced with."""

import keras
import pytest
from exported import tensorflow_alone
from test_deep_fourier_golden import (  # noqa: F401
    piczak_net,
    test_mel_convolution_starts_as_the_mel_spectrogram,
    test_mel_spectrogram,
    test_piczak_net,
    test_waveform_networks,
)
from test_diffres_golden import (  # noqa: F401
    test_aggregation,
    test_baselines,
    test_forward,
    test_rescaled_scores,
    test_warp_matrix,
)
from test_eat_golden import (  # noqa: F401
    test_downsampling_filter,
    test_downsampling_stage,
    test_full_network,
    test_residual_block,
    test_transformer,
)
from test_pooling_golden import (  # noqa: F401
    test_adaptive_pool,
    test_blur_pool,
    test_criterion_values,
    test_plain_and_time_mel_pools,
    test_trainable_low_pass,
)
from test_psla_golden import four_heads, test_four_heads_on_feature_maps, test_mean_over_time  # noqa: F401
from test_vgg_golden import test_global_pooling, test_vgg41_forward  # noqa: F401

from keras_audio_si import layers
from keras_audio_si.export.portable import portable_trace
from keras_audio_si.ops.xla import portable_operations

pytestmark = tensorflow_alone


@pytest.fixture(autouse=True)
def _portable():
    with portable_operations():
        yield


def test_a_front_end_inside_another_layer_has_no_fourier_transform():
    inner = layers.LogMelSpectrogram(8000, num_mels=12)
    inputs = keras.Input((1440,))
    model = keras.Model(inputs, layers.RescaledFrontEnd(inner, 0.1, 1.0)(inputs))
    with portable_trace(keras.Sequential([keras.Input((1440,)), model])):
        assert inner.dft == "conv"
    assert inner.dft == "fft"
