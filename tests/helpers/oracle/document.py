"""Read the bytes of a message as one JSON object, or reject them."""

import json
import re
from typing import Any, NamedTuple

from insights.model.reasons import Reason

MAX_BYTES = 1_048_588
LEVELS = 32
OBJECTS = ("name", "location", "location.coordinates", "location.timezone", "login", "picture")


class Rejection(NamedTuple):
    """The reason of the broken rule and the field that broke it."""

    reason: Reason
    field: str


class RuleBrokenError(Exception):
    """The record breaks a rule."""

    def __init__(self, reason: Reason, field: str) -> None:
        super().__init__(reason, field)
        self.rejection = Rejection(reason, field)


def parse_document(value: bytes | None) -> dict[str, Any]:
    """Return the JSON object in a message's value.

    Raises:
        RuleBrokenError: the value is too large, is not text or does not have the shape of a record.
    """
    if value is None:
        raise RuleBrokenError(Reason.SCHEMA, "value")
    if len(value) > MAX_BYTES:
        raise RuleBrokenError(Reason.TOO_LARGE, "value")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise RuleBrokenError(Reason.ENCODING, "value") from None
    if "\0" in text or _has_bad_escape(text):
        raise RuleBrokenError(Reason.ENCODING, "value")
    try:
        document = json.loads(
            text, object_pairs_hook=_reject_repeated_keys, parse_constant=_reject_constant, parse_float=Decimals
        )
    except (ValueError, RecursionError):
        raise RuleBrokenError(Reason.SCHEMA, "value") from None
    if not isinstance(document, dict) or count_levels(document) > LEVELS:
        raise RuleBrokenError(Reason.SCHEMA, "value")
    for path in OBJECTS:
        if not isinstance(get_at(document, path), dict | None):
            raise RuleBrokenError(Reason.SCHEMA, "value")
    return document


def count_levels(value: Any) -> int:
    """The number of objects and arrays inside each other."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(count_levels, value), default=0) if isinstance(value, list) else 0


class Decimals(float):
    """A JSON number with a fraction or exponent, which Spark copies as the text of the double."""


def _reject_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is repeated")
    return document


def _reject_constant(name: str) -> None:
    raise ValueError(name)


def _has_bad_escape(text: str) -> bool:
    """Return whether the text has an escape for U+0000 or for one half of a surrogate pair without the other."""
    position, expects_low_surrogate = 0, False
    while position < len(text):
        if text[position] != "\\":
            if expects_low_surrogate:
                return True
            position += 1
            continue
        digits = text[position + 2 : position + 6]
        if text[position + 1 : position + 2] != "u" or not re.fullmatch("[0-9a-fA-F]{4}", digits):
            if expects_low_surrogate:
                return True
            position += 2
            continue
        code_unit = int(digits, 16)
        if code_unit == 0 or expects_low_surrogate != (0xDC00 <= code_unit < 0xE000):
            return True
        expects_low_surrogate = 0xD800 <= code_unit < 0xDC00
        position += 6
    return expects_low_surrogate


def get_at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, None if there is none."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
