"""The rules in plain Python, one record at a time, as an oracle for `insights.stream`.

They are written from the rules' documentation (`docs/rules.md`), not from the Spark columns, for clarity over speed.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from insights.model.countries import load_countries
from insights.model.reasons import Reason
from insights.model.user import User
from tests.helpers.oracle.cleanse import MANDATORY, canonical_uuid, cleanse_texts
from tests.helpers.oracle.document import Rejection, RuleBrokenError, parse_document
from tests.helpers.oracle.values import (
    EPOCH,
    compute_distance_km,
    count_years,
    find_age_band,
    find_generation,
    format_telephone,
    is_email,
    parse_instant,
    parse_number,
    parse_offset_minutes,
)

LONGEST = {
    "name.title": 50,
    "name.first": 250,
    "name.last": 250,
    "location.street": 250,
    "location.city": 200,
    "location.state": 200,
    "location.postcode": 50,
    "location.timezone.description": 250,
    "email": 254,
    "login.username": 100,
    "phone": 50,
    "cell": 50,
    "picture.large": 2048,
}


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
    """A message's metadata, from its headers or else from its coordinates."""

    event_id: str
    batch_id: str | None
    version: int
    unversioned: bool
    event_time: datetime
    redrives: int


def read_envelope(message: Message) -> Envelope:
    """Read the headers. The first header of a name counts, and a malformed one is ignored."""

    def read_header(name: str, pattern: str) -> str | None:
        value = next((value for key, value in message.headers if key == name), None)
        text = None if value is None else value.decode("utf-8", "replace")
        return text if text is not None and re.fullmatch(pattern, text) else None

    origin = f"{message.topic}/{message.partition}/{message.offset}"
    version = read_header("version", "[0-9]{1,18}")
    event_time = read_header("event_time", "[0-9]{1,15}")
    milliseconds = int(event_time) if event_time and int(event_time) <= 253_402_300_799_999 else message.timestamp
    return Envelope(
        event_id=read_header("event_id", r"[0-9]{1,19}|[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}") or origin,
        batch_id=read_header("batch_id", "[^\x00\ufffd\n\"'`{}\\[\\]]{1,500}"),
        version=int(version) if version else message.timestamp * 1000,
        unversioned=version is None,
        event_time=EPOCH + timedelta(milliseconds=milliseconds),
        redrives=int(read_header("redrives", "[0-9]{1,4}") or 0),
    )


def parse(message: Message) -> User | Rejection:
    """Return the user in a message, or the first rule that the message breaks."""
    try:
        return _build_user(message, read_envelope(message))
    except RuleBrokenError as error:
        return error.rejection


def _build_user(message: Message, envelope: Envelope) -> User:
    texts = cleanse_texts(parse_document(message.value))
    user_id = texts["login.uuid"]
    if user_id is None or not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user_id):
        raise RuleBrokenError(Reason.MISSING_ID, "login.uuid")
    if message.key is None or canonical_uuid(message.key.decode("utf-8", "replace")) != user_id:
        raise RuleBrokenError(Reason.BAD_KEY, "key")
    for field in MANDATORY:
        if texts[field] is None:
            raise RuleBrokenError(Reason.MISSING_FIELD, field)
    for field, longest in LONGEST.items():
        if len(texts[field] or "") > longest:
            raise RuleBrokenError(Reason.TOO_LONG, field)
    country = load_countries().get(texts["nat"] or "")
    if country is None:
        raise RuleBrokenError(Reason.UNKNOWN_COUNTRY, "nat")
    if texts["gender"] not in ("female", "male"):
        raise RuleBrokenError(Reason.BAD_GENDER, "gender")
    email = texts["email"] or ""
    if not is_email(email):
        raise RuleBrokenError(Reason.BAD_EMAIL, "email")
    dates = {field: parse_instant(texts[field] or "") for field in ("dob", "registered")}
    for field, date in dates.items():
        if date is None:
            raise RuleBrokenError(Reason.BAD_DATE, field)
    born, registered = dates["dob"], dates["registered"]
    assert born is not None
    assert registered is not None
    for field, date in (("dob", born), ("registered", registered)):
        if date > envelope.event_time:
            raise RuleBrokenError(Reason.FUTURE_DATE, field)
    latitude = parse_number(texts["location.coordinates.latitude"])
    longitude = parse_number(texts["location.coordinates.longitude"])
    if latitude is not None and not -90 <= latitude <= 90:
        raise RuleBrokenError(Reason.OUT_OF_RANGE, "location.coordinates.latitude")
    if longitude is not None and not -180 <= longitude <= 180:
        raise RuleBrokenError(Reason.OUT_OF_RANGE, "location.coordinates.longitude")
    age = count_years(born, envelope.event_time)
    if age > 130:
        raise RuleBrokenError(Reason.OUT_OF_RANGE, "dob")
    if registered < born:
        raise RuleBrokenError(Reason.OUT_OF_RANGE, "registered")
    kilometres = None
    if latitude is not None and longitude is not None:
        kilometres = compute_distance_km(latitude, longitude, country)
    phone, phone_valid = format_telephone(texts["phone"], country.code)
    cell, cell_valid = format_telephone(texts["cell"], country.code)
    street, city, state = (texts[f"location.{name}"] for name in ("street", "city", "state"))
    postcode = texts["location.postcode"]
    place = " ".join(part for part in (postcode, city) if part)
    picture = texts["picture.large"]
    return User(
        user_id=UUID(user_id),
        version=envelope.version,
        event_id=envelope.event_id,
        event_time=envelope.event_time,
        batch_id=envelope.batch_id,
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
        address=", ".join(part for part in (street, place, state, country.name) if part),
        country_code=country.code,
        country=country.name,
        continent=country.continent,
        sub_region=country.sub_region,
        latitude=latitude,
        longitude=longitude,
        distance_km=kilometres,
        location_plausible=None if kilometres is None else kilometres <= country.reach_km,
        timezone=texts["location.timezone.description"],
        utc_offset_minutes=parse_offset_minutes(texts["location.timezone.offset"]),
        born_at=born,
        age=age,
        age_band=find_age_band(age),
        generation=find_generation(born.year),
        registered_at=registered,
        registered_year=registered.year,
        registered_month=f"{registered.year:04}-{registered.month:02}",
        tenure_days=(envelope.event_time - registered) // timedelta(days=1),
        picture_url=picture if picture and re.match("https?://", picture) and " " not in picture else None,
    )
