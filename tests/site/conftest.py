"""The built site, served on this machine, and one browser for all tests."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


WATCH_SHIFTS = """
    window.shifts = []
    new PerformanceObserver(list => list.getEntries().filter(shift => !shift.hadRecentInput).forEach(shift =>
        window.shifts.push([shift.value, shift.sources.map(({node}) => node?.outerHTML?.slice(0, 100)).join(" & ")])
    )).observe({type: "layout-shift", buffered: true})
"""
PREFIX = "/at/some/place"  # a site works wherever it stands: here it stands below this


class Handler(SimpleHTTPRequestHandler):
    """Serve files below the prefix, with the site's own page for what is not there, and say nothing about it."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        """Find the file of an address."""
        below = path.removeprefix(PREFIX) if path.startswith(f"{PREFIX}/") else "/outside of the site"
        return super().translate_path(below)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send the page that hosts send."""
        page = Path(self.directory, "404.html")
        if code != 404 or not page.exists():
            return super().send_error(code, message, explain)
        content = page.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gave it
        """Write no log."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}{PREFIX}"
        server.shutdown()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``path`` once for each page of the site."""
    if "path" in metafunc.fixturenames:
        pages = sorted(file.relative_to(SITE).as_posix() for file in SITE.rglob("*.html"))
        metafunc.parametrize("path", [page for page in pages if "_static/" not in page])


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.fail(f"there is no site in {SITE}: build it first, with `tox run -e docs`", pytrace=False)
    return SITE


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with serving(site) as address:
        yield address


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
    page = browser.new_page(reduced_motion="reduce")
    page.add_init_script(WATCH_SHIFTS)
    return page


class Watch:
    """What a tab asks for, and what goes wrong in it, from when it is opened on a page.

    A request that is aborted has not failed: a page that is left drops what it was still loading.
    """

    def __init__(self, tab: Page, address: str) -> None:
        self.tab, self.address = tab, address
        self.faults: list[str] = []
        self.requests: set[str] = set()
        self.listeners = {
            "request": self.request,
            "response": self.response,
            "requestfailed": self.failed,
            "console": self.console,
            "pageerror": lambda error: self.faults.append(f"script: {error}"),
        }

    def __enter__(self) -> "Watch":
        for event, listener in self.listeners.items():
            self.tab.on(event, listener)
        return self

    def __exit__(self, *_: object) -> None:
        for event, listener in self.listeners.items():
            self.tab.remove_listener(event, listener)

    def request(self, request: Request) -> None:
        if request.url.startswith(self.address):
            self.requests.add(unquote(urlsplit(request.url.removeprefix(self.address)).path.lstrip("/")))
        elif not request.url.startswith("data:"):
            self.faults.append(f"a request leaves: {request.url}")

    def console(self, message: ConsoleMessage) -> None:
        is_slow = (
            "not used within a few seconds" in message.text
        )  # says that the machine is slow, not that a page is wrong
        if message.type in ("error", "warning") and not is_slow:
            self.faults.append(f"console: {message.text}")

    def response(self, response: Response) -> None:
        if not response.ok and response.status != 304:
            self.faults.append(f"{response.status}: {response.url}")

    def failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url} ({request.failure})")


@pytest.fixture
def faults(tab: Page, address: str) -> Iterator[list[str]]:
    """Collect what goes wrong while pages load: failed and outside requests, errors on the console."""
    with Watch(tab, address) as watch:
        yield watch.faults
