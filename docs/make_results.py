"""Writes recipes/RESULTS.md from recipes/results.csv and the tables of the recipes.

python docs/make_results.py
"""

import pathlib

from keras_audio_si.experiments.results import format_results, read_results

FOLDER = pathlib.Path(__file__).parent.parent / "recipes"


def main():
    text = format_results(read_results(FOLDER / "results.csv"))
    (FOLDER / "RESULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
