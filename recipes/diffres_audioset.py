"""Tables 1 and 2 of DiffRes on AudioSet: 527 classes, mAP.

    python recipes/diffres_audioset.py --data AudioSet --seeds 3
    python recipes/diffres_audioset.py --data AudioSet --table 2

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Tables 1 and 2, three runs each.
Settings: as diffres_esc50.py. Classes are re-balanced by the sample weights of PSLA.
Validation: 15 % of the training segments choose the epoch, of the classes alike; the test is the evaluation segments.
    Segments that are missing are left out and counted.

Expect, from the paper (mAP in %):

    Table 1       hop  average  conv-average  diffres     Table 2, 100 FPS
    none, 100                                    43.7     hop of 10 ms    43.7
    75 FPS       42.7     43.6          43.5     44.2     hop of 6 ms     44.1
    50 FPS       41.8     42.4          42.7     43.6     hop of 3 ms     43.8
    25 FPS       38.6     39.9          40.1     41.7     hop of 1 ms     43.7

    What came of it here is in RESULTS.md.
Cost: 87,000 steps of 22 clips in an epoch, 30 epochs a run, on four GPUs in the paper.
Gives: as diffres_esc50.py.
"""

import sys

from diffres_esc50 import main, table_parser

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import DiffResExperiment
from keras_audio_si.diffres_plans import PLANS

SETTINGS = DiffResExperiment(PLANS["audioset"])

if __name__ == "__main__":
    sys.exit(cli.guarded(main, table_parser(__doc__, SETTINGS, "runs/diffres_audioset").parse_args()))
