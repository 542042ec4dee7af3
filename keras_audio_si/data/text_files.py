"""Reading of text and JSON files of data sets, with errors that name the file."""

import json
import pathlib


def read_text(path):
    """Reads a text file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: If it is not UTF-8.
    """
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 (byte {error.start}): save it as UTF-8.") from None


def read_json(path, kind=dict):
    """Reads a JSON file.

    Args:
        path: Path of the file.
        kind: Type of what it must hold.

    Raises:
        ValueError: If it is no JSON file, or holds something else.
    """
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file. Reading it failed: {error}") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} must hold a {kind.__name__}. Received: {type(content).__name__}")
    return content
