"""Bytes to one JSON object, or the reason why they are none."""

import json
import re
from typing import Any, NamedTuple

from insights.model.reasons import Reason

LARGEST = 1_048_588
OBJECTS = ("name", "location", "location.coordinates", "location.timezone", "login", "picture")


class Rejected(NamedTuple):
    """A rule, and the field that broke it."""

    reason: Reason
    field: str


class Refused(Exception):  # noqa: N818
    """A rule is broken."""

    def __init__(self, reason: Reason, field: str) -> None:
        super().__init__(reason, field)
        self.verdict = Rejected(reason, field)


def document(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise Refused(Reason.SCHEMA, "value")
    if len(value) > LARGEST:
        raise Refused(Reason.TOO_LARGE, "value")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.ENCODING, "value") from None
    if "\0" in text or _has_bad_escape(text):
        raise Refused(Reason.ENCODING, "value")
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=Decimals)
    except (ValueError, RecursionError):
        raise Refused(Reason.SCHEMA, "value") from None
    if not isinstance(document, dict):
        raise Refused(Reason.SCHEMA, "value")
    for path in OBJECTS:
        if not isinstance(at(document, path), dict | None):
            raise Refused(Reason.SCHEMA, "value")
    return document


class Decimals(float):
    """A JSON number with a fraction or exponent: Spark copies it as the double's own text."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key twice")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _has_bad_escape(text: str) -> bool:
    """Walks the escapes: `\\u0000`, or one half of a surrogate pair without the other right behind it."""
    position, waiting = 0, False
    while position < len(text):
        if text[position] != "\\":
            if waiting:
                return True
            position += 1
            continue
        code = text[position + 2 : position + 6]
        if text[position + 1 : position + 2] != "u" or not re.fullmatch("[0-9a-fA-F]{4}", code):
            if waiting:
                return True
            position += 2
            continue
        number = int(code, 16)
        if number == 0 or waiting != (0xDC00 <= number < 0xE000):
            return True
        waiting = 0xD800 <= number < 0xDC00
        position += 6
    return waiting


def at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
