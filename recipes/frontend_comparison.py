"""Table 3 of DiffRes: log-mel, TD-filterbanks, SincNet's filters and LEAF, each followed by DiffRes or not.

    python recipes/frontend_comparison.py --data speech_commands_v0.02 --plan speech_commands --seeds 3
    python recipes/frontend_comparison.py --data AudioSet --plan audioset --seeds 3
    python recipes/frontend_comparison.py --data ../shared/data/speech_commands_v2 --plan speech_commands \\
        --backbone vgg41 --width 0.25 --batch-norm-momentum 0.9 --epochs 10 --rows mel "mel, diffres"

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Table 3, three runs each; its conditions are those of Zeghidour et al., LEAF, 2021.
Settings: as diffres_esc50.py, but EfficientNet-B0 with random weights and 40 bands, without SpecAugment and mixup; for
    AudioSet 64 bands, and with both. 100 frames per second everywhere. The paper does not say which hop DiffRes has
    there: at 10 ms it would have nothing to reduce, so rows with DiffRes have the best hop of Table 2, 6 ms for
    AudioSet and 3 ms else. "mel, diffres, best" has the conditions of Tables 1 and 2 as well. Rows with
    DiffRes behind a learned front-end are not in the paper.

Expect, from the paper (AudioSet: ROC AUC in %; else accuracy in %):

    row                  AudioSet  Speech Commands  NSynth
    mel                      96.8             93.6    70.7
    td-fbank                 96.5             89.5    66.3
    sincnet                  96.1             91.4    67.4
    leaf                     96.8             93.6    70.2
    mel, diffres             97.0             95.4    78.5
    mel, diffres, best       97.5             97.9    81.8

    What came of it here is in RESULTS.md.
Cost: as diffres_speech_commands.py, diffres_audioset.py and diffres_nsynth.py. What front-ends cost beside each other:
    docs/front-ends.md.
Gives: as diffres_esc50.py.
"""

import sys

from diffres_esc50 import parser_of, print_table

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import FRONT_ENDS, DiffResExperiment, compare
from keras_audio_si.diffres_plans import PLANS
from keras_audio_si.diffres_tables import PAPER_FRONT_ENDS

HOPS = {"audioset": 0.006, "speech_commands": 0.003, "nsynth": 0.003}
ROWS = [f"{front_end}{diffres}" for diffres in ("", ", diffres") for front_end in FRONT_ENDS] + ["mel, diffres, best"]
BEST = "best"
SETTINGS = DiffResExperiment(PLANS["speech_commands"], backbone="efficientnet-b0", weights=None, spec_augment=False)


def rows_of(args):
    """The rows by name; what the arguments set counts in all of them."""
    plan = PLANS[args.plan_name]
    conditions = {"plan": plan.changed(num_mels=64), "spec_augment": True}
    if args.plan_name != "audioset":
        conditions = {"plan": plan.changed(num_mels=40), "mixup_alpha": None}
    rows = {}
    for name in args.rows:
        front_end, *followed = name.split(", ")
        settings = DiffResExperiment(plan) if BEST in followed else SETTINGS.changed(**conditions)
        settings = settings.changed(front_end=front_end, method="none", frames_per_second=100)
        if followed:
            plan_with_hop = settings.plan.with_hop(HOPS[args.plan_name])
            settings = settings.changed(plan=plan_with_hop, method="diffres")
        rows[name] = cli.changed_settings(args, settings)
    return rows


def main(args):
    paper = {name: values[args.plan_name] for name, values in PAPER_FRONT_ENDS.items()}
    quantities = ("ROC AUC", "mAP") if args.plan_name == "audioset" else None
    print_table(compare(rows_of(args), paper=paper, quantities=quantities, **cli.folds_of(args)), args.output)


if __name__ == "__main__":
    parser = parser_of(__doc__, SETTINGS, "runs/frontend_comparison")
    add = parser.add_argument
    add(
        "--plan", dest="plan_name", default="speech_commands", choices=list(HOPS), help="the data set (speech_commands)"
    )
    add("--rows", nargs="+", default=ROWS, choices=ROWS, metavar="NAME", help="some of the rows (all)")
    sys.exit(cli.guarded(main, parser.parse_args()))
