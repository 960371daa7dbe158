"""How each page looks: one visit for each width, in both themes, however many tests ask what it found."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypedDict

from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.helpers.browser import Complaints, open_tab, take_screenshot, wait_until_drawn

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
"""axe's names of the Web Content Accessibility Guidelines 2.1, levels A and AA."""
VIOLATIONS = """
async ([tags, waivers]) => {
  const options = {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations'], elementRef: true};
  const found = await axe.run(document, options);
  return found.violations.flatMap(rule => rule.nodes.map(node => ({
    waiver: waivers.findIndex(([id, selector]) => id === rule.id && node.element.closest(selector)),
    text: `${rule.id}: ${node.html.slice(0, 300)} (${node.failureSummary.replace(/\\s+/g, ' ')})`,
  })));
}
"""
OVERFLOW = """
() => {
  const boxes = [document.documentElement, ...document.querySelectorAll('[data-testid="stMain"]')];
  return Math.max(...boxes.map(box => box.scrollWidth - box.clientWidth));
}
"""


THEME = """
theme => {
  const app = document.querySelector('.stApp');
  if (!app) return false;
  const red = colour => colour.match(/[0-9]+/)[0];
  const page = red(getComputedStyle(app).backgroundColor);
  const axes = [...document.querySelectorAll('.xtick text, .ytick text')].map(tick => red(getComputedStyle(tick).fill));
  const [pages, texts] = theme === 'dark' ? [red => red < 64, red => red > 128] : [red => red > 192, red => red < 128];
  return pages(page) && axes.every(texts);
}
"""
"""Whether the page, and the figures' axes on it, are in the theme's colours."""
WIDE = 1280


class Waiver(NamedTuple):
    """A rule that elements within a selector break, and why that is not ours to mend."""

    rule: str
    within: str
    why: str


@dataclass(frozen=True)
class Expected:
    """What a page has at least, when the stores hold users."""

    title: str
    texts: tuple[str, ...] = ()
    figures: int = 0
    tables: int = 0


@dataclass(frozen=True)
class Look:
    """What one visit found."""

    headings: list[str]
    tables: int
    unnamed: int
    """Figures without a text in their place."""
    errors: list[str]
    foreign: list[str]
    overflow: int
    """Pixels by which the content is wider than the window."""
    violations: list[str]
    """Of the rules of accessibility, those that no waiver excuses."""
    waived: set[int]
    """The waivers that excuse something."""


class Broken(TypedDict):
    """A rule that an element breaks."""

    waiver: int
    """The first waiver that excuses it; -1 without."""
    text: str


class Looks:
    """Visits pages, and keeps what it saw and a picture of each."""

    def __init__(self, browser: Browser, address: str, waivers: tuple[Waiver, ...], folder: Path) -> None:
        self._browser, self._address, self._waivers, self._folder = browser, address, waivers, folder
        self._seen: dict[tuple[str, int, bool], Look] = {}

    def at(self, path: str, expected: Expected, width: int = WIDE, dark: bool = False) -> Look:
        if (path, width, dark) not in self._seen:
            with open_tab(self._browser, self._address + path, width) as (page, complaints):
                for theme in ("light", "dark"):
                    page.emulate_media(color_scheme=theme)
                    page.wait_for_function(THEME, arg=theme)
                    self._seen[path, width, theme == "dark"] = self._look(page, complaints, expected, width, theme)
        return self._seen[path, width, dark]

    def _look(self, page: Page, complaints: Complaints, expected: Expected, width: int, theme: str) -> Look:
        page.get_by_role("heading", name=expected.title, exact=True).wait_for()
        wait_until_drawn(page, expected.texts, expected.figures, expected.tables)
        page.evaluate(AXE_SCRIPT)
        found: list[Broken] = page.evaluate(VIOLATIONS, self._rules)
        look = Look(
            headings=page.locator("h1, h2, h3").all_inner_texts(),
            tables=page.get_by_test_id("stDataFrame").count(),
            unnamed=page.locator("[data-testid=stPlotlyChart]:not([aria-label])").count(),
            errors=list(complaints.errors),
            foreign=list(complaints.foreign),
            overflow=page.evaluate(OVERFLOW),
            violations=[one["text"] for one in found if one["waiver"] < 0],
            waived={one["waiver"] for one in found} - {-1},
        )
        self._keep(page, f"{expected.title.lower()}-{theme}" + ("" if width == WIDE else f"-{width}"))
        return look

    def _keep(self, page: Page, name: str) -> None:
        """A picture of 256 colours, a third of the size."""
        path = self._folder / f"{name}.png"
        take_screenshot(page, path)
        with Image.open(path) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)

    @cached_property
    def _rules(self) -> list[object]:
        return [list(RULES), [[waiver.rule, waiver.within] for waiver in self._waivers]]
