"""Atomic writes of files, and errors of writing that say what can be done."""

import contextlib
import csv
import errno
import os
import pathlib


@contextlib.contextmanager
def written_whole(path):
    """Gives a temporary path to write to, which replaces `path` once the block has ended without an error.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "table.md"
    >>> with written_whole(path) as temporary:
    ...     size = temporary.write_text("whole")
    >>> path.read_text()
    'whole'
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")  # the extension stays: writers choose formats by it
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(folder):
    """Makes an error of writing to a folder, within the block, name the folder and what can be done.

    Args:
        folder: The folder that the block writes to.

    Raises:
        OSError: of the type that was raised in the block.

    Example:

    >>> with writing("runs/a"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: cannot write to 'runs/a': no space left on device; make room, and continue with --resume
    """
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise type(error)(f"cannot write to {str(folder)!r}: {_reason(error)}") from error


def write_rows(rows, path, columns=None):
    """Writes dicts of columns to a CSV file; without `columns` these are those of the rows."""
    with written_whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns or columns_of(rows))
        writer.writeheader()
        writer.writerows(rows)


def columns_of(rows):
    """Names of the columns of a table of dicts, in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def _reason(error):
    if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", None)):
        return f"{os.strerror(error.errno).lower()}; make room, and continue with --resume"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{os.strerror(error.errno).lower()}; change its permissions, or choose another folder"
    return error.strerror or str(error)
