"""Model card of a run: what was trained on what, how, and what was measured, as a Markdown file beside the model."""

import pathlib

import keras
import numpy as np

import keras_audio_si
from keras_audio_si.escaping import markdown, one_line
from keras_audio_si.evaluation.report import format_markdown
from keras_audio_si.experiments.settings import AS_BUILT
from keras_audio_si.files import written_whole
from keras_audio_si.training.run_folder import BEST_MODEL

CARD = "model_card.md"
FEW_CLIPS = 10  # A class with fewer test clips is named among the limits.
_LISTED = 30
_NOT_MEASURED = ("parameters", "epochs", "seconds")
_OF_SHIFTS = " consistency (%)"  # Of the names of what a shift test measures, see `evaluation.report.quantities`.
_TEMPLATE = """# {name}

{network}, from mono waveforms at {sample_rate} Hz in windows of {seconds:.2f} s to scores of {num_classes} classes:
{classes}.
{parameters:,} trainable parameters. The file is `{file}`.

    keras-audio-si tag {file} recording.wav

Fill in before the model is passed on:

- Authors and contact:
- Licence of the model:
- Licence and source of the training data:
- What it is meant for, and what not:

## Data

Folder or manifest: `{data}`.

{splits}

## Training

{command}
{settings}

## Results

Of {test_clips} test clips, by the training with seed {seed}. The score of a clip is the mean over its windows.

{results}

## Limits

{limits}

## Versions

keras-audio-si {version}, Keras {keras_version} on {backend}, NumPy {numpy_version}.
"""


def write_card(model, patches, settings, values, folder, command=""):
    """Writes `model_card.md`.

    Args:
        model: The trained model.
        patches: Dict of the `PatchDataset` of "train", "test" and perhaps "val".
        settings: `Settings` of the run.
        values: Dict of the measured values by name, as `run.measured` has them.
        folder: Folder of the run.
        command: Command line that started it; left out where empty.

    Returns:
        Path of the card.
    """
    folder = pathlib.Path(folder)
    test = patches["test"]
    names = [markdown(name) for name in test.class_names]
    text = _TEMPLATE.format(
        name=markdown(folder.resolve().name),
        network=markdown(_network_name(model, settings)),
        sample_rate=test.sample_rate,
        seconds=test.patch_samples / test.sample_rate,
        num_classes=len(names),
        classes=", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""),
        parameters=values["parameters"],
        file=BEST_MODEL,
        data=markdown(pathlib.Path(test.cache.manifest.root).resolve().name),
        splits=format_markdown([_split_row(split, part) for split, part in patches.items()]),
        command=f"    {one_line(command)}\n" if command else "",
        settings=format_markdown(_setting_rows(settings, values)),
        test_clips=test.num_clips,
        seed=settings.training.seed,
        results=format_markdown([{"metric": name, "value": value} for name, value in _results(values)]),
        limits="\n".join(f"- {limit}" for limit in limits(patches, settings, values)),
        version=keras_audio_si.__version__,
        keras_version=keras.__version__,
        backend=keras.backend.backend(),
        numpy_version=np.__version__,
    )
    with written_whole(folder / CARD) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return folder / CARD


def limits(patches, settings, values):
    """What the results do not show, one sentence or two each.

    Args:
        patches: As for `write_card`.
        settings: `Settings`
        values: As for `write_card`.

    Returns:
        List of str.
    """
    test = patches["test"]
    counts = np.asarray(test.labels).sum(axis=0)
    few = [markdown(name) for name, count in zip(test.class_names, counts, strict=True) if count < FEW_CLIPS]
    found = ["It was tested on clips of the same data set alone: not on other microphones, rooms, distances or places."]
    if not any(clip.group for clip in test.cache.manifest.clips):
        found.append("The data name no recordings or places: clips of one recording may be in training and test.")
    if few:
        more = f" and {len(few) - _LISTED} more" if len(few) > _LISTED else ""
        found.append(f"Fewer than {FEW_CLIPS} test clips have: {', '.join(few[:_LISTED])}{more}.")
    found.append(f"It gives scores of its {len(counts)} classes for any sound, also for one that is none of them.")
    shifts = [name.removesuffix(_OF_SHIFTS) for name in values if name.endswith(_OF_SHIFTS)]
    if shifts:
        found.append(f"Of shifts it was tested against {', '.join(shifts)} alone.")
    else:
        found.append("It was not tested against shifts.")
    found.append(
        "Noise, reverberation, compression and mixtures of sounds were not tested, nor whether scores are calibrated."
    )
    if settings.training.restore_best_weights:
        found.append("The epoch was chosen by the validation clips: figures of these are too high.")
    return found


def _split_row(split, patches):
    clips = patches.cache.manifest.clips
    folds = sorted({clip.fold for clip in clips} - {None})
    minutes = f"{patches.cache.lengths.sum() / patches.sample_rate / 60:.1f}"
    row = {"split": split, "clips": str(patches.num_clips), "minutes": minutes}
    return row | ({"folds": ", ".join(map(str, folds))} if folds else {})


def _network_name(model, settings):
    """The network of the settings; of a trained model that was taken instead, its own name or that of its network."""
    if settings.model.initial is None:
        return str(settings.record()["model"]["network"])
    last = model.layers[-1]
    return last.name if isinstance(last, keras.Model) else model.name


def _setting_rows(settings, values):
    """The settings that matter the most; all are in `settings.json` and in the `experiment.json` of the experiment."""
    record = settings.record()
    model, training, data = record["model"], record["training"], record["data"]
    built = ("front_end", "pooling", "width", "spec_augment") if model["initial"] is None else ("initial",)
    mixup = ("mixup_alpha", "mixup_probability", "mixup_gain_aware") if training["mixup_alpha"] is not None else ()
    model["pooling"] = model["pooling"] or AS_BUILT
    epochs = sum(settings.stage_epochs.values()) or training["epochs"]
    shown = {
        **{name: model[name] for name in (*built, "augment", "mixings")},
        "crops": data["crops"],
        "loss": training["loss"],
        "optimizer": training["optimizer"],
        "learning_rate": training["learning_rate"],
        "batch_size": training["batch_size"],
        "epochs": f"{values['epochs']} of {epochs}" if "epochs" in values else epochs,
        **{name: training[name] for name in mixup},
        "mixed_precision": model["mixed_precision"],
    }
    return [{"setting": name, "value": _text(value)} for name, value in shown.items()]


def _results(values):
    return [(name, float(value)) for name, value in values.items() if name not in _NOT_MEASURED]


def _text(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None else str(value)
