"""Table 7: what a network hears of a sound from its phase alone, its magnitude alone, or both.

    python recipes/phase_information.py --data ESC-50 --output runs/phase_information
    python recipes/phase_information.py --data ../shared/data/esc50 --test-folds 4 \\
        --epochs 30 --ema-decay none --batch-size 32

Paper: Gazneli et al.: End-to-End Audio Strikes Back, 2022. Appendix A and Table 7.
Settings: as eat_esc50.py, without noise and mixings, as the paper says. The waveforms of phase and magnitude are
    those of `layers.PhaseWaveform`, computed inside the model, after the augmentation; "both" are its two channels.
    The paper does not say which window and step it used; ours are the layer's.

Expect, from the paper (accuracy in %, five folds): phase 60, magnitude 78.5, both 80.5, waveform 81. What came of it
    here is in RESULTS.md.
Cost: four times eat_esc50.py.
Gives: rows.csv and rows.md, and for each row the report of eat_esc50.py in a folder.
"""

import sys

from eat_esc50 import parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.eat_experiment import EATExperiment, run_rows
from keras_audio_si.evaluation.report import format_text

SETTINGS = EATExperiment(noise=False, mixings=()).changed(epochs=3500, batch_size=128)
PAPER = {"phase": 60.0, "magnitude": 78.5, "both": 80.5, "waveform": 81.0}


def main(args):
    settings = cli.changed_settings(args, SETTINGS)
    rows = {content: settings.changed(content=content) for content in PAPER}
    table = run_rows(rows, paper=PAPER, **cli.folds_of(args))
    print(f"\n{format_text(table)}\n\nReport: {args.output}/ (rows.csv, rows.md)")


if __name__ == "__main__":
    parser = parser_of(__doc__, "runs/phase_information")
    sys.exit(cli.guarded(main, parser.parse_args()))
