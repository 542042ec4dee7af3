"""The clips of a shift test: the constraints of the paper, hierarchies of labels, and the list of them."""

import csv
import itertools

import numpy as np
import pytest
from classifiers import RATE, small_classifier

from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.evaluation.shift_clips import (
    listed_patches,
    select_patches,
    shift_patches,
    single_events,
    write_clip_list,
)
from keras_audio_si.experiments.run import shifted_patches
from keras_audio_si.experiments.settings import Settings

pytestmark = pytest.mark.once

# A class comes with all its ancestors, as in FSD50K.
ANCESTORS = {"bark": ("dog", "animal"), "meow": ("animal",), "rain": ("water",), "animal": (), "water": ()}
CLASSES = ("animal", "bark", "dog", "meow", "rain", "water")


def with_ancestors(*events):
    return tuple(sorted({*events, *itertools.chain(*(ANCESTORS[event] for event in events))}))


def multi_hot(labels):
    return np.array([[name in one for name in CLASSES] for one in labels], "float32")


def cache_of(labels, seconds=3.0, rate=100):
    """Sample i of clip k is k + i / 1000."""
    lengths = [round(each * rate) for each in np.broadcast_to(seconds, len(labels))]
    waveforms = [k + np.arange(length, dtype="float32") / 1000 for k, length in enumerate(lengths)]
    return ClipCache.from_waveforms(waveforms, labels, rate, CLASSES)


class TestSingleEvents:
    def test_labels_that_the_only_event_implies_do_not_count(self):
        events = ["bark"] * 4 + ["meow"] * 4 + ["rain"] * 4 + ["animal", "water"]
        pairs = [("bark", "rain"), ("meow", "rain"), ("bark", "meow"), ("animal", "water")]
        clips = [*((event,) for event in events), *pairs, ()]
        labels = multi_hot([with_ancestors(*clip) for clip in clips])
        expected = [CLASSES.index(event) for event in events] + [-1] * 5
        assert single_events(labels).tolist() == expected

    def test_equals_a_search_through_all_clips(self, rng):
        labels = rng.random((60, 6)) < 0.3
        labels[:, 1] &= labels[:, 0]  # class 1 implies class 0
        labels[:, 4] &= labels[:, 2] & labels[:, 3]
        found = single_events(labels)
        for clip, event in zip(labels, found, strict=True):
            explaining = []
            for label in np.flatnonzero(clip):
                others = labels[labels[:, label]]
                implied = others.all(axis=0) if len(others) >= 3 else np.eye(6, dtype=bool)[label]
                if (implied | ~clip).all():
                    explaining.append((len(others), label))
            assert event == (min(explaining)[1] if explaining else -1)

    def test_two_clips_in_common_may_be_chance(self):
        labels = multi_hot([("bark", "rain")] * 2 + [("rain",)] * 5)
        assert single_events(labels).tolist() == [-1, -1] + [CLASSES.index("rain")] * 5
        assert single_events(np.concatenate([labels, labels[:1]]))[0] == CLASSES.index("bark")

    def test_single_labels_are_taken_as_they_are(self):
        assert single_events(np.eye(4)[[2, 0, 3, 3]]).tolist() == [2, 0, 3, 3]


class TestSelection:
    def test_takes_the_most_specific_class_of_long_enough_clips(self):
        labels = [with_ancestors("bark")] * 3 + [with_ancestors("bark", "rain"), with_ancestors("bark"), ("animal",)]
        cache = cache_of(labels, seconds=[2.0, 1.99, 2.5, 3.0, 3.0, 1.0])
        selected = select_patches(cache, patch_samples=100, context_samples=10)
        assert selected.clip_indices.tolist() == [0, 2, 4]
        assert selected.starts.tolist() == [50] * 3
        assert [CLASSES[number] for number in selected.classes] == ["bark"] * 3
        assert (selected.num_eligible, selected.num_clips) == (3, 6)

    def test_short_clips_are_repeated(self):
        cache = cache_of([("rain",)] * 3, seconds=[2.0, 2.5, 1.9])
        selected = select_patches(cache, patch_samples=300, context_samples=60)
        assert selected.clip_indices.tolist() == [0, 1]
        for waveform, index in zip(selected.waveforms, selected.clip_indices, strict=True):
            repeated = np.concatenate([cache.waveform(index)] * 3)
            np.testing.assert_array_equal(waveform, repeated[50:410])

    def test_real_clips_with_ancestors(self, shared_data, tmp_path):
        """None of these clips has a single label, and none of those with two events is taken."""
        manifest = read_dataset(shared_data / "fsd50k").select(split="test")
        cache = ClipCache.build(manifest, 8000, tmp_path, progress=False)
        selected = select_patches(cache, 8000, 400)
        assert selected.num_eligible >= 8
        for index in selected.clip_indices:
            labels = cache.manifest.clips[index].labels
            assert not {"Power_tool", "Rain", "Bark", "Aircraft", "Sneeze", "Crackle", "Tick-tock"}.issuperset(labels)
            assert len({"Tools", "Animal", "Vehicle", "Water", "Mechanisms", "Fire", "Human_voice"} & set(labels)) == 1
            assert cache.lengths[index] >= 2 * 8000


class TestList:
    @pytest.fixture
    def cache(self):
        return cache_of([("rain",), ("water",), ("rain", "dog"), ("dog",), ("dog",), ("rain",)])

    def test_a_list_gives_the_same_patches_again(self, cache, tmp_path):
        selected = select_patches(cache, 100, 10, max_clips=3, seed=4)
        write_clip_list(selected, cache, tmp_path / "clips.csv")
        with open(tmp_path / "clips.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["clip_id"] for row in rows] == [f"clip-{index}" for index in selected.clip_indices]
        assert {(row["start_sample"], row["sample_rate"]) for row in rows} == {("50", "100")}
        assert [row["label"] for row in rows] == [cache.manifest.clips[i].labels[0] for i in selected.clip_indices]
        again = listed_patches(cache, tmp_path / "clips.csv", 100, 10)
        for name in ("waveforms", "clip_indices", "starts", "classes"):
            np.testing.assert_array_equal(getattr(again, name), getattr(selected, name))
        assert list(tmp_path.iterdir()) == [tmp_path / "clips.csv"]

    def test_starts_are_those_of_the_list_at_any_rate(self, cache, tmp_path):
        (tmp_path / "clips.csv").write_text(
            "clip_id,start_sample,sample_rate\nclip-4,88200,44100\nclip-0,0,16000\nclip-1,,\n"
        )
        listed = listed_patches(cache, tmp_path / "clips.csv", 80, 10)
        assert listed.clip_indices.tolist() == [4, 0, 1] and listed.starts.tolist() == [200, 0, 50]
        np.testing.assert_allclose(listed.waveforms[0], 4 + np.arange(200, 290) / 1000, rtol=1e-6)

    def test_a_list_of_ids_is_enough(self, cache, tmp_path):
        (tmp_path / "clips.csv").write_text("clip_id\nclip-2\n")
        listed = listed_patches(cache, tmp_path / "clips.csv", 100, 10)
        assert listed.starts.tolist() == [50] and listed.classes.tolist() == [-1]  # Two events, whoever chose it.

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("path\na.wav\n", "lacks the columns 'clip_id'"),
            ("clip_id\n", "no rows"),
            ("clip_id\nclip-9\n", "line 2: clip 'clip-9' is not among the clips that could be read"),
            ("clip_id\nclip-1\nclip-1\n", "line 3: clip 'clip-1' is listed twice"),
            ("clip_id,start_sample,sample_rate\nclip-1,300,100\n", "'clip-1' lasts 3.00 s; .* start at 3.00 s"),
            ("clip_id,start_sample,sample_rate\nclip-1,soon,100\n", "line 2: `start_sample` and `sample_rate` must"),
            ("clip_id,start_sample,sample_rate\nclip-1,20\n", "line 2: `start_sample` and `sample_rate` must"),
            ("clip_id,start_sample\nclip-1,20\n", "line 2: `start_sample` and `sample_rate` must"),
            ("clip_id,start_sample,sample_rate\nclip-1,-1,100\n", "line 2: `start_sample` and `sample_rate` must"),
        ],
    )
    def test_lists_that_cannot_be_used(self, cache, tmp_path, text, message):
        (tmp_path / "clips.csv").write_text(text)
        with pytest.raises(ValueError, match=message) as caught:
            listed_patches(cache, tmp_path / "clips.csv", 100, 10)
        assert "clips.csv" in str(caught.value)


class TestOfModel:
    """The patches of the shift test of a model, on two clips of 2.5 s."""

    @pytest.fixture(scope="class")
    def model(self):
        return small_classifier(("dog", "rain"))

    def cache(self, seconds=2.5):
        waveforms = [np.full(int(RATE * seconds), 0.1, "float32")] * 2
        return ClipCache.from_waveforms(waveforms, [("dog",), ("rain",)], RATE, ("dog", "rain"))

    @pytest.mark.parametrize("count", [0, -1, 1.5])
    def test_numbers_of_clips_are_checked(self, model, count):
        with pytest.raises(ValueError, match="`max_clips` must be an integer of at least 1. Received: max_clips="):
            shift_patches(model, self.cache(), ("time-1",), max_clips=count)

    @pytest.mark.parametrize("protocol", ["time-99999999999", "samples-20001"])
    def test_shifts_by_more_than_a_clip_are_refused(self, model, protocol):
        with pytest.raises(ValueError, match=f"no more than the longest clip, 2.50 s. Received: {protocol}"):
            shift_patches(model, self.cache(), ("time-1", protocol))
        assert len(shift_patches(model, self.cache(), ("samples-20000",)).starts) == 2

    def test_advice_is_for_the_command_that_it_is_of(self, model):
        with pytest.raises(ValueError, match=r"lasts 2 s or more\.$"):
            shift_patches(model, self.cache(seconds=1), ("time-1",))
        settings = Settings().changed(protocols=("time-1",))
        with pytest.raises(ValueError, match=r"lasts 2 s or more\. Give no protocols to leave the shift test out\.$"):
            shifted_patches(model, self.cache(seconds=1), settings)
