"""Pages in headless Chromium, for tests of the HTML that the package writes or serves."""

import contextlib
import os
import re
import shutil

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium was found (Debian: `apt install chromium`, or name one by CHROMIUM)"
)


@contextlib.contextmanager
def opened(url, width=1280, dark=False, flags=(), wait_until="load", harmless=None, **context):
    """Opens a page, and fails at the end if the browser reported an error or a request that failed.

    Args:
        url: Address, such as `path.as_uri()` of a file.
        width: Width of the window in pixels; the height is 900.
        dark: Whether the system prefers dark colours.
        flags: Further flags of Chromium.
        wait_until: What `goto` waits for.
        harmless: Regular expression of errors that are let through.
        **context: Further arguments of Playwright's `new_context`, such as `permissions`.

    Yields:
        Playwright's page.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the extra `dev`")
    errors = []
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        try:
            scheme = "dark" if dark else "light"
            page = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, **context
            ).new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
            page.goto(url, wait_until=wait_until)
            yield page
        finally:
            browser.close()
    errors = [error for error in errors if harmless is None or not re.search(harmless, error)]
    assert not errors, errors
