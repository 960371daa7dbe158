"""A visit of every page of a dashboard whose platform has delivered users."""

from pathlib import Path
from typing import NamedTuple

from tests.helpers.browser import Visit, visit


class Page(NamedTuple):
    """A page's path, its texts, and its minimum number of figures."""

    path: str
    texts: tuple[str, ...]
    figures: int = 0


PAGES = (
    Page("/", ("grew most in", "Is the data complete?", "Latest arrivals"), 4),
    Page("/demographics", ("Users by age and gender",), 4),
    Page("/geography", ("Users by country",), 4),
    Page("/registrations", ("Growth by country",), 4),
    Page("/explore", ("most recently registered first",)),
    Page("/flow", ("Ledger", "Ingest runs"), 2),
    Page("/topics", ("Newest first",), 1),
    Page("/quarantine", ("Re-drive",)),
)


def visit_every_page(url: str, folder: Path, prefix: str, users: str = "", seconds: float = 60) -> None:
    """Visit every page, save a screenshot of it, and check that it is drawn without errors.

    The first page must show the number `users`.
    """
    visits: list[Visit] = []
    for path, texts, figures in PAGES:
        screenshot = folder / f"{prefix}-{path.strip('/').lower() or 'overview'}.png"
        expected = (*texts, users) if users and path == "/" else texts
        page = visit(url + path, expected, figures, screenshot, seconds=seconds)
        visits.append(page)
        assert page.console_errors == [], path
        assert page.foreign_requests == [], path
    assert sum(page.charts for page in visits) >= 6
    assert sum(page.tables for page in visits) >= 3
