"""The raw record that is read from the API and the user that every sink stores.

`insights.model.schema` derives all other schemas (JSON Schema, Spark, CQL, SQL) from these classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import get_args, get_type_hints
from uuid import NAMESPACE_URL, UUID, uuid5

from insights.model.codes import normalise_uuid

RECORD_NAMESPACE = uuid5(NAMESPACE_URL, "user-insights/record")


@dataclass(frozen=True, slots=True)
class RawUser:
    """The fields read from a raw API record, by path (`__` for a dot). All are text: API versions differ in types."""

    gender: str | None
    nat: str | None
    name__title: str | None
    name__first: str | None
    name__last: str | None
    location__street: str | None
    location__city: str | None
    location__state: str | None
    location__postcode: str | None
    location__coordinates__latitude: str | None
    location__coordinates__longitude: str | None
    location__timezone__offset: str | None
    location__timezone__description: str | None
    email: str | None
    login__uuid: str | None
    login__username: str | None
    dob: str | None
    registered: str | None
    phone: str | None
    cell: str | None
    picture__large: str | None


@dataclass(frozen=True, slots=True)
class User:
    """A cleansed, formatted and enriched user. Instants are UTC to the millisecond, which every store can represent."""

    user_id: UUID
    version: int
    """Microseconds. A newer record of the same user has a greater version. A message without a version gets that of its
    timestamp and, from the merge, one that is greater than those of the earlier messages of its partition."""
    event_id: str
    """The id of the staged row, or `topic/partition/offset` of a message from another producer."""
    event_time: datetime
    """The time at which the record was fetched."""
    batch_id: str | None
    """The page on which the record was fetched."""
    gender: str
    title: str | None
    first_name: str
    last_name: str
    full_name: str
    username: str | None
    email: str
    email_domain: str
    phone: str | None
    """E.164 if `phone_valid` is true, else the text as received."""
    phone_valid: bool
    cell: str | None
    cell_valid: bool
    street: str | None
    city: str | None
    state: str | None
    postcode: str | None
    address: str | None
    """One line: street, postcode and city, state, country."""
    country_code: str
    """ISO 3166-1 alpha-2."""
    country: str
    continent: str
    sub_region: str
    """United Nations M49 sub-region."""
    latitude: float | None
    """Degrees, -90 to 90."""
    longitude: float | None
    """Degrees, -180 to 180."""
    distance_km: float | None
    """Great-circle distance from the coordinates to the country's centroid, in kilometres."""
    location_plausible: bool | None
    """Whether that distance is within the country's reach."""
    timezone: str | None
    utc_offset_minutes: int | None
    born_at: datetime
    age: int
    """Whole years at `event_time`."""
    age_band: str
    generation: str
    registered_at: datetime
    registered_year: int
    registered_month: str
    """`YYYY-MM`."""
    tenure_days: int
    """Whole days from `registered_at` to `event_time`."""
    picture_url: str | None


DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "country_code": ("country_code",),
    "gender": ("gender",),
    "age_band": ("age_band",),
    "generation": ("generation",),
    "registered_year": ("registered_year",),
    "registered_month": ("registered_month",),
    "registered_weekday": ("registered_weekday",),
    "email_domain": ("email_domain",),
    "gender_age_band": ("gender", "age_band"),
    "country_city": ("country_code", "city"),
    "month_country": ("registered_month", "country_code"),
    "year_generation": ("registered_year", "generation"),
}
"""The dimensions by which users are counted: fields of `User` or of `schema.DERIVED_SQL`. The value of a dimension is
the field's text or, for several fields, a JSON array of texts. A changed meaning needs a new name, because a dimension
that has been counted is not counted again."""

MANDATORY = ("gender", "nat", "name__first", "name__last", "email", "dob", "registered")
"""The fields of `RawUser` that a user must have, besides `login__uuid`, which has a reason of its own."""


def read_field_types(model: type) -> dict[str, tuple[type, bool]]:
    """Return each field of `model` in its order, as (Python type, whether it may be null)."""
    hints = get_type_hints(model)
    types = {}
    for field in fields(model):
        kinds = [kind for kind in get_args(hints[field.name]) or (hints[field.name],) if kind is not type(None)]
        types[field.name] = (kinds[0], hints[field.name] is not kinds[0])
    return types


def to_dotted_path(name: str) -> str:
    """Return the dotted path of a field of `RawUser`: `name.first` for `name__first`."""
    return name.replace("__", ".")


def derive_record_key(login_uuid: object, canonical_payload: Callable[[], str]) -> UUID:
    """Return the key under which a raw record is staged and published.

    The key is `login.uuid` if that spells a UUID, else a name-based UUID of the payload, so that fetching the record
    again gives the same key. The latter never becomes a user's id: the stream rejects such a record with MISSING_ID.
    """
    if isinstance(login_uuid, str) and (canonical := normalise_uuid(login_uuid)):
        return UUID(canonical)
    return uuid5(RECORD_NAMESPACE, canonical_payload())
