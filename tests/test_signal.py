"""The Fourier transforms against librosa, scipy and the direct formulas, on the current backend."""

import numpy as np
import pytest
from functions import BACKEND, compiled, run, to_numpy, vjp
from keras import ops

from keras_audio_si.ops import framing, signal

# (samples, frame, hop, fft): odd and even everything, zero padded transforms, hops that do not divide.
SETTINGS = [
    (1601, 480, 160, 512),
    (1000, 101, 33, 101),
    (997, 101, 30, 128),
    (512, 64, 16, 65),
]

needs_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="dynamic lengths exist in TensorFlow graphs only")


def noise(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


@pytest.mark.parametrize("method, pad_mode", [("fft", "reflect"), ("fft", "constant"), ("conv", "reflect")])
@pytest.mark.parametrize("samples, length, hop, fft", SETTINGS)
def test_centred_stft_equals_librosa(rng, samples, length, hop, fft, pad_mode, method):
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    x = noise(rng, 3, samples)
    expected = librosa.stft(
        x.astype("float64"), n_fft=fft, hop_length=hop, win_length=length, center=True, pad_mode=pad_mode
    ).swapaxes(-1, -2)
    real, imag = run(lambda v: signal.stft(v, length, hop, fft, center=True, pad_mode=pad_mode, method=method), x)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(real / scale, expected.real / scale, atol=1e-6)
    np.testing.assert_allclose(imag / scale, expected.imag / scale, atol=1e-6)


@pytest.mark.parametrize(
    "method, window", [("fft", "hann"), ("fft", "hamming"), ("fft", "rectangular"), ("conv", "hamming")]
)
@pytest.mark.parametrize("samples, length, hop, fft", SETTINGS)
def test_stft_equals_scipy_windows_and_numpy_fft(rng, samples, length, hop, fft, method, window):
    windows = pytest.importorskip("scipy.signal.windows", reason="scipy is the reference here")
    taps = windows.get_window({"rectangular": "boxcar"}.get(window, window), length, fftbins=True)
    np.testing.assert_allclose(framing.make_window(length, window), taps, atol=1e-7)
    x = noise(rng, samples)
    left = (fft - length) // 2
    frames = np.stack([x[s : s + length] * taps for s in range(0, samples - length + 1, hop)])
    expected = np.fft.rfft(np.pad(frames, ((0, 0), (left, fft - length - left))))
    real, imag = run(lambda v: signal.stft(v, length, hop, fft, window=window, method=method), x)
    scale = np.abs(expected).max()
    np.testing.assert_allclose((real + 1j * imag) / scale, expected / scale, atol=1e-6)


def test_stft_reads_any_leading_axes_and_float_type(rng):
    x = noise(rng, 2, 3, 500)
    real, imag = to_numpy(*signal.stft(x, 64, 16, center=True))
    one_real, one_imag = to_numpy(*signal.stft(x[1, 2], 64, 16, center=True))
    assert real.shape == imag.shape == (2, 3, 32, 33)
    np.testing.assert_allclose(real[1, 2], one_real, atol=1e-5)
    np.testing.assert_allclose(imag[1, 2], one_imag, atol=1e-5)
    for dtype in ("float64", "float16", "bfloat16"):
        cast = ops.cast(x, dtype) if dtype != "float64" else x.astype("float64")
        same = to_numpy(signal.stft(cast, 64, 16)[0])
        back = to_numpy(signal.stft(ops.cast(cast, "float32"), 64, 16)[0])
        assert same.dtype == "float32"
        np.testing.assert_array_equal(same, back)


@pytest.mark.parametrize("samples, length, hop, fft", SETTINGS + [(1024, 256, 128, 256)])
def test_round_trip_and_its_gradient_are_the_identity(rng, samples, length, hop, fft):
    x = noise(rng, 2, samples)
    cotangent = noise(rng, 2, samples)

    def round_trip(v):
        real, imag = signal.stft(v, length, hop, fft, center=True)
        return signal.istft(real, imag, length, hop, fft, center=True, length=samples)

    np.testing.assert_allclose(run(round_trip, x), x, atol=1e-5)
    np.testing.assert_allclose(to_numpy(compiled(round_trip)(ops.convert_to_tensor(x))), x, atol=1e-5)
    np.testing.assert_allclose(vjp(round_trip, x, cotangent), cotangent, atol=1e-5)


@pytest.mark.parametrize("window", ["hamming", "rectangular"])
def test_uncentred_round_trip_is_exact_where_frames_lie(rng, window):
    x = noise(rng, 2, 1000)
    real, imag = run(lambda v: signal.stft(v, 96, 32, 128, window=window), x)
    y = run(lambda *v: signal.istft(*v, 96, 32, 128, window=window, length=1000), real, imag)
    covered = (1000 - 96) // 32 * 32 + 96
    np.testing.assert_allclose(y[:, :covered], x[:, :covered], atol=1e-5)
    assert covered < 1000 and not y[:, covered:].any()


@pytest.mark.parametrize("samples, length, hop, fft", SETTINGS)
def test_istft_of_a_changed_spectrum_equals_librosa(rng, samples, length, hop, fft):
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    frames = 1 + samples // hop
    real, imag = noise(rng, 2, frames, fft // 2 + 1), noise(rng, 2, frames, fft // 2 + 1)
    imag[..., 0] = 0.0
    if fft % 2 == 0:
        imag[..., -1] = 0.0
    for wanted in (None, hop * (frames - 1)):
        expected = librosa.istft(
            (real + 1j * imag).swapaxes(-1, -2), n_fft=fft, hop_length=hop, win_length=length, length=wanted
        )
        y = run(lambda *v, n=wanted: signal.istft(*v, length, hop, fft, center=True, length=n), real, imag)
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("which", ["real", "imag"])
def test_istft_gradient_is_its_transpose(rng, which):
    length, hop, fft, frames = 6, 2, 9, 5
    shape = (frames, fft // 2 + 1)

    def function(v):
        pair = (v, v * 0.0) if which == "real" else (v * 0.0, v)
        return signal.istft(*pair, length, hop, fft, center=True)

    # istft is linear: its values at all unit spectra are its matrix, and the transpose of that its gradient.
    columns = np.eye(np.prod(shape), dtype="float32").reshape(-1, *shape)
    matrix = run(function, columns)
    cotangent = noise(rng, matrix.shape[1])
    expected = (matrix @ cotangent).reshape(shape)
    gradient = vjp(function, noise(rng, *shape), cotangent)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["fft", "conv"])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_stft_gradient_is_its_transpose(rng, method, pad_mode):
    x = noise(rng, 41)

    def function(v):
        return ops.stack(signal.stft(v, 9, 4, 12, center=True, pad_mode=pad_mode, method=method), axis=-1)

    matrix = run(function, np.eye(41, dtype="float32"))
    cotangent = noise(rng, *matrix.shape[1:])
    expected = np.tensordot(matrix, cotangent, axes=3)
    np.testing.assert_allclose(vjp(function, x, cotangent), expected, atol=2e-5)
    np.testing.assert_allclose(vjp(compiled(function), x, cotangent), expected, atol=2e-5)


@needs_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("method", ["fft", "conv"])
def test_one_graph_serves_all_lengths(rng, method, jit_compile):
    import tensorflow as tf

    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32)], jit_compile=jit_compile)
    def round_trip(v):
        traces.append(1)
        real, imag = signal.stft(v, 48, 16, 64, center=True, method=method)
        return real, signal.istft(real, imag, 48, 16, 64, center=True, length=tf.shape(v)[1])

    for shape in ((2, 400), (3, 401), (1, 97)):
        x = noise(rng, *shape)
        real, y = round_trip(x)
        assert real.shape == (shape[0], 1 + shape[1] // 16, 33)
        np.testing.assert_allclose(real, signal.stft(x, 48, 16, 64, center=True)[0], atol=1e-5)
        np.testing.assert_allclose(y, x, atol=1e-5)
    assert len(traces) == 1


def test_dft_kernels_are_the_fourier_transform_of_unit_frames():
    kernels = signal.dft_kernels(16, 11, "hamming")
    unit_frames = np.pad(np.diag(framing.make_window(11, "hamming").astype("float64")), ((0, 0), (2, 3)))
    expected = np.fft.rfft(unit_frames)
    np.testing.assert_allclose(kernels[:, 0, :9], expected.real, atol=1e-7)
    np.testing.assert_allclose(kernels[:, 0, 9:], expected.imag, atol=1e-7)
    assert signal.dft_kernels(16, 11, "hamming") is kernels
    with pytest.raises(ValueError, match="read-only"):
        kernels[0] = 1.0


@pytest.mark.parametrize("power", [1.0, 2.0, 0.6])
def test_power_spectrum_and_its_gradient(rng, power):
    real, imag = noise(rng, 50), noise(rng, 50)
    np.testing.assert_allclose(
        to_numpy(signal.power_spectrum(real, imag, power)), np.abs(real + 1j * imag) ** power, rtol=1e-5
    )
    gradient = vjp(lambda v: signal.power_spectrum(v, imag, power), real, np.ones(50, "float32"))
    magnitude = np.abs(real + 1j * imag)
    np.testing.assert_allclose(gradient, power * real * magnitude ** (power - 2), rtol=1e-4, atol=1e-6)
    zeros = np.zeros(4, "float32")
    np.testing.assert_array_equal(to_numpy(signal.power_spectrum(zeros, zeros, power)), zeros)
    np.testing.assert_array_equal(vjp(lambda v: signal.power_spectrum(v, zeros, power), zeros, zeros + 1), zeros)


SIGNAL = np.zeros((2, 100), "float32")
BINS = np.zeros((2, 5, 17), "float32")


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: signal.stft(SIGNAL, 32, 8, fft_length=16), ValueError, "`fft_length` must be at least"),
        (
            lambda: signal.stft(SIGNAL, 32, 8, window="kaiser"),
            ValueError,
            "`window` must be one of 'hann'.*'kaiser'",
        ),
        (lambda: signal.stft(SIGNAL, 32, 8, method="dct"), ValueError, "`method` must be one of"),
        (lambda: signal.stft(SIGNAL, 101, 8, method="conv"), ValueError, "one frame of 101 samples"),
        (
            lambda: signal.stft(SIGNAL, 32, 8, center=True, pad_mode="wrap"),
            ValueError,
            "`pad_mode` must be one of",
        ),
        (lambda: signal.stft(SIGNAL, 256, 8, center=True), ValueError, "more than 128 samples"),
        (lambda: signal.istft(BINS, BINS, 64, 8), ValueError, "must have 33 bins"),
        (lambda: signal.istft(BINS, BINS, 32, 8, length=200), ValueError, "`length` must be from 1 to 71"),
        (lambda: signal.power_spectrum(SIGNAL, SIGNAL, power=0.0), ValueError, "`power` must be positive"),
    ],
)
def test_errors_say_what_was_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
