"""Readers of dataset layouts, on folders made here and on real ESC-50 clips."""

import pytest

from keras_audio_si.data.datasets import read_class_folders, read_dataset, read_esc50
from keras_audio_si.data.manifest import Clip, Manifest


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_class_folders(tmp_path):
    touch(
        tmp_path,
        "rain/1.wav",
        "dog/2.FLAC",
        "dog/1.mp3",
        "dog/notes.txt",
        "LICENSE",
        "_noise_/x.wav",
        ".git/y.wav",
    )
    manifest = read_class_folders(tmp_path)
    assert manifest.clips == (
        Clip("dog/1.mp3", ("dog",)),
        Clip("dog/2.FLAC", ("dog",)),
        Clip("rain/1.wav", ("rain",)),
    )
    assert manifest.class_names == ("dog", "rain")
    assert all(path.is_file() for path in manifest.paths())


def test_split_and_class_folders(tmp_path):
    touch(tmp_path, "train/dog/1.wav", "train/rain/1.wav", "val/dog/1.wav")
    manifest = read_class_folders(tmp_path)
    assert [(clip.split, clip.labels) for clip in manifest.clips] == [
        ("train", ("dog",)),
        ("train", ("rain",)),
        ("val", ("dog",)),
    ]
    assert manifest.select(split="val").class_names == ("dog", "rain")


def test_folders_that_cannot_be_classes_are_explained(tmp_path):
    with pytest.raises(ValueError, match="no audio files"):
        read_class_folders(tmp_path)
    touch(tmp_path, "dog/1.wav", "train/rain/1.wav")
    with pytest.raises(ValueError, match="all at one depth. Found: dog/1.wav, train/rain/1.wav"):
        read_class_folders(tmp_path)


def test_the_layout_is_recognised(tmp_path):
    touch(tmp_path, "folders/dog/1.wav", "listed/rain/1.wav", "esc/audio/1-1-A-0.wav", "esc/meta/esc50.csv")
    Manifest([Clip("rain/1.wav", ("wet",))], root=tmp_path / "listed").write(
        tmp_path / "listed" / "manifest.csv"
    )
    (tmp_path / "esc/meta/esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-2-A-9.wav,3,9,crow,False,2,A\n"
        "1-1-A-0.wav,1,0,dog,True,1,A\n"
    )
    assert read_dataset(tmp_path / "folders").class_names == ("dog",)
    assert read_dataset(tmp_path / "listed").class_names == ("wet",)
    assert read_dataset(tmp_path / "listed" / "manifest.csv").class_names == ("wet",)
    assert read_dataset(tmp_path / "listed", layout="class_folders").class_names == ("rain",)
    esc50 = read_dataset(tmp_path / "esc")
    assert esc50.class_names == ("dog", "crow")  # By target, not by name.
    assert esc50.clips[0] == Clip("audio/1-2-A-9.wav", ("crow",), "", 3, "1-2-A-9.wav", "2")


def test_a_layout_that_does_not_exist_is_explained(tmp_path):
    with pytest.raises(
        ValueError, match="'auto' or one of 'manifest', 'esc50', 'class_folders'. Received: layout='esc'"
    ):
        read_dataset(tmp_path, layout="esc")
    with pytest.raises(ValueError, match="Nothing is at: .*gone"):
        read_dataset(tmp_path / "gone")
    touch(tmp_path, "song.wav")
    with pytest.raises(ValueError, match="folder or a .csv file"):
        read_dataset(tmp_path / "song.wav")


def test_real_esc50_clips(shared_data):
    manifest = read_esc50(shared_data / "esc50")
    assert len(manifest) == 320
    assert manifest.class_names[:3] == ("dog", "rooster", "rain")
    assert len(manifest.class_names) == 10
    assert {clip.fold for clip in manifest.clips} == {1, 2, 3, 4}
    assert [len(manifest.select(folds=fold)) for fold in (1, 2, 3, 4)] == [80] * 4
    assert manifest.label_matrix().sum(axis=0).tolist() == [32] * 10
    assert all(path.is_file() for path in manifest.paths())
    folds_of_group = {}
    for clip in manifest.clips:
        folds_of_group.setdefault(clip.group, set()).add(clip.fold)
    assert all(len(folds) == 1 for folds in folds_of_group.values())
