"""Atomic writes of files, and errors of writing that say what can be done."""

import contextlib
import csv
import errno
import io
import itertools
import json
import math
import os
import pathlib
import re
import secrets

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)
AGAIN = "run it again"
INCOMPLETE = re.compile(r"\.\d+-[0-9a-f]{8}-.+")  # Names of what `written_whole` writes, and a killed process leaves.

_BYTE = re.compile(r"\\udc[89a-f][0-9a-f]")  # As "backslashreplace" writes a byte of a name that is not UTF-8.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def is_device(path):
    """Whether something is at a path that is no file, such as a device or a pipe, which is written to as it is."""
    return os.path.exists(path) and not os.path.isfile(path)


@contextlib.contextmanager
def written_whole(path):
    """Gives a temporary path to write to, which replaces `path` once the block has ended without an error.

    The disk has the bytes before the file has its name, so that a power loss leaves the old file or the whole new one.
    Of a link the file that it leads to is replaced. What is there and is no file, as a device or a pipe, is given
    itself.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "table.md"
    >>> with written_whole(path) as temporary:
    ...     size = temporary.write_text("whole")
    >>> path.read_text()
    'whole'
    """
    path = pathlib.Path(path)
    if is_device(path):
        yield path
        return
    if path.is_symlink():
        path = pathlib.Path(os.path.realpath(path))
    # The extension stays: writers choose formats by it. Workers on other hosts may have the same process number.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows flushes only what is open for writing.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(folder, then="continue with --resume", smaller=""):
    """Makes an error of writing to a folder, within the block, name the folder and what can be done.

    Args:
        folder: The folder that the block writes to.
        then: What to do when there is room.
        smaller: What makes the files smaller, if something does.

    Raises:
        OSError: of the type and with the `errno` of the system's error in the block. Errors that this package raises
            there pass as they are.

    Example:

    >>> with writing("runs/a"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: cannot write to 'runs/a': no space left on device; make room, and continue with --resume
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # Not of the system: it says already what can be done.
            raise
        reworded = type(error)(f"cannot write to {str(folder)!r}: {_reason(error, then, smaller)}")
        reworded.errno = error.errno  # Given with the text, it would be printed before it.
        raise reworded from error


def safe_cell(value):
    """Puts `'` before text that a spreadsheet would take for a formula, or that begins with it.

    Example:

    >>> safe_cell("=1+1"), safe_cell("rain"), safe_cell(-1.5), plain_text(safe_cell("'s"))
    ("'=1+1", 'rain', -1.5, "'s")
    """
    formula = isinstance(value, str) and value.startswith(_FORMULA) and len(value) > 1
    return f"'{value}" if formula else value


def plain_text(cell):
    """Returns the text that `safe_cell` was given, from a file in which text such as `\\udcff` stands for bytes."""
    cell = cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
    return _BYTE.sub(lambda byte: chr(int(byte[0][2:], 16)), cell)


def csv_line(cells):
    """A line of CSV that ends in a line feed alone; a carriage return within a cell is quoted all the same.

    Example:

    >>> csv_line(["a\\r=1", 0.5])
    '"a\\r=1",0.5\\n'
    """
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)  # Before Python 3.13 only what is in the end of lines is quoted.
    return line.getvalue().removesuffix("\r\n") + "\n"


def write_csv(path, columns, rows):
    """Writes a CSV file whose texts are safe in a spreadsheet.

    It is UTF-8 even if names of files are not: `plain_text` takes the bytes of these from text such as `\\udcff`.

    Args:
        path: Path of the file.
        columns: Names of the columns.
        rows: Iterable of lists of text and numbers; a NaN is written as an empty cell.

    Returns:
        The path.
    """
    _write_table(path, columns, (["" if value != value else value for value in row] for row in rows))
    return pathlib.Path(path)


def write_rows(rows, path):
    """Writes dicts of columns to a CSV file whose texts are safe in a spreadsheet; `written_rows` reads them."""
    columns = columns_of(rows)
    _write_table(path, columns, ([row.get(name, "") for name in columns] for row in rows))


def _write_table(path, columns, rows):
    with written_whole(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file).writerows(map(safe_cell, row) for row in itertools.chain([columns], rows))


def written_rows(path):
    """Reads the dicts of text that `write_rows` has written."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:  # As earlier versions wrote.
        columns, *lines = [[plain_text(cell) for cell in line] for line in csv.reader(file)] or [[]]
    return [dict(zip(columns, line, strict=True)) for line in lines]


def write_json(path, content, indent=None):
    """Writes dicts, lists, text and numbers to a JSON file, with null for NaN and infinity, which JSON has not.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "summary.json")
    >>> write_json(path, {"mAP": float("nan"), "clips": np.int64(3)})
    >>> path.read_text(encoding="utf-8")
    '{"mAP": null, "clips": 3}\\n'
    """
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(_finite(content), indent=indent) + "\n", encoding="utf-8")


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # of NumPy
    return None if isinstance(value, float) and not math.isfinite(value) else value


def columns_of(rows):
    """Names of the columns of a table of dicts, in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def _reason(error, then, smaller):
    reason = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
    if error.errno == errno.EFBIG:
        remedy = f"raise the limit, choose another file system{smaller and f', or {smaller}'}, and {then}"
        return f"{reason} for a limit of the system (`ulimit -f`) or for the file system; {remedy}"
    if error.errno in FULL:
        return f"{reason}; make room, and {then}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}; change its permissions, or choose another folder"
    return error.strerror
