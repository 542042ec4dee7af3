"""The documentation: its examples run, its commands parse, its links lead somewhere, its reference is complete."""

import pathlib
import re
import runpy
import shlex
import sys

import pytest

import keras_audio_si.cli.main

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
        keras_audio_si.cli.main._parser().parse_args(shlex.split(command))


@pytest.mark.once
@pytest.mark.parametrize(
    "page, recipes",
    [
        ("gazneli2022.md", ["eat_*.py", "phase_information.py"]),
        ("liu2022.md", ["diffres_*.py", "frontend_comparison.py"]),
        ("juettner.md", ["deepfourier_*.py", "icebreaker_vs_random.py"]),
    ],
)
def test_commands_of_a_paper_parse(page, recipes, monkeypatch):
    text = re.sub(r"\\\n\s*", "", (ROOT / "docs" / page).read_text(encoding="utf-8"))  # Lines that go on.
    commands = re.findall(r"(?:^    |`)(keras-audio-si [^`\n]+|(?:python )?recipes/\w+\.py[^`\n]*)", text, re.MULTILINE)
    monkeypatch.setattr(keras_audio_si.cli.main, "guarded", lambda main, args: 0)  # Nothing is run.
    monkeypatch.syspath_prepend(ROOT / "recipes")
    used = set()
    for name, *arguments in (shlex.split(command.removeprefix("python ")) for command in commands):
        used.add(name)
        if name == "keras-audio-si":
            keras_audio_si.cli.main._parser().parse_args(arguments)
            continue
        given = arguments if "--data" in arguments else ["--data", "PATH", *arguments]
        monkeypatch.setattr(sys, "argv", [name, *given])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        assert ended.value.code == 0, arguments
    assert {"keras-audio-si"} < used
    assert all(path.name in text for pattern in recipes for path in (ROOT / "recipes").glob(pattern))


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
