"""What a `DiffResLayer` does to a clip, in numbers and pictures, and over a training."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
from classifiers import small_classifier
from harness import numpy
from tiny_training import FAST, patches

from keras_audio_si import layers, models
from keras_audio_si.cli import main as cli
from keras_audio_si.training.activeness import ActivenessLog
from keras_audio_si.training.fit_loop import fit
from keras_audio_si.training.score_history import ScoreHistory
from keras_audio_si.visualization import diffres, warped_clips

RATE, BANDS, FRAMES, KEPT = 8000, 12, 20, 5


def front_end():
    return layers.LogMelSpectrogram(RATE, num_mels=BANDS)


def network(frames, channels, classes="ab", name="network"):
    inputs = keras.Input((frames, BANDS, channels))
    x = keras.layers.Dense(len(classes))(keras.layers.GlobalAveragePooling2D()(inputs))
    return keras.Model(inputs, layers.ClassScores(class_names=classes)(x), name=name)


def masked_model(open_length=False):
    keras.utils.set_random_seed(5)
    samples = None if open_length else front_end().num_samples(FRAMES)
    resolution = layers.DiffResLayer(KEPT / FRAMES if open_length else 1 - KEPT / FRAMES, name="resolution")
    return models.Classifier(front_end(), network(None, 3), resolution, input_samples=samples, lengths="zeros")


def nested_model():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((FRAMES, BANDS))
    resolution = layers.DiffResLayer(num_frames=KEPT, aggregations=("max",), resolution_encoding=False, name="inner")
    inner = keras.Model(inputs, resolution(inputs))
    backbone = keras.Sequential([keras.Input((FRAMES, BANDS)), inner, network(KEPT, 1)])
    return models.Classifier(front_end(), backbone, input_samples=front_end().num_samples(FRAMES))


@pytest.fixture(scope="module")
def masked():
    return masked_model()


@pytest.fixture
def clip(rng):
    """A waveform of 12 of the 20 frames."""
    samples = front_end().num_samples(12)
    waveform = np.zeros(front_end().num_samples(FRAMES), "float32")
    waveform[:samples] = 0.1 * rng.standard_normal(samples)
    return waveform


@pytest.mark.first
class TestWarpedClip:
    def test_is_what_the_layer_does_with_the_frames_of_the_clip(self, masked, clip):
        found = warped_clips.warped_clip(masked, clip)
        layer = masked.get_layer("resolution")
        spectrogram = front_end()(clip[None])
        warped = layer.warp(spectrogram, keras.ops.arange(FRAMES)[None] < 12)
        for name, want in (("spectrogram", spectrogram), *warped._asdict().items()):
            np.testing.assert_allclose(getattr(found, name), numpy(want)[0], atol=1e-5, err_msg=name)
        assert (found.frames, found.output_frames, found.hop_seconds) == (12, 3, 0.01)
        assert found.channels == ("mean", "max", "encoding")
        assert (found.scores[:12] > 0).all() and not found.scores[12:].any()

    def test_layer_in_a_model_in_a_model(self, clip):
        model = nested_model()
        before = numpy(model(clip[None]))
        found = warped_clips.warped_clip(model, clip)
        assert found.matrix.shape == (KEPT, FRAMES) and found.features.shape == (KEPT, BANDS, 1)
        assert (found.frames, found.output_frames, found.channels) == (FRAMES, KEPT, ("max",))
        np.testing.assert_array_equal(numpy(model(clip[None])), before)

    def test_scores_of_clips(self, masked, clip):
        found = warped_clips.frame_scores(masked, np.stack([clip, clip[::-1]]))
        np.testing.assert_allclose(found.scores[0, :12], warped_clips.warped_clip(masked, clip).scores[:12], rtol=1e-4)
        assert np.isnan(found.scores[0, 12:]).all() and not np.isnan(found.scores[1]).any()
        assert found.spectrograms.shape == (2, FRAMES, BANDS) and found.hop_seconds == 0.01

    def test_models_without_the_layer(self):
        model = small_classifier(("a", "b"), pooling="max")
        with pytest.raises(ValueError, match="'small' has no DiffResLayer.*name a model with one"):
            warped_clips.warped_clip(model, np.zeros(model.input_shape[1], "float32"))


@pytest.mark.once
class TestFirstPatch:
    def write(self, folder, clip):
        import soundfile

        soundfile.write(folder / "dog.wav", clip, RATE, subtype="FLOAT")
        return folder / "dog.wav"

    def test_short_files_are_filled_up_as_in_evaluation(self, masked, clip, tmp_path):
        short = clip[: front_end().num_samples(12)]
        np.testing.assert_array_equal(warped_clips.first_patch(masked, self.write(tmp_path, short)), clip)

    def test_long_files_are_cut(self, masked, clip, tmp_path):
        patch = warped_clips.first_patch(masked, self.write(tmp_path, np.tile(clip, 3)))
        np.testing.assert_array_equal(patch, clip)

    def test_any_length(self, clip, tmp_path):
        path = self.write(tmp_path, np.tile(clip, 3))
        open_model = masked_model(open_length=True)
        np.testing.assert_array_equal(warped_clips.first_patch(open_model, path), np.tile(clip, 3))
        seconds = len(clip) / models.front_end_of(open_model, any_length=True).sample_rate
        assert len(warped_clips.first_patch(open_model, path, 2 * seconds)) == pytest.approx(2 * len(clip), rel=0.2)

    def test_command(self, masked, clip, tmp_path, capsys, monkeypatch):
        pytest.importorskip("matplotlib")
        masked.save(tmp_path / "masked.keras")
        path = self.write(tmp_path, clip)
        monkeypatch.chdir(tmp_path)
        assert cli.main(["plot", "diffres", "masked.keras", str(path)]) == 0
        assert "dog-diffres.png" in capsys.readouterr().out
        assert (tmp_path / "dog-diffres.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        small_classifier(("a", "b"), pooling="max").save(tmp_path / "small.keras")
        assert cli.main(["plot", "diffres", "small.keras", str(path)]) == 2
        assert "error: The model 'small' has no DiffResLayer" in capsys.readouterr().err


@pytest.mark.once
class TestPicture:
    @pytest.fixture
    def axes(self, masked, clip, tmp_path, monkeypatch):
        pytest.importorskip("matplotlib")
        from matplotlib.figure import Figure

        figures, save = [], Figure.savefig
        monkeypatch.setattr(Figure, "savefig", lambda figure, *args: (figures.append(figure), save(figure, *args))[1])
        self.clip = warped_clips.warped_clip(masked, clip)
        diffres.plot_warped_clip(self.clip, tmp_path / "new" / "clip.png", "dog.wav")
        (figure,) = figures
        return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}

    def test_panels(self, axes):
        spectrogram, scores, matrix, mean, largest, encoding = axes.values()
        assert spectrogram.get_title() == "Spectrogram: 12 frames"
        assert mean.get_title() == "Mean of the merged frames: 3 frames"
        assert (matrix.get_xlabel(), encoding.get_xlabel()) == ("Time (s)", "Output frame")
        assert spectrogram.get_xlim() == scores.get_xlim() == matrix.get_xlim() == (0, FRAMES * 0.01)
        left, right = zip(*(panel.get_position().intervalx for panel in (spectrogram, scores, matrix)), strict=True)
        assert np.ptp(left) < 1e-6 and np.ptp(right) < 1e-6, "one above the other, to the pixel"
        assert spectrogram.images[0].get_clim() == mean.images[0].get_clim() == largest.images[0].get_clim()

    def test_values(self, axes):
        spectrogram, scores, matrix, *channels = axes.values()
        shown = spectrogram.images[0].get_array()
        np.testing.assert_allclose(shown[:, :12].T, self.clip.spectrogram[:12], rtol=1e-6)
        assert shown.mask[:, 12:].all() and not shown.mask[:, :12].any()
        np.testing.assert_allclose(scores.patches[0].get_data().values, self.clip.scores[:12])
        np.testing.assert_allclose(matrix.images[0].get_array(), self.clip.matrix)
        for index, channel in enumerate(channels):
            shown = channel.images[0].get_array()
            np.testing.assert_allclose(shown[:, :3].T, self.clip.features[:3, :, index], rtol=1e-6)
            assert shown.mask[:, 3:].all()

    def test_large_matrices_keep_their_largest_weights(self):
        matrix = np.zeros((7, 31), "float32")
        matrix[3, 20] = 1.0
        small = diffres._largest_in_blocks(matrix, 3, 10)
        assert small.shape == (3, 10) and small.max() == 1.0 and (small > 0).sum() == 1
        assert small[1, 6] == 1.0


class TestScoreHistory:
    def begun(self, model, folder, names=("a", "b")):
        rng = np.random.default_rng(1)
        waveforms = 0.1 * rng.standard_normal((2, front_end().num_samples(FRAMES)))
        history = ScoreHistory(waveforms, folder, names)
        history.set_model(model)
        history.on_train_begin()
        return history

    def test_a_continued_training_goes_on_with_it(self, masked, tmp_path):
        pytest.importorskip("matplotlib")
        first = self.begun(masked, tmp_path)
        for epoch in range(3):
            first.on_epoch_end(epoch)
        history = self.begun(masked, tmp_path)
        history.on_epoch_end(2)  # From the checkpoint before it.
        history.on_epoch_end(3)
        with np.load(tmp_path / "scores.npz") as arrays:
            assert arrays["epochs"].tolist() == [0, 1, 2, 3] and arrays["scores"].shape == (4, 2, FRAMES)
            wanted = warped_clips.frame_scores(masked, history.waveforms)
            np.testing.assert_allclose(arrays["scores"][3], wanted.scores, rtol=1e-5)
            assert arrays["clip_names"].tolist() == ["a", "b"]
        with pytest.raises(ValueError, match="scores of other clips: take the same, or remove it"):
            self.begun(masked, tmp_path, ("a", "c")).on_epoch_end(4)
        self.begun(masked, tmp_path, ("a", "c")).on_epoch_end(0)  # Another training.
        with np.load(tmp_path / "scores.npz") as arrays:
            assert arrays["epochs"].tolist() == [0] and arrays["clip_names"].tolist() == ["a", "c"]

    @pytest.mark.once
    def test_animation(self, rng, tmp_path):
        image = pytest.importorskip("PIL.Image")
        pytest.importorskip("matplotlib")
        scores = rng.random((120, 1, 9)).astype("float32")
        scores[:, :, 7:] = np.nan
        path = tmp_path / "scores.gif"
        diffres.write_score_animation(scores[:3], rng.random((1, 9, 4)), range(3), ["dog"], 0.01, path)
        assert list(tmp_path.iterdir()) == [path]
        with image.open(path) as animation:
            assert animation.n_frames == 3

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match=r"Received: shape=\(2, 9\) and 1 names"):
            ScoreHistory(np.zeros((2, 9)), "run", ["a"])


@pytest.mark.slow
@pytest.mark.once
def test_training_logs_activeness_guide_loss_and_scores(tmp_path):
    """They are in the table, in TensorBoard's files and in the animation."""
    pytest.importorskip("matplotlib")
    tf = pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(2)
    spectrogram = layers.LogMelSpectrogram(100, 0.08, 0.02, num_mels=4, fft_length=16)
    frames = spectrogram.num_frames(64)
    inputs = keras.Input((frames // 2, 4, 3))
    scores = keras.layers.Dense(2, "sigmoid")(keras.layers.GlobalAveragePooling2D()(inputs))
    backbone = keras.Model(inputs, scores)
    resolution = layers.DiffResLayer(0.5)
    resolution.importance.trainable = False  # A step of many small weights takes seconds to trace.
    model = models.Classifier(spectrogram, backbone, resolution, input_samples=64)
    data = patches(0, num_clips=8)
    callbacks = [ActivenessLog(), ScoreHistory(data.waveforms([0, 1]), tmp_path)]
    settings = dataclasses.replace(FAST, epochs=2, mixup_alpha=None, jit_compile=False)
    fit(model, data, patches(1, num_clips=8), settings, tmp_path, callbacks=callbacks, verbose=0)
    with open(tmp_path / "log.csv", newline="") as file:
        table = list(csv.DictReader(file))
    (events,) = (tmp_path / "tensorboard" / "train").iterdir()
    board = {}
    for event in tf.compat.v1.train.summary_iterator(str(events)):
        for value in event.summary.value:
            board.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    for name in ("activeness", "guide_loss"):
        np.testing.assert_allclose(board[f"epoch_{name}"], [float(row[name]) for row in table], rtol=1e-5)
    assert min(board["epoch_activeness"]) > 0
    with np.load(tmp_path / "scores.npz") as arrays:
        assert arrays["scores"].shape == (2, 2, frames)
    assert (tmp_path / "scores.gif").read_bytes()[:4] == b"GIF8"
