"""TD-filterbanks, SincNet's filters and LEAF against slow direct formulas, on the current backend."""

import math

import keras
import numpy as np
import pytest
from harness import computed, gradients, numpy

from keras_audio_si import layers, models
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.ops.padding import same_padding

RATE = 2000  # 51 taps, a hop of 20 samples
FRONT_ENDS = {"TDFilterbanks": layers.TDFilterbanks, "SincFilters": layers.SincFilters, "LEAF": layers.LEAF}
every_front_end = pytest.mark.parametrize("name", FRONT_ENDS)


def noise(rng, *shape):
    return (0.3 * rng.standard_normal(shape)).astype("float32")


def built(name, **options):
    layer = FRONT_ENDS[name](RATE, num_filters=5, **options)
    layer.build((None, None))
    return layer


def complex_filters(name, weights, num_taps):
    """The taps of every filter, `(num_taps, filters)`, from the weights of the layer."""
    times = np.arange(num_taps)[:, None] - num_taps // 2
    if name == "TDFilterbanks":
        return weights[0][:, 0] + 1j * weights[0][:, 1]
    if name == "LEAF":
        centre, width = weights[:2]
        return np.exp(1j * centre * times) * np.exp(-(times**2) / (2 * width**2)) / (math.sqrt(2 * math.pi) * width)
    low, high = weights[0], weights[0] + weights[1]
    band_pass = 2 * high * np.sinc(2 * high * times) - 2 * low * np.sinc(2 * low * times)
    return band_pass / (2 * (high - low)) * np.hamming(num_taps)[:, None]


def direct(name, weights, waveform, num_taps=51, hop=20, num_frames=None, stride=1):
    """Frame by frame, output by output: frame t is centred on the middle of hop t."""
    weights = [np.asarray(weight, "float64") for weight in weights]
    filters, half = complex_filters(name, weights, num_taps), num_taps // 2
    num_frames = len(waveform) // hop if num_frames is None else num_frames
    silence = np.zeros(3 * num_taps)
    padded = np.concatenate([silence, waveform.astype("float64"), silence])
    frames = []
    for t in range(num_frames):
        middle = t * hop + half - (num_taps - hop) // 2
        outputs = []
        for offset in range(-half + half % stride, half + 1, stride):
            start = len(silence) + middle + offset - half
            outputs.append(padded[start : start + num_taps] @ filters)
        frames.append(outputs)
    outputs = np.array(frames)
    times = np.arange(-half + half % stride, half + 1, stride)
    if name == "SincFilters":
        maxima = np.where(outputs.real > 0, outputs.real, 0.2 * outputs.real).max(axis=1)
        maxima = np.maximum(maxima, 1e-5)
        centred = maxima - maxima.mean(axis=1, keepdims=True)
        gamma, beta = weights[2:]
        return centred / np.sqrt(maxima.var(axis=1, keepdims=True) + 1e-3) * gamma + beta
    energy = np.abs(outputs) ** 2
    if name == "TDFilterbanks":
        window = weights[1].reshape(-1)[half + times][:, None]
        return np.log(np.maximum(stride * (energy * window).sum(axis=1), 1e-5))
    window_width, gain, bias, root, smoothing = weights[2:]
    window = np.exp(-0.5 * (times[:, None] / (window_width * half)) ** 2)
    energy = np.maximum(stride * (energy * window).sum(axis=1), 1e-5)
    level, rows = energy[0], []
    for row in energy:
        level = (1 - smoothing) * level + smoothing * row
        rows.append((row / (1e-12 + level) ** gain + bias) ** (1 / root) - bias ** (1 / root))
    return np.array(rows)


def disturbed(layer, rng):
    """Moves the weights a little from where they start, within their bounds."""
    for weight in layer.weights:
        weight.assign(numpy(weight) * (1 - 0.1 * rng.uniform(size=weight.shape)))
    return [numpy(weight) for weight in layer.weights]


@pytest.mark.parametrize("stride", [1, 4])
@every_front_end
def test_equals_the_direct_formula(name, rng, stride):
    layer = built(name, filter_stride=stride)
    weights = disturbed(layer, rng)
    x = noise(rng, 2, 833)
    x[1] *= 0.01
    features = computed(layer, x)
    assert features.shape == (2, 41, 5) == layer.compute_output_shape(x.shape)
    for waveform, got in zip(x, features, strict=True):
        np.testing.assert_allclose(got, direct(name, weights, waveform, stride=stride), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("hop", [80, 140])
@every_front_end
def test_frames_shorter_than_a_hop_are_in_its_middle(name, hop, rng):
    layer, x = built(name, hop_seconds=hop / RATE), noise(rng, 1, 833)
    wanted = direct(name, [numpy(weight) for weight in layer.weights], x[0], hop=hop)
    np.testing.assert_allclose(computed(layer, x)[0], wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    "name", ["TDFilterbanks", "SincFilters"]
)  # The gain control of LEAF remembers what was before.
def test_valid_frames_lie_inside_and_move_with_the_waveform(name, rng):
    layer = built(name, padding="valid")
    assert layer.num_samples(1) == 101 and layer.num_frames(100) == 0
    assert layer.num_frames(layer.num_samples(30)) == 30 and layer.num_frames(layer.num_samples(30) - 1) == 29
    x = noise(rng, 1, layer.num_samples(31))
    features = computed(layer, x)
    # Centred on sample 50, as frame 2 of the other kind is.
    wanted = direct(name, [numpy(weight) for weight in layer.weights], x[0], num_frames=33)[2:]
    np.testing.assert_allclose(features[0], wanted, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(computed(layer, x[:, 20:]), features[:, 1:], atol=1e-4)


@every_front_end
def test_silence_behind_a_clip_changes_none_of_its_frames(name, rng):
    layer, x = built(name), noise(rng, 1, 327)
    longer = np.pad(x, [(0, 0), (0, 250)])
    np.testing.assert_allclose(computed(layer, longer)[:, :16], computed(layer, x), rtol=1e-5, atol=1e-5)


def test_frames_stand_where_the_released_ones_do(rng):
    """Filters at every sample, then windows, both padded as TensorFlow's SAME: equal but for the ends."""
    layer, x = built("TDFilterbanks"), noise(rng, 1, 400)
    taps, window = (numpy(weight) for weight in layer.weights)
    padded = np.pad(x[0], 25)
    outputs = np.stack([padded[n : n + 51] @ (taps[:, 0] + 1j * taps[:, 1]) for n in range(400)])
    energy = np.pad(np.abs(outputs) ** 2, [same_padding(400, 51, 20), (0, 0)])
    frames = np.stack([(energy[20 * t : 20 * t + 51] * window).sum(axis=0) for t in range(20)])
    np.testing.assert_allclose(computed(layer, x)[0, 2:-2], np.log(frames[2:-2]), rtol=1e-4, atol=1e-4)


@every_front_end
def test_slopes_of_all_weights(name, rng):
    layer = built(name)
    weights = disturbed(layer, rng)
    x = noise(rng, 1, 400)
    vjp = gradients(layer, x)[1:]
    for i, slope in enumerate(vjp):
        direction = rng.standard_normal(weights[i].shape)

        def total(step, i=i, direction=direction):
            moved = [w + step * direction if j == i else w for j, w in enumerate(weights)]
            return (direct(name, moved, x[0]) ** 2).sum()

        wanted = (total(1e-6) - total(-1e-6)) / 2e-6
        assert np.vdot(slope, direction) == pytest.approx(wanted, rel=2e-3, abs=1e-3 * float(np.abs(slope).sum()))


def test_half_precision_is_the_float32_result_cast_down(rng):
    x = noise(rng, 1, 300)
    full = computed(built("SincFilters"), x)
    layer = built("SincFilters", dtype="mixed_bfloat16")
    half = computed(lambda x: keras.ops.cast(layer(x), "float32"), x)
    np.testing.assert_array_equal(half, numpy(keras.ops.cast(keras.ops.cast(full, "bfloat16"), "float32")))


def test_sizes_of_table_3():
    assert [cls(16000, num_filters=64).num_taps for cls in FRONT_ENDS.values()] == [401] * 3
    counts = {}
    for name, cls in FRONT_ENDS.items():
        layer = cls(16000, num_filters=64)
        layer.build((None, 16000))
        counts[name] = layer.count_params()
        assert layer.compute_output_shape((None, 160000)) == (None, 1000, 64)
        assert layer.num_samples(frames=100) == 16000
    assert counts == {"TDFilterbanks": 2 * 64 * 401 + 401, "SincFilters": 256, "LEAF": 448}


def test_filters_start_on_the_mel_scale():
    leaf, td = layers.LEAF(16000, num_filters=40), layers.TDFilterbanks(16000, num_filters=40)
    leaf.build((None, None))
    td.build((None, None))
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (60, 7800))
    centres = 700 * (10 ** (np.linspace(low, high, 42)[1:-1] / 2595) - 1)
    np.testing.assert_allclose(numpy(leaf.centre) * 16000 / (2 * math.pi), centres, rtol=1e-5)
    taps = complex_filters("TDFilterbanks", [numpy(td.filter_taps)], 401)
    np.testing.assert_allclose((np.abs(taps) ** 2).sum(axis=0)[5:], 1.0, atol=1e-3)  # Below, cut off by the window.
    spectrum = np.abs(np.fft.fft(taps, 32000, axis=0))
    np.testing.assert_allclose(spectrum.argmax(axis=0) / 2, centres, atol=1.0)
    assert np.array_equal(numpy(td.window_taps)[:, 0], np.float32(np.hanning(401) ** 2))


def test_td_filterbanks_start_close_to_log_mel(shared_data):
    """On speech, band by band, over frames that stand at the same places."""
    soundfile = pytest.importorskip("soundfile", reason="decodes the clip")
    clips = sorted((shared_data / "speech_commands_v2").glob("*/*.wav"))
    if not clips:
        pytest.skip(f"no clips in {shared_data / 'speech_commands_v2'}")
    x = soundfile.read(clips[0], dtype="float32", frames=9600)[0][None]
    learned = computed(layers.TDFilterbanks(16000, floor=1e-9), x)[0]
    frames = layers.LogMelSpectrogram(16000, 0.025, num_mels=40, min_hz=60.0, max_hz=7800.0)
    fixed = computed(frames, np.pad(x, [(0, 0), (120, 400)]))[0, : len(learned)]
    # The median, since recordings that once had another rate hold next to nothing in some bands.
    assert np.median([np.corrcoef(learned[:, band], fixed[:, band])[0, 1] for band in range(40)]) > 0.97


def test_more_filters_than_the_window_can_tell_apart():
    layer = layers.LEAF(16000, num_filters=128)
    layer.build((None, None))
    widest = 401 * math.sqrt(2 * math.log(2)) / math.pi
    assert numpy(layer.width).max() == pytest.approx(widest) and np.all(np.diff(numpy(layer.centre)) > 0)


def test_a_larger_filter_stride_changes_little(rng):
    x = noise(rng, 1, 3200)
    exact, faster = (computed(layers.LEAF(16000, filter_stride=stride), x) for stride in (1, 4))
    assert np.abs(exact - faster).max() < 0.01


@every_front_end
def test_weights_stay_in_their_bounds(name, rng):
    layer = built(name)
    half = math.sqrt(2 * math.log(2)) / math.pi
    bounds = {"centre": (0, math.pi), "width": (4 * half, 51 * half), "window_width": (2 / 51, 0.5)}
    bounds |= {"low": (0, 0.5), "band": (0, 0.5)}
    for value in (-1e3, 1e3):
        for weight in layer.weights:
            weight.assign(np.full(weight.shape, value, "float32"))
            if weight.name in bounds:
                bound = bounds[weight.name][value > 0]
                np.testing.assert_allclose(numpy(weight.constraint(np.float32([value]))), bound, rtol=1e-6)
        assert np.isfinite(computed(layer, noise(rng, 1, 300))).all()  # Whoever has set them.


def test_a_classifier_with_it_knows_its_front_end():
    front_end = layers.LEAF(RATE, num_filters=8)
    inputs = keras.Input((None, 8))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(inputs))
    model = models.Classifier(front_end, backbone)
    assert front_end_of(model, any_length=True) is front_end
    assert patch_layout(model, window_seconds=0.3)[:3] == (RATE, 600, 300)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_filters": 0}, "`num_filters` must be positive"),
        ({"floor": 0.0}, "`floor` must be positive"),
        ({"padding": "reflect"}, "`padding` must be one of 'same', 'valid'"),
        (
            {"filter_stride": 3},
            "`filter_stride` must divide the hop of 20 samples, as do 1, 2, 4, 5, 10, 20. Received: filter_stride=3",
        ),
        ({"max_hz": 1500.0}, "max_hz=1500"),
        ({"hop_seconds": 1e-6}, "`hop_seconds` must be at least one sample"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        layers.LEAF(RATE, **options)


def test_inputs_that_make_no_sense_are_refused():
    layer = built("TDFilterbanks")
    with pytest.raises(ValueError, match=r"shape \(batch, samples\).*\(2, 100, 1\)"):
        layer(np.zeros((2, 100, 1), "float32"))
    with pytest.raises(ValueError, match="at least 20 samples"):
        layer(np.zeros((2, 19), "float32"))
    with pytest.raises(TypeError, match="int16"):
        layer(np.zeros((2, 100), "int16"))
