import numpy as np
import pytest

from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.splits import assign_splits, hold_out

pytestmark = pytest.mark.once


def recordings(num_groups=40, classes=("a", "b", "c", "d"), clips_per_group=3):
    """Recordings of one class each, cut into several clips; class "d" is rare."""
    clips = []
    for group in range(num_groups):
        label = classes[-1] if group < 2 else classes[group % (len(classes) - 1)]
        for part in range(clips_per_group):
            clips.append(Clip(f"{group}-{part}.wav", (label,), group=f"g{group}", fold=1 + group % 4))
    return Manifest(clips)


def ids(manifest, split):
    return {clip.clip_id for clip in manifest.clips if clip.split == split}


def test_holds_out_whole_recordings_of_every_class():
    manifest = recordings()
    held = manifest.subset(hold_out(manifest, share=0.2, seed=3))
    kept = manifest.subset(sorted(set(range(len(manifest))) - set(hold_out(manifest, share=0.2, seed=3))))
    assert not {clip.group for clip in held.clips} & {clip.group for clip in kept.clips}
    assert (held.label_matrix().sum(axis=0) > 0).all() and (kept.label_matrix().sum(axis=0) > 0).all()
    share = held.label_matrix().sum(axis=0) / manifest.label_matrix().sum(axis=0)
    np.testing.assert_allclose(share[:3], 0.2, atol=0.05)
    assert share[3] == 0.5  # of two recordings one


def test_held_out_clips_depend_on_the_seed_alone():
    manifest = recordings()
    assert hold_out(manifest, 0.2, seed=1) == hold_out(manifest, 0.2, seed=1) != hold_out(manifest, 0.2, seed=2)


def test_rare_classes_of_multi_label_clips_get_their_share():
    rng = np.random.default_rng(0)
    clips = [
        Clip(f"{i}.wav", ("common",) + (("rare",) if i < 10 else ()) + (("other",) if rng.random() < 0.3 else ()))
        for i in range(200)
    ]
    manifest = Manifest(clips)
    held = manifest.label_matrix()[hold_out(manifest, 0.2)].sum(axis=0)
    share = dict(zip(manifest.class_names, held / manifest.label_matrix().sum(axis=0), strict=True))
    assert share["rare"] == 0.2
    assert share["common"] == pytest.approx(0.2, abs=0.06) and share["other"] == pytest.approx(0.2, abs=0.06)


def test_a_common_class_leaves_a_rare_one_its_last_recording():
    manifest = Manifest([Clip(f"{i}.wav", ("common", "rare") if i < 2 else ("common",)) for i in range(10)])
    assert [len({0, 1} & set(hold_out(manifest, 0.5, seed))) for seed in range(10)] == [1] * 10


def test_clips_without_a_class_are_held_out_as_well():
    manifest = Manifest([Clip(f"{i}.wav", ("dog",) if i % 5 == 0 else ()) for i in range(100)])
    held = manifest.label_matrix()[hold_out(manifest, 0.2)][:, 0]
    assert (held.sum(), len(held)) == (4, 20)


def test_a_file_with_two_spellings_is_one(tmp_path):
    clips = [Clip("a.wav", ("dog",), split="train"), Clip(str(tmp_path / "a.wav"), ("dog",), split="test")]
    with pytest.raises(ValueError, match="1 file lies in more than one split: file 'a.wav' in train"):
        assign_splits(Manifest([*clips, Clip("b.wav", ("dog",), split="val")], root=tmp_path))


def test_a_class_of_one_recording_stays_in_the_training():
    manifest = Manifest([Clip(f"{i}.wav", ("only",), group="one") for i in range(5)])
    with pytest.raises(ValueError, match="5 clips in 1 groups"):
        hold_out(manifest, 0.2)


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_share_out_of_range(share):
    with pytest.raises(ValueError, match=r"`share` must be in \(0, 1\)"):
        hold_out(recordings(), share)


def test_folds_decide_and_validation_is_held_out_of_the_training_folds():
    manifest = recordings()
    assigned = assign_splits(manifest, train_folds=[1, 2], test_folds=[4])
    fold_of = {clip.clip_id: clip.fold for clip in manifest.clips}
    assert {fold_of[name] for name in ids(assigned, "train") | ids(assigned, "val")} == {1, 2}
    assert ids(assigned, "test") == {name for name, fold in fold_of.items() if fold == 4}
    assert 0.1 < len(ids(assigned, "val")) / sum(fold_of[name] in (1, 2) for name in fold_of) < 0.25
    assert all(fold_of[clip.clip_id] != 3 for clip in assigned.clips)
    assert assigned.class_names == manifest.class_names


def test_validation_folds():
    assigned = assign_splits(recordings(), train_folds=[1], validation_folds=[2, 3], test_folds=[4])
    assert {clip.fold for clip in assigned.clips if clip.split == "val"} == {2, 3}
    assert len(assigned) == len(recordings())


def test_splits_of_the_data_decide_whatever_they_are_called():
    names = {"Training": "train", "validation": "val", "eval": "test", "extra": None}
    clips = [Clip(f"{i}.wav", ("a",), split=list(names)[i % 4]) for i in range(8)]
    assigned = assign_splits(Manifest(clips))
    assert [clip.split for clip in assigned.clips] == ["train", "val", "test"] * 2


def test_clips_without_any_division_are_divided():
    manifest = Manifest([Clip(f"{i}.wav", ("ab"[i % 2],)) for i in range(100)])
    assigned = assign_splits(manifest)
    assert [len(ids(assigned, split)) for split in ("train", "val", "test")] == [68, 12, 20]


@pytest.mark.parametrize(
    "folds, message",
    [
        ({}, r"folds \[1, 2, 3, 4\].*train_folds"),
        ({"train_folds": [1]}, "`test_folds` must name"),
        ({"train_folds": [1, 2], "test_folds": [2]}, "Fold 2 is given for 'train' and for 'test'"),
        ({"train_folds": [1], "test_folds": [9]}, "9"),
    ],
)
def test_folds_that_do_not_do(folds, message):
    with pytest.raises(ValueError, match=message):
        assign_splits(recordings(), **folds)


def test_splits_without_a_test():
    with pytest.raises(ValueError, match="'test'.*It has: dev, train"):
        assign_splits(Manifest([Clip("a.wav", ("a",), split="train"), Clip("b.wav", ("a",), split="dev")]))


def test_esc50(shared_data):
    from keras_audio_si.data.datasets import read_dataset

    assigned = assign_splits(read_dataset(shared_data / "esc50"), train_folds=[1, 2, 3], test_folds=[4])
    counts = {split: len(ids(assigned, split)) for split in ("train", "val", "test")}
    assert counts["train"] + counts["val"] == 240 and counts["test"] == 80
    groups = {split: {clip.group for clip in assigned.clips if clip.split == split} for split in counts}
    assert not groups["train"] & groups["val"]


class TestLeaks:
    """What lies in two splits is an error that names it, wherever the splits come from."""

    @staticmethod
    def manifest(**splits):
        """Clips by split: "group/clip"."""
        clips = [
            Clip(f"{name}.wav", ("a",), split, clip_id=name.split("/")[1], group=name.split("/")[0])
            for split, names in splits.items()
            for name in names.split()
        ]
        return Manifest(clips)

    def test_groups_in_one_split_each(self):
        assigned = assign_splits(self.manifest(train="x/1 x/2 y/3", val="z/4", test="w/5 /6", dropped="x/7"))
        assert len(assigned) == 6

    @pytest.mark.parametrize(
        "splits, message",
        [
            ({"train": "x/1 x/2", "val": "y/3", "test": "x/4"}, r"group 'x' in train \('1', '2'\) and test \('4'\)"),
            ({"train": "x/1", "val": "y/2", "test": "y/3"}, r"group 'y' in val \('2'\) and test \('3'\)"),
            ({"training": "x/1", "valid": "x/2", "eval": "x/3"}, r"in train \('1'\) and val \('2'\) and test \('3'\)"),
            ({"train": "x/1 x/2 x/3 x/4 x/5", "val": "y/6", "test": "x/7"}, "'1', '2', '3' and 2 more"),
            ({"train": "a/1 b/2 c/3 d/4 e/5", "val": "y/6", "test": "a/7 b/8 c/9 d/10 e/11"}, "5 groups lie.* 2 more"),
        ],
    )
    def test_groups_in_two_splits(self, splits, message):
        for shared in (False, True):
            with pytest.raises(ValueError, match=message) as caught:
                assign_splits(self.manifest(**splits), shared_validation_groups=shared)
            assert "shared_validation_groups" not in str(caught.value)  # It would not help.

    def test_a_link_is_the_file_that_it_leads_to(self, tmp_path):
        (tmp_path / "a.wav").touch()
        (tmp_path / "b.wav").symlink_to("a.wav")
        clips = [Clip("a.wav", ("a",), "train"), Clip("b.wav", ("a",), "test")]
        with pytest.raises(ValueError, match=r"file '.*' in train \('a.wav'\) and test \('b.wav'\)"):
            assign_splits(Manifest(clips, root=tmp_path))

    def test_a_group_in_train_and_val_may_be_allowed(self):
        manifest = self.manifest(train="x/1", val="x/2", test="y/3")
        with pytest.raises(ValueError, match="group 'x' in train .* and val .*allow it by `shared_validation_groups`"):
            assign_splits(manifest)
        assert assign_splits(manifest, shared_validation_groups=True) == manifest

    def test_folds_that_divide_a_group(self):
        clips = [Clip(f"{i}.wav", ("a",), fold=i % 2, group=f"g{i // 2}") for i in range(8)]
        with pytest.raises(ValueError, match="4 groups lie in more than one split: group 'g0'"):
            assign_splits(Manifest(clips), train_folds=[0], test_folds=[1])

    def test_one_file_in_two_splits(self):
        clips = [Clip(f"{i}.wav", ("a",), split="train") for i in range(8)]
        again = Clip("./3.wav", ("a",), split="test", clip_id="again")
        with pytest.raises(ValueError, match=r"1 file lies .*: file '3.wav' in train \('3.wav'\) and test \('again'\)"):
            assign_splits(Manifest([*clips, again]))
