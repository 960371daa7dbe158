"""Numbers, times and untrusted text as the pages print them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from dashboard.charts.base import sort_by_count
from insights.text import format_count

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&=])")
_REPLACED = re.compile(
    r"(?<=:)(?=\d*[^\W\d]|/|100:|1234:)|(?<=@)(?=\w)|(?<=www)(?=\.)|(?<=[-<>=~])(?=[-<>=~])", re.IGNORECASE
)
"""Positions in addresses, emoji codes and arrows, which Streamlit replaces even if they are escaped. Times of day are
excluded, so that the id of a run can be copied."""
_WORD_JOINER = "\u2060"


def format_instant(moment: datetime) -> str:
    """Return `2026-05-01 12:00:00 UTC`."""
    return f"{as_utc(moment):%Y-%m-%d %H:%M:%S} UTC"


def format_age(moment: datetime | None, now: datetime) -> str:
    """Return how long before `now` the moment was, in the largest unit that fits: `3 min ago`."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - as_utc(moment)).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def format_share(part: int, whole: int) -> str:
    """Return a percentage. A few records among millions are `< 0.01%`, not `0%`."""
    if not whole or not part:
        return "0%"
    percent = 100 * part / whole
    return f"{percent:.2f}%" if percent >= 0.01 else "< 0.01%"


def format_change(percent: float) -> str:
    """Return `+4.25%`, with a true minus sign."""
    return f"{percent:+,.2f}%".replace("-", "\N{MINUS SIGN}")


def summarize_counts(counts: Mapping[str, int], names: Mapping[str, str] | None = None, limit: int = 3) -> str:
    """Return the largest counts as text: `Germany 1,234, France 900 and 19 others`."""
    ordered = sort_by_count(counts)
    largest = ", ".join(f"{(names or {}).get(value, value)} {counts[value]:,}" for value in ordered[:limit])
    others = len(ordered) - limit
    return f"{largest} and {format_count(others, 'other')}" if others > 0 else largest or "none"


def as_utc(moment: datetime) -> datetime:
    """Mark an instant without a time zone as UTC, which is what Cassandra's driver returns."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def escape_markdown(text: str) -> str:
    """Escape untrusted text so that Markdown shows exactly that text: no link, image, icon or tag."""
    return _MARKDOWN.sub(r"\\\1", _REPLACED.sub(_WORD_JOINER, text))
