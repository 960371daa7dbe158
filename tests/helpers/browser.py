"""A page in headless Chromium: open it, wait until it is drawn, list its errors."""

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
    """The content and the errors of a visited page."""

    title: str
    text: str
    """All readable text of the page."""
    charts: int
    tables: int
    console_errors: list[str]
    foreign_requests: list[str]
    """URLs outside this machine that the page requested."""


class Complaints(NamedTuple):
    """What goes wrong while a page is open; the lists are filled as it happens."""

    errors: list[str]
    foreign: list[str]
    """URLs outside this machine that the page requested."""
    dialogs: list[str]
    """The messages of JavaScript dialogs."""


def find_chromium() -> str:
    """The path of the system's Chromium.

    Raises:
        RuntimeError: Chromium is not installed.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise RuntimeError("Chromium is not installed: apt-get install chromium")


@contextmanager
def launch_browser() -> Iterator[Browser]:
    """A headless browser. Only one can run at a time, because Playwright's event loop does not nest."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_tab(
    browser: Browser, url: str, width: int = 1280, dark: bool = False, seconds: float = 60
) -> Iterator[tuple[Page, Complaints]]:
    """A new page at `url` and its complaints. Each wait of the page lasts at most `seconds`."""
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
def open_url(url: str, width: int = 1280, dark: bool = False, seconds: float = 60) -> Iterator[tuple[Page, Complaints]]:
    """Like `open_tab`, in a browser of its own."""
    with launch_browser() as browser, open_tab(browser, url, width, dark, seconds) as opened:
        yield opened


def wait_until_drawn(page: Page, texts: Sequence[str] = (), charts: int = 0, tables: int = 0) -> None:
    """Wait until the script has ended, and the page shows every text, `tables` tables and `charts` charts with marks.

    Raises:
        playwright.sync_api.TimeoutError: the page did not reach this state in time.
    """
    for text in texts:
        page.get_by_text(text).first.wait_for()
    if tables:
        page.get_by_test_id("stDataFrame").nth(tables - 1).wait_for(state="attached")
    page.wait_for_function(CHARTS_DRAWN, arg=charts)


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a select box, which is reopened when a change of the page's layout closes it."""
    box = page.get_by_role("combobox", name=label)

    def try_to_choose() -> bool:
        page.keyboard.press("Escape")
        box.click()
        try:
            page.get_by_role("option", name=option, exact=True).click(timeout=3000)
        except Error:
            return False
        return True

    eventually(try_to_choose, 60, f"{option!r} of {label!r} could not be chosen")


def take_screenshot(page: Page, path: Path) -> None:
    """Save the whole page: Streamlit scrolls an inner element, so the viewport is made as high as the content."""
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
    """Open `url` and wait until every text shows and at least `charts` charts have marks.

    Raises:
        playwright.sync_api.TimeoutError: it did not within `seconds`; the screenshot is taken nevertheless.
    """
    with open_url(url, width, dark, seconds) as (page, complaints):
        try:
            wait_until_drawn(page, texts, charts)
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
                take_screenshot(page, screenshot)


def _is_error(message: ConsoleMessage) -> bool:
    """Streamlit probes for its server below the page's own path first, where a 404 is expected."""
    return message.type == "error" and not BASE_PATH_PROBE.search(message.location.get("url", ""))


def _is_foreign(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_local = host in LOOPBACK or host.endswith(".localhost")
    return parts.scheme in {"http", "https", "ws", "wss"} and not is_local
