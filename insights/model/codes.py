"""Codes that every hop compares in the same way: by code points, ignoring the case of ASCII letters and nothing else.

Python's and Java's own case mappings differ, depend on the locale, or fold other letters into ASCII, such as U+0131.
"""

import re
from string import ascii_lowercase, ascii_uppercase

from insights.model import invisible

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)
# Characters beyond U+FFFF stand for themselves: Python and Java have no escape in common.
_INVISIBLE = "".join(
    f"{chr(first)}-{chr(last)}"
    for ranges in (invisible.BLANKS, invisible.REMOVED, invisible.JOINERS, invisible.SELECTORS)
    for first, last in ranges
)
_EDGE = rf"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028-\u2029\u202f\u205f\u3000{_INVISIBLE}]*"
_DIGIT = "[0-9A-Fa-f]"
_BODY = f"(?:{_DIGIT}{{32}}|{_DIGIT}{{8}}(?:-{_DIGIT}{{4}}){{3}}-{_DIGIT}{{12}})"
_PREFIX = "(?:[Uu][Rr][Nn]:)?[Uu][Uu][Ii][Dd]:"
_GROUPS = "-?".join(f"({_DIGIT}{{{length}}})" for length in (8, 4, 4, 4, 12))

UUID_PATTERN = (
    rf"^{_EDGE}(?=(?:{_BODY}|\{{{_BODY}\}}|{_PREFIX}{_BODY}){_EDGE}(?![\s\S]))(?:\{{|{_PREFIX})?{_GROUPS}[\s\S]*"
)
"""Matches a text that spells a UUID: with hyphens or without, in braces, after `urn:uuid:` or bare, in either case, and
with white space, control characters and what shows nothing around it. The syntax is common to Python and Java."""
UUID_REPLACEMENT = "$1-$2-$3-$4-$5"
_UUID = re.compile(UUID_PATTERN)
_CANONICAL_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def lower_ascii(text: str) -> str:
    """Return the text with A to Z in lower case and every other character unchanged."""
    return text.translate(_LOWER)


def upper_ascii(text: str) -> str:
    """Return the text with a to z in upper case and every other character unchanged."""
    return text.translate(_UPPER)


def normalise_uuid(text: str) -> str | None:
    """Return the canonical spelling of a UUID, lower case with hyphens; None if the text is not one."""
    if _CANONICAL_UUID.fullmatch(text):
        return text
    match = _UUID.match(text)
    return lower_ascii("-".join(match.groups())) if match else None
