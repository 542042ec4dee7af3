"""Table 3: EAT on UrbanSound8K, ten folds.

    python recipes/eat_urbansound8k.py --data UrbanSound8K --output runs/eat_urbansound8k
    python recipes/eat_urbansound8k.py --data ../shared/data/urbansound8k --test-folds 10 \\
        --epochs 2 --ema-decay none --batch-size 8

Paper: Gazneli et al.: End-to-End Audio Strikes Back, 2022. Table 3 and section 4.2.
Settings: as eat_esc50.py; clips at 22.05 kHz, shorter ones filled up with silence to 4 s (90112 samples of the
    network).
Validation: 15 % of the training recordings, of each fold's other nine.

Expect, from the paper: 85.5 % (EAT-S without pre-training, mean over the ten official folds). What came of it here is
    in RESULTS.md.
Cost: 53 steps of 128 clips in an epoch, 186000 steps a fold at 3500 epochs: a GPU's job.
Gives: as eat_esc50.py.
"""

import functools
import sys

from eat_esc50 import main, parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.eat_experiment import EATExperiment

SETTINGS = EATExperiment(input_length=90112, short="zero").changed(epochs=3500, batch_size=128)

if __name__ == "__main__":
    args = parser_of(__doc__, "runs/eat_urbansound8k").parse_args()
    sys.exit(cli.guarded(functools.partial(main, defaults=SETTINGS), args))
