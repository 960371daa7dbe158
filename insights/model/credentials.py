"""Which keys of a record hold credentials or the national id, and the removal of their values from text.

A key is compared by its ASCII letters and digits, regardless of case. Other characters before, between and after them
do not matter, nor do the escapes of JSON: `Password`, `pass\\u0077ord`, `SHA-256` and `login.salt` are credentials. A
key that ends with `password` is one, too. The national id is the value of a key that is `id` alone.

The patterns use the syntax that is common to the regular expressions of Python and Java, and match the same in text and
in the bytes of UTF-8 read as ISO 8859-1.
"""

import re
from functools import lru_cache
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

CREDENTIAL_FIELDS = ("password", "salt", "md5", "sha1", "sha256")

_FILLER = r"""[^A-Za-z0-9"'`\\:=>,{}\[\]]"""
_FILLER_ESCAPE = r"\\++(?:[tnrbf/]|u(?!00[3-7])[0-9A-Fa-f]{4})"
_BETWEEN = rf"{_FILLER}{{0,16}}+(?:{_FILLER_ESCAPE}{_FILLER}{{0,16}}+){{0,4}}+"
_AROUND = rf"{_FILLER}*+(?:{_FILLER_ESCAPE}{_FILLER}*+){{0,50}}+"
_QUOTE = r"""\\*+["'`]"""
_SEPARATOR = r"(?:[:=>]|\\++u003[ADEade])"


def _spell(name: str) -> str:
    """Return a pattern of the name in either case, with each character possibly escaped."""
    return _BETWEEN.join(_spell_character(character) for character in name)


def _spell_character(character: str) -> str:
    cases = sorted({character.lower(), character.upper()})
    codes = "|".join(re.sub("[a-f]", lambda digit: f"[{digit[0]}{digit[0].upper()}]", f"{ord(c):02x}") for c in cases)
    return rf"(?:[{''.join(cases)}]|\\++(?:u00|x)(?:{codes}))"


_BOUNDARY = r"(?:(?<![A-Za-z0-9])|(?<=\\[tnrbf])|(?<=\\u[0-9A-Fa-f]{4}))"
_CREDENTIAL = f"(?:{_spell('password')}|{_BOUNDARY}(?:{'|'.join(map(_spell, CREDENTIAL_FIELDS[1:]))}))"
_ID = _spell("id")

KEY_PATTERN = (
    rf"(?:{_CREDENTIAL}{_AROUND}(?:{_QUOTE}{_AROUND}(?:(?:{_SEPARATOR}|,)++|(?=[\\\"'`]))|{_SEPARATOR}++)"
    rf"|(?:{_QUOTE}{_AROUND}{_ID}{_AROUND}{_QUOTE}{_AROUND}|[{{,]{_AROUND}{_ID}{_AROUND}){_SEPARATOR}++){_AROUND}"
)
"""Matches the key of a credential or of the national id, up to the beginning of its value, in any text: broken JSON,
single or no quotes, `=` or `=>` for a colon, or JSON inside a JSON string."""
KEY_HINT_PATTERN = r"""[:=>"`\\'](?:(?<!')|(?=[^A-Za-z]))"""
"""Matches a part of every such key: one of these characters, but an apostrophe only before another character than a
letter. Few texts of a record have it, and it is found much faster: by a character, and not by alternatives."""
TEXT_PATTERN = rf"({KEY_PATTERN})[\s\S]+"
"""Matches a text from such a key to its end; the replacement is `TEXT_MASK`."""
TEXT_MASK = "$1null"

_NAME = re.compile(rf"{_CREDENTIAL}{_AROUND}\Z|\A{_AROUND}{_ID}{_AROUND}\Z")
_NATIONAL_ID = re.compile(rf"{_AROUND}{_ID}{_AROUND}")
_KEY = re.compile(rf"{KEY_PATTERN}(?=[\s\S])")
_HINT = re.compile(KEY_HINT_PATTERN)
_DELIMITERS = b"\"'`:=>,{}[]"
_SQUEEZED = bytes.maketrans(ascii_uppercase.encode() + _DELIMITERS, ascii_lowercase.encode() + b"|" * len(_DELIMITERS))
_FILLERS = bytes(set(range(256)) - set(f"{ascii_letters}{digits}".encode() + _DELIMITERS))
_WORDS = (*(name.encode() for name in CREDENTIAL_FIELDS), b"|id")
_CACHED_LENGTH = 32


def is_secret(name: str) -> bool:
    """Return whether the value of a key with this (decoded) name is a credential or the national id.

    A name that is itself a text with the key of one counts, too.
    """
    return _check_name(name) if len(name) <= _CACHED_LENGTH else _check_name.__wrapped__(name)


def is_national_id(name: str) -> bool:
    """Return whether the key with this (decoded) name holds the national id."""
    return _NATIONAL_ID.fullmatch(name) is not None


def mask_text(text: str) -> str:
    """Return a text that is cut off after the first key of a credential or of the national id that it contains."""
    if _HINT.search(text) and (key := _KEY.search(text)):
        return f"{text[: key.end()]}null"
    return text


def may_hold_secret(text: bytes) -> bool:
    """Return whether JSON text may have a secret name, or a string that `mask_text` changes; false is certain.

    The text is searched for the names of credentials, and for `id` after a delimiter, once everything that may stand
    between their characters is removed. Text with an escape always counts: an escape may stand for any character.
    """
    squeezed = text.translate(_SQUEEZED, _FILLERS)
    return b"\\" in text or any(word in squeezed for word in _WORDS)


@lru_cache(maxsize=1024)
def _check_name(name: str) -> bool:
    return _NAME.search(name) is not None or mask_text(name) != name
