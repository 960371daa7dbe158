"""Cleanse the texts of a record and standardise their letter case."""

import json
import re
import unicodedata
from math import isfinite
from string import hexdigits
from typing import Any
from uuid import UUID

from insights.model import invisible
from insights.model.credentials import mask_text
from insights.model.letter_case import CAPITALS, GENERIC_NOUNS, LANGUAGES, LEADING_PARTICLES, PARTICLES, list_words
from insights.model.reasons import Reason
from tests.helpers.oracle.document import Decimals, RuleBrokenError, get_at

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
    """Return the cleansed text of each field, by dotted path.

    Raises:
        RuleBrokenError: an object or array is in place of a mandatory text.
    """
    texts: dict[str, str | None] = {}
    for path in (*MANDATORY, "login.uuid", *UNCHANGED_CASE, *TITLED):
        value = _extract_value(get_at(document, path), path)
        if isinstance(value, dict | list) and path in MANDATORY:
            raise RuleBrokenError(Reason.SCHEMA, path)
        text = _to_text(value)
        text = clean(canonical_uuid(text) if path == "login.uuid" else text)
        texts[path] = None if text is None else mask_text(text)
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


def _extract_value(value: Any, path: str) -> Any:
    """Return the value itself, or the date or the street that an object has."""
    if isinstance(value, dict) and path in ("dob", "registered"):
        return value.get("date")
    if isinstance(value, dict) and path == "location.street":
        parts = [_to_text(value.get(name)) for name in ("number", "name")]
        return " ".join(part for part in parts if part is not None)
    return value


def _to_text(value: Any) -> str | None:
    """Return a JSON string unchanged, nothing for an object or array, and any other JSON value as JSON text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return None
    if isinstance(value, Decimals) and not isfinite(value):
        return '"Infinity"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def clean(text: str | None) -> str | None:
    """Remove what shows nothing, collapse white space, normalise to NFC and trim; None if nothing is left."""
    if text is None:
        return None
    spaced = "".join(" " if _is_blank(c) else c for c in remove_invisible(text))
    return unicodedata.normalize("NFC", re.sub(" +", " ", spaced)).strip(" ") or None


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Zs", "Zl", "Zp") or character in BLANKS


def remove_invisible(text: str) -> str:
    """Return the text without invisible characters, except joiners and variation selectors that change its look."""
    padded = f" {text} "
    kept, previous_shows = "", True
    for before, character, after in zip(padded, text, padded[2:], strict=False):
        if character in JOINERS:
            letters = before in JOINING and after in JOINING
            symbol_before = before in PICTOGRAPHS or (before in SELECTORS and previous_shows)
            shows = letters or (character == "\u200d" and symbol_before and after in PICTOGRAPHS)
        elif character in SELECTORS:
            shows = before in VARIED
        else:
            shows = character not in REMOVED
        kept += character if shows else ""
        previous_shows = shows
    return kept


def _list_characters(ranges: invisible.Ranges) -> frozenset[str]:
    return frozenset(chr(point) for first, last in ranges for point in range(first, last + 1))


BLANKS, REMOVED, JOINERS, JOINING, PICTOGRAPHS, SELECTORS, VARIED = map(
    _list_characters,
    (
        invisible.BLANKS,
        invisible.REMOVED,
        invisible.JOINERS,
        invisible.JOINING,
        invisible.PICTOGRAPHS,
        invisible.SELECTORS,
        invisible.VARIED,
    ),
)


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
