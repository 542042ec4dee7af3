"""Table 1 of DiffRes on FSD50K: clips of 0.3 to 30 s, 200 classes, mAP.

    python recipes/diffres_fsd50k.py --data FSD50K --seeds 3
    python recipes/diffres_fsd50k.py --data FSD50K --masked --methods diffres average
    python recipes/diffres_fsd50k.py --data ../shared/data/fsd50k --masked @FSD@

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Table 1, three runs each.
Settings: as diffres_esc50.py. Classes are re-balanced by the sample weights of PSLA. Clips are filled up with silence
    to 30 s, which DiffRes learns to skip; with `--masked` padding gets no frames at all, and each clip keeps its rate.
Validation and test: the published sets. By design some uploaders lie in train and val.

Expect, from the paper (mAP in %):

    Table 1       hop  average  conv-average  diffres
    none, 100                                    55.6
    75 FPS       54.8     55.3          54.4     57.1
    50 FPS       53.3     54.5          52.2     57.2
    25 FPS       48.9     51.4          49.2     56.9
    15 FPS                                       55.6

    What came of it here is in RESULTS.md.
Cost: 2454 steps of 15 clips in an epoch, 40 epochs a run: a GPU's job.
Gives: as diffres_esc50.py.
"""

import sys

from diffres_esc50 import main, table_parser

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import DiffResExperiment
from keras_audio_si.diffres_plans import PLANS

SETTINGS = DiffResExperiment(PLANS["fsd50k"])

if __name__ == "__main__":
    sys.exit(cli.guarded(main, table_parser(__doc__, SETTINGS, "runs/diffres_fsd50k").parse_args()))
