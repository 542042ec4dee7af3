"""The documentation: its examples run, its commands parse, its links lead somewhere, its reference is complete."""

import pathlib
import re
import runpy
import shlex
import sys

import pytest

import keras_audio_si_cli

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "recipes" / "RESULTS.md"]


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_examples_run(page, one_block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, page, "exec"), {"__name__": "example"})
    assert "ShiftResult" in capsys.readouterr().out


@pytest.mark.once
def test_commands_parse():
    commands = re.findall(r"^    keras-audio-si (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        keras_audio_si_cli._parser().parse_args(shlex.split(command))


@pytest.mark.once
def test_commands_of_the_paper_of_eat_parse(monkeypatch):
    text = (ROOT / "docs" / "gazneli2022.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?:^    |`)(keras-audio-si [^`\n]+|recipes/\w+\.py[^`\n]*)", text, re.MULTILINE)
    monkeypatch.setattr(keras_audio_si_cli, "guarded", lambda main, args: 0)  # Nothing is run.
    monkeypatch.syspath_prepend(ROOT / "recipes")
    used = set()
    for name, *arguments in map(shlex.split, commands):
        used.add(name)
        if name == "keras-audio-si":
            keras_audio_si_cli._parser().parse_args(arguments)
            continue
        monkeypatch.setattr(sys, "argv", [name, "--data", "PATH", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        assert ended.value.code == 0, arguments
    recipes = [*ROOT.glob("recipes/eat_*.py"), ROOT / "recipes" / "phase_information.py"]
    assert used == {"keras-audio-si", *(f"recipes/{path.name}" for path in recipes)}


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = re.findall(r"\b(?:docs|recipes|tests)/[\w/]+\.(?:py|md)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.once
def test_api_reference_is_up_to_date():
    script = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == script["reference"](), "run `make docs`"
