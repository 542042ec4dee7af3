"""Results of tagging as a table, CSV or JSON, written row by row as files are finished."""

import json
import sys
import time

from keras_audio_si.checks import check_choice, check_integer
from keras_audio_si.data.manifest import LABEL_SEPARATOR
from keras_audio_si.escaping import one_line, printable, shown
from keras_audio_si.files import csv_line, safe_cell
from keras_audio_si.inference.tagging import choose_tags

DEFAULT_TOP_K = 3


def write_tags(format, results, class_names, file, top_k=None, threshold=None, widest_path=0):
    """Writes the scores of files.

    A row is a clip or a window; a file without scores has a row with its error. "table" is for people: the tags that
    `choose_tags` chooses. "csv" and "json" have these and the scores of all classes besides, to seven digits.

    Args:
        format: "table", "csv" or "json".
        results: Iterable of `inference.tagging.FileScores`, each of which is written when it comes.
        class_names: Names of the classes.
        file: Open text file.
        top_k: Number of tags, 3 if `threshold` is None as well.
        threshold: Smallest score of a tag, of all classes or of each, instead of `top_k`.
        widest_path: Width of the table's first column, in characters.

    Returns:
        Number of files without scores.

    Raises:
        ValueError: If `format` is unknown or `top_k` is not positive.

    Example:

    >>> import sys
    >>> from keras_audio_si.inference.tagging import FileScores
    >>> scores = FileScores("a.wav", 2.0, np.array([0.0]), np.array([2.0]), np.array([[0.25, 0.5]]))
    >>> write_tags("csv", [scores], ("dog", "rain"), sys.stdout, top_k=1)
    file,start_seconds,end_seconds,tags,error,score dog,score rain
    a.wav,0.000000,2.000000,rain,,0.25,0.5
    0
    """
    check_choice("format", format, FORMATS)
    if top_k is not None:
        check_integer(1, top_k=top_k)
    if top_k is None and threshold is None:
        top_k = DEFAULT_TOP_K
    failed = 0

    def rows():
        nonlocal failed
        for result in results:
            path = printable(result.path)
            if result.error is not None:
                failed += 1
                yield path, None, None, None, [], result.error
            for start, end, scores in zip(result.starts, result.ends, result.scores, strict=True):
                yield path, start, end, scores, choose_tags(scores, top_k, threshold), None

    FORMATS[format](rows(), class_names, file, widest_path)
    return failed


class Progress:
    """Shows on stderr the current file, its progress, and finally the speed.

    Args:
        num_files: Number of files.
        interval_seconds: Shortest time between two lines; on a terminal one line is written over, more often.
    """

    def __init__(self, num_files, interval_seconds=10.0):
        self.num_files, self.finished, self.failed, self.seconds = num_files, 0, 0, 0.0
        self.begun = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.interval = 0.2 if self.terminal else interval_seconds

    def __call__(self, path, seconds):
        """Notes that `seconds` of a file have been read."""
        now = time.monotonic()
        if now - self.shown >= self.interval:
            self.shown = now
            line = f"{self.finished}/{self.num_files} files, {shown(path)}: {seconds:.0f} s of audio"
            print(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr)
            sys.stderr.flush()

    def finishing(self, results):
        """Passes `FileScores` on, with a line for each that has an error or a warning."""
        clear = "\r\x1b[K" if self.terminal else ""
        for result in results:
            self.finished += 1
            self.seconds += result.seconds
            if result.error is not None:
                self.failed += 1
            if result.error or result.warning:
                print(f"{clear}{shown(result.path)}: {one_line(result.error or result.warning)}", file=sys.stderr)
            yield result
        spent = max(time.monotonic() - self.begun, 1e-9)  # A clock may stand still for some milliseconds.
        print(
            f"{clear}{self.finished - self.failed} of {self.num_files} files done: {self.seconds:.1f} s of audio in "
            f"{spent:.1f} s, {self.seconds / spent:.0f} times real time",
            file=sys.stderr,
        )


def _write_table(rows, class_names, file, widest_path):
    def line(path, start, end, text):
        print(f"{path:{widest_path}}  {start:>9}  {end:>9}  {text}", file=file, flush=True)

    line("file", "start (s)", "end (s)", "tags")
    for path, start, end, scores, tags, error in rows:
        if error is not None:
            line(one_line(path), "-", "-", f"error: {one_line(error)}")
        else:
            text = ", ".join(f"{one_line(class_names[number])} {scores[number]:.3f}" for number in tags)
            line(one_line(path), f"{start:.2f}", f"{end:.2f}", text or "-")


def _write_csv(rows, class_names, file, _):
    # The prefix keeps a class called "file" apart from the file.
    header = ["file", "start_seconds", "end_seconds", "tags", "error"]
    file.write(csv_line(header + [f"score {name}" for name in class_names]))
    for path, start, end, scores, tags, error in rows:
        if error is not None:
            file.write(csv_line([safe_cell(path), "", "", "", safe_cell(error)] + [""] * len(class_names)))
        else:
            names = LABEL_SEPARATOR.join(class_names[number] for number in tags)
            found = [safe_cell(path), f"{start:.6f}", f"{end:.6f}", safe_cell(names), ""]
            file.write(csv_line(found + [f"{score:.7g}" for score in scores]))


def _write_json(rows, class_names, file, _):
    file.write(f'{{"classes": {json.dumps(class_names)},\n "results": [')
    between = "\n  "
    for path, start, end, scores, tags, error in rows:
        row = {"file": path}
        if error is not None:
            row |= {"error": error}
        else:
            digits = [float(f"{score:.7g}") for score in scores]
            row |= {"start_seconds": round(start, 6), "end_seconds": round(end, 6)}
            row |= {"tags": {class_names[number]: digits[number] for number in tags}, "scores": digits}
        file.write(between + json.dumps(row))
        between = ",\n  "
    file.write("\n ]}\n")


FORMATS = {"table": _write_table, "csv": _write_csv, "json": _write_json}
