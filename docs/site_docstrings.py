"""The docstrings of this package as Markdown, an extension of Griffe for the API reference of the site."""

import re
import textwrap

import griffe

SECTIONS = "Example|Input shape|Output shape|Reference"


class Docstrings(griffe.Extension):
    """Sets examples as code, and the sections that Google's style does not have as paragraphs with a title."""

    def on_object(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring):
    """Returns a docstring with fenced examples and titles in bold."""
    return "\n\n".join(map(_paragraph, docstring.split("\n\n")))


def _paragraph(text):
    if text.startswith(">>>"):
        return f"```pycon\n{text}\n```"
    if section := re.fullmatch(rf"({SECTIONS}):(.*)", text, re.DOTALL):
        title, rest = section.groups()
        return f"**{title}:**\n\n{textwrap.dedent(rest).strip()}".strip()
    return text
