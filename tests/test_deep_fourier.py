"""Front-ends and networks of juettner: geometry, definitions by NumPy and SciPy, arguments."""

import keras
import numpy as np
import pytest
import scipy.signal
from harness import computed, numpy, run

from keras_audio_si import layers
from keras_audio_si.models import PiczakNet
from keras_audio_si.ops.convolution import convolve_waveform
from keras_audio_si.ops.mel import deltas

FRONT_ENDS = {
    "heuri": lambda: layers.HeuriFrontEnd(8000, (3, 4), (31, 5), (5, 2), (3, 3), (2, 3)),
    "mst": lambda: layers.MSTFrontEnd(8000, (3, 3, 4), (65, 3, 2), (32, 1, 2)),
    "mel": lambda: layers.LogMelSpectrogram(8000, num_mels=8, center=True, drop_last_frame=True),
}


@pytest.mark.parametrize("taps, stride", [(7, 3), (6, 3), (3, 5), (4, 1)])
def test_strided_convolution_of_waveforms(rng, taps, stride):
    x = rng.standard_normal((2, 40)).astype("float32")
    kernel = rng.standard_normal((taps, 1, 3)).astype("float32")
    starts = range(0, 40 - taps + 1, stride)
    wanted = np.stack([x[:, start : start + taps] @ kernel[:, 0] for start in starts], axis=1)
    got = computed(convolve_waveform, x, kernel, stride=stride)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_numbers_of_frames_and_samples(name):
    layer = FRONT_ENDS[name]()
    for frames in (1, 2, 7):
        samples = layer.num_samples(frames)
        assert layer.num_frames(samples) == frames and layer.num_frames(samples - 1) == frames - 1
        assert layer.num_frames(samples + layer.hop_length - 1) == frames
        assert layer.num_frames(samples + layer.hop_length) == frames + 1
    x = np.zeros((1, samples + 3), "float32")
    assert run(layer, x).shape == (1, 7, layer.compute_output_shape(x.shape)[2])
    with pytest.raises(ValueError, match=f"at least {layer.num_samples(1)} samples"):
        layer(keras.KerasTensor((None, layer.num_samples(1) - 1)))
    with pytest.raises(ValueError, match=r"shape \(batch, samples\)"):
        layer(keras.KerasTensor((None, 4000, 1)))


def test_published_sizes():
    published = layers.HeuriFrontEnd(), layers.MSTFrontEnd()
    assert [layer.hop_length for layer in published] == [480, 512]
    assert [layer.num_frames(20992) for layer in published] == [41, 41]
    assert [layer.num_samples(41) for layer in published] == [20815, 20992]


def test_deltas_are_the_slopes_of_savitzky_and_golay(rng):
    x = rng.standard_normal((2, 13, 3)).astype("float32")
    wanted = scipy.signal.savgol_filter(x, 9, deriv=1, polyorder=1, axis=1, mode="interp")
    np.testing.assert_allclose(computed(deltas, x), wanted, atol=1e-6)
    for width in (1, 4):
        with pytest.raises(ValueError, match="`width` must be odd and at least 3"):
            deltas(x, width)
    with pytest.raises(ValueError, match="at least `width`=15 frames"):
        deltas(x, 15)


def test_deltas_of_clips_without_their_padding(rng):
    """Those of each clip alone; one that is shorter than a window goes on with its last frame."""
    clips = [rng.standard_normal((1, frames, 3)).astype("float32") for frames in (13, 9, 4)]
    x = np.full((3, 20, 3), np.nan, "float32")
    for row, clip in zip(x, clips, strict=True):
        row[: clip.shape[1]] = clip[0]
    mask = np.arange(20) < np.array([[13], [9], [4]])
    got = computed(lambda x, mask: deltas(x, 9, mask), x, mask)
    longer = np.pad(clips[2], ((0, 0), (0, 5), (0, 0)), mode="edge")
    for clip, y in zip((*clips[:2], longer), got, strict=True):
        np.testing.assert_allclose(y[: clip.shape[1]], computed(deltas, clip)[0], atol=1e-6)


def test_dropout_is_active_in_inference_if_asked_for(rng):
    x = rng.standard_normal((2, 20, 12)).astype("float32")
    plain, dropped = (PiczakNet(3, (20, 12), filters=6, dense_units=30, dropout_in_inference=on) for on in (0, 1))
    dropped.set_weights(plain.get_weights())
    assert not np.allclose(plain.predict(x, verbose=0), dropped.predict(x, verbose=0))


def test_a_mel_convolution_learns(rng):
    """Both convolutions get gradients, and what a filter makes negative counts as silence."""
    layer = layers.MelConvolution(8000, num_mels=6, max_hz=4000.0, compression="log", floor=1e-4)
    x = rng.standard_normal((2, 1000)).astype("float32")
    layer.build(x.shape)
    layer.mel.kernel.assign(-layer.mel.kernel)
    np.testing.assert_allclose(numpy(run(layer, x)), np.log(1e-4), rtol=1e-6)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: layers.ConvolutionFrontEnd(8000, (4, 2), (8,), (4, 1)), "`kernel_sizes` must have a positive integer"),
        (lambda: layers.HeuriFrontEnd(strides=(10, 0)), "`strides` must have a positive integer"),
        (lambda: layers.MSTFrontEnd(activations=("relu", "relu", "gelu")), "`activations` must be some of 'relu'"),
        (lambda: layers.HeuriFrontEnd(padding="reflect"), "`padding` must be one of 'valid', 'same'"),
        (lambda: layers.MSTFrontEnd(strides=(2048, 1, 1)), "at least as long as their strides"),
        (lambda: layers.LogMelSpectrogram(8000, center=True, pad_mode="edge"), "`pad_mode` must be one of 'reflect'"),
        (lambda: layers.LogMelSpectrogram(8000, drop_last_frame=True), "need `center`=True"),
        (lambda: PiczakNet(10, (19, 60)), "`input_shape` must be at least 20 frames and 4 bands"),
        (lambda: PiczakNet(10, (None, 60)), "`input_shape` must be at least 20 frames and 4 bands"),
    ],
)
def test_wrong_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
