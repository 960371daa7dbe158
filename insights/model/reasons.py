"""What each reason refuses, field by field, in the order in which rules are tried: for the pages and the documents."""

from enum import StrEnum
from typing import NamedTuple

from insights.model.user import MANDATORY


class Reason(StrEnum):
    """Why a record is in quarantine; `insights.reasons` says what each refuses.

    The order is the order in which rules are tried: the first that fails names it.
    """

    TOO_LARGE = "TOO_LARGE"
    ENCODING = "ENCODING"
    SCHEMA = "SCHEMA"
    MISSING_ID = "MISSING_ID"
    BAD_KEY = "BAD_KEY"
    MISSING_FIELD = "MISSING_FIELD"
    UNKNOWN_COUNTRY = "UNKNOWN_COUNTRY"
    BAD_GENDER = "BAD_GENDER"
    BAD_EMAIL = "BAD_EMAIL"
    BAD_DATE = "BAD_DATE"
    FUTURE_DATE = "FUTURE_DATE"
    OUT_OF_RANGE = "OUT_OF_RANGE"


class Rule(NamedTuple):
    """`refuses` is Markdown. `fields` are paths in the raw record, `value` is the message as a whole, `key` its key."""

    reason: Reason
    fields: tuple[str, ...]
    refuses: str


_MANDATORY = tuple(name.replace("__", ".") for name in MANDATORY)

RULES = (
    Rule(
        Reason.TOO_LARGE,
        ("value",),
        "a value larger than `INSIGHTS_KAFKA_MAX_MESSAGE_BYTES`. The publisher refuses a staged row that the topic does"
        " not admit, and names no field. The payload is not kept, its size and SHA-256 are",
    ),
    Rule(
        Reason.ENCODING,
        ("value",),
        "bytes that are not UTF-8; U+0000, also as an escape; half a surrogate pair as an escape",
    ),
    Rule(
        Reason.SCHEMA,
        ("value",),
        "no value (a tombstone); not one JSON object; a key twice in one object; something else where an object"
        " belongs: `name`, `location`, its `coordinates` and `timezone`, `login`, `picture`",
    ),
    Rule(Reason.SCHEMA, _MANDATORY, "an object or array where text belongs"),
    Rule(Reason.MISSING_ID, ("login.uuid",), "absent, or not a UUID"),
    Rule(Reason.BAD_KEY, ("key",), "the message's key is not its `login.uuid`"),
    Rule(Reason.MISSING_FIELD, _MANDATORY, "absent or blank"),
    Rule(Reason.UNKNOWN_COUNTRY, ("nat",), "not one of the API's 21 nationalities"),
    Rule(Reason.BAD_GENDER, ("gender",), "neither `female` nor `male`"),
    Rule(
        Reason.BAD_EMAIL,
        ("email",),
        "not an address: dotted words, at most 64 characters before the `@`, a domain name of two labels or more of"
        " which the last is no number, at most 254 characters in all. Letters of any script are admitted",
    ),
    Rule(
        Reason.BAD_DATE,
        ("dob", "registered"),
        "no date: neither `YYYY-MM-DDTHH:MM:SS[.fraction][Z]`, with `T` or a space, nor seconds since 1970",
    ),
    Rule(Reason.FUTURE_DATE, ("dob", "registered"), "after the record was fetched (`event_time`)"),
    Rule(
        Reason.OUT_OF_RANGE,
        ("location.coordinates.latitude", "location.coordinates.longitude"),
        "beyond 90 and 180 degrees",
    ),
    Rule(Reason.OUT_OF_RANGE, ("dob",), "an age over 130 years"),
    Rule(Reason.OUT_OF_RANGE, ("registered",), "before the birth"),
)
