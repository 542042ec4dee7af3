"""Fig. 8 of DiffRes, what its parts contribute, and appendix A.2, a wider receptive field for short hops.

    python recipes/diffres_ablation.py --data AudioSet --output runs/diffres_ablation
    python recipes/diffres_ablation.py --data ESC-50 --plan esc50 --rows "hop of 1 ms" "hop of 1 ms, dilated"
    python recipes/diffres_ablation.py --data ../shared/data/speech_commands_v2 --plan speech_commands \\
        --backbone vgg41 --width 0.25 --batch-norm-momentum 0.9 --epochs 10

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Fig. 8 and section 3.3, on AudioSet; appendix A.2.
Settings: as diffres_audioset.py (or as of `--plan`), 25 frames per second of 100. The last two rows have 100 of 1000, a
    hop of 1 ms: the importance network sees 41 frames, with dilations 1 2 4 8 16 (`--dilations`) 249.

Expect, from the paper (section 3.3): without the guide loss the activeness becomes very high and the mAP worse; without
    the encoding both curves stay and 1.15 % of mAP are lost; without the maximum both activeness and mAP degrade;
    without Algorithm 1 the activeness becomes small. No numbers but this one. What came of it here is in RESULTS.md.
Cost: seven times a row of diffres_audioset.py, the last two with ten times the frames.
Gives: as diffres_esc50.py; diffres.png is Fig. 8.
"""

import sys

from diffres_esc50 import parser_of, print_table

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import DiffResExperiment, compare
from keras_audio_si.diffres_plans import PLANS

DILATIONS = (1, 2, 4, 8, 16)
CHANGES = {
    "proposed": {},
    "without guide loss": {"guide_weight": 0.0},
    "without encoding": {"resolution_encoding": False},
    "without maximum": {"aggregations": ("mean",)},
    "without Algorithm 1": {"even": False},
}
ROWS = [*CHANGES, "hop of 1 ms", "hop of 1 ms, dilated"]


def rows_of(args):
    """The rows by name."""
    settings = cli.changed_settings(args, args.settings.changed(plan=PLANS[args.plan_name]))
    short = settings.changed(plan=settings.plan.with_hop(0.001), frames_per_second=100)
    rows = {name: settings.changed(**change) for name, change in CHANGES.items()}
    rows |= {"hop of 1 ms": short, "hop of 1 ms, dilated": short.changed(dilations=args.wider)}
    return {name: rows[name] for name in args.rows}


def main(args):
    print_table(compare(rows_of(args), paper={}, **cli.folds_of(args)), args.output)


if __name__ == "__main__":
    parser = parser_of(__doc__, DiffResExperiment(PLANS["audioset"]), "runs/diffres_ablation")
    add = parser.add_argument
    add("--plan", dest="plan_name", default="audioset", choices=list(PLANS), help="the data set (audioset)")
    add("--rows", nargs="+", default=ROWS, choices=ROWS, metavar="NAME", help=f"some of {', '.join(ROWS)} (all)")
    add("--dilations", dest="wider", nargs=5, type=int, default=DILATIONS, metavar="N", help="of the last row")
    sys.exit(cli.guarded(main, parser.parse_args()))
