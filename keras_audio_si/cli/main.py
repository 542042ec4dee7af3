"""The command `keras-audio-si`: one thin verb per job.

It is a module beside the package, and imports what a verb needs when the verb runs: `--help` starts no framework. The
verbs themselves are in `keras_audio_si.cli.commands`.
"""

import argparse
import difflib
import importlib
import logging
import os
import sys

CACHE_DIR = "runs/cache"

# Before TensorFlow is imported: it greets with pages of notes, while what goes wrong comes as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and answers an unknown option with the nearest known one."""

    def __init__(self, **kwargs):
        super().__init__(**{"allow_abbrev": False, **kwargs})

    def parse_known_args(self, args=None, namespace=None):
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            nearest = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else f" (see {self.prog} --help)"
            self.error(f"unknown argument {unknown[0]}{hint}")
        return namespace, unknown


def main(argv=None):
    """Runs the command line.

    Args:
        argv: List of arguments; those of the process if None.

    Returns:
        Exit code: 0, 1 if `tag` has no scores for some of the files, 2 after an error, 130 after an interruption.
    """
    args = _parser().parse_args(argv)
    return guarded(_run_verb, args)


def _run_verb(args):
    return getattr(importlib.import_module("keras_audio_si.cli.commands"), args.verb)(args)


def guarded(function, args):
    """Calls `function(args)` and turns what it raises into one line on stderr and an exit code.

    Args:
        function: Function of the parsed arguments.
        args: Namespace with `debug`, True to let errors through with their traceback, and perhaps `backend`.

    Returns:
        Exit code: what the function returns or 0, 2 after an error, 130 after an interruption.
    """
    if getattr(args, "backend", None):
        os.environ["KERAS_BACKEND"] = args.backend
    try:
        return function(args) or 0
    except KeyboardInterrupt:
        print("\nInterrupted. No file is left half written.", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        if args.debug:
            raise
        # An audio file's error is one line; messages of frameworks are folded into one.
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


# Arguments that verbs and recipes share. A setting that is not given is left out of the namespace: its default is
# that of the dataclass which documents it.


def add_common_arguments(parser):
    """Adds `--debug`."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_data_arguments(parser):
    """Adds where the data are and how they are divided for a training."""
    group = parser.add_argument_group("data")
    _add_source_arguments(group)
    for name, what in (("train", "train on"), ("validation", "validate on"), ("test", "test on")):
        group.add_argument(f"--{name}-folds", nargs="+", type=int, metavar="N", help=f"folds to {what}")
    group.add_argument(
        "--validation-split",
        type=float,
        default=0.15,
        metavar="X",
        help="share of the training recordings held out where nothing is set apart to validate on (default: 0.15)",
    )
    group.add_argument(
        "--shared-validation-groups",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="allow groups (recordings, uploaders) that lie in the training and in the validation clips",
    )
    _add_cache_argument(group)
    group.add_argument("--decoder", default="soundfile", metavar="NAME", help="soundfile or tensorflow-io (soundfile)")


def add_training_arguments(parser):
    """Adds the settings of `Experiment` and `TrainingSettings`."""
    group = parser.add_argument_group("training (defaults: the paper's)", argument_default=argparse.SUPPRESS)
    add = group.add_argument
    add("--epochs", type=int, metavar="N", help="largest number of epochs (150)")
    add("--learning-rate", type=float, metavar="X", help="at the start; of a cycle the largest (3e-5)")
    add("--optimizer", metavar="NAME", help="adam, adam-l2 or adamw (adam)")
    add("--weight-decay", type=float, metavar="X", help="of adamw and adam-l2 (1e-5)")
    add("--gradient-clip-norm", type=float, metavar="X", help="largest norm of the gradients (none)")
    add("--schedule", metavar="NAME", help="plateau, one-cycle or warm-up-and-decay (plateau)")
    add("--ema-decay", type=float, metavar="X", help="of averages of the weights, validated and saved (none)")
    add("--batch-size", type=int, metavar="N", help="patches per batch (128)")
    add("--plateau-patience", type=int, metavar="N", help="epochs without progress before the rate is halved (10)")
    add(
        "--early-stopping-patience",
        type=_integer_or_none,
        metavar="N",
        help="epochs without progress before the end, or none to go through all (20)",
    )
    add("--mixup-alpha", type=float, metavar="X", help="of the Beta distribution, where mixup is on (1.25)")
    add("--batch-norm-momentum", type=float, metavar="X", help="0.99; a training of few steps wants 0.9")
    add("--width", type=float, metavar="X", help="factor on the number of filters (1)")
    add("--sample-rate", type=int, metavar="HZ", help="rate that all audio is resampled to (22050)")
    add("--seeds", nargs="+", type=int, metavar="N", help="one number: how many; several: which (seed 0)")
    add("--mixed-precision", metavar="TYPE", help="bfloat16 or float16 (float32 throughout)")
    add("--jit-compile", action=argparse.BooleanOptionalAction, help="compile the training step (auto)")
    add("--protocols", nargs="*", metavar="NAME", help="shifts to measure; no names: none (the paper's six)")
    add("--shift-clips", metavar="FILE", help="list of the test clips to shift (drawn by the paper's rules)")
    add_saving_arguments(parser)


def _integer_or_none(text):
    return None if text == "none" else int(text)


def add_saving_arguments(parser):
    """Adds what happens to a run that was cut off; `saving_of` reads it."""
    group = parser.add_argument_group("runs that are cut off", argument_default=argparse.SUPPRESS)
    choice = group.add_mutually_exclusive_group()
    choice.add_argument("--resume", action="store_true", help="continue what the output folder has, if anything")
    choice.add_argument("--overwrite", action="store_true", help="replace the run that the output folder has")
    group.add_argument("--checkpoint-steps", type=int, metavar="N", help="checkpoints within an epoch as well")


def saving_of(args):
    """Dict of the arguments of `experiment.compare` that `add_saving_arguments` adds."""
    return {name: vars(args)[name] for name in ("resume", "overwrite", "checkpoint_steps") if name in args}


def settings_of(args, **defaults):
    """Makes the `Experiment` that the arguments describe.

    Args:
        args: Namespace of a parser with `add_training_arguments`.
        **defaults: Settings of `Experiment.of` that apply unless the arguments have them.

    Returns:
        `keras_audio_si.experiment.Experiment`.
    """
    import dataclasses

    from keras_audio_si.experiment import Experiment, TrainingSettings

    fields = {field.name for kind in (Experiment, TrainingSettings) for field in dataclasses.fields(kind)}
    given = {name: value for name, value in vars(args).items() if name in fields}
    if len(given.get("seeds", ())) == 1:
        given["seeds"] = range(given["seeds"][0])
    return Experiment.of(**{**defaults, **given})


def changed_settings(args, defaults):
    """The settings of a recipe, with what the arguments change.

    Args:
        args: Namespace in which settings that are not given are left out.
        defaults: Dataclass with `changed` and `training`, such as `EATExperiment`.

    Returns:
        The same kind.
    """
    fields = {*vars(defaults), *vars(defaults.training)}
    given = {name: value for name, value in vars(args).items() if name in fields}
    if len(given.get("seeds", ())) == 1:
        given["seeds"] = range(given["seeds"][0])
    return defaults.changed(**given)


def recipe_parser(description, output):
    """Makes the parser of a recipe: its data, and those of its settings that all recipes have.

    Args:
        description: What the recipe is, its docstring.
        output: Default folder of the report.

    Returns:
        The parser, and the group that further settings are added to.
    """
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser)
    group = parser.add_argument_group("data")
    _add_source_arguments(group)
    group.add_argument("--output", default=output, metavar="DIR", help=f"folder of the report (default: {output})")
    _add_cache_argument(group)
    group = parser.add_argument_group("settings (defaults: the paper's)", argument_default=argparse.SUPPRESS)
    add = group.add_argument
    add("--train-folds", nargs="+", type=int, metavar="N", help="folds to train on, without the test (all others)")
    add("--test-folds", nargs="+", type=int, metavar="N", help="folds to test on (all, one after the other)")
    add("--validation-split", type=float, metavar="X", help="of the training recordings, to choose the epoch (0.15)")
    add("--seeds", nargs="+", type=int, metavar="N", help="one number: how many; several: which (seed 0)")
    add("--jit-compile", action=argparse.BooleanOptionalAction, help="compile the training step (auto)")
    add_saving_arguments(parser)
    return parser, group


def folds_of(args):
    """Arguments of `run_folds` and of what calls it, beside the settings, that `recipe_parser` adds."""
    from keras_audio_si.data.datasets import read_dataset

    data = {"manifest": read_dataset(args.data, args.layout), "folder": args.output, "cache_dir": args.cache_dir}
    names = ("test_folds", "train_folds", "teacher")
    return data | {name: vars(args)[name] for name in names if name in args} | saving_of(args)


def number_or_none(text):
    """The type of an argument that is a number or `none`."""
    return None if text == "none" else float(text)


def splits_of(args, sample_rate):
    """Reads, divides and decodes the data that the arguments of `add_data_arguments` name.

    Returns:
        Dict of the `ClipCache` of "train", "val" and "test".
    """
    from keras_audio_si.data.datasets import read_dataset
    from keras_audio_si.data.splits import assign_splits
    from keras_audio_si.experiment import load_splits

    manifest = assign_splits(
        read_dataset(args.data, args.layout),
        args.train_folds,
        args.validation_folds,
        args.test_folds,
        args.validation_split,
        shared_validation_groups=args.shared_validation_groups,
    )
    splits = load_splits(manifest, sample_rate, args.cache_dir, args.decoder)
    print(", ".join(f"{name}: {len(cache)} clips" for name, cache in splits.items()))
    return splits


def print_report(runs, folder):
    """Prints the table of some runs and where their report is."""
    from keras_audio_si.experiment import summary

    print(f"\n{summary([run.result for run in runs])}\n")
    print(f"Report: {folder}/ (table.csv, table.md, stability.png, learning_curves.png)")
    print("Models and logs:", *(f"  {run.folder}/ (model.keras, log.csv, tensorboard/)" for run in runs), sep="\n")


def _add_source_arguments(parser):
    parser.add_argument("--data", required=True, metavar="PATH", help="folder of a data set, or a manifest CSV file")
    parser.add_argument("--layout", default="auto", help="layout of the data (see `list datasets`; default: auto)")


def _add_cache_argument(parser):
    parser.add_argument("--cache-dir", default=CACHE_DIR, metavar="DIR", help=f"decoded audio (default: {CACHE_DIR})")


def _add_choice_arguments(parser):
    _add_source_arguments(parser)
    parser.add_argument("--split", metavar="NAME", help="clips of this split")
    parser.add_argument("--folds", nargs="+", type=int, metavar="N", help="clips of these folds")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="patches per batch (default: 64)")
    _add_cache_argument(parser)


def _add_bench_arguments(add):
    summary = "Measure what things cost beside plain Keras."
    subjects = add("bench", None, summary).add_subparsers(title="what to measure", metavar="SUBJECT", required=True)
    pooling = {"nargs": "+", "metavar": "NAME", "help": "mechanisms to compare with the plain network"}
    width = {"type": float, "metavar": "X", "help": "factor on the number of filters (1)"}
    options = {
        "layers": {"--names": {"nargs": "+", "metavar": "NAME", "help": "some of the subjects in the table (all)"}},
        "models": {
            "--model": {"metavar": "NAME", "help": "vgg41, vgg42 or a network of keras.applications (vgg41)"},
            "--pooling": pooling,
            "--width": width,
        },
        "pipeline": {
            "--data": {"metavar": "PATH", "help": "folder of a data set, or a manifest CSV file (synthetic sounds)"},
            "--layout": {"help": "layout of the data (auto)"},
            "--sample-rate": {"type": int, "metavar": "HZ", "help": "rate that the audio is resampled to (16000)"},
            "--model": {"metavar": "NAME", "help": "vgg41 or vgg42 (vgg41)"},
            "--pooling": {"metavar": "NAME", "help": "its pooling (tlpf5+aps)"},
            "--width": width,
            "--steps": {"type": int, "metavar": "N", "help": "batches in a round (5)"},
        },
        "eat": {
            "--seconds": {"nargs": "+", "type": int, "metavar": "N", "help": "lengths of one example (1 5 10)"},
            "--medium": {"action": "store_true", "help": "time EAT-M in place of EAT-S"},
        },
        "diffres": {
            "--frames": {
                "nargs": "+",
                "type": int,
                "metavar": "N",
                "help": "spectrogram lengths (1000 3000 10000)",
            },
            "--fps": {"nargs": "*", "type": int, "metavar": "N", "help": "frame rates of classifiers (25 50 75 100)"},
            "--seconds": {"type": int, "metavar": "N", "help": "length of their clips (10)"},
        },
    }
    summaries = {
        "layers": "Each layer beside the nearest plain Keras layer.",
        "models": "Networks with each pooling mechanism beside the plain network.",
        "pipeline": "Where a training step waits: decoding, batches, steps.",
        "eat": "Time and size of EAT, beside a product of two matrices.",
        "diffres": "Time and memory of DiffRes by length, and throughput by frame rate.",
    }
    for subject, summary in summaries.items():
        sub = add(subject, "bench", summary, subjects)
        sub.set_defaults(subject=subject)
        group = sub.add_argument_group("what to measure", argument_default=argparse.SUPPRESS)
        for option, settings in options[subject].items():
            group.add_argument(option, **settings)
        group.add_argument("--batch-size", type=int, metavar="N", help="examples per batch (32; of EAT and DiffRes 8)")
        group.add_argument("--rounds", type=int, metavar="N", help="timed rounds, of which the median counts (9)")
        group.add_argument("--precision", metavar="TYPE", help="float32, bfloat16 or float16 (float32)")
        group.add_argument("--jit-compile", action=argparse.BooleanOptionalAction, help="compile by XLA (yes)")
        group.add_argument("--json", dest="json_path", metavar="FILE", help="write the figures to this file as well")


_CONFUSION_OF = "single patches, or clips by votes or by mean scores of theirs (default: means)"
_PEAK_OF = "cut clips as juettner does: scale patches by the peak of their clip or their own, leave silent ones out"


def _add_plot_arguments(add):
    """Adds the pictures of models; the verb of a picture SUBJECT is `plot_SUBJECT`."""
    summary = "Draw what a model does."
    subjects = add("plot", None, summary).add_subparsers(title="what to draw", metavar="SUBJECT", required=True)

    def add_subject(subject, summary, several=False):
        sub = add(subject, f"plot_{subject}", summary, subjects)
        sub.add_argument("models" if several else "model", help="a .keras file", **({"nargs": "+"} if several else {}))
        sub.add_argument("--output", metavar="FILE", help="picture to write; its suffix chooses the format")
        return sub

    diffres = add_subject("diffres", "What the DiffResLayer of a model does to the beginning of an audio file.")
    diffres.add_argument("file", help="an audio file")

    kernels = add_subject("kernels", "The kernels of a front-end that learns, and their spectra by frequency.")
    kernels.add_argument("--shown", type=int, default=12, metavar="N", help="kernels to draw (default: 12)")

    activations = add_subject("activations", "What front-ends make of clips, beside the mel spectrogram.", several=True)
    _add_choice_arguments(activations)
    activations.add_argument("--clips", nargs="+", metavar="ID", help="which (the first of each class)")

    confusion = add_subject("confusion", "Which classes a model takes for which.")
    _add_choice_arguments(confusion)
    confusion.add_argument("--of", choices=("segments", "votes", "means"), default="means", help=_CONFUSION_OF)
    for sub in (activations, confusion):
        sub.add_argument("--peak-of", choices=("clip", "patch"), help=_PEAK_OF)


def _parser():
    parser = Parser(prog="keras-audio-si", description="Audio classification for Keras 3.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name, verb, summary, verbs=verbs):
        sub = verbs.add_parser(name, help=summary, description=summary)
        sub.set_defaults(verb=verb)
        add_common_arguments(sub)
        sub.add_argument("--backend", help="tensorflow, jax or torch (default: KERAS_BACKEND, or Keras' own)")
        return sub

    train = add("train", "train", "Train a classifier and measure it on the test clips, shifted ones as well.")
    train.add_argument("--output", required=True, metavar="DIR", help="folder for the model and the report")
    train.add_argument("--model", default="vgg41", help="vgg41 or vgg42 (default: vgg41)")
    train.add_argument("--pooling", default="max", metavar="NAME", help="see `list poolings` (default: max)")
    train.add_argument("--intra-block-pooling", action="store_true", help="dense max pooling inside the blocks")
    train.add_argument("--mixup", action="store_true", help="mix training examples")
    add_data_arguments(train)
    add_training_arguments(train)

    evaluate = add("evaluate", "evaluate", "Evaluate a saved model on clips: mAP, d', accuracy.")
    evaluate.add_argument("model", help="a .keras file")
    _add_choice_arguments(evaluate)
    evaluate.add_argument("--output", metavar="DIR", help="folder for the average precision of each class")

    shift_test = add("shift-test", "shift_test", "Measure how shifts change what saved models say.")
    shift_test.add_argument("models", nargs="+", metavar="model", help="a .keras file")
    _add_choice_arguments(shift_test)
    shift_test.add_argument(
        "--protocols",
        nargs="+",
        metavar="NAME",
        help="time-N (frames), freq-N (mel bands), samples-N (default: those of time-1/3/5 and freq-1/3/5 that apply)",
    )
    shift_test.add_argument("--max-clips", type=int, default=1000, metavar="N", help="largest number (default: 1000)")
    shift_test.add_argument("--shift-clips", metavar="FILE", help="list of clips, such as shift_clips.csv of a report")
    shift_test.add_argument("--output", metavar="DIR", help="folder for the table and the stability figure")

    tag = add("tag", "tag", "Score the classes of a saved model on audio files of any length.")
    tag.add_argument("model", help="a .keras file")
    tag.add_argument("paths", nargs="+", metavar="PATH", help="an audio file, or a folder to search for them")
    tag.add_argument("--format", choices=("table", "csv", "json"), help="default: by --output's suffix, else table")
    tag.add_argument("--output", metavar="FILE", help="file to write (default: standard output)")
    tag.add_argument("--windows", action="store_true", help="a row for every window, not one for the clip")
    tag.add_argument("--window-seconds", type=float, metavar="X", help="for a model that takes waveforms of any length")
    tags = tag.add_mutually_exclusive_group()
    tags.add_argument("--top-k", type=int, metavar="N", help="number of tags (3)")
    tags.add_argument("--threshold", type=float, metavar="X", help="smallest score of a tag")
    tag.add_argument("--batch-size", type=int, default=64, metavar="N", help="windows read at a time (default: 64)")

    export = add("export", "export", "Write a saved model for use without this package, and compare the copy.")
    export.add_argument("model", help="a .keras file")
    export.add_argument("--to", choices=("savedmodel",), required=True, help="format")
    export.add_argument("--output", required=True, metavar="DIR", help="folder to make")

    taking = add("import-weights", "import_weights", "Turn published weights, a PyTorch file, into a .keras model.")
    taking.add_argument("model", choices=("eat",), help="network that the weights are of")
    taking.add_argument("checkpoint", metavar="CHECKPOINT", help="file of the released code, such as best.pt")
    taking.add_argument("--output", required=True, metavar="FILE", help="the .keras file to write")
    taking.add_argument("--heads", type=int, metavar="N", help="heads of the attention (one per 16 of its width)")
    taking.add_argument("--activation", choices=("sigmoid", "softmax"), help="of the scores (none: logits)")
    taking.add_argument("--class-names", metavar="FILE", help="text file with the name of a class in each line")
    taking.add_argument("--sample-rate", type=int, metavar="HZ", help="of the waveforms, kept in the model")

    giving = add("export-weights", "export_weights", "Write the weights of a model as the released code loads them.")
    giving.add_argument("model", help="a .keras file of an EAT")
    giving.add_argument("--output", required=True, metavar="FILE", help="the PyTorch file to write")

    listing = add("list", "list_names", "List what can be named.")
    listing.add_argument("kind", nargs="?", choices=("models", "poolings", "variants", "datasets", "protocols"))

    _add_plot_arguments(add)
    _add_bench_arguments(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
