"""Credentials and the national id in raw records: which fields they are, and their redaction."""

import re

CREDENTIAL_FIELDS = ("password", "salt", "md5", "sha1", "sha256")
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+){0,200}+"?'
_FLAT = r'[^{}\[\]"]*+'
_INNER = rf"[{{\[]{_FLAT}(?:{_STRING}{_FLAT}){{0,50}}+[}}\]]?"
_NESTED = rf"[{{\[]{_FLAT}(?:(?:{_STRING}|{_INNER}){_FLAT}){{0,200}}+[}}\]]?"
CREDENTIAL_PATTERN = rf'("(?:{"|".join(CREDENTIAL_FIELDS)}|id)"\s*:\s*)(?:{_STRING}|{_NESTED}|[^",{{}}\[\]\s]+)'
"""Finds a credential, or the national id, in JSON text that need not parse; replaced by `CREDENTIAL_MASK`.

Whatever stands there goes: text, a number, an object or array with one level within. The syntax is common to Python's
`re` and Java's, the repetition bounded (Java's recurses), and all of it ASCII, so that bytes can be searched as
ISO 8859-1."""
CREDENTIAL_MASK = "$1null"

_CREDENTIALS = re.compile(CREDENTIAL_PATTERN)
_MASK = re.sub(r"\$(\d)", r"\\g<\1>", CREDENTIAL_MASK)


def redact(value: bytes) -> bytes:
    """`value` with credentials and the national id replaced by null; every other byte as it was."""
    return _CREDENTIALS.sub(_MASK, value.decode("iso-8859-1")).encode("iso-8859-1")
