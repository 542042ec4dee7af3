"""Checks of where a command is to write, before its work is done."""

import os
import pathlib

from keras_audio_si.files import is_device


def check_folder(option, path):
    """Raises an error unless a path is a folder that can be written to, or one that can be made; None passes.

    Args:
        option: Option that the path was given by, for the message.
        path: The path.

    Raises:
        ValueError: If it is empty, which would be the working folder.
        OSError: If it is no folder, or none that can be written to.
    """
    if path is None:
        return
    _check_named(option, path, "folder ('.' is this one)")
    there = pathlib.Path(path)
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(f"`{option}` must be a folder, and {there} is a file. Received: {path}")
    _check_writable(option, path, there)


def check_file(option, path, suffixes=(), makes_folder=False):
    """Raises an error unless a file can be written to a path; None passes.

    Args:
        option: Option that the path was given by, for the message.
        path: The path.
        suffixes: The suffixes that it may have, with their dot; none for any.
        makes_folder: Whether what writes the file makes its folder.

    Raises:
        ValueError: If it is empty, or has another suffix.
        OSError: If it is a folder, or is in none that can be written to.
    """
    if path is None:
        return
    _check_named(option, path, "file")
    file = pathlib.Path(path)
    if suffixes and file.suffix not in suffixes:
        raise ValueError(f"`{option}` must end in {', '.join(suffixes)}. Received: {path}")
    if file.is_dir():
        raise IsADirectoryError(f"`{option}` must be a file, and {path} is a folder: add the name of the file.")
    if makes_folder:
        check_folder(option, file.parent)
    elif not file.parent.is_dir():
        raise FileNotFoundError(f"`{option}` must be in a folder that is there: make {file.parent}. Received: {path}")
    elif not is_device(file):
        _check_writable(option, path, file.parent)


def check_picture(option, path):
    """Raises an error as `check_file` unless matplotlib can write a picture to a path, and if it is missing."""
    from keras_audio_si.visualization.plots import picture_suffixes

    suffixes, own = picture_suffixes(), os.path.splitext(path or "")[1]
    check_file(option, path, (*suffixes, own) if own.lower() in suffixes else suffixes, makes_folder=True)


def check_no_input(option, path, inputs):
    """Raises an error if a file to write is one of those that are read; None passes.

    Args:
        option: Option that the path was given by, for the message.
        path: The path.
        inputs: Iterable of paths, of files that need not be there.

    Raises:
        ValueError: If one of them is that file.
    """
    if path is None or not os.path.exists(path):
        return
    for file in inputs:
        if os.path.exists(file) and os.path.samefile(file, path):
            raise ValueError(f"`{option}` would replace {path}, which is read: give another file.")


def _check_named(option, path, kind):
    if not str(path):
        raise ValueError(f"`{option}` is empty: it must name a {kind}.")


def _check_writable(option, path, folder):
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"`{option}` must be where this user may write, unlike {folder}. Received: {path}")
