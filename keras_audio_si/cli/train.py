"""The command `train`: trains any network on any data with a preset, or the tables of a paper."""

import itertools
import os
import shlex
import sys

from keras_audio_si.cli.arguments import add_saving, add_settings, add_source, saving_of, verbosity
from keras_audio_si.cli.outputs import check_file, check_folder
from keras_audio_si.experiments.settings import AS_BUILT, Settings, part_of

_RECORDED = ("mAP", "accuracy", "train mAP", "train accuracy")  # Values that --results takes, where they were measured.


def add_arguments(parser):
    """Adds the arguments of `train`."""
    parser.usage = "keras-audio-si train --data PATH --output DIR [--preset NAME | --recipe NAME] [options]"
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the models and the report")
    group = parser.add_argument_group("what is trained")
    help = "settings to start from: quick (15 minutes on two cores), thorough (hours, or a GPU) or paper (quick)"
    group.add_argument("--preset", choices=("quick", "thorough", "paper"), help=help)
    group.add_argument("--recipe", metavar="NAME", help="a published experiment, see `list recipes`")
    group.add_argument("--table", nargs="+", metavar="N", help="its tables (default: the main one)")
    group.add_argument("--row", nargs="+", metavar="NAME", help="some of the rows of its tables (default: all)")
    seeds = group.add_mutually_exclusive_group()
    help = "one number: how many, from seed 0 on; several: which (default: seed 0 alone)"
    seeds.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N", help=help)
    seeds.add_argument("--seed", dest="single_seed", type=int, metavar="N", help="this seed alone")
    group.add_argument("--teacher", metavar="DIR", help="report with the same rows, folds and seeds, to distil from")
    group = parser.add_argument_group("data and folds")
    add_source(group)
    help = "each of these folds is the test once: numbers, or all"
    group.add_argument("--folds", nargs="+", type=_fold, metavar="N", help=help)
    group.add_argument("--train-folds", nargs="+", type=int, metavar="N", help="folds to train on (all others)")
    help = "folds to validate on: numbers, or previous, the one before the test (default: --validation-split)"
    group.add_argument("--validation-folds", nargs="+", type=_fold, metavar="N", help=help)
    group.add_argument("--test-folds", nargs="+", type=int, metavar="N", help="folds that are the test together")
    group.add_argument("--decoder", default="soundfile", metavar="NAME", help="soundfile or tensorflow-io (soundfile)")
    help = "CSV file such as recipes/results.csv that the means of the rows are appended to"
    parser.add_argument("--results", metavar="FILE", help=help)
    help = "devices that train together, on each host (1; of several hosts all); see docs/scale.md"
    parser.add_argument("--devices", type=int, metavar="N", help=help)
    add_saving(parser)
    add_settings(parser, Settings, without=("seed",))


def _fold(text):
    return text if text in ("all", "previous") else int(text)


def train(args):
    """Trains and tests what the arguments name, on the devices that they name, and prints the table."""
    from keras_audio_si.distribution import data_parallel, several_hosts

    # Before all else: several hosts must find each other before the backend starts.
    devices = 1 if args.devices is None and not several_hosts() else args.devices
    with data_parallel(devices) as place:
        _train(args, place)


def _train(args, place):
    from keras_audio_si.data.datasets import read_dataset
    from keras_audio_si.experiments import report
    from keras_audio_si.experiments.results import read_results
    from keras_audio_si.experiments.runner import run_experiment

    if place.process == 0:  # Other hosts write to neither.
        check_folder("--output", args.output)
        _check_apart(args)
        check_file("--results", args.results)
        if args.results:
            read_results(args.results)  # Refuses another file before the training.
    given = {name: value for name, value in vars(args).items() if name in part_of()}
    if given.get("shift_clips") is not None and "max_shift_clips" in given:
        raise ValueError("--shift-clips lists all clips: leave --max-shift-clips out, the number to draw.")
    seeds = _seeds(args)
    if args.recipe is not None:
        rows, paper, recipe = _recipe_rows(args, given)
        quantity = recipe.quantity_of(recipe.tables_of(args.table, args.row).values())
        layout, folds = (recipe.layout if args.layout == "auto" else args.layout), recipe.folds
    else:
        for name in ("table", "row"):
            if getattr(args, name):
                raise ValueError(f"--{name} belongs to --recipe NAME; see `keras-audio-si list recipes`.")
        rows, paper, layout, folds = {"": _preset(args, given)}, None, args.layout, {}
        quantity = rows[""].training.monitor.removeprefix("val_").replace("d_prime", "d'").replace("_", " ")
    manifest = read_dataset(args.data, layout)
    divisions = _divisions(args, manifest, next(iter(rows.values())).data, folds)
    if args.recipe is None:
        rows = {"": _for_clips(args, given, divisions)}
    _check_parts(rows, manifest.class_names)
    _check_labels(rows, divisions)
    _print_plan(rows, divisions, seeds, args)
    scores = run_experiment(
        rows,
        divisions,
        args.output,
        args.cache_dir,
        seeds,
        paper,
        quantity,
        args.teacher,
        args.decoder,
        verbose=verbosity(),
        command=_command(),
        **saving_of(args),
    )
    print(f"\n{report.summary(scores, paper, quantity)}\n")
    if args.results and place.process == 0:
        _append_results(args, rows, scores, paper, quantity, divisions)
    of_runs = "model.keras, model_card.md, clips.csv and logs of each run"
    print(f"Report: {args.output}/ (runs.csv, table.csv, table.md, figures; {of_runs})")


def _check_apart(args):
    """Refuses to begin a report in the folder of the data, which would be read by the manifest of the report then."""
    from keras_audio_si.experiments.runner import RECORD

    same = os.path.realpath(args.output) == os.path.realpath(args.data)
    if same and not os.path.exists(os.path.join(args.output, RECORD)):
        raise ValueError(f"`--output` must be another folder than that of the data. Received: {args.output}")


def _seeds(args):
    """The seeds of `--seed`, or of `--seeds`, which says how many or names several."""
    if args.single_seed is not None:
        seeds = [args.single_seed]
    elif len(args.seeds) > 1:
        seeds = args.seeds
    elif args.seeds[0] >= 1:
        seeds = list(range(args.seeds[0]))
    else:
        raise ValueError(
            "--seeds with one number says how many seeds there are, at least 1; a single seed is named by --seed. "
            f"Received: --seeds {args.seeds[0]}"
        )
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"Seeds must be different, and 0 or more. Received: {', '.join(map(str, seeds))}")
    return seeds


def _check_parts(rows, class_names):
    """Builds every model without its weights: what does not fit is known before audio is decoded."""
    import keras

    from keras_audio_si.evaluation.shift import check_protocols
    from keras_audio_si.experiments.model import build_augmentation, build_model
    from keras_audio_si.models.metadata import check_sample_rate

    for settings in rows.values():
        if settings.model.initial is not None:
            model = build_model(class_names, settings)
            check_sample_rate(model, settings.data.sample_rate)
        with keras.StatelessScope(initialize_variables=False):
            if settings.model.initial is None:
                model = build_model(class_names, settings.changed(weights=None))
            build_augmentation(settings)
        check_protocols(model, settings.evaluation.protocols)


def _check_labels(rows, divisions):
    """Refuses training clips whose labels a loss is not for."""
    from keras_audio_si.training.losses import check_labels

    for settings, manifest in itertools.product(rows.values(), divisions.values()):
        clips = manifest.select(split="train").clips
        names, counts = [clip.clip_id for clip in clips], [len(clip.labels) for clip in clips]
        check_labels(settings.training.loss, manifest.class_names, names, counts)


def _recipe_rows(args, given):
    from keras_audio_si.checks import check_choice
    from keras_audio_si.experiments.recipes import RECIPES

    if args.preset is not None:
        raise ValueError("--recipe and --preset exclude each other: a recipe has the settings of its paper.")
    check_choice("recipe", args.recipe, RECIPES)
    recipe = RECIPES[args.recipe]
    if recipe.needs_initial and not given.get("initial"):
        raise ValueError(f"The recipe {args.recipe!r} starts from a trained model: name one by --initial.")
    return *recipe.rows(args.table, args.row, **given), recipe


def _preset(args, given, **clips):
    from keras_audio_si.experiments.presets import preset

    return preset(args.preset or "quick", **given, **clips)


def _for_clips(args, given, divisions):
    """The settings of the preset for the training clips of the first division."""
    from keras_audio_si.data.statistics import clip_statistics

    clips = clip_statistics(next(iter(divisions.values())).select(split="train"))
    labels = "one label" if clips.single_label else "any number of labels"
    length = f"{clips.median_seconds:.3g} s (median)"
    print(f"Preset {args.preset or 'quick'} for {clips.num_clips} training clips of {length}, each with {labels}.")
    return _preset(args, given, clips=clips)


def _divisions(args, manifest, data, folds):
    from keras_audio_si.experiments.divisions import divide

    given = {name: getattr(args, name) for name in ("folds", "train_folds", "validation_folds", "test_folds")}
    if any(given.values()):
        folds = {name: value for name, value in given.items() if value}
    for name, word in (("folds", "all"), ("validation_folds", "previous")):
        if word in folds.get(name, ()):
            folds = {**folds, name: None if word == "all" else word}
    return divide(
        manifest,
        **folds,
        validation_split=data.validation_split,
        shared_validation_groups=data.shared_validation_groups,
    )


def _append_results(args, rows, scores, paper, quantity, divisions):
    from keras_audio_si.experiments.divisions import clip_counts
    from keras_audio_si.experiments.recipes import RECIPES
    from keras_audio_si.experiments.report import row_table
    from keras_audio_si.experiments.results import append_results

    scores = [score for score in scores if score.row in rows]  # A report that is continued may have others.
    tables = RECIPES[args.recipe].tables_of(args.table, args.row) if args.recipe else {}
    first = next(iter(divisions.values()))
    shared = {
        "paper": args.recipe or "",
        "data": f"{args.data}, {', '.join(divisions)} ({clip_counts(first)} clips)",
        "seeds": ", ".join(map(str, dict.fromkeys(score.seed for score in scores))),
        "command": _command(),
    }
    results = []
    for line in row_table(scores, paper, quantity):
        row = line["row"] if args.recipe else f"{_parts(rows[''])}, preset {args.preset or 'quick'}"
        measured = [name for name in line if name in (quantity, *_RECORDED) or name.endswith("consistency (%)")]
        of_row = {**shared, "table": tables.get(row, ""), "row": row}
        results += [{**of_row, "metric": name, "ours": _shown(line[name])} for name in measured]
    append_results(args.results, results)


def _command():
    return shlex.join(["keras-audio-si", *sys.argv[1:]])


def _shown(value):
    return f"{value.mean:.3f}" + (f" ± {value.deviation:.3f}" if value.deviation == value.deviation else "")


def _parts(settings):
    """What the waveforms go through: front-end, resolution, network, pooling; or the trained model that is taken."""
    model = settings.model
    if model.initial is not None:
        return model.initial
    network = model.network if isinstance(model.network, str) else "network"
    chain = [model.front_end, model.resolution, f"{network}, pooling {model.pooling or AS_BUILT}"]
    return " > ".join(part for part in map(str, chain) if part not in ("auto", "none"))


def _print_plan(rows, divisions, seeds, args):
    """Prints what is going to be done."""
    from keras_audio_si.checks import listed
    from keras_audio_si.experiments.divisions import clip_counts

    count = len(rows) * len(divisions) * len(seeds)
    first = next(iter(divisions.values()))
    training, validation, test = clip_counts(first).split("/")
    none = "none to validate, as the last epoch is kept (--validation-split holds some out)"
    validation = none if validation == "0" else f"{validation} to validate"
    trainings = "trainings" if count > 1 else "training"
    print(
        f"{count} {trainings}: rows {len(rows)}, divisions of the data {len(divisions)}, "
        f"seeds {len(seeds)}. Clips of the first: {training} to train on, {validation}, "
        f"{test} to test; {len(first.class_names)} classes."
    )
    for name, manifest in divisions.items():
        trained = {label for clip in manifest.select(split="train").clips for label in clip.labels}
        if lacking := [label for label in manifest.class_names if label not in trained]:
            print(f"No training clip of {name} has the classes {listed(lacking)}: their scores will mean nothing.")
    for row, settings in rows.items():
        print(f"  {row + ': ' if row else ''}{_plan_of(settings)}")
    sys.stdout.flush()


def _plan_of(settings):
    """The settings that matter the most, on one line; of a trained model that is taken none of those that build one."""
    model, training = settings.model, settings.training
    stages = [f"{epochs} epochs of {stage}" for stage, epochs in settings.stage_epochs.items()]
    lengths = {"frames": settings.data.frames, "samples": settings.data.input_samples}
    length = " ".join(f" of {number} {unit}" for unit, number in lengths.items() if number)
    smoothing = f", label smoothing {training.label_smoothing:g}" if training.label_smoothing else ""
    width, built = "", []
    if model.initial is None:
        width = "" if model.width is None else f", width {model.width:g}"
        built = [f"SpecAugment {'on' if model.spec_augment else 'off'}"]
        if model.resolution == "diffres":
            empty = f", empty frames {model.guide_emptiness}" if model.guide_emptiness else ""
            built.append(
                f"DiffRes to {model.frames_per_second:g} frames per second, guide loss {model.guide_form} (weight "
                f"{model.guide_weight:g}, threshold {model.guide_threshold:g}{empty})"
            )
        built.append(f"batch normalisation momentum {model.batch_norm_momentum or 'of the network'}")
    return ", ".join(
        [
            f"{_parts(settings)}{width}",
            *(stages or [f"{training.epochs} epochs"]),
            f"batches of {training.batch_size} patches{length}",
            f"{training.optimizer} {training.learning_rate:g}",
            training.schedule,
            f"loss {training.loss}{smoothing}",
            f"augmentation {model.augment}",
            f"mixing {_mixing_of(settings)}",
            *built,
            f"averages of the weights {training.ema_decay or 'none'}",
        ]
    )


def _mixing_of(settings):
    """What is mixed with which probability and labels, and when it begins."""
    model, training = settings.model, settings.training
    ways = []
    if model.mixings:
        ways.append(f"{', '.join(model.mixings)} (probability {model.mixing_probability:g}, labels {model.label_rule})")
    if training.mixup_alpha is not None:
        name = "gain-aware mixup" if training.mixup_gain_aware else "mixup"
        ways.append(f"{name} (alpha {training.mixup_alpha:g}, probability {training.mixup_probability:g})")
    start = f" after {training.mixing_from_epoch} epochs" if training.mixing_from_epoch else ""
    return f"{' and '.join(ways)}{start}" if ways else "none"
