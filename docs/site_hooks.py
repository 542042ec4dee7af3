"""MkDocs hooks of `make site`: pages from outside of docs/ (such as README and changelog), and the API reference."""

import importlib
import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
    "index.md": "README.md",
    "results.md": "recipes/RESULTS.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "vgg41-esc10.md": "keras_audio_si/pretrained_models/vgg41-esc10.md",
}
FLAG = re.compile(r"(?<![\w-])--[\w-]+")


def on_files(files, config):
    """Adds the pages from outside of docs/, and the API reference."""
    for name, path in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(markdown, page, **_):
    """Turns links of the repository into those of the site, and keeps means and deviations on one line."""
    for name, path in PAGES.items():
        markdown = re.sub(rf"\((?:\.\./)?{re.escape(path)}\)", f"({name})", markdown)
    return re.sub(r"\(docs/", "(", markdown).replace(" ± ", "\u00a0±\u00a0")


def on_page_content(html, **_):
    """Keeps flags in inline code from being broken at their hyphens."""
    return re.sub(r"<code>[^<]*</code>", lambda code: FLAG.sub(r'<span class="nobreak">\g<0></span>', code[0]), html)


def reference():
    """Returns a page with the directives of mkdocstrings for all public names."""
    import keras_audio_si

    parts = ["# API reference\n"]
    for package in keras_audio_si.__all__:
        module = importlib.import_module(f"keras_audio_si.{package}")
        parts.append(f"## {package}\n\n{module.__doc__.partition(chr(10))[0]}\n")
        for name in module.__all__:
            thing = getattr(module, name)
            if hasattr(thing, "__module__"):
                parts.append(f"::: {thing.__module__}.{thing.__name__}\n")
    return "\n".join(parts)
