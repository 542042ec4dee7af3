"""Onsets of events in an hour that is made of known clips, and memory and speed of `tag` on many hours.

    python recipes/long_audio.py --data ESC-10 --folds 4 --train-folds 1 2 --choice-folds 3 --output runs/long
    python recipes/long_audio.py --data ESC-10 --folds 4 --choice-folds 1 2 3 --model model.keras --output runs/long
    python recipes/long_audio.py --data ESC-10 --folds 4 --model eat-s --hours 10 --output runs/long

The clips of `--folds` are cut to their sound, from the first to the last sample within 30 dB of the peak, scaled to
one level and put into pink noise, one after the other with random gaps. The first command trains a network of short
windows on such audio from other clips: a window has the class of the sound at its centre, or none. The second takes a
trained model. Both choose thresholds and shift by the F1 of onsets in audio from `--choice-folds`, tag the hour by
`keras-audio-si tag --events` and count the onsets within 0.2 s, by class. `--hours` repeats the hour in one FLAC file
and tags it in a process of its own; eat-s is EAT-S with random weights, for the speed alone.

Paper: Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event Detection", 2016: a collar of 0.2 s.
Expect: docs/tagging.md, "Onsets within 0.2 s".
Cost: of the first command minutes of training on two cores, and a tenth of the hour to tag it.
Gives: in the output folder hour.flac, hour.csv (what is in it), events.csv (what was found), onsets.json and, if
trained, windows.keras.
"""

import argparse
import contextlib
import csv
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np
import soundfile

from keras_audio_si.bench.timing import format_rows
from keras_audio_si.cli.arguments import Parser, add_debug
from keras_audio_si.cli.main import guarded
from keras_audio_si.data.audio_io import read_audio
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.evaluation.onsets import onset_scores
from keras_audio_si.inference.events import Event, find_events, scores_over_time
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import FoundFile, required_class_names, tag_files

LEVEL = -26.0  # RMS of a sound, in dB of full scale.
WITHIN = -30.0  # A sound begins and ends with the first and last sample at this level below its peak, in dB.
GAPS = (2.0, 6.0)  # Shortest and longest, in seconds.
THRESHOLDS, SHARES, SHORTEST = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.25, 0.5, 0.75, 1.0), (0.0, 0.2, 0.5)


def sounds_of(data, folds, rate):
    """List of `(samples, class)` of the clips of some folds, cut to their sound."""
    manifest = read_dataset(data, "auto").select(folds=folds)
    sounds = []
    for clip in manifest.clips:
        samples, _ = read_audio(os.path.join(manifest.root, clip.path), rate)
        loud = np.flatnonzero(np.abs(samples) >= np.abs(samples).max() * 10 ** (WITHIN / 20))
        sounds.append((samples[loud[0] : loud[-1] + 1], clip.labels[0]))
    return sounds


def soundscape(sounds, minutes, rate, snr, seed):
    """Sounds in random order over pink noise, each as often as any other.

    Returns:
        `(samples, events)`: float32, and a list of `Event`.
    """
    rng = np.random.default_rng(seed)
    total = round(minutes * 60 * rate)
    bed = np.fft.rfft(rng.standard_normal(total))
    bed = np.fft.irfft(bed / np.sqrt(np.maximum(np.arange(len(bed)), 20 * total / rate)), total)
    audio = np.float32(bed * (10 ** ((LEVEL - snr) / 20) / _rms(bed)))
    events, order, onset = [], [], rng.uniform(*GAPS)
    while True:
        order = order or list(rng.permutation(len(sounds)))
        samples, name = sounds[order.pop()]
        first = round(onset * rate)
        if first + len(samples) > total:
            return audio, events
        audio[first : first + len(samples)] += samples * np.float32(10 ** (LEVEL / 20) / _rms(samples))
        events.append(Event(first / rate, (first + len(samples)) / rate, name, 1.0))
        onset = events[-1].offset + rng.uniform(*GAPS)


def train_windows(args, path):
    """Trains VGG41 on windows of the sounds of `--train-folds`, and saves it."""
    import keras

    from keras_audio_si.layers import LogMelSpectrogram
    from keras_audio_si.models import VGG41

    keras.utils.set_random_seed(args.seed)
    names = read_dataset(args.data, "auto").class_names
    front_end = LogMelSpectrogram(args.sample_rate, num_mels=32, frame_seconds=0.05, hop_seconds=0.025)
    frames = front_end.num_frames(round(args.window_seconds * args.sample_rate))
    samples = front_end.num_samples(frames)
    x, y = [], []
    for fold in args.train_folds:
        sounds = sounds_of(args.data, [fold], args.sample_rate)
        audio, events = soundscape(sounds, args.train_minutes, args.sample_rate, args.snr, args.seed + fold)
        starts = np.arange(0, len(audio) - samples + 1, samples // 2)
        centres = (starts + samples / 2) / args.sample_rate
        labels = np.zeros((len(starts), len(names)), "float32")
        for onset, offset, name, _ in events:
            labels[(onset <= centres) & (centres < offset), names.index(name)] = 1
        x.append(np.stack([audio[start : start + samples] for start in starts]))
        y.append(labels)
    x, y = np.concatenate(x), np.concatenate(y)
    inputs = keras.Input((samples,))
    network = VGG41(len(names), (frames, 32), width=0.25, class_names=names, batch_norm_momentum=0.9)
    model = keras.Model(inputs, network(front_end(inputs)), name="windows")
    steps = args.epochs * -(-len(x) // 32)
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps, warmup_target=3e-3, warmup_steps=steps // 10)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    print(f"{len(x)} windows of {samples / args.sample_rate:.3f} s to train on", flush=True)
    model.fit(x, y, batch_size=32, epochs=args.epochs, verbose=2)
    model.save(path)


def chosen_settings(model, args):
    """Thresholds and the shift of onsets with the largest F1 of onsets in audio from `--choice-folds`."""
    layout, names = patch_layout(model, args.open_seconds, args.hop_seconds), required_class_names(model)
    sounds = sounds_of(args.data, args.choice_folds, layout.sample_rate)
    audio, true = soundscape(sounds, args.choice_minutes, layout.sample_rate, args.snr, args.seed + 100)
    hop = layout.hop_samples / layout.sample_rate
    (result,) = tag_files(
        model, [FoundFile("-")], True, args.open_seconds, args.hop_seconds, stream=lambda path, rate: [audio]
    )
    scores = scores_over_time(result.starts, result.ends, result.scores, hop)
    best = (-1.0,)
    for threshold, share, shortest in itertools.product(THRESHOLDS, SHARES, SHORTEST):
        events = find_events(scores, hop, names, threshold, threshold * share, shortest, result.seconds)
        f1 = onset_scores(true, events, names, args.tolerance)["all"].f1
        if f1 > best[0]:
            best = f1, {"threshold": threshold, "offset-threshold": threshold * share, "min-seconds": shortest}
    return best


def tag_command(model, audio, output, args, settings):
    """The command that tags a file."""
    command = [sys.executable, "-m", "keras_audio_si", "tag", str(model), str(audio), "--output", str(output)]
    if settings:
        command += ["--events", "--hop-seconds", str(args.hop_seconds)]
        command += itertools.chain(*((f"--{name}", f"{value:g}") for name, value in settings.items()))
    return command + ([] if args.open_seconds is None else ["--window-seconds", str(args.open_seconds)])


def measured(command):
    """Runs a command; returns its wall and processor time and the peak of its memory, nan where there is no /proc."""
    before, begun, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), float("nan")
    process = subprocess.Popen(command)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    # Not `ru_maxrss`, which a process takes over from the one that started it.
    while process.poll() is None:
        with contextlib.suppress(OSError):
            peak = next((int(line.split()[1]) for line in status.open() if line.startswith("VmHWM")), peak)
        time.sleep(0.1)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise ValueError(f"The command has failed: {' '.join(command)}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "processor_s": spent, "peak_MiB": peak / 1024}


def write_audio(path, audio, rate, times=1):
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="FLAC") as file:
        for _ in range(times):
            for first in range(0, len(audio), 1 << 20):
                file.write(audio[first : first + (1 << 20)])


def onset_rows(true, events_file, names, tolerance):
    """Rows of the table by class, from the events that `tag` wrote."""
    with open(events_file, newline="", encoding="utf-8") as file:
        found = [(float(row["onset_seconds"]), row["class"]) for row in csv.DictReader(file)]
    return [
        {"class": name, "onsets": scores.true, "found": scores.found, "matched": scores.matched}
        | {part: getattr(scores, part) for part in ("precision", "recall", "f1")}
        for name, scores in onset_scores(true, found, names, tolerance).items()
    ]


def random_eat(path):
    from keras_audio_si.models import EATSmall

    names = [f"class {number}" for number in range(50)]
    EATSmall(50, (5 * 22050,), sample_rate=22050, activation="sigmoid", class_names=names).save(path)


def main(args):
    import keras

    folder = pathlib.Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "windows.keras" if args.model is None else pathlib.Path(args.model)
    timing_only = args.model == "eat-s"
    if timing_only:
        path = folder / "eat-s.keras"
        random_eat(path)
    elif args.model is None:
        if not args.train_folds:
            raise ValueError("`--train-folds` or `--model` is needed.")
        train_windows(args, path)
    model, settings = keras.models.load_model(path), {}
    rate, names = patch_layout(model, args.open_seconds).sample_rate, required_class_names(model)
    audio, true = soundscape(sounds_of(args.data, args.folds, rate), args.minutes, rate, args.snr, args.seed)
    hour = folder / "hour.flac"
    write_audio(hour, audio, rate)
    with open(folder / "hour.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("onset_seconds", "offset_seconds", "class"), *(event[:3] for event in true)])
    if not timing_only:
        f1, settings = chosen_settings(model, args)
        print(f"Chosen with an F1 of {f1:.3f} in audio from folds {args.choice_folds}: {settings}")
    del model
    command = tag_command(path, hour, folder / "events.csv", args, settings)
    print(*command)
    runs = [{"minutes": args.minutes} | measured(command)]
    if not timing_only:
        rows = onset_rows(true, folder / "events.csv", names, args.tolerance)
        print(format_rows(rows, f"Onsets within {args.tolerance} s in {args.minutes:g} minutes"))
        record = {"settings": settings, "arguments": vars(args), "rows": rows}
        (folder / "onsets.json").write_text(json.dumps(record, indent=2, default=str), encoding="utf-8")
    if args.hours:
        many = folder / "hours.flac"
        write_audio(many, audio, rate, times=round(args.hours * 60 / args.minutes))
        command = tag_command(path, many, folder / "hours.csv", args, settings)
        runs.append({"minutes": args.hours * 60} | measured(command))
    for run in runs:
        run["times_real_time"] = run["minutes"] * 60 / run["wall_s"]
    print(format_rows(runs, "tag, start and compilation included"))


def _rms(samples):
    return np.sqrt(np.mean(np.square(samples), dtype="float64"))


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="data set with folds, one class to a clip")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for what is made")
    parser.add_argument("--folds", required=True, nargs="+", type=int, metavar="N", help="clips of the hour")
    parser.add_argument("--choice-folds", nargs="+", type=int, metavar="N", help="clips that thresholds are chosen on")
    parser.add_argument("--train-folds", nargs="+", type=int, metavar="N", help="clips to train on, without --model")
    parser.add_argument("--model", metavar="MODEL", help="a .keras file, or eat-s (trains one of short windows)")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="X", help="length of the hour (60)")
    parser.add_argument("--choice-minutes", type=float, default=20.0, metavar="X", help="audio for thresholds (20)")
    parser.add_argument("--train-minutes", type=float, default=10.0, metavar="X", help="audio of a training fold (10)")
    parser.add_argument("--epochs", type=int, default=12, metavar="N", help="of the training (12)")
    parser.add_argument("--window-seconds", type=float, default=0.5, metavar="X", help="windows to train on (0.5)")
    parser.add_argument("--open-seconds", type=float, metavar="X", help="windows of a --model that takes any length")
    parser.add_argument("--sample-rate", type=int, default=22050, metavar="HZ", help="of the training (22050)")
    parser.add_argument("--hop-seconds", type=float, default=0.1, metavar="X", help="of the windows (0.1)")
    parser.add_argument("--snr", type=float, default=20.0, metavar="DB", help="sounds to noise (20)")
    parser.add_argument("--tolerance", type=float, default=0.2, metavar="X", help="of an onset, in seconds (0.2)")
    parser.add_argument("--hours", type=float, metavar="X", help="tag as many hours in one file as well")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of order, gaps, noise and training (0)")
    add_debug(parser)
    sys.exit(guarded(main, parser.parse_args()))
