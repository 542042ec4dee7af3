import keras
import numpy as np
import pytest
from cases import masked_classifier

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.evaluation.shift import (
    PAPER_PROTOCOLS,
    compare_scores,
    parse_protocol,
    shift_bands,
    shift_consistency,
    shift_table,
    stability,
)
from keras_audio_si.evaluation.shift_clips import select_patches
from keras_audio_si.layers.frontend import LogMelSpectrogram

SAMPLE_RATE, FRAMES, BANDS, CONTEXT = 1000, 12, 16, 5


@pytest.mark.once
class TestParseProtocol:
    def test_names_of_the_paper(self):
        expected = [("time", 1), ("time", 3), ("time", 5), ("freq", 1), ("freq", 3), ("freq", 5)]
        assert [parse_protocol(name) for name in PAPER_PROTOCOLS] == expected
        assert parse_protocol("samples-40") == ("samples", 40)

    @pytest.mark.parametrize("name", ["time", "time-", "time--1", "mel-1", "freq-1.5", "time-1 ", ""])
    def test_unknown(self, name):
        with pytest.raises(ValueError, match="protocol"):
            parse_protocol(name)


@pytest.mark.once
class TestShiftBands:
    def test_moves_the_bands_upwards(self, rng):
        x = rng.standard_normal((4, 7, 10)).astype("float32")
        shifted = shift_bands(x, 3)
        np.testing.assert_array_equal(shifted[:, :, 3:], x[:, :, :7])
        assert shifted.dtype == "float32" and shifted.shape == x.shape

    def test_no_shift_changes_nothing(self, rng):
        x = rng.standard_normal((2, 7, 10)).astype("float32")
        np.testing.assert_array_equal(shift_bands(x, 0), x)

    def test_noise_has_mean_and_deviation_of_the_lowest_band(self, rng):
        frames = 40000
        x = rng.standard_normal((2, frames, 6)).astype("float32")
        x[0, :, 0] = 3 * x[0, :, 0] - 20
        x[1, :, 0] = 0.1 * x[1, :, 0] + 5
        noise = shift_bands(x, 4)[:, :, :4]
        # Five standard errors of a mean and of a deviation.
        for patch, deviation in ((0, 3), (1, 0.1)):
            assert np.abs(noise[patch].mean(axis=0) - x[patch, :, 0].mean()).max() < 5 * deviation / frames**0.5
            assert np.abs(noise[patch].std(axis=0) / x[patch, :, 0].std() - 1).max() < 5 / (2 * frames) ** 0.5
        correlations = np.corrcoef(np.concatenate([noise[0], noise[1], x[0, :, :1]], axis=1).T)
        assert np.abs(correlations - np.eye(9)).max() < 5 / frames**0.5, "bands and patches are independent"
        centred = noise[0, :, 0] - noise[0, :, 0].mean()
        for lag in (1, 2, 7):
            assert abs((centred[lag:] * centred[:-lag]).mean()) / centred.var() < 5 / frames**0.5, "white in time"

    def test_silence_is_filled_with_its_own_level(self):
        x = np.full((1, 5, 4), -23.0, "float32")
        np.testing.assert_array_equal(shift_bands(x, 2), x)

    def test_each_example_has_noise_of_its_own(self, rng):
        x = rng.standard_normal((1, 7, 10)).repeat(5, axis=0)
        all_of_them = shift_bands(x, 2, seed=3)
        np.testing.assert_array_equal(shift_bands(x[:2], 2, seed=3), all_of_them[:2])
        np.testing.assert_array_equal(shift_bands(x, 2, seed=3), all_of_them)
        assert (all_of_them[0, :, :2] != all_of_them[1, :, :2]).all()
        assert (shift_bands(x, 2, seed=4)[:, :, :2] != all_of_them[:, :, :2]).all()

    def test_a_larger_shift_contains_a_smaller_one(self, rng):
        x = rng.standard_normal((3, 7, 10))
        np.testing.assert_array_equal(shift_bands(x, 5)[:, :, 3:], shift_bands(x, 2)[:, :, :7])

    @pytest.mark.parametrize("shape, bands", [((2, 5, 4), 4), ((2, 5, 4), -1), ((5, 4), 1)])
    def test_errors(self, shape, bands):
        with pytest.raises(ValueError, match="bands|spectrograms"):
            shift_bands(np.zeros(shape), bands)


@pytest.mark.once
class TestCompareScores:
    def test_equals_a_loop(self, rng):
        before, after = rng.random((50, 6)), rng.random((50, 6))
        same, change = 0, 0.0
        for p, q in zip(before.tolist(), after.tolist(), strict=True):
            top = p.index(max(p))
            same += top == q.index(max(q))
            change += abs(q[top] - p[top])
        result = compare_scores(before, after)
        assert result.num_patches == 50
        np.testing.assert_allclose([result.consistency, result.mac], [same / 50, change / 50], rtol=1e-12)

    def test_follows_the_top_class_of_the_original(self):
        result = compare_scores([[0.9, 0.1]], [[0.2, 0.8]])
        assert result.consistency == 0.0
        assert result.mac == pytest.approx(0.7)

    def test_rejects_logits(self):
        with pytest.raises(ValueError, match="sigmoid or softmax"):
            compare_scores([[3.0, -1.0]], [[0.5, 0.5]])

    def test_scores_that_are_not_finite_give_no_number(self):
        assert np.isnan(compare_scores([[0.5, 0.1]], [[np.nan, 0.5]])[:2]).all()


def reader(length, bands, frame, band):
    """A model that sees one value of the patch: class 0 has it as its score, class 1 its complement."""
    inputs = keras.Input((length, bands))
    value = inputs[:, frame, band : band + 1]
    return keras.Model(inputs, keras.ops.concatenate([value, 1 - value], axis=-1))


class TestShiftConsistencyOfSpectrogramModels:
    """What the models see is known, so that their robustness can be written down."""

    def test_model_of_one_frame_in_time(self):
        # Frame t holds 1, 1, 0, 0, 1, 1, 0, 0, ... in all bands.
        pattern = (np.arange(16) // 2 % 2 == 0).astype("float32")
        patches = np.broadcast_to(pattern[None, :, None], (7, 16, 3))
        model = reader(10, 3, frame=0, band=1)
        expected = {"time-1": (1.0, 0.0), "time-2": (0.0, 1.0), "time-3": (0.0, 1.0), "time-4": (1.0, 0.0)}
        for protocol, (consistency, mac) in expected.items():
            assert shift_consistency(model, patches, protocol)[:2] == (consistency, mac), protocol

    def test_time_takes_real_audio_from_behind_the_patch(self, rng):
        patches = rng.random((40, 10 + 4, 3)).astype("float32")
        result = shift_consistency(reader(10, 3, frame=9, band=2), patches, "time-4")
        before, after = patches[:, 9, 2], patches[:, 13, 2]
        top_is_first = before >= 0.5
        change = np.abs(after - before)  # the same for a value and its complement
        np.testing.assert_allclose(result.consistency, np.mean((after >= 0.5) == top_is_first), atol=1e-7)
        np.testing.assert_allclose(result.mac, change.mean(), atol=1e-6)
        assert result.num_patches == 40

    def test_model_of_one_band_in_frequency(self, rng):
        patches = rng.random((40, 10, 6)).astype("float32")
        result = shift_consistency(reader(10, 6, frame=4, band=5), patches, "freq-3")
        before, after = patches[:, 4, 5], patches[:, 4, 2]
        np.testing.assert_allclose(result.consistency, np.mean((after >= 0.5) == (before >= 0.5)), atol=1e-7)
        np.testing.assert_allclose(result.mac, np.abs(after - before).mean(), atol=1e-6)

    def test_invariant_model(self, rng):
        inputs = keras.Input((10, 6))
        scores = keras.layers.Softmax()(
            keras.ops.max(inputs, axis=(1, 2))[:, None] * np.array([0.0, 0.5, 1.0], "float32")
        )
        patches = rng.standard_normal((9, 15, 6)).astype("float32")
        patches[:, 6:9, 0] = 100.0  # the loudest value stays in the patch under every shift in time
        for result in shift_table(keras.Model(inputs, scores), patches, ("time-1", "time-3", "time-5")).values():
            assert result[:2] == (1.0, 0.0)

    def test_does_not_depend_on_the_batches(self, rng):
        model = spectrogram_model()
        patches = rng.standard_normal((11, FRAMES + CONTEXT, BANDS)).astype("float32")
        few, many = (shift_table(model, patches, batch_size=size) for size in (3, 64))
        assert list(few) == list(PAPER_PROTOCOLS)
        for protocol in few:
            np.testing.assert_allclose(few[protocol], many[protocol], atol=1e-6)
            np.testing.assert_allclose(few[protocol], shift_consistency(model, patches, protocol), atol=1e-6)

    def test_seed_of_the_noise(self, rng):
        model = reader(10, 6, frame=4, band=0)
        patches = (0.5 + 0.05 * rng.standard_normal((11, 10, 6))).astype("float32")
        first, again, other = (shift_consistency(model, patches, "freq-1", seed=seed).mac for seed in (1, 1, 2))
        assert first == again != other

    def test_model_of_any_length(self, rng):
        inputs = keras.Input((None, 6))
        model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.ops.max(inputs, axis=1)))
        patches = rng.standard_normal((5, 15, 6)).astype("float32")
        assert shift_consistency(model, patches, "time-5", patch_length=10).num_patches == 5
        with pytest.raises(ValueError, match="patch_length"):
            shift_consistency(model, patches, "time-5")

    @pytest.mark.parametrize(
        "shape, protocol, message",
        [
            ((4, 12, 6), "time-3", r"at least 10 \+ 3"),
            ((4, 9, 6), "freq-1", r"at least 10 \+ 0"),
            ((4, 12, 6), "freq-6", r"`bands` must be in \[0, 6\)"),
            ((4, 12, 6), "samples-1", "does not apply"),
            ((4, 12), "time-1", "spectrograms"),
            ((0, 12, 6), "time-1", "at least one"),
        ],
    )
    def test_errors(self, shape, protocol, message):
        with pytest.raises(ValueError, match=message):
            shift_consistency(reader(10, 6, 0, 0), np.zeros(shape, "float32"), protocol)

    @pytest.mark.parametrize("size", [0, -2])
    def test_size_of_batches(self, size):
        with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1"):
            shift_consistency(reader(10, 6, 0, 0), np.zeros((4, 12, 6), "float32"), "time-1", batch_size=size)


def front_end():
    return LogMelSpectrogram(
        sample_rate=SAMPLE_RATE, frame_seconds=0.03, hop_seconds=0.01, num_mels=BANDS, fft_length=64
    )


def spectrogram_model():
    inputs = keras.Input((FRAMES, BANDS))
    x = keras.ops.expand_dims((inputs + 3.0) / 2.0, axis=-1)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.Dense(5, "softmax")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, x)
    weights = np.random.default_rng(1)  # Keras' own initial values differ between backends
    model.set_weights([0.4 * weights.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


def waveform_model(front, back):
    inputs = keras.Input((front.num_samples(FRAMES),))
    return keras.Model(inputs, back(front(inputs)))


class TestShiftConsistencyOfWaveformModels:
    @pytest.fixture
    def waveforms(self, rng):
        return rng.standard_normal((20, front_end().num_samples(FRAMES + CONTEXT))).astype("float32")

    def test_equals_the_spectrogram_model(self, waveforms):
        front, back = front_end(), spectrogram_model()
        spectrograms = keras.ops.convert_to_numpy(front(waveforms))
        assert spectrograms.shape == (20, FRAMES + CONTEXT, BANDS)
        of_waveforms = shift_table(waveform_model(front, back), waveforms)
        of_spectrograms = shift_table(back, spectrograms)
        for protocol in PAPER_PROTOCOLS:
            assert of_waveforms[protocol].consistency == of_spectrograms[protocol].consistency
            np.testing.assert_allclose(of_waveforms[protocol].mac, of_spectrograms[protocol].mac, atol=1e-5)
        assert min(result.consistency for result in of_waveforms.values()) < 1, "the shifts should show"

    def test_front_end_shared_between_models(self, waveforms):
        front = front_end()
        first, second = waveform_model(front, spectrogram_model()), waveform_model(front, spectrogram_model())
        assert shift_consistency(first, waveforms, "freq-3") == shift_consistency(second, waveforms, "freq-3")

    def test_masked_padding(self, rng):
        """Behind the front-end the model needs the waveforms as well."""
        masked, plain = masked_classifier(), masked_classifier(lengths=None)
        plain.set_weights(masked.get_weights())
        patches = rng.standard_normal((3, masked.input_shape[1])).astype("float32")
        result = shift_consistency(masked, patches, "freq-1")
        assert 0 < result.mac == pytest.approx(shift_consistency(plain, patches, "freq-1").mac, rel=1e-4)

    def test_shift_in_samples(self, waveforms):
        model = waveform_model(front_end(), spectrogram_model())
        length = model.input_shape[1]
        before = keras.ops.convert_to_numpy(model(waveforms[:, :length]))
        after = keras.ops.convert_to_numpy(model(waveforms[:, 3 : 3 + length]))
        result, expected = shift_consistency(model, waveforms, "samples-3"), compare_scores(before, after)
        np.testing.assert_allclose(result, expected, atol=1e-5)
        table = shift_table(model, waveforms, ("samples-20", "time-2"))
        assert table["samples-20"] == table["time-2"]

    def test_mixed_precision(self, waveforms):
        protocols = ("time-1", "freq-1")
        expected = shift_table(waveform_model(front_end(), spectrogram_model()), waveforms, protocols)
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            result = shift_table(waveform_model(front_end(), spectrogram_model()), waveforms, protocols)
        finally:
            keras.config.set_dtype_policy("float32")
        for protocol in result:
            np.testing.assert_allclose(result[protocol].mac, expected[protocol].mac, atol=0.02)

    def test_model_without_a_front_end(self, rng):
        inputs = keras.Input((30,))
        model = keras.Model(inputs, keras.ops.concatenate([inputs[:, :1], 1 - inputs[:, :1]], axis=-1))
        patches = rng.random((25, 50)).astype("float32")
        result = shift_consistency(model, patches, "time-2", hop_length=7)
        np.testing.assert_allclose(result.mac, np.abs(patches[:, 14] - patches[:, 0]).mean(), atol=1e-6)
        with pytest.raises(ValueError, match="hop_length"):
            shift_consistency(model, patches, "time-2")
        with pytest.raises(ValueError, match="LogMelSpectrogram"):
            shift_consistency(model, patches, "freq-2")
        with pytest.raises(ValueError, match=r"at least 30 \+ 21"):
            shift_consistency(model, patches, "time-3", hop_length=7)


class TestStability:
    @pytest.mark.parametrize("kind", ["time", "freq"])
    def test_equals_one_shift_at_a_time(self, rng, kind):
        model = spectrogram_model()
        patches = rng.standard_normal((5, FRAMES + CONTEXT, BANDS)).astype("float32")
        classes = [2, 0, 1, 1, 2]
        scores = stability(model, patches, kind, CONTEXT, classes, seed=4, batch_size=2)
        assert scores.shape == (5, CONTEXT + 1)
        for shift in range(CONTEXT + 1):
            if kind == "time":
                shifted = patches[:, shift : shift + FRAMES]
            else:
                shifted = shift_bands(patches[:, :FRAMES], shift, seed=4)
            expected = keras.ops.convert_to_numpy(model(shifted))[np.arange(5), classes]
            np.testing.assert_allclose(scores[:, shift], expected, atol=1e-6)
        assert np.ptp(scores, axis=1).min() > 1e-3

    def test_of_waveforms(self, rng):
        front, back = front_end(), spectrogram_model()
        waveforms = rng.standard_normal((3, front.num_samples(FRAMES + CONTEXT))).astype("float32")
        spectrograms = keras.ops.convert_to_numpy(front(waveforms))
        model = waveform_model(front, back)
        for kind in ("time", "freq"):
            np.testing.assert_allclose(
                stability(model, waveforms, kind, CONTEXT, [0, 1, 2]),
                stability(back, spectrograms, kind, CONTEXT, [0, 1, 2]),
                atol=1e-5,
            )

    def test_context_too_short(self):
        with pytest.raises(ValueError, match=r"at least 12 \+ 6"):
            stability(spectrogram_model(), np.zeros((1, 17, BANDS), "float32"), "time", 6, [0])


class TestSelectPatches:
    @staticmethod
    def cache(lengths, labels, rate=100):
        # Sample i of clip k is k + i / 1000.
        waveforms = [k + np.arange(length, dtype="float32") / 1000 for k, length in enumerate(lengths)]
        return ClipCache.from_waveforms(waveforms, labels, rate, class_names=("a", "b"))

    def test_takes_single_labels_of_at_least_two_seconds(self):
        cache = self.cache([200, 199, 300, 250, 400], [("a",), ("a",), ("a", "b"), ("b",), ()])
        selected = select_patches(cache, patch_samples=100, context_samples=10)
        assert selected.clip_indices.tolist() == [0, 3]
        assert (selected.num_eligible, selected.num_clips) == (2, 5)
        expected = [k + np.arange(50, 160) / 1000 for k in (0, 3)]
        np.testing.assert_allclose(selected.waveforms, expected, rtol=1e-6)
        assert selected.waveforms.dtype == "float32"

    def test_draws_at_random_without_repetition(self):
        cache = self.cache([200] * 40, [("a",)] * 40)
        drawn = [select_patches(cache, 100, 5, max_clips=10, seed=seed).clip_indices.tolist() for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert drawn[0] == sorted(set(drawn[0])) and len(drawn[0]) == 10
        assert select_patches(cache, 100, 5, max_clips=10).num_eligible == 40

    def test_none_left(self):
        with pytest.raises(ValueError, match="of 3 clips 2 have a single label.* 2 s or more"):
            select_patches(self.cache([199, 50, 300], [("a",), ("b",), ("a", "b")]), 100, 5)
