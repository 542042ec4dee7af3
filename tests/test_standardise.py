"""Standardisation by the statistics of a training set: the layer, what computes them, and trainings that keep them."""

import keras
import numpy as np
import pytest
from harness import numpy, run
from sklearn.preprocessing import StandardScaler

from keras_audio_si import layers, models
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.experiments.icebreaker import plan_stages
from keras_audio_si.experiments.model import build_model, precision
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.training import adaptation
from keras_audio_si.training.adaptation import adapt

RATE = 100


def spectrogram(**arguments):
    options = {"frame_seconds": 0.16, "hop_seconds": 0.16, "num_mels": 4, "compression": "decibel", **arguments}
    return layers.LogMelSpectrogram(RATE, **options)


def patches(seed, num_clips=25, longest=200, **options):
    """Noise of other levels and lengths in each clip, so that means of batches are not that of all."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, longest, num_clips)
    waveforms = [(rng.uniform(0.01, 1) * rng.normal(size=length)).astype("float32") for length in lengths]
    labels = [(("high", "low")[i % 2],) for i in range(num_clips)]
    cache = ClipCache.from_waveforms(waveforms, labels, RATE, ("high", "low"))
    return PatchDataset(cache, 64, **options)


def small_network(frames=4, bands=4):
    inputs = keras.Input((frames, bands), name="spectrogram")
    x = keras.layers.Dense(2, name="logits")(keras.layers.Flatten(name="flatten")(inputs))
    return keras.Model(inputs, layers.ClassScores("softmax", name="scores")(x), name="small")


def classifier(standardise="set", front_end=None):
    return models.Classifier(front_end or spectrogram(), small_network(), input_samples=64, standardise=standardise)


def statistics(values, per_band=False):
    axes = (0, 1) if per_band else (0, 1, 2)
    values = np.asarray(values, "float64")
    return values.mean(axis=axes), values.var(axis=axes)


def in_batches(values, sizes=(5, 1, 17)):
    return np.split(values, np.cumsum(sizes))


@pytest.mark.parametrize("shape", [(30, 7, 5), (30, 7, 5, 3)])
@pytest.mark.parametrize("per_band", [False, True])
def test_statistics_are_those_of_all_values_however_they_come(rng, shape, per_band):
    scale, offset = (rng.uniform(0.1, 30, shape[2:]) for _ in range(2))
    values = (1000 * (rng.random((30, 1, 1, 1)[: len(shape)]) > 0.5) + offset + scale * rng.normal(size=shape)).astype(
        "float32"
    )
    layer = layers.Standardise(per_band)
    layer.adapt(iter(in_batches(values)))
    mean, variance = statistics(values, per_band)
    np.testing.assert_allclose(numpy(layer.mean), mean, rtol=1e-6)
    np.testing.assert_allclose(numpy(layer.variance), variance, rtol=1e-6)
    assert float(numpy(layer.count)) == values.size / mean.size and layer.known
    frames = values.reshape(-1, *shape[2:])
    columns = frames.reshape(len(frames), -1) if per_band else frames.reshape(-1, *shape[3:])
    wanted = StandardScaler().fit_transform(np.float64(columns.reshape(len(columns), -1)))
    np.testing.assert_allclose(numpy(run(layer, values)), wanted.reshape(shape), atol=1e-4)


def test_it_computes_what_keras_normalization_does(rng):
    values = rng.normal(-20, 30, (4, 6, 5)).astype("float32")
    mean, variance = rng.normal(-20, 5, 5), rng.uniform(1, 900, 5)
    wanted = keras.layers.Normalization(axis=-1, mean=mean, variance=variance)(values)
    layer = layers.Standardise(per_band=True, mean=mean, variance=variance)
    layer.build(values.shape)
    np.testing.assert_allclose(numpy(run(layer, values)), numpy(wanted), rtol=1e-5, atol=1e-6)
    assert layer.known


def test_a_small_spread_far_from_zero_is_not_lost(rng):
    values = (1e4 + rng.normal(size=(64, 20, 3))).astype("float32")
    layer = layers.Standardise()
    layer.adapt(in_batches(values))
    np.testing.assert_allclose(numpy(layer.variance), np.float64(values).var(), rtol=1e-6)


def test_frames_that_a_mask_leaves_out_do_not_count(rng):
    values = rng.normal(size=(12, 6, 3)).astype("float32")
    mask = np.arange(6) < rng.integers(0, 7, (12, 1))
    layer = layers.Standardise(per_band=True)
    layer.adapt(zip(np.split(values, 3), np.split(mask, 3), strict=True))
    np.testing.assert_allclose(numpy(layer.mean), np.float64(values[mask]).mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(numpy(layer.variance), np.float64(values[mask]).var(axis=0), rtol=1e-5)


def test_a_constant_becomes_zero(rng):
    values = rng.normal(size=(8, 6, 3)).astype("float32")
    values[..., 1] = np.log(np.float32(1e-10))
    layer = layers.Standardise(per_band=True)
    layer.adapt(in_batches(values, (3,)))
    got = numpy(run(layer, values))
    assert np.isfinite(got).all() and np.abs(got[..., 1]).max() < 1e-5
    np.testing.assert_allclose(got.std(axis=(0, 1)), [1, 0, 1], atol=1e-4)


def test_weights_that_are_assigned_reach_the_output(rng, tmp_path):
    """As those of a checkpoint do, or of another model. `keras.layers.Normalization` keeps copies."""
    values = rng.normal(5, 3, (4, 6, 5)).astype("float32")
    inputs = keras.Input((6, 5))
    model, other = (keras.Model(inputs, layers.Standardise(True)(inputs)) for _ in range(2))
    before = numpy(model.predict_on_batch(values))
    np.testing.assert_allclose(before, values, rtol=1e-6)  # Not adapted, it changes nothing.
    other.layers[-1].adapt([values])
    model.set_weights(other.get_weights())
    wanted = (values - values.mean(axis=(0, 1))) / values.std(axis=(0, 1))
    np.testing.assert_allclose(numpy(model.predict_on_batch(values)), wanted, atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[-1].get_weights()[0], model.layers[-1].get_weights()[0])
    assert loaded.layers[-1].known


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_it_computes_in_float32(rng, policy):
    """-23.06 +- .01 is one number in half precision."""
    values = rng.normal(-23.06, 0.01, (4, 6, 5)).astype("float32")
    with precision(policy):
        layer = layers.Standardise()
        layer.adapt([values])
        got = run(layer, values)
    assert keras.backend.standardize_dtype(got.dtype) == policy
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in layer.weights} == {"float32"}
    wanted = (values - values.mean()) / values.std()
    np.testing.assert_allclose(numpy(keras.ops.cast(got, "float32")), wanted, atol=0.02)


def test_what_is_refused(rng):
    with pytest.raises(ValueError, match=r"`mean` and `variance` need each other. Received: mean=1.0, variance=None"):
        layers.Standardise(mean=1.0)
    with pytest.raises(ValueError, match="`variance` must be positive"):
        layers.Standardise(mean=1.0, variance=0.0)
    with pytest.raises(ValueError, match=r"takes spectrograms of shape .* Received: shape=\(None, 5\)"):
        layers.Standardise()(keras.Input((5,)))
    with pytest.raises(ValueError, match="`batches` must have values for .* Received: none"):
        layers.Standardise().adapt([])
    with pytest.raises(ValueError, match="is not finite: look for such samples"):
        layers.Standardise().adapt([np.float32([[[1.0, np.inf]]])])
    with pytest.raises(ValueError, match="one of 'set', .*standardise='band'. Did you mean 'bands'"):
        classifier("band")


class TestAdapt:
    @pytest.mark.parametrize("form", ["set", "bands"])
    def test_the_patches_of_the_training_set_each_once(self, form):
        """Whatever training draws of them."""
        train = patches(0, crops="random", sampling="class_balanced", short="zero")
        model = classifier(form)
        (layer,) = adapt(model, train, batch_size=7)
        values = numpy(spectrogram()(train.waveforms(np.arange(train.num_patches))))
        mean, variance = statistics(values, form == "bands")
        np.testing.assert_allclose(numpy(layer.mean), mean, rtol=1e-5)
        np.testing.assert_allclose(numpy(layer.variance), variance, rtol=1e-5)
        assert layer.name == "standardise" and adapt(model, patches(1)) == []
        got = numpy(keras.Model(model.input, layer.output).predict_on_batch(train.waveforms([3])))
        np.testing.assert_allclose(got, (values[3:4] - mean) / np.sqrt(variance), atol=1e-4)

    def test_of_many_patches_some_evenly_spaced(self):
        train, model = patches(0), classifier()
        (layer,) = adapt(model, train, batch_size=4, max_patches=10)
        chosen = [number * train.num_patches // 10 for number in range(10)]
        mean, variance = statistics(numpy(spectrogram()(train.waveforms(chosen))))
        np.testing.assert_allclose([numpy(layer.mean), numpy(layer.variance)], [mean, variance], rtol=1e-5)

    def test_masks_of_the_model_count(self):
        """The masked frames are those that zeros fill."""
        inputs = keras.Input((64,), dtype="float32")
        x = keras.layers.Masking()(keras.layers.Reshape((16, 4))(inputs))
        x = layers.Standardise(name="standardise")(x)
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))
        train = patches(0, short="zero", longest=60)
        adapt(model, train)
        frames = train.waveforms(np.arange(train.num_patches)).reshape(-1, 4)
        heard = np.float64(frames[np.any(frames != 0, axis=1)])
        assert len(heard) < len(frames)
        np.testing.assert_allclose(numpy(model.get_layer("standardise").variance), heard.var(), rtol=1e-5)

    def test_padding_of_a_masked_classifier_does_not_count(self):
        inputs = keras.Input((4, 4))
        x = keras.layers.GlobalAveragePooling1D()(keras.layers.Conv1D(3, 3, padding="same")(inputs))
        options = {"input_samples": 64, "lengths": "zeros", "standardise": "bands"}
        model = models.Classifier(spectrogram(), keras.Model(inputs, x), **options)
        train = patches(0, short="zero", longest=60)
        (layer,) = adapt(model, train, batch_size=6)
        waveforms = train.waveforms(np.arange(train.num_patches))
        spectrograms = numpy(spectrogram()(waveforms))
        lengths = [spectrogram().num_frames(1 + np.flatnonzero(x)[-1]) for x in waveforms]
        assert 1 <= min(lengths) < max(lengths)
        heard = np.concatenate([x[:length] for x, length in zip(spectrograms, lengths, strict=True)])
        np.testing.assert_allclose(numpy(layer.mean), np.float64(heard).mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(numpy(layer.variance), np.float64(heard).var(axis=0), rtol=1e-4)

    def test_each_layer_has_what_reaches_it(self):
        inputs = keras.Input((64,), dtype="float32")
        x = layers.Standardise(name="first")(spectrogram()(inputs))
        model = keras.Model(inputs, layers.Standardise(True, name="second")(3 * x + 1))
        adapt(model, patches(0))
        first, second = model.get_layer("first"), model.get_layer("second")
        assert float(numpy(first.variance)) > 1
        np.testing.assert_allclose(np.mean(numpy(second.mean)), 1, atol=1e-4)

    def test_a_layer_inside_another_model_is_refused(self):
        inputs = keras.Input((4, 4))
        inner = keras.Model(inputs, layers.Standardise(name="inside")(inputs))
        model = models.Classifier(spectrogram(), inner, input_samples=64)
        with pytest.raises(ValueError, match="`model` must have 'inside' among its own layers"):
            adapt(model, patches(0))


class TestFit:
    """The training itself is `test_resume.py`'s; here it is what it keeps."""

    @pytest.fixture(autouse=True)
    def _tensorflow(self):
        pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

    def train(self, model, folder, **arguments):
        from keras_audio_si.training.fit_loop import fit
        from keras_audio_si.training.settings import TrainingSettings

        settings = TrainingSettings(learning_rate=0.01, batch_size=8, epochs=2, early_stopping_patience=None)
        return fit(model, patches(0), patches(1), settings, folder, **{"verbose": 0, **arguments})

    def test_statistics_are_those_of_the_training_patches_and_stay(self, tmp_path, monkeypatch, capsys):
        train = patches(0)
        mean, variance = statistics(numpy(spectrogram()(train.waveforms(np.arange(train.num_patches)))))
        model = classifier()
        self.train(model, tmp_path, verbose=2)
        assert f"standardise: mean {mean:.4g}, deviation {np.sqrt(variance):.4g}" in capsys.readouterr().out
        saved = keras.models.load_model(tmp_path / "model.keras").get_layer("standardise")
        np.testing.assert_allclose([numpy(saved.mean), numpy(saved.variance)], [mean, variance], rtol=1e-5)
        # A continued training has them in its checkpoint, and asks for no others.
        newest = max((tmp_path / "checkpoints").glob("*.npz"))
        assert "epoch-00002" in newest.name
        newest.unlink()
        monkeypatch.setattr(adaptation.Standardise, "adapt", None)
        continued = classifier()
        self.train(continued, tmp_path, resume=True)
        for weight, other in zip(continued.get_layer("standardise").weights, saved.weights, strict=True):
            np.testing.assert_array_equal(numpy(weight), numpy(other))

    def test_known_statistics_are_kept(self, tmp_path):
        model = classifier(layers.Standardise(mean=-4.0, variance=9.0, name="standardise"))
        self.train(model, tmp_path)
        layer = model.get_layer("standardise")
        assert (float(numpy(layer.mean)), float(numpy(layer.variance))) == (-4.0, 9.0)


def loud_patches(num_clips=4):
    rng = np.random.default_rng(3)
    waveforms = [rng.uniform(0.1, 1) * np.cumsum(rng.normal(size=22000)) / 150 for _ in range(num_clips)]
    labels = [(("a", "b")[number % 2],) for number in range(num_clips)]
    cache = ClipCache.from_waveforms([w.astype("float32") for w in waveforms], labels, 22050, ("a", "b"))
    return PatchDataset(cache, 20992, peak=1.0)


def logits(model, waveforms):
    network = model.layers[-1]
    inputs = keras.Model(model.input, model.layers[-2].output).predict_on_batch(waveforms)
    return keras.Model(network.input, network.get_layer("logits").output).predict_on_batch(inputs)


ICEBREAKER = Settings().changed(icebreaker=True, dense_units=8, loss="softmax", deltas=True)


@pytest.mark.parametrize("form", ["auto", "bands", "none"])
def test_mel_conv_net_begins_phase_1_with_the_scores_of_phase_0(form, rng):
    """Its front-end starts as the spectrogram of phase 0, and PiczakNet gets what it was trained on."""
    settings, train = ICEBREAKER.changed(network="melconvnet", standardise=form), loud_patches()
    model = build_model(("a", "b"), settings)
    first, second, *_ = plan_stages(model, settings, train)
    assert second.start["piczak_net"] == "phase0" and second.model is model
    adapt(first.model, train)
    for weight in first.model.trainable_weights:  # The same on every backend.
        weight.assign(rng.normal(size=weight.shape) * np.sqrt(2 / np.prod(weight.shape[:-1])))
    for path, stage in second.start.items():
        assert stage == "phase0"
        model.get_layer(path).set_weights(first.model.get_layer(path).get_weights())
    adapt(model, train)
    waveforms = train.waveforms(np.arange(train.num_patches))
    wanted = logits(first.model, waveforms)
    spread = wanted.std(axis=0).min()  # From patch to patch.
    np.testing.assert_allclose(logits(model, waveforms), wanted, atol=1e-3 * spread)
    np.testing.assert_allclose(model.predict_on_batch(waveforms), first.model.predict_on_batch(waveforms), atol=1e-5)


def test_phase_0_of_each_network():
    train = loud_patches()
    waveforms = train.waveforms(np.arange(train.num_patches))
    for network, form, kind in (
        ("heurinet", "auto", "set"),
        ("heurinet", "none", "none"),
        ("melconvnet", "bands", "bands"),
        ("mstnet", "auto", "none"),
    ):
        settings = ICEBREAKER.changed(network=network, standardise=form, deltas=False)
        model = build_model(("a", "b"), settings)
        stages = {stage.name: stage for stage in plan_stages(model, settings, train)}
        for one in (model, stages["phase0"].model):
            found = [layer for layer in one.layers if isinstance(layer, layers.Standardise)]
            assert [layer.per_band for layer in found] == {"set": [False], "bands": [True], "none": []}[kind]
        alone = stages["phase0"].model
        adapt(alone, train)
        values = keras.Model(alone.input, alone.layers[-2].output).predict_on_batch(waveforms)
        if kind == "set":
            assert abs(values.mean()) < 1e-3 and values.std() == pytest.approx(1, abs=1e-3)
        elif network == "mstnet":  # Centred: within [-1, 1].
            assert abs(values.mean()) < 1e-3 and np.ptp(values) == pytest.approx(1, abs=1e-3)
        elif kind == "none":
            assert values.mean() < -10 and values.std() > 5  # Decibels.


class TestSettings:
    def test_what_auto_is(self):
        for changes, form in (
            ({"network": "piczak"}, "set"),
            ({"network": "heurinet"}, "set"),
            ({"network": "melconvnet"}, "set"),
            ({"network": "mstnet"}, "none"),
            ({"network": "vgg41"}, "none"),
            ({"network": "efficientnet-b0"}, "none"),
            ({"network": "efficientnet-b0", "weights": "imagenet"}, "set"),
            ({"network": "piczak", "standardise": "none"}, "none"),
            ({"network": "vgg41", "standardise": "bands"}, "bands"),
        ):
            settings = Settings().changed(**changes)
            assert settings.model.standardised == settings.record()["model"]["standardise"] == form

    def test_it_reaches_the_model(self):
        for changes, names in (
            ({"network": "piczak", "dense_units": 3}, ["piczak_net"]),
            ({"network": "melconvnet", "dense_units": 3}, ["piczak_net"]),
            ({"network": "vgg41", "width": 0.0625, "standardise": "bands"}, ["vgg41"]),
        ):
            model = build_model(("a", "b"), Settings().changed(**changes))
            assert isinstance(model.layers[-2], layers.Standardise) and [model.layers[-1].name] == names
        plain = build_model(("a", "b"), Settings().changed(network="piczak", dense_units=3, standardise="none"))
        assert [type(layer).__name__ for layer in plain.layers[1:]] == ["LogMelSpectrogram", "Functional"]

    def test_behind_another_resolution(self):
        settings = Settings().changed(
            network="vgg41", width=0.0625, resolution="diffres", frames_per_second=50, standardise="bands"
        )
        layer = build_model(("a", "b"), settings).get_layer("standardise")
        assert tuple(layer.mean.shape) == (96, 3)

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match="`standardise` must be one of 'auto', 'set', 'bands', 'none'"):
            Settings().changed(standardise="yes")
        with pytest.raises(ValueError, match="`standardise` is for networks with a spectrogram, which 'eat-s' has not"):
            build_model(("a", "b"), Settings().changed(network="eat-s", standardise="set"))

    def test_a_report_without_the_setting_is_not_mixed_up(self):
        """One of an earlier version: VGG was not standardised and is not; PiczakNet was not, and is."""
        from keras_audio_si.data.manifest import Clip, Manifest
        from keras_audio_si.experiments.runner import _properties

        for network, same in (("vgg41", True), ("piczak", False)):
            now = {"divisions": [], "seeds": [], "rows": {"": Settings().changed(network=network).record()}}
            before = {**now, "rows": {"": {**now["rows"][""], "model": {**now["rows"][""]["model"]}}}}
            del before["rows"][""]["model"]["standardise"]
            manifest = Manifest([Clip("0.wav", ("dog",))])
            assert (_properties(before, manifest) == _properties(now, manifest)) is same


def test_the_released_form_is_reachable():
    """Decibels, and the networks of the golden arrays."""
    for build in (models.HeuriNet, models.MSTNet, models.MelConvNet):
        assert len(build(2, dense_units=2, standardise="none").layers) == 3
    settings = Settings().changed(network="heurinet", standardise="none", dense_units=2)
    assert len(build_model(("a", "b"), settings).layers) == 3
