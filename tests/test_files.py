"""CSV files: any name comes back as it was, and no cell is a formula to a spreadsheet. Errors of writing."""

import csv
import errno
import io
import os

import numpy as np
import pytest

from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.evaluation.clip_table import read_clips, write_clips
from keras_audio_si.evaluation.clips import ClipScores
from keras_audio_si.files import plain_text, safe_cell, write_csv, writing, written_rows, written_whole
from keras_audio_si.inference.event_tables import write_events
from keras_audio_si.inference.events import Event
from keras_audio_si.inference.tag_tables import write_tags
from keras_audio_si.inference.tagging import FileScores

pytestmark = pytest.mark.once

NAMES = (
    '=cmd|" /C calc"!A0',
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "'quoted",
    "''",
    "two\nlines, and commas",
    '"',
    "-",
    "'",
    "rain",
)


def cells_of(text):
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


def assert_safe(text):
    formulas = [cell for cell in cells_of(text) if len(cell) > 1 and cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert formulas == []


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_is_what_safe_cell_was_given(name):
    assert plain_text(safe_cell(name)) == name


def test_plain_text_leaves_what_others_wrote():
    assert plain_text("'n' Roll") == "'n' Roll"


def test_manifest(tmp_path):
    names = [name for name in NAMES if name == name.strip()]  # Space around labels does not count.
    clips = [
        Clip(f"={number}.wav", (name,), split=name, fold=number, clip_id=f"-{number}", group=name)
        for number, name in enumerate(names)
    ]
    Manifest(clips, root=tmp_path).write(tmp_path / "manifest.csv")
    with open(tmp_path / "manifest.csv", newline="", encoding="utf-8") as file:
        assert_safe(file.read())
    assert Manifest.read(tmp_path / "manifest.csv").clips == tuple(clips)


def test_scores_of_clips(tmp_path):
    eye = np.eye(len(NAMES), dtype="float32")
    scores = ClipScores(NAMES, eye, eye, NAMES, NAMES)
    text = write_clips(scores, tmp_path / "clips.csv").read_text()
    assert_safe(text)
    found = read_clips(tmp_path / "clips.csv")
    assert (found.clip_ids, found.groups, found.class_names) == (NAMES, NAMES, NAMES)


def test_tables(tmp_path):
    path = write_csv(tmp_path / "table.csv", NAMES, [[*NAMES[:-1], float("nan")], [*range(-11, 0), -0.5]])
    with open(path, newline="", encoding="utf-8") as file:
        header, texts, numbers = csv.reader(file)
    assert [plain_text(cell) for cell in header] == list(NAMES) and texts[-1] == ""
    assert [float(cell) for cell in numbers] == [*range(-11, 0), -0.5]  # Numbers remain numbers.


@pytest.mark.parametrize("name", NAMES)
def test_tags_and_events(name):
    good = FileScores(name, 1.0, np.zeros(1), np.ones(1), np.ones((1, 1)))
    bad = FileScores(name, 0.0, np.zeros(0), np.zeros(0), np.zeros((0, 1)), f"{name} is damaged")
    tags, events = io.StringIO(newline=""), io.StringIO(newline="")
    write_tags("csv", [good, bad], (name,), tags)
    write_events("csv", [(good, [Event(0.0, 1.0, name, 1.0)]), (bad, [])], events, 16000)
    for file in (tags, events):
        assert_safe(file.getvalue())
        assert [plain_text(cell) for cell in cells_of(file.getvalue())].count(name) == 3


def test_names_that_are_not_utf_8(tmp_path):
    names = ["a\udcff.wav", "=\udce4", "ä"]
    path = write_csv(tmp_path / "table.csv", names, [names])
    assert path.read_text(encoding="utf-8").splitlines()[0] == "a\\udcff.wav,'=\\udce4,ä"
    assert written_rows(path) == [dict(zip(names, names, strict=True))]
    scores = ClipScores(tuple(names), np.eye(3), np.eye(3, dtype="float32"), tuple(names), tuple(names))
    found = read_clips(write_clips(scores, tmp_path / "clips.csv"))
    assert (found.clip_ids, found.groups, found.class_names) == (tuple(names),) * 3
    path.write_bytes(b"a\xff.wav\n1\n")  # As earlier versions wrote.
    assert written_rows(path) == [{"a\udcff.wav": "1"}]


class TestWriting:
    def test_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        path, flushed = tmp_path / "table.csv", []

        def fsync(descriptor):
            flushed.append((os.fstat(descriptor).st_size, path.exists()))

        monkeypatch.setattr(os, "fsync", fsync)
        with written_whole(path) as temporary:
            temporary.write_text("whole")
        assert flushed == [(5, False)] and path.read_text() == "whole"

    def test_files_beyond_a_limit(self):
        message = (
            "^cannot write to 'out': file too large for a limit of the system .*raise the limit, choose another file "
        )
        for smaller, end in (
            ("", "system, and run it again$"),
            ("make them smaller", "system, or make them smaller, and"),
        ):
            with pytest.raises(OSError, match=message + end), writing("out", "run it again", smaller):
                raise OSError(errno.EFBIG, "File too large")

    def test_links_stay_links_and_pipes_pipes(self, tmp_path):
        (tmp_path / "disk").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "disk" / "table.csv")
        for text in ("of a file that is not there yet", "of one that is"):
            with written_whole(tmp_path / "link") as temporary:
                temporary.write_text(text)
            assert (tmp_path / "link").is_symlink() and (tmp_path / "disk" / "table.csv").read_text() == text
        os.mkfifo(tmp_path / "pipe")
        with written_whole(tmp_path / "pipe") as given:
            assert given == tmp_path / "pipe"
        assert given.is_fifo() and len(list(tmp_path.rglob("*"))) == 4

    @pytest.mark.parametrize("kind", [OSError, FileNotFoundError, BlockingIOError])
    def test_errors_that_are_not_of_the_system_pass(self, kind):
        with pytest.raises(kind, match="^the pipeline failed$"), writing("out"):
            raise kind("the pipeline failed")

    def test_the_innermost_folder_and_the_number_of_the_error(self):
        with pytest.raises(PermissionError, match="^cannot write to 'out/in': permission denied; change") as caught:
            with writing("out"), writing("out/in"):
                raise PermissionError(errno.EACCES, "Permission denied", "out/in/file")
        assert caught.value.errno == errno.EACCES
