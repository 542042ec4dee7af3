"""The pooling mechanisms of Tables I to III on ESC-50, one row per `--variant`.

    python recipes/shift_invariance_esc50.py --data ../shared/data/esc50 --train-folds 1 2 3 --test-folds 4 \\
        --variant baseline tlpf5+aps --epochs 30 --learning-rate 1e-3 --batch-norm-momentum 0.9 --batch-size 32 \\
        --output runs/esc50

Paper: Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
    Neural Networks, 2021. Its data are FSD50K (200 classes); ESC-50 has 50 classes and 2000 clips of 5 s in 5 folds,
    so its figures are a guide to the order of the rows, not to their values.
Settings: the paper's, section III, unless given: Adam 3e-5, halved after 10 epochs without progress, batches of 128
    patches, up to 150 epochs, early stopping after 20. They are made for 40,000 clips; on ESC-50 a higher learning
    rate and a lower momentum of the batch normalisation (as above) arrive sooner. Use `--seeds 3` for mean and
    deviation.
Validation: `--validation-folds`, or 15 % of the training clips of every class, recordings never divided.
Variants: "baseline", a pooling such as "tlpf5+aps" or "blur3", then "+ibp", "+mixup", "+vgg42" where they apply; see
    `keras-audio-si list variants`. `--mixup` and `--model vgg42` apply to all of them.

Expect, from the paper (FSD50K, mean of three runs):

    mAP (Tables I, II)       VGG41   VGG41 + mixup   VGG42 + mixup
    baseline                 0.457           0.497           0.523
    aps                      0.480           0.513           0.538
    tlpf5+ibp                0.481           0.511           0.539
    tlpf5+aps                0.484           0.514           0.541

    Table III                consistency (%)           MAC
    (VGG41, no mixup)        baseline  tlpf5+aps  baseline  tlpf5+aps
    time-1                       82.0       92.5     0.078      0.030
    time-3                       75.2       87.2     0.106      0.048
    time-5                       74.0       83.2     0.110      0.062
    freq-1                       63.5       79.8     0.175      0.078
    freq-3                       53.3       67.6     0.234      0.145
    freq-5                       49.0       60.0     0.263      0.199

What came of it here, with command and seeds, is in RESULTS.md.
Cost: in RESULTS.md, per row. The bench (`keras-audio-si bench pooling`) says what a training step takes here.
"""

import argparse
import dataclasses
import sys

import keras_audio_si_cli as cli
from keras_audio_si.experiment import compare
from keras_audio_si.variants import MODELS, Variant, did_you_mean


def main(args):
    if args.model not in MODELS:
        raise ValueError(f"unknown model {args.model!r}; {did_you_mean(args.model, MODELS)}")
    variants = [Variant.parse(name) for name in args.variant]
    if args.mixup:
        variants = [dataclasses.replace(variant, mixup=True) for variant in variants]
    if args.model != "vgg41":
        variants = [dataclasses.replace(variant, model=args.model) for variant in variants]
    settings = cli.settings_of(args)
    splits = cli.splits_of(args, settings.sample_rate)
    runs = compare(variants, splits, settings, args.output, **cli.saving_of(args))
    cli.print_report(runs, args.output)


if __name__ == "__main__":
    parser = cli.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", nargs="+", default=["baseline", "tlpf5+aps"], metavar="NAME", help="rows")
    parser.add_argument("--mixup", action="store_true", help="mixup for all variants")
    parser.add_argument("--model", default="vgg41", help="vgg41 or vgg42, for all variants (default: vgg41)")
    parser.add_argument("--output", default="runs/esc50", metavar="DIR", help="folder of the report")
    cli.add_common_arguments(parser)
    cli.add_data_arguments(parser)
    cli.add_training_arguments(parser)
    sys.exit(cli.guarded(main, parser.parse_args()))
