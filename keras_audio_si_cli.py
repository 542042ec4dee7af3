"""The command `keras-audio-si`: one thin verb per job.

It is a module beside the package, and imports what a verb needs when the verb runs: `--help` starts no framework.
"""

import argparse
import difflib
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
        Exit code: 0, 2 after an error, 130 after an interruption.
    """
    args = _parser().parse_args(argv)
    return guarded(args.verb, args)


def guarded(function, args):
    """Calls `function(args)` and turns what it raises into one line on stderr and an exit code.

    Args:
        function: Function of the parsed arguments.
        args: Namespace with `debug`, True to let errors through with their traceback, and perhaps `backend`.

    Returns:
        Exit code: 0, 2 after an error, 130 after an interruption.
    """
    if getattr(args, "backend", None):
        os.environ["KERAS_BACKEND"] = args.backend
    try:
        function(args)
    except KeyboardInterrupt:
        print("\nInterrupted. What was finished is saved.", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        if args.debug:
            raise
        # An audio file's error is one line; messages of frameworks are folded into one.
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


# Arguments that verbs and recipes share. A setting that is not given is left out of the namespace: its default is
# that of the dataclass which documents it.


def add_common_arguments(parser):
    """Adds `--debug`."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_data_arguments(parser):
    """Adds where the data are and how they are divided for a training."""
    group = parser.add_argument_group("data")
    group.add_argument("--data", required=True, metavar="PATH", help="folder of a data set, or a manifest CSV file")
    group.add_argument("--layout", default="auto", help="layout of the data (see `list datasets`; default: auto)")
    for name, what in (("train", "train on"), ("validation", "validate on"), ("test", "test on")):
        group.add_argument(f"--{name}-folds", nargs="+", type=int, metavar="N", help=f"folds to {what}")
    group.add_argument(
        "--validation-share",
        type=float,
        default=0.15,
        metavar="X",
        help="share of the training recordings held out where nothing is set apart to validate on (default: 0.15)",
    )
    _add_cache_argument(group)


def add_training_arguments(parser):
    """Adds the settings of `Experiment` and `TrainingSettings`."""
    group = parser.add_argument_group("training (defaults: the paper's)", argument_default=argparse.SUPPRESS)
    add = group.add_argument
    add("--epochs", type=int, metavar="N", help="largest number of epochs (150)")
    add("--learning-rate", type=float, metavar="X", help="of Adam, at the start (3e-5)")
    add("--batch-size", type=int, metavar="N", help="patches per batch (128)")
    add("--plateau-epochs", type=int, metavar="N", help="epochs without progress before the rate is halved (10)")
    add("--early-stopping-epochs", type=int, metavar="N", help="epochs without progress before the end (20)")
    add("--mixup-alpha", type=float, metavar="X", help="of the Beta distribution, where mixup is on (1.25)")
    add("--batch-norm-momentum", type=float, metavar="X", help="0.99; a training of few steps wants 0.9")
    add("--width", type=float, metavar="X", help="factor on the number of filters (1)")
    add("--sample-rate", type=int, metavar="HZ", help="rate that all audio is resampled to (22050)")
    add("--seeds", nargs="+", type=int, metavar="N", help="one number: how many; several: which (seed 0)")
    add("--mixed-precision", metavar="TYPE", help="bfloat16 or float16 (float32 throughout)")
    add("--jit", action=argparse.BooleanOptionalAction, help="compile the training step (auto)")
    add("--protocols", nargs="*", metavar="NAME", help="shifts to measure; no names: none (the paper's six)")
    add_saving_arguments(parser)


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
        args.validation_share,
    )
    splits = load_splits(manifest, sample_rate, args.cache_dir)
    print(", ".join(f"{name}: {len(cache)} clips" for name, cache in splits.items()))
    return splits


def print_report(runs, folder):
    """Prints the table of some runs and where their report is."""
    from keras_audio_si.experiment import summary

    print(f"\n{summary([run.result for run in runs])}\n")
    print(f"Report: {folder}/ (table.csv, table.md, stability.png, learning_curves.png)")
    print("Models and logs:", *(f"  {run.folder}/ (model.keras, log.csv, tensorboard/)" for run in runs), sep="\n")


def _train(args):
    from keras_audio_si.experiment import compare
    from keras_audio_si.variants import Variant

    variant = Variant(args.pooling, args.intra_block_pooling, args.mixup, args.model)
    settings = settings_of(args)
    runs = compare([variant], splits_of(args, settings.sample_rate), settings, args.output, **saving_of(args))
    print_report(runs, args.output)


def _evaluate(args):
    from keras_audio_si.evaluation.classifiers import patch_dataset
    from keras_audio_si.evaluation.clips import evaluate_clips
    from keras_audio_si.evaluation.report import ModelResult, write_table
    from keras_audio_si.experiment import summary, trainable_parameters

    ((name, model),) = _load_models([args.model]).items()
    cache = _clips_for(model, args)
    evaluation = evaluate_clips(model, patch_dataset(model, cache), args.batch_size, verbose="auto")
    print(f"{len(cache)} clips")
    print(summary([ModelResult(name, trainable_parameters(model), evaluation)]))
    if args.output:
        counts = evaluation.clips.targets.sum(axis=0)
        rows = [
            {"class": label, "clips": str(int(count)), "average precision": float(precision)}
            for label, count, precision in zip(evaluation.clips.class_names, counts, evaluation.per_class, strict=True)
        ]
        print("Per class:", *write_table(rows, args.output, "per_class"))


def _shift_test(args):
    from keras_audio_si.evaluation.classifiers import front_end_of, shift_patches, write_stability
    from keras_audio_si.evaluation.report import ModelResult, comparison_table, write_table
    from keras_audio_si.evaluation.shift import shift_table
    from keras_audio_si.experiment import summary, trainable_parameters
    from keras_audio_si.layers import class_names_of

    models = _load_models(args.models)
    first = next(iter(models.values()))
    kinds = {(model.input_shape, front_end_of(model).sample_rate, class_names_of(model)) for model in models.values()}
    if len(kinds) > 1:
        raise ValueError("Models that are compared must have the same input length, sample rate and classes.")
    cache = _clips_for(first, args)
    patches = shift_patches(first, cache, args.protocols, args.max_clips)
    results = []
    for name, model in models.items():
        shifts = shift_table(model, patches.waveforms, args.protocols, batch_size=args.batch_size)
        results.append(ModelResult(name, trainable_parameters(model), shifts=shifts))
    print(summary(results))
    if args.output:
        print("Table:", *write_table(comparison_table(results), args.output, "shifts"))
        print("Figure:", write_stability(models, cache, args.max_clips, args.output))


def _list(args):
    from keras_audio_si.data.datasets import LAYOUTS
    from keras_audio_si.evaluation.shift import PAPER_PROTOCOLS
    from keras_audio_si.layers.pooling_names import EXAMPLES
    from keras_audio_si.variants import MODELS, PAPER_MAP

    known = {
        "models": MODELS,
        "poolings": (*EXAMPLES, "and blurK, tlpfK, tlpfTxM (time x mel) of any size, alone or +aps"),
        "variants": [f"{name:24}{mean:.3f} ± {std:.3f} mAP in the paper" for name, (mean, std) in PAPER_MAP.items()],
        "datasets": LAYOUTS,
        "protocols": (*PAPER_PROTOCOLS, "and time-N (frames), freq-N (mel bands), samples-N"),
    }
    for kind in [args.kind] if args.kind else known:
        print(f"{kind}:", *known[kind], sep="\n  ")


def _bench(args):
    from keras_audio_si.bench import bench_pooling

    names = ("batch_size", "pooling", "rounds", "jit", "precision", "width")
    bench_pooling(**{name: value for name, value in vars(args).items() if name in names})


def _load_models(paths):
    """Models by name: that of the file, or of its folder where the file is called model.keras."""
    import pathlib

    import keras

    import keras_audio_si  # noqa: F401  registers the layers

    models = {}
    for path in map(pathlib.Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"there is no model file {path}")
        name = path.resolve().parent.name if path.name == "model.keras" else path.stem
        models[str(path) if name in models else name] = keras.models.load_model(path)
    return models


def _clips_for(model, args):
    """Clips that the arguments choose, decoded at the model's rate, with labels in the model's order."""
    import dataclasses

    from keras_audio_si.data.clip_cache import ClipCache
    from keras_audio_si.data.datasets import read_dataset
    from keras_audio_si.evaluation.classifiers import front_end_of
    from keras_audio_si.layers import class_names_of

    manifest = read_dataset(args.data, args.layout)
    if args.split is None and args.folds is None and len({(clip.split, clip.fold) for clip in manifest.clips}) > 1:
        splits = sorted({clip.split for clip in manifest.clips} - {""})
        folds = sorted({clip.fold for clip in manifest.clips} - {None})
        choice = f"--split ({', '.join(splits)})" if splits else f"--folds ({', '.join(map(str, folds))})"
        raise ValueError(f"The data are divided, and the model may have been trained on a part: choose by {choice}.")
    names = class_names_of(model)
    manifest = dataclasses.replace(manifest.select(args.split, args.folds), class_names=names or manifest.class_names)
    return ClipCache.build(manifest, front_end_of(model).sample_rate, args.cache_dir)


def _add_cache_argument(parser):
    parser.add_argument("--cache-dir", default=CACHE_DIR, metavar="DIR", help=f"decoded audio (default: {CACHE_DIR})")


def _add_choice_arguments(parser):
    parser.add_argument("--data", required=True, metavar="PATH", help="folder of a data set, or a manifest CSV file")
    parser.add_argument("--layout", default="auto", help="layout of the data (default: auto)")
    parser.add_argument("--split", metavar="NAME", help="clips of this split")
    parser.add_argument("--folds", nargs="+", type=int, metavar="N", help="clips of these folds")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="patches per batch (default: 64)")
    _add_cache_argument(parser)


def _parser():
    parser = Parser(prog="keras-audio-si", description="Audio classification for Keras 3: shift-invariant networks.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name, verb, summary):
        sub = verbs.add_parser(name, help=summary, description=summary)
        sub.set_defaults(verb=verb)
        add_common_arguments(sub)
        sub.add_argument("--backend", help="tensorflow, jax or torch (default: KERAS_BACKEND, or Keras' own)")
        return sub

    train = add("train", _train, "Train a classifier and measure it on the test clips, shifted ones as well.")
    train.add_argument("--output", required=True, metavar="DIR", help="folder for the model and the report")
    train.add_argument("--model", default="vgg41", help="vgg41 or vgg42 (default: vgg41)")
    train.add_argument("--pooling", default="max", metavar="NAME", help="see `list poolings` (default: max)")
    train.add_argument("--intra-block-pooling", action="store_true", help="dense max pooling inside the blocks")
    train.add_argument("--mixup", action="store_true", help="mix training examples")
    add_data_arguments(train)
    add_training_arguments(train)

    evaluate = add("evaluate", _evaluate, "Evaluate a saved model on clips: mAP, d', accuracy.")
    evaluate.add_argument("model", help="a .keras file")
    _add_choice_arguments(evaluate)
    evaluate.add_argument("--output", metavar="DIR", help="folder for the average precision of each class")

    shift_test = add("shift-test", _shift_test, "Measure how shifts change what saved models say.")
    shift_test.add_argument("models", nargs="+", metavar="model", help="a .keras file")
    _add_choice_arguments(shift_test)
    shift_test.add_argument(
        "--protocols",
        nargs="+",
        default=["time-1", "time-3", "time-5", "freq-1", "freq-3", "freq-5"],
        metavar="NAME",
        help="time-N (frames), freq-N (mel bands), samples-N (default: time-1/3/5 and freq-1/3/5)",
    )
    shift_test.add_argument("--max-clips", type=int, default=1000, metavar="N", help="largest number (default: 1000)")
    shift_test.add_argument("--output", metavar="DIR", help="folder for the table and the stability figure")

    listing = add("list", _list, "List what can be named.")
    listing.add_argument("kind", nargs="?", choices=("models", "poolings", "variants", "datasets", "protocols"))

    bench = add("bench", _bench, "Measure what the pooling mechanisms cost.")
    bench.add_argument("subject", choices=("pooling",))
    group = bench.add_argument_group("what to measure", argument_default=argparse.SUPPRESS)
    group.add_argument("--pooling", nargs="+", metavar="NAME", help="mechanisms to compare with max pooling")
    group.add_argument("--batch-size", type=int, metavar="N", help="patches per batch (32)")
    group.add_argument("--rounds", type=int, metavar="N", help="timed rounds, of which the median counts (9)")
    group.add_argument("--width", type=float, metavar="X", help="factor on the number of filters (1)")
    group.add_argument("--precision", metavar="TYPE", help="float32, bfloat16 or float16 (float32)")
    group.add_argument("--jit", action=argparse.BooleanOptionalAction, help="compile by XLA (yes)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
