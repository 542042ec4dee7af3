"""Measured results with the papers' values: a CSV file that experiments append to, and its page in Markdown."""

import csv
import datetime
import pathlib

from keras_audio_si.evaluation.report import Estimate
from keras_audio_si.experiments.recipes import RECIPES
from keras_audio_si.files import write_rows, written_rows

COLUMNS = ("paper", "table", "row", "metric", "paper_value", "ours", "data", "seeds", "command", "date")
INTRODUCTION = """# Results

Results of experiments next to the results in the papers. The papers used whole benchmarks; ours were measured on the
data named in the row, which are small. Differences between rows can be compared with the papers at best; absolute
values are no benchmark results. The newest rows come first; empty cells have not been run. The pages of the papers and
measurements.md in docs/ discuss the results; the latter says what `ESC-10`, `digits` and other names of data are.
To commands without a folder, append `--output DIR`.

`make results` makes this page from results.csv and the tables of the recipes.
"""


def read_results(path):
    """Reads results.

    Args:
        path: CSV file with `COLUMNS`; if it is not there, there are none.

    Returns:
        List of dicts of text.

    Raises:
        ValueError: If it is another file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    try:
        rows = written_rows(path)
        known = all(set(COLUMNS) <= row.keys() for row in rows)
    except (ValueError, csv.Error):  # A line with another number of columns, or no text.
        known = False
    if not known:
        raise ValueError(f"{path} is no file of results: it must have the columns {', '.join(COLUMNS)} in each line.")
    return rows


def append_results(path, results):
    """Appends results to a CSV file, which is replaced whole.

    Args:
        path: CSV file.
        results: List of dicts with some of `COLUMNS`; the date is that of today unless given.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "results.csv"
    >>> append_results(path, [{"paper": "juettner", "row": "PiczakNet", "ours": "0.375"}])
    >>> read_results(path)[0]["ours"]
    '0.375'
    """
    today = {"date": datetime.date.today().isoformat()}
    lines = [{name: {**today, **result}.get(name, "") for name in COLUMNS} for result in results]
    write_rows([*read_results(path), *lines], path)


def format_results(results):
    """Formats results as the page RESULTS.md: a section for each table of the recipes, then what is in none.

    Args:
        results: List of dicts as `read_results` gives them.

    Returns:
        Text in Markdown.
    """
    left, sections = list(results), []
    for recipe in RECIPES.values():
        if recipe.name.startswith("fonseca2021-"):  # The same rows under other conditions.
            continue
        for table, rows in recipe.tables.items():
            shown, quantity = [], recipe.quantity_of([table])
            for row, (_, value) in rows.items():
                found = [result for result in left if _key(result) == (recipe.name, table, row)]
                paper = "" if value is None else f"{_shown(value)} {quantity}"
                shown += [
                    {**result, "paper_value": result.get("paper_value") or paper}
                    for result in _joined(found) or [{"row": row}]
                ]
                left = [result for result in left if result not in found]
            others = [result for result in left if _key(result)[:2] == (recipe.name, table)]
            left = [result for result in left if result not in others]
            sections.append((f"{recipe.name}, table {table}", [*shown, *_joined(others)]))
    for paper in dict.fromkeys(result["paper"] for result in left):
        others = _joined(result for result in left if result["paper"] == paper)
        sections.append((f"Other experiments: {paper}" if paper else "Other experiments", others))
    sections.sort(key=lambda section: not any(result.get("ours") for result in section[1]))
    return "\n".join([INTRODUCTION, *(_section(*section) for section in sections)])


def _key(result):
    return result["paper"], result["table"], result["row"]


def _joined(results):
    """Makes one result of all that one training gave, in which the values of its metrics are one after the other."""
    groups, joined = {}, []
    for result in results:
        same = tuple(result[name] for name in COLUMNS if name not in ("metric", "paper_value", "ours"))
        groups.setdefault(same, []).append(result)
    for group in groups.values():
        values = [" ".join(filter(None, (result["ours"], result["metric"]))) for result in group]
        paper = [" ".join((result["paper_value"], result["metric"])) for result in group if result["paper_value"]]
        joined.append({**group[0], "ours": "; ".join(values), "metric": "", "paper_value": "; ".join(paper)})
    return joined


def _section(title, results):
    newest_first = sorted(results, key=lambda result: result.get("date", ""), reverse=True)  # Not run: no date, last.
    lines = [_line(result) for result in newest_first]
    header = "| row | paper | ours | data | seeds | command | date |\n|---|---:|---:|---|---|---|---|"
    return "\n".join([f"## {title}\n", header, *lines, ""])


def _line(result):
    command = f"`{result['command']}`" if result.get("command") else ""
    cells = (
        result["row"],
        result.get("paper_value", ""),
        result.get("ours", ""),
        result.get("data", ""),
        result.get("seeds", ""),
        command,
        result.get("date", ""),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(value):
    if isinstance(value, Estimate):
        return f"{value.mean:.3f} ± {value.deviation:.3f}"
    return f"{value:.4g}"
