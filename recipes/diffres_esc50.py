"""Tables 1 and 2 of DiffRes on ESC-50, five folds: fewer frames per second, and shorter hops at 100 of them.

    python recipes/diffres_esc50.py --data ESC-50 --seeds 3 --output runs/diffres_esc50
    python recipes/diffres_esc50.py --data ESC-50 --table 2 --hop-milliseconds 3 1 --output runs/diffres_esc50_hops
    python recipes/diffres_esc50.py --data ../shared/data/esc50 --test-folds 4 --weights none --epochs 10 \\
        --methods average diffres --fps 25

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Tables 1 and 2, three runs each.
Settings: section 3 and Tables 4 and 5 (`diffres_plans.PLANS`), what they do not state from PSLA (docs/efficientnet.md):
    EfficientNet-B2 with four heads of attention and weights from ImageNet, log-mel of 128 bands every 10 ms at 16 kHz,
    clips filled up with silence, SpecAugment, mixup of half of the clips, Adam with a warm-up of 1000 steps.
    `--weights` takes a file where there is no network, or none for random ones.
Validation: the paper does not say how it chose the epoch. Here 15 % of the training recordings of every class choose
    it, and the test fold is looked at once, at the end.

Expect, from the paper (accuracy in %):

    Table 1       hop  average  conv-average  diffres     Table 2, 100 FPS
    none, 100                                    85.2     hop of 10 ms    85.2
    75 FPS       84.9     85.2          81.8     86.8     hop of 6 ms     87.2
    50 FPS       82.4     83.2          77.3     85.5     hop of 3 ms     88.0
    25 FPS       74.6     75.6          72.4     82.9     hop of 1 ms     88.4

    What came of it here is in RESULTS.md.
Cost: 13 rows of Table 1, each five folds of 80 epochs: a GPU's job. What frames cost: `keras-audio-si bench diffres`.
Gives: rows.csv and rows.md, diffres.png (guide loss, activeness and validation of the rows with DiffRes, Figs. 6 and
    7), and for each row runs.csv, table.csv, table.md, learning_curves.png and, for each fold and seed, model.keras,
    log.csv, tensorboard/ and, with DiffRes, scores.gif (the scores of three validation clips after every epoch).
    `keras-audio-si plot diffres MODEL FILE` draws what a model makes of a file (Fig. 4).
"""

import argparse
import sys

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import (
    BACKBONES,
    METHODS,
    DiffResExperiment,
    compare,
)
from keras_audio_si.diffres_plans import PLANS
from keras_audio_si.diffres_tables import PAPER_RESULTS, rows_of_table_1, rows_of_table_2
from keras_audio_si.evaluation.report import format_text

SETTINGS = DiffResExperiment(PLANS["esc50"])


def main(args):
    settings = cli.changed_settings(args, args.settings)
    if args.table == 1:
        rows = rows_of_table_1(settings, args.methods, args.fps)
    else:
        rows = rows_of_table_2(settings, [hop / 1000 for hop in args.hop_milliseconds])
    rows = {name: row for name, row in rows.items() if args.baseline or row.method != "none"}
    print_table(compare(rows, paper=PAPER_RESULTS[settings.plan.layout], **cli.folds_of(args)), args.output)


def print_table(table, folder):
    """Prints the table of `compare` and where its report is."""
    print(f"\n{format_text(table)}\n\nReport: {folder}/ (rows.csv, rows.md, diffres.png)")


def table_parser(description, settings, output):
    """The parser of the recipes of Tables 1 and 2."""
    parser = parser_of(description, settings, output)
    add = parser.add_argument_group("rows").add_argument
    add("--table", type=int, choices=(1, 2), default=1, help="fewer frames, or shorter hops at 100 FPS (1)")
    rates = [75, 50, 25, 15] if settings.plan.layout == "fsd50k" else [75, 50, 25]
    add("--fps", nargs="+", type=float, default=rates, metavar="N", help=f"frames per second ({rates})")
    methods = [method for method in METHODS if method != "none"]
    add("--methods", nargs="+", choices=methods, default=methods, metavar="NAME", help=f"some of {', '.join(methods)}")
    add("--hop-milliseconds", nargs="+", type=float, default=[10, 6, 3, 1], metavar="X", help="hops (10 6 3 1)")
    add("--baseline", action=argparse.BooleanOptionalAction, default=True, help="the row at 100 FPS too (yes)")
    return parser


def parser_of(description, settings, output):
    """The parser of all recipes of DiffRes."""
    parser, group = cli.recipe_parser(description, output)
    parser.set_defaults(settings=settings)
    add = group.add_argument
    add("--backbone", metavar="NAME", help=f"{', '.join(BACKBONES)} ({settings.backbone})")
    add("--width", type=float, metavar="X", help="factor on the filters of vgg41 (1)")
    add("--weights", type=_name_or_none, metavar="FILE", help=f"imagenet, a file, or none ({settings.weights})")
    add("--batch-norm-momentum", type=float, metavar="X", help="a training of few steps wants 0.9 (the network's)")
    add("--spec-augment", action=argparse.BooleanOptionalAction, help="mask bands and frames in training")
    add("--masked", action=argparse.BooleanOptionalAction, help="padding gets no frames (no)")
    add("--guide-form", metavar="NAME", help="of the guide loss and the activeness: paper or released (paper)")
    add("--mixup-alpha", type=cli.number_or_none, metavar="X", help="of the Beta distribution, or none for no mixing")
    add("--epochs", type=int, metavar="N", help="number of epochs")
    add("--batch-size", type=int, metavar="N", help="clips per batch")
    add("--learning-rate", type=float, metavar="X", help="after the warm-up")
    add("--warm-up-steps", type=int, metavar="N", help="steps that it takes, by fifties; 0 for none (1000)")
    add("--decay-start-epoch", type=int, metavar="N", help="first epoch, from 0, with a lower rate")
    add("--mixed-precision", metavar="TYPE", help="bfloat16 or float16 (float32 throughout)")
    return parser


def _name_or_none(text):
    return None if text == "none" else text


if __name__ == "__main__":
    sys.exit(cli.guarded(main, table_parser(__doc__, SETTINGS, "runs/diffres_esc50").parse_args()))
