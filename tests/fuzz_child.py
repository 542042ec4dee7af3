"""The process that `fuzz.py` watches: makes damaged inputs of a target, works on them, reports what came of each."""

import faulthandler
import json
import os
import pathlib
import resource
import sys
import traceback

TESTS = pathlib.Path(__file__).resolve().parent
LARGEST_GROWTH = 2 << 30  # Bytes of memory that one input may take.
RESTART_GROWTH = (
    1 << 30
)  # Bytes that many inputs together may leave behind, such as compiled functions, until a restart.


def outcome(target, number, seed, folder, watch=None):
    """Works on one input.

    Args:
        target: One of `fuzz_targets`.
        number: Number of the input.
        seed: Seed of the inputs.
        folder: Folder to put the input in.
        watch: `Watch`, or None.

    Returns:
        `(outcome, detail)`, the outcome one of `fuzz.OUTCOMES`.
    """
    from mutations import rng_of

    path = target.make(rng_of(seed, target.name, number), folder)
    if watch is not None:
        watch.begin()
    try:
        try:
            target.read(path)
            found = "read", ""
        except target.refusals as error:
            named = any(str(name) in str(error) for name in target.names(path))
            found = ("refused", "") if named else ("error", f"no name of the file: {_described(error)}")
    except MemoryError as error:
        found = "memory", _described(error)
    except Exception as error:
        found = "error", _described(error)
    if watch is not None:
        found = watch.end() or found
    return found


def _described(error):
    """Type, message without what differs from input to input, and the last lines of the package and below."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if str(TESTS) not in f.filename]
    places = [f"{pathlib.Path(f.filename).name}:{f.lineno}" for f in frames]
    what = f" ({error})" if isinstance(error, AssertionError) and not places else ""
    return f"{type(error).__name__}{what} at {' '.join(dict.fromkeys([*places[:1], *places[-1:]]))}"


class Watch:
    """Memory, and what happens outside of the folders that an input may use."""

    def __init__(self, folder):
        self.folder, self.events, self.on = pathlib.Path(folder), [], False
        self.allowed = tuple(str(self.folder / name) + os.sep for name in ("work", "tmp"))
        self.listing = self._listing()  # Frameworks leave settings at home when they are imported.
        sys.addaudithook(self._audit)

    def begin(self):
        _write("/proc/self/clear_refs", "5")  # The peak counts from here.
        self.before = _status("VmRSS")
        self.events, self.on = [], True

    def end(self):
        self.on = False
        growth = _status("VmHWM") - self.before
        if growth > LARGEST_GROWTH:
            return "memory", f"{growth >> 30} GiB"
        listing = self._listing()
        new, self.listing = sorted(listing - self.listing), listing
        return ("escape", "; ".join([*self.events[:3], *new[:3]])) if self.events or new else None

    def _listing(self):
        return {f"{name}/{path}" for name in ("home", "cwd", "tmp") for path in os.listdir(self.folder / name)}

    def _audit(self, event, args):
        if not self.on:
            return
        if event == "open":
            path, mode, flags = args
            writes = any(letter in mode for letter in "wxa+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
            if writes and isinstance(path, str | bytes) and not os.fsdecode(path).startswith((*self.allowed, "/dev/")):
                self.events.append(f"{event} {os.fsdecode(path)}")
        elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree"):
            # A path relative to an open folder is of `shutil.rmtree`, which has an event of its own.
            if args[-1] in (-1, None) and not str(args[0]).startswith(self.allowed):
                self.events.append(f"{event} {args[0]}")
        elif event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "marshal.loads"):
            if (
                event != "marshal.loads"
                or sys._getframe(1).f_globals.get("__name__") != "importlib._bootstrap_external"
            ):
                self.events.append(event)


def main(name, seed, first, end, folder):
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    faulthandler.enable()
    sys.path.insert(0, str(TESTS))
    from fuzz_targets import TARGETS

    target, work = TARGETS[name](), pathlib.Path(folder, "work")
    target.name = name
    target.prepare(work)
    for number in range(3):  # What is imported, compiled and kept the first time is not the input's.
        outcome(target, f"warm-{number}", seed, work)
    watch = Watch(folder)
    limit = _status("VmSize") + LARGEST_GROWTH + RESTART_GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    begun_with = _status("VmRSS")
    for number in range(int(first), int(end)):
        print(json.dumps({"begun": number}), file=output)
        kind, detail = outcome(target, number, seed, work, watch)
        print(json.dumps({"outcome": kind, "detail": detail}), file=output)
        if _status("VmRSS") > begun_with + RESTART_GROWTH:
            break


def _status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name + ":"))


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # Frameworks may hang at their end; nothing is to be lost here.
