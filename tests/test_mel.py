"""Mel bands and levels against librosa, on the current backend."""

import warnings

import numpy as np
import pytest
from functions import to_numpy, vjp
from keras import ops

from keras_audio_si.ops import mel
from keras_audio_si.ops.xla import portable_operations

SIGNAL = np.zeros((2, 100), "float32")


@pytest.mark.parametrize("normalization", [None, "slaney"])
@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize(
    "num_mels, fft, rate, low, high",
    [(96, 512, 16000, 0.0, None), (64, 1024, 22050, 50.0, 8000.0), (40, 401, 16000, 20.0, 7600.0)],
)
def test_mel_filterbank_equals_librosa(num_mels, fft, rate, low, high, scale, normalization):
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    expected = librosa.filters.mel(
        sr=rate, n_fft=fft, n_mels=num_mels, fmin=low, fmax=high, htk=scale == "htk", norm=normalization
    )
    weights = mel.mel_filterbank(num_mels, fft, rate, low, high, scale, normalization)
    assert weights.shape == (fft // 2 + 1, num_mels) and weights.dtype == "float32"
    np.testing.assert_allclose(weights.T, expected, rtol=1e-5, atol=1e-6)


def test_mel_filterbank_warns_of_bands_without_a_bin():
    with pytest.warns(UserWarning, match="mel bands hold no Fourier bin"):
        mel.mel_filterbank(128, 256, 16000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mel.mel_filterbank(96, 512, 16000)


def test_log_compress_of_exports_is_the_same():
    """Mel filters that are trained can give negative energies."""
    x = np.float32([-1.0, 0.0, 1e-12, 1e-9, 3.0])
    with portable_operations():
        exported = to_numpy(mel.log_compress(x))
    np.testing.assert_allclose(exported, to_numpy(mel.log_compress(x)), rtol=1e-6)


def test_log_compress_keeps_silence_finite():
    x = np.float32([0.0, 1e-30, 1e-10, 1.0, 1e10])
    np.testing.assert_allclose(to_numpy(mel.log_compress(x)), np.log(np.maximum(x, np.float32(1e-10))), rtol=1e-6)
    gradient = vjp(mel.log_compress, np.float32([0.0, 2.0]), np.ones(2, "float32"))
    np.testing.assert_allclose(gradient, [0.0, 0.5])
    # float16 cannot hold the floor.
    half = to_numpy(mel.log_compress(ops.cast(x[:1], "float16")))
    np.testing.assert_allclose(half, np.log(1e-10), rtol=1e-6)


@pytest.mark.parametrize("top_db", [None, 80.0, 20.0])
def test_decibels_equal_librosa_for_each_example(rng, top_db):
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    x = (rng.standard_normal((4, 30, 8)) ** 2 * np.float32([1e4, 1.0, 1e-6, 0.0])[:, None, None]).astype("float32")
    x[:, :3] *= 1e-9
    result = to_numpy(mel.power_to_decibels(x, floor=1e-10, top_db=top_db))
    for example, decibels in zip(x, result, strict=True):
        np.testing.assert_allclose(decibels, librosa.power_to_db(example, amin=1e-10, top_db=top_db), atol=1e-4)
    alone = to_numpy(mel.power_to_decibels(x[2:3], floor=1e-10, top_db=top_db))
    np.testing.assert_array_equal(alone[0], result[2])


def test_relative_decibels(rng):
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    x = (rng.standard_normal((3, 30, 8)) ** 2 * np.float32([1e4, 1e-3, 0.0])[:, None, None]).astype("float32")
    x[:, :3] *= 1e-9
    result = to_numpy(mel.power_to_decibels(x, top_db=40.0, reference="max"))
    for example, decibels in zip(x[:2], result, strict=False):
        np.testing.assert_allclose(decibels, librosa.power_to_db(example, ref=np.max, top_db=40.0), atol=1e-4)
    np.testing.assert_allclose(result[2], -40.0, atol=1e-4)  # Silence; librosa has 0.
    # From there to sound without a jump.
    faint = to_numpy(mel.power_to_decibels(np.float32([[1e-10, 2e-10], [1e-10, 1e-6]]), top_db=40.0, reference="max"))
    np.testing.assert_allclose(faint, [[-40.0, -36.9897], [-40.0, 0.0]], atol=1e-3)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: mel.mel_filterbank(40, 512, 16000, max_hz=9000.0), ValueError, "max_hz=9000"),
        (lambda: mel.mel_filterbank(40, 512, 16000, scale="bark"), ValueError, "`scale` must be one of"),
        (
            lambda: mel.mel_filterbank(40, 512, 16000, normalization="l1"),
            ValueError,
            "`normalization` must be",
        ),
        (lambda: mel.log_compress(SIGNAL, floor=0.0), ValueError, "`floor` must be at least"),
        (lambda: mel.power_to_decibels(SIGNAL, top_db=-1.0), ValueError, "`top_db` must be positive"),
        (lambda: mel.power_to_decibels(SIGNAL, reference="max"), ValueError, "`reference`='max' needs `top_db`"),
        (lambda: mel.power_to_decibels(SIGNAL, reference="peak"), ValueError, "`reference` must be"),
    ],
)
def test_errors_say_what_was_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
