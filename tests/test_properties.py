"""Properties that hold for any names and any waveforms, with inputs drawn by Hypothesis.

`HYPOTHESIS_EXAMPLES` is the number of inputs of each property (25); `make fuzz` draws more.
"""

import csv
import functools
import io
import json
import os
import pathlib
import tempfile

import keras
import numpy as np
import pytest
from classifiers import RATE, small_classifier
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_audio_si.data.audio_io import AudioError, read_audio
from keras_audio_si.data.audio_stream import stream_audio
from keras_audio_si.data.manifest import LABEL_SEPARATOR, Clip, Manifest
from keras_audio_si.data.shards import clips_of, encoded, shard_writer
from keras_audio_si.evaluation.clip_table import read_clips, write_clips
from keras_audio_si.evaluation.clips import ClipScores
from keras_audio_si.files import plain_text, safe_cell, write_rows, written_rows
from keras_audio_si.inference.event_tables import write_events
from keras_audio_si.inference.events import Event
from keras_audio_si.inference.tag_tables import write_tags
from keras_audio_si.inference.tagging import FileScores, FoundFile, tag_files
from keras_audio_si.models.loading import load_model
from keras_audio_si.models.metadata import class_names_of

pytestmark = pytest.mark.once

drawn = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", 25)),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# What breaks tables, pages and formulas, more often than chance would have it.
TROUBLE = st.sampled_from(
    (
        '=cmd|"/C calc"!A0',
        "-1",
        "+1",
        "@a",
        "\t=1",
        "\r=1",
        "'=1",
        ",",
        '"',
        "\n",
        "a\r\nb",
        "<script>",
        "&amp;",
        "</td>",
    )
    + ("\u2028", "\u202e", "\x00", "|", "`", "../..", "/", "\\", "%s", "{}", "é", "漢", "🎵", " x ", "nan")
)
names = st.one_of(
    TROUBLE, st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), st.tuples(TROUBLE, TROUBLE).map("".join)
)
distinct_names = st.lists(names, min_size=1, max_size=4, unique=True)
samples = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True),
    st.sampled_from((0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, 2.0**31, float("nan"), float("inf"))),
    st.floats(-1, 1, width=32),
)
waveforms = st.one_of(
    arrays("float32", st.integers(0, 400), elements=samples, fill=st.just(0.0)),
    st.builds(np.full, st.integers(1, 9000), samples, st.just("float32")),
)


@functools.cache
def model():
    return small_classifier(("dog", "rain"))


def folder():
    return tempfile.TemporaryDirectory()


def rows_of(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def assert_no_formula(text):
    for row in rows_of(text):
        assert not [cell for cell in row if len(cell) > 1 and cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@drawn
@given(names)
def test_cells_come_back(name):
    assert plain_text(safe_cell(name)) == name


@drawn
@given(distinct_names, names, names, st.none() | st.integers(0, 10**9))
def test_manifests_come_back(labels, group, split, fold):
    labels = sorted({label.strip() for label in labels if LABEL_SEPARATOR not in label} - {""})
    split, group = split.strip(), group.strip()
    clips = tuple(
        Clip(f"{number}.wav", (label,), split, fold, f"{label}{number}", group) for number, label in enumerate(labels)
    )
    assume(clips)
    with folder() as root:
        path = pathlib.Path(root, "manifest.csv")
        Manifest(clips, root=root).write(path)
        assert_no_formula(path.read_bytes().decode())
        read = Manifest.read(path)
    assert read.clips == clips and read.class_names == tuple(labels)


@drawn
@given(distinct_names, st.lists(names, min_size=1, max_size=3, unique=True))
def test_scores_of_clips_come_back(classes, ids):
    scores = np.random.default_rng(0).random((len(ids), len(classes)))
    clips = ClipScores(tuple(ids), scores, np.float32(scores > 0.5), tuple(classes), tuple(ids))
    with folder() as root:
        path = write_clips(clips, pathlib.Path(root, "clips.csv"))
        assert_no_formula(path.read_bytes().decode())
        read = read_clips(path)
    assert (read.clip_ids, read.class_names, read.groups) == (tuple(ids), tuple(classes), tuple(ids))


@drawn
@given(distinct_names, names)
def test_tables_come_back(columns, value):
    rows = [{name: value for name in columns}, {columns[0]: "-1"}]
    with folder() as root:
        path = pathlib.Path(root, "table.csv")
        write_rows(rows, path)
        assert_no_formula(path.read_bytes().decode())
        read = written_rows(path)
    assert read == [dict.fromkeys(columns, value), {**dict.fromkeys(columns, ""), columns[0]: "-1"}]


@drawn
@given(distinct_names, names)
def test_tags_and_events_have_the_names(classes, file):
    whole = FileScores(file, 1.0, np.zeros(1), np.ones(1), np.full((1, len(classes)), 0.5))
    tags, events, lines = (io.StringIO(newline="") for _ in range(3))
    write_tags("csv", [whole], tuple(classes), tags, top_k=len(classes))
    write_events("csv", [(whole, [Event(0.0, 1.0, name, 0.5) for name in classes])], events, RATE)
    write_tags("json", [whole], tuple(classes), lines, top_k=len(classes))
    for text in (tags.getvalue(), events.getvalue()):
        assert_no_formula(text)
    (header, row), (_, *found) = rows_of(tags.getvalue()), rows_of(events.getvalue())
    assert header[5:] == [f"score {name}" for name in classes]
    assert [plain_text(cell) for cell in (row[0], row[3])] == [file, LABEL_SEPARATOR.join(classes)]
    assert [[plain_text(cell) for cell in (row[0], row[3])] for row in found] == [[file, name] for name in classes]
    written = json.loads(lines.getvalue())
    assert written["classes"] == classes and set(written["results"][0]["tags"]) == set(classes)


@settings(drawn, max_examples=5)
@given(distinct_names)
def test_saved_models_keep_their_class_names(classes):
    scores = keras.Sequential([keras.Input((len(classes),)), _scores(classes)])
    with folder() as root:
        scores.save(pathlib.Path(root, "model.keras"))
        assert class_names_of(load_model(pathlib.Path(root, "model.keras"))) == tuple(classes)


def _scores(classes):
    from keras_audio_si.layers import ClassScores

    return ClassScores(class_names=tuple(classes))


@drawn
@given(waveforms, st.sampled_from((8000, 11025)))
def test_any_waveform_has_finite_scores_or_an_error(waveform, rate):
    import soundfile

    with folder() as root:
        path = pathlib.Path(root, "a.wav")
        soundfile.write(path, waveform, rate, "FLOAT")
        (result,) = tag_files(model(), [FoundFile(str(path))])
        assert (result.error is None) == (result.scores.shape == (1, 2)) and np.isfinite(result.scores).all()
        try:
            whole, _ = read_audio(path, RATE)
        except AudioError as error:
            assert result.error is not None and str(path) in str(error)
        else:
            assert np.array_equal(whole, np.concatenate(list(stream_audio(path, RATE))))


@drawn
@given(
    st.lists(arrays("float32", st.integers(1, 300), elements=st.floats(-8, 8, width=32)), min_size=1, max_size=4),
    st.sampled_from((".tfrecord", ".array_record")),
)
def test_shards_come_back(clips, suffix):
    pytest.importorskip("tensorflow" if suffix == ".tfrecord" else "array_record", reason="writes this format")
    with folder() as root:
        path = pathlib.Path(root, f"a{suffix}")
        with shard_writer(path) as write:
            for clip in clips:
                write(encoded(clip, RATE))
        read = [read_audio(place)[0] for place in clips_of(path)]
    for clip, found in zip(clips, read, strict=True):
        step = 2.0**-15 * max(1.0, float(np.abs(clip).max()))
        np.testing.assert_allclose(found, clip, atol=1.01 * step)
