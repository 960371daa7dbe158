"""Credentials and the national id in raw records: the fields that hold them, and their redaction."""

import re

CREDENTIAL_FIELDS = ("password", "salt", "md5", "sha1", "sha256")
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+){0,200}+"?'
_FLAT = r'[^{}\[\]"]*+'
_INNER = rf"[{{\[]{_FLAT}(?:{_STRING}{_FLAT}){{0,50}}+[}}\]]?"
_NESTED = rf"[{{\[]{_FLAT}(?:(?:{_STRING}|{_INNER}){_FLAT}){{0,200}}+[}}\]]?"
CREDENTIAL_PATTERN = rf'("(?:{"|".join(CREDENTIAL_FIELDS)}|id)"\s*:\s*)(?:{_STRING}|{_NESTED}|[^",{{}}\[\]\s]+)'
"""Matches a credential or the national id in text that may be malformed JSON; the replacement is `CREDENTIAL_MASK`.

The value may be a string, a number, or an object or array with one nested level. The syntax is common to the regular
expressions of Python and Java. Repetition is bounded because Java's matcher recurses, and the pattern is ASCII so that
bytes can be searched as ISO 8859-1."""
CREDENTIAL_MASK = "$1null"

_CREDENTIALS = re.compile(CREDENTIAL_PATTERN)
_MASK = re.sub(r"\$(\d)", r"\\g<\1>", CREDENTIAL_MASK)


def redact(value: bytes) -> bytes:
    """Return `value` with credentials and the national id replaced by null, and every other byte unchanged."""
    return _CREDENTIALS.sub(_MASK, value.decode("iso-8859-1")).encode("iso-8859-1")
