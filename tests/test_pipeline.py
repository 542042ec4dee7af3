"""Patches and their order, under whichever Keras backend the tests run."""

import gc
import weakref

import keras
import numpy as np
import pytest

from keras_audio_si.data.background import BackgroundNoise
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.data.sampling import class_balanced_weights, epoch_order
from keras_audio_si.training.fit_loop import TrainingSettings
from keras_audio_si.training.identity import refuse_differences, run_identity

tf = pytest.importorskip("tensorflow", reason="the input pipeline is tf.data")

LENGTHS = (30, 100, 149, 150, 420)
LABELS = (("dog",), ("rain",), (), ("dog", "rain"), ("sea",))


@pytest.fixture
def patches():
    """Clip `i` holds 1000 i, 1000 i + 1, ..., so that a sample tells where it comes from."""
    waveforms = [1000.0 * index + np.arange(length) for index, length in enumerate(LENGTHS)]
    return PatchDataset(ClipCache.from_waveforms(waveforms, LABELS, sample_rate=100), patch_samples=100)


def taken(dataset, count):
    return [[np.asarray(part) for part in batch] for batch in dataset.take(count)]


def test_patches_overlap_by_half_and_tails_are_trimmed(patches):
    assert patches.hop_samples == 50
    assert patches.num_clips == 5
    assert patches.num_patches == 12
    assert patches.patch_clip.tolist() == [0, 1, 2, 3, 3] + [4] * 7
    assert patches.patch_start.tolist() == [0, 0, 0, 0, 50, 0, 50, 100, 150, 200, 250, 300]
    waveforms = patches.waveforms(range(12))
    assert waveforms.dtype == np.float32
    for patch, clip, start in zip(waveforms[1:], patches.patch_clip[1:], patches.patch_start[1:], strict=True):
        np.testing.assert_array_equal(patch, 1000 * clip + start + np.arange(100))


def test_short_clips_are_repeated(patches):
    np.testing.assert_array_equal(patches.waveforms([0])[0], np.tile(np.arange(30), 4)[:100])


def test_short_clips_are_filled_with_silence(patches):
    filled = PatchDataset(patches.cache, 100, short="zero").waveforms(range(12))
    np.testing.assert_array_equal(filled[0], np.concatenate([np.arange(30), np.zeros(70)]))
    np.testing.assert_array_equal(filled[1:], patches.waveforms(range(1, 12)))


def test_peaks_are_scaled_and_silence_is_not():
    waveforms = [np.array([0.5, -0.25, 0.0]), np.zeros(3), np.array([0.1, -0.2, 0.0])]
    cache = ClipCache.from_waveforms(waveforms, [("dog",)] * 3, sample_rate=100)
    scaled = PatchDataset(cache, 3, peak=0.95).waveforms(range(3))
    np.testing.assert_allclose(scaled, [[0.95, -0.475, 0], [0, 0, 0], [0.475, -0.95, 0]], rtol=1e-6)


def test_other_hops():
    cache = ClipCache.from_waveforms([np.arange(300), np.arange(299)], [(), ()], 100, class_names=("dog",))
    assert PatchDataset(cache, 100, hop_samples=100).patch_start.tolist() == [0, 100, 200, 0, 100]
    assert PatchDataset(cache, 100, hop_samples=130).patch_start.tolist() == [0, 130, 0, 130]
    assert PatchDataset(cache, 1).num_patches == 599


def test_what_a_clip_is_called(patches):
    assert patches.class_names == ("dog", "rain", "sea")
    assert patches.clip_ids == tuple(f"clip-{index}" for index in range(5))
    assert patches.sample_rate == 100
    np.testing.assert_array_equal(patches.labels, [[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1]])


def test_evaluation_sees_every_patch_once_in_order(patches):
    dataset = patches.batches(5, training=False, with_clip_ids=True)
    assert dataset.cardinality() == 3
    batches = taken(dataset, -1)
    assert [len(waveforms) for waveforms, _, _ in batches] == [5, 5, 2]
    waveforms, labels, clips = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(waveforms, patches.waveforms(range(12)))
    np.testing.assert_array_equal(clips, patches.patch_clip)
    np.testing.assert_array_equal(labels, patches.labels[patches.patch_clip])
    assert labels.dtype == np.float32


def test_order_is_a_function_of_seed_and_epoch():
    orders = {(seed, epoch): epoch_order(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    for (seed, epoch), order in orders.items():
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
        np.testing.assert_array_equal(order, epoch_order(1000, seed, epoch))
    assert len({tuple(order) for order in orders.values()}) == 4


@pytest.mark.parametrize("batch_size", [1, 4, 5, 12, 30])
def test_an_epoch_is_its_order_completed_from_its_own_beginning(patches, batch_size):
    steps = patches.steps_per_epoch(batch_size)
    dataset = patches.batches(batch_size, training=True, seed=3)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    assert dataset.element_spec[0].shape == (batch_size, 100)
    assert dataset.element_spec[1].shape == (batch_size, 3)
    batches = taken(dataset, 3 * steps)
    for epoch in range(3):
        order = np.resize(epoch_order(12, 3, epoch), steps * batch_size)
        assert set(order[:12]) == set(range(12))
        in_epoch = batches[epoch * steps : (epoch + 1) * steps]
        waveforms, labels = (np.concatenate(parts) for parts in zip(*in_epoch, strict=True))
        np.testing.assert_array_equal(waveforms, patches.waveforms(order))
        np.testing.assert_array_equal(labels, patches.labels[patches.patch_clip[order]])


@pytest.mark.parametrize("start_step", [0, 1, 2])
def test_starting_within_the_epochs_equals_coming_there(patches, start_step):
    through = taken(patches.batches(5, training=True, seed=7), 9)[3 + start_step :]
    resumed = taken(patches.batches(5, training=True, seed=7, start_epoch=1, start_step=start_step), 6 - start_step)
    for (waveforms, labels), (resumed_waveforms, resumed_labels) in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(waveforms, resumed_waveforms)
        np.testing.assert_array_equal(labels, resumed_labels)


class TestRandomCrops:
    @pytest.fixture
    def crops(self, patches):
        return PatchDataset(patches.cache, 100, crops="random")

    def test_one_of_each_clip_and_epoch_that_starts_anywhere(self, crops):
        seen = {clip: set() for clip in range(5)}
        for epoch in range(400):
            clips, starts = crops.training_examples(seed=3, epoch=epoch)
            assert sorted(clips) == list(range(5))
            for clip, start in zip(clips, starts, strict=True):
                seen[clip].add(int(start))
        assert [seen[clip] for clip in range(3)] == [{0}, {0}, set(range(50))]
        assert seen[3] == set(range(51)) and min(seen[4]) < 5 and max(seen[4]) > 315

    def test_a_function_of_seed_and_epoch(self, crops):
        first = crops.training_examples(seed=3, epoch=7)
        np.testing.assert_array_equal(first, crops.training_examples(seed=3, epoch=7))
        assert (first[1] != crops.training_examples(seed=4, epoch=7)[1]).any()
        assert (first[1] != crops.training_examples(seed=3, epoch=8)[1]).any()

    def test_batches_hold_them(self, crops):
        assert crops.steps_per_epoch(2) == 3
        batches = taken(crops.batches(2, training=True, seed=3, with_clip_ids=True), 6)
        for epoch in range(2):
            in_epoch = batches[3 * epoch : 3 * epoch + 3]
            waveforms, labels, clips = (np.concatenate(parts) for parts in zip(*in_epoch, strict=True))
            expected_clips, starts = (np.resize(values, 6) for values in crops.training_examples(3, epoch))
            np.testing.assert_array_equal(clips, expected_clips)
            np.testing.assert_array_equal(waveforms[:, 0], 1000 * clips + starts)
            np.testing.assert_array_equal(labels, crops.labels[clips])

    def test_evaluation_keeps_the_fixed_patches(self, patches, crops):
        batches = [taken(data.batches(5, training=False), -1) for data in (patches, crops)]
        for expected, received in zip(*batches, strict=True):
            np.testing.assert_array_equal(received[0], expected[0])


class TestClassBalancedSampling:
    LABELS = [("dog",)] * 90 + [("rain",)] * 10 + [("rain", "sea")] * 2 + [()]

    @pytest.fixture
    def data(self):
        waveforms = [np.full(10, index) for index in range(len(self.LABELS))]
        cache = ClipCache.from_waveforms(waveforms, self.LABELS, sample_rate=100)
        return PatchDataset(cache, 10, crops="random", sampling="class_balanced")

    def test_classes_come_equally_often(self, data):
        drawn = np.concatenate([data.training_examples(seed=0, epoch=epoch)[0] for epoch in range(300)])
        assert drawn.max() == 101  # The clip without a label never comes.
        labels = data.labels[drawn].sum(axis=0)
        # Two of the twelve "rain" clips are the "sea" clips, whose weight is 1 and a sixth: 1, 2 and 7/6 of 3 draws.
        np.testing.assert_allclose(labels / len(drawn), [1 / 3, 2 / 3, 7 / 18], rtol=0.03)

    def test_an_epoch_is_as_long_and_a_function_of_seed_and_epoch(self, data):
        first = data.training_examples(seed=5, epoch=2)[0]
        assert len(first) == 103
        np.testing.assert_array_equal(first, data.training_examples(seed=5, epoch=2)[0])
        assert (first != data.training_examples(seed=5, epoch=3)[0]).any()

    @pytest.mark.parametrize("sampling", ["class_balanced", "psla"])
    def test_a_long_clip_counts_no_more_than_a_short_one(self, sampling):
        waveforms = [np.full(length, index) for index, length in enumerate((100, 10, 10))]
        cache = ClipCache.from_waveforms(waveforms, [("dog",), ("dog",), ("rain",)], sample_rate=100)
        data = PatchDataset(cache, 10, sampling=sampling)
        drawn = np.concatenate([data.training_examples(0, epoch)[0] for epoch in range(300)])
        np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [0.25, 0.25, 0.5], rtol=0.05)

    def test_labels_are_needed(self):
        cache = ClipCache.from_waveforms([np.ones(10)], [()], sample_rate=100, class_names=("dog",))
        with pytest.raises(ValueError, match="clips with labels"):
            PatchDataset(cache, 10, sampling="class_balanced")

    def test_weights_of_the_released_code(self, golden):
        arrays = golden("psla_sampling_weights")
        np.testing.assert_allclose(class_balanced_weights(arrays["targets"]), arrays["sample_weight_eat"], rtol=1e-6)


class TestBackgroundNoise:
    @pytest.fixture
    def noise(self, rng):
        recordings = [rng.normal(size=250), rng.normal(size=40)]
        cache = ClipCache.from_waveforms(recordings, [(), ()], sample_rate=100, class_names=("dog",))
        return BackgroundNoise(cache, snr_decibels=(3.0, 12.0), probability=0.5)

    def test_levels_and_share(self, noise, rng):
        patches = rng.normal(size=(400, 100)).astype("float32")
        added = noise.add(patches, np.random.default_rng(1)) - patches
        noisy = np.abs(added).max(axis=1) > 0
        assert 150 < noisy.sum() < 250
        ratio = (patches[noisy] ** 2).sum(axis=1) / (added[noisy] ** 2).sum(axis=1)
        snr = 10 * np.log10(ratio)
        assert 2.99 < snr.min() < 3.5 and 11.5 < snr.max() < 12.01
        assert not noise.add(np.zeros((20, 100), "float32"), np.random.default_rng(1)).any()

    def test_only_what_is_added_is_read(self, noise, rng, monkeypatch):
        patches, draws, expected = rng.normal(size=(40, 100)).astype("float32"), np.random.default_rng(1), []
        for place in range(-3, 40):
            chosen, snr = draws.random() < 0.5, draws.uniform(3.0, 12.0)
            recording = noise.cache.waveform(draws.integers(2))
            start = draws.integers(max(len(recording) - 100, 0), endpoint=True)
            added = np.resize(recording[start : start + 100], 100)
            powers = [np.mean(samples**2, dtype="float64") for samples in (patches[place], added)]
            factor = np.float32(np.sqrt(powers[0] / powers[1]) * 10 ** (-snr / 20))
            expected += [patches[place] + added * factor if chosen else patches[place]] * (place >= 0)
        read, section = [], noise.cache.section
        monkeypatch.setattr(noise.cache, "section", lambda *args: read.append(args) or section(*args))
        found = noise.add(patches, np.random.default_rng(1), first=3)
        np.testing.assert_array_equal(found, expected)
        assert len(read) == (found != patches).any(axis=1).sum() and {samples for *_, samples in read} == {100}

    def test_another_rate_is_refused(self, patches, noise):
        noise.cache.sample_rate = 50
        with pytest.raises(ValueError, match="`background` must have .* 100 Hz: .* Received: 50 Hz"):
            PatchDataset(patches.cache, 100, background=noise)

    def test_in_training_only_and_the_same_after_resuming(self, patches, noise):
        data = PatchDataset(patches.cache, 100, background=noise)
        np.testing.assert_array_equal(data.waveforms(range(12)), patches.waveforms(range(12)))
        through = taken(data.batches(5, training=True, seed=7), 6)
        plain = taken(patches.batches(5, training=True, seed=7), 6)
        changed = [(one[0] != other[0]).any() for one, other in zip(through, plain, strict=True)]
        assert sum(changed) > 3
        (resumed,) = taken(data.batches(5, training=True, seed=7, start_epoch=1, start_step=2), 1)
        np.testing.assert_array_equal(resumed[0], through[5][0])

    def test_parts_of_a_batch_are_the_batch(self, patches, noise):
        data = PatchDataset(patches.cache, 100, background=noise, crops="random")
        whole = taken(data.batches(6, training=True, seed=7), 3)
        parts = [taken(data.batches(6, training=True, seed=7, part=(number, 3)), 3) for number in range(3)]
        for batch, *own in zip(whole, *parts, strict=True):
            assert [len(part[0]) for part in own] == [2, 2, 2]
            for one, *others in zip(batch, *own, strict=True):
                np.testing.assert_array_equal(np.concatenate(others), one)
        first = next(data.endless_batches(6, seed=7, part=(1, 3)))
        np.testing.assert_array_equal(first[0], parts[1][0][0])

    @pytest.mark.parametrize(
        "arguments", [{"snr_decibels": (9, 3)}, {"snr_decibels": (0, np.inf)}, {"probability": 1.5}]
    )
    def test_wrong_arguments(self, noise, arguments):
        with pytest.raises(ValueError, match=f"`{next(iter(arguments))}`"):
            BackgroundNoise(noise.cache, **arguments)


def test_options_are_part_of_what_a_run_is(patches):
    cache = patches.cache
    settings = TrainingSettings()
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(3)])
    before = run_identity(model, patches, patches, settings)
    for changed in ({"crops": "random"}, {"short": "zero"}, {"sampling": "class_balanced"}, {"peak": 0.5}):
        now = run_identity(model, PatchDataset(cache, 100, **changed), patches, settings)
        with pytest.raises(ValueError, match=f"training {next(iter(changed))}"):
            refuse_differences(before, now)


@pytest.mark.parametrize("options", [{"crops": "random"}, {"sampling": "class_balanced"}])
@pytest.mark.parametrize("start_step", [0, 2])
def test_random_examples_are_the_same_after_resuming(patches, options, start_step):
    data = PatchDataset(patches.cache, 100, **options)
    steps = data.steps_per_epoch(2)
    through = taken(data.batches(2, training=True, seed=7), 2 * steps)[steps + start_step :]
    resumed = taken(data.batches(2, training=True, seed=7, start_epoch=1, start_step=start_step), steps - start_step)
    for expected, received in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(received[0], expected[0])


def test_clips_and_mixing_targets_go_with_their_waveforms(patches):
    for waveforms, labels, clips in taken(patches.batches(4, training=True, with_clip_ids=True), 6):
        np.testing.assert_array_equal(waveforms[:, 0] // 1000, clips)
        np.testing.assert_array_equal(labels, patches.labels[clips])
    for (waveforms, labels), targets in patches.batches(4, training=True, seed=1, mixed=True).take(2):
        assert waveforms.shape == (4, 100)
        np.testing.assert_array_equal(labels, targets)


def test_it_feeds_fit_and_predict(patches):
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(3, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.fit(patches.batches(4, training=True), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    assert model.predict(patches.batches(5, training=False), verbose=0).shape == (12, 3)


def test_it_lives_as_long_as_what_is_made_of_it():
    cache = ClipCache.from_waveforms([np.zeros(500)], [("dog",)], sample_rate=100)
    patches = PatchDataset(cache, patch_samples=100)
    alive, batches = weakref.ref(patches), iter(patches.batches(2, training=True).map(lambda x, y: x))
    del patches, cache
    gc.collect()
    assert all(next(batches).shape == (2, 100) for _ in range(50))
    del batches
    gc.collect()
    assert alive() is None


def test_gpus_are_left_to_the_backend_that_trains(patches, monkeypatch):
    calls = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *devices: calls.append(devices))
    patches.batches(4, training=False)
    assert calls == ([] if keras.backend.backend() == "tensorflow" else [([], "GPU")])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda patches: PatchDataset(patches.cache, 0),
            "`patch_samples` must be an integer of at least 1.*=0",
        ),
        (lambda patches: PatchDataset(patches.cache, 1.5), "`patch_samples`.*=1.5"),
        (lambda patches: PatchDataset(patches.cache, 10, hop_samples=-1), "`hop_samples`.*=-1"),
        (
            lambda patches: PatchDataset(patches.cache, 10, crops="centre"),
            "`crops` must be .*centre",
        ),
        (
            lambda patches: PatchDataset(patches.cache, 10, short="pad"),
            "`short` must be one of 'repeat', 'zero', 'drop'",
        ),
        (
            lambda patches: PatchDataset(patches.cache, 10, sampling="balanced"),
            "`sampling` must be one of 'once', 'class_b",
        ),
        (lambda patches: PatchDataset(patches.cache, 10, peak=95), "`peak`.*=95"),
        (lambda patches: patches.batches(0, training=True), "`batch_size`"),
        (
            lambda patches: patches.batches(4, training=True, seed=-1),
            "`seed` must be an integer of at least 0",
        ),
        (lambda patches: patches.batches(4, training=True, start_epoch=0.5), "`start_epoch`"),
        (lambda patches: patches.batches(4, training=True, start_step=-1), "`start_step`"),
        (
            lambda patches: patches.batches(4, training=True, mixed=True, with_clip_ids=True),
            "exclude each other",
        ),
        (lambda patches: patches.steps_per_epoch(-3), "`batch_size`.*=-3"),
        (lambda patches: patches.batches(4, training=True, part=(0, 3)), r"`part` must .* divide the batch of 4\."),
        (lambda patches: patches.batches(4, training=True, part=(2, 2)), "`part` must be"),
    ],
)
def test_wrong_arguments_are_explained(patches, call, message):
    with pytest.raises(ValueError, match=message):
        call(patches)
