"""What `make site` adds to the pages in docs/: README, results, changelog, and the reference of the public names."""

import importlib
import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {"index.md": "README.md", "results.md": "recipes/RESULTS.md", "changelog.md": "CHANGELOG.md"}


def on_files(files, config):
    """Adds the pages that lie elsewhere in the repository, and one with the docstrings."""
    for name, path in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(markdown, page, **_):
    """Turns links of the repository into those of the site."""
    for name, path in PAGES.items():
        markdown = re.sub(rf"\((?:\.\./)?{re.escape(path)}\)", f"({name})", markdown)
    return re.sub(r"\(docs/", "(", markdown)


def reference():
    """The directives of mkdocstrings for all public names, by room."""
    import keras_audio_si

    parts = ["# API\n"]
    for room in keras_audio_si.__all__:
        module = importlib.import_module(f"keras_audio_si.{room}")
        parts.append(f"## {room}\n\n{module.__doc__.partition(chr(10))[0]}\n")
        for name in module.__all__:
            thing = getattr(module, name)
            if hasattr(thing, "__module__"):
                parts.append(f"::: {thing.__module__}.{thing.__name__}\n")
    return "\n".join(parts)
