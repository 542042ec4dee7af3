"""Tables 2 and 3, pre-trained rows: a trained EAT, such as one of AudioSet, for other classes.

    python recipes/eat_finetune.py --pretrained runs/eat_audioset/model.keras --data ESC-50 --output runs/eat_finetune
    python recipes/eat_finetune.py --pretrained model.keras --data ../shared/data/esc50 --test-folds 4 --epochs 5

Paper: Gazneli et al.: End-to-End Audio Strikes Back, 2022. Tables 2 and 3, rows with pre-training on AudioSet.
Settings: the last layer is new, everything else begins as it was trained, and all of it is trained on. The length of
    the clips is that of ESC-50; positions are interpolated from the one that the network was trained with. The paper
    does not give the settings of its fine-tuning: ours are those of eat_esc50.py with a fifth of the learning rate,
    100 epochs and no averages. For UrbanSound8K: `--input-length 90112`.
    A released checkpoint becomes a model.keras by `keras-audio-si import-weights eat`.

Expect, from the paper: ESC-50 95.25 % (EAT-S) and 96.3 % (EAT-M), UrbanSound8K 88.1 % and 90 %. What came of it here
    is in RESULTS.md.
Cost: 11 steps of 128 clips in an epoch of ESC-50, 1100 steps a fold.
Gives: as eat_esc50.py.
"""

import functools
import sys

from eat_esc50 import main, parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.eat_experiment import EATExperiment

SETTINGS = EATExperiment().changed(learning_rate=1e-4, epochs=100, batch_size=128, ema_decay=None)

if __name__ == "__main__":
    parser = parser_of(__doc__, "runs/eat_finetune")
    parser.add_argument("--pretrained", required=True, metavar="FILE", help="a .keras file")
    sys.exit(cli.guarded(functools.partial(main, defaults=SETTINGS), parser.parse_args()))
