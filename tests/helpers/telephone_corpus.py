"""Telephone numbers of every nationality as people write them, valid and not, each with libphonenumber's answer."""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat

from insights.model.countries import load_countries

KINDS = (
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
FORMATS = (
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.E164,
    PhoneNumberFormat.RFC3966,
)
NATIVE_DIGITS = ("\u06f0", "\u0660", "\u0966", "\u09e6", "\uff10")
"""The zero of Persian, Arabic, Devanagari, Bengali and full-width digits."""
EXTENSIONS = (" x123", " ext. 7", ";ext=45", " extension 9", "#", " #12", ",,5", " доб. 3", " int 4", "x1/x2", " - 99#")
AROUND = ("Tel: {}", "{} (office)", "{} / x", "phone={}", "{}.", "  {}", "({})", "{};isub=12", "tel:{}", "{} or mail")
PREFIXES = ("+", "++", "\uff0b", "00", "0", "011", "0011", "1", "9", "90", "015", "031", "+0", "1831", "00 00 ", "+00")


class Sample(NamedTuple):
    """A text, the nationality of its owner, and the number in E.164, None if libphonenumber considers it invalid."""

    text: str
    nationality: str
    expected: str | None


def ask_library(text: str, nationality: str) -> str | None:
    """Return the number in E.164, None if it is not a valid number of that country."""
    try:
        number = phonenumbers.parse(text, nationality)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number_for_region(number, nationality):
        return None
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def generate_corpus(per_nationality: int, seed: int = 13) -> Iterator[Sample]:
    """Generate texts for each nationality, the same ones for the same seed."""
    for nationality in load_countries():
        random = Random(f"{seed}/{nationality}")
        for _ in range(per_nationality):
            text = _disturb(_write(nationality, random), nationality, random)
            yield Sample(text, nationality, ask_library(text, nationality))


def _load_metadata(nationality: str) -> Any:
    return PhoneMetadata.metadata_for_region(nationality)


def _write(nationality: str, random: Random) -> str:
    """Return a number in one of the usual formats: an example of the metadata with some digits changed."""
    metadata = _load_metadata(nationality)
    kinds = [getattr(metadata, kind) for kind in KINDS]
    digits = list(random.choice([kind.example_number for kind in kinds if kind is not None and kind.example_number]))
    for _ in range(random.choice((0, 1, 3))):
        digits[random.randrange(1, len(digits))] = random.choice("0123456789")
    number = phonenumbers.PhoneNumber(
        country_code=metadata.country_code,
        national_number=int("".join(digits)),
        italian_leading_zero=digits[0] == "0" or None,
    )
    return str(phonenumbers.format_number(number, random.choice(FORMATS)))


def _disturb(text: str, nationality: str, random: Random) -> str:
    """Return the text as it is, or written in another way, or damaged."""
    code = str(_load_metadata(nationality).country_code)
    zero = ord(random.choice(NATIVE_DIGITS))
    position = random.randrange(len(text) + 1)
    ways = (
        text,
        text.replace("-", random.choice("\u2010\u2011\u2012\u2013\u2212\u30fc.~/")).replace(" ", "\u00a0"),
        text.translate({ord("0") + digit: zero + digit for digit in range(10)}),
        text.replace(f"+{code} ", f"+{code} (0)"),
        text.replace("+", "00"),
        text.replace("+", "").replace(code, f"({code})", 1),
        text + random.choice(EXTENSIONS),
        random.choice(AROUND).format(text),
        random.choice(PREFIXES) + text,
        random.choice(PREFIXES) + random.choice(PREFIXES) + text.lstrip("+"),
        f"0 {random.choice(('21', '31', '41', '15', '99'))} {text.lstrip('0')}",
        text.lstrip("0") + f";phone-context={random.choice((f'+{code}', '+1', 'example.com', '+', ''))}",
        text[:position] + random.choice(("", "S", "-", "FLY", "\u0664", "*", "#", "  ", "5", "+")) + text[position:],
        text[:position],
        "".join(random.choices("0123456789+-() /.x", k=random.randrange(1, 18))),
    )
    return random.choice(ways)
