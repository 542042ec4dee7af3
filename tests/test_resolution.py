"""Layers that change the time resolution: targets, masks, silence, training, and models that contain them."""

import keras
import numpy as np
import pytest
from harness import computed, gradients, numpy, run
from keras import ops

from keras_audio_si import layers
from keras_audio_si.layers.importance import importance_channels
from keras_audio_si.models import with_resolution
from keras_audio_si.ops import guide
from keras_audio_si.training.activeness import ActivenessLog
from keras_audio_si.training.augmented_model import AugmentedModel

FIXED = [layers.ChangeHopSize, layers.AveragePoolFrames, layers.AverageMaxPoolFrames, layers.ConvAveragePool]
SILENCE = np.log(1e-12)


def spectrograms(rng, *shape):
    return rng.normal(-1, 2, shape).astype("float32")


def training_scores(layer, x):
    """The scores of a `DiffResLayer` by the statistics of the batch."""
    copy = type(layer).from_config({**layer.get_config(), "batch_norm_momentum": 0.0})
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    copy(x, training=True)
    return computed(copy.importance_scores, x)


def compiled(layer):
    """The call of a layer with a mask, compiled on JAX."""

    def call(x, mask):
        return layer(x, mask=mask)

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(call)
    return call


class TestTarget:
    def test_frames_of_all_targets(self):
        layer = layers.DiffResLayer()
        assert layer.get_config()["reduction_rate"] == 0.75
        # As int(T * (1 - rate)) has it in Python.
        assert [layers.DiffResLayer(rate).output_frames(100) for rate in (0.9, 0.8, 0.75, 0.0)] == [9, 19, 25, 100]
        np.testing.assert_array_equal(layer.output_frames(np.array([0, 1, 3, 8, 9])), [0, 1, 1, 2, 2])
        layer = layers.ChangeHopSize(num_frames=6)
        assert [layer.output_frames(frames) for frames in (100, 6, 4)] == [6, 6, 4]
        layer = layers.AveragePoolFrames(frames_per_second=10, input_frames_per_second=100)
        assert [layer.output_frames(frames) for frames in (100, 998, 5)] == [10, 99, 1]
        assert layer.get_config()["frames_per_second"] == 10

    def test_any_target_or_length(self, rng):
        for kind in FIXED[:3]:
            for frames in (1, 2, 33):
                y = run(kind(0.5), spectrograms(rng, 2, frames, 3))
                assert y.shape == (2, max(frames // 2, 1), 3, 1)
        assert layers.DiffResLayer(num_frames=7, aggregations=["max"])(np.zeros((1, 9, 5))).shape == (1, 7, 5, 2)

    def test_more_output_frames_than_frames_are_silent(self, rng):
        x = spectrograms(rng, 2, 4, 3)
        for kind in FIXED[:3]:
            y = numpy(run(kind(num_frames=6), x))
            factor = 2 if kind is layers.AverageMaxPoolFrames else 1
            np.testing.assert_allclose(y[:, :4, :, 0], factor * x, rtol=1e-5)
            np.testing.assert_allclose(y[:, 4:], SILENCE, rtol=1e-6)

    def test_wrong_targets(self):
        for arguments, message in (
            ({"reduction_rate": 1.0}, "`reduction_rate` must be in \\[0, 1\\). Received: reduction_rate=1.0"),
            (
                {"reduction_rate": 0.5, "num_frames": 4},
                "The target must be one of .* Received: reduction_rate=0.5, num_frames=4",
            ),
            ({"num_frames": 0}, "`num_frames` must be an integer of at least 1. Received: num_frames=0"),
            ({"num_frames": 2.5}, "`num_frames` must be an integer of at least 1. Received: num_frames=2.5"),
            (
                {"frames_per_second": 25},
                "other. Received: frames_per_second=25, input_frames_per_second=None",
            ),
            (
                {"frames_per_second": 200, "input_frames_per_second": 100},
                "at most `input_frames_per_second`=100. Received: frames_per_second=",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                layers.AveragePoolFrames(**arguments)
        for arguments, message in (
            ({"aggregations": ["mean", "sum"]}, "`aggregations` must be some of 'mean', 'max'. Received: "),
            ({"aggregations": []}, "`aggregations` must be some of"),
            ({"rescale": "no"}, "`rescale` must be one of 'released', 'paper'. Received: rescale='no'"),
            ({"guide_form": "no"}, "`guide_form` must be one of 'hinge', 'paper', 'released'"),
            ({"guide_emptiness": "paper"}, "`guide_emptiness` must be one of None, 'rms', 'released'"),
            ({"guide_weight": -1}, "`guide_weight` must be in \\[0, inf\\). Received: guide_weight=-1"),
            ({"guide_threshold": -1}, "`guide_threshold` must be in"),
            ({"dilations": (1, 2)}, "`dilations` must be five numbers from 1 on"),
        ):
            with pytest.raises(ValueError, match=message):
                layers.DiffResLayer(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        *(kind(0.6) for kind in FIXED),
        layers.DiffResLayer(0.6),
        layers.DiffResLayer(num_frames=9, rescale="paper", dilations=(1, 1, 2, 2, 1)),
        layers.DiffResLayer(frames_per_second=30, input_frames_per_second=100, even=False, negative_slope=0.3),
    ],
    ids=lambda layer: layer.name,
)
def test_a_clip_does_not_see_its_padding_nor_the_batch(rng, layer):
    """Clips of 25, 7 and 31 frames: each alone, and together with padding that is not even a number."""
    lengths = (25, 7, 31)
    clips = [spectrograms(rng, 1, length, 6) for length in lengths]
    together = np.full((3, 37, 6), np.nan, "float32")
    for place, clip in enumerate(clips):
        together[place, : clip.shape[1]] = clip[0]
    mask = np.arange(37) < np.array(lengths)[:, None]
    call = compiled(layer)
    layer.build(together.shape)
    y = numpy(call(together, mask))
    y_mask = numpy(layer.compute_mask(together, mask))
    for place, clip in enumerate(clips):
        alone = numpy(run(layer, clip))[0]
        filled = layer.output_frames(clip.shape[1])
        np.testing.assert_allclose(y[place, :filled], alone[:filled], rtol=1e-4, atol=1e-4)
        levels = layer.num_channels - isinstance(layer, layers.DiffResLayer)
        np.testing.assert_allclose(y[place, filled:, :, :levels], SILENCE, rtol=1e-6)
        np.testing.assert_array_equal(y_mask[place], np.arange(y.shape[1]) < filled)


@pytest.mark.parametrize("masked", [False, True])
def test_a_clip_of_one_frame_keeps_it(rng, masked):
    """The rate would leave less, for which the maximum is not to make up."""
    clip = spectrograms(rng, 1, 1, 3)
    for target in ({"reduction_rate": 0.75}, {"frames_per_second": 10, "input_frames_per_second": 100}):
        layer = layers.DiffResLayer(**target, resolution_encoding=False)
        layer.build(clip.shape)
        x = np.pad(clip, ((0, 0), (0, 10 * masked), (0, 0)), constant_values=np.nan)
        y = numpy(compiled(layer)(x, np.arange(x.shape[1])[None] < 1) if masked else run(layer, x))
        for channel in (0, 1):
            np.testing.assert_allclose(y[:, 0, :, channel], clip[:, 0], atol=1e-4)


def test_masks_pass_through_a_model(rng):
    inputs = keras.Input((None, 4))
    features = layers.DiffResLayer(0.5)(keras.layers.Masking(0.0)(inputs))
    outputs = keras.layers.GlobalAveragePooling1D()(features[..., 0])
    model = keras.Model(inputs, outputs)
    assert features.shape == (None, None, 4, 3)
    x = spectrograms(rng, 2, 12, 4)
    padded = np.pad(x, ((0, 0), (0, 8), (0, 0)))
    # Slicing loses the mask: what is behind the clip is silence, whose levels are known.
    y, longer = numpy(run(model, x)), numpy(run(model, padded))
    np.testing.assert_allclose(longer, 0.6 * y + 0.4 * SILENCE, rtol=1e-4)


@pytest.mark.parametrize("filters", [4, 1])
def test_padding_does_not_reach_the_statistics(rng, filters):
    """Against Keras' own statistics of the clips without padding, and without a mask."""
    x = spectrograms(rng, 2, 30, 6)
    results = []
    for padding in (0, 9):
        keras.utils.set_random_seed(1)
        layer = layers.ResConv1D(filters)
        padded = np.pad(x, ((0, 0), (0, padding), (0, 0)), constant_values=7)
        layer.build(padded.shape)
        mask = np.arange(30 + padding)[None].repeat(2, 0) < 30 if padding else None
        y = layer(padded, mask=mask, training=True)
        results.append([numpy(y)[:, :30], *(numpy(weight) for weight in layer.weights)])
    for short, long in zip(*results, strict=True):
        np.testing.assert_allclose(long, short, rtol=1e-4, atol=1e-5)


def test_importance_network():
    assert importance_channels(96) == (48, 24, 12, 6, 1)
    assert importance_channels(3) == (3, 1, 1, 1, 1)
    x = np.zeros((1, 101, 8), "float32")
    for dilations in ((1,) * 5, (2, 1, 1, 1, 1)):
        network = layers.ImportanceNetwork(dilations, negative_slope=0.3)
        network.build(x.shape)
        base = numpy(run(network, x))
        x[0, 50] = 9.0
        seen = np.flatnonzero(np.abs(numpy(run(network, x)) - base)[0] > 0)
        x[0, 50] = 0.0
        reach = network.receptive_field // 2
        assert 50 - reach <= seen.min() and seen.max() <= 50 + reach and len(seen) > reach


def test_safe_on_silence_and_at_the_ends_of_the_rate(rng):
    silence = np.full((1, 20, 5), -1e4, "float32")  # exp() is 0
    partly = np.concatenate([silence[:, :9], spectrograms(rng, 1, 11, 5)], 1)
    x = np.concatenate([silence, np.full_like(silence, SILENCE), partly])
    for layer in (layers.DiffResLayer(num_frames=1), layers.DiffResLayer(0.0)):
        layer.build(x.shape)
        assert np.isfinite(numpy(run(layer, x))).all()
        assert all(np.isfinite(slope).all() for slope in gradients(layer, x))
        variables = [[w.value for w in part] for part in (layer.trainable_variables, layer.non_trainable_variables)]
        losses = computed(
            lambda x, layer=layer, variables=variables: layer.stateless_call(
                *variables, x, training=True, return_losses=True
            )[2],
            x,
        )
        assert losses and np.isfinite(losses).all()


def test_warp_for_pictures(rng):
    layer = layers.DiffResLayer(num_frames=5)
    x = spectrograms(rng, 2, 20, 6)
    mask = np.arange(20) < np.array([[20], [12]])
    layer.build(x.shape)
    found = computed(layer.warp, x, mask)
    np.testing.assert_allclose(numpy(found.features), numpy(compiled(layer)(x, mask)), rtol=1e-5, atol=1e-5)
    matrix = numpy(found.matrix)
    assert not matrix[1, :, 12:].any()
    np.testing.assert_allclose(matrix.sum(axis=1), numpy(found.scores), atol=1e-6)
    np.testing.assert_allclose(matrix.sum(axis=2), 1, atol=0.3)
    mean = np.log(np.einsum("bij,bjf->bif", matrix, np.exp(x)) + 1e-12)
    np.testing.assert_allclose(numpy(found.features)[..., 0], mean, rtol=1e-4, atol=1e-4)


class TestTraining:
    @pytest.fixture
    def model(self):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((24, 8))
        reduced = layers.DiffResLayer(0.5, guide_weight=1.5, guide_threshold=0.0, name="resolution")(inputs)
        return keras.Model(inputs, keras.layers.Dense(2, "sigmoid")(ops.mean(reduced, axis=(1, 2))))

    @pytest.mark.slow
    def test_guide_loss_and_activeness_are_logged(self, model, rng):
        x = spectrograms(rng, 4, 24, 8)
        x[:, 10:] = -30.0
        y = np.full((4, 2), 0.5, "float32")
        layer = model.get_layer("resolution")
        training_model = AugmentedModel(model)
        training_model.compile(keras.optimizers.SGD(0.0), "mse")
        layer.batch_count.assign(5.0)  # Left by a training without the callback.
        callbacks = [ActivenessLog()]
        data = ((x, y), y)
        logs = training_model.fit(*data, batch_size=2, epochs=2, verbose=0, shuffle=False, callbacks=callbacks).history
        assert 0 < logs["activeness"][0] < 1 and 0 < logs["guide_loss"][0] < 2
        assert numpy(layer.batch_count) == 0
        np.testing.assert_allclose(*logs["activeness"], rtol=1e-5)  # Nothing is learned.
        # What the guide loss leaves of the loss is that of the scores, a mean square of at most 0.25.
        assert 0 < logs["loss"][0] - 1.5 * logs["guide_loss"][0] < 0.251

    @pytest.mark.parametrize(
        "form, emptiness, criterion",
        [
            ("hinge", None, "rms"),
            ("paper", None, "rms"),
            ("released", None, "released"),
            ("released", "rms", "rms"),
            ("hinge", "released", "released"),
        ],
    )
    def test_forms_of_the_guide_loss(self, rng, form, emptiness, criterion):
        """No frame has a root mean square below 1e-4; some are next to the smallest mean."""
        x = np.maximum(spectrograms(rng, 2, 24, 8), -8.0)
        x[:, 5:9] = -8.0
        layer = layers.DiffResLayer(0.5, guide_form=form, guide_emptiness=emptiness, guide_threshold=0.3)
        layer.build(x.shape)
        layer = type(layer).from_config(layer.get_config())
        layer.build(x.shape)

        def added(x):
            variables = [[w.value for w in part] for part in (layer.trainable_variables, layer.non_trainable_variables)]
            return layer.stateless_call(*variables, x, training=True, return_losses=True)[2]

        (loss,) = computed(added, x)
        scores = numpy(training_scores(layer, x))
        empty, _ = guide.empty_frames(np.exp(x), criterion)
        want = numpy(guide.guide_loss(scores, empty, 0.5, 0.3, form)).mean()
        np.testing.assert_allclose(loss, want, rtol=1e-4)
        assert (want > 0) == (criterion == "released")

    def test_layers_saved_before_emptiness_was_a_setting(self):
        config = layers.DiffResLayer(0.5, guide_form="released").get_config()
        assert "guide_emptiness" not in config and config["guide_form"] == "released"

    def test_guide_loss_lowers_the_scores_of_empty_frames(self, model, rng):
        x = spectrograms(rng, 4, 24, 8)
        x[:, 10:] = -30.0
        layer = model.get_layer("resolution")
        inputs = keras.Input((24, 8))
        guided = keras.Model(inputs, layer(inputs))
        guided.compile(keras.optimizers.Adam(0.02), loss=lambda y, scores: 0.0 * ops.sum(scores))
        y = np.zeros((4, 12, 8, 3), "float32")
        before = computed(lambda x: layer.warp(x).scores, x)[:, 10:].mean()
        guided.fit(x, y, epochs=12, verbose=0)
        assert computed(lambda x: layer.warp(x).scores, x)[:, 10:].mean() < before

    def test_inference_has_no_guide_loss(self, model, rng):
        layer = model.get_layer("resolution")
        run(layer, spectrograms(rng, 1, 24, 8))
        assert layer.losses == [] and numpy(layer.batch_count) == 0

    def test_models_without_the_layer(self):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="has no DiffResLayer"):
            model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0, callbacks=[ActivenessLog()])


class TestWithResolution:
    def model(self, head=None):
        inputs = keras.Input((40, 8), name="spectrogram")
        reduced = layers.DiffResLayer(0.5, name="resolution")(inputs)
        network = keras.Sequential(
            [
                keras.Input((20, 8, 3), name="features"),
                keras.layers.Conv2D(4, 3),
                *(head or [keras.layers.GlobalAveragePooling2D()]),
                keras.layers.Dense(2),
            ],
            name="network",
        )
        return keras.Model(inputs, network(reduced * 0.5), name="whole")

    def test_same_target_same_model(self, rng, tmp_path):
        model = self.model()
        x = spectrograms(rng, 2, 40, 8)
        same = with_resolution(model, num_frames=20)
        np.testing.assert_allclose(same.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
        other = with_resolution(model, frames_per_second=25, input_frames_per_second=100)
        assert other.get_layer("resolution").target == {"frames_per_second": 25, "input_frames_per_second": 100}
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
        assert other.get_layer("network").input_shape == (None, 10, 8, 3)
        assert model.get_layer("resolution").target == {"reduction_rate": 0.5}
        other.save(tmp_path / "other.keras")
        loaded = keras.models.load_model(tmp_path / "other.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), other.predict(x, verbose=0))

    def test_models_that_it_cannot_change(self):
        model = self.model()
        with pytest.raises(ValueError, match="One of `reduction_rate`, .*`frames_per_second` must be given"):
            with_resolution(model)
        with pytest.raises(ValueError, match="The model 'network' has no layer that changes the time resolution"):
            with_resolution(model.get_layer("network"), num_frames=4)
        with pytest.raises(ValueError, match="The layer 'dense.*' cannot have another number of frames"):
            with_resolution(self.model([keras.layers.Flatten()]), num_frames=4)

        class Subclassed(keras.Model):
            pass

        with pytest.raises(ValueError, match="must be a functional or Sequential Keras model"):
            with_resolution(Subclassed(), num_frames=4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's")
def test_saved_model_of_any_length(rng, tmp_path):
    import tensorflow as tf

    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, layers.DiffResLayer(0.7)(inputs))
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    for frames in (10, 31):
        x = spectrograms(rng, 2, frames, 6)
        np.testing.assert_allclose(numpy(served.serve(x)), numpy(model(x)), rtol=1e-5, atol=1e-5)
