"""The rules once more, in plain Python, one record at a time: what `insights.stream` must agree with.

Written from the rules' text (`insights.rules`, `insights.record`), not from their Spark columns, and slow on purpose.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import asin, cos, isfinite, radians, sin, sqrt
from typing import Any
from uuid import UUID

import phonenumbers

from insights.countries import Country, countries
from insights.record import Reason, Rejected, User

LARGEST = 1_048_588
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MANDATORY = ("gender", "nat", "name.first", "name.last", "email", "dob", "registered")
OBJECTS = ("name", "location", "location.coordinates", "location.timezone", "login", "picture")
KEPT_CASE = (
    "location.postcode", "location.coordinates.latitude", "location.coordinates.longitude", "location.timezone.offset",
    "location.timezone.description", "login.username", "phone", "cell", "picture.large",
)  # fmt: skip
TITLED = ("name.title", "name.first", "name.last", "location.street", "location.city", "location.state")


@dataclass(frozen=True)
class Message:
    """A Kafka record as a consumer sees it. `timestamp` is in milliseconds."""

    value: bytes | None
    key: bytes | None = None
    topic: str = "users.raw"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_795_248_000_000
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class Envelope:
    """What headers, or coordinates in their place, say about a message."""

    event_id: str
    batch_id: str | None
    version: int
    event_time: datetime
    redrives: int


class Refused(Exception):  # noqa: N818
    """A rule is broken."""

    def __init__(self, reason: Reason, field: str) -> None:
        super().__init__(reason, field)
        self.verdict = Rejected(reason, field, "")


def envelope(message: Message) -> Envelope:
    """Headers that are well formed; the first of a name counts."""

    def header(name: str, pattern: str) -> str | None:
        found = next((value for key, value in message.headers if key == name), None)
        text = None if found is None else found.decode("utf-8", "replace")
        return text if text is not None and re.fullmatch(pattern, text) else None

    origin = f"{message.topic}/{message.partition}/{message.offset}"
    version = header("version", "[0-9]{1,18}")
    at = header("event_time", "[0-9]{1,15}")
    milliseconds = int(at) if at and int(at) <= 253_402_300_799_999 else message.timestamp
    return Envelope(
        event_id=header("event_id", r"[0-9]{1,19}|[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}") or origin,
        batch_id=header("batch_id", "[^\x00\ufffd\n]{1,500}"),
        version=int(version) if version else message.timestamp * 1000 + message.offset % 1000,
        event_time=EPOCH + timedelta(milliseconds=milliseconds),
        redrives=int(header("redrives", "[0-9]{1,4}") or 0),
    )


def parse(message: Message) -> User | Rejected:
    """The user in a message, or the first rule it breaks (`detail` is left empty)."""
    try:
        return _user(message, envelope(message))
    except Refused as refused:
        return refused.verdict


def _user(message: Message, about: Envelope) -> User:
    document = _document(message.value)
    texts = _texts(document)
    for field in MANDATORY:
        if _looks_structured(texts[field]):
            raise Refused(Reason.SCHEMA, field)
    user_id = texts["login.uuid"]
    if user_id is None or not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user_id):
        raise Refused(Reason.MISSING_ID, "login.uuid")
    if message.key is None or message.key.decode("utf-8", "replace").strip(" ").lower() != user_id:
        raise Refused(Reason.BAD_KEY, "key")
    for field in MANDATORY:
        if texts[field] is None:
            raise Refused(Reason.MISSING_FIELD, field)
    known = countries().get(texts["nat"] or "")
    if known is None:
        raise Refused(Reason.UNKNOWN_COUNTRY, "nat")
    if texts["gender"] not in ("female", "male"):
        raise Refused(Reason.BAD_GENDER, "gender")
    email = texts["email"] or ""
    if not _is_email(email):
        raise Refused(Reason.BAD_EMAIL, "email")
    dates = {field: _instant(texts[field] or "") for field in ("dob", "registered")}
    for field, date in dates.items():
        if date is None:
            raise Refused(Reason.BAD_DATE, field)
    born, registered = dates["dob"], dates["registered"]
    assert born is not None
    assert registered is not None
    for field, date in (("dob", born), ("registered", registered)):
        if date > about.event_time:
            raise Refused(Reason.FUTURE_DATE, field)
    latitude = _number(texts["location.coordinates.latitude"])
    longitude = _number(texts["location.coordinates.longitude"])
    if latitude is not None and not -90 <= latitude <= 90:
        raise Refused(Reason.OUT_OF_RANGE, "location.coordinates.latitude")
    if longitude is not None and not -180 <= longitude <= 180:
        raise Refused(Reason.OUT_OF_RANGE, "location.coordinates.longitude")
    age = _years(born, about.event_time)
    if age > 130:
        raise Refused(Reason.OUT_OF_RANGE, "dob")
    if registered < born:
        raise Refused(Reason.OUT_OF_RANGE, "registered")
    distance = None
    if latitude is not None and longitude is not None:
        distance = _distance(latitude, longitude, known)
    phone, phone_valid = _telephone(texts["phone"], known.code)
    cell, cell_valid = _telephone(texts["cell"], known.code)
    street, city, state = (texts[f"location.{name}"] for name in ("street", "city", "state"))
    postcode = texts["location.postcode"]
    place = " ".join(part for part in (postcode, city) if part)
    picture = texts["picture.large"]
    return User(
        user_id=UUID(user_id),
        version=about.version,
        event_id=about.event_id,
        event_time=about.event_time,
        batch_id=about.batch_id,
        gender=texts["gender"] or "",
        title=texts["name.title"],
        first_name=texts["name.first"] or "",
        last_name=texts["name.last"] or "",
        full_name=f"{texts['name.first']} {texts['name.last']}",
        username=texts["login.username"],
        email=email,
        email_domain=email.partition("@")[2],
        phone=phone,
        phone_valid=phone_valid,
        cell=cell,
        cell_valid=cell_valid,
        street=street,
        city=city,
        state=state,
        postcode=postcode,
        address=", ".join(part for part in (street, place, state, known.name) if part),
        country_code=known.code,
        country=known.name,
        continent=known.continent,
        sub_region=known.sub_region,
        latitude=latitude,
        longitude=longitude,
        distance_km=distance,
        location_plausible=None if distance is None else distance <= known.reach_km,
        timezone=texts["location.timezone.description"],
        utc_offset_minutes=_offset(texts["location.timezone.offset"]),
        born_at=born,
        age=age,
        age_band=_age_band(age),
        generation=_generation(born.year),
        registered_at=registered,
        registered_year=registered.year,
        registered_month=f"{registered.year:04}-{registered.month:02}",
        tenure_days=(about.event_time - registered) // timedelta(days=1),
        picture_url=picture if picture and re.match("https?://", picture) and " " not in picture else None,
    )


def _document(value: bytes | None) -> dict[str, Any]:
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
        if not isinstance(_at(document, path), dict | None):
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


def _at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _texts(document: dict[str, Any]) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    for path in (*MANDATORY, "login.uuid", *KEPT_CASE, *TITLED):
        text = _text(_at(document, path))
        if text is not None and text.startswith("{") and path in ("location.street", "dob", "registered"):
            text = _inner(text, path)
        text = _clean(text)
        optional = path not in MANDATORY
        texts[path] = None if optional and _looks_structured(text) else text
    for path in TITLED:
        texts[path] = _title_case(texts[path])
    for path in ("email", "gender", "login.uuid"):
        texts[path] = text.lower() if (text := texts[path]) is not None else None
    texts["nat"] = text.upper() if (text := texts["nat"]) is not None else None
    return texts


def _text(value: Any) -> str | None:
    """A JSON value as text: itself, or its JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimals) and not isfinite(value):
        return '"Infinity"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _inner(text: str, path: str) -> str | None:
    """The text within an object: number and name of a street, the date of a date."""
    try:
        document = json.loads(text, parse_float=Decimals)
    except ValueError:
        document = {}
    if path != "location.street":
        return _text(document.get("date"))
    parts = [_text(document.get(name)) for name in ("number", "name")]
    return " ".join(part for part in parts if part is not None)


def _clean(text: str | None) -> str | None:
    """Runs of white space and control characters to one space, NFC, none at the ends, no blank."""
    if text is None:
        return None
    spaced = "".join(" " if c.isspace() or unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") else c for c in text)
    return unicodedata.normalize("NFC", re.sub(" +", " ", spaced)).strip(" ") or None


def _looks_structured(text: str | None) -> bool:
    return text is not None and text[0] + text[-1] in ("{}", "[]")


def _title_case(text: str | None) -> str | None:
    if text is None:
        return None
    small, capital = text.lower() == text, text.upper() == text
    if small == capital or (capital and len(text) <= 3):
        return text
    result = ""
    for position, character in enumerate(text.lower()):
        result += character.title() if _begins_word(text, position) else character
    return result


def _begins_word(text: str, position: int) -> bool:
    before = text[:position]
    if not before or before[-1] == " ":
        return True
    if not _is_letter(text[position]):
        return False
    if before[-1] in "-/.(" or "\u2010" <= before[-1] <= "\u2015":
        return True
    if before[-1] not in "'\u2019" or position < 2 or not _is_letter(before[-2]):
        return False
    alone = position == 2 or not (_is_letter(before[-3]) or _is_mark(before[-3]) or before[-3] in "'\u2019")
    return alone and position + 1 < len(text) and _is_letter(text[position + 1])


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _is_email(address: str) -> bool:
    local, at, domain = address.partition("@")
    if not at or "@" in domain or len(address) > 254 or not 1 <= len(local) <= 64:
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


def _instant(text: str) -> datetime | None:
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


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", text):
        return None
    return float(text)


def _offset(text: str | None) -> int | None:
    match = re.fullmatch(r"([+-]?)([0-9]{1,2}):([0-5][0-9])", text or "")
    if match is None:
        return None
    minutes = (int(match[2]) * 60 + int(match[3])) * (-1 if match[1] == "-" else 1)
    return minutes if -720 <= minutes <= 840 else None


def _telephone(text: str | None, country: str) -> tuple[str | None, bool]:
    """libphonenumber's word on whether a national number is one, after the rules' own reading of the text."""
    if text is None:
        return None, False
    compact = re.sub(r"[ ().\-/]", "", text)
    calling_code = phonenumbers.country_code_for_region(country)
    prefix = phonenumbers.ndd_prefix_for_region(country, True)
    tried = [compact.removeprefix(lead) for lead in (f"+{calling_code}", prefix) if lead and compact.startswith(lead)]
    for national in (*tried, compact):
        if not re.fullmatch("[0-9]{1,17}", national):
            continue
        zeros = len(national) - len(national.lstrip("0"))
        number = phonenumbers.PhoneNumber(
            country_code=calling_code,
            national_number=int(national),
            italian_leading_zero=zeros > 0 or None,
            number_of_leading_zeros=zeros or None,
        )
        if phonenumbers.is_valid_number_for_region(number, country):
            return f"+{calling_code}{national}", True
    return text, False


def _years(born: datetime, at: datetime) -> int:
    return at.year - born.year - ((at.month, at.day) < (born.month, born.day))


def _age_band(age: int) -> str:
    if age < 18:
        return "0-17"
    if age < 25:
        return "18-24"
    return "75+" if age >= 75 else f"{(age - 5) // 10 * 10 + 5}-{(age - 5) // 10 * 10 + 14}"


def _generation(year: int) -> str:
    first_years = {
        2013: "Alpha", 1997: "Gen Z", 1981: "Millennials", 1965: "Gen X", 1946: "Boomers", 1928: "Silent",
    }  # fmt: skip
    return next((name for first, name in first_years.items() if year >= first), "Greatest")


def _distance(latitude: float, longitude: float, to: Country) -> float:
    """Haversine on a sphere of the mean radius, to a tenth of a kilometre."""
    here, there = radians(latitude), radians(to.latitude)
    chord = sin((there - here) / 2) ** 2 + cos(here) * cos(there) * sin(radians(to.longitude - longitude) / 2) ** 2
    return round(2 * 6371.0088 * asin(min(1.0, sqrt(chord))), 1)
