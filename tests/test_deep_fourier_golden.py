"""DeepFourier against recorded numbers: an evaluation in float64 of the published architectures, and librosa's mels."""

import keras
import numpy as np
import pytest
from harness import numpy, run

from keras_audio_si.data.audio_io import read_audio
from keras_audio_si.layers import ConvolutionFrontEnd, HeuriFrontEnd, MSTFrontEnd
from keras_audio_si.models import Classifier, HeuriNet, MelConvNet, MSTNet, PiczakNet, piczak_spectrogram
from keras_audio_si.ops.mel import mel_filterbank

FRONT_ENDS = {  # first weight's seed, builder
    "heuri": (4100, HeuriFrontEnd),
    "mst": (4200, MSTFrontEnd),
    "heuri2": (
        4300,
        lambda: ConvolutionFrontEnd(22050, (80, 60), (1024, 15), (512, 1), activations=("abs", "tanh"), padding="same"),
    ),
}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def recorded_weights(shapes, seed):
    """The weights by the formula of the arrays, kernels and biases in turn, in the layout of TensorFlow."""
    values = []
    for number, shape in enumerate(shapes):
        n = np.random.default_rng(seed + number).standard_normal(shape)
        values.append((0.05 * n if len(shape) == 1 else n * np.sqrt(2 / np.prod(shape[:-1]))).astype("float32"))
    return values


def front_end_of(name):
    seed, build = FRONT_ENDS[name]
    layer = build()
    layer.build((None, 20992))
    layer.set_weights(recorded_weights([tuple(weight.shape) for weight in layer.weights], seed))
    return layer


@pytest.fixture(scope="module")
def piczak_net():
    model = PiczakNet(num_classes=10, activation=None)
    # The released network has (mel, time), ours (time, mel).
    shapes = [tuple(weight.shape) for weight in model.weights if "seed" not in weight.name]
    turned = [(shape[1], shape[0], *shape[2:]) if len(shape) == 4 else shape for shape in shapes]
    values = recorded_weights(turned, 4000)
    model.set_weights([value.swapaxes(0, 1) if value.ndim == 4 else value for value in values])
    return model


def test_parameter_counts():
    with keras.StatelessScope(initialize_variables=False):  # Shapes alone.
        released = [build(10, standardise="none") for build in (HeuriNet, MSTNet, MelConvNet)]
        counts = [model.count_params() for model in (PiczakNet(10), *released)]
        with_deltas = PiczakNet(10, deltas=True).count_params()
    front_ends = (84540, 964412, 1024 * 1026 + 1026 + 513 * 60 + 60)
    assert counts == [26306730, *(26306730 + count for count in front_ends)]
    assert with_deltas == 26306730 + 57 * 6 * 80


def test_piczak_net(golden, piczak_net):
    arrays = golden("df_piczaknet")
    names = ("pool1", "pool2", "flatten", "dense1", "dense2", "logits")
    probe = keras.Model(piczak_net.input, [piczak_net.get_layer(name).output for name in names])
    pool1, pool2, flatten, dense1, dense2, logits = map(numpy, run(probe, arrays["x"][..., 0].swapaxes(1, 2)))
    np.testing.assert_allclose(pool1.swapaxes(1, 2), arrays["pool1"], **CLOSE)
    np.testing.assert_allclose(pool2.swapaxes(1, 2), arrays["pool2"], **CLOSE)
    np.testing.assert_allclose(flatten, arrays["flatten"], **CLOSE)
    np.testing.assert_allclose(dense1[:, ::10], arrays["dense3_sub"], **CLOSE)
    np.testing.assert_allclose(dense2[:, ::10], arrays["dense4_sub"], **CLOSE)
    np.testing.assert_allclose(logits, arrays["logits"], **CLOSE)
    np.testing.assert_allclose(numpy(keras.ops.softmax(logits)), arrays["prob"], **CLOSE)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_waveform_networks(golden, piczak_net, name):
    arrays, front_end = golden("df_heurinet_mstnet"), front_end_of(name)
    model = Classifier(front_end=front_end, backbone=piczak_net, input_samples=20992)
    probe = keras.Model(model.input, [front_end.output, model.output])
    features, logits = map(numpy, run(probe, arrays["x"][..., 0]))
    np.testing.assert_allclose(features.swapaxes(1, 2)[..., None], arrays[f"{name}_df"], **CLOSE)
    np.testing.assert_allclose(logits, arrays[f"{name}_logits"], **CLOSE)


def test_first_layers(golden):
    arrays = golden("df_heurinet_mstnet")
    x = arrays["x"][..., 0]
    conv1 = front_end_of("heuri").convolutions[0]
    pooled = run(keras.Sequential([conv1, keras.layers.ReLU(), keras.layers.MaxPooling1D(9, 3)]), x)
    np.testing.assert_allclose(numpy(pooled)[:, ::16], arrays["heuri_pool1_sub"], **CLOSE)
    conv1 = front_end_of("mst").convolutions[0]
    filtered = run(keras.Sequential([conv1, keras.layers.ReLU()]), np.pad(x, [(0, 0), (256, 256)]))
    np.testing.assert_allclose(numpy(filtered)[..., ::16], arrays["mst_conv1_sub"], **CLOSE)


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_mel_spectrogram(golden, pad_mode):
    arrays = golden("df_melspectrogram")
    x = arrays["x"]
    decibels = piczak_spectrogram(pad_mode=pad_mode)
    linear = piczak_spectrogram(pad_mode=pad_mode, compression=None, top_db=None)
    power = numpy(run(linear, x)).swapaxes(1, 2)
    np.testing.assert_allclose(power, arrays[f"mel_power_{pad_mode}"], rtol=1e-4, atol=1e-6)
    levels = numpy(run(decibels, x)).swapaxes(1, 2)
    np.testing.assert_allclose(levels, arrays[f"mel_db_{pad_mode}"], atol=2e-3)
    if pad_mode == "reflect":
        np.testing.assert_allclose(levels.mean(axis=(1, 2)), arrays["mean_db"], atol=1e-3)
        quiet = numpy(run(decibels, x * np.float32(1e-6)))
        np.testing.assert_allclose(quiet.mean(axis=(1, 2)), arrays["mel_db_quiet_mean"], atol=1e-3)


def test_mel_filters(golden):
    arrays = golden("df_melspectrogram")
    filters = mel_filterbank(60, 1024, 22050, scale="slaney", normalization="slaney")
    np.testing.assert_allclose(filters.sum(axis=0), arrays["mel_filter_rowsum"], rtol=1e-4)
    np.testing.assert_array_equal(filters.argmax(axis=0), arrays["mel_filter_peakbin"])


@pytest.mark.parametrize("pad_mode, power", [("reflect", 2.0), ("constant", 1.0)])
def test_mel_convolution_starts_as_the_mel_spectrogram(golden, pad_mode, power):
    x = golden("df_melspectrogram")["x"]
    spectrogram = piczak_spectrogram(pad_mode=pad_mode, power=power)
    learned = MelConvNet(10, pad_mode=pad_mode, power=power, dense_units=1).get_layer("mel_convolution")
    wanted = numpy(run(spectrogram, x))
    np.testing.assert_allclose(numpy(run(learned, x)), wanted, atol=1e-4)
    if power == 2.0:
        np.testing.assert_allclose(wanted.swapaxes(1, 2), golden("df_melspectrogram")[f"mel_db_{pad_mode}"], atol=2e-3)


def test_mel_convolution_starts_as_the_mel_spectrogram_of_real_audio(shared_data):
    """The largest distances, a few 1e-4 dB, lie near the bottom of the 80 dB that are kept."""
    paths = sorted((shared_data / "esc50" / "audio").iterdir())[::80]
    x = np.stack([read_audio(path, 22050)[0][:20992] for path in paths])
    x /= np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-6)
    learned = MelConvNet(10, dense_units=1).get_layer("mel_convolution")
    np.testing.assert_allclose(numpy(run(learned, x)), numpy(run(piczak_spectrogram(), x)), rtol=1e-4, atol=1e-4)
