"""Tables I to III on FSD50K: a pooling mechanism per row, its mAP, and how it takes shifts of the input.

    python recipes/shift_invariance_fsd50k.py --data FSD50K                          # Table III, one run each
    python recipes/shift_invariance_fsd50k.py --data FSD50K --table I --seeds 3      # 22 rows, three runs each
    python recipes/shift_invariance_fsd50k.py --data FSD50K --table II --seeds 3     # with mixup, and VGG42
    python recipes/shift_invariance_fsd50k.py --data FSD50K --variant aps blur5+ibp  # rows by name

Paper: Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
    Neural Networks, 2021. FSD50K, as published: training on its train set, validation on its val set, test on eval.
Settings: the paper's, section III: Adam 3e-5, halved after 10 epochs without progress, batches of 128 patches, up to
    150 epochs, early stopping after 20. Where the paper and its released code differ in APS, `--as-in` says which one
    counts: `paper` (the norm of eq. 2), `released` (the code's norm, and a 5x5 blur in front of APS wherever the row
    has no filter), `default` (the code's norm, no blur). Everything else is as released.
Variants: "baseline", a pooling such as "tlpf5+aps" or "blur3", then "+ibp", "+mixup", "+vgg42" where they apply; see
    `keras-audio-si list variants`. `--mixup` and `--model vgg42` apply to all of them.
Shifts: Table III's clips are drawn from the eval set once for all runs: a single event, 2 s or more, 1000 of them.
    `shift_clips.csv` in the report names them; `--shift-clips` takes such a list instead.
Validation: by design some uploaders lie in FSD50K's train and val sets, which is allowed here unless
    `--no-shared-validation-groups` is given. One in dev and eval is an error, where FSD50K.metadata names them.

Expect, from the paper (mean of three runs; all rows by `keras-audio-si list variants`):

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

Cost: not measured on the whole of FSD50K (108 hours of audio, 34 GB decoded to 22050 Hz). What a training step takes
    here: `keras-audio-si bench models`.
"""

import argparse
import dataclasses
import sys

from keras_audio_si.cli import main as cli
from keras_audio_si.experiment import compare
from keras_audio_si.variants import MODELS, SOURCES, TABLES, Variant, did_you_mean


def variants_of(args):
    """The variants that the arguments name."""
    if args.model not in MODELS:
        raise ValueError(f"unknown model {args.model!r}; {did_you_mean(args.model, MODELS)}")
    names = [*args.variant, *(name for table in args.table for name in TABLES[table])] or TABLES["III"]
    variants = [Variant.parse(name).as_in(args.as_in) for name in dict.fromkeys(names)]
    if args.mixup:
        variants = [dataclasses.replace(variant, mixup=True) for variant in variants]
    if args.model != "vgg41":
        variants = [dataclasses.replace(variant, model=args.model) for variant in variants]
    return variants


def main(args):
    variants = variants_of(args)
    settings = cli.settings_of(args)
    splits = cli.splits_of(args, settings.sample_rate)
    runs = compare(variants, splits, settings, args.output, **cli.saving_of(args))
    cli.print_report(runs, args.output)


def parser_of(description, output):
    """The parser of this recipe, and of the one on ESC-50."""
    parser = cli.Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", nargs="+", default=[], metavar="NAME", help="rows (default: those of Table III)")
    parser.add_argument("--table", nargs="+", default=[], choices=list(TABLES), help="all rows of tables of the paper")
    parser.add_argument("--as-in", default="default", metavar="SOURCE", help=f"{', '.join(SOURCES)}: details of APS")
    parser.add_argument("--mixup", action="store_true", help="mixup for all variants")
    parser.add_argument("--model", default="vgg41", help="vgg41 or vgg42, for all variants (default: vgg41)")
    parser.add_argument("--output", default=output, metavar="DIR", help=f"folder of the report (default: {output})")
    cli.add_common_arguments(parser)
    cli.add_data_arguments(parser)
    cli.add_training_arguments(parser)
    return parser


if __name__ == "__main__":
    parser = parser_of(__doc__, output="runs/fsd50k")
    parser.set_defaults(layout="fsd50k", shared_validation_groups=True)
    sys.exit(cli.guarded(main, parser.parse_args()))
