"""Measured results in a CSV file, and the page that is made of them."""

import re

import pytest

from keras_audio_si.cli import main as cli
from keras_audio_si.cli import train
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.synthetic import write_dataset
from keras_audio_si.experiments.report import RunScore
from keras_audio_si.experiments.results import append_results, format_results, read_results

pytestmark = pytest.mark.once


def test_values_of_one_training_are_one_line(tmp_path):
    path = tmp_path / "results.csv"
    shared = {"paper": "juettner", "table": "4", "row": "PiczakNet decibels", "data": "ten clips", "date": "2026-01-01"}
    append_results(path, [{**shared, "metric": "accuracy", "ours": "0.5"}])
    append_results(path, [{**shared, "metric": "mAP", "ours": "0.75"}, {**shared, "seeds": "1", "ours": "0.6"}])
    append_results(path, [{"paper": "", "row": "vgg41", "metric": "mAP", "ours": "0.9", "date": "2026-01-01"}])
    lines = [line for line in format_results(read_results(path)).splitlines() if "2026-01-01" in line]
    assert lines == [
        "| PiczakNet decibels | 0.6 patch balanced accuracy | 0.5 accuracy; 0.75 mAP | ten clips |  |  | 2026-01-01 |",
        "| PiczakNet decibels | 0.6 patch balanced accuracy | 0.6 | ten clips | 1 |  | 2026-01-01 |",
        "| vgg41 |  | 0.9 mAP |  |  |  | 2026-01-01 |",
    ]


@pytest.mark.parametrize(
    "recipe, given, found",
    [
        ("fonseca2021", "", {"baseline": "III", "tlpf5+aps": "III"}),
        ("fonseca2021", "--row blur3 baseline+mixup", {"blur3": "I", "baseline+mixup": "II"}),
        ("liu2022-nsynth", "--table 2 3", {"hop of 3 ms": "2", "leaf": "3"}),
        ("liu2022-audioset", "--table 3", {"mel": "3"}),
    ],
)
def test_results_of_recipes_come_to_the_table_of_their_row(recipe, given, found, tmp_path):
    """Those of an earlier command that gave a row to the same report are not appended again."""
    path = tmp_path / "results.csv"
    command = f"train --data x --output y --recipe {recipe} {given} --results {path}"
    args = cli.build_parser().parse_args(command.split())
    divisions = {"test": Manifest([Clip(f"{split}.wav", ("dog",), split) for split in ("train", "val", "test")])}
    values = {"parameters": 9, "mAP": 0.5}
    scores = [RunScore(row, "test", 0, "1/1/1", 0, values) for row in ("an earlier row", *found)]
    train._append_results(args, dict.fromkeys(found), scores, None, "mAP", divisions)
    assert {result["row"]: result["table"] for result in read_results(path)} == found
    page = format_results(read_results(path))
    assert page.index("0.500 mAP") < page.index("|  |  |  |")  # What was run comes first.
    assert "Other experiments" not in page and page.count("0.500 mAP") == len(found)
    assert re.search(r"## liu2022-audioset, table 3\n\n.*\n.*\n.* ROC AUC \|", page)


@pytest.mark.slow
def test_train_appends_what_it_measured(tmp_path, capsys):
    data, path = tmp_path / "data", tmp_path / "results.csv"
    write_dataset(data, num_clips=40, sample_rate=8000, min_seconds=2.0, max_seconds=2.2)
    settings = "--sample-rate 8000 --width 0.125 --epochs 1 --frames 20 --train-scores --protocols time-1".split()
    folders = ["--output", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache"), "--results", str(path)]
    assert cli.main(["train", "--data", str(data), *folders, *settings]) == 0
    assert "Preset quick for" in capsys.readouterr().out
    results = {result["metric"]: result for result in read_results(path)}
    assert list(results) == ["mAP", "accuracy", "train mAP", "train accuracy", "time-1 consistency (%)"]
    assert results["mAP"]["row"] == "vgg41, pooling as built, preset quick" and results["mAP"]["seeds"] == "0"
    assert all(0 <= float(result["ours"]) <= 100 for result in results.values())
