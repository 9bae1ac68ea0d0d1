"""Headless Chromium, Debian's or another that is installed, which reports whatever a page should not do."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright, which drives the browser, is not installed")

expect = playwright.expect
"""Of the driver: waits for what is expected of a page, which `wait_for_function` cannot, for the page lets nothing be evaluated."""

NAMES = ("chromium", "chromium-browser", "google-chrome")


def program() -> str:
    """The browser. Skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"there is no Chromium (none of {', '.join(NAMES)}): Debian's package chromium has it")
    return found


@contextlib.contextmanager
def running() -> Iterator[playwright.Browser]:
    """For several pages. No name but this machine's is resolved."""
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program(), args=[*sandbox, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(browser: playwright.Browser, address: str, *, width: int = 1280, scheme: str = "light") -> Iterator[playwright.Page]:
    """A page of a fresh browser. Fails, when it is left, for an error in the console or the page, and a request to another host."""
    context = browser.new_context(base_url=address, viewport={"width": width, "height": 850}, color_scheme=scheme)
    context.set_default_timeout(15_000)
    expect.set_options(timeout=15_000)
    page = context.new_page()
    errors: list[str] = []
    elsewhere: list[str] = []

    def asked(request: playwright.Request) -> None:
        if urlsplit(request.url).scheme != "data" and urlsplit(request.url).netloc != urlsplit(address).netloc:
            elsewhere.append(request.url)

    page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", asked)
    yield page
    context.close()
    assert (elsewhere, errors) == ([], []), f"asked of other hosts: {elsewhere}; errors: {errors}"
