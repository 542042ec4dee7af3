"""Tables 1 and 2 of DiffRes on Speech Commands V2, 35 words, the official lists.

    python recipes/diffres_speech_commands.py --data speech_commands_v0.02 --seeds 3
    python recipes/diffres_speech_commands.py --data speech_commands_v0.02 --table 2
    python recipes/diffres_speech_commands.py --data ../shared/data/speech_commands_v2 @NARROW@

Paper: Liu, Liu, Kong, Wang, Plumbley: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022.
    Tables 1 and 2, three runs each.
Settings: as diffres_esc50.py. Whatever words are there are the classes.
Validation and test: the official lists.

Expect, from the paper (accuracy in %):

    Table 1       hop  average  conv-average  diffres     Table 2, 100 FPS
    none, 100                                    97.2     hop of 10 ms    97.2
    75 FPS       96.8     96.9          97.0     97.2     hop of 6 ms     97.6
    50 FPS       96.1     96.0          96.0     96.7     hop of 3 ms     97.9
    25 FPS       93.5     94.9          95.8     95.0     hop of 1 ms     97.8

    What came of it here is in RESULTS.md.
Cost: 663 steps of 128 clips in an epoch, 60 epochs a run: a GPU's job. The last command: @MINUTES@ on two cores.
Gives: as diffres_esc50.py.
"""

import sys

from diffres_esc50 import main, table_parser

from keras_audio_si.cli import main as cli
from keras_audio_si.diffres_experiment import DiffResExperiment
from keras_audio_si.diffres_plans import PLANS

SETTINGS = DiffResExperiment(PLANS["speech_commands"])

if __name__ == "__main__":
    sys.exit(cli.guarded(main, table_parser(__doc__, SETTINGS, "runs/diffres_speech_commands").parse_args()))
