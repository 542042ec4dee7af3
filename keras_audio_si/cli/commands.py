"""All commands except `train`, `tag` and `embed`; what a command needs is imported when it runs."""

import os

from keras_audio_si.cli.arguments import CACHE_DIR, verbosity
from keras_audio_si.cli.chosen import clips_for, load_models
from keras_audio_si.cli.outputs import check_file, check_folder, check_no_input, check_picture
from keras_audio_si.escaping import one_line


def prepare(args):
    from keras_audio_si.data import prepare, read_dataset
    from keras_audio_si.data.corpus import describe

    check_folder("--output", args.output)
    manifest = read_dataset(args.data, args.layout)
    options = (args.sample_rate, args.clips_per_shard, args.format, args.workers)
    print(describe(prepare(manifest, args.output, *options, pipeline_options=args.beam)))
    print("Prepared:", args.output)


def evaluate(args):
    from keras_audio_si.evaluation.clips import evaluate_clips
    from keras_audio_si.evaluation.report import format_text, quantities, trainable_parameters, write_table
    from keras_audio_si.inference.patching import patch_dataset

    _check_evaluation(args)
    ((name, model),) = load_models([args.model]).items()
    cache = clips_for(model, args)
    evaluation = evaluate_clips(model, patch_dataset(model, cache), args.batch_size, verbose=verbosity())
    print(f"{len(cache)} clips")
    print(format_text([{"model": name, "parameters": trainable_parameters(model), **quantities(evaluation)}]))
    if evaluation.excluded_classes:
        print(f"Without a test clip, in no mean: {', '.join(map(one_line, sorted(evaluation.excluded_classes)))}")
    if args.output:
        counts = evaluation.clips.targets.sum(axis=0)
        rows = [
            {"class": label, "clips": str(int(count)), "average precision": float(precision)}
            for label, count, precision in zip(evaluation.clips.class_names, counts, evaluation.per_class, strict=True)
        ]
        print("Per class:", *write_table(rows, args.output, "per_class"))
    if args.report:
        from keras_audio_si.evaluation.html_report import write_report

        data = os.path.basename(os.path.abspath(args.data))
        data += f", split {args.split}" if args.split else ""
        data += f", fold{'s' if len(args.folds) > 1 else ''} {', '.join(map(str, args.folds))}" if args.folds else ""
        path = write_report(evaluation, model, cache, args.report, name, data, batch_size=args.batch_size)
        print("Report:", path)


def _check_evaluation(args):
    """Refuses outputs of `evaluate` that could not be written, or that would replace each other."""
    from keras_audio_si.checks import check_matplotlib
    from keras_audio_si.evaluation.html_report import check_report_folder
    from keras_audio_si.evaluation.page import check_jinja2

    check_folder("--output", args.output)
    check_folder("--report", args.report)
    if args.report:
        check_jinja2()
        check_matplotlib()
        check_report_folder(args.report)
        if args.output and os.path.realpath(args.output) == os.path.realpath(args.report):
            raise ValueError(
                "`--output` and `--report` must be different folders, as both write per_class.csv. That of the report "
                f"has all that the other has: leave `--output` out. Received: {args.output}"
            )


def compare(args):
    from keras_audio_si.evaluation.comparison import compare_results, format_comparison, write_comparison
    from keras_audio_si.evaluation.page import check_jinja2
    from keras_audio_si.experiments.scored_runs import read_results

    check_folder("--output", args.output)
    if args.output:
        check_jinja2()
    comparison = compare_results(read_results(args.folders))
    print(format_comparison(comparison))
    if args.output:
        print("Comparison:", *write_comparison(comparison, args.output))


def calibrate(args):
    from keras_audio_si.evaluation.clips import evaluate_clips
    from keras_audio_si.evaluation.thresholds import f1_thresholds
    from keras_audio_si.files import written_whole
    from keras_audio_si.inference.patching import patch_dataset
    from keras_audio_si.models import set_thresholds

    check_file("--output", args.output, (".keras",))
    ((_, model),) = load_models([args.model]).items()
    patches = patch_dataset(model, clips_for(model, args))
    clips = evaluate_clips(model, patches, args.batch_size, verbose=verbosity()).clips
    thresholds = f1_thresholds(clips.targets, clips.scores)
    set_thresholds(model, thresholds)
    with written_whole(args.output) as temporary:
        model.save(temporary)
    targets, found = clips.targets > 0, clips.scores >= thresholds
    print(f"{len(targets)} clips. Thresholds with the largest F1 on them, kept in {args.output}:\n")
    names = list(map(one_line, clips.class_names))
    width = max(map(len, names))
    print(f"{'class':{width}}  {'clips':>6}  {'threshold':>9}  {'precision':>9}  {'recall':>6}")
    for number, name in enumerate(names):
        both, one, other = ((targets & found)[:, number].sum(), found[:, number].sum(), targets[:, number].sum())
        shares = [f"{both / count:.3f}" if count else "-" for count in (one, other)]
        print(f"{name:{width}}  {other:6}  {thresholds[number]:9.4f}  {shares[0]:>9}  {shares[1]:>6}")


def shift_test(args):
    from keras_audio_si.checks import check_integer, check_matplotlib
    from keras_audio_si.evaluation.report import format_text, quantities, trainable_parameters, write_table
    from keras_audio_si.evaluation.shift import paper_protocols, parse_protocol, shift_table
    from keras_audio_si.evaluation.shift_clips import SHIFT_CLIPS, shift_patches, write_clip_list
    from keras_audio_si.models.metadata import class_names_of, front_end_of
    from keras_audio_si.visualization.stability import write_stability

    check_integer(1, max_clips=args.max_clips)
    for protocol in args.protocols or ():
        parse_protocol(protocol)
    check_folder("--output", args.output)
    if args.output:
        check_matplotlib()
    models = load_models(args.models)
    first = next(iter(models.values()))
    kinds = {
        (model.input_shape, front_end_of(model).sample_rate, front_end_of(model).hop_length, class_names_of(model))
        for model in models.values()
    }
    if len(kinds) > 1:
        raise ValueError("Models that are compared must have the same input length, sample rate, frames and classes.")
    protocols = args.protocols or paper_protocols(models.values())
    cache = clips_for(first, args)
    patches = shift_patches(first, cache, protocols, args.max_clips, clip_list=args.shift_clips)
    results = []
    for name, model in models.items():
        shifts = shift_table(model, patches.waveforms, protocols, batch_size=args.batch_size)
        results.append({"model": name, "parameters": trainable_parameters(model), **quantities(shifts=shifts)})
    print(format_text(results))
    print(f"Shifts: {len(patches.starts)} clips")
    if args.output:
        print("Table:", *write_table(results, args.output, "shifts"))
        print("Figure:", write_stability(models, cache, patches, args.output))
        write_clip_list(patches, cache, os.path.join(args.output, SHIFT_CLIPS))


def demo(args):
    from keras_audio_si.checks import check_interval
    from keras_audio_si.demo_page import demo_page, serve_demo
    from keras_audio_si.models.pretrained import DEFAULT

    if args.port is not None:
        check_interval("[1, 65535]", port=args.port)
    ((name, model),) = load_models([args.model or DEFAULT]).items()
    serve_demo(demo_page(model, name, args.window_seconds), args.port, not args.no_browser)


def export(args):
    # Exported and compared on the CPU: a GPU may round products to TF32, and the export does not need one.
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu")
    from keras_audio_si.export.formats import check_options
    from keras_audio_si.export.formats import export as export_model

    check_options(args.to, args.precision, args.window_seconds)
    if args.to == "savedmodel":
        check_folder("--output", args.output)
    else:
        check_file("--output", args.output, makes_folder=True)
        check_no_input("--output", args.output, [args.model])
    if args.precision == "int8" and not args.data:
        raise ValueError("`--precision int8` needs `--data`: clips by which the ranges of the feature maps are chosen.")
    if not args.data:
        _check_no_choice(args)
    ((_, model),) = load_models([args.model]).items()
    cache, windows = None, None
    if args.data:
        from keras_audio_si.export.before_after import windows_over
        from keras_audio_si.spacing import evenly_spaced

        whole_clips = args.to != "litert" and model.input_shape[1] is None
        cache = clips_for(model, args, any_length=whole_clips or args.window_seconds is not None)
        if whole_clips:
            windows = [cache.waveform(number) for number in evenly_spaced(len(cache), 8)]
        else:
            windows = windows_over(model, cache, 100 if args.precision == "int8" else 8, args.window_seconds)
    largest = export_model(model, args.output, args.to, args.precision, args.window_seconds, windows)
    runtime = {"savedmodel": "TensorFlow", "onnx": "ONNX Runtime", "litert": "LiteRT"}[args.to]
    print(f"Exported and compared by {runtime} alone: {args.output}, scores within {largest:.1g}")
    if args.to == "litert" and cache is not None:
        _print_before_after(model, args.output, cache, args.window_seconds)


def _check_no_choice(args):
    """Refuses arguments of `add_choice`, which would have no effect without data."""
    defaults = {"layout": "auto", "cache_dir": CACHE_DIR, "split": None, "folds": None}
    for name, default in defaults.items():
        if getattr(args, name) != default:
            flag = "no-cache" if name == "cache_dir" and args.cache_dir is None else name.replace("_", "-")
            raise ValueError(f"`--{flag}` needs `--data`, the clips that it is of: give both or neither.")


def _print_before_after(model, path, cache, window_seconds):
    from keras_audio_si.evaluation.report import format_text
    from keras_audio_si.export.before_after import before_after

    found = before_after(model, path, cache, window_seconds=window_seconds)
    print(format_text(found.rows))
    print(
        f"{found.windows} windows of {len(cache)} clips: scores differ by {found.largest:.2g} at most and by "
        f"{found.mean:.2g} on average; the top class is the same in {found.agreement:.1%}."
    )


def import_weights(args):
    from keras_audio_si.data.text_files import read_text
    from keras_audio_si.export import eat_weights
    from keras_audio_si.export.pytorch_files import read_checkpoint
    from keras_audio_si.files import written_whole

    check_file("--output", args.output, (".keras",))
    names = None
    if args.class_names:
        names = tuple(line.strip() for line in read_text(args.class_names).splitlines() if line.strip())
    model, report = eat_weights.import_state_dict(
        read_checkpoint(args.checkpoint),
        heads=args.heads,
        activation=args.activation,
        class_names=names,
        sample_rate=args.sample_rate,
    )
    with written_whole(args.output) as temporary:
        model.save(temporary)
    print(eat_weights.format_report(report))
    print(f"{len(report)} tensors, {model.count_params():,} values: {args.output}, input {model.input_shape}")


def export_weights(args):
    from keras_audio_si.export.eat_weights import export_state_dict
    from keras_audio_si.export.pytorch_files import write_checkpoint

    check_file("--output", args.output)
    check_no_input("--output", args.output, [args.model])
    ((_, model),) = load_models([args.model]).items()
    tensors = export_state_dict(model)
    write_checkpoint(tensors, args.output)
    print(f"{len(tensors)} tensors: {args.output}")


def list_names(args):
    from keras_audio_si.data.datasets import LAYOUTS
    from keras_audio_si.evaluation.shift import PAPER_PROTOCOLS
    from keras_audio_si.experiments.model import FRONT_ENDS, HEADS, RESOLUTIONS
    from keras_audio_si.experiments.presets import PRESETS
    from keras_audio_si.experiments.recipes import RECIPES
    from keras_audio_si.experiments.settings import AUGMENTATIONS, MIXINGS
    from keras_audio_si.layers.pooling_names import EXAMPLES
    from keras_audio_si.models.networks import NETWORKS
    from keras_audio_si.models.pretrained import PRETRAINED

    known = {
        "networks": [f"{name:18}{network.summary}" for name, network in NETWORKS.items()],
        "pretrained": [f"{name:18}{summary}" for name, summary in PRETRAINED.items()],
        "front-ends": [f"{name:18}{_summary(build)}" for name, build in FRONT_ENDS.items() if build],
        "resolutions": ["none", *(f"{name:18}{_summary(build)}" for name, build in RESOLUTIONS.items() if build)],
        "heads": [f"{name:20}{_summary(layer)}" for name, layer in HEADS.items()],
        "poolings": (*EXAMPLES, "and blurK, tlpfK, tlpfTxM (time x mel) of any size, alone or +aps"),
        "augmentations": (*AUGMENTATIONS, "mixings: " + ", ".join(MIXINGS)),
        "presets": PRESETS,
        "recipes": [line for recipe in RECIPES.values() for line in _recipe_lines(recipe)],
        "datasets": LAYOUTS,
        "protocols": (*PAPER_PROTOCOLS, "and time-N (frames), freq-N (mel bands), samples-N"),
    }
    for kind in [args.kind] if args.kind else known:
        print(f"{kind}:", *known[kind], sep="\n  ")


def _summary(thing):
    return thing.__doc__.strip().partition("\n")[0]


def _recipe_lines(recipe):
    yield f"{recipe.name:37}{recipe.summary}"
    for table, rows in recipe.tables.items():
        yield f"    table {table}: {'; '.join(rows)}"


def bench(args):
    import importlib
    import inspect

    check_file("--json", getattr(args, "json_path", None), makes_folder=True)
    module = importlib.import_module(f"keras_audio_si.bench.{args.subject}")
    bench = getattr(module, f"bench_{args.subject}")
    names = inspect.signature(bench).parameters
    bench(**{name: value for name, value in vars(args).items() if name in names})


def plot_diffres(args):
    import pathlib

    from keras_audio_si.visualization.diffres import plot_warped_clip
    from keras_audio_si.visualization.warped_clips import first_patch, warped_clip

    check_picture("--output", args.output)
    ((name, model),) = load_models([args.model]).items()
    clip = warped_clip(model, first_patch(model, args.file))
    file = pathlib.Path(args.file)
    print("Picture:", plot_warped_clip(clip, args.output or f"{file.stem}-diffres.png", f"{file.name} in {name}"))


def plot_kernels(args):
    from keras_audio_si.models.metadata import front_end_of
    from keras_audio_si.visualization.front_ends import plot_kernels
    from keras_audio_si.visualization.kernels import first_kernels

    check_picture("--output", args.output)
    ((name, model),) = load_models([args.model]).items()
    front_end = front_end_of(model, any_length=True)
    kernels = first_kernels(front_end)
    title = f"{name}: {len(kernels)} kernels of {front_end.name}"
    print(plot_kernels(kernels, front_end.sample_rate, args.output or "kernels.png", title, args.shown))


def plot_activations(args):
    from keras_audio_si.visualization.activations import front_activations, loudest_patches, one_clip_per_class
    from keras_audio_si.visualization.front_ends import plot_activations

    check_picture("--output", args.output)
    models = load_models(args.models)
    patches = _patches_for(next(iter(models.values())), args)
    if args.clips:
        unknown = sorted(set(args.clips) - set(patches.clip_ids))
        if unknown:
            raise ValueError(f"`--clips` must be ids of the chosen clips, such as {patches.clip_ids[0]!r}: {unknown}")
        clips = [patches.clip_ids.index(clip) for clip in args.clips]
    else:
        clips = one_clip_per_class(patches)
        if not clips:
            raise ValueError("None of the chosen clips has a label: name some clips by `--clips`.")
    labels = [", ".join(patches.class_names[i] for i in patches.labels[clip].nonzero()[0]) for clip in clips]
    found = front_activations(models, patches.waveforms(loudest_patches(patches, clips)))
    print(plot_activations(found, labels, args.output or "activations.png"))


def plot_confusion(args):
    from keras_audio_si.evaluation.patches import evaluate_patches
    from keras_audio_si.visualization.classification import plot_confusion

    check_picture("--output", args.output)
    ((name, model),) = load_models([args.model]).items()
    patches = _patches_for(model, args)
    evaluation = evaluate_patches(model, patches, args.batch_size, verbose=verbosity())
    of = {"patches": "patches", "votes": "clip_votes", "means": "clip_means"}[args.of]
    what = {"patches": "patches", "votes": "clips by votes", "means": "clips by mean scores"}[args.of]
    path = args.output or "confusion.png"
    print(plot_confusion(getattr(evaluation, of), evaluation.class_names, path, f"{name}, {what}"))


def _patches_for(model, args):
    """Patches of the clips that the arguments choose, cut as evaluation does or, with `peak_of`, as juettner does."""
    from keras_audio_si.data.loud_patches import cut_loud_patches
    from keras_audio_si.inference.patching import patch_dataset
    from keras_audio_si.models import piczak_spectrogram

    cache = clips_for(model, args)
    if args.peak_of is None:
        return patch_dataset(model, cache)
    patches, counts = cut_loud_patches(
        cache, piczak_spectrogram(cache.sample_rate), model.input_shape[1], short="repeat", peak_of=args.peak_of
    )
    print(counts)
    return patches
