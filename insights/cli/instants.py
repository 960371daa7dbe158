"""How commands read a point in time."""

from datetime import UTC, datetime

import typer


def parse_instant(text: str) -> datetime:
    """Return the instant, in UTC, of an ISO 8601 date or time; without an offset it is in UTC already.

    Raises:
        typer.BadParameter: the text is not ISO 8601, or the instant lies outside the years 1 to 9999.
    """
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a date or time in ISO 8601; give for example 2026-01-31 or 2026-01-31T08:30:00+05:45."
        ) from None
