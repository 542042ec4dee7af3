"""The pooling mechanisms of Tables I to III on ESC-50, one row per `--variant`.

    python recipes/shift_invariance_esc50.py --data ../shared/data/esc50 --train-folds 1 2 3 --test-folds 4 \\
        --variant baseline tlpf5+aps --epochs 10 --learning-rate 1e-3 --batch-norm-momentum 0.9 --batch-size 32 \\
        --output runs/esc50

Paper: Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
    Neural Networks, 2021. Its data are FSD50K (200 classes); ESC-50 has 50 classes and 2000 clips of 5 s in 5 folds,
    so its figures are a guide to the order of the rows, not to their values.
Settings: the paper's, section III, unless given, and options as in shift_invariance_fsd50k.py. They are made for
    40,000 clips; on ESC-50 a higher learning rate and a lower momentum of the batch normalisation (as above) arrive
    sooner. Use `--seeds 3` for mean and deviation.
Validation: `--validation-folds`, or 15 % of the training clips of every class, recordings never divided.

Expect the order of the paper's rows, which shift_invariance_fsd50k.py lists. What came of it here, with command and
    seeds, is in RESULTS.md.
Cost: the command above, on the ten ESC-10 classes (320 clips), 18 minutes on two cores. What a training step takes:
    `keras-audio-si bench models`.
"""

import sys

from shift_invariance_fsd50k import main, parser_of

from keras_audio_si.cli import main as cli

if __name__ == "__main__":
    sys.exit(cli.guarded(main, parser_of(__doc__, output="runs/esc50").parse_args()))
