"""Table 5: EAT on AudioSet, 527 classes, from the published lists of segments.

    python recipes/eat_audioset.py --data audioset --layout audioset_balanced --output runs/eat_audioset_balanced
    python recipes/eat_audioset.py --data audioset --size medium --mixed-precision bfloat16    # both lists, EAT-M
    python recipes/eat_audioset.py --data ../shared/data/audioset --epochs 2 --ema-decay none --batch-size 8

Paper: Gazneli et al.: End-to-End Audio Strikes Back, 2022. Table 5 and section 4.4. The pre-training of
    eat_finetune.py.
Settings: section 4.4 and the released code: batches of 208 clips of 10 s at 22.05 kHz (221184 samples of the
    network), 250 epochs, binary cross-entropy, class-balanced sampling, no noise among the augmentations since noises
    are classes.
Data: the lists, class_labels_indices.csv, and files that begin with the ids of the videos, anywhere below the folder.
    Videos that are gone are tolerated and counted: on stderr, in left_out.csv with the file that was looked for, and
    by number in runs.csv. The layout "audioset" trains on the balanced and the unbalanced list,
    "audioset_balanced" and "audioset_unbalanced" on one of them; the eval list is the test.
Validation: 5 % of the training clips. The paper does not say how it chose the epoch.

Expect, from the paper: mAP 0.405 (EAT-S) and 0.426 (EAT-M), trained on two million clips; no figure for the balanced
    list alone. What came of it here is in RESULTS.md.
Cost: all decoded clips lie on disk in float32, 0.9 MB each: 18 GB for the balanced list, 1.8 TB for all. About 9600
    steps of 208 clips in an epoch of all: several GPUs' job.
Gives: as eat_esc50.py.
"""

import functools
import sys

from eat_esc50 import main, parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.eat_experiment import EATExperiment

SETTINGS = EATExperiment(input_length=221184, noise=False, sampling="class_balanced", validation_split=0.05).changed(
    loss="bce", label_smoothing=0.0, monitor="val_mAP", epochs=250, batch_size=208
)

if __name__ == "__main__":
    args = parser_of(__doc__, "runs/eat_audioset").parse_args()
    sys.exit(cli.guarded(functools.partial(main, defaults=SETTINGS), args))
