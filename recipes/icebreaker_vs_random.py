"""Fig. 4: HeuriNet and MSTNet from random weights and through the IceBreaker beside PiczakNet, and MelConvNet.

    python recipes/icebreaker_vs_random.py --data UrbanSound8K --train-folds 1 2 3 4 5 6 7 8 --validation-folds 9 \\
        --test-folds 10 --output runs/icebreaker
    python recipes/icebreaker_vs_random.py --data ../shared/data/esc50 --train-folds 1 2 3 --test-folds 4 \\
        --dense-units 500 --batch-size 100 --gradient-clip-norm 3 --forcing-form centred \\
        --heuri-learning-rate 0.03 --mst-learning-rate 0.03 --first-epochs 80 --forcing-epochs 15 --epochs 15 \\
        --random-epochs 45 --output runs/icebreaker_esc10

Paper: Jüttner, Belgrano, Semság, Demortain: DeepFourier: Classifying Sound with Convolutional Neural Networks. Section
    2.3, Figs. 3 and 4; MelConvNet is the network of its hypothesis H2 (section 5).
Settings: sections 2.2 and 2.3: SGD with Nesterov momentum 0.9, batches of 1000 segments, 300 epochs of PiczakNet alone,
    100 of each further phase; 2e-3, and 5e-3 with gradients clipped to 3 for MSTNet. The paper states neither the
    epochs from random weights nor those of spectrogram forcing: here they are 300 and 50. As released the segments are
    scaled by the peak of their clip and forcing has its target in [0, 1]; `--peak-of patch --forcing-form centred` is
    what the paper says. MelConvNet has the settings of HeuriNet and the clipping of MSTNet.
    The second command is for some hundred clips: dense layers of 500 units in place of 5000, and steps enough by
    small batches. In so few steps PiczakNet learns next to nothing on decibels unless its gradients are clipped, nor on
    spectrograms in [0, 1] (docs/juettner.md).
Validation: the epoch of the highest balanced accuracy of segments, on the validation folds or, without any, on 15 % of
    the training recordings. The test folds are looked at once, at the end of each row.

Expect, from the paper (one run, balanced accuracy of single segments of UrbanSound8K): about 60 % for PiczakNet, "a
    performance comparable" for both networks through the IceBreaker and for HeuriNet from random weights, less for
    MSTNet from random weights. Piczak's own network has about 70 % by votes of segments. What came of it here is in
    RESULTS.md.
Cost: an epoch of 1600 segments on two cores, dense layers of 500: 1 s for PiczakNet, 6 to 8 s for the others; the
    second command about 40 minutes. On UrbanSound8K an epoch has some 30 times as many segments: a GPU's job.
Gives: rows.csv and rows.md (balanced accuracy per segment, per clip by votes and by mean scores, parameters, epochs,
    seconds), bars.png (Fig. 4), curves.png (Fig. 3), and in rows/ the confusion matrices and curves of each row, all of
    it after each row; left_out.csv where clips are missing; and for each stage of each row model.keras, log.csv,
    tensorboard/ and test.json.
"""

import sys

from keras_audio_si.cli import main as cli
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.data.splits import assign_splits
from keras_audio_si.deep_fourier_experiment import ROWS, DeepFourierExperiment, compare_rows
from keras_audio_si.evaluation.report import format_text
from keras_audio_si.models.deep_fourier import SAMPLE_RATE

SETTINGS = DeepFourierExperiment()


def single_split(manifest, args, share):
    """Folds as the arguments say, or the splits that the clips come with."""
    return {"test": assign_splits(manifest, args.train_folds, args.validation_folds, args.test_folds, share)}


def main(args, divide=single_split):
    settings = cli.changed_settings(args, SETTINGS)
    cache = ClipCache.build(read_dataset(args.data, args.layout), SAMPLE_RATE, args.cache_dir)
    divisions = divide(cache.manifest, args, settings.validation_split)
    table = compare_rows(settings, divisions, cache, args.output, **cli.saving_of(args))
    print(f"\n{format_text(table)}\n\nReport: {args.output}/ (rows.csv, rows.md, bars.png, curves.png, rows/)")


def parser_of(description, output):
    """The parser of both recipes of juettner."""
    parser, group = cli.recipe_parser(description, output)
    parser.set_defaults(train_folds=None, test_folds=None)
    add = group.add_argument
    add("--validation-folds", nargs="+", type=int, default=None, metavar="N", help="folds to choose epochs by")
    add("--rows", nargs="+", metavar="NAME", choices=ROWS, help=f"some of: {', '.join(map(repr, ROWS))} (all)")
    add("--peak-of", metavar="NAME", help="what segments are scaled by: clip (released) or patch (paper) (clip)")
    add("--short", metavar="NAME", help="clips shorter than a segment: drop, zero or repeat (drop)")
    add("--silence-decibels", type=cli.number_or_none, metavar="X", help="level of silence, or none (-70)")
    add("--sampling", metavar="NAME", help="once, or class_balanced for oversampled batches (once)")
    add("--dense-units", type=int, metavar="N", help="units of the dense layers (5000)")
    add("--first-epochs", type=int, metavar="N", help="epochs of PiczakNet alone, phase 0 (300)")
    add("--epochs", type=int, metavar="N", help="epochs of each of the phases 1 to 3 (100)")
    add("--random-epochs", type=int, metavar="N", help="epochs of the networks that are trained at once (300)")
    add("--forcing-epochs", type=int, metavar="N", help="epochs of spectrogram forcing (50)")
    add("--forcing-form", metavar="NAME", help="unit, the target in [0, 1], or centred, the paper's (unit)")
    add("--batch-size", type=int, metavar="N", help="segments per batch (1000)")
    add("--learning-rate", type=float, metavar="X", help="of PiczakNet and MelConvNet (2e-3)")
    add("--heuri-learning-rate", type=float, metavar="X", help="of HeuriNet (2e-3)")
    add("--mst-learning-rate", type=float, metavar="X", help="of MSTNet and the PiczakNet it starts from (5e-3)")
    add(
        "--gradient-clip-norm",
        type=cli.number_or_none,
        metavar="X",
        help="also of the other networks' gradients (none)",
    )
    add("--gradient-clip-by", metavar="NAME", help="variable or global: what that limit is for (global)")
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(main, parser_of(__doc__, "runs/icebreaker").parse_args()))
