"""The commands `tag` and `embed`; what they need is imported when they run."""

import os
import sys

from keras_audio_si.cli.chosen import load_models
from keras_audio_si.cli.outputs import check_file, check_no_input


def tag(args):
    import contextlib

    import numpy as np

    from keras_audio_si.escaping import shown
    from keras_audio_si.files import AGAIN, is_device, writing, written_whole
    from keras_audio_si.inference.event_tables import write_events
    from keras_audio_si.inference.events import find_events
    from keras_audio_si.inference.part_file import PartFile
    from keras_audio_si.inference.patching import patch_layout
    from keras_audio_si.inference.tag_tables import Progress, write_tags
    from keras_audio_si.inference.tagging import FoundFile, find_audio, required_class_names, tag_files
    from keras_audio_si.models import thresholds_of

    format = _tag_format(args)
    check_file("--output", args.output)
    model, paths = _model_and_paths(args.paths)
    stream = _standard_input(args, paths)
    if args.beam is not None and (stream or not args.output):
        raise ValueError("`--beam` needs `--output`, and files rather than `-`.")
    files, names = [FoundFile("-")] if stream else find_audio(paths), required_class_names(model)
    _check_no_input(args, files)
    if format == "audacity" and len(files) > 1:
        raise ValueError(f"Audacity labels are of one audio file. Received: {len(files)}. Take another `--format`.")
    threshold = args.threshold
    if threshold is None and args.top_k is None:
        threshold = thresholds_of(model)
    windows = (args.windows or args.events, args.window_seconds, args.hop_seconds)
    layout = patch_layout(model, args.window_seconds, args.hop_seconds)
    groups = f"{args.output}.groups"
    if args.events:  # Refuses thresholds before files are scored.
        find_events(np.zeros((0, len(names))), 1.0, names, *_event_thresholds(threshold, args))

    def score(files, count):
        progress = Progress(count)
        if args.beam is None:
            results = tag_files(model, files, *windows, args.batch_size, progress, stream)
        else:
            from keras_audio_si.inference.beam_tagging import tag_files_by_beam  # Imports Apache Beam: seconds.

            results = tag_files_by_beam(model, files, groups, args.beam, *windows, args.batch_size)
        results = progress.finishing(results)
        return _events(results, names, layout, threshold, args) if args.events else ((row, None) for row in results)

    with contextlib.ExitStack() as stack:
        out = sys.stdout
        if args.output:
            stack.enter_context(writing(os.path.dirname(args.output) or ".", AGAIN))
        if args.output and not is_device(args.output) and not stream and args.beam is None:
            part = stack.enter_context(PartFile(args.output, _run_of(model, windows, threshold, args)))
            results = part.completed(files, score)
        else:
            results = score(files, len(files))
        if args.output:
            temporary = stack.enter_context(written_whole(args.output))
            out = stack.enter_context(open(temporary, "w", newline="", encoding="utf-8"))
        if args.events:
            failed = write_events(format, results, out, layout.sample_rate)
        else:
            widest = max(len(shown(file.path)) for file in files)
            scores = (result for result, _ in results)
            failed = write_tags(format, scores, names, out, args.top_k, threshold, widest)
    if args.beam is not None:
        from keras_audio_si.inference.beam_tagging import remove_results

        remove_results(groups)
    return 1 if failed else 0


def embed(args):
    from keras_audio_si.files import AGAIN, writing
    from keras_audio_si.inference.embeddings import check_suffix, write_embeddings
    from keras_audio_si.inference.part_file import PartFile
    from keras_audio_si.inference.tag_tables import Progress
    from keras_audio_si.inference.tagging import find_audio, tag_files
    from keras_audio_si.models import embedding_model

    check_suffix(args.output)
    check_file("--output", args.output)
    model, paths = _model_and_paths(args.paths)
    files = find_audio(paths)
    _check_no_input(args, files)
    windows = (args.windows, args.window_seconds, args.hop_seconds)

    def score(files, count):
        progress = Progress(count)
        results = tag_files(embedding_model(model), files, *windows, args.batch_size, progress)
        return ((result, None) for result in progress.finishing(results))

    with (
        writing(os.path.dirname(args.output) or ".", AGAIN),
        PartFile(args.output, _run_of(model, windows)) as part,
    ):
        results = part.completed(files, score)
        return 1 if write_embeddings((result for result, _ in results), args.output) else 0


def _run_of(model, windows, threshold=None, args=None):
    """What the results of `tag` or `embed` depend on besides the files."""
    from keras_audio_si.inference.part_file import digest_of

    run = dict(zip(("windows", "window-seconds", "hop-seconds"), windows, strict=True))
    run = {"command": "embed" if args is None else "tag", "model": digest_of(model)} | run
    if args is not None and args.events:  # Tags are chosen when they are written.
        run |= {"events": True, "threshold": threshold, "min-seconds": args.min_seconds}
        run |= {"offset-threshold": args.offset_threshold}
    return run


def _tag_format(args):
    """The format of what `tag` writes; refuses arguments that do not go together."""
    from keras_audio_si.checks import check_integer, check_interval
    from keras_audio_si.inference.event_tables import EVENT_FORMATS
    from keras_audio_si.inference.tag_tables import FORMATS

    if args.hop_seconds is not None and not (args.windows or args.events):
        raise ValueError("`--hop-seconds` needs `--windows` or `--events`.")
    if args.events and (args.windows or args.top_k is not None):
        raise ValueError("`--events` does not go with `--windows` and `--top-k`.")
    if args.top_k is not None:
        check_integer(1, top_k=args.top_k)
    if args.threshold is not None:
        check_interval("[0, 1]", threshold=args.threshold)
    for name in ("offset_threshold", "min_seconds"):
        if getattr(args, name) is not None and not args.events:
            raise ValueError(f"`--{name.replace('_', '-')}` needs `--events`.")
    kind, formats, others = ("events", EVENT_FORMATS, FORMATS) if args.events else ("tags", FORMATS, EVENT_FORMATS)
    suffix = os.path.splitext(args.output or "")[1].lower()
    format = args.format or suffix.removeprefix(".")
    if format in formats:
        return format
    if format in others:
        received = args.format or f"the suffix {suffix} of `--output`: give another, or `--format`"
        raise ValueError(f"`--format` of {kind} must be one of {', '.join(formats)}. Received: {received}")
    return next(iter(formats))


def _standard_input(args, paths):
    """The function that streams standard input if it is to be tagged, or None."""
    from keras_audio_si.checks import check_integer
    from keras_audio_si.data.audio_stream import stream_pcm

    if (args.pcm_rate is not None) != (paths == ["-"]):
        raise ValueError("`-`, alone, and `--pcm-rate` need each other.")
    given = {"channels": args.pcm_channels, "dtype": args.pcm_type}
    given = {name: value for name, value in given.items() if value is not None}
    if args.pcm_rate is None:
        if given:
            raise ValueError("`--pcm-channels` and `--pcm-type` are of `-`: files say theirs. Leave them out.")
        return None
    if sys.stdin is None:
        raise ValueError("`-` is standard input, which is closed.")
    check_integer(1, pcm_rate=args.pcm_rate, pcm_channels=given.get("channels", 1))
    return lambda path, rate: stream_pcm(sys.stdin.buffer, args.pcm_rate, rate, **given)


def _events(results, class_names, layout, threshold, args):
    from keras_audio_si.inference.events import find_events, scores_over_time

    hop = layout.hop_samples / layout.sample_rate
    thresholds = _event_thresholds(threshold, args)
    for result in results:
        if result.error is not None:
            yield result, []
        else:
            scores = scores_over_time(result.starts, result.ends, result.scores, hop)
            yield result, find_events(scores, hop, class_names, *thresholds, result.seconds)


def _event_thresholds(threshold, args):
    """The arguments of `find_events` from `threshold` to `min_seconds`."""
    return 0.5 if threshold is None else threshold, args.offset_threshold, args.min_seconds or 0.0


def _check_no_input(args, files):
    """Refuses an output that would replace audio or the model, also where the shell has taken it for a recording."""
    from keras_audio_si.data.audio_io import AUDIO_SUFFIXES
    from keras_audio_si.data.shards import file_of

    suffix = os.path.splitext(args.output or "")[1].lower()
    if suffix in (*AUDIO_SUFFIXES, ".keras"):
        raise ValueError(f"`--output` is a table, and {suffix} is no suffix of one. Received: {args.output}")
    check_no_input("--output", args.output, [args.paths[0], *(file_of(file.path) for file in files)])


def _model_and_paths(paths):
    """Splits what `tag` and `embed` are given: a `.keras` file or the name of a pretrained model, if any, and the rest.

    Returns:
        `(model, paths)`; the model is that of the package where the first is neither.
    """
    from keras_audio_si.checks import nearest
    from keras_audio_si.models import class_names_of
    from keras_audio_si.models.pretrained import DEFAULT, PRETRAINED, pretrained

    first, *others = paths
    near = "" if first in PRETRAINED or os.path.exists(first) else nearest(first, PRETRAINED)
    if near:
        raise ValueError(f"There is neither a file nor a model {first!r}{near}")
    if not first.endswith(".keras") and (first not in PRETRAINED or os.path.exists(first)):
        model = pretrained(DEFAULT)
        classes = ", ".join(class_names_of(model))
        print(f"Model: {DEFAULT} of the package, as none is given (classes: {classes}).", file=sys.stderr)
        return model, paths
    if not others:
        raise ValueError(f"An audio file or a folder is needed behind the model. Received: {first}")
    return next(iter(load_models([first]).values())), others
