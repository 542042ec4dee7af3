"""What the tests of several recipes need: clips on disk, the rows of reports, and the recipes as modules."""

import csv
import importlib.util
import pathlib

import numpy as np
import soundfile

from keras_audio_si.data.manifest import Clip, Manifest

RECIPES = pathlib.Path(__file__).parent.parent / "recipes"
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


def load_recipe(name):
    """The module of a recipe; the folder of the recipes must be on the path where it imports another one."""
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
