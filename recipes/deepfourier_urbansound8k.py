"""PiczakNet, HeuriNet and MSTNet on UrbanSound8K: the split of the paper, or all ten folds.

    python recipes/deepfourier_urbansound8k.py --data UrbanSound8K --output runs/deepfourier
    python recipes/deepfourier_urbansound8k.py --data UrbanSound8K --all-folds --output runs/deepfourier_folds
    python recipes/deepfourier_urbansound8k.py --data ../shared/data/urbansound8k --dense-units 50 --batch-size 20 \\
        --first-epochs 2 --forcing-epochs 1 --epochs 1 --random-epochs 2 --short repeat --output runs/deepfourier_tiny

Paper: Jüttner, Belgrano, Semság, Demortain: DeepFourier: Classifying Sound with Convolutional Neural Networks. Sections
    1.3 and 3, Figs. 2 to 4.
Settings: as icebreaker_vs_random.py. The folds 1 to 8 train, 9 validates, 10 tests, as released. With `--all-folds`
    each fold is the test once, and the one before it validates; segments of a fold never leave it.

Expect, from the paper: about 60 % balanced accuracy of single segments (PiczakNet; mean over ten folds in Fig. 2), and
    "comparable" for both networks through the IceBreaker. What came of it here is in RESULTS.md.
Cost: 8732 clips are some 50000 segments. A GPU's job; ten times that with `--all-folds`.
Gives: as icebreaker_vs_random.py. With `--all-folds` the table has means and deviations over the folds, and the
    confusion matrices are those of all folds together, as in Fig. 2.
"""

import functools
import sys

from icebreaker_vs_random import main, parser_of

from keras_audio_si.cli import main as cli
from keras_audio_si.data.splits import assign_splits
from keras_audio_si.deep_fourier_experiment import rotations


def divide(manifest, args, share):
    if args.all_folds:
        if args.train_folds or args.validation_folds or args.test_folds:
            raise ValueError("--all-folds leaves no folds to choose: leave the other options of folds out.")
        return rotations(manifest)
    folds = args.train_folds or range(1, 9), args.validation_folds or [9], args.test_folds or [10]
    return {"test": assign_splits(manifest, *folds, share)}


if __name__ == "__main__":
    parser = parser_of(__doc__, "runs/deepfourier_urbansound8k")
    parser.add_argument("--all-folds", action="store_true", help="each fold is the test once (fold 10 alone)")
    sys.exit(cli.guarded(functools.partial(main, divide=divide), parser.parse_args()))
