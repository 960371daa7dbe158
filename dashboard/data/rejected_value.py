"""The value for which a record is in quarantine, as text to print."""

import json

from dashboard.data.printable import escape_invisible

SHOWN_CHARACTERS = 120


def show_rejected_value(payload: bytes | None, field: str) -> str | None:
    """Return the rejected field of a payload as JSON, or the payload itself if the field is all of it.

    At most 120 characters are shown. None means that the field is absent, or that there is no payload.
    """
    if payload is None:
        return None
    text = payload.decode("utf-8", "backslashreplace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _print(text)
    if field in ("", "value"):
        return _print(text)
    for name in field.split("."):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return _print(json.dumps(found, ensure_ascii=False))


def _print(text: str) -> str:
    shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
    return escape_invisible(shown)
