"""Readers of dataset layouts, on folders made here and on real clips."""

import csv
import json

import numpy as np
import pytest

from keras_audio_si.data.audio_io import audio_info
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_class_folders, read_dataset, read_esc50
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.splits import assign_splits


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
    Manifest([Clip("rain/1.wav", ("wet",))], root=tmp_path / "listed").write(tmp_path / "listed" / "manifest.csv")
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
        ValueError,
        match="one of 'manifest', 'esc50', 'fsd50k', 'class_folders'. Received: layout='esc'; did you mean 'esc50'",
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


VOCABULARY = "0,Rain,/m/0\n1,Bark,/m/1\n2,Animal,/m/2\n"
DEV = 'fname,labels,mids,split\n64,"Bark,Animal","/m/1,/m/2",train\n7,Rain,/m/0,val\n100,,,train\n'
EVAL = 'fname,labels,mids\n12,"Rain,Animal","/m/0,/m/2"\n'


def write_fsd50k(root, vocabulary=VOCABULARY, dev=DEV, eval=EVAL, uploaders=None):
    """The layout as published. `uploaders`: of all clips, where the folder with the metadata is there."""
    tables = {"vocabulary": vocabulary, "dev": dev, "eval": eval}
    for name, text in tables.items():
        (root / "FSD50K.ground_truth").mkdir(parents=True, exist_ok=True)
        (root / "FSD50K.ground_truth" / f"{name}.csv").write_text(text, encoding="utf-8")
    touch(root, *(f"FSD50K.{clip}.wav" for clip in ("dev_audio/64", "dev_audio/7", "dev_audio/100", "eval_audio/12")))
    if uploaders:
        (root / "FSD50K.metadata").mkdir(exist_ok=True)
        for part, clips in (("dev", ("64", "7", "100")), ("eval", ("12",))):
            info = {clip: {"title": "a sound", "uploader": uploaders[clip]} for clip in clips if clip in uploaders}
            path = root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json"
            path.write_text(json.dumps(info), encoding="utf-8")
    return root


class TestFSD50K:
    def test_splits_classes_and_labels_as_published(self, tmp_path):
        manifest = read_dataset(write_fsd50k(tmp_path))
        assert manifest.class_names == ("Rain", "Bark", "Animal")  # In the order of the vocabulary.
        assert manifest.clips == (
            Clip("FSD50K.dev_audio/64.wav", ("Bark", "Animal"), "train", clip_id="64"),
            Clip("FSD50K.dev_audio/7.wav", ("Rain",), "val", clip_id="7"),
            Clip("FSD50K.dev_audio/100.wav", (), "train", clip_id="100"),
            Clip("FSD50K.eval_audio/12.wav", ("Rain", "Animal"), "test", clip_id="12"),
        )
        np.testing.assert_array_equal(manifest.label_matrix(), [[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1]])
        assert all(path.is_file() for path in manifest.paths())

    def test_uploaders_are_groups(self, tmp_path):
        manifest = read_dataset(write_fsd50k(tmp_path, uploaders={"64": "ann", "7": "bo", "12": "cy"}))
        assert [clip.group for clip in manifest.clips] == ["ann", "bo", "", "cy"]
        assert len(assign_splits(manifest)) == 4

    def test_an_uploader_in_dev_and_eval_is_an_error(self, tmp_path):
        manifest = read_dataset(write_fsd50k(tmp_path, uploaders={"64": "ann", "7": "bo", "100": "ann", "12": "ann"}))
        for shared in (False, True):
            with pytest.raises(ValueError, match=r"1 group lies.*'ann' in train \('64', '100'\) and test \('12'\)"):
                assign_splits(manifest, shared_validation_groups=shared)

    def test_an_uploader_in_train_and_val_must_be_allowed(self, tmp_path):
        manifest = read_dataset(write_fsd50k(tmp_path, uploaders={"64": "ann", "7": "ann", "12": "cy"}))
        with pytest.raises(ValueError, match="'ann' in train .* and val .*`shared_validation_groups`"):
            assign_splits(manifest)
        assert len(assign_splits(manifest, shared_validation_groups=True)) == 4

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"dev": "fname,labels\n64,Bark\n"}, r"dev\.csv lacks the columns 'split'. It has: 'fname', 'labels'"),
            ({"eval": "fname,labels\n"}, r"eval\.csv has no rows"),
            (
                {"dev": DEV.replace("Rain,", "Rian,")},
                r"dev\.csv, line 3: 'Rian' is not in vocabulary.csv; did you mean 'R",
            ),
            (
                {"dev": DEV.replace("val", "valid")},
                r"dev\.csv, line 3: `split` must be 'train' or 'val'. Received: 'valid'",
            ),
            ({"eval": EVAL.replace("12,", "64,")}, "clip_id.*'64'"),
            ({"vocabulary": "index,name,mid\n" + VOCABULARY}, r"vocabulary\.csv must have rows `number,name,mid`"),
            ({"vocabulary": ""}, r"vocabulary\.csv must have rows"),
        ],
    )
    def test_tables_that_are_wrong(self, tmp_path, change, message):
        with pytest.raises(ValueError, match=message):
            read_dataset(write_fsd50k(tmp_path, **change))

    def test_a_part_that_was_not_unpacked(self, tmp_path):
        write_fsd50k(tmp_path)
        (tmp_path / "FSD50K.eval_audio" / "12.wav").unlink()
        with pytest.raises(ValueError, match="None of the 4 clips could be read"):
            ClipCache.build(read_dataset(tmp_path), 16000, tmp_path / "cache", progress=False)
        (tmp_path / "FSD50K.eval_audio").rmdir()
        with pytest.raises(ValueError, match=r"lacks the folder FSD50K\.eval_audio with the clips of eval\.csv"):
            read_dataset(tmp_path)

    def test_metadata_that_cannot_be_read(self, tmp_path):
        write_fsd50k(tmp_path, uploaders={"64": "ann"})
        (tmp_path / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").write_text('{"64": {"title": "x"}}')
        with pytest.raises(ValueError, match="dev_clips_info_FSD50K.json must hold the `uploader` of each clip"):
            read_dataset(tmp_path)


def test_a_layout_that_does_not_fit_is_explained(tmp_path):
    touch(tmp_path, "dog/1.wav")
    with pytest.raises(ValueError, match="does not have the layout 'fsd50k'. It could be read as: 'class_folders'"):
        read_dataset(tmp_path, layout="fsd50k")


def test_real_clips_in_the_layout_of_fsd50k(shared_data, tmp_path):
    manifest = read_dataset(shared_data / "fsd50k")
    assert [len(manifest.select(split=split)) for split in ("train", "val", "test")] == [75, 15, 30]
    assert len(manifest.class_names) == 23 and manifest.class_names[:3] == ("Aircraft", "Animal", "Bark")
    assert (manifest.label_matrix().sum(axis=1) >= 2).all()  # A label and its ancestors.
    cache = ClipCache.build(assign_splits(manifest), 16000, tmp_path, progress=False)
    assert len(cache) == 120 and not cache.failures
    assert np.isfinite(cache.samples).all()


def test_real_clips_of_every_format_through_a_csv(shared_data, tmp_path):
    """UrbanSound8K's files, 8 to 96 kHz, 8 bit to float, ADPCM and mu-law: no reader of their layout is needed."""
    folder = shared_data / "urbansound8k"
    with open(folder / "metadata" / "UrbanSound8K.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    with open(tmp_path / "clips.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels", "fold", "clip_id", "group"])
        for row in rows:
            audio = folder / "audio" / f"fold{row['fold']}" / row["slice_file_name"]
            writer.writerow([audio, row["class"], row["fold"], row["slice_file_name"], row["fsID"]])
    manifest = read_dataset(tmp_path / "clips.csv")
    formats = {(info.sample_rate, info.subtype) for info in map(audio_info, manifest.paths())}
    assert {8000, 96000} < {rate for rate, _ in formats}
    assert {subtype for _, subtype in formats} == {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "IMA_ADPCM", "ULAW"}
    assigned = assign_splits(manifest, train_folds=range(1, 9), validation_folds=[9], test_folds=[10])
    cache = ClipCache.build(assigned, 16000, tmp_path / "cache", progress=False)
    assert len(cache) == 50 and not cache.failures
    seconds = [audio_info(path).seconds for path in cache.manifest.paths()]
    np.testing.assert_allclose(cache.lengths / 16000, seconds, atol=1e-4)
    assert (np.array([np.abs(cache.waveform(i)).max() for i in range(50)]) > 1e-3).all()
