"""Self-contained HTML pages from the templates of the package, with everything escaped that is put into them."""

import math
import pathlib

from keras_audio_si.evaluation.intervals import LEVEL
from keras_audio_si.files import written_whole

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def write_page(template, path, **values):
    """Fills a template and writes the page.

    Args:
        template: Name of a file in `TEMPLATES`.
        path: Path of the page.
        **values: What the template names; texts are escaped. SVG text comes from `evaluation.charts` alone.

    Returns:
        The path.

    Raises:
        ImportError: If jinja2 is missing.
    """
    check_jinja2()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        lstrip_blocks=True,
    )
    environment.globals["signed"] = signed
    environment.filters |= {"number": number, "percent": percent, "signed": signed, "interval": interval}
    environment.globals["level"] = f"{100 * LEVEL:g} %"
    page = environment.get_template(template).render(values)
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return pathlib.Path(path)


def check_jinja2():
    """Raises an ImportError that says what to install if jinja2 is missing."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise ImportError("Reports need jinja2: pip install 'keras-audio-si[reports]'.") from error


def number(value, decimals=3):
    """Formats a number, NaN as a dash.

    Example:

    >>> number(0.5), number(float("nan")), number(float("inf"))
    ('0.500', '–', '∞')
    """
    if value == math.inf:
        return "∞"
    return "–" if value is None or value != value else f"{value:.{decimals}f}"


def percent(value):
    """Formats a share as a percentage, such as "12.5 %"."""
    return "–" if value != value else f"{100 * value:.1f} %"


def signed(value):
    """Formats a difference with its sign, such as "+0.012" or "−0.012"."""
    return "–" if value != value else f"{value:+.3f}".replace("-", "−")


def interval(value, form=number):
    """Formats the ends of an `Interval`, such as "0.250 to 0.750"."""
    return "–" if value.low != value.low else f"{form(value.low)} to {form(value.high)}"
