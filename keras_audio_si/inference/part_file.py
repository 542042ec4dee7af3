"""Results of files, kept on disk as they come, so that an interrupted run over many files continues."""

import base64
import contextlib
import hashlib
import io
import json
import os
import pathlib
import sys

import numpy as np

from keras_audio_si.data.shards import file_state
from keras_audio_si.inference.events import Event
from keras_audio_si.inference.tagging import FileScores

try:
    import fcntl
except ImportError:  # Windows: two runs with one output are not noticed.
    fcntl = None

_RUN = "keras-audio-si run"  # Key of the settings, with which a part file begins.


class PartFile:
    """The results of a run until its output is written, in the file `OUTPUT.part`.

    It is a text file of JSON lines: the settings of the run, then a line for every file when it is finished, with the
    size and the time of modification that the file had before. A run with the same settings takes these results in
    place of its own. It does those files again that have changed since or had an error, and drops a last line that is
    not complete.

    It is a context manager. At the end of the block the file is removed; after an exception only if there is nothing
    in it.

    Args:
        output: Path of the output.
        run: Dict of what the results depend on besides the files, of JSON values.

    Attributes:
        path: Path of the part file.

    Raises:
        ValueError: If the file has results of a run with other settings, or is none of this class.
        BlockingIOError: If another process uses it.

    Example:

    >>> import os, tempfile
    >>> from keras_audio_si.inference.tagging import FoundFile
    >>> output, audio = os.path.join(tempfile.mkdtemp(), "tags.csv"), FoundFile(__file__)
    >>> def score(files, count):
    ...     print("files to score:", count)
    ...     for path, _ in files:
    ...         yield FileScores(path, 1.0, np.zeros(1), np.ones(1), np.full((1, 1), 0.5)), None
    >>> try:
    ...     with PartFile(output, {"model": "a"}) as part:
    ...         results = part.completed([audio], score)
    ...         raise KeyboardInterrupt
    ... except KeyboardInterrupt:
    ...     pass
    files to score: 1
    >>> with PartFile(output, {"model": "a"}) as part:
    ...     [(result, _)] = part.completed([audio], score)
    files to score: 0
    >>> float(result.scores[0, 0]), os.path.exists(part.path)
    (0.5, False)
    """

    def __init__(self, output, run):
        self.path, self.run = pathlib.Path(f"{output}.part"), json.loads(json.dumps(run))
        self._lines, self._scored = {}, 0  # Offsets of lines, by absolute path; how many lines have no error.

    def __enter__(self):
        self._file = open(self.path, "a+b")
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind, error, traceback):
        done = kind is None or not self._scored
        if done and fcntl is not None:  # While it is locked: later it may be that of the next run.
            self.path.unlink(missing_ok=True)
        self._file.close()
        if done and fcntl is None:  # Windows removes no open file.
            self.path.unlink(missing_ok=True)
        if not done:
            print(f"\n{self.path} keeps {self._scored} finished files: the same command continues.", file=sys.stderr)

    def completed(self, files, score):
        """Scores the files that have no result here, and returns the results of all.

        Args:
            files: List of `inference.tagging.FoundFile`.
            score: Function of an iterable of files and their number that yields `(FileScores, events or None)` for
                each, in order.

        Returns:
            Iterator over `(FileScores, events or None)` in the order of the files. One is in memory at a time.
        """
        missing = [file for file in files if os.path.abspath(file.path) not in self._lines]
        if len(missing) < len(files):
            print(f"Resuming: {len(files) - len(missing)} of {len(files)} files done ({self.path})", file=sys.stderr)
        states = {}

        def noted():
            for file in missing:
                states[file.path] = _state(file.path)  # Before it is read: what changes later is noticed.
                yield file

        for result, events in score(noted(), len(missing)):
            path = os.path.abspath(result.path)
            self._lines[path] = self._file.seek(0, os.SEEK_END)
            self._file.write(_line({"file": path, "state": states.pop(result.path)} | packed(result, events)))
            self._file.flush()
            self._scored += result.error is None
        return map(self._result, files)

    def _result(self, file):
        self._file.seek(self._lines[os.path.abspath(file.path)])
        return unpacked(file.path, json.loads(self._file.readline()))

    def _read(self):
        """Reads the lines that count, and removes what does not."""
        self._file.seek(0)
        first = self._file.readline()
        mark = f'{{"{_RUN}": '.encode()
        if not (first.startswith(mark) or mark.startswith(first)):
            raise ValueError(
                f"{self.path} would keep the finished files of the run, but it is another file. Rename it, or choose "
                "another `--output`."
            )
        end = len(first)
        for line in self._file:
            entry = _parsed(line)
            if entry is None:  # The process was killed while it wrote.
                break
            if entry["error"] is None and entry["state"] == _state(entry["file"]):
                self._lines[entry["file"]] = end
            else:
                self._lines.pop(entry["file"], None)
            end += len(line)
        self._scored = len(self._lines)
        if end == len(first):  # A run that had finished nothing.
            self._file.truncate(0)
            self._file.write(_line({_RUN: self.run}))
            self._file.flush()
            return
        kept = json.loads(first)[_RUN]
        if kept != self.run:
            names = [name for name in {**kept, **self.run} if kept.get(name) != self.run.get(name)]
            values = ", ".join(
                f"another {name}" if name == "model" else f"{name} {kept.get(name)} there and {self.run.get(name)} here"
                for name in names
            )
            raise ValueError(
                f"{self.path} has the finished files of an interrupted run with other settings: {values}. Run it again "
                "with those, remove the file, or choose another `--output`."
            )
        self._file.truncate(end)

    def _lock(self):
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"{self.path} is in use by another run: wait for its end, or choose another `--output`."
            ) from None
        except OSError:  # A file system without locks.
            pass


def digest_of(model):
    """A text that differs between models with different layers or weights.

    Args:
        model: Keras model.

    Returns:
        SHA-256 of the model's configuration and weights, hexadecimal.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> before = digest_of(model)
    >>> model.set_weights([weight + 1 for weight in model.get_weights()])
    >>> digest_of(model) == before
    False
    """
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _state(path):
    """The state of a file as JSON gives it back."""
    state = file_state(path)
    return state and list(state)


def _line(entry):
    return json.dumps(entry).encode() + b"\n"


def _parsed(line):
    """The entry of a line, or None where the line is not whole."""
    with contextlib.suppress(ValueError):
        entry = json.loads(line) if line.endswith(b"\n") else None
        if isinstance(entry, dict) and isinstance(entry.get("file"), str) and {"error", "state"} <= entry.keys():
            return entry
    return None


def packed(result, events=None):
    """A `FileScores` as JSON values: arrays to the bit, and none where there are events in their place."""
    arrays = {} if events is not None else {"arrays": [_text(array) for array in result[2:5]]}
    entry = {"seconds": result.seconds, "error": result.error, "warning": result.warning, "events": events}
    return entry | arrays


def unpacked(path, entry):
    """The `FileScores` of a path, and its events or None, that `packed` was given."""
    none = np.zeros(0)
    arrays = map(_array, entry["arrays"]) if "arrays" in entry else (none, none, np.zeros((0, 0)))
    events = None if entry["events"] is None else [Event(*event) for event in entry["events"]]
    return FileScores(path, entry["seconds"], *arrays, entry["error"], entry["warning"]), events


def _text(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _array(text):
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
