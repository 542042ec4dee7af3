"""Tables 1 and 2 of DiffRes on NSynth, the 11 instrument families.

    python recipes/diffres_nsynth.py --data nsynth --seeds 3
    python recipes/diffres_nsynth.py --data nsynth --table 2

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Tables 1 and 2, three runs each.
Settings: as diffres_esc50.py.
Validation and test: the published sets "valid" and "test". The 12,678 test examples of the paper are as many as "valid"
    has; it does not say which set chose the epoch.

Expect, from the paper (accuracy in %):

    Table 1       hop  average  conv-average  diffres     Table 2, 100 FPS
    none, 100                                    79.9     hop of 10 ms    79.9
    75 FPS       79.8     79.6          79.7     80.8     hop of 6 ms     81.3
    50 FPS       79.9     79.5          79.4     81.0     hop of 3 ms     81.8
    25 FPS       79.7     78.3          78.0     80.5     hop of 1 ms     80.6

    What came of it here is in RESULTS.md.
Cost: 6026 steps of 48 clips in an epoch, 30 epochs a run: a GPU's job.
Gives: as diffres_esc50.py.
"""

import sys

from diffres_esc50 import main, table_parser

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import DiffResExperiment
from keras_audio_si.diffres_plans import PLANS

SETTINGS = DiffResExperiment(PLANS["nsynth"])

if __name__ == "__main__":
    sys.exit(cli.guarded(main, table_parser(__doc__, SETTINGS, "runs/diffres_nsynth").parse_args()))
