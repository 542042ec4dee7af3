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


def rows_of(path):
    """The rows of a CSV file, as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
