"""The manifest: CSV round trip, selection, labels, and what it says about tables that are wrong."""

import re

import numpy as np
import pytest

from keras_audio_si.data.manifest import Clip, Manifest

pytestmark = pytest.mark.once

CLIPS = (
    Clip("audio/a b, c.wav", ("dog",), "train", 1, "first", "session-1"),
    Clip("audio/ä.flac", ("dog", "rain"), "train", 2, "second", "session-2"),
    Clip("audio/c.ogg", (), "test", 2, "third", "session-2"),
)


def test_csv_round_trip(tmp_path):
    manifest = Manifest(CLIPS, ("rain", "dog", "unused"), tmp_path)
    manifest.write(tmp_path / "m.csv")
    again = Manifest.read(tmp_path / "m.csv", class_names=("rain", "dog", "unused"))
    assert again == manifest
    assert [path.relative_to(tmp_path).as_posix() for path in again.paths()] == [clip.path for clip in CLIPS]
    assert list(tmp_path.iterdir()) == [tmp_path / "m.csv"]


def test_a_csv_outside_the_root_still_finds_the_audio(tmp_path):
    (tmp_path / "lists").mkdir()
    manifest = Manifest(CLIPS, root=tmp_path / "data")
    manifest.write(tmp_path / "lists" / "m.csv")
    assert Manifest.read(tmp_path / "lists" / "m.csv").paths() == manifest.paths()


def test_only_path_and_labels_are_required(tmp_path):
    (tmp_path / "m.csv").write_text("labels,path\nrain; dog,x.wav\n", encoding="utf-8-sig")
    manifest = Manifest.read(tmp_path / "m.csv")
    assert manifest.clips == (Clip("x.wav", ("rain", "dog"), "", None, "x.wav", ""),)
    assert manifest.class_names == ("dog", "rain")


def test_spaces_around_names_do_not_count(tmp_path):
    (tmp_path / "m.csv").write_text("path,labels,split,group\nx.wav, dog , train, yard \n")
    assert Manifest.read(tmp_path / "m.csv").clips == (Clip("x.wav", ("dog",), "train", group="yard"),)


def test_labels_of_both_forms_of_unicode_are_one_class():
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"  # As folders are called on Linux and on macOS.
    manifest = Manifest([Clip("a.wav", (composed,)), Clip("b.wav", (decomposed,))])
    assert manifest.class_names == (composed,)
    assert Manifest(manifest.clips, (decomposed, "tea")).class_names == (composed, "tea")


def test_label_matrix_is_multi_hot_in_the_order_of_the_classes():
    matrix = Manifest(CLIPS, ("rain", "dog", "unused")).label_matrix()
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[0, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_selection_keeps_all_classes():
    manifest = Manifest(CLIPS)
    assert [clip.clip_id for clip in manifest.select(split="train").clips] == ["first", "second"]
    assert [clip.clip_id for clip in manifest.select(folds=2).clips] == ["second", "third"]
    assert [clip.clip_id for clip in manifest.select(split="train", folds=[2, 3]).clips] == ["second"]
    assert manifest.select(split="test").class_names == ("dog", "rain")
    assert manifest.indices(folds={2}) == manifest.indices(folds=np.int64(2)) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,split\na.wav,train\n", r"m\.csv lacks the columns 'labels'\. It has: 'path', 'split'"),
        ("", r"lacks the columns 'path', 'labels'\. It has: none"),
        ("path,labels\n", "no rows"),
        ("path,labels,fold\na.wav,dog,one\n", "line 2: `fold` must be a whole number. Received: fold='one'"),
        ("path,labels\na.wav\n", "line 2: expected 2 columns"),
        ("path,labels\na.wav,dog,rain\n", "line 2: expected 2 columns.*double quotes"),
        ("path;labels\na.wav;dog\n", "lacks the columns 'path', 'labels'. It has: 'path;labels'"),
        ("path,labels\n,dog\n", "line 2: `path` is empty"),
        ("path,labels\na.wav,dog\na.wav,dog\n", "`clip_id`.*'a.wav'"),
        ("path,labels\na.wav,dog;dog\n", "labels of clip 'a.wav'.*'dog'"),
    ],
)
def test_a_wrong_table_is_explained(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Manifest.read(tmp_path / "m.csv")


def test_a_file_that_is_no_csv_is_explained(tmp_path):
    (tmp_path / "m.csv").write_bytes("path,labels\nä.wav,dog\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"m\.csv is not text in UTF-8 \(byte 12\)"):
        Manifest.read(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("path,labels\n" + "a" * 200000 + ",dog\n")
    with pytest.raises(ValueError, match=r"m\.csv is not a CSV file: field larger"):
        Manifest.read(tmp_path / "m.csv")


def test_labels_that_are_not_among_the_classes_name_the_file(tmp_path):
    (tmp_path / "m.csv").write_text("path,labels\na.wav,dog;wolf\n")
    with pytest.raises(ValueError, match=r"m\.csv: Labels that are not in `class_names`: 'wolf'. Known: 'dog', 'rain'"):
        Manifest.read(tmp_path / "m.csv", class_names=("dog", "rain"))


def test_wrong_manifests_are_explained(tmp_path):
    with pytest.raises(ValueError, match="not in `class_names`: 'rain'. Known: 'dog'"):
        Manifest(CLIPS, ("dog",))
    with pytest.raises(ValueError, match="`class_names`.*'dog'"):
        Manifest(CLIPS, ("dog", "rain", "dog"))
    with pytest.raises(TypeError, match="`labels` must be a tuple of names. Received: labels='dog' of a.wav"):
        Clip("a.wav", "dog")
    with pytest.raises(ValueError, match="at least one clip"):
        Manifest(())
    with pytest.raises(ValueError, match="split='val'.*'test', 'train'.*\\[1, 2\\]"):
        Manifest(CLIPS).select(split="val")
    for label in ("a;b", " a", "a\xa0", ""):
        with pytest.raises(ValueError, match=re.escape(f"Label {label!r}")):
            Manifest([Clip("x.wav", (label,))], root=tmp_path).write(tmp_path / "m.csv")
