"""The rules once more, in plain Python, one record at a time: what `insights.stream` must agree with.

Written from the rules' text (`insights.rules`, `insights.record`), not from their Spark columns, and slow on purpose.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from insights.model.countries import load_countries
from insights.model.reasons import Reason
from insights.model.user import User
from tests.helpers.oracle.cleanse import MANDATORY, looks_structured, texts
from tests.helpers.oracle.document import Refused, Rejected, document
from tests.helpers.oracle.values import (
    EPOCH,
    age_band,
    distance,
    generation,
    instant,
    is_email,
    number,
    offset,
    telephone,
    years,
)


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
    """The user in a message, or the first rule it breaks."""
    try:
        return _user(message, envelope(message))
    except Refused as refused:
        return refused.verdict


def _user(message: Message, about: Envelope) -> User:
    found = texts(document(message.value))
    for field in MANDATORY:
        if looks_structured(found[field]):
            raise Refused(Reason.SCHEMA, field)
    user_id = found["login.uuid"]
    if user_id is None or not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user_id):
        raise Refused(Reason.MISSING_ID, "login.uuid")
    if message.key is None or message.key.decode("utf-8", "replace").strip(" ").lower() != user_id:
        raise Refused(Reason.BAD_KEY, "key")
    for field in MANDATORY:
        if found[field] is None:
            raise Refused(Reason.MISSING_FIELD, field)
    known = load_countries().get(found["nat"] or "")
    if known is None:
        raise Refused(Reason.UNKNOWN_COUNTRY, "nat")
    if found["gender"] not in ("female", "male"):
        raise Refused(Reason.BAD_GENDER, "gender")
    email = found["email"] or ""
    if not is_email(email):
        raise Refused(Reason.BAD_EMAIL, "email")
    dates = {field: instant(found[field] or "") for field in ("dob", "registered")}
    for field, date in dates.items():
        if date is None:
            raise Refused(Reason.BAD_DATE, field)
    born, registered = dates["dob"], dates["registered"]
    assert born is not None
    assert registered is not None
    for field, date in (("dob", born), ("registered", registered)):
        if date > about.event_time:
            raise Refused(Reason.FUTURE_DATE, field)
    latitude = number(found["location.coordinates.latitude"])
    longitude = number(found["location.coordinates.longitude"])
    if latitude is not None and not -90 <= latitude <= 90:
        raise Refused(Reason.OUT_OF_RANGE, "location.coordinates.latitude")
    if longitude is not None and not -180 <= longitude <= 180:
        raise Refused(Reason.OUT_OF_RANGE, "location.coordinates.longitude")
    age = years(born, about.event_time)
    if age > 130:
        raise Refused(Reason.OUT_OF_RANGE, "dob")
    if registered < born:
        raise Refused(Reason.OUT_OF_RANGE, "registered")
    kilometres = None
    if latitude is not None and longitude is not None:
        kilometres = distance(latitude, longitude, known)
    phone, phone_valid = telephone(found["phone"], known.code)
    cell, cell_valid = telephone(found["cell"], known.code)
    street, city, state = (found[f"location.{name}"] for name in ("street", "city", "state"))
    postcode = found["location.postcode"]
    place = " ".join(part for part in (postcode, city) if part)
    picture = found["picture.large"]
    return User(
        user_id=UUID(user_id),
        version=about.version,
        event_id=about.event_id,
        event_time=about.event_time,
        batch_id=about.batch_id,
        gender=found["gender"] or "",
        title=found["name.title"],
        first_name=found["name.first"] or "",
        last_name=found["name.last"] or "",
        full_name=f"{found['name.first']} {found['name.last']}",
        username=found["login.username"],
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
        distance_km=kilometres,
        location_plausible=None if kilometres is None else kilometres <= known.reach_km,
        timezone=found["location.timezone.description"],
        utc_offset_minutes=offset(found["location.timezone.offset"]),
        born_at=born,
        age=age,
        age_band=age_band(age),
        generation=generation(born.year),
        registered_at=registered,
        registered_year=registered.year,
        registered_month=f"{registered.year:04}-{registered.month:02}",
        tenure_days=(about.event_time - registered) // timedelta(days=1),
        picture_url=picture if picture and re.match("https?://", picture) and " " not in picture else None,
    )
