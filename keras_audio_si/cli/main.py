"""Entry point of `keras-audio-si`: the parser with all commands and their arguments.

What a command needs is imported when it runs, so that `--help` does not load a framework.
"""

import argparse
import importlib
import logging
import os
import re
import sys

from keras_audio_si.cli.arguments import Parser, add_beam, add_choice, add_common, add_data
from keras_audio_si.cli.train import add_arguments as add_train_arguments
from keras_audio_si.escaping import one_line

# Before TensorFlow is imported: suppresses its messages; errors are raised as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)


def main(argv=None):
    """Runs the command line.

    Args:
        argv: List of arguments; those of the process if None.

    Returns:
        Exit code: 0, 1 if `tag` has no scores for some of the files, 2 after an error, 130 after an interruption, 141
        if nobody reads the output any more.
    """
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # Closed by what has started the process.
            setattr(sys, stream, open(os.devnull, "w"))
    if getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # Where it is not UTF-8: names are escaped, no row is lost.
    arguments = sys.argv[1:] if argv is None else argv
    own_process = argv is None
    return guarded(lambda args: _run_verb(args, own_process), build_parser(arguments).parse_args(arguments))


_MODULES = {"train": "train", "tag": "tagging", "embed": "tagging"}  # Of verbs that are not in commands.py.


def _run_verb(args, own_process):
    if own_process and args.verb in ("train", "bench"):
        from keras_audio_si.cli.jax_start import prepare_jax

        prepare_jax()
    module = _MODULES.get(args.verb, "commands")
    return getattr(importlib.import_module(f"keras_audio_si.cli.{module}"), args.verb)(args)


def guarded(function, args):
    """Calls `function(args)` and turns exceptions into one line on stderr and an exit code.

    Args:
        function: Function of the parsed arguments.
        args: Namespace with `debug`, True to let errors through with their traceback, and perhaps `backend`.

    Returns:
        Exit code: what the function returns or 0, 2 after an error, 130 after an interruption, 141 if nobody reads the
        output any more, as after `| head`.
    """
    try:
        if backend := getattr(args, "backend", None):
            _choose_backend(backend)
        code = function(args) or 0
        print(end="", flush=True)  # Here, as an error at the end of the process would be printed.
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # For what the end of the process flushes.
        return 141  # Of a program that SIGPIPE ends.
    except KeyboardInterrupt:
        print("\nInterrupted. No file is left half written.", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        if args.debug:
            raise
        text = f"too little memory. {error}" if isinstance(error, MemoryError) else str(error)
        # An audio file's error is one line; messages of frameworks are folded into one.
        print(f"error: {one_line(' '.join(text.split()))}", file=sys.stderr)
        return 2
    except Exception as error:
        # tf.data has the error of an audio file in the text of an error of its own.
        found = re.search(r"AudioError: (.+)", str(error))
        if args.debug or found is None:
            raise
        print(f"error: {one_line(found[1])}", file=sys.stderr)
        return 2


def _choose_backend(name):
    os.environ["KERAS_BACKEND"] = name
    if "keras" in sys.modules and (running := sys.modules["keras"].backend.backend()) != name:
        raise ValueError(
            f"--backend {name} comes too late: this process has imported Keras, on {running}. Set KERAS_BACKEND before."
        )


def _add_bench_arguments(add):
    summary = "Measure time and memory, with plain Keras as the baseline."
    subjects = add("bench", None, summary).add_subparsers(title="what to measure", metavar="SUBJECT", required=True)
    pooling = {"nargs": "+", "metavar": "NAME", "help": "mechanisms to compare with the plain network"}
    width = {"type": float, "metavar": "X", "help": "factor on the number of filters of VGG (1)"}
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
            "--model": {"metavar": "NAME", "help": "network of `list networks` (vgg41)"},
            "--pooling": {"metavar": "NAME", "help": "its pooling (its own)"},
            "--width": {**width, "help": "factor on the number of filters of VGG (that of the preset quick)"},
            "--steps": {"type": int, "metavar": "N", "help": "batches in a round (5)"},
        },
        "eat": {
            "--seconds": {"nargs": "+", "type": int, "metavar": "N", "help": "lengths of one example (1 5 10)"},
            "--medium": {"action": "store_true", "help": "time EAT-M in place of EAT-S"},
        },
        "gpu": {"--width": width},
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
        "pipeline": "Times of decoding, batches and training steps, and how long a step waits for its data.",
        "eat": "Time and size of EAT, beside a product of two matrices.",
        "diffres": "Time and memory of DiffRes by length, and throughput by frame rate.",
        "gpu": "Networks and pooling on a GPU, in float32 and bfloat16, as the table of docs/benchmarks.md.",
    }
    for subject, summary in summaries.items():
        sub = add(subject, "bench", summary, subjects)
        sub.set_defaults(subject=subject)
        group = sub.add_argument_group("what to measure", argument_default=argparse.SUPPRESS)
        for option, settings in options[subject].items():
            group.add_argument(option, **settings)
        help = "examples per batch (32; pipeline 16, EAT and DiffRes 8)"
        group.add_argument("--batch-size", type=int, metavar="N", help=help)
        group.add_argument("--rounds", type=int, metavar="N", help="timed rounds, of which the median counts (9)")
        if subject != "gpu":  # It has both precisions, compiled.
            group.add_argument("--precision", metavar="TYPE", help="float32, bfloat16 or float16 (float32)")
            group.add_argument("--jit-compile", action=argparse.BooleanOptionalAction, help="compile by XLA (yes)")
        group.add_argument("--json", dest="json_path", metavar="FILE", help="write the figures to this file as well")


_MODEL = "a .keras file, or a name of `list pretrained`"
LISTED = (
    "networks",
    "pretrained",
    "front-ends",
    "resolutions",
    "heads",
    "poolings",
    "augmentations",
    "presets",
    "recipes",
    "datasets",
    "protocols",
)
_CONFUSION_OF = "single patches, or clips by votes or by mean scores of theirs (default: means)"
_PEAK_OF = "cut clips as juettner does: scale patches by the peak of their clip or their own, leave silent ones out"


def _add_plot_arguments(add):
    """Adds the pictures of models; the verb of a picture SUBJECT is `plot_SUBJECT`."""
    summary = "Draw activations, kernels, confusions and time warps of a model."
    subjects = add("plot", None, summary).add_subparsers(title="what to draw", metavar="SUBJECT", required=True)

    def add_subject(subject, summary, several=False):
        sub = add(subject, f"plot_{subject}", summary, subjects)
        sub.add_argument("models" if several else "model", help=_MODEL, **({"nargs": "+"} if several else {}))
        sub.add_argument("--output", metavar="FILE", help="picture to write; its suffix chooses the format")
        return sub

    diffres = add_subject("diffres", "What the DiffResLayer of a model does to the beginning of an audio file.")
    diffres.add_argument("file", help="an audio file")

    kernels = add_subject("kernels", "The kernels of a front-end that learns, and their spectra by frequency.")
    kernels.add_argument("--shown", type=int, default=12, metavar="N", help="kernels to draw (default: 12)")

    activations = add_subject("activations", "What front-ends make of clips, beside the mel spectrogram.", several=True)
    add_choice(activations, batches=False)
    activations.add_argument("--clips", nargs="+", metavar="ID", help="which (the first of each class)")

    confusion = add_subject("confusion", "Which classes a model takes for which.")
    add_choice(confusion)
    confusion.add_argument("--of", choices=("patches", "votes", "means"), default="means", help=_CONFUSION_OF)
    for sub in (activations, confusion):
        sub.add_argument("--peak-of", choices=("clip", "patch"), help=_PEAK_OF)


def _add_windows(parser, by_window):
    parser.add_argument("--windows", action="store_true", help="a row for every window, not one for the clip")
    help = "for a model that takes waveforms of any length"
    parser.add_argument("--window-seconds", type=float, metavar="X", help=help)
    help = f"of {by_window}: from one window to the next (default: half a window)"
    parser.add_argument("--hop-seconds", type=float, metavar="X", help=help)
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="windows read at a time (default: 64)")


def build_parser(arguments=("train",)):
    """Builds the parser; the flags of `train`, which are made from settings, if the arguments name it."""
    parser = Parser(prog="keras-audio-si", description="Audio classification for Keras 3.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name, verb, summary, verbs=verbs):
        sub = verbs.add_parser(name, help=summary, description=summary)
        sub.set_defaults(verb=verb)
        add_common(sub)
        return sub

    prepare = add("prepare", "prepare", "Write a data set as shards of FLAC, with statistics, duplicates and leaks.")
    add_data(prepare)
    prepare.add_argument("--output", required=True, metavar="DIR", help="folder for the shards; continues what it has")
    prepare.add_argument("--sample-rate", type=int, metavar="HZ", help="rate to resample to (default: as it is)")
    prepare.add_argument("--clips-per-shard", type=int, default=1000, metavar="N", help="(default: 1000)")
    help = "arrayrecord (default; extra shards) or tfrecord"
    prepare.add_argument(
        "--format", choices=("arrayrecord", "tfrecord"), default="arrayrecord", metavar="NAME", help=help
    )
    help = "threads (default: the number of processors; of --beam 1 for each shard)"
    prepare.add_argument("--workers", type=int, metavar="N", help=help)
    add_beam(prepare, "write shards")

    train = add("train", "train", "Train networks and test them: a preset on your data, or the tables of a paper.")
    if "train" in arguments:
        add_train_arguments(train)

    evaluate = add("evaluate", "evaluate", "Evaluate a saved model on clips: mAP, d', accuracy.")
    evaluate.add_argument("model", help=_MODEL)
    add_choice(evaluate)
    evaluate.add_argument("--output", metavar="DIR", help="folder for the average precision of each class")
    help = "folder for a report: an HTML page with intervals, curves, calibration, shifts and errors, and CSV files"
    evaluate.add_argument("--report", metavar="DIR", help=help)

    compare = add("compare", "compare", "Compare results on the same clips: differences with intervals and p-values.")
    help = "folder of `evaluate --report` or of `train`; differences are to the first. Rows of an experiment count each"
    compare.add_argument("folders", nargs="+", metavar="DIR", help=help)
    compare.add_argument("--output", metavar="DIR", help="folder for the tables as an HTML page and CSV files")

    calibrate = add("calibrate", "calibrate", "Choose thresholds of the classes on validation clips, for `tag`.")
    calibrate.add_argument("model", help=_MODEL)
    add_choice(calibrate)
    calibrate.add_argument("--output", required=True, metavar="FILE", help="the .keras file to write with them")

    shift_test = add("shift-test", "shift_test", "Measure how shifts change what saved models say.")
    shift_test.add_argument("models", nargs="+", metavar="model", help=_MODEL)
    add_choice(shift_test)
    shift_test.add_argument(
        "--protocols",
        nargs="+",
        metavar="NAME",
        help="time-N (frames), freq-N (mel bands), samples-N (default: those of time-1/3/5 and freq-1/3/5 that apply)",
    )
    which = shift_test.add_mutually_exclusive_group()
    which.add_argument("--max-clips", type=int, default=1000, metavar="N", help="largest number (default: 1000)")
    which.add_argument("--shift-clips", metavar="FILE", help="list of clips, such as shift_clips.csv of a report")
    shift_test.add_argument("--output", metavar="DIR", help="folder for the table and the stability figure")

    tag = add("tag", "tag", "Score the classes of a saved model on audio files of any length.")
    tag.usage = "keras-audio-si tag [MODEL] PATH [PATH ...] [options]"
    help = "an audio file, or a folder to search for them; before them perhaps MODEL: a .keras file, or a name of "
    help += "`list pretrained` (default: vgg41-esc10). Or - for samples without a header on standard input"
    tag.add_argument("paths", nargs="+", metavar="PATH", help=help)
    tag.add_argument("--pcm-rate", type=int, metavar="HZ", help="of -: sampling rate")
    types = ("int16", "int32", "float32")
    tag.add_argument("--pcm-type", choices=types, help="of -: type of a sample (int16), little-endian")
    tag.add_argument("--pcm-channels", type=int, metavar="N", help="of -: interleaved channels (1)")
    formats = ("table", "csv", "json", "jsonl", "audacity", "raven")
    help = "table, csv, json; of --events csv, jsonl, audacity (labels), raven (default: by --output, else the first)"
    tag.add_argument("--format", choices=formats, metavar="NAME", help=help)
    tag.add_argument("--output", metavar="FILE", help="file to write (default: standard output)")
    _add_windows(tag, "--windows and --events")
    tag.add_argument("--events", action="store_true", help="a row for every event, with onset and offset")
    help = "of --events: score below which one ends (default: half of --threshold, which begins it)"
    tag.add_argument("--offset-threshold", type=float, metavar="X", help=help)
    tag.add_argument("--min-seconds", type=float, metavar="X", help="of --events: length of the shortest (0)")
    tags = tag.add_mutually_exclusive_group()
    tags.add_argument("--top-k", type=int, metavar="N", help="number of tags (3)")
    help = "smallest score of a tag, or at which an event begins (those of calibrate, if any; of --events else 0.5)"
    tags.add_argument("--threshold", type=float, metavar="X", help=help)
    add_beam(tag, "score files")

    embed = add("embed", "embed", "Write embeddings of audio files: what the last layer of a saved model takes.")
    embed.usage = "keras-audio-si embed [MODEL] PATH [PATH ...] --output FILE [options]"
    embed.add_argument("paths", nargs="+", metavar="PATH", help="as of tag: a model or none, then files and folders")
    embed.add_argument("--output", required=True, metavar="FILE", help="file to write, .npz or .parquet")
    _add_windows(embed, "--windows")

    demo = add("demo", "demo", "Try a saved model on a local page: drop a file or record, tags over time.")
    demo.add_argument("model", nargs="?", help=f"{_MODEL} (default: vgg41-esc10)")
    demo.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: a free one from 7860 on)")
    demo.add_argument("--no-browser", action="store_true", help="only print the address")
    demo.add_argument(
        "--window-seconds", type=float, metavar="X", help="for a model that takes waveforms of any length"
    )

    export = add("export", "export", "Write a saved model for use without this package, and compare the copy.")
    export.add_argument("model", help=_MODEL)
    export.add_argument("--to", choices=("savedmodel", "onnx", "litert"), required=True, help="format")
    export.add_argument(
        "--output", required=True, metavar="PATH", help="folder to make, or .onnx or .tflite file to write"
    )
    precisions = ("float32", "float16", "int8")
    export.add_argument("--precision", choices=precisions, default="float32", help="of litert (float32)")
    help = "of litert, for a model that takes waveforms of any length"
    export.add_argument("--window-seconds", type=float, metavar="X", help=help)
    group = export.add_argument_group("real audio to compare on, which int8 needs")
    add_choice(group, required=False, batches=False)

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
    listing.add_argument("kind", nargs="?", choices=LISTED)

    _add_plot_arguments(add)
    _add_bench_arguments(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
