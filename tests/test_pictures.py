"""Values behind the pictures of front-ends and of what classifiers get right, and the pictures themselves."""

import csv

import keras
import numpy as np
import pytest
from harness import numpy

from keras_audio_si import layers, models
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.evaluation.patches import Confusion
from keras_audio_si.visualization.activations import front_activations, loudest_patches, one_clip_per_class
from keras_audio_si.visualization.classification import phase_curves, plot_bars, plot_confusion, plot_phases
from keras_audio_si.visualization.front_ends import plot_activations, plot_kernels
from keras_audio_si.visualization.kernels import dominant_order, first_kernels, kernel_spectra

RATE = 8000
needs_matplotlib = pytest.mark.usefixtures("drawn")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, in order."""
    pytest.importorskip("matplotlib", reason="needs matplotlib, of the extra `plots`")
    from matplotlib.figure import Figure

    figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args: (figures.append(figure), save(figure, *args))[1])
    return figures


def cut_off(figure):
    """The texts of a figure that do not lie within it."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent() for text in texts]
    (left, bottom), (right, top) = figure.bbox.get_points()
    inside = [left <= box.x0 and box.x1 <= right and bottom <= box.y0 and box.y1 <= top for box in boxes]
    return [text.get_text() for text, fits in zip(texts, inside, strict=True) if not fits]


def built(layer):
    layer.build((None, 2000))
    return layer


class TestKernels:
    def test_spectra_are_those_of_a_direct_sum(self, rng):
        kernels = rng.normal(size=(3, 20))
        frequencies, magnitudes = kernel_spectra(kernels, RATE, fft_length=64)
        np.testing.assert_allclose(frequencies, np.arange(33) * RATE / 64)
        turns = np.exp(-2j * np.pi * np.outer(frequencies / RATE, np.arange(20)))
        np.testing.assert_allclose(magnitudes, np.abs(kernels @ turns.T), rtol=1e-9)
        both = kernel_spectra(kernels[:2] + 1j * kernels[1:], RATE, fft_length=64)[1]
        np.testing.assert_allclose(both, np.hypot(magnitudes[:2], magnitudes[1:]), rtol=1e-9)

    def test_peaks_are_seen_between_the_bins_of_the_kernel(self):
        kernel = np.hanning(100) * np.sin(2 * np.pi * 1234 / RATE * np.arange(100))
        frequencies, magnitudes = kernel_spectra(kernel[None], RATE)
        assert abs(frequencies[magnitudes[0].argmax()] - 1234) <= RATE / 512

    def test_fourier_kernels_are_put_in_order(self, rng):
        layer = built(layers.MelConvolution(RATE, frame_seconds=0.008, hop_seconds=0.004, num_mels=4))
        kernels = first_kernels(layer)
        assert kernels.shape == (33, 64) and np.iscomplexobj(kernels)
        shuffled = rng.permutation(33)
        frequencies, magnitudes = kernel_spectra(kernels[shuffled], RATE)
        assert shuffled[dominant_order(magnitudes)].tolist() == list(range(33))
        dominant = frequencies[magnitudes.argmax(axis=1)]
        assert np.abs(dominant - shuffled * RATE / 64).max() <= frequencies[1]

    def test_kernels_of_a_convolution_are_what_it_convolves_with(self, rng):
        layer = built(layers.ConvolutionFrontEnd(RATE, (3,), (16,), (1,), activations=("tanh",)))
        waveform = (0.1 * rng.normal(size=40)).astype("float32")
        wanted = np.tanh([np.correlate(waveform, kernel, "valid") for kernel in first_kernels(layer)]).T
        np.testing.assert_allclose(numpy(layer(waveform[None]))[0], wanted, atol=1e-5)

    @pytest.mark.parametrize("front_end, is_complex", [("TDFilterbanks", True), ("SincFilters", False), ("LEAF", True)])
    def test_filterbanks_start_in_order(self, front_end, is_complex):
        layer = built(getattr(layers, front_end)(RATE, num_filters=6, frame_seconds=0.02))
        kernels = first_kernels(layer)
        assert kernels.shape == (6, 161) and np.iscomplexobj(kernels) == is_complex
        frequencies, magnitudes = kernel_spectra(kernels, RATE)
        assert dominant_order(magnitudes).tolist() == list(range(6))
        assert 60 < frequencies[magnitudes[0].argmax()] < frequencies[magnitudes[-1].argmax()] < 3900

    def test_at_least_one_is_drawn(self, tmp_path):
        for shown in (0, -3):
            with pytest.raises(ValueError, match="`shown` must be an integer of at least 1"):
                plot_kernels(np.ones((2, 8)), RATE, tmp_path / "kernels.png", shown=shown)

    def test_a_front_end_without_kernels_is_refused(self):
        with pytest.raises(ValueError, match="has no kernels"):
            first_kernels(layers.LogMelSpectrogram(RATE))

    @needs_matplotlib
    def test_picture(self, rng, drawn, tmp_path):
        kernels = rng.normal(size=(5, 32)).astype("float32")
        assert plot_kernels(kernels, RATE, tmp_path / "kernels.png", shown=3).exists()
        spectra, *panels = (axes for axes in drawn[0].axes if axes.get_label() != "<colorbar>")
        frequencies, magnitudes = kernel_spectra(kernels, RATE)
        order = dominant_order(magnitudes)
        image = np.asarray(spectra.images[0].get_array())
        np.testing.assert_array_equal(image.argmax(axis=0), magnitudes[order].argmax(axis=1))
        assert image.max() == 0 and image.min() >= -40
        assert spectra.images[0].get_extent() == [0.5, 5.5, 0.0, RATE / 2000]
        curves = [panel.lines[0] for panel in panels if panel.lines]
        np.testing.assert_array_equal([curve.get_ydata() for curve in curves], kernels[order[[0, 2, 4]]])
        assert curves[0].get_xdata()[-1] == pytest.approx(31 / RATE * 1000)  # ms


class TestActivations:
    @pytest.fixture(scope="class")
    def networks(self):
        options = {"num_classes": 2, "dense_units": 2}
        return {"start": models.MelConvNet(**options), "other": models.HeuriNet(**options)}

    def test_values(self, networks, rng):
        waveforms = rng.uniform(-1, 1, (2, 20992)).astype("float32")
        found = front_activations(networks, waveforms)
        assert list(found) == ["Mel spectrogram", "start", "other"]
        np.testing.assert_allclose(found["start"].values, found["Mel spectrogram"].values, atol=1e-3)
        inner = keras.Model(networks["other"].inputs, networks["other"].layers[1].output)
        np.testing.assert_allclose(found["other"].values, numpy(inner(waveforms)), rtol=1e-4, atol=1e-6)
        assert found["Mel spectrogram"].hop_seconds == 512 / 22050 and found["other"].hop_seconds == 480 / 22050

    def test_a_network_on_waveforms_has_none(self):
        eat = models.EATSmall(2, (4096,), (4, 2), channels=2, transformer_layers=1, sample_rate=8000)
        with pytest.raises(ValueError, match="The model 'eat' has no front-end whose activations could be drawn"):
            front_activations({"eat": eat}, np.zeros((1, 4096), "float32"))

    def test_other_lengths_are_refused(self, networks):
        with pytest.raises(ValueError, match="20000 samples"):
            front_activations(networks, np.zeros((1, 20000), "float32"))

    @needs_matplotlib
    def test_picture(self, networks, rng, drawn, tmp_path):
        waveforms = np.stack([rng.uniform(-1, 1, 20992), np.sin(0.3 * np.arange(20992))])
        found = front_activations(networks, waveforms)
        plot_activations(found, ["noise", "tone"], tmp_path / "activations.png")
        panels = [axes for axes in drawn[0].axes if axes.get_label() != "<colorbar>"]
        assert len(panels) == 6
        shown = panels[5].images[0]
        np.testing.assert_array_equal(shown.get_array(), found["other"].values[1].T)
        assert shown.get_extent() == [0, pytest.approx(41 * 480 / 22050), 0.5, 60.5]
        assert shown.get_clim() == panels[2].images[0].get_clim()  # one scale for a column


def test_chosen_patches():
    pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")
    from keras_audio_si.data.pipeline import PatchDataset

    waveforms = [np.repeat(levels, 10) for levels in ([1.0, 3.0, 2.0], [1.0, 1.0], [5.0, 1.0, 1.0, 7.0])]
    cache = ClipCache.from_waveforms(waveforms, [("a",), ("a",), ("b",)], 100)
    patches = PatchDataset(cache, 10, hop_samples=10)
    assert one_clip_per_class(patches) == [0, 2]
    assert loudest_patches(patches, [0, 2]) == [1, 8]


class TestConfusion:
    def test_picture_has_the_shares_of_scikit_learn(self, rng, drawn, tmp_path):
        metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is what this is compared with")
        targets, predictions = rng.integers(0, 3, (2, 50))
        confusion = Confusion.of(targets, predictions, 4)  # of the last class nothing
        path = plot_confusion(confusion, ("a", "b", "c", "d"), tmp_path / "confusion.png", title="net")
        assert path.exists()
        axes = drawn[0].axes[0]
        wanted = metrics.confusion_matrix(targets, predictions, labels=range(4), normalize="true")
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), wanted)
        assert axes.get_ylabel() == "Class" and [text.get_text() for text in axes.get_yticklabels()] == list("abcd")
        score = metrics.balanced_accuracy_score(targets, predictions)
        assert drawn[0].get_suptitle() == f"net: balanced accuracy {score:.3f}"

    @pytest.mark.parametrize(
        "names",
        [
            ("dog", "rain"),
            ("$$", "cost $5_ or $6", "100$ \\bad $"),
            tuple(f"{i} of many (very long), names of classes" for i in "abcde"),
        ],
    )
    def test_no_text_is_cut_off(self, names, drawn, tmp_path):
        confusion = Confusion(30 * np.eye(len(names), dtype=int))
        plot_confusion(confusion, names, tmp_path / "confusion.png", "a_model_of_2024-01-31, clips by mean scores")
        assert cut_off(drawn[0]) == []
        axes = drawn[0].axes[0]
        cell = axes.get_window_extent().width / len(names) / drawn[0].dpi
        assert cell > 0.3 and max(len(text.get_text()) for text in axes.get_yticklabels()) <= 30  # Inches, letters.

    def test_names_must_fit(self, tmp_path):
        with pytest.raises(ValueError, match="as many as the"):
            plot_confusion(Confusion.of([0], [0], 2), ("a",), tmp_path / "x.png")


def write_log(path, accuracies, column="accuracy"):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", column, "val_patch_balanced_accuracy"])
        writer.writerows([i, value, value / 2] for i, value in enumerate(accuracies))
    return path


def test_phases_follow_each_other(drawn, tmp_path):
    phases = {
        "forcing": write_log(tmp_path / "0.csv", [0.9], column="mse"),
        "phase 1": write_log(tmp_path / "1.csv", [0.1, 0.2]),
        "phase 2": write_log(tmp_path / "2.csv", [0.3]),
    }
    curves = phase_curves(phases, ("accuracy",))
    assert {name: curve["epoch"].tolist() for name, curve in curves.items()} == {"phase 1": [1, 2], "phase 2": [3]}
    plot_phases({"net": phases}, tmp_path / "curves.png")
    top, bottom = drawn[0].axes
    assert top.lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.2], [3, 0.3]]
    assert top.lines[1].get_xdata()[0] == 2.5  # where phase 2 begins
    assert bottom.lines[0].get_ydata().tolist() == [0.05, 0.1, 0.15]


def test_bars(drawn, tmp_path):
    values = {"one": {"segments": [0.25, 0.75], "clips": [0.5]}, "two": {"segments": [0.125, 0.125]}}
    plot_bars(values, tmp_path / "bars.png", chance=0.1)
    first, second = drawn[0].axes[0].containers[:1] + drawn[0].axes[0].containers[2:3]
    assert [bar.get_height() for bar in first] == [0.5, 0.125]
    np.testing.assert_array_equal([bar.get_height() for bar in second], [0.5, np.nan])
    assert first[0].get_x() < first[0].get_x() + first[0].get_width() <= second[0].get_x()
    plot_bars(
        {"model": dict.fromkeys(("patches", "clips by votes", "clips by mean scores"), [0.5])}, tmp_path / "one.png"
    )
    assert cut_off(drawn[1]) == []


@pytest.mark.once
def test_command_line_and_tensorboard(drawn, tmp_path, capsys):
    """The three verbs on clips on disk, and `write_pictures` beside a training."""
    tensorflow = pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")
    soundfile = pytest.importorskip("soundfile")
    from keras_audio_si.cli import main as cli
    from keras_audio_si.data.loud_patches import cut_loud_patches
    from keras_audio_si.data.manifest import Clip, Manifest
    from keras_audio_si.visualization.pictures import write_pictures

    clips, rng = [], np.random.default_rng(0)
    for index, name in enumerate(("rain", "dog", "rain")):
        soundfile.write(tmp_path / f"{index}.wav", 0.1 * rng.normal(size=21000), 22050)
        clips.append(Clip(f"{index}.wav", (name,)))
    Manifest(clips, root=tmp_path).write(tmp_path / "manifest.csv")
    model = models.HeuriNet(2, dense_units=2, class_names=("dog", "rain"), name="net")
    model.save(tmp_path / "net.keras")
    data = ["--data", str(tmp_path / "manifest.csv"), "--cache-dir", str(tmp_path / "cache"), "--peak-of", "clip"]
    for subject, options in {
        "kernels": [],
        "activations": [*data, "--clips", "1.wav"],
        "confusion": [*data, "--of", "patches"],
    }.items():
        output = tmp_path / f"{subject}.png"
        code = cli.main(["plot", subject, str(tmp_path / "net.keras"), "--output", str(output), *options])
        assert code == 0 and output.exists(), capsys.readouterr().err
    assert cli.main(["plot", "activations", str(tmp_path / "net.keras"), *data, "--clips", "9.wav"]) == 2
    assert "`--clips` must be ids of the chosen clips" in capsys.readouterr().err

    waveforms = [soundfile.read(tmp_path / clip.path)[0] for clip in clips]
    cache = ClipCache.from_waveforms(waveforms, [clip.labels for clip in clips], 22050)
    patches, _ = cut_loud_patches(cache, models.piczak_spectrogram())
    written = write_pictures({"net": model}, patches, tmp_path / "run")
    assert list(written) == ["kernels", "activations", "confusion"]
    (events,) = (tmp_path / "run" / "tensorboard" / "pictures").iterdir()
    summaries = tensorflow.compat.v1.train.summary_iterator(str(events))
    assert {value.tag for event in summaries for value in event.summary.value} == set(written)
