"""The catalogue of rules that reject a record, used by the stream, the dashboard and the documentation."""

from enum import Enum, StrEnum

from insights.model.user import MANDATORY, to_dotted_path

MAX_AGE_YEARS = 130
"""The longest documented human life is 122 years."""
MAX_DEPTH = 32
"""The most objects and arrays inside each other, the record included. Records of the API have 3."""
MAX_LENGTHS = {
    "name__title": 50,
    "name__first": 250,
    "name__last": 250,
    "location__street": 250,
    "location__city": 200,
    "location__state": 200,
    "location__postcode": 50,
    "location__timezone__description": 250,
    "email": 254,
    "login__username": 100,
    "phone": 50,
    "cell": 50,
    "picture__large": 2048,
}
"""The longest cleansed text in characters, of each field of `RawUser` that is stored as text: generous for people, and
at 4 bytes a character within every store's limit. The tightest is PostgreSQL's B-tree (2,704 bytes), which holds each
dimension's value. 254 is the path of RFC 5321 without its angle brackets, 2,048 the length that every browser opens."""


class Reason(StrEnum):
    """Why a record is in quarantine, in the order in which the rules are tried."""

    TOO_LARGE = "TOO_LARGE"
    ENCODING = "ENCODING"
    SCHEMA = "SCHEMA"
    MISSING_ID = "MISSING_ID"
    BAD_KEY = "BAD_KEY"
    MISSING_FIELD = "MISSING_FIELD"
    TOO_LONG = "TOO_LONG"
    UNKNOWN_COUNTRY = "UNKNOWN_COUNTRY"
    BAD_GENDER = "BAD_GENDER"
    BAD_EMAIL = "BAD_EMAIL"
    BAD_DATE = "BAD_DATE"
    FUTURE_DATE = "FUTURE_DATE"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    SINK_REFUSED = "SINK_REFUSED"


_VALUE = ("value",)
_MANDATORY = tuple(to_dotted_path(name) for name in MANDATORY)
_DATES = ("dob", "registered")
SINKS = ("PostgreSQL", "Cassandra")
_LENGTHS = ", ".join(f"`{to_dotted_path(name)}` {length:,}" for name, length in MAX_LENGTHS.items())


class Rule(Enum):
    """Every rule that rejects a record, in evaluation order. Only the first one that a record breaks is recorded.

    `insights.stream.rules` holds the condition of each rule for each of its fields.
    """

    VALUE_TOO_LARGE = (
        Reason.TOO_LARGE,
        _VALUE,
        "The value is larger than {limit} bytes.",
        "The limit is `INSIGHTS_KAFKA_MAX_MESSAGE_BYTES`. The publisher rejects a staged row that exceeds the topic's"
        " limit and records no field for it. Only the size and the SHA-256 digest of the payload are kept.",
    )
    NOT_UTF8 = (Reason.ENCODING, _VALUE, "The value is not UTF-8.")
    NUL_CHARACTER = (Reason.ENCODING, _VALUE, "The value contains U+0000.")
    BAD_ESCAPE = (Reason.ENCODING, _VALUE, "The value contains U+0000 or an unpaired surrogate as an escape.")
    NO_VALUE = (Reason.SCHEMA, _VALUE, "The message has no value (a tombstone).")
    NOT_A_RECORD = (
        Reason.SCHEMA,
        _VALUE,
        "The value is not one JSON object of the record's shape.",
        "No object may repeat a key. `name`, `location`, its `coordinates` and `timezone`, `login` and `picture` are"
        f" objects, null or absent. There are at most {MAX_DEPTH} levels of objects and arrays.",
    )
    NOT_TEXT = (Reason.SCHEMA, _MANDATORY, "The value is an object or array instead of text.")
    NO_ID = (Reason.MISSING_ID, ("login.uuid",), "The record has no id.")
    ID_NOT_UUID = (Reason.MISSING_ID, ("login.uuid",), "The id is not a UUID.")
    KEY_NOT_ID = (Reason.BAD_KEY, ("key",), "The message key is not the record's login.uuid.")
    ABSENT = (Reason.MISSING_FIELD, _MANDATORY, "The field is absent or blank.")
    TEXT_TOO_LONG = (
        Reason.TOO_LONG,
        tuple(to_dotted_path(name) for name in MAX_LENGTHS),
        "The text has more than {limit} characters.",
        f"Counted after cleansing. The limits: {_LENGTHS}. An optional text that is too long rejects the record too,"
        " because to leave it out or to cut it would lose what the source sent.",
    )
    UNKNOWN_NATIONALITY = (
        Reason.UNKNOWN_COUNTRY,
        ("nat",),
        "The value is not a nationality of the Random User API.",
        "The API has 21 nationalities.",
    )
    UNKNOWN_GENDER = (Reason.BAD_GENDER, ("gender",), "The value is neither female nor male.")
    NOT_AN_EMAIL = (
        Reason.BAD_EMAIL,
        ("email",),
        "The value is not an e-mail address.",
        "An address has dot-separated words of at most 64 characters in all, an `@`, and a domain name of at least two"
        " labels whose last label is not a number. Letters of any script are allowed.",
    )
    NOT_A_DATE = (
        Reason.BAD_DATE,
        _DATES,
        "The value is not a date in UTC.",
        "A date is `YYYY-MM-DDTHH:MM:SS[.fraction][Z]`, with `T` or a space, or a number of seconds since 1970.",
    )
    AFTER_FETCH = (
        Reason.FUTURE_DATE,
        _DATES,
        "The date is after the record was fetched.",
        "The record was fetched at `event_time`.",
    )
    LATITUDE_OUT_OF_RANGE = (
        Reason.OUT_OF_RANGE,
        ("location.coordinates.latitude",),
        "The latitude is beyond 90 degrees.",
    )
    LONGITUDE_OUT_OF_RANGE = (
        Reason.OUT_OF_RANGE,
        ("location.coordinates.longitude",),
        "The longitude is beyond 180 degrees.",
    )
    TOO_OLD = (Reason.OUT_OF_RANGE, ("dob",), f"The age would be over {MAX_AGE_YEARS} years.")
    REGISTERED_BEFORE_BIRTH = (Reason.OUT_OF_RANGE, ("registered",), "The registration is before the birth.")
    REFUSED_BY_SINK = (
        Reason.SINK_REFUSED,
        SINKS,
        "{words}",
        "The record breaks no rule, but the store that is named as the field refuses it, for example because of a"
        " constraint that an operator added. The detail has the store's own words. Nothing of the record is delivered;"
        " an earlier record of the same user stays. Re-drive it once the store takes it.",
    )

    def __init__(self, reason: Reason, fields: tuple[str, ...], detail: str, explanation: str = "") -> None:
        self.reason = reason
        self.fields = fields
        """Paths in the raw record. `value` is the message's value as a whole, `key` its key."""
        self.detail = detail
        """The sentence recorded with the rejected record. `{limit}` stands for the limit of the field, `{words}` for
        those of a store."""
        self.explanation = explanation
        """Further explanation for readers, in Markdown."""
