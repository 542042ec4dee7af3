"""Max pooling compared with TLPF + APS on synthetic sound events: `make demo`.

    python recipes/quickstart.py --output runs/demo

Two VGG41 of reduced width are trained on ten classes of synthetic events, one with max pooling and one with TLPF 5x5 +
APS. Both are then tested on clips that are shifted by a few frames or mel bands. Needs no data and no GPU.

Paper: Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
    Neural Networks, 2021. The comparison of Table III and Fig. 2 on a small scale.
Expect: mean of seeds 0, 1 and 2, TensorFlow, max pooling and TLPF + APS: mAP 0.997 and 0.998, accuracy 98.8 and 99.2 %;
    consistency under a shift by one frame 98.3 and 100.0 %, by one mel band 98.8 and 99.6 %, by five 97.3 and 99.4 %;
    MAC 0.020 and 0.008, 0.030 and 0.009, 0.046 and 0.024.
Cost: 4 minutes of processor time, on two cores about 3 minutes.
Gives: a table (runs.csv, table.csv, table.md), stability.png, learning_curves.png, and for each model model.keras,
    log.csv and tensorboard/; at the end the tags of a test clip, and the command for them.
"""

import argparse
import os
import pathlib
import shlex
import statistics
import sys

from keras_audio_si.cli.arguments import Parser, add_debug, add_saving, saving_of
from keras_audio_si.cli.main import guarded
from keras_audio_si.cli.main import main as keras_audio_si
from keras_audio_si.data.synthetic import write_dataset
from keras_audio_si.experiments.divisions import divide
from keras_audio_si.experiments.fonseca2021 import SETTINGS
from keras_audio_si.experiments.report import summary
from keras_audio_si.experiments.runner import run_experiment
from keras_audio_si.training.run_folder import BEST_MODEL
from keras_audio_si.visualization.plots import read_log

NUM_CLIPS = 800
SAMPLE_RATE = 16000
ROWS = {
    pooling: SETTINGS.changed(
        pooling=pooling,
        sample_rate=SAMPLE_RATE,
        width=0.25,
        batch_norm_momentum=0.9,  # Moving statistics that keep up with a training of few steps.
        learning_rate=1e-3,
        schedule="one-cycle",
        batch_size=32,
        epochs=10,
    )
    for pooling in ("max", "tlpf5+aps")
}


def main(args):
    output = pathlib.Path(args.output)
    manifest = write_dataset(
        output / "data",
        NUM_CLIPS,
        SAMPLE_RATE,
        min_seconds=2.0,
        max_seconds=2.6,
        signal_to_noise_decibels=(-15.0, 5.0),  # Loud noise: without it both models are right on every clip.
    )
    scores = run_experiment(ROWS, divide(manifest), output, output / "cache", [args.seed], **saving_of(args))
    print(f"\n{summary(scores)}\n")
    changes = ", ".join(f"{score.row} {mean_change(score.values):.3f}" for score in scores)
    print(f"Mean change of the score of the top class under these shifts (MAC): {changes}")
    print(f"Report: {output}/ (table.md, stability.png, learning_curves.png, and a folder for each model)")
    best = max(ROWS, key=lambda row: max(read_log(output / row / "log.csv", ["val_mAP"])["val_mAP"]))
    clip = manifest.select(split="test").clips[0]
    command = ["tag", str(output / best / BEST_MODEL), str(manifest.root / clip.path)]
    program = pathlib.Path(sys.executable).with_name("keras-audio-si")
    program = os.path.relpath(program) if program.exists() else program.name
    print(f"\nBest on the validation clips: {best}. It tags a test clip of the class {clip.labels[0]!r}:")
    print(f"\n    {shlex.join([program, *command])}\n", flush=True)
    return keras_audio_si(command)


def mean_change(values):
    """Mean over the protocols of a shift test."""
    return statistics.mean(value for name, value in values.items() if name.endswith(" MAC"))


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/demo", help="folder of the report (default: runs/demo)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of initial weights and order of the data (0)")
    add_debug(parser)
    add_saving(parser)
    sys.exit(guarded(main, parser.parse_args()))
