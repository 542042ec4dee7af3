"""Locks on folders, which the operating system releases when their process ends."""

import contextlib
import errno
import os
import pathlib
import socket
import sys

from keras_audio_si.files import INCOMPLETE, writing

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

_LOCKED_BYTE = 1 << 30  # far behind the text of a lock file, which stays readable


@contextlib.contextmanager
def locked(folder, name="run.lock"):
    """Creates a folder and locks it for this process within the block.

    The operating system releases the lock when the process ends, also if it is killed. It is `flock` on Linux, macOS
    and BSD (over NFS if the server supports locks), and `msvcrt.locking` on Windows. On a file system without locks a
    message is printed and the block runs without a lock. Incomplete files of a killed process are removed.

    Args:
        folder: The folder, made if there is none.
        name: Name of the lock file in it, removed at the end.

    Raises:
        BlockingIOError: If another process has the lock.
        OSError: If the folder cannot be written to.

    Example:

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "run"
    >>> with locked(folder):
    ...     (folder / "run.lock").exists()
    True
    >>> list(folder.iterdir())
    []
    """
    folder = pathlib.Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(folder / name)
    try:
        for left_over in (*folder.glob(".*-*"), *folder.glob("checkpoints/.*-*")):
            if INCOMPLETE.fullmatch(left_over.name) and left_over.is_file():
                left_over.unlink(missing_ok=True)
        yield
    finally:
        if fcntl is None:  # Windows removes no open file
            os.close(descriptor)
        with contextlib.suppress(OSError):
            (folder / name).unlink()
        if fcntl is not None:  # released last, so that the file that was removed is the one that was locked
            os.close(descriptor)


def _lock(path):
    """Opens and locks a file; the lock goes when the returned descriptor is closed."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(descriptor, path)
            # The one who had it may have removed the file between the opening and the locking here.
            if path.exists() and os.path.samestat(os.stat(path), os.fstat(descriptor)):
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _take(descriptor, path):
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            owner = path.read_text(encoding="utf-8", errors="replace").strip() or "another process"
            raise BlockingIOError(
                f"{str(path.parent)!r} is in use by {owner}: wait for its end, or choose another folder."
            ) from None
        print(f"{path} cannot be locked here: see that no other run uses the folder.", file=sys.stderr)
