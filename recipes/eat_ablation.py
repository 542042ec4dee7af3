"""Table 6: what the mixings (a) and the parts of the network (b) contribute on ESC-50.

    python recipes/eat_ablation.py --data ESC-50 --output runs/eat_ablation                 # both tables, seed 0
    python recipes/eat_ablation.py --data ESC-50 --table a --seeds 3 --output runs/eat_ablation_a
    python recipes/eat_ablation.py --data ../shared/data/esc50 --test-folds 4 \\
        --epochs 30 --ema-decay none --batch-size 32

Paper: Gazneli et al.: End-to-End Audio Strikes Back, 2022. Table 6. Its rows add up: each has what those above it
    have.
Settings: as eat_esc50.py. Table a keeps the other augmentations in all rows. The baseline of table b has common
    residual blocks, without dilation, and a convolution with a mean over time in place of the transformer.

Expect, from the paper (accuracy in %, five folds):

    (a) no mixing  83.0     (b) common blocks        80.5
        + mixup    86.5         + modified blocks    82.3
        + timemix  87.0         + dilated blocks     88.8
        + freqmix  90.1         + transformer        90.8
        + phasemix 91.0

    The last rows of both are the whole of it, for which Table 2 has 92.15. What came of it here is in RESULTS.md.
Cost: nine times eat_esc50.py.
Gives: rows.csv and rows.md, and for each row the report of eat_esc50.py in a folder.
"""

import sys

from eat_esc50 import parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.eat_experiment import MIXINGS, EATExperiment, run_rows
from keras_audio_si.evaluation.report import format_text

SETTINGS = EATExperiment().changed(epochs=3500, batch_size=128)
TABLES = {
    "a": {f"a{number} {('no mixing', *MIXINGS)[number]}": {"mixings": MIXINGS[:number]} for number in range(5)},
    "b": {
        "b0 common blocks": {"residual": "common", "aggregation": "convolution"},
        "b1 modified blocks": {"residual": "modified", "aggregation": "convolution"},
        "b2 dilated blocks": {"residual": "dilated", "aggregation": "convolution"},
        "b3 transformer": {"residual": "dilated", "aggregation": "transformer"},
    },
}
PAPER = dict(
    zip(
        [name for rows in TABLES.values() for name in rows],
        (83, 86.5, 87, 90.1, 91, 80.5, 82.3, 88.8, 90.8),
        strict=True,
    )
)


def main(args):
    settings = cli.changed_settings(args, SETTINGS)
    rows = {name: settings.changed(**change) for table in args.table for name, change in TABLES[table].items()}
    table = run_rows(rows, paper=PAPER, **cli.folds_of(args))
    print(f"\n{format_text(table)}\n\nReport: {args.output}/ (rows.csv, rows.md)")


if __name__ == "__main__":
    parser = parser_of(__doc__, "runs/eat_ablation")
    parser.add_argument("--table", nargs="+", default=list(TABLES), choices=list(TABLES), help="a, b or both (both)")
    sys.exit(cli.guarded(main, parser.parse_args()))
