"""Cleanse the texts of a record and standardise their letter case."""

import json
import re
import unicodedata
from math import isfinite
from string import hexdigits
from typing import Any
from uuid import UUID

from insights.model.credentials import mask_text
from insights.model.letter_case import CAPITALS, GENERIC_NOUNS, LANGUAGES, LEADING_PARTICLES, PARTICLES, list_words
from tests.helpers.oracle.document import Decimals, get_at

MANDATORY = ("gender", "nat", "name.first", "name.last", "email", "dob", "registered")
UNCHANGED_CASE = (
    "location.postcode",
    "location.coordinates.latitude",
    "location.coordinates.longitude",
    "location.timezone.offset",
    "location.timezone.description",
    "login.username",
    "phone",
    "cell",
    "picture.large",
)
_INVISIBLE = "".join(
    chr(code)
    for first, last in (
        (0x00, 0x20),
        (0x7F, 0xA0),
        (0xAD, 0xAD),
        (0x1680, 0x1680),
        (0x180E, 0x180E),
        (0x2000, 0x200F),
        (0x2028, 0x202F),
        (0x205F, 0x206F),
        (0x3000, 0x3000),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
)
TITLED = ("name.title", "name.first", "name.last", "location.street", "location.city", "location.state")


def cleanse_texts(document: dict[str, Any]) -> dict[str, str | None]:
    """Return the cleansed text of each field, by dotted path."""
    texts: dict[str, str | None] = {}
    for path in (*MANDATORY, "login.uuid", *UNCHANGED_CASE, *TITLED):
        text = _to_text(get_at(document, path))
        if text is not None and text.startswith("{") and path in ("location.street", "dob", "registered"):
            text = _extract_text(text, path)
        if path == "login.uuid":
            text = canonical_uuid(text)
        text = _clean(text)
        optional = path not in MANDATORY
        texts[path] = None if optional and is_structure(text) else text
        if text is not None and not is_structure(text):
            texts[path] = mask_text(text)
    for path, change in (("email", _lower_email), ("gender", _lower_ascii), ("nat", _upper_ascii)):
        texts[path] = change(text) if (text := texts[path]) is not None else None
    for path in TITLED:
        texts[path] = to_title_case(text, path, texts["nat"]) if (text := texts[path]) is not None else None
    return texts


def canonical_uuid(text: str | None) -> str | None:
    """Return a UUID in lower case with hyphens, whichever way it is spelled, and any other text unchanged."""
    bare = "" if text is None else text.strip(_INVISIBLE)
    prefix = re.match("(?ai:(?:urn:)?uuid:)", bare)
    bare = bare[prefix.end() :] if prefix else bare[1:-1] if bare[:1] + bare[-1:] == "{}" else bare
    groups = bare.split("-") if "-" in bare else [bare]
    if [len(group) for group in groups] not in ([32], [8, 4, 4, 4, 12]) or not set("".join(groups)) <= set(hexdigits):
        return text
    return str(UUID("".join(groups)))


def _lower_email(text: str) -> str:
    return text.replace("\u0130", "i").lower()


def _lower_ascii(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def _upper_ascii(text: str) -> str:
    return "".join(letter.upper() if letter.isascii() else letter for letter in text)


def _to_text(value: Any) -> str | None:
    """Return a JSON string unchanged, and any other JSON value as JSON text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimals) and not isfinite(value):
        return '"Infinity"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _extract_text(text: str, path: str) -> str | None:
    """Return the text within an object: number and name of a street, or the date."""
    try:
        document = json.loads(text, parse_float=Decimals)
    except ValueError:
        document = {}
    if path != "location.street":
        return _to_text(document.get("date"))
    parts = [_to_text(document.get(name)) for name in ("number", "name")]
    return " ".join(part for part in parts if part is not None)


def _clean(text: str | None) -> str | None:
    """Collapse white space and control characters, normalise to NFC and trim; None if nothing is left."""
    if text is None:
        return None
    spaced = "".join(" " if c.isspace() or unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") else c for c in text)
    return unicodedata.normalize("NFC", re.sub(" +", " ", spaced)).strip(" ") or None


def is_structure(text: str | None) -> bool:
    """Return whether the text looks like a JSON object or array."""
    return text is not None and text[0] + text[-1] in ("{}", "[]")


def to_title_case(text: str, path: str, nationality: str | None) -> str:
    """Return a text of one letter case in title case, any other text unchanged."""
    small, capital = text.lower() == text, text.upper() == text
    if small == capital or (capital and len(text) <= 3):
        return text
    languages = LANGUAGES.get(nationality or "", ())
    lower = (text.replace("\u0130", "i").replace("I", "\u0131") if "tr" in languages else text).lower()
    kept = _find_kept_words(lower, path, languages)
    capitals = dict(CAPITALS[language] for language in languages if language in CAPITALS)
    result, position = "", 0
    while position < len(lower):
        begins = position not in kept and _begins_word(lower, position)
        start = next((small for small in capitals if begins and lower.startswith(small, position)), lower[position])
        result += capitals.get(start, start.title()) if begins else start
        position += len(start)
    return result


def _find_kept_words(text: str, path: str, languages: tuple[str, ...]) -> set[int]:
    """Return the positions at which words begin that stay lower case."""
    particles, leading, nouns = (
        list_words(words, languages) for words in (PARTICLES, LEADING_PARTICLES, GENERIC_NOUNS)
    )
    kept = set()
    for match in re.finditer("[^ -]+", text):
        word, before, after = match[0], text[: match.start()], text[match.end() :]
        if not before:
            if path == "name.last" and word in leading and after.startswith(" "):
                kept.add(0)
            continue
        if len(before) < 2 or not (is_letter(before[-2]) or is_mark(before[-2]) or before[-1:] == " "):
            continue
        if before[-1] == " " and not (is_letter(before[-2]) or is_mark(before[-2]) or before[-2] in ".,)'\u2019"):
            continue
        if before[-1] == "-" and not is_letter(word[0]):
            continue
        followed = after[:1] == " " or (after[:1] == "-" and after[1:] != "" and is_letter(after[1]))
        if (word in particles and followed) or (word in nouns and after[:1] in ("", " ")):
            kept.add(match.start())
    return kept


def _begins_word(text: str, position: int) -> bool:
    before = text[:position]
    if not before or before[-1] == " ":
        return True
    if not is_letter(text[position]):
        return False
    if before[-1] in "-/.(" or "\u2010" <= before[-1] <= "\u2015":
        return True
    if before[-1] not in "'\u2019" or position < 2 or not is_letter(before[-2]):
        return False
    alone = position == 2 or not (is_letter(before[-3]) or is_mark(before[-3]) or before[-3] in "'\u2019")
    return alone and position + 1 < len(text) and is_letter(text[position + 1])


def is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"
