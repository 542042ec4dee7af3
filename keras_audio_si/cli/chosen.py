"""What the commands are given: saved models, and the clips that the arguments choose."""

import sys


def load_models(paths):
    """Models by name: that of the file, or of its folder where the file is called model.keras."""
    from keras_audio_si.models.loading import load_model
    from keras_audio_si.models.pretrained import model_file

    models = {}
    for path in map(model_file, paths):
        name = path.resolve().parent.name if path.name == "model.keras" else path.stem
        models[str(path) if name in models else name] = load_model(path)
    return models


def clips_for(model, args, any_length=False):
    """Clips that the arguments choose, decoded at the model's rate, with labels in the model's order."""
    import dataclasses

    from keras_audio_si.data.clip_files import read_clips
    from keras_audio_si.data.datasets import read_dataset
    from keras_audio_si.models.metadata import class_names_of, front_end_of

    manifest = read_dataset(args.data, args.layout)
    if args.split is None and args.folds is None and len({(clip.split, clip.fold) for clip in manifest.clips}) > 1:
        splits = sorted({clip.split for clip in manifest.clips} - {""})
        folds = sorted({clip.fold for clip in manifest.clips} - {None})
        choice = f"--split ({', '.join(splits)})" if splits else f"--folds ({', '.join(map(str, folds))})"
        raise ValueError(f"The data are divided, and the model may have been trained on a part: choose by {choice}.")
    if args.split is None and args.folds is None:
        for path in getattr(args, "models", None) or [args.model]:
            _warn_of_trained(path, manifest)
    names = class_names_of(model)
    manifest = manifest.select(args.split, args.folds)
    try:
        manifest = dataclasses.replace(manifest, class_names=names or manifest.class_names)
    except ValueError as error:
        raise ValueError(f"The labels of {args.data} do not suit the model: {error}") from None
    return read_clips(manifest, front_end_of(model, any_length).sample_rate, args.cache_dir)


def _warn_of_trained(path, manifest):
    """Prints a warning if the run that a model is of was trained on some of the clips."""
    import os
    import pathlib

    from keras_audio_si.data.manifest import Manifest
    from keras_audio_si.experiments.runner import MANIFEST, RECORD

    folder = pathlib.Path(path).parent
    if not all(file.is_file() for file in (pathlib.Path(path), folder / RECORD, folder / MANIFEST)):
        return
    run = Manifest.read(folder / MANIFEST)
    trained = {os.path.realpath(run.root / clip.path) for clip in run.clips if clip.split == "train"}
    number = sum(os.path.realpath(file) in trained for file in manifest.paths())
    if number:
        print(
            f"warning: {path} was trained on {number} of these {len(manifest)} clips; --data {folder / MANIFEST} "
            "--split test has those that it was not.",
            file=sys.stderr,
        )
