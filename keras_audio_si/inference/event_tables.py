"""Events as CSV, JSON lines, Audacity labels or a Raven selection table, written file by file."""

import json

from keras_audio_si.checks import check_choice
from keras_audio_si.escaping import one_line, printable, shown
from keras_audio_si.files import csv_line, safe_cell

_RAVEN = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "File Offset (s)", "Class", "Score"),
)


def write_events(format, results, file, sample_rate):
    """Writes the events of files.

    Args:
        format: "csv": a row for every event, file and seconds first. "jsonl": a JSON object in every line. "audacity":
            a label track, of one audio file. "raven": a selection table; where there are several audio files, their
            times are those of the files one after the other, and `File Offset (s)` counts within each. Files without
            scores have a row with their error in "csv" and "jsonl".
        results: Iterable of `(inference.tagging.FileScores, list of events)`, each of which is written when it comes.
        file: Open text file.
        sample_rate: Of the model, in Hz; Raven draws selections up to half of it.

    Returns:
        Number of files without scores.

    Raises:
        ValueError: If `format` is unknown.

    Example:

    >>> import sys
    >>> from keras_audio_si.inference.events import Event
    >>> from keras_audio_si.inference.tagging import FileScores
    >>> result = FileScores("a.wav", 9.0, np.zeros(1), np.ones(1), np.ones((1, 1)))
    >>> write_events("csv", [(result, [Event(1.5, 2.25, "dog", 0.875)])], sys.stdout, 16000)
    file,onset_seconds,offset_seconds,class,score,error
    a.wav,1.500000,2.250000,dog,0.875,
    0
    """
    check_choice("format", format, EVENT_FORMATS)
    failed = 0

    def counted():
        nonlocal failed
        for result, events in results:
            failed += result.error is not None
            yield result, events
            file.flush()

    EVENT_FORMATS[format](counted(), file, sample_rate)
    return failed


def _write_csv(results, file, _):
    file.write(csv_line(["file", "onset_seconds", "offset_seconds", "class", "score", "error"]))
    for result, events in results:
        path = safe_cell(printable(result.path))
        if result.error is not None:
            file.write(csv_line([path, "", "", "", "", safe_cell(result.error)]))
        for onset, offset, name, score in events:
            cells = [path, f"{onset:.6f}", f"{offset:.6f}", safe_cell(name), f"{score:.7g}", ""]
            file.write(csv_line(cells))


def _write_jsonl(results, file, _):
    for result, events in results:
        rows = [{"error": result.error}] if result.error is not None else []
        for onset, offset, name, score in events:
            times = {"onset_seconds": round(onset, 6), "offset_seconds": round(offset, 6)}
            rows.append(times | {"class": name, "score": float(f"{score:.7g}")})
        for row in rows:
            file.write(json.dumps({"file": printable(result.path)} | row) + "\n")


def _write_audacity(results, file, _):
    for _, events in results:
        for onset, offset, name, _ in events:
            file.write(f"{onset:.6f}\t{offset:.6f}\t{one_line(name)}\n")


def _write_raven(results, file, sample_rate):
    file.write("\t".join(_RAVEN) + "\n")
    number, begin = 0, 0.0
    for result, events in results:
        for onset, offset, name, score in events:
            number += 1
            times = [f"{begin + onset:.6f}", f"{begin + offset:.6f}", "0", f"{sample_rate / 2:g}"]
            path = [shown(result.path), f"{onset:.6f}", one_line(name), f"{score:.4f}"]
            file.write("\t".join([str(number), "Spectrogram 1", "1", *times, *path]) + "\n")
        begin += result.seconds


EVENT_FORMATS = {"csv": _write_csv, "jsonl": _write_jsonl, "audacity": _write_audacity, "raven": _write_raven}
