"""Names that others have given as text for a terminal and for Markdown, and files as text for HTML."""

import base64
import os
import re

# Control characters, ends of lines and paragraphs, marks that reverse what follows, and bytes that are no text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# An underscore within a word is text.
_MARKUP = re.compile(r"[\\`*\[\]<>#|~&]|(?<![^\W_])_|_(?![^\W_])")


def one_line(text):
    """Shows text on one line: control characters and ends of lines as escapes, so that a terminal obeys none.

    Example:

    >>> print(one_line("new\\nline \\x1b[2J"))
    new\\nline \\x1b[2J
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def markdown(text):
    """Text on one line that Markdown, also within a cell of a table, takes for text.

    Example:

    >>> print(markdown("|pipe| *b* of heavy_rain"))
    \\|pipe\\| \\*b\\* of heavy_rain
    """
    return _MARKUP.sub(r"\\\g<0>", one_line(text))


def printable(path):
    """A path as text that every encoding of Unicode can write: bytes that are none of UTF-8 are written as \\xNN.

    Example:

    >>> print(printable(b"caf\\xe9.wav"))
    caf\\xe9.wav
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown(path):
    """A path as `printable`, on one line of a terminal."""
    return one_line(printable(path))


def data_uri(kind, content):
    """The address that holds a file itself, so that a page of HTML needs no other file.

    Args:
        kind: Media type, such as "image/png".
        content: Bytes of the file.

    Example:

    >>> data_uri("text/plain", b"rain")
    'data:text/plain;base64,cmFpbg=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
