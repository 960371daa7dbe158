"""Parse cleansed texts (dates, numbers, addresses, telephone numbers) and derive values from them."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from math import asin, cos, radians, sin, sqrt

import phonenumbers

from insights.model.countries import Country

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_email(address: str) -> bool:
    local, at, domain = address.partition("@")
    if not at or "@" in domain or not 1 <= len(local) <= 64:
        return False
    labels = domain.split(".")
    return (
        all(atom and all(_is_word(c) or c in "!#$%&'*+/=?^_`{|}~-" for c in atom) for atom in local.split("."))
        and len(labels) > 1
        and all(_is_label(label) for label in labels)
        and not all(unicodedata.category(c)[0] == "N" for c in labels[-1])
    )


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _is_label(label: str) -> bool:
    return (
        1 <= len(label) <= 63
        and all(_is_word(c) or c == "-" for c in label)
        and label[-1] != "-"
        and unicodedata.category(label[0])[0] in "LN"
    )


def parse_instant(text: str) -> datetime | None:
    if re.fullmatch(r"-?[0-9]{1,12}", text):
        seconds = int(text)
        return EPOCH + timedelta(seconds=seconds) if -62_135_596_800 <= seconds <= 253_402_300_799 else None
    match = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z?", text)
    if match is None:
        return None
    try:
        whole = datetime.strptime(f"{match[1]} {match[2]}+0000", "%Y-%m-%d %H:%M:%S%z")
    except ValueError:
        return None
    return whole + timedelta(milliseconds=int((match[3] or "0").ljust(3, "0")[:3]))


def parse_number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", text):
        return None
    return float(text)


def parse_offset_minutes(text: str | None) -> int | None:
    match = re.fullmatch(r"([+-]?)([0-9]{1,2}):([0-5][0-9])", text or "")
    if match is None:
        return None
    minutes = (int(match[2]) * 60 + int(match[3])) * (-1 if match[1] == "-" else 1)
    return minutes if -720 <= minutes <= 840 else None


def format_telephone(text: str | None, country: str) -> tuple[str | None, bool]:
    """Return the number in E.164 and True if libphonenumber considers it valid, else the text unchanged and False."""
    if text is None:
        return None, False
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return text, False
    if not phonenumbers.is_valid_number_for_region(number, country):
        return text, False
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), True


def count_years(born: datetime, at: datetime) -> int:
    return at.year - born.year - ((at.month, at.day) < (born.month, born.day))


def find_age_band(age: int) -> str:
    if age < 18:
        return "0-17"
    if age < 25:
        return "18-24"
    return "75+" if age >= 75 else f"{(age - 5) // 10 * 10 + 5}-{(age - 5) // 10 * 10 + 14}"


def find_generation(year: int) -> str:
    first_years = {
        2013: "Alpha",
        1997: "Gen Z",
        1981: "Millennials",
        1965: "Gen X",
        1946: "Boomers",
        1928: "Silent",
    }
    return next((name for first, name in first_years.items() if year >= first), "Greatest")


def compute_distance_km(latitude: float, longitude: float, to: Country) -> float:
    """Return the great-circle distance by the haversine formula on a sphere of the mean radius, to 100 m."""
    here, there = radians(latitude), radians(to.latitude)
    haversine = sin((there - here) / 2) ** 2 + cos(here) * cos(there) * sin(radians(to.longitude - longitude) / 2) ** 2
    return round(2 * 6371.0088 * asin(min(1.0, sqrt(haversine))), 1)
