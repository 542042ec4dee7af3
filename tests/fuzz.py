"""Damaged files of every kind that the package reads, each read in a process that is watched.

    python tests/fuzz.py --count 10000                    # every target, as `make fuzz`
    python tests/fuzz.py audio-wav --first 123 --count 1  # one input again, by its number

The inputs depend on the seed, the target and their number alone. Allowed are a result that is finite, or an error of
the kinds that the target documents (`fuzz_targets.py`), whose message names the file. Everything else is a finding:
another exception, the end of the process (a crash), no answer within the time (a hang), more than 2 GB of memory, a
file written or a process started elsewhere.
"""

import argparse
import collections
import json
import os
import pathlib
import selectors
import shutil
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parent
OUTCOMES = ("read", "refused", "error", "crash", "hang", "memory", "escape")
FINDINGS = OUTCOMES[2:]
SECONDS = 20  # Without an answer: a hang. Twice the slowest load of a model on a busy core.
START_SECONDS = 300


class Child:
    """A process that works on inputs one after the other and says so line by line."""

    def __init__(self, target, seed, first, end, folder):
        self.folder = pathlib.Path(folder)
        for name in ("home", "cwd", "tmp", "work"):
            (self.folder / name).mkdir(exist_ok=True)
        command = [sys.executable, TESTS / "fuzz_child.py", target, seed, first, end, folder]
        env = os.environ | {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        self.messages = open(self.folder / "stderr.txt", "wb+")
        self.process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=self.messages, cwd=self.folder / "cwd", env=env
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.rest = b""

    def lines(self):
        """Yields what the child says; None when it says nothing for too long."""
        seconds = START_SECONDS
        while True:
            if not self.selector.select(seconds):
                yield None
                return
            read = self.process.stdout.read()
            if not read:
                return
            *lines, self.rest = (self.rest + read).split(b"\n")
            for line in lines:
                yield json.loads(line)
            seconds = SECONDS

    def end(self):
        """Ends the child, and returns how it ended and the last of what it printed."""
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.messages.seek(0)
        printed = self.messages.read().decode(errors="replace")
        self.messages.close()
        self.selector.close()
        return self.process.returncode, printed


def fuzz(target, count, seed=0, first=0):
    """Works on the inputs of a target.

    Returns:
        `(counts, findings)`: a Counter of outcomes; a dict from the number of the first input of each finding to its
        outcome and description.
    """
    counts, findings, number, end = collections.Counter(), {}, first, first + count
    seen = collections.Counter()

    def note(number, outcome, detail):
        counts[outcome] += 1
        if outcome in FINDINGS:
            seen[outcome, detail] += 1
            if seen[outcome, detail] == 1:
                findings[number] = (outcome, detail)
                print(f"  {target} {number}: {outcome}: {detail}", flush=True)

    while number < end:
        folder = tempfile.mkdtemp(prefix="fuzz-")
        child, begun, hung = Child(target, seed, number, end, folder), None, False
        for line in child.lines():
            if line is None:
                hung = True
                child.process.kill()
            elif "begun" in line:
                begun = line["begun"]
            else:
                note(begun, line["outcome"], line["detail"])
                number, begun = begun + 1, None
        code, printed = child.end()
        shutil.rmtree(folder, ignore_errors=True)
        if begun is None and number < end and not hung and code == 0:
            continue  # A child that has grown too large ends by itself.
        if begun is not None:
            note(begun, "hang" if hung else "crash", "" if hung else _end_of(code, printed))
            number = begun + 1
        elif number < end:
            raise RuntimeError(f"{target}: the process ended with {code} before input {number}:\n{printed[-3000:]}")
    return counts, {key: (*found, seen[found]) for key, found in findings.items()}


def _end_of(code, printed):
    frames = [line.strip() for line in printed.splitlines() if line.strip().startswith(("File", "Fatal", "F0", "F1"))]
    return f"exit {code}: {' '.join(frames[:2])[:300]}"


def main(arguments=None):
    sys.path.insert(0, str(TESTS.parent))
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of: {', '.join(TARGETS)} (all)")
    parser.add_argument("--count", type=int, default=10_000, metavar="N", help="inputs of each target (10000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input (0)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the inputs (0)")
    args = parser.parse_args(arguments)
    unknown = set(args.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such targets: {', '.join(sorted(unknown))}")
    bad = 0
    print(
        f"{'target':20} {'inputs':>7} " + " ".join(f"{name:>8}" for name in OUTCOMES) + f" {'seconds':>8}", flush=True
    )
    for target in args.targets or TARGETS:
        since = time.monotonic()
        counts, findings = fuzz(target, args.count, args.seed, args.first)
        bad += len(findings)
        numbers = " ".join(f"{counts[name]:8}" for name in OUTCOMES)
        print(f"{target:20} {sum(counts.values()):7} {numbers} {time.monotonic() - since:8.0f}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
