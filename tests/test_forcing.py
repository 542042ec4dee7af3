"""Spectrogram forcing: the statistics, both normalisations, what is refused. `test_stages.py` trains with it."""

import keras
import numpy as np
import pytest
from harness import numpy

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from tiny_training import network, patches

from keras_audio_si import layers
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.training.fit_loop import TrainingSettings, fit
from keras_audio_si.training.forcing import (
    ForcingValidation,
    SpectrogramStatistics,
    forcing_model,
    normalised,
    spectrogram_statistics,
)

FORCING = TrainingSettings(loss="mse", monitor="val_explained_variance", mixup_alpha=None, epochs=1)


def spectrogram(**arguments):
    return layers.LogMelSpectrogram(100, frame_seconds=0.16, hop_seconds=0.16, num_mels=4, **arguments)


def test_normalised_by_the_statistics_of_the_training_data():
    train = patches(0)
    values = numpy(spectrogram()(train.waveforms(np.arange(train.num_patches)))).astype("float64")
    statistics = spectrogram_statistics(spectrogram(), train, batch_size=7)
    assert statistics == pytest.approx((values.mean(), values.min(), values.max()), rel=1e-6)
    extent = values.max() - values.min()
    for form, wanted in (("centred", (values - values.mean()) / extent), ("unit", (values - values.min()) / extent)):
        front_end = normalised(spectrogram(), statistics, form)
        got = numpy(front_end(train.waveforms(np.arange(train.num_patches))))
        np.testing.assert_allclose(got, wanted, atol=1e-6)
        assert got.min() >= (-1 if form == "centred" else -1e-6) and got.max() <= 1 + 1e-6
    with pytest.raises(ValueError, match="`form` must be one of"):
        normalised(spectrogram(), statistics, "symmetric")
    with pytest.raises(ValueError, match="nothing to reproduce"):
        normalised(spectrogram(), SpectrogramStatistics(1.0, 1.0, 1.0))


def test_validation_is_the_share_of_the_variance_explained(monkeypatch):
    monkeypatch.setattr(PatchDataset, "batches", None)  # They need TensorFlow, which may not be there.
    validation, target = patches(1), spectrogram()
    model = forcing_model(layers.RescaledFrontEnd(spectrogram(), 0.9, 0.5), 64)
    callback, logs = ForcingValidation(validation, target, batch_size=5), {}
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0, logs)
    wanted = numpy(target(validation.waveforms(np.arange(validation.num_patches)))).astype("float64")
    error = np.mean((0.1 * wanted - 0.5) ** 2)
    assert logs["val_mse"] == pytest.approx(error, rel=1e-4)
    assert logs["val_explained_variance"] == pytest.approx(1 - error / wanted.var(), rel=1e-4)
    assert logs["val_time_correlation"] == pytest.approx(1, abs=1e-5)  # Another scale and offset in every band.


class Given(keras.layers.Layer):
    """A result and a target that are chosen: the waveform's halves, as frames of two bands."""

    def __init__(self, half):
        super().__init__()
        self.half, self.sample_rate = half, 100

    def call(self, x):
        return keras.ops.reshape(x, (-1, 2, 16, 2))[:, self.half]


@pytest.mark.parametrize("level", [0.0, 300.0])
def test_correlation_in_time_is_that_of_numpy(rng, level):
    """The mean of every band of every patch, whatever the levels of the bands are."""
    results, targets = (level + 0.01 * rng.normal(size=(9, 16, 2)).astype("float32") for _ in range(2))
    targets = (0.6 * results + 0.4 * targets + np.float32([0, 50])).astype("float32")
    targets[2, :, 1] = 7.0  # It does not move: there is nothing to follow.
    results[5, :, 0] = -0.3  # It does not follow.
    waveforms = np.concatenate([results.reshape(9, 32), targets.reshape(9, 32)], axis=1)
    wanted = [
        0.0 if patch == 5 and band == 0 else np.corrcoef(results[patch, :, band], targets[patch, :, band])[0, 1]
        for patch in range(9)
        for band in range(2)
        if (patch, band) != (2, 1)
    ]
    cache = ClipCache.from_waveforms(list(waveforms), [("low",)] * 9, 100)
    callback, logs = ForcingValidation(PatchDataset(cache, 64), Given(1), batch_size=4), {}
    callback.set_model(forcing_model(Given(0), 64))
    callback.on_train_begin()
    callback.on_epoch_end(0, logs)
    assert logs["val_time_correlation"] == pytest.approx(np.mean(wanted), abs=1e-4)


def test_what_cannot_be_reproduced_is_refused(tmp_path):
    model, data = forcing_model(layers.LogMelSpectrogram(100, 0.16, 0.08, 4), 64), patches(0)
    for target, message in (
        (spectrogram(), r"`target` gives \(None, 4, 4\), the model \(None, 7, 4\)"),
        (layers.MelConvolution(100, frame_seconds=0.16, hop_seconds=0.08, num_mels=4), "no weights that could be"),
    ):
        target.build((None, 64))
        with pytest.raises(ValueError, match=message):
            fit(model, data, patches(1), FORCING, tmp_path, target=target)
    with pytest.raises(ValueError, match="`target` and `loss`='mse' need each other"):
        fit(network(), data, patches(1), FORCING, tmp_path)
    other_rate = layers.LogMelSpectrogram(200, 0.08, 0.08, 4)
    with pytest.raises(ValueError, match="takes audio at 200 Hz, the data are at 100 Hz"):
        fit(forcing_model(other_rate, 64), data, patches(1), FORCING, tmp_path, target=other_rate)
    assert isinstance(model, keras.Model) and not list(tmp_path.iterdir())
