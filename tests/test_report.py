import csv
import math
import types

import numpy as np
import pytest

from keras_audio_si.evaluation.report import Estimate, format_markdown, format_text, quantities, write_table
from keras_audio_si.evaluation.shift import ShiftResult
from keras_audio_si.files import written_whole

pytestmark = pytest.mark.once


def row(model="plain", parameters=1258728, mAP=(0.5,), protocols=("time-1", "freq-1")):
    evaluation = types.SimpleNamespace(mAP=Estimate.of(mAP), d_prime=2.167, accuracy=0.75)
    shifts = {name: ShiftResult(0.82, 0.078, 1000) for name in protocols}
    return {"model": model, "runs": len(mAP), "parameters": parameters, **quantities(evaluation, shifts)}


class TestEstimate:
    def test_equals_numpy(self, rng):
        values = rng.random(5).tolist()
        np.testing.assert_allclose(Estimate.of(values), (np.mean(values), np.std(values, ddof=1)), rtol=1e-12)

    def test_single_value_has_no_deviation(self):
        estimate = Estimate.of([0.25])
        assert estimate.mean == 0.25 and math.isnan(estimate.deviation)

    @pytest.mark.parametrize("values", [[math.nan, 0.5], [math.inf, 0.5], [math.inf, math.inf]])
    def test_what_is_not_finite_stays_so(self, values):
        estimate = Estimate.of(values)
        assert not math.isfinite(estimate.mean) and math.isnan(estimate.deviation)


def test_quantities():
    shifts = ["time-1 consistency (%)", "time-1 MAC", "freq-1 consistency (%)", "freq-1 MAC"]
    assert list(row()) == ["model", "runs", "parameters", "mAP", "d'", "accuracy", *shifts]
    assert row()["time-1 consistency (%)"] == pytest.approx(82.0) and row()["freq-1 MAC"] == 0.078


class TestFormats:
    def test_text_puts_few_models_side_by_side(self):
        rows = [row(mAP=(0.497, 0.503)), row("VGG41 + TLPF 5x5", 1264728, mAP=(0.484,))]
        assert format_text(rows).splitlines() == [
            "                                plain  VGG41 + TLPF 5x5",
            "runs                                2                 1",
            "parameters                  1,258,728         1,264,728",
            "mAP                     0.500 ± 0.004             0.484",
            "d'                              2.167             2.167",
            "accuracy                        0.750             0.750",
            "time-1 consistency (%)           82.0              82.0",
            "time-1 MAC                      0.078             0.078",
            "freq-1 consistency (%)           82.0              82.0",
            "freq-1 MAC                      0.078             0.078",
        ]

    def test_many_models_have_a_line_each(self):
        rows = [{"model": f"VGG41 + pooling {i}", "mAP": 0.4 + i / 100} for i in range(12)]
        lines = format_text(rows).splitlines()
        assert len(lines) == 13
        assert lines[0].split() == ["model", "mAP"]
        assert lines[12] == "VGG41 + pooling 11  0.510"

    def test_markdown(self):
        rows = [{"model": f"m|{i}", "MAC": i / 8} for i in range(3)] + [{"model": "none"}]
        assert format_markdown(rows).splitlines() == [
            "| model |   MAC |",
            "| ----- | ----: |",
            "| m\\|0  | 0.000 |",
            "| m\\|1  | 0.125 |",
            "| m\\|2  | 0.250 |",
            "| none  |     - |",
        ]

    def test_names_stay_in_their_cells(self):
        """Those of class folders: as rows of `per_class.md` and as columns of `confusion.md`."""
        names = [
            "new\nline",
            "-2+3\r=x",
            "|pipe| *b*",
            "<script>alert(1)<",
            "`\\",
            "_a_b_ & ~~c~~",
            "\x1b[2J\u2028\udcff",
        ]
        escaped = ["new\\nline", "-2+3\\r=x", "|pipe| *b*", "<script>alert(1)<", "`\\"]
        escaped += ["_a_b_ & ~~c~~", "\\x1b[2J\\u2028\\udcff"]
        in_markdown = ["new\\\\nline", "-2+3\\\\r=x", "\\|pipe\\| \\*b\\*", "\\<script\\>alert(1)\\<", "\\`\\\\"]
        in_markdown += ["\\_a_b\\_ \\& \\~\\~c\\~\\~", "\\\\x1b\\[2J\\\\u2028\\\\udcff"]
        rows = [{"class": name, "clips": "1"} for name in names]
        assert [line.rpartition(" ")[0].strip() for line in format_text(rows).splitlines()[1:]] == escaped
        cells = [line.removeprefix("| ").rpartition(" | ")[0].strip() for line in format_markdown(rows).splitlines()]
        assert cells[2:] == in_markdown
        columns = [{name: str(number) for name in names} for number in range(100)]
        assert format_markdown(columns).splitlines()[0] == f"| {' | '.join(in_markdown)} |"

    @pytest.mark.parametrize("make", [format_text, format_markdown])
    def test_nothing_to_show(self, make):
        with pytest.raises(ValueError, match="`rows` is empty"):
            make([])


class TestWriteTable:
    def test_csv_comes_back_unrounded(self, tmp_path):
        rows = [row(mAP=(1 / 3, 1 / 7)), row("other", 7)]
        path, _ = write_table(rows, tmp_path / "new" / "folder", "comparison")
        with open(path, newline="", encoding="utf-8") as file:
            plain, other = csv.DictReader(file)
        assert plain["model"] == "plain" and plain["runs"] == "2" and plain["parameters"] == "1258728"
        np.testing.assert_allclose(float(plain["mAP"]), (1 / 3 + 1 / 7) / 2, rtol=1e-15)
        np.testing.assert_allclose(float(plain["mAP std"]), (1 / 3 - 1 / 7) / 2**0.5, rtol=1e-14)
        assert other["mAP"] == "0.5" and other["mAP std"] == ""

    def test_markdown_file(self, tmp_path):
        rows = [row()]
        _, path = write_table(rows, tmp_path, "comparison")
        assert path.read_text(encoding="utf-8") == format_markdown(rows) + "\n"
        assert sorted(file.name for file in tmp_path.iterdir()) == ["comparison.csv", "comparison.md"]

    def test_a_failure_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "table.csv"
        path.write_text("old")
        with pytest.raises(RuntimeError), written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
