"""How telephone numbers are written and dialled, from the tables of libphonenumber.

The regular expressions have the syntax that Java and Python share. Those of a country match digits.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

from phonenumbers import PhoneMetadata, phonenumberutil

_KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)

EXTENSION: str = phonenumberutil._EXTN_PATTERNS_FOR_PARSING
"""An extension after a number, such as `x123` or `;ext=5`."""
NUMBER: str = phonenumberutil._VALID_PHONE_NUMBER
"""A text that may be a number, without its extension."""


@dataclass(frozen=True, slots=True)
class Telephony:
    """A country's telephone numbers. The patterns `general` and `kinds` match national significant numbers."""

    calling_code: str
    international_prefix: str
    """The digits dialled before a calling code instead of `+`."""
    national_prefix: str | None
    """The digits dialled before a national number, with a carrier's code where there are such codes."""
    general: str
    kinds: tuple[str, ...]
    """One pattern for each kind of number (fixed line, mobile and so on). Kinds with the same pattern share one."""
    max_length: int


def load_telephony(code: str) -> Telephony:
    """Load the telephone metadata of the country with this ISO 3166-1 alpha-2 code.

    Raises:
        NotImplementedError: the metadata rewrite numbers in a way that no other country's do.
    """
    metadata: Any = PhoneMetadata.metadata_for_region(code)
    kinds = [getattr(metadata, kind).national_number_pattern for kind in _KINDS if getattr(metadata, kind) is not None]
    return Telephony(
        calling_code=str(metadata.country_code),
        international_prefix=_drop_groups(metadata.international_prefix),
        national_prefix=_read_national_prefix(metadata),
        general=metadata.general_desc.national_number_pattern,
        kinds=tuple(dict.fromkeys(kind for kind in kinds if kind)),
        max_length=max(metadata.general_desc.possible_length),
    )


@cache
def map_digits() -> tuple[str, str]:
    """Return the decimal digits of all scripts but ASCII, and the ASCII digit of each."""
    digits = list(filter(str.isdecimal, map(chr, range(0x80, 0x110000))))
    return "".join(digits), "".join(str(unicodedata.decimal(digit)) for digit in digits)


def _read_national_prefix(metadata: Any) -> str | None:
    """Return a pattern of what is to be removed.

    Brazil's matches the carrier's code and the number, and its rule then replaces the match by the number.
    """
    pattern, rule = metadata.national_prefix_for_parsing, metadata.national_prefix_transform_rule
    if not pattern or not rule:
        return _drop_groups(pattern) if pattern else None
    before, _, number = pattern.rpartition("(")
    if rule != rf"\{re.compile(pattern).groups}" or not re.fullmatch(r"\\d\{[0-9,]+\}\)\)\?", number):
        raise NotImplementedError(f"The national prefix {pattern} with the rule {rule} is not supported.")
    return _drop_groups(f"{before}(?={number}")


def _drop_groups(pattern: str) -> str:
    return re.sub(r"\((?!\?)", "(?:", pattern)
