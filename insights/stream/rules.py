"""The rules that turn a raw record into a user or reject it, as Spark columns.

Only built-in functions that never raise are used: they accept any text, with ANSI mode on or off, in any session time
zone. Functions that parse and derive come first, the conditions of the rules in `insights.model.reasons` last. The
texts are cleansed by `texts`, capitalised by `letter_case`, and telephone numbers read by `telephone`.

Dates
    `YYYY-MM-DDTHH:MM:SS[.fraction][Z]`, with `T` or a space, or seconds since 1970 (API 1.0), in the years 1 to 9999,
    either bare or as the `date` of an object. Instants are UTC, truncated to the millisecond.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from string import ascii_lowercase, ascii_uppercase

from pyspark.sql import Column
from pyspark.sql import functions as F

from insights.model.age_bands import AGE_BANDS, OLDEST_BAND
from insights.model.codes import UUID_PATTERN, UUID_REPLACEMENT
from insights.model.countries import load_countries
from insights.model.credentials import KEY_HINT_PATTERN, KEY_PATTERN, TEXT_MASK, TEXT_PATTERN
from insights.model.reasons import MAX_AGE_YEARS, MAX_LENGTHS, Rule
from insights.model.telephony import load_telephony
from insights.model.user import MANDATORY, to_dotted_path

EARTH_RADIUS_KM = 6371.0088
"""The mean radius R1 of the WGS 84 ellipsoid (IUGG)."""

GENERATIONS = (
    (1928, "Greatest"),
    (1946, "Silent"),
    (1965, "Boomers"),
    (1981, "Gen X"),
    (1997, "Millennials"),
    (2013, "Gen Z"),
)
"""By year of birth, after Pew Research Center (2019). Each pair is the first year after the generation and its name."""
NEWEST_GENERATION = "Alpha"

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_ATOM = r"[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]++"
_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?"
_EMAIL = rf"^(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*+@(?:{_LABEL}\.)++(?!\p{{N}}+$){_LABEL}$"
_INSTANT = r"^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z?$"
_NUMBER = r"^[+-]?[0-9]{1,20}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?$"
_OFFSET = r"^[+-]?[0-9]{1,2}:[0-5][0-9]$"
_EPOCH = r"^-?[0-9]{1,12}$"
_BAD_ESCAPE = (
    r"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_MILLISECONDS_PER_DAY = 86_400_000

Fields = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """A rule on one of its fields, with its condition: `broken` is true for a record that breaks the rule."""

    rule: Rule
    field: str
    detail: str
    broken: Column


def standardise(fields: Fields) -> dict[str, Column]:
    """Return the fields that are not case-sensitive in lower or upper case."""
    return {
        "email": F.lower(F.replace(fields["email"], F.lit("\u0130"), F.lit("i"))),
        "gender": lower_ascii(fields["gender"]),
        "nat": upper_ascii(fields["nat"]),
    }


def lower_ascii(text: Column) -> Column:
    """Return the text with A to Z in lower case, whatever the locale of the JVM."""
    return F.when(text.rlike("[A-Z]"), F.translate(text, ascii_uppercase, ascii_lowercase)).otherwise(text)


def upper_ascii(text: Column) -> Column:
    """Return the text with a to z in upper case, whatever the locale of the JVM."""
    return F.when(text.rlike("[a-z]"), F.translate(text, ascii_lowercase, ascii_uppercase)).otherwise(text)


def normalise_uuid(text: Column) -> Column:
    """Return the canonical spelling of a UUID, and any other text unchanged."""
    canonical = lower_ascii(F.regexp_replace(text, UUID_PATTERN, UUID_REPLACEMENT))
    return F.when(text.rlike(_UUID), text).when(text.rlike(UUID_PATTERN), canonical).otherwise(text)


def names_secret(texts: Column) -> Column:
    """Return whether a text may have the key of a credential, so that most records skip `mask_secret`."""
    return texts.rlike(KEY_HINT_PATTERN) & texts.rlike(KEY_PATTERN)


def mask_secret(text: Column) -> Column:
    """Return a text that is cut off after the first key of a credential or of the national id that it contains."""
    return F.when(text.rlike(KEY_HINT_PATTERN), F.regexp_replace(text, TEXT_PATTERN, TEXT_MASK)).otherwise(text)


def parse_instant(text: Column) -> Column:
    """Return a timestamp, null if the text is not a date."""
    zoned = F.when(text.endswith("Z"), text).otherwise(F.concat(text, F.lit("Z")))
    seconds = text.try_cast("bigint")
    since_1970 = F.when(seconds.between(_FIRST_SECOND, _LAST_SECOND), F.timestamp_seconds(seconds))
    return F.when(text.rlike(_INSTANT), F.date_trunc("millisecond", zoned.try_cast("timestamp"))).when(
        text.rlike(_EPOCH), since_1970
    )


def parse_degrees(text: Column) -> Column:
    """Return a double, null if the text is not a decimal number."""
    return F.when(text.rlike(_NUMBER), text.try_cast("double"))


def is_email(address: Column) -> Column:
    """Return whether lower-case text is an address: dotted atoms of any script (RFC 6531), `@`, a domain name."""
    return address.rlike(_EMAIL)


def is_web_address(text: Column) -> Column:
    """Return whether a trimmed text is an http or https URL."""
    return (text.startswith("https://") | text.startswith("http://")) & ~text.contains(" ")


def to_day(instant: Column) -> Column:
    """Return the UTC date of an instant."""
    return F.date_from_unix_date(F.floor(F.unix_millis(instant) / _MILLISECONDS_PER_DAY).cast("int"))


def count_years(born: Column, at: Column) -> Column:
    """Return whole years between two dates. In common years, a birthday on 29 February falls on 1 March."""
    before_birthday = (F.month(at) * 100 + F.dayofmonth(at)) < (F.month(born) * 100 + F.dayofmonth(born))
    return F.year(at) - F.year(born) - before_birthday.cast("int")


def find_age_band(age: Column) -> Column:
    """Return the age band: `0-17`, `18-24`, ten years each up to `65-74`, then `75+`."""
    return _find_interval(age, AGE_BANDS, OLDEST_BAND)


def find_generation(born_year: Column) -> Column:
    """Return the generation of people born in that year."""
    return _find_interval(born_year, GENERATIONS, NEWEST_GENERATION)


def parse_offset_minutes(offset: Column) -> Column:
    """Return an offset such as `+4:30` in minutes east of UTC, null outside -12:00 to +14:00."""
    hours = F.abs(F.substring_index(offset, ":", 1).try_cast("smallint").cast("int"))
    minutes = hours * 60 + F.right(offset, F.lit(2)).try_cast("int")
    east = F.when(offset.startswith("-"), -minutes).otherwise(minutes)
    return F.when(offset.rlike(_OFFSET) & east.between(-12 * 60, 14 * 60), east)


def compute_distance_km(latitude: Column, longitude: Column, to_latitude: Column, to_longitude: Column) -> Column:
    """Return the great-circle distance between two points in degrees, by the haversine formula, to 100 m."""
    radians = [value * F.lit(pi / 180) for value in (latitude, longitude, to_latitude, to_longitude)]
    haversine = F.pow(F.sin((radians[2] - radians[0]) / 2), F.lit(2)) + F.cos(radians[0]) * F.cos(radians[2]) * F.pow(
        F.sin((radians[3] - radians[1]) / 2), F.lit(2)
    )
    kilometres = 2 * EARTH_RADIUS_KM * F.asin(F.when(haversine > 1, 1.0).otherwise(F.sqrt(haversine)))
    return F.floor(kilometres * 10 + 0.5).cast("double") / 10


def look_up_country(nationality: Column) -> Column:
    """Return a struct of the country's facts, null for a text that is not a nationality of the API."""
    entries: list[Column] = []
    for code, country in load_countries().items():
        values = {
            "name": country.name,
            "continent": country.continent,
            "sub_region": country.sub_region,
            "latitude": country.latitude,
            "longitude": country.longitude,
            "reach_km": country.reach_km,
            "calling_code": load_telephony(code).calling_code,
        }
        entries += [F.lit(code), F.struct(*(F.lit(value).alias(name) for name, value in values.items()))]
    return F.try_element_at(F.create_map(*entries), nationality)


def is_too_large(value: Column, max_bytes: int) -> Column:
    """Return whether a value is over the limit, null if there is no value."""
    return F.octet_length(value) > max_bytes


def list_value_checks(value: Column, max_bytes: int) -> list[RuleCheck]:
    """Return the rules on the bytes of a message, in the order in which they are tried."""
    text = value.cast("string")
    without_escaped_backslashes = F.replace(text, F.lit("\\\\"), F.lit("  "))
    conditions = {
        Rule.VALUE_TOO_LARGE: [is_too_large(value, max_bytes)],
        Rule.NOT_UTF8: [~F.is_valid_utf8(text)],
        Rule.NUL_CHARACTER: [text.contains("\0")],
        Rule.BAD_ESCAPE: [text.contains("\\u") & without_escaped_backslashes.rlike(_BAD_ESCAPE)],
        Rule.NO_VALUE: [value.isNull()],
    }
    return _pair_with_rules(conditions, {"value": max_bytes})


def list_shape_checks(variant: Column, record: Column, corrupt: Column) -> list[RuleCheck]:
    """Return the rules on the shape of a message.

    `record` and `corrupt` are the results of `from_json`, `variant` is that of `try_parse_json`, which also rejects
    repeated keys.
    """
    parsed = record.isNotNull() & corrupt.isNull()
    return _pair_with_rules({Rule.NOT_A_RECORD: [~(parsed & variant.isNotNull())]})


def list_record_checks(fields: Fields, key: Column, event_time: Column) -> list[RuleCheck]:
    """Return the rules on a parsed record, in the order in which they are tried.

    `fields` holds the standardised texts, and `born_at`, `registered_at`, `latitude`, `longitude`, `country`, `age`,
    and in `structure` the path of the first mandatory field that is an object or array, or null.
    """
    user_id, born_at, registered_at = fields["login__uuid"], fields["born_at"], fields["registered_at"]
    return _pair_with_rules(
        {
            Rule.NOT_TEXT: [fields["structure"] == to_dotted_path(name) for name in MANDATORY],
            Rule.NO_ID: [user_id.isNull()],
            Rule.ID_NOT_UUID: [~user_id.rlike(_UUID)],
            Rule.KEY_NOT_ID: [~(key.eqNullSafe(user_id) | normalise_uuid(key).eqNullSafe(user_id))],
            Rule.ABSENT: [fields[name].isNull() for name in MANDATORY],
            Rule.TEXT_TOO_LONG: [F.char_length(fields[name]) > length for name, length in MAX_LENGTHS.items()],
            Rule.UNKNOWN_NATIONALITY: [fields["country"].isNull()],
            Rule.UNKNOWN_GENDER: [~fields["gender"].isin("female", "male")],
            Rule.NOT_AN_EMAIL: [~is_email(fields["email"])],
            Rule.NOT_A_DATE: [born_at.isNull(), registered_at.isNull()],
            Rule.AFTER_FETCH: [born_at > event_time, registered_at > event_time],
            Rule.LATITUDE_OUT_OF_RANGE: [F.abs(fields["latitude"]) > 90],
            Rule.LONGITUDE_OUT_OF_RANGE: [F.abs(fields["longitude"]) > 180],
            Rule.TOO_OLD: [fields["age"] > MAX_AGE_YEARS],
            Rule.REGISTERED_BEFORE_BIRTH: [registered_at < born_at],
        },
        {to_dotted_path(name): length for name, length in MAX_LENGTHS.items()},
    )


def _pair_with_rules(
    conditions: Mapping[Rule, Sequence[Column]], limits: Mapping[str, int] | None = None
) -> list[RuleCheck]:
    """Return the checks in the order of the catalogue, given one condition for each field of each rule.

    `limits` has the limit by field, for the details that name it.
    """
    return [
        RuleCheck(rule, field, rule.detail.format(limit=(limits or {}).get(field)), broken)
        for rule in Rule
        if rule in conditions
        for field, broken in zip(rule.fields, conditions[rule], strict=True)
    ]


def _find_interval(value: Column, limits: tuple[tuple[int, str], ...], last: str) -> Column:
    """Return the name of the first limit that is greater than the value, else `last`."""
    result = F.lit(last)
    for limit, name in reversed(limits):
        result = F.when(value < limit, name).otherwise(result)
    return result
