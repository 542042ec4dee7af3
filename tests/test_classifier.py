"""Classifiers of any parts, and the mask of clips that zeros pad to one length."""

import keras
import numpy as np
import pytest
from cases import MaskedPairs, masked_classifier, small_tagger, two_blocks, with_larger_taps
from harness import Case, built, computed, numpy, run

from keras_audio_si import layers, models
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.inference.patching import patch_dataset, patch_layout
from keras_audio_si.layers import AttentionHead, ClassScores, FrameMask, LogMelSpectrogram
from keras_audio_si.ops.lengths import content_lengths, frame_mask
from keras_audio_si.training.logit_model import training_view

RATE, BANDS = 8000, 12


def front_end(**arguments):
    return LogMelSpectrogram(RATE, num_mels=BANDS, **arguments)


def padded(rng, lengths, samples):
    """Noises of some lengths, with zeros after them."""
    return np.stack([np.pad(0.1 * rng.standard_normal(n), (0, samples - n)) for n in lengths]).astype("float32")


class Summed(keras.layers.Layer):
    """The sum over the frames that the mask has, as one frame."""

    def compute_mask(self, inputs, previous_mask):
        return previous_mask[:, :1]

    def call(self, x, mask=None):
        return keras.ops.sum(x * keras.ops.cast(mask, x.dtype)[..., None], axis=1)[:, None, :, None]

    def compute_output_shape(self, shape):
        return (shape[0], 1, shape[2], 1)


def network(shape, classes=3):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(inputs)), name="network")


class TestMask:
    @pytest.mark.parametrize("center", [False, True])
    def test_frames_are_those_of_the_clip_without_its_padding(self, rng, center):
        layer, lengths = front_end(center=center), (1000, 999, 640, 320, 319, 241)
        clips = padded(rng, lengths, 1000)
        frames = layer.num_frames(1000)
        mask = FrameMask(layer.num_samples(1), layer.hop_length)
        want = np.arange(frames) < np.array([max(1, layer.num_frames(n)) for n in lengths])[:, None]
        spectrograms = np.zeros((len(lengths), frames, BANDS), "float32")
        np.testing.assert_array_equal(computed(mask, (spectrograms, clips)), want)
        np.testing.assert_array_equal(computed(mask, (spectrograms, np.array(lengths, "int32"))), want)

    def test_zeros_inside_a_clip_are_no_end(self):
        clips = np.float32([[0, 0, 1, 0, 0], [-1e-30, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
        np.testing.assert_array_equal(computed(content_lengths, clips), [3, 1, 0, 5])

    def test_silence_has_one_frame(self):
        mask = computed(frame_mask, np.int32([0, 1]), num_frames=3, frame_samples=4, hop_length=2)
        np.testing.assert_array_equal(mask, [[True, False, False]] * 2)

    def test_quiet_samples_count_in_half_precision(self):
        clips = np.zeros((1, 5), "float32")
        clips[0, 3] = 1e-9
        mask = FrameMask(1, 1, dtype="mixed_float16")((np.zeros((1, 5, 2), "float16"), clips))
        np.testing.assert_array_equal(numpy(mask), [[True, True, True, True, False]])

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match="`hop_length` must be an integer of at least 1. Received: hop_length=0"):
            FrameMask(1, 0)
        with pytest.raises(ValueError, match="spectrograms .* with waveforms .* or lengths"):
            FrameMask(4, 2)((keras.Input((3, 2, 1)), keras.Input((9,))))


class TestPadding:
    """The same clips, alone and padded to half as much again and to three times as much."""

    @pytest.mark.parametrize(
        "network, resolution",
        [
            ("vgg", lambda: None),
            ("vgg", lambda: layers.DiffResLayer(0.5)),
            ("vgg", lambda: layers.DiffResLayer(num_frames=6)),
            ("vgg", lambda: layers.AveragePoolFrames(frames_per_second=30, input_frames_per_second=100)),
            ("vgg", lambda: layers.ChangeHopSize(num_frames=7)),
            ("efficientnet", lambda: layers.DiffResLayer(0.5)),
            ("efficientnet", lambda: layers.AveragePoolFrames(0.4)),
        ],
    )
    def test_scores_do_not_depend_on_it(self, network, resolution, rng):
        def build():
            layer = resolution()
            channels = (layer.num_channels,) if getattr(layer, "num_channels", 1) > 1 else ()
            shape = (None, BANDS, *channels)
            backbone = two_blocks(models.VGG41, 3, shape) if network == "vgg" else small_tagger(shape)
            return models.Classifier(front_end(), backbone, layer, lengths="zeros")

        clips = padded(rng, (1500, 700), 4500)
        model = with_larger_taps(built(Case(network, build, None), clips))
        want = numpy(run(model, clips[:, :1500]))
        assert np.abs(want[0] - want[1]).max() > 1e-4
        for samples in (2250, 4500):
            np.testing.assert_allclose(numpy(run(model, clips[:, :samples])), want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(numpy(run(model, clips[1:, :700])), want[1:], rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("front", [lambda: front_end(center=True, pad_mode="constant"), front_end])
    def test_layers_on_spectrograms_and_centred_frames(self, front, rng):
        def build():
            backbone = two_blocks(models.VGG41, 3, (None, BANDS, 2))
            return models.Classifier([front(), layers.Deltas()], backbone, lengths="zeros")

        clips = padded(rng, (1500, 1000), 4500)
        model = built(Case("deltas", build, None), clips)
        want = numpy(run(model, clips[:, :1500]))
        np.testing.assert_allclose(numpy(run(model, clips)), want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(numpy(run(model, clips[1:, :1000])), want[1:], rtol=1e-5, atol=1e-5)

    def test_another_rate(self, rng):
        """A copy at another rate is the model that was built at that rate."""

        def build(rate):
            backbone = two_blocks(models.VGG41, 3, (None, BANDS))
            return models.Classifier(front_end(), backbone, layers.AveragePoolFrames(rate), lengths="zeros")

        clips = padded(rng, (1500, 700), 1500)
        half = with_larger_taps(built(Case("half", lambda: build(0.5), None), clips))
        quarter = built(Case("quarter", lambda: build(0.25), None), clips)
        quarter.set_weights(half.get_weights())
        with pytest.warns(UserWarning, match="recalibrate"):
            copy = models.with_resolution(half, reduction_rate=0.25)
        want = numpy(run(quarter, clips))
        assert np.abs(want - numpy(run(half, clips))).max() > 1e-4
        np.testing.assert_allclose(numpy(run(copy, clips)), want, rtol=1e-5)

    def test_a_network_and_a_head(self, rng):
        """The mask goes through the maps that the network gives."""

        def build():
            vgg = two_blocks(models.VGG41, 3, (None, BANDS), "average")
            maps = keras.Model(vgg.input, vgg.get_layer("pool2").output)
            return models.Classifier(
                front_end(), maps, head=AttentionHead(3, heads=2), lengths="zeros", standardise="bands"
            )

        clips = padded(rng, (1500, 700), 4500)
        model = built(Case("head", build, None), clips)
        got = [numpy(run(model, clips[:, :samples])) for samples in (1500, 4500)]
        np.testing.assert_allclose(got[1], got[0], rtol=1e-5, atol=1e-5)
        assert getattr(model(clips), "_keras_mask", None) is None  # Losses would take it for a mask of examples.

    def test_spec_augment_hides_frames_of_the_clip(self, rng):
        """Half of them at most, and nothing behind its end, which is a tenth of the input."""
        spectrogram = keras.Input((None, BANDS))
        hiding = layers.SpecAugment(0, None, max_time_fraction=0.5, fill=99.0, seed=1)
        backbone = keras.Model(spectrogram, keras.layers.Identity()(spectrogram))
        model = models.Classifier([front_end(), hiding], backbone, lengths="zeros")
        clips = padded(rng, (1600,) * 32, 16000)
        frames = front_end().num_frames(1600)
        hidden = (numpy(model(clips, training=True)) == 99.0).all(axis=2)
        shares = hidden[:, :frames].mean(axis=1)
        assert not hidden[:, frames:].any() and 0.4 < shares.max() <= 0.5 and 0.15 < shares.mean() < 0.35

    def test_losses_of_logits(self, rng):
        """The training model of a masked classifier gives its logits, and takes gradients."""
        vgg = two_blocks(models.VGG41, 3, (None, BANDS))
        model = models.Classifier(front_end(), vgg, layers.AveragePoolFrames(0.5), lengths="zeros")
        clips = padded(rng, (1500, 700), 1600)
        logits = numpy(run(training_view(model), clips)["logits"])
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), numpy(run(model, clips)), rtol=1e-5)


class TestParts:
    @pytest.mark.parametrize("lengths", ["zeros", "input"])
    def test_padding_does_not_reach_the_resolution_layer(self, rng, lengths):
        clip_lengths = (1440, 800, 250)
        waveforms = padded(rng, clip_lengths, 1440)
        layer = front_end()
        model = models.Classifier(layer, network((1, BANDS, 1)), Summed(), input_samples=1440, lengths=lengths)
        inputs = waveforms if lengths == "zeros" else [waveforms, np.array(clip_lengths, "int32")]
        kernel, bias = model.layers[-1].get_weights()
        sums = [
            frames[: max(1, layer.num_frames(length))].sum(axis=0)
            for frames, length in zip(numpy(run(layer, waveforms)), clip_lengths, strict=True)
        ]
        np.testing.assert_allclose(numpy(run(model, inputs)), np.stack(sums) @ kernel + bias, rtol=1e-4)

    def test_a_clip_gets_the_same_scores_whatever_its_padding(self, rng):
        clips = padded(rng, (700, 520), 2000)
        classifier = models.Classifier(front_end(), network((1, BANDS, 1)), Summed(), lengths="zeros")
        want = numpy(run(classifier, clips[:, :700]))
        np.testing.assert_allclose(numpy(run(classifier, clips)), want, rtol=1e-5, atol=1e-5)

    def test_mixed_clips_are_as_long_as_the_longer_one(self, rng):
        clips = padded(rng, (700, 520), 1000)
        mixed, _ = layers.MixUp(10.0).apply(
            (clips, np.ones((2, 1), "float32")), {"weight": np.float32([0.3, 0.7]), "partner": np.array([1, 0])}
        )
        np.testing.assert_array_equal(numpy(content_lengths(mixed)), [700, 700])

    def test_layers_on_spectrograms_follow_the_front_end(self, rng):
        layer, waveforms = front_end(), padded(rng, (1440,), 1440)
        backbone = network((layer.num_frames(1440), BANDS))
        got = numpy(run(models.Classifier([layer, keras.layers.Rescaling(2.0)], backbone), waveforms))
        kernel, bias = backbone.get_weights()
        want = 2 * numpy(run(layer, waveforms)).reshape(1, -1) @ kernel + bias
        np.testing.assert_allclose(got, want, rtol=1e-4)

    def test_a_head_on_a_vgg_that_takes_channels(self):
        with keras.StatelessScope(initialize_variables=False):  # Shapes alone.
            vgg = models.VGG41(3, (8, BANDS, 2), width=0.125)
            maps = keras.Model(vgg.input, vgg.get_layer("block4b_relu").output)
            head = keras.Sequential([AttentionHead(4, heads=2), ClassScores(None, "abcd")])
            model = models.Classifier(front_end(), maps, MaskedPairs(channels=2), head, input_samples=1440)
        assert model.output_shape == (None, 4) and models.class_names_of(model) == ("a", "b", "c", "d")

    def test_a_network_on_waveforms(self):
        with keras.StatelessScope(initialize_variables=False):
            eats = [models.EAT(3, shape, (4,), channels=2, padding="same") for shape in ((1024,), (1024, 2))]
            assert models.Classifier(None, backbone=eats[0]).input_shape == (None, 1024)
            both = models.Classifier(layers.PhaseWaveform("both"), eats[1], input_samples=1024)
        assert both.output_shape == (None, 3)

    def test_parts_that_do_not_fit(self):
        with keras.StatelessScope(initialize_variables=False):
            vgg = models.VGG41(3, (16, BANDS), width=0.125)
        with pytest.raises(ValueError, match="axis 1 differs; change input_samples, the resolution"):
            models.Classifier(front_end(), vgg, MaskedPairs(), input_samples=1440)
        with pytest.raises(ValueError, match="another number of axes"):
            models.Classifier(front_end(), vgg, MaskedPairs(channels=2), input_samples=2 * 1440 - 80)
        with pytest.raises(ValueError, match="needs a `front_end`"):
            models.Classifier(None, vgg, MaskedPairs())
        with pytest.raises(ValueError, match="`lengths` are for the mask of frames: they need a `front_end`"):
            models.Classifier(None, network((1440,)), lengths="zeros")
        vgg_of_mst = models.VGG41(2, input_shape=(None, 160), width=0.125)
        with pytest.raises(ValueError, match="Received: '.*', whose later convolutions have padding='same'"):
            models.Classifier(layers.MSTFrontEnd(), vgg_of_mst, lengths="zeros")
        for reflecting in (front_end(center=True), layers.RescaledFrontEnd(front_end(center=True), 0.1, 1.0)):
            with pytest.raises(ValueError, match="`lengths`='zeros' needs .* Set pad_mode='constant'"):
                models.Classifier(reflecting, vgg, lengths="zeros")
        with pytest.raises(
            ValueError,
            match="`lengths` must be one of None, 'zeros', 'input'. Received: lengths='zero'",
        ):
            models.Classifier(front_end(), vgg, MaskedPairs(), lengths="zero")
        with pytest.raises(ValueError, match="`backbone` must be a Keras model. Received: backbone=1440"):
            models.Classifier(front_end(), 1440)


def test_a_saved_classifier_gives_the_same_scores(rng, tmp_path):
    case = Case("masked", lambda: masked_classifier("input"), None)
    waveforms, lengths = padded(rng, (1520, 700, 300), 1520), np.int32([1520, 700, 300])
    model = built(case, waveforms)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(run(loaded, [waveforms, lengths])), numpy(run(model, [waveforms, lengths])))


def test_short_clips_are_padded_for_a_model_that_masks_padding(rng):
    model = masked_classifier()
    clip = rng.normal(size=700).astype("float32")
    patches = patch_dataset(model, ClipCache.from_waveforms([clip], [("a",)], RATE))
    np.testing.assert_array_equal(patches.waveforms([0])[0], np.pad(clip, (0, 820)))
    with pytest.raises(ValueError, match="must take waveforms and have"):
        patch_layout(masked_classifier("input"))


def test_scores_of_the_attention_head_are_not_taken_for_logits():
    inputs = keras.Input((4, 6))
    with keras.StatelessScope(initialize_variables=False):
        model = keras.Model(inputs, ClassScores(None)(AttentionHead(3)(inputs)))
    with pytest.raises(ValueError, match="attention_head.* gives scores, not logits.*loss='score-bce'"):
        training_view(model)
