"""A page as a visitor sees it: headless Chromium opens it, waits until it is drawn, lists what went wrong."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, sync_playwright

from tests.helpers.support import eventually

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOPBACK = {"127.0.0.1", "localhost", "[::1]", "::1"}
BASE_PATH_PROBE = re.compile(r"/\w+/_stcore/(health|host-config)$")
CHARTS_DRAWN = """
count => {
  const plots = [...document.querySelectorAll('.js-plotly-plot')];
  const marks = '.bars path, .slice path, .lines path, .scatter path, .choroplethlayer path, .scattergeo path, '
    + '.sankey path, .hm image';
  const busy = document.querySelector('[data-testid="stSkeleton"], [data-testid="stSpinner"], [data-stale="true"]');
  const app = document.querySelector('[data-testid="stApp"]');
  const still = app?.dataset.testScriptState === 'notRunning' && !busy;
  return still && plots.filter(plot => plot.querySelector(marks)).length >= count;
}
"""
PAGE_HEIGHT = """
() => {
  const main = document.querySelector('[data-testid="stMain"]');
  return Math.max(document.body.scrollHeight, main ? main.scrollHeight : 0);
}
"""


@dataclass(frozen=True)
class Visit:
    """What a visit found."""

    title: str
    text: str
    """All that can be read on the page."""
    charts: int
    tables: int
    console_errors: list[str]
    foreign_requests: list[str]
    """Addresses beyond this machine that the page asked for."""


class Complaints(NamedTuple):
    """What a page reports while it is open."""

    errors: list[str]
    foreign: list[str]
    """Addresses beyond this machine that it asked for."""
    dialogs: list[str]
    """What it asked the visitor in windows of the browser."""


def chromium() -> str:
    """The path of the system's Chromium.

    Raises:
        RuntimeError: none is installed.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise RuntimeError("Chromium is not installed: apt-get install chromium")


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser; one at a time, as the loop of Playwright does not nest."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(
    browser: Browser, url: str, width: int = 1280, dark: bool = False, seconds: float = 60
) -> Iterator[tuple[Page, Complaints]]:
    """A page without history, and what it has complained of so far. Each wait of it lasts at most `seconds`."""
    complaints = Complaints([], [], [])
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    page.on("console", lambda message: complaints.errors.append(message.text) if _is_error(message) else None)
    page.on("pageerror", lambda error: complaints.errors.append(str(error)))
    page.on("request", lambda request: complaints.foreign.append(request.url) if _is_foreign(request.url) else None)

    def dismiss(dialog: Dialog) -> None:
        complaints.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.set_default_timeout(seconds * 1000)
    try:
        page.goto(url, wait_until="domcontentloaded")
        yield page, complaints
    finally:
        page.close()


@contextmanager
def opened(url: str, width: int = 1280, dark: bool = False, seconds: float = 60) -> Iterator[tuple[Page, Complaints]]:
    """The page in a browser of its own."""
    with launched() as browser, tab(browser, url, width, dark, seconds) as seen:
        yield seen


def drawn(page: Page, texts: Sequence[str] = (), charts: int = 0, tables: int = 0) -> None:
    """Wait until every text shows, there are at least `tables`, at least `charts` figures have marks, and nothing is
    about to change.

    Raises:
        playwright.sync_api.TimeoutError: it did not come to that.
    """
    for text in texts:
        page.get_by_text(text).first.wait_for()
    if tables:
        page.get_by_test_id("stDataFrame").nth(tables - 1).wait_for(state="attached")
    page.wait_for_function(CHARTS_DRAWN, arg=charts)


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a menu; a page that moves it while it opens closes it, so it is opened again."""
    box = page.get_by_role("combobox", name=label)

    def chosen() -> bool:
        page.keyboard.press("Escape")
        box.click()
        try:
            page.get_by_role("option", name=option, exact=True).click(timeout=3000)
        except Error:
            return False
        return True

    eventually(chosen, 60, f"{option!r} of {label!r} could not be chosen")


def picture(page: Page, path: Path) -> None:
    """The whole page: Streamlit scrolls an inner element, so the window is made as high as its content."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": size["width"], "height": min(int(page.evaluate(PAGE_HEIGHT)) + 40, 8000)})
    page.wait_for_timeout(1000)
    page.wait_for_function(CHARTS_DRAWN, arg=0)
    page.screenshot(path=path, animations="disabled")
    page.set_viewport_size(size)


def visit(
    url: str,
    texts: Sequence[str] = (),
    charts: int = 0,
    screenshot: Path | None = None,
    width: int = 1280,
    dark: bool = False,
    seconds: float = 60,
) -> Visit:
    """Open `url` and wait until every text shows and at least `charts` figures have marks.

    Raises:
        playwright.sync_api.TimeoutError: it did not within `seconds`; the picture is taken all the same.
    """
    with opened(url, width, dark, seconds) as (page, complaints):
        try:
            drawn(page, texts, charts)
            return Visit(
                page.title(),
                page.inner_text("body"),
                page.locator(".js-plotly-plot").count(),
                page.get_by_test_id("stDataFrame").count(),
                complaints.errors,
                complaints.foreign,
            )
        finally:
            if screenshot:
                picture(page, screenshot)


def _is_error(message: ConsoleMessage) -> bool:
    """Streamlit looks for its server under the page's own path first, and is told 404."""
    return message.type == "error" and not BASE_PATH_PROBE.search(message.location.get("url", ""))


def _is_foreign(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    here = host in LOOPBACK or host.endswith(".localhost")
    return parts.scheme in {"http", "https", "ws", "wss"} and not here
