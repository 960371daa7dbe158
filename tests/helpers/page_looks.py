"""Inspect how each page looks: one visit per width, shared by all tests; in both themes if the window is wide."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypedDict

from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.helpers.browser import Complaints, open_tab, take_screenshot, wait_until_drawn

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
"""axe's tags for the Web Content Accessibility Guidelines 2.1, levels A and AA."""
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
"""Whether the page and the axes of its figures have the theme's colours."""
WIDE = 1280


class Waiver(NamedTuple):
    """A rule that elements within a selector break, and why that cannot be fixed here."""

    rule: str
    within: str
    why: str


@dataclass(frozen=True)
class Expected:
    """What a page shows at least when the stores hold users."""

    title: str
    texts: tuple[str, ...] = ()
    figures: int = 0
    tables: int = 0


@dataclass(frozen=True)
class Inspection:
    """The findings of one visit."""

    headings: list[str]
    tables: int
    unnamed: int
    """How many figures have no alternative text."""
    errors: list[str]
    foreign: list[str]
    overflow: int
    """How many pixels the content is wider than the window."""
    violations: list[str]
    """Violations of accessibility rules that no waiver covers."""
    waived: set[int]
    """Indexes of the waivers that cover a violation."""


class Violation(TypedDict):
    """A rule that an element breaks."""

    waiver: int
    """Index of the first waiver that covers it, -1 if none does."""
    text: str


class PageInspector:
    """Visits pages, and keeps its findings and a screenshot of each."""

    def __init__(self, browser: Browser, address: str, waivers: tuple[Waiver, ...], folder: Path) -> None:
        self._browser, self._address, self._waivers, self._folder = browser, address, waivers, folder
        self._inspections: dict[tuple[str, int, bool], Inspection] = {}

    def inspect(self, path: str, expected: Expected, width: int = WIDE, dark: bool = False) -> Inspection:
        if (path, width, dark) not in self._inspections:
            with open_tab(self._browser, self._address + path, width) as (page, complaints):
                for theme in ("light", "dark") if width == WIDE else ("light",):
                    page.emulate_media(color_scheme=theme)
                    page.wait_for_function(THEME, arg=theme)
                    self._inspections[path, width, theme == "dark"] = self._inspect_theme(
                        page, complaints, expected, width, theme
                    )
        return self._inspections[path, width, dark]

    def _inspect_theme(
        self, page: Page, complaints: Complaints, expected: Expected, width: int, theme: str
    ) -> Inspection:
        page.get_by_role("heading", name=expected.title, exact=True).wait_for()
        wait_until_drawn(page, expected.texts, expected.figures, expected.tables)
        page.evaluate(AXE_SCRIPT)
        violations: list[Violation] = page.evaluate(VIOLATIONS, self._rules)
        inspection = Inspection(
            headings=page.locator("h1, h2, h3").all_inner_texts(),
            tables=page.get_by_test_id("stDataFrame").count(),
            unnamed=page.locator("[data-testid=stPlotlyChart]:not([aria-label])").count(),
            errors=list(complaints.errors),
            foreign=list(complaints.foreign),
            overflow=page.evaluate(OVERFLOW),
            violations=[violation["text"] for violation in violations if violation["waiver"] < 0],
            waived={violation["waiver"] for violation in violations} - {-1},
        )
        self._save_screenshot(page, f"{expected.title.lower()}-{theme}" + ("" if width == WIDE else f"-{width}"))
        return inspection

    def _save_screenshot(self, page: Page, name: str) -> None:
        """Save 256 colours only, which takes a third of the space."""
        path = self._folder / f"{name}.png"
        take_screenshot(page, path)
        with Image.open(path) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)

    @cached_property
    def _rules(self) -> list[object]:
        return [list(RULES), [[waiver.rule, waiver.within] for waiver in self._waivers]]
