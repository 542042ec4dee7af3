"""`LogMelSpectrogram` against librosa, and the layer contract, on the current backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_audio_si.layers.frontend import LogMelSpectrogram

BACKEND = keras.backend.backend()
RATE = 16000
SMALL = dict(sample_rate=RATE, num_mels=40, frame_seconds=0.016, hop_seconds=0.005)
VARIANTS = [
    {},
    {"dft": "conv"},
    {"center": True, "mel_scale": "slaney", "mel_normalization": "slaney", "power": 1.0},
    {"compression": "decibel", "top_db": 60.0, "min_hz": 50.0, "max_hz": 7000.0},
    {"compression": None, "fft_length": 321},
    {"top_db": 40.0, "reference": "max"},
]


def noise(rng, *shape):
    return (0.1 * rng.standard_normal(shape)).astype("float32")


def run(layer, x):
    if BACKEND == "jax":
        # Compiled as a whole: without, each small operation would be compiled, which is slow.
        import jax

        layer = jax.jit(layer)
    return ops.convert_to_numpy(layer(x))


def librosa_reference(layer, waveform):
    """The same features by librosa, whose uncentred frames have the length of the transform."""
    librosa = pytest.importorskip("librosa", reason="librosa is the reference here")
    waveform = waveform.astype("float64")
    if not layer.center:
        left = (layer.fft_length - layer.frame_length) // 2
        waveform = np.pad(waveform, (left, layer.fft_length - layer.frame_length - left))
    bands = librosa.feature.melspectrogram(
        y=waveform,
        sr=layer.sample_rate,
        n_fft=layer.fft_length,
        hop_length=layer.hop_length,
        win_length=layer.frame_length,
        center=layer.center,
        pad_mode="reflect",
        power=layer.power,
        n_mels=layer.num_mels,
        fmin=layer.min_hz,
        fmax=layer.max_hz,
        htk=layer.mel_scale == "htk",
        norm=layer.mel_normalization,
    ).T
    if layer.compression is None:
        return bands
    reference = np.max if layer.reference == "max" else 1.0
    decibels = librosa.power_to_db(bands, ref=reference, amin=layer.floor, top_db=layer.top_db)
    return decibels * np.log(10) / 10 if layer.compression == "log" else decibels


def test_relative_levels_do_not_depend_on_the_gain(rng):
    layer = LogMelSpectrogram(**SMALL, top_db=40.0, reference="max")
    x = noise(rng, 1, 2000)
    loud, quiet = run(layer, x), run(layer, 0.01 * x)
    np.testing.assert_allclose(quiet, loud, atol=1e-4)
    np.testing.assert_allclose(loud.max(), 0.0, atol=1e-6)
    assert loud.min() >= np.log(1e-4) - 1e-5


@pytest.mark.parametrize("samples", [1999, 2000])
@pytest.mark.parametrize("options", VARIANTS)
def test_equals_librosa(rng, options, samples):
    layer = LogMelSpectrogram(**SMALL, **options)
    x = noise(rng, 2, samples)
    x[1] *= 1e-3
    result = run(layer, x)
    assert result.shape == (2, layer.num_frames(samples), 40) == layer.compute_output_shape((2, samples))
    for waveform, features in zip(x, result, strict=True):
        np.testing.assert_allclose(features, librosa_reference(layer, waveform), rtol=2e-5, atol=1e-4)


def test_defaults_are_the_papers_front_end(rng):
    layer = LogMelSpectrogram(RATE)
    assert (layer.frame_length, layer.hop_length, layer.fft_length) == (480, 160, 512)
    assert layer.num_samples(101) == 16480 and layer.num_frames(16480) == 101
    x = noise(rng, 1, 16480)
    np.testing.assert_allclose(run(layer, x)[0], librosa_reference(layer, x[0]), atol=1e-4)
    assert layer.count_params() == 0


@pytest.mark.parametrize("options", [{}, {"center": True}, {"center": True, "fft_length": 321}])
def test_num_samples_is_the_least_for_its_frames(options):
    layer = LogMelSpectrogram(**SMALL, **options)
    for frames in (3, 4, 50):
        samples = layer.num_samples(frames)
        assert layer.num_frames(samples) == frames and layer.num_frames(samples - 1) == frames - 1
        assert layer(np.zeros((1, max(samples, 300)), "float32")).shape[1] == layer.num_frames(max(samples, 300))


def test_a_shift_by_one_hop_is_a_shift_by_one_frame(rng):
    layer = LogMelSpectrogram(**SMALL)
    x = noise(rng, 1, layer.num_samples(20) + layer.hop_length)
    first = run(layer, x[:, : -layer.hop_length])
    moved = run(layer, x[:, layer.hop_length :])
    np.testing.assert_allclose(first[:, 1:], moved[:, :-1], atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS)
def test_example_does_not_depend_on_its_batch(rng, options):
    layer = LogMelSpectrogram(**SMALL, **options)
    x = noise(rng, 4, 1500)
    x[0] *= 100.0
    np.testing.assert_allclose(run(layer, x)[2:3], run(layer, x[2:3]), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS)
def test_silence_is_finite_and_so_is_its_gradient(options):
    layer = LogMelSpectrogram(**SMALL, **options)
    x = np.zeros((2, 1200), "float32")
    silence = {"log": np.log(1e-10), "decibel": -100.0, None: 0.0}[layer.compression]
    if layer.reference == "max":
        silence = np.log(1e-4)
    np.testing.assert_allclose(run(layer, x), silence, rtol=1e-6)
    np.testing.assert_array_equal(gradient(layer, x), 0.0)


def gradient(layer, x):
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(lambda v: layer(v).sum()))(x))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        v = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(v)
            total = tf.reduce_sum(layer(v))
        return tape.gradient(total, v).numpy()
    v = ops.convert_to_tensor(x).detach().clone().requires_grad_()
    layer(v).sum().backward()
    return v.grad.cpu().numpy()


@pytest.mark.parametrize("options", VARIANTS)
def test_gradient_equals_central_differences(rng, options):
    layer = LogMelSpectrogram(**SMALL, **options)
    x = noise(rng, 1, 1200)
    direction = noise(rng, 1, 1200)

    def total(step):
        return sum(librosa_reference(layer, (x.astype("float64") + step * direction)[0]).ravel())

    expected = (total(1e-6) - total(-1e-6)) / 2e-6
    np.testing.assert_allclose(np.vdot(gradient(layer, x), direction), expected, rtol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
@pytest.mark.parametrize("options", VARIANTS)
def test_half_precision_is_the_float32_result_cast_down(rng, options, policy):
    x = noise(rng, 2, 1300)
    full = LogMelSpectrogram(**SMALL, **options)(x)
    half_layer = LogMelSpectrogram(**SMALL, **options, dtype=policy)
    half = half_layer(x)
    dtype = "float32" if half_layer.compression is None else keras.dtype_policies.get(policy).compute_dtype
    assert keras.backend.standardize_dtype(half.dtype) == dtype
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(half, "float32")),
        ops.convert_to_numpy(ops.cast(ops.cast(full, dtype), "float32")),
    )
    inputs = keras.Input((1300,), dtype="float32")
    assert half_layer(inputs).dtype == dtype


@pytest.mark.parametrize("samples", [1501, None])
@pytest.mark.parametrize("options", VARIANTS)
def test_saved_model_comes_back_equal(rng, tmp_path, options, samples):
    inputs = keras.Input((samples,))
    outputs = LogMelSpectrogram(**SMALL, **options, name="front_end")(inputs)
    frames = None if samples is None else LogMelSpectrogram(**SMALL, **options).num_frames(samples)
    assert outputs.shape == (None, frames, 40)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.get_layer("front_end").get_config() == model.get_layer("front_end").get_config()
    for length in (1501,) if samples else (1501, 800):
        x = noise(rng, 3, length)
        expected = run(LogMelSpectrogram(**SMALL, **options), x)
        np.testing.assert_allclose(restored.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="XLA compiles TensorFlow and JAX")
@pytest.mark.parametrize("options", VARIANTS)
def test_compiled_equals_eager(rng, options):
    layer = LogMelSpectrogram(**SMALL, **options)
    x = noise(rng, 2, 1300)
    if BACKEND == "jax":
        import jax

        result = jax.jit(layer)(x)
    else:
        import tensorflow as tf

        result = tf.function(layer, jit_compile=True)(tf.constant(x))
    np.testing.assert_allclose(np.asarray(result), np.asarray(layer(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="dynamic lengths exist in TensorFlow graphs only")
@pytest.mark.parametrize("options", VARIANTS)
def test_one_graph_serves_all_lengths(rng, options):
    import tensorflow as tf

    layer = LogMelSpectrogram(**SMALL, **options)
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None), tf.float32)])
    for shape in ((2, 900), (3, 1001), (1, 330)):
        x = noise(rng, *shape)
        np.testing.assert_allclose(graph(x), layer(x), rtol=1e-5, atol=1e-5)
    assert graph.experimental_get_tracing_count() == 1


def test_real_audio(shared_data):
    soundfile = pytest.importorskip("soundfile", reason="decodes the clip")
    clips = sorted((shared_data / "esc50" / "audio").glob("*"))
    if not clips:
        pytest.skip(f"no clips in {shared_data / 'esc50'}")
    waveform, rate = soundfile.read(clips[0], dtype="float32", frames=44100)
    layer = LogMelSpectrogram(rate)
    np.testing.assert_allclose(run(layer, waveform[None])[0], librosa_reference(layer, waveform), atol=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"compression": "sqrt"}, "`compression` must be"),
        ({"dft": "dct"}, "`dft` must be"),
        ({"compression": None, "top_db": 80.0}, "`top_db` must be None without `compression`"),
        ({"top_db": 0.0}, "`top_db` must be positive"),
        ({"reference": "max"}, "`reference`='max' needs `top_db`"),
        ({"reference": "min"}, "`reference` must be"),
        ({"floor": 0.0}, "`floor` must be positive"),
        ({"power": -1.0}, "`power` must be positive"),
        ({"fft_length": 128}, "`fft_length` must be at least 256"),
        ({"hop_seconds": 1e-6}, "`hop_seconds` must be at least one sample"),
        ({"max_hz": 9000.0}, "max_hz=9000"),
        ({"mel_scale": "bark"}, "`scale` must be one of"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LogMelSpectrogram(**{**SMALL, **options})


def test_inputs_that_make_no_sense_are_refused():
    layer = LogMelSpectrogram(**SMALL)
    with pytest.raises(ValueError, match=r"shape \(batch, samples\).*\(2, 1000, 1\)"):
        layer(np.zeros((2, 1000, 1), "float32"))
    with pytest.raises(ValueError, match="at least one frame of 256 samples"):
        layer(np.zeros((2, 255), "float32"))
    with pytest.raises(ValueError, match="at least 256 samples"):
        layer(keras.Input((255,)))
    with pytest.raises(TypeError, match="int16"):
        layer(np.zeros((2, 1000), "int16"))
