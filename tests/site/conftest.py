"""The built site, served on this machine, and one browser for all tests."""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Handler(SimpleHTTPRequestHandler):
    """Serve files, and say nothing about it."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gave it
        """Write no log."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``path`` once for each page of the site."""
    if "path" in metafunc.fixturenames:
        pages = sorted(file.relative_to(SITE).as_posix() for file in SITE.rglob("*.html"))
        metafunc.parametrize("path", [page for page in pages if not page.startswith("_static/")])


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.fail(f"there is no site in {SITE}: build it first, with `tox run -e docs`", pytrace=False)
    return SITE


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.fail("there is no chromium: install it (apt-get install chromium) or name it in CHROMIUM", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Page:
    """One tab for all tests: its cache makes the second visit of a file a cheap one. Nothing moves in it."""
    return browser.new_page(reduced_motion="reduce")


@pytest.fixture
def faults(tab: Page, address: str) -> Iterator[list[str]]:
    """Collect what goes wrong while pages load: failed and outside requests, errors on the console.

    A request that is aborted has not failed: a page that is left drops what it was still loading.
    """
    found: list[str] = []
    listeners = {
        "request": lambda request: (
            request.url.startswith((address, "data:")) or found.append(f"a request leaves: {request.url}")
        ),
        "response": lambda response: (
            response.ok or response.status == 304 or found.append(f"{response.status}: {response.url}")
        ),
        "requestfailed": lambda request: (
            request.failure == "net::ERR_ABORTED" or found.append(f"failed: {request.url} ({request.failure})")
        ),
        "console": lambda message: message.type in ("error", "warning") and found.append(f"console: {message.text}"),
        "pageerror": lambda error: found.append(f"script: {error}"),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    yield found
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
