"""A walk through the dashboard of a platform that has served users."""

from pathlib import Path
from typing import NamedTuple

from tests.e2e.browser import Visit, visit


class Page(NamedTuple):
    """What a page has at least."""

    path: str
    texts: tuple[str, ...]
    figures: int = 0


PAGES = (
    Page("/", ("Users", "Latest arrivals"), 2),
    Page("/Demographics", ("Demographics",), 3),
    Page("/Geography", ("Users by country",), 2),
    Page("/Registrations", ("Registrations",), 2),
    Page("/Explore", ("Explore",)),
    Page("/Flow", ("Published", "Ledger"), 1),
    Page("/Topics", ("Last messages",)),
    Page("/Quarantine", ("Quarantine",)),
)


def walk(url: str, pictures: Path, prefix: str, seconds: float = 60) -> dict[str, Visit]:
    """Every page by its path, once it is drawn without an error; a picture of each is kept."""
    found = {}
    for path, texts, figures in PAGES:
        picture = pictures / f"{prefix}-{path.strip('/').lower() or 'overview'}.png"
        found[path] = seen = visit(url + path, texts, figures, picture, seconds=seconds)
        assert seen.console_errors == [], path
        assert seen.foreign_requests == [], path
    assert sum(seen.charts for seen in found.values()) >= 6
    assert sum(seen.tables for seen in found.values()) >= 3
    return found
