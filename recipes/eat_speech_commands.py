"""Table 4: EAT on Speech Commands V2, 35 words, the official lists.

    python recipes/eat_speech_commands.py --data speech_commands_v0.02 --output runs/eat_speech_commands
    python recipes/eat_speech_commands.py --data ../shared/data/speech_commands_v2 --background-noise \\
        --epochs 60 --batch-size 32 --learning-rate 2e-3 --ema-decay none --channels 8 --transformer-layers 2

Paper: Gazneli et al.: End-to-End Audio Strikes Back, 2022. Table 4 and section 4.3.
Settings: as eat_esc50.py, but clips of 1 s at 16 kHz (16384 samples of the network, factors 4 4 4) and 1500 epochs.
    Whatever words are there are the classes. `--background-noise` mixes in what comes with the data, at 0 to 30 dB,
    to half of the clips; the paper does not mention it.
Validation and test: the official lists.

Expect, from the paper: 98.15 % (EAT-S, 35 words). What came of it here is in RESULTS.md.
Cost: 663 steps of 128 clips in an epoch, a million steps at 1500 epochs: a GPU's job.
    The second command: 12 minutes on two cores.
Gives: as eat_esc50.py.
"""

import argparse
import functools
import sys

from eat_esc50 import main, parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.eat_experiment import EATExperiment

SETTINGS = EATExperiment(sample_rate=16000, input_length=16384, factors=(4, 4, 4)).changed(epochs=1500, batch_size=128)

if __name__ == "__main__":
    parser = parser_of(__doc__, "runs/eat_speech_commands")
    parser.add_argument(
        "--background-noise", action="store_true", default=argparse.SUPPRESS, help="mix _background_noise_ in"
    )
    sys.exit(cli.guarded(functools.partial(main, defaults=SETTINGS), parser.parse_args()))
