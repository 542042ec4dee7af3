"""The model that comes with the package, trained on all clips of ESC-10, and its card.

    keras-audio-si train --data ESC-10 --pooling tlpf5+aps --folds all --output runs/esc10
    python recipes/pretrained_esc10.py --data ESC-10 --report runs/esc10

The first command tests settings on each fold, by a model trained on the others. The second one takes settings and
figures from its report, trains the same on all folds, and writes model and card into the package. ESC-10 is a folder
in the layout of ESC-50 with the ten classes of ESC-10; of a whole ESC-50 the second command takes these.

Paper: Piczak: ESC: Dataset for Environmental Sound Classification, 2015.
Expect: the figures of the card, keras_audio_si/pretrained_models/vgg41-esc10.md.
Cost: of the second command a third more than that of one training of the first.
Gives: vgg41-esc10.keras, of at most 2 MB, and vgg41-esc10.md.
"""

import argparse
import dataclasses
import json
import pathlib
import shlex
import shutil
import sys

from keras_audio_si.cli.arguments import CACHE_DIR, Parser, add_debug, flags_of
from keras_audio_si.cli.main import guarded
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.data.manifest import Manifest
from keras_audio_si.data.splits import VALIDATION_SPLIT, hold_out
from keras_audio_si.evaluation.report import format_markdown
from keras_audio_si.experiments.presets import preset
from keras_audio_si.experiments.report import fold_table, read_scores, row_table
from keras_audio_si.experiments.run import Run
from keras_audio_si.experiments.runner import MANIFEST, RECORD
from keras_audio_si.experiments.settings import Settings
from keras_audio_si.experiments.train_and_test import train_and_test
from keras_audio_si.files import written_whole
from keras_audio_si.models import front_end_of
from keras_audio_si.models.pretrained import DEFAULT, FOLDER
from keras_audio_si.training.run_folder import BEST_MODEL

CLASSES = (  # In the order of ESC-50.
    *("dog", "rooster", "rain", "sea_waves", "crackling_fire"),
    *("crying_baby", "sneezing", "clock_tick", "helicopter", "chainsaw"),
)
MAX_BYTES = 2_000_000
CARD = """# {name}

{network} from waveforms at {sample_rate} Hz, in patches of {seconds:.2f} s, to scores of ten classes:
{classes}.
{parameters:,} parameters, {size:.2f} MB.

    keras-audio-si tag recording.wav
    keras-audio-si train --data sounds --output runs/sounds --initial {name}

## Data

ESC-10 (K. J. Piczak, 2015; CC BY 3.0): recordings of Freesound, cut to clips of 5 s. Author, source and licence of
every clip are in `ESC10-ATTRIBUTION.csv` beside this card. Of the folds {folds} it was trained on {train} clips;
{held} clips of other recordings were held out{chose}.

## Training

    {command}
    python recipes/pretrained_esc10.py --data ESC-10 --report runs/esc10

## Figures

The first command tests these settings on each fold, by a model that was trained on the others (of the first fold:
{clips} clips to train, validate and test on).

{by_fold}

Mean over the folds: accuracy {accuracy}, mAP {mean_ap}. They took part in the choice of the settings (docs/trials.md
in the sources), so it may be a little too high. The model of the package is trained on all of these folds. Its
accuracy on the {held} clips held out is {held_accuracy:.3f}{optimistic}.

## Limits

- It knows ten classes and ranks them for any sound. Speech, music and silence get scores of these ten too, perhaps
  high ones.
- It was trained on {train} clips of one sound each. In other rooms, at other distances and for mixtures of sounds the
  figures will be lower.
- Its scores are those of the loss `{loss}` and are not calibrated: choose thresholds on recordings of your own.
- It is there to try the package and to start trainings from, not for decisions that matter.
"""


def settings_of(report, row=None):
    """Reads the settings of a row of a report, of its only row if none is named."""
    rows = json.loads((report / RECORD).read_text(encoding="utf-8"))["rows"]
    if row is None and len(rows) == 1:
        row = next(iter(rows))
    if row not in rows:
        raise ValueError(f"`row` must be one of {', '.join(map(repr, rows))}. Received: row={row!r}")
    parts = {part.name: part.type(**rows[row][part.name]) for part in dataclasses.fields(Settings)}
    return row, Settings(**parts)


def esc10(manifest):
    """The clips of ESC-10 among those of a `Manifest`."""
    clips = tuple(clip for clip in manifest.clips if set(clip.labels) <= set(CLASSES))
    return Manifest(clips, CLASSES, manifest.root)


def card(model, settings, scores, values, clips, path, args):
    """The text of the model card; every figure in it is from the report or from the training at hand."""
    front_end = front_end_of(model)
    (mean,) = row_table(scores, quantity="accuracy")
    by_fold = [
        {"tested on": line["tested on"]} | {name: line[name] for name in ("accuracy", "mAP")}
        for line in fold_table(scores)
    ]
    folds = sorted({str(clip.fold) for clip in clips["train"].manifest.clips})
    tested = sorted({score.fold.removeprefix("fold-") for score in scores})
    seeds = sorted({str(score.seed) for score in scores})
    train = ["keras-audio-si", "train", "--data", "ESC-10", "--output", "runs/esc10"]
    train += ["--folds", *(["all"] if tested == folds else tested), *(["--seeds", *seeds] if len(seeds) > 1 else [])]
    train += ["--preset", "paper", "--model", settings.model.network]
    train += flags_of(settings, preset("paper", settings.model.network))
    chosen = settings.training.restore_best_weights
    return CARD.format(
        chose=" to choose the epoch" if chosen else "",
        optimistic=", too high an estimate, as they chose the epoch" if chosen else "",
        name=args.name,
        network=settings.model.network.upper(),
        sample_rate=front_end.sample_rate,
        seconds=model.input_shape[1] / front_end.sample_rate,
        classes=", ".join(CLASSES),
        parameters=values["parameters"],
        size=path.stat().st_size / 1e6,
        folds=", ".join(folds),
        train=len(clips["train"]),
        held=len(clips["val"]),
        command=shlex.join(train),
        clips=scores[0].clips,
        by_fold=format_markdown(by_fold),
        accuracy=f"{mean['accuracy'].mean:.3f}",
        mean_ap=f"{mean['mAP'].mean:.3f}",
        held_accuracy=values["accuracy"],
        loss=settings.training.loss,
    )


def main(args):
    import keras  # After keras_audio_si, which has TensorFlow use oneDNN.

    report, folder = pathlib.Path(args.report), pathlib.Path(args.output)
    row, settings = settings_of(report, args.row)
    settings = settings.changed(protocols=(), patch_scores=False)
    scores = [score for score in read_scores(report) if score.row == row]
    tested = Manifest.read(report / MANIFEST).class_names
    if set(tested) != set(CLASSES):
        raise ValueError(f"The report must be of the ten classes of ESC-10. {report} is of: {', '.join(tested)}")
    manifest = esc10(read_dataset(args.data, "esc50").select(folds=args.folds))
    cache = ClipCache.build(manifest, settings.data.sample_rate, args.cache_dir)
    held = set(hold_out(cache.manifest, settings.data.validation_split or VALIDATION_SPLIT))
    clips = {
        "train": cache.subset([index for index in range(len(cache)) if index not in held]),
        "val": cache.subset(sorted(held)),
    }
    run = Run(folder, args.cache_dir, resume=args.resume, overwrite=not args.resume)
    values = train_and_test({**clips, "test": clips["val"]}, settings, run)
    best = folder / BEST_MODEL
    if best.stat().st_size > MAX_BYTES:
        raise ValueError(f"The model must be of at most {MAX_BYTES:,} bytes. {best} has {best.stat().st_size:,}.")
    models = pathlib.Path(args.models)
    with written_whole(models / f"{args.name}.keras") as temporary:
        shutil.copyfile(best, temporary)
    text = card(keras.models.load_model(best), settings, scores, values, clips, best, args)
    with written_whole(models / f"{args.name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"\n{text}\n{models / args.name}.keras, {models / args.name}.md")


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="ESC-10 or ESC-50, in the layout of ESC-50")
    parser.add_argument("--report", required=True, metavar="DIR", help="report of `train --folds all`")
    parser.add_argument("--row", metavar="NAME", help="row of the report (its only one)")
    parser.add_argument("--folds", nargs="+", type=int, metavar="N", help="folds to train on (all that are there)")
    parser.add_argument("--output", default="runs/pretrained", metavar="DIR", help="folder of the training")
    parser.add_argument("--resume", action="store_true", help="continue a training that was cut off")
    parser.add_argument("--models", default=FOLDER, metavar="DIR", help="folder for model and card (the package's)")
    parser.add_argument("--name", default=DEFAULT, metavar="NAME", help=f"name of the model ({DEFAULT})")
    parser.add_argument("--cache-dir", default=CACHE_DIR, metavar="DIR", help=f"decoded audio ({CACHE_DIR})")
    add_debug(parser)
    sys.exit(guarded(main, parser.parse_args()))
