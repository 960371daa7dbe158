"""Numbers, times and texts from outside as the pages print them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from dashboard.charts.base import sort_by_count

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&=])")
_REPLACED = re.compile(
    r"(?<=:)(?=\d*[^\W\d]|/|100:|1234:)|(?<=@)(?=\w)|(?<=www)(?=\.)|(?<=[-<>=~])(?=[-<>=~])", re.IGNORECASE
)
"""Within addresses, symbols and arrows, which are replaced in the text that Markdown leaves, escaped or not; not within
times of day, so that the id of a run can be copied."""
_WORD_JOINER = "\u2060"


def format_instant(moment: datetime) -> str:
    """`2026-05-01 12:00:00 UTC`."""
    return f"{as_utc(moment):%Y-%m-%d %H:%M:%S} UTC"


def format_age(moment: datetime | None, now: datetime) -> str:
    """How long before `now`, in the largest whole unit."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - as_utc(moment)).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def format_share(part: int, whole: int) -> str:
    """A percentage that does not hide a few records among millions."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.2f} %" if percent >= 0.01 else "< 0.01 %"


def format_change(percent: float) -> str:
    """`+4.25 %`, with a true minus sign."""
    return f"{percent:+,.2f} %".replace("-", "\N{MINUS SIGN}")


def summarize_counts(counts: Mapping[str, int], names: Mapping[str, str] | None = None, limit: int = 3) -> str:
    """The largest in words: `Germany 1,234, France 900 and 19 others`."""
    ordered = sort_by_count(counts)
    words = ", ".join(f"{(names or {}).get(value, value)} {counts[value]:,}" for value in ordered[:limit])
    others = len(ordered) - limit
    return f"{words} and {others:,} other{'s' if others > 1 else ''}" if others > 0 else words or "none"


def as_utc(moment: datetime) -> datetime:
    """Cassandra's driver gives UTC without saying so."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def escape_markdown(text: str) -> str:
    """Text from outside as Markdown that shows exactly that text: no link, image, icon or tag."""
    return _MARKDOWN.sub(r"\\\1", _REPLACED.sub(_WORD_JOINER, text))
