"""A walk through the dashboard of a platform that has served users."""

from pathlib import Path
from typing import NamedTuple

from tests.helpers.browser import Visit, visit


class Page(NamedTuple):
    """What a page has at least."""

    path: str
    texts: tuple[str, ...]
    figures: int = 0


PAGES = (
    Page("/", ("grew most in", "Is the data complete?", "Latest arrivals"), 4),
    Page("/Demographics", ("Users by age and gender",), 4),
    Page("/Geography", ("Users by country",), 4),
    Page("/Registrations", ("Growth by country",), 4),
    Page("/Explore", ("latest registered first",)),
    Page("/Flow", ("Ledger", "Runs of the ingest"), 2),
    Page("/Topics", ("Newest first",), 1),
    Page("/Quarantine", ("Re-drive",)),
)


def walk(url: str, pictures: Path, prefix: str, users: str = "", seconds: float = 60) -> None:
    """Visit every page: each is drawn without an error, and a picture of it kept.

    The first is waited for until it shows the number `users`.
    """
    found: list[Visit] = []
    for path, texts, figures in PAGES:
        picture = pictures / f"{prefix}-{path.strip('/').lower() or 'overview'}.png"
        awaited = (*texts, users) if users and path == "/" else texts
        seen = visit(url + path, awaited, figures, picture, seconds=seconds)
        found.append(seen)
        assert seen.console_errors == [], path
        assert seen.foreign_requests == [], path
    assert sum(seen.charts for seen in found) >= 6
    assert sum(seen.tables for seen in found) >= 3
