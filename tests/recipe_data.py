"""What the tests of experiments need: clips on disk and the lines of reports."""

import csv

import numpy as np
import soundfile

from keras_audio_si.data.manifest import Clip, Manifest

RATE = 4000


def write_tones(folder, shortest, longest):
    """Writes 48 clips of a low or a high tone, of `shortest` to `longest` samples, in two folds, with a manifest."""
    rng, clips = np.random.default_rng(0), []
    for index in range(48):
        time = np.arange(rng.integers(shortest, longest)) / RATE
        name = ("low", "high")[index % 2]
        tone = 0.3 * np.sin(2 * np.pi * {"low": 150, "high": 900}[name] * time + rng.uniform(0, 6))
        soundfile.write(folder / f"{index}.wav", tone + 0.01 * rng.normal(size=len(time)), RATE)
        clips.append(Clip(f"{index}.wav", (name,), fold=1 + index // 2 % 2))
    Manifest(clips, root=folder).write(folder / "manifest.csv")
    return folder


def untimed(path):
    """The cells of a table in CSV or Markdown without the seconds, which differ from run to run."""
    if path.suffix == ".md":
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text().splitlines()]
        lines = [line for line in lines if line[0].strip("-")]  # The rule is as wide as the cells.
    else:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    kept = [place for place, name in enumerate(lines[0]) if name != "seconds"]
    return [[line[place] for place in kept] for line in lines if line[0] != "seconds"]


def rows_of(path):
    """The rows of a CSV file, as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
