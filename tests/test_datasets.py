"""Readers of dataset layouts, on folders made here and on real clips."""

import errno
import json
import os

import numpy as np
import pytest

from keras_audio_si.data.audio_io import audio_info
from keras_audio_si.data.audioset import read_audioset
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_class_folders, read_dataset, read_esc50
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.speech_commands import background_noise_files
from keras_audio_si.data.splits import assign_splits

pytestmark = pytest.mark.once


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


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path, "data/train/dog/1.wav", "bark/2.wav", "all/dog/3.wav")
    (tmp_path / "data" / "train" / "wolf").symlink_to(tmp_path / "bark")
    (tmp_path / "data" / "val").symlink_to(tmp_path / "all")
    found = [clip.path for clip in read_class_folders(tmp_path / "data").clips]
    assert found == ["train/dog/1.wav", "train/wolf/2.wav", "val/dog/3.wav"]


def test_links_between_folders_end(tmp_path):
    touch(tmp_path, "a/1.wav", "b/2.wav")
    (tmp_path / "a" / "x").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "y").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="all at one depth. Found: a/1.wav, a/x/2.wav"):
        read_class_folders(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "dog/1.wav", "rain/1.wav")
    scandir = os.scandir

    def refuse(path):  # Root may read everything.
        if os.path.basename(path) == "rain":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=f"{tmp_path}/rain is a folder that cannot be read .Permission denied"):
        read_dataset(tmp_path)


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
        match="one of 'auto', 'prepared', 'manifest', .*'class_folders'. Received: layout='esc'. Did you mean 'esc50'",
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
                r"dev\.csv, line 3: 'Rian' is not in vocabulary.csv. Did you mean 'R",
            ),
            (
                {"dev": DEV.replace("val", "valid")},
                r"dev\.csv, line 3: `split` must be 'train' or 'val'. Received: split='valid'",
            ),
            ({"dev": DEV.replace("val", "test")}, "`split` must be 'train' or 'val'. Received: split='test'"),
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


URBANSOUND8K = (
    "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    "7-9-0-0.wav,7,0.0,4.0,1,10,9,street_music\n"
    "7-3-0-1.wav,7,4.0,6.5,2,10,3,dog_bark\n"
    "8-3-0-0.wav,8,0.0,4.0,1,2,3,dog_bark\n"
)


class TestUrbanSound8K:
    def write(self, root, text=URBANSOUND8K):
        touch(root, "audio/fold10/7-9-0-0.wav", "audio/fold10/7-3-0-1.wav", "audio/fold2/8-3-0-0.wav")
        (root / "metadata").mkdir()
        (root / "metadata" / "UrbanSound8K.csv").write_text(text)
        return root

    def test_folds_recordings_and_classes_by_number(self, tmp_path):
        manifest = read_dataset(self.write(tmp_path))
        assert manifest.class_names == ("dog_bark", "street_music")
        assert manifest.clips[1] == Clip(
            "audio/fold10/7-3-0-1.wav", ("dog_bark",), fold=10, clip_id="7-3-0-1.wav", group="7"
        )
        assert all(path.is_file() for path in manifest.paths())

    def test_tables_that_are_wrong(self, tmp_path):
        with pytest.raises(ValueError, match=r"UrbanSound8K.csv, line 3: `fold` and `classID` .*'10' and 'three'"):
            read_dataset(self.write(tmp_path, URBANSOUND8K.replace("10,3,", "10,three,")))

    def test_real_clips_of_every_format(self, shared_data, tmp_path):
        """Ten folds of files of 8 to 96 kHz, 8 bit to float, ADPCM and mu-law."""
        manifest = read_dataset(shared_data / "urbansound8k")
        assert {clip.fold for clip in manifest.clips} == set(range(1, 11))
        formats = {(info.sample_rate, info.subtype) for info in map(audio_info, manifest.paths())}
        assert {8000, 96000} < {rate for rate, _ in formats}
        assert {subtype for _, subtype in formats} == {
            "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "IMA_ADPCM", "ULAW"
        }  # fmt: skip
        assigned = assign_splits(manifest, train_folds=range(1, 9), validation_folds=[9], test_folds=[10])
        cache = ClipCache.build(assigned, 16000, tmp_path / "cache", progress=False)
        assert len(cache) == 50 and not cache.failures
        seconds = [audio_info(path).seconds for path in cache.manifest.paths()]
        np.testing.assert_allclose(cache.lengths / 16000, seconds, atol=1e-4)
        assert (np.array([np.abs(cache.waveform(i)).max() for i in range(50)]) > 1e-3).all()


class TestSpeechCommands:
    def write(self, root, validation="yes/a_nohash_1.wav\nup/b_nohash_0.wav\n", testing="no/a_nohash_0.wav\n"):
        touch(root, "yes/a_nohash_0.wav", "yes/a_nohash_1.wav", "no/a_nohash_0.wav", "no/c_nohash_0.wav")
        touch(root, "_background_noise_/tap.wav", "_background_noise_/README.md", "LICENSE")
        (root / "validation_list.txt").write_text(validation)
        (root / "testing_list.txt").write_text(testing)
        return root

    def test_official_lists_on_the_words_that_are_there(self, tmp_path):
        manifest = read_dataset(self.write(tmp_path))
        assert manifest.class_names == ("no", "yes")
        assert [(clip.path, clip.labels, clip.split) for clip in manifest.clips] == [
            ("no/a_nohash_0.wav", ("no",), "test"),
            ("no/c_nohash_0.wav", ("no",), "train"),
            ("yes/a_nohash_0.wav", ("yes",), "train"),
            ("yes/a_nohash_1.wav", ("yes",), "val"),
        ]

    def test_background_noise_is_a_source_of_its_own(self, tmp_path):
        self.write(tmp_path)
        assert background_noise_files(tmp_path) == [tmp_path / "_background_noise_" / "tap.wav"]
        (tmp_path / "_background_noise_" / "tap.wav").unlink()
        with pytest.raises(ValueError, match=r"must have \.wav files in _background_noise_/"):
            background_noise_files(tmp_path)

    def test_a_listed_file_that_is_missing_is_counted(self, tmp_path):
        manifest = read_dataset(self.write(tmp_path, testing="no/gone_nohash_0.wav\n"))
        assert len(manifest) == 5 and not manifest.select(split="test").paths()[0].exists()

    def test_lists_that_are_wrong(self, tmp_path):
        self.write(tmp_path, testing="\nyes/a_nohash_1.wav\n")
        with pytest.raises(ValueError, match=r"testing_list.txt, line 2: 'yes/a_nohash_1.wav' is listed before"):
            read_dataset(tmp_path)
        (tmp_path / "testing_list.txt").unlink()
        with pytest.raises(ValueError, match=r"lacks testing_list.txt\. Without both lists .* 'class_folders'"):
            read_dataset(tmp_path)

    def test_no_words(self, tmp_path):
        touch(tmp_path, "testing_list.txt", "validation_list.txt", "_background_noise_/tap.wav")
        with pytest.raises(ValueError, match="a folder of .wav files for each word"):
            read_dataset(tmp_path)

    def test_real_clips(self, shared_data):
        manifest = read_dataset(shared_data / "speech_commands_v2")
        assert len(manifest.class_names) == 10 and manifest.class_names[:2] == ("eight", "five")
        assert [len(manifest.select(split=split)) for split in ("train", "val", "test")] == [550, 200, 250]
        assert all(path.is_file() for path in manifest.paths())
        assert [path.name for path in background_noise_files(shared_data / "speech_commands_v2")] == [
            "rain.wav",
            "sea.wav",
        ]
        assert len(assign_splits(manifest)) == 1000


class TestNSynth:
    def write(self, root, **changed):
        tables = {
            "train": {"organ_1-060-100": ("organ", 6), "bass_0-040-025": ("bass", 0)},
            "valid": {"bass_2-041-025": ("bass", 0)},
            "test": {"bass_2-042-025": ("bass", 0)},
        } | changed
        for part, notes in tables.items():
            table = {
                name: {"instrument_family_str": family, "instrument_family": number}
                for name, (family, number) in notes.items()
            }
            touch(root, *(f"nsynth-{part}/audio/{name}.wav" for name in notes), f"nsynth-{part}/examples.json")
            (root / f"nsynth-{part}" / "examples.json").write_text(json.dumps(table))
        return root

    def test_splits_and_families_by_number(self, tmp_path):
        manifest = read_dataset(self.write(tmp_path))
        assert manifest.class_names == ("bass", "organ")
        assert [(clip.clip_id, clip.labels, clip.split) for clip in manifest.clips] == [
            ("bass_0-040-025", ("bass",), "train"),
            ("organ_1-060-100", ("organ",), "train"),
            ("bass_2-041-025", ("bass",), "val"),
            ("bass_2-042-025", ("bass",), "test"),
        ]
        assert all(path.is_file() for path in manifest.paths())

    def test_tables_that_are_wrong(self, tmp_path):
        self.write(tmp_path, test={"bass_2-042-025": ("brass", 0)})
        with pytest.raises(ValueError, match="has family 0 as 'brass', others have it as 'bass'"):
            read_dataset(tmp_path)
        (tmp_path / "nsynth-test" / "examples.json").write_text('{"bass_2-042-025": {"pitch": 42}}')
        with pytest.raises(ValueError, match=r"nsynth-test/examples.json: .* must have `instrument_family`"):
            read_dataset(tmp_path)
        for text in ("[]", "{"):
            (tmp_path / "nsynth-test" / "examples.json").write_text(text)
            with pytest.raises(ValueError, match="examples.json must"):
                read_dataset(tmp_path)
        (tmp_path / "nsynth-test" / "examples.json").unlink()
        with pytest.raises(ValueError, match="lacks nsynth-test/examples.json"):
            read_dataset(tmp_path)

    def test_real_clips(self, shared_data):
        manifest = assign_splits(read_dataset(shared_data / "nsynth"))
        assert manifest.class_names[0] == "bass" and len(manifest.class_names) == 11
        assert [len(manifest.select(split=split)) for split in ("train", "val", "test")] == [44, 11, 11]
        assert {audio_info(path).seconds for path in manifest.paths()} == {4.0}


CLASSES = 'index,mid,display_name\n0,/m/0,"Male speech, man speaking"\n1,/t/1,Rain\n'
SEGMENTS = {
    "balanced_train": "# Segments csv\n# num_segs=2\n# YTID, start_seconds, end_seconds, positive_labels\n"
    '--aaaaaaaaa, 30.000, 40.000, "/m/0,/t/1"\n'
    'Ybbbbbbbbbb, 0.000, 10.000, "/t/1"\n',
    "unbalanced_train": 'ccccccccccc, 30.000, 40.000, "/m/0"\n',
    "eval": 'ddddddddddd, 30.000, 40.000, "/t/1"\n',
}


class TestAudioSet:
    def write(self, root, classes=CLASSES, **changed):
        (root / "class_labels_indices.csv").write_text(classes)
        for part, text in (SEGMENTS | changed).items():
            if text is not None:
                (root / f"{part}_segments.csv").write_text(text)
        touch(root, "audio/Y--aaaaaaaaa.wav", "audio/balanced/Ybbbbbbbbbb_0.000.flac", "eval/Yddddddddddd.ogg")
        return root

    def test_parts_labels_and_files_by_the_ids_of_their_videos(self, tmp_path):
        manifest = read_dataset(self.write(tmp_path))
        assert manifest.class_names == ("Male speech, man speaking", "Rain")
        assert [(clip.clip_id, clip.path, clip.split) for clip in manifest.clips] == [
            ("--aaaaaaaaa", "audio/Y--aaaaaaaaa.wav", "train"),
            ("Ybbbbbbbbbb", "audio/balanced/Ybbbbbbbbbb_0.000.flac", "train"),
            ("ccccccccccc", "audio/Yccccccccccc.wav", "train"),  # Its video has been removed.
            ("ddddddddddd", "eval/Yddddddddddd.ogg", "test"),
        ]
        np.testing.assert_array_equal(manifest.label_matrix(), [[1, 1], [0, 1], [1, 0], [0, 1]])

    def test_audio_behind_links_that_lead_in_a_circle(self, tmp_path):
        (tmp_path / "lists").mkdir()
        root = self.write(tmp_path / "lists")
        (root / "audio").rename(tmp_path / "disk")
        (root / "sound").symlink_to(tmp_path / "disk")
        (tmp_path / "disk" / "back").symlink_to(root / "eval")
        (root / "eval" / "again").symlink_to(tmp_path / "disk")
        paths = [clip.path for clip in read_dataset(root).clips]
        assert sum((root / path).is_file() for path in paths) == 3 and not any("again/back/again" in p for p in paths)

    def test_one_part_to_train_on(self, tmp_path):
        self.write(tmp_path)
        assert len(read_dataset(tmp_path, "audioset_balanced")) == 3
        assert [clip.clip_id for clip in read_dataset(tmp_path, "audioset_unbalanced").clips] == ["c" * 11, "d" * 11]

    def test_the_lists_that_are_there_decide(self, tmp_path):
        assert len(read_dataset(self.write(tmp_path, unbalanced_train=None))) == 3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"eval": None}, "lacks eval_segments.csv"),
            ({"eval": 'ddddddddddd, 30.000, 40.000, "/t/2"\n'}, r"eval_segments.csv, line 1: '/t/2' is not in class_l"),
            ({"eval": "ddddddddddd, 30.000, 40.000, /t/1, /m/0\n"}, r"line 1: expected YTID.* Received: ddd.*, /m/0"),
            ({"eval": 'short, 30.000, 40.000, "/t/1"\n'}, "11 characters. Received: short"),
            (
                {"classes": CLASSES.replace("1,/t", "2,/t")},
                r"csv, line 3: `index` must be 1. Received: index='2'",
            ),
        ],
    )
    def test_tables_that_are_wrong(self, tmp_path, change, message):
        with pytest.raises(ValueError, match=message):
            read_dataset(self.write(tmp_path, **change))

    def test_no_audio(self, tmp_path):
        lists = {part: SEGMENTS["eval"] for part in SEGMENTS}
        self.write(tmp_path, **lists)
        (tmp_path / "eval" / "Yddddddddddd.ogg").unlink()
        with pytest.raises(ValueError, match="no audio file whose name begins with the id"):
            read_dataset(tmp_path)
        with pytest.raises(ValueError, match="`parts` must be some of 'balanced'"):
            read_audioset(tmp_path, parts=())

    def test_real_clips_of_which_some_are_missing(self, shared_data, tmp_path, capsys):
        manifest = read_dataset(shared_data / "audioset", "audioset_balanced")
        assert len(manifest) == 60 and len(manifest.class_names) == 23
        cache = ClipCache.build(assign_splits(manifest), 8000, tmp_path, progress=False)
        assert len(cache) == 54
        assert all("there is no such file" in reason for _, reason in cache.failures)
        assert "Left out 6 of 60 clips:" in capsys.readouterr().err
        assert len(read_dataset(shared_data / "audioset")) == 120


def test_a_plan_of_another_program_does_not_matter(tmp_path):
    touch(tmp_path, "dog/a.wav")
    (tmp_path / "plan.json").write_text("[]")
    assert read_dataset(tmp_path).class_names == ("dog",)


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
