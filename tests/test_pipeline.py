"""Patches and their order, under whichever Keras backend the tests run."""

import keras
import numpy as np
import pytest

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.pipeline import PatchDataset, epoch_order

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
    ],
)
def test_wrong_arguments_are_explained(patches, call, message):
    with pytest.raises(ValueError, match=message):
        call(patches)
