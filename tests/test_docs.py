"""The documentation: its examples run, its commands parse, its links lead somewhere, its reference is complete."""

import pathlib
import re
import runpy
import shlex

import pytest

from keras_audio_si.cli.main import build_parser
from keras_audio_si.experiments.recipes import RECIPES
from keras_audio_si.experiments.results import format_results, read_results
from keras_audio_si.experiments.settings import part_of

ROOT = pathlib.Path(__file__).parent.parent
OUTSIDE = ("README.md", "CONTRIBUTING.md", "recipes/RESULTS.md")
PAGES = [*(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    "page, printed",
    [
        ("README.md", "synthetic/audio"),
        ("docs/architecture.md", "ShiftResult"),
    ],
)
@pytest.mark.first
def test_examples_run(page, printed, one_block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    for example in examples:
        exec(compile(example, page, "exec"), {"__name__": "example"})
    assert printed in capsys.readouterr().out


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page):
    """Those of the command, whole, and those that begin with `--recipe`, which are arguments of `train`."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))  # Lines that go on.
    commands = re.findall(r"^    keras-audio-si (.+?)(?: {2,}#.*)?$", text, re.MULTILINE)
    commands += [f"train --data x --output y {rest}" for rest in re.findall(r"`(--recipe [^`\n]+)`", text)]
    for arguments in map(shlex.split, commands):
        if arguments[0].isupper() or arguments == ["train"]:
            continue  # VERB
        args = build_parser(arguments).parse_args(arguments)
        if getattr(args, "recipe", None):
            given = {name: value for name, value in vars(args).items() if name in part_of()}
            assert RECIPES[args.recipe].rows(args.table, args.row, **given)[0]


@pytest.mark.once
def test_commands_of_recipes_parse():
    for recipe in RECIPES.values():
        assert all(recipe.rows([table])[0] for table in recipe.tables)
    names = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(name in names for name in RECIPES)


@pytest.mark.once
def test_no_placeholders():
    for path in (*PAGES, *(ROOT / "recipes").glob("*.py"), *(ROOT / "keras_audio_si").rglob("*.py")):
        assert not re.search(r"@[A-Z]{2,}@", path.read_text(encoding="utf-8")), path


@pytest.mark.once
def test_results_are_up_to_date():
    written = (ROOT / "recipes" / "RESULTS.md").read_text(encoding="utf-8")
    assert written == format_results(read_results(ROOT / "recipes" / "results.csv")), "run `make results`"


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = []
    if page.name != "RESULTS.md":  # Its commands are of the versions that ran them.
        paths = re.findall(r"\b(?:docs|recipes|tests)/[\w/]+\.(?:py|md)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    sections = re.findall(r"\]\(([^):]*#[^)]+)\)", text)
    missing += [link for link in sections if not _is_section(page, *link.split("#"))]
    assert not missing


def _is_section(page, path, section):
    """Whether a page, the same one without a path, has a heading for which GitHub makes this anchor."""
    page = page.parent / path if path else page
    headings = re.findall(r"^#+ (.+)", page.read_text(encoding="utf-8") if page.exists() else "", re.MULTILINE)
    return section in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.once
def test_site_has_every_page():
    named = set(re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= named


@pytest.mark.once
def test_api_reference_is_up_to_date():
    script = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == script["reference"](), "run `make docs`"
