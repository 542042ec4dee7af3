"""Reports and comparisons: their files against the numbers behind them, and their pages in headless Chromium."""

import base64
import csv
import io
import json
import re

import keras
import numpy as np
import pytest
import soundfile
from browser import needs_chromium, opened
from classifiers import RATE, small_classifier

from keras_audio_si.cli import main as cli
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.evaluation import html_report, worst_clips
from keras_audio_si.evaluation.clip_table import read_clips, write_clips
from keras_audio_si.evaluation.clips import ClipScores, evaluate_clips, score_clips
from keras_audio_si.evaluation.comparison import compare_results, write_comparison
from keras_audio_si.evaluation.intervals import bootstrap
from keras_audio_si.evaluation.shift import shift_table
from keras_audio_si.evaluation.shift_clips import shift_patches
from keras_audio_si.inference.patching import patch_dataset
from keras_audio_si.models import set_thresholds

pytestmark = pytest.mark.once

HOSTILE = ('<script>alert("x")</script>', "=1+1", 'a, "b"\nc', "-sirens", "{{ 7 * 7 }}", "plain")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def noises(labels, class_names, ids=None, seconds=2.5):
    """A cache of noises, of which each class has its level."""
    rng = np.random.default_rng(1)
    level = dict(zip(class_names, np.geomspace(0.003, 0.6, len(class_names)), strict=True))
    waveforms = [
        (sum(level[name] for name in names) * rng.uniform(-1, 1, int(RATE * seconds))).astype("float32")
        for names in labels
    ]
    cache = ClipCache.from_waveforms(waveforms, labels, RATE, class_names)
    if ids:
        cache.manifest = Manifest([Clip(name, part) for name, part in zip(ids, labels, strict=True)], class_names)
    return cache


def report_on(folder, cache, model, **options):
    evaluation = evaluate_clips(model, patch_dataset(model, cache))
    options = {"resamples": 50, "num_worst": 4, **options}
    html_report.write_report(evaluation, model, cache, folder, "a <model>", "noises, fold 1", **options)
    return evaluation


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The report of clips with one label each, whose classes and ids have hostile names."""
    folder = tmp_path_factory.mktemp("single")
    labels = [(HOSTILE[i % 6],) for i in range(24)]
    ids = [f"{prefix}{i}.wav" for i, prefix in enumerate(("@a/", "<b>", "'c", "d,e\n", "+f", "g") * 4)]
    cache = noises(labels, HOSTILE, ids)
    model = small_classifier(HOSTILE)
    return folder, cache, model, report_on(folder, cache, model)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The report of clips with any number of labels, by a model with thresholds, and without a shift test."""
    folder, names = tmp_path_factory.mktemp("several"), ("dog", "rain", "wind")
    labels = [names[: i % 4] for i in range(20)]
    cache, model = noises(labels, names), small_classifier(names)
    set_thresholds(model, (0.2, 0.5, 0.6))
    (folder / "confusion.csv").touch()  # Of an earlier report on other clips.
    return folder, cache, model, report_on(folder, cache, model, max_shift_clips=0)


class TestFiles:
    def test_clips_come_back(self, single):
        folder, cache, _, evaluation = single
        found = read_clips(folder / "clips.csv")
        assert found.clip_ids == tuple(clip.clip_id for clip in cache.manifest.clips)
        assert found.class_names == HOSTILE
        np.testing.assert_array_equal(found.targets, evaluation.clips.targets)
        np.testing.assert_allclose(found.scores, evaluation.clips.scores, rtol=1e-8)

    def test_no_cell_is_a_formula(self, single):
        for path in single[0].glob("*.csv"):
            for row in rows_of(path):
                for cell in row:
                    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), (path, cell)

    def test_classes(self, single):
        folder, _, _, evaluation = single
        columns, *rows = rows_of(folder / "per_class.csv")
        assert columns == ["class", "clips", "average precision", "low", "high", "precision", "recall"]
        assert [row[0] for row in rows] == [HOSTILE[0], "'=1+1", HOSTILE[2], "'-sirens", *HOSTILE[4:]]
        np.testing.assert_allclose([float(row[2]) for row in rows], evaluation.per_class, atol=1e-6)
        top, right = evaluation.clips.scores.argmax(axis=1), evaluation.clips.targets.argmax(axis=1)
        for number, row in enumerate(rows):
            assert row[1] == "4" and float(row[6]) == ((top == number) & (right == number)).sum() / 4
            found = (top == number).sum()
            assert (row[5] == "") if not found else float(row[5]) == (right[top == number] == number).mean()
            assert float(row[3]) <= float(row[2]) <= float(row[4])

    def test_confusion(self, single):
        folder, _, _, evaluation = single
        columns, *rows = rows_of(folder / "confusion.csv")
        assert columns[1:] == [row[0] for row in rows]
        counts = np.zeros((6, 6), int)
        for scores, target in zip(evaluation.clips.scores, evaluation.clips.targets, strict=True):
            counts[target.argmax(), scores.argmax()] += 1
        assert [[int(cell) for cell in row[1:]] for row in rows] == counts.tolist()
        assert not (folder / "cooccurrence.csv").exists()

    def test_cooccurrence_by_the_thresholds_of_the_model(self, several):
        folder, _, _, evaluation = several
        columns, *rows = rows_of(folder / "cooccurrence.csv")
        counts = [[0] * 3 for _ in range(3)]
        for scores, target in zip(evaluation.clips.scores, evaluation.clips.targets, strict=True):
            for i in range(3):
                for j in range(3):
                    counts[i][j] += int(target[i] == 1 and scores[j] >= (0.2, 0.5, 0.6)[j])
        assert [[int(cell) for cell in row[1:]] for row in rows] == counts
        assert sum(map(sum, counts)) > 0 and not (folder / "confusion.csv").exists()
        assert [float(row[7]) for row in rows_of(folder / "per_class.csv")[1:]] == [0.2, 0.5, 0.6]

    def test_shifts(self, single, several):
        folder, cache, model, _ = single
        columns, *rows = rows_of(folder / "shifts.csv")
        protocols = ("time-1", "time-3", "time-5", "freq-1", "freq-3", "freq-5")
        patches = shift_patches(model, cache, protocols, 200)
        for row, (protocol, result) in zip(rows, shift_table(model, patches.waveforms, protocols).items(), strict=True):
            assert row[0] == protocol and row[3] == "24"
            assert [float(cell) for cell in row[1:3]] == pytest.approx([result.consistency, result.mac], abs=1e-6)
        assert len(rows_of(several[0] / "shifts.csv")) == 1
        assert "There is no shift test: It was left out." in (several[0] / "report.html").read_text()

    def test_summary(self, single, several):
        summary = json.loads((single[0] / "summary.json").read_text())
        assert (summary["model"], summary["data"], summary["clips"]) == ("a <model>", "noises, fold 1", 24)
        metrics, evaluation = summary["metrics"], single[3]
        assert metrics["mAP"]["value"] == pytest.approx(evaluation.mAP, abs=1e-6)
        assert metrics["mAP"]["low"] < metrics["mAP"]["value"] < metrics["mAP"]["high"]
        assert metrics["accuracy"]["value"] == pytest.approx(evaluation.accuracy)
        assert summary["labels"] == "one per clip"
        assert json.loads((several[0] / "summary.json").read_text())["labels"] == "any number per clip"

    def test_names_are_text_in_the_page(self, single):
        page = (single[0] / "report.html").read_text(encoding="utf-8")
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page
        assert "{{ 7 * 7 }}" in page and "<b>1.wav" not in page and page.count("<script") == 1
        assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page) and "@import" not in page and "url(" not in page

    def test_worst_clips_are_those_with_the_lowest_scores(self, single, several):
        _, cache, _, evaluation = single
        scores = (evaluation.clips.scores * evaluation.clips.targets).sum(axis=1)
        worst = worst_clips.worst_clips(evaluation.clips, cache, True, 5)
        assert [clip.clip_id for clip in worst] == [evaluation.clips.clip_ids[i] for i in np.argsort(scores)[:5]]
        assert [clip.error for clip in worst] == pytest.approx(1 - np.sort(scores)[:5])
        clips = several[3].clips
        worst = worst_clips.worst_clips(clips, several[1], False, 3)
        gaps = np.abs(clips.targets - clips.scores)
        assert [clip.error for clip in worst] == pytest.approx(np.sort(gaps.max(axis=1))[::-1][:3])

    def test_audio_is_the_clip(self, single):
        _, cache, _, evaluation = single
        (clip,) = worst_clips.worst_clips(evaluation.clips, cache, True, 1)
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(clip.audio.partition(",")[2])))
        number = evaluation.clips.clip_ids.index(clip.clip_id)
        assert rate == RATE
        np.testing.assert_allclose(samples, cache.waveform(number), atol=2**-15)

    def test_long_and_short_clips(self):
        cache = ClipCache.from_waveforms(
            [np.full(12 * RATE, 2.0), np.zeros(5)], [("dog",), ("rain",)], RATE, ("dog", "rain")
        )
        clips = ClipScores(("clip-0", "clip-1"), np.full((2, 2), 0.5), np.eye(2), ("dog", "rain"))
        long, short = worst_clips.worst_clips(clips, cache, True)
        assert (long.seconds, long.shown_seconds, short.seconds) == (12, 10, 5 / RATE)
        samples, _ = soundfile.read(io.BytesIO(base64.b64decode(long.audio.partition(",")[2])))
        assert len(samples) == 10 * RATE and samples.max() <= 1

    def test_a_page_that_would_be_too_large(self, single, monkeypatch):
        _, cache, _, evaluation = single
        size = len(worst_clips.worst_clips(evaluation.clips, cache, True, 1)[0].audio)
        monkeypatch.setattr(worst_clips, "MAX_BYTES", 3 * size)
        kept = [clip.audio is not None for clip in worst_clips.worst_clips(evaluation.clips, cache, True, 8)]
        assert kept[0] and not kept[-1]


class TestWithoutAPart:
    def test_logits_have_no_calibration(self, tmp_path):
        cache = noises([("dog",), ("rain",)] * 4, ("dog", "rain"))
        model = small_classifier(("dog", "rain"))
        logits = keras.Model(model.input, model.get_layer("logits").output - 9.0)
        report_on(tmp_path, cache, logits)
        page = (tmp_path / "report.html").read_text()
        assert "There is no calibration: `scores` must be probabilities" in page
        assert "There is no shift test: The mean absolute change is one of probabilities" in page
        assert len(rows_of(tmp_path / "calibration.csv")) == 1

    def test_clips_too_short_for_shifts_and_a_class_without_clips(self, tmp_path):
        names = ("dog", "rain", "wind")
        report_on(tmp_path, noises([("dog",), ("rain",)] * 4, names, seconds=0.5), small_classifier(names))
        page = (tmp_path / "report.html").read_text()
        assert "There is no shift test: No clip can be used" in page and "Give no protocols" not in page
        assert "Without a clip, in no mean: wind" in page
        assert rows_of(tmp_path / "per_class.csv")[3][:5] == ["wind", "0", "", "", ""]

    def test_curves_come_by_precision_without_classes_that_have_no_clips(self, rng):
        targets = np.eye(5)[np.tile([0, 1, 3, 4], 25)]
        scores = targets * [0.3, 1, 0, 0.6, 0.1] + rng.random((100, 5))
        clips = ClipScores(tuple(map(str, range(100))), scores, targets, tuple("abcde"))
        rows = html_report.class_rows(clips, scores > 0.5, bootstrap([clips], resamples=10))
        assert "".join(row.name for row, _ in html_report._curves(clips, rows)) == "eadb"

    def test_many_classes_have_no_matrix(self, tmp_path):
        names = tuple(f"class {i}" for i in range(45))
        cache = noises([(names[i % 45],) for i in range(50)], names)
        report_on(tmp_path, cache, small_classifier(names), max_shift_clips=0)
        page = (tmp_path / "report.html").read_text()
        assert "The matrix of 45 classes is in <code>confusion.csv</code>" in page and "21 more</summary>" in page

    def test_scores_that_are_not_finite(self, several, tmp_path):
        _, cache, model, evaluation = several
        scores = np.where(evaluation.clips.scores == evaluation.clips.scores[2, 1], np.nan, evaluation.clips.scores)
        broken = score_clips(evaluation.clips._replace(scores=scores))
        with pytest.raises(ValueError, match="Scores must be finite. Those of clip 'clip-2' are not"):
            html_report.write_report(broken, model, cache, tmp_path / "out", "x")
        assert not (tmp_path / "out").exists()


def test_clips_that_cannot_be_read(tmp_path):
    clips = ClipScores(("a", "b"), np.eye(2), np.eye(2), ("dog", "rain"), ("=x", ""))
    path = write_clips(clips, tmp_path / "clips.csv")
    assert read_clips(path).groups == clips.groups
    text = path.read_text()
    for wrong, message in {
        text.replace("target rain", "rain"): "must have the columns",
        text.partition("\n")[0]: "Received: 0 rows",
        text.replace("b,", "a,"): "has a clip twice: 'a'",
        text.replace("clip,group", "clip"): "must have the columns 'clip', 'group'",
        text.replace("1.0", "one"): "must have a number in every cell",
        re.sub(r",[\d.]+$", "", text, flags=re.MULTILINE): "must have the columns",
        text + "c\n": "must have the columns",
        "": "must have the columns",
    }.items():
        path.write_text(wrong)
        with pytest.raises(ValueError, match=message):
            read_clips(path)
    path.write_text(f"\n{text}\n\n")  # As an editor may leave it.
    assert len(read_clips(path).clip_ids) == 2


@pytest.fixture(scope="module")
def compared(single, tmp_path_factory):
    clips = single[3].clips
    other = clips._replace(scores=np.clip(clips.scores + 0.05 * clips.targets, 0, 1))
    results = {"first <b>": [clips], "=other": [other]}
    return write_comparison(compare_results(results, resamples=50), tmp_path_factory.mktemp("compared"))[0]


@pytest.fixture(scope="module")
def browser_page(single):
    """One page for all tests, because a browser takes seconds to start; errors that it reports fail the last one."""
    with opened((single[0] / "report.html").as_uri(), flags=("--autoplay-policy=no-user-gesture-required",)) as page:
        yield page


@needs_chromium
class TestInChromium:
    @pytest.fixture
    def page(self, single, browser_page):
        browser_page.set_viewport_size({"width": 1280, "height": 900})
        browser_page.goto((single[0] / "report.html").as_uri())
        return browser_page

    def column(self, page, number):
        """The values of a column of the table of classes, or its text."""
        cells = f"row => row.cells[{number}].dataset.value ?? row.cells[{number}].textContent"
        return page.evaluate(f"[...document.querySelectorAll('#class-table tbody tr')].map({cells})")

    def test_sorting(self, page):
        before = list(map(float, self.column(page, 2)))
        assert self.column(page, 0) == list(HOSTILE) and before != sorted(before)
        heads = page.locator("#class-table thead th")
        heads.nth(2).locator("button").click()
        assert list(map(float, self.column(page, 2))) == sorted(before)
        assert heads.nth(2).get_attribute("aria-sort") == "ascending"
        heads.nth(2).locator("button").press("Enter")
        assert list(map(float, self.column(page, 2))) == sorted(before, reverse=True)
        assert heads.nth(2).get_attribute("aria-sort") == "descending"
        heads.nth(0).locator("button").press("Space")
        names = self.column(page, 0)
        assert sorted(names) == sorted(HOSTILE) and names[-1] == "plain"
        assert heads.nth(2).get_attribute("aria-sort") is None

    def test_missing_values_come_last(self, page):
        assert "nan" in self.column(page, 6)  # A class that is never predicted has no precision.
        for _ in range(2):
            page.locator("#class-table thead th").nth(6).locator("button").click()
            assert self.column(page, 6)[-1] == "nan"

    def test_players_play_one_at_a_time(self, page):
        assert page.locator("audio").count() == 4
        for number in (0, 1):
            player = f"document.querySelectorAll('audio')[{number}]"
            page.evaluate(f"() => {{ {player}.muted = true; return {player}.play(); }}")
            page.wait_for_function(f"() => {player}.currentTime > 0.05")
        assert page.evaluate("document.querySelectorAll('audio')[0].paused")
        assert page.evaluate("document.querySelectorAll('audio')[1].duration") == pytest.approx(2.5, abs=0.01)
        line = "document.querySelectorAll('.spectrogram i')[1]"
        assert page.evaluate(f"getComputedStyle({line}).visibility") == "visible"
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 50)")

    @pytest.mark.parametrize("kind", ["single", "several", "compared"])
    def test_fits_a_phone_and_the_dark(self, kind, page, request):
        found, colours = request.getfixturevalue(kind), []
        page.goto((found if kind == "compared" else found[0] / "report.html").as_uri())
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            parts = {"body": "backgroundColor", "h1": "color", "svg .dot": "fill"}
            shown = [page.evaluate(f"getComputedStyle(document.querySelector('{k}')).{v}") for k, v in parts.items()]
            colours.append([sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in shown])
        page.emulate_media(color_scheme="light")
        (page_light, text_light, dot_light), (page_dark, text_dark, dot_dark) = colours
        assert page_light > 700 and text_light < 150 and page_dark < 150 and text_dark > 600 and dot_light < dot_dark

    def test_comparison_sorts(self, page, compared):
        page.goto(compared.as_uri())
        before = list(map(float, self.column(page, 3)))
        page.locator("#class-table thead th").nth(3).locator("button").click()
        assert list(map(float, self.column(page, 3))) == sorted(before) != before


def test_files_of_a_comparison(compared, single):
    columns, *rows = rows_of(compared.parent / "comparison.csv")
    assert columns[-4:] == ["difference", "difference low", "difference high", "p"]
    assert [row[:2] for row in rows] == [[name, m] for name in ("first <b>", "'=other") for m in ("mAP", "accuracy")]
    assert rows[0][-4:] == [""] * 4
    assert float(rows[2][5]) == pytest.approx(float(rows[2][2]) - float(rows[0][2]))
    assert len(rows_of(compared.parent / "classes.csv")) == 1 + 6 * 2
    page = compared.read_text(encoding="utf-8")
    assert "first &lt;b&gt;" in page and "first <b>" not in page and "&lt;script&gt;alert" in page


class TestCommands:
    @pytest.fixture(scope="class")
    def evaluated(self, tmp_path_factory):
        folder, rng, names = tmp_path_factory.mktemp("evaluated"), np.random.default_rng(2), ("dog", "rain")
        for number in range(8):
            (folder / "sounds" / names[number % 2]).mkdir(parents=True, exist_ok=True)
            level = 0.01 if number % 2 else 0.4
            path = folder / "sounds" / names[number % 2] / f"{number}.wav"
            soundfile.write(path, level * rng.uniform(-1, 1, 5 * RATE // 2), RATE)
        data = ["--data", str(folder / "sounds"), "--cache-dir", str(folder / "cache")]
        for name, pooling in {"one": "tlpf3+aps", "two": "max"}.items():
            small_classifier(names, pooling).save(folder / f"{name}.keras")
            command = ["evaluate", str(folder / f"{name}.keras"), *data, "--report", str(folder / name)]
            assert cli.main(command) == 0
        return folder

    def test_evaluate(self, evaluated):
        page = (evaluated / "one" / "report.html").read_text()
        assert "<h1>one</h1>" in page and "sounds · 8 clips" in page
        assert len(list((evaluated / "one").iterdir())) == 7

    def test_compare(self, evaluated, tmp_path, capsys):
        folders = [str(evaluated / name) for name in ("one", "two")]
        assert cli.main(["compare", *folders, "--output", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "8 clips, 1000 resamples of them; differences are to 'one'" in printed and "mAP difference" in printed
        assert {path.name for path in tmp_path.iterdir()} == {"comparison.html", "comparison.csv", "classes.csv"}

    @pytest.mark.parametrize(
        "folders, message",
        [
            (("one",), "At least two results are needed. Received: one"),
            (("one", "one"), "A folder is given twice"),
            (("one", "sounds"), "has no clips.csv"),
        ],
    )
    def test_errors(self, evaluated, folders, message, capsys):
        assert cli.main(["compare", *(str(evaluated / name) for name in folders)]) == 2
        assert message in capsys.readouterr().err

    def test_without_jinja2(self, single, monkeypatch, tmp_path):
        monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
        _, cache, model, evaluation = single
        with pytest.raises(ImportError, match=r"keras-audio-si\[reports\]"):
            html_report.write_report(evaluation, model, cache, tmp_path, "x")
