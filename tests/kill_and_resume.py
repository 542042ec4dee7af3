"""Kills a training by SIGKILL at random moments, continues it, and compares how it ends, to the bit.

    python tests/kill_and_resume.py --kills 20 --output runs/kill

Trains a small VGG41 on synthetic sounds by `keras-audio-si train`, once undisturbed. Then, for each kill, in a new
folder: starts the same command, kills its process group at a moment drawn evenly from the time that the undisturbed
training took, and runs the command with `--resume`. Whatever differs afterwards is listed: every variable in the last
checkpoint, the weights in `model.keras`, `log.csv`, the values in the TensorBoard files, the table of the report; but
not the seconds that the training took.
`docs/reliability.md` has what it printed. `KERAS_BACKEND` chooses the backend.
"""

import argparse
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile

from recipe_data import untimed

ROOT = pathlib.Path(__file__).parent.parent
TRAIN = (
    "--preset paper --pooling tlpf5+aps --mixup-alpha 1.25 --sample-rate 16000 "
    "--width 0.125 --batch-size 16 --epochs 12 --learning-rate 0.01 "
    "--plateau-patience 1 --batch-norm-momentum 0.9 --protocols time-1 --checkpoint-steps 2"
).split()


def outcome(folder):
    """Everything that a run leaves and that must not depend on whether it was cut off, by name.

    Args:
        folder: Folder of a run, or of a comparison of one.

    Returns:
        Dict of values, and of digests where there are many.
    """
    import h5py
    import numpy as np
    import tensorflow as tf

    folder, found = pathlib.Path(folder), {}
    with np.load(max(folder.glob("checkpoints/epoch-*.npz"))) as arrays:
        names = [name for name in arrays.files if name != "seconds"]
        found |= {f"checkpoint {name}": _digest(arrays[name].tobytes()) for name in names}
    with zipfile.ZipFile(folder / "model.keras") as archive:
        found["model config"] = json.loads(archive.read("config.json"), object_hook=_unnumbered)
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            weights.visititems(
                lambda name, item: (
                    found.update({f"model {name}": _digest(item[()].tobytes())})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    for path in folder.glob("*.json"):
        found[path.name] = _digest(path.read_bytes())
    for path in (*folder.glob("*.csv"), *folder.glob("*.md")):
        found[path.name] = untimed(path)
    for path in sorted(folder.glob("tensorboard/*/events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(f"{path.parent.name} {value.tag}", []).append((event.step, repr(number)))
    return found


def differences(one, other):
    """Names of what differs between two outcomes."""
    return sorted(name for name in {**one, **other} if one.get(name) != other.get(name))


def start(*command):
    """Starts a command in a process group of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *map(str, command)], env=env, start_new_session=True, **output)


def finish(process):
    """Waits for a process that must succeed, and returns what it printed."""
    printed = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"ended with {process.returncode}:\n{printed}")
    return printed


def wait_for(process, path):
    """Waits until a path exists; returns False if the process ends before."""
    while not path.exists():
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    return True


def kill(process):
    """Sends SIGKILL, which no process can catch. Returns False if the process had ended before."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return running and process.returncode == -signal.SIGKILL


def _unnumbered(config):
    """What Keras writes of an object, without the numbers that it gives to the objects of a process."""
    return {key: value for key, value in config.items() if key not in ("name", "shared_object_id")}


def _digest(content):
    return hashlib.sha256(content).hexdigest()


def _newest(folder):
    paths = sorted(folder.glob("checkpoints/epoch-*.npz"))
    return paths[-1].stem if paths else "no checkpoint yet"


def main(args):
    import keras

    from keras_audio_si.data.synthetic import write_dataset

    output = pathlib.Path(args.output)
    shutil.rmtree(output, ignore_errors=True)
    write_dataset(output / "data", args.clips, min_seconds=2.0, max_seconds=2.6, signal_to_noise_decibels=(-5.0, 10.0))

    def train(name, *more):
        data = ("--data", output / "data", "--cache-dir", output / "cache", "--output", output / name)
        return start("-m", "keras_audio_si", "train", *data, *TRAIN, *more)

    def begun(process, name):
        if not wait_for(process, output / name / "settings.json"):
            finish(process)
        return time.monotonic()

    process = train("undisturbed")
    since = begun(process, "undisturbed")
    finish(process)
    duration = time.monotonic() - since
    expected = outcome(output / "undisturbed")
    print(f"{keras.backend.backend()}: undisturbed, from the start of the training to the end of the report:", end=" ")
    print(f"{duration:.1f} s, {len(expected)} things to compare", flush=True)
    print(f"{'kill':>4}  {'after':>7}  {'newest checkpoint':32}  {'half written':12}  differences", flush=True)
    draw, bad, number = random.Random(args.seed), 0, 0
    while number < args.kills:
        name, moment = f"killed-{number + 1}", draw.uniform(0.0, duration)
        shutil.rmtree(output / name, ignore_errors=True)
        process = train(name)
        since = begun(process, name)
        time.sleep(max(0.0, since + moment - time.monotonic()))
        after = time.monotonic() - since
        if not kill(process):  # it was faster this time, and had ended
            continue
        number += 1
        newest = _newest(output / name)
        torn = any(path.name.startswith(".") for path in (output / name).rglob("*"))
        finish(train(name, "--resume"))
        different = differences(expected, outcome(output / name))
        bad += bool(different)
        shown = ", ".join(different) or "none"
        print(f"{number:4}  {after:5.1f} s  {newest:32}  {'yes' if torn else 'no':12}  {shown}", flush=True)
        shutil.rmtree(output / name)
    print(f"{args.kills} kills, {args.kills - bad} endings identical to the bit")
    return int(bad > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="number of kills (20)")
    parser.add_argument("--clips", type=int, default=100, metavar="N", help="clips of the data set (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="sets the moments (0)")
    parser.add_argument("--output", default="runs/kill", metavar="DIR", help="folder, emptied first (runs/kill)")
    sys.exit(main(parser.parse_args()))
