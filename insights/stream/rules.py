"""What makes a raw record a user: the rules that cleanse, format, enrich and refuse, as Spark columns.

Built-in functions only, and none that throws: whatever the text, with ANSI mode on or off, in any session time zone.

Cleanse
    White space (Unicode White_Space) and control characters collapse to one space, ends trimmed; text in Unicode NFC;
    a blank is an absence. An object or array where text belongs is an absence in an optional field.
Title case
    A value without a capital, or of more than three characters without a small letter, is capitalised word by word;
    a word begins after a space, hyphen, slash, full stop or bracket, or after a single letter and an apostrophe
    (O'Brien, D'Arc, but Hawke's). Mixed case stays as somebody wrote it (de Vries, McDonald), and so do abbreviations.
Telephone
    Spaces, brackets, dots, hyphens and slashes go; the national prefix, or `+` and the country's calling code, goes
    where the rest is a number of that country by libphonenumber's metadata. Anything else stays as it came.
Dates
    `YYYY-MM-DDTHH:MM:SS[.fraction][Z]`, a space for the `T`, or seconds since 1970 (API 1.0), years 1 to 9999; bare or
    as the `date` of an object. UTC, cut to the millisecond.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi

from pyspark.sql import Column
from pyspark.sql import functions as F

from insights.model.age_bands import AGE_BANDS, OLDEST_BAND
from insights.model.countries import Telephony, load_countries, load_telephony
from insights.model.reasons import Reason
from insights.model.user import MANDATORY, RawUser, read_field_types

RAW_FIELDS = tuple(read_field_types(RawUser))
EARTH_RADIUS_KM = 6371.0088
"""The mean radius R1 of WGS 84 (IUGG)."""
OLDEST_YEARS = 130
"""The longest documented life is 122 years."""
LONGEST_EMAIL = 254
"""RFC 5321's path of 256 less its angle brackets."""

GENERATIONS = (
    (1928, "Greatest"),
    (1946, "Silent"),
    (1965, "Boomers"),
    (1981, "Gen X"),
    (1997, "Millennials"),
    (2013, "Gen Z"),
)
NEWEST_GENERATION = "Alpha"
"""By year of birth, after Pew Research Center (2019); each pair holds the first year of the next one."""

_TITLED = ("name__title", "name__first", "name__last", "location__street", "location__city", "location__state")
_UNTIDY = r"  |[^\x20-\x7e\xa1-\u02ff]"
"""Two spaces, or what is not known to be neither white space nor control nor, below U+0300, all composed."""
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_ATOM = r"[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]++"
_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?"
_EMAIL = rf"^(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*+@(?:{_LABEL}\.)++(?!\p{{N}}+$){_LABEL}$"
_INSTANT = r"^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z?$"
_NUMBER = r"^[+-]?[0-9]{1,20}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?$"
_OFFSET = r"^[+-]?[0-9]{1,2}:[0-5][0-9]$"
_EPOCH = r"^-?[0-9]{1,12}$"
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_BREAK = "\u0001"
_WORD_START = r"[-\u2010-\u2015/.(](?=\p{L})|(?<![\p{L}\p{M}'\u2019])\p{L}['\u2019](?=\p{L}{2})"
_MILLISECONDS_A_DAY = 86_400_000

Fields = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Violation:
    """One way to be refused. `broken` is true of a record that is."""

    reason: Reason
    field: str
    detail: str
    broken: Column


def needs_tidying(texts: Column) -> Column:
    """Whether a text may need `tidy`: one look at a record's fields together spares most records the work on each."""
    return texts.rlike(_UNTIDY)


def tidy(text: Column) -> Column:
    """White space collapsed, NFC. The latter is ICU's, which Spark ships for its collations, called by a built-in."""
    spaced = F.regexp_replace(F.coalesce(text, F.lit("")), r"[\p{IsWhite_Space}\p{Cc}]+", " ")
    return F.call_function("try_reflect", F.lit("com.ibm.icu.text.Normalizer"), F.lit("compose"), spaced, F.lit(False))


def drop_blank(name: str, text: Column) -> Column:
    """A trimmed text, null where it is blank or, in an optional field, not text."""
    return F.when(text != "" if name in MANDATORY else (text != "") & ~is_structure(text), text)


def standardise(fields: Fields) -> dict[str, Column]:
    """The letter case that each field has: title, lower, upper, or as it came."""
    standard = dict(fields)
    for name in _TITLED:
        standard[name] = to_title_case(fields[name])
    for name in ("email", "gender", "login__uuid"):
        standard[name] = F.lower(fields[name])
    standard["nat"] = F.upper(fields["nat"])
    return standard


def is_structure(text: Column) -> Column:
    """Whether the text is a JSON object or array, which `from_json` copies as text into a field declared as text."""
    return (text.startswith("{") & text.endswith("}")) | (text.startswith("[") & text.endswith("]"))


def extract_street(street: Column) -> Column:
    """`location.street`: text until API 1.2, later an object with number and name."""
    usual = r'^\{"number":([0-9]+),"name":"([^"\\]*)"\}$'
    parts = F.concat_ws(" ", F.get_json_object(street, "$.number"), F.get_json_object(street, "$.name"))
    return (
        F.when(~street.startswith("{"), street)
        .when(street.rlike(usual), F.regexp_replace(street, usual, "$1 $2"))
        .otherwise(parts)
    )


def extract_date(date: Column) -> Column:
    """`dob` and `registered`: text or a number until API 1.1, later an object whose `date` it is."""
    start = '{"date":"'
    return (
        F.when(~date.startswith("{"), date)
        .when(
            date.startswith(start) & ~date.contains("\\"),
            F.substring_index(F.substr(date, F.lit(len(start) + 1)), '"', 1),
        )
        .otherwise(F.get_json_object(date, "$.date"))
    )


def to_title_case(text: Column) -> Column:
    """See the module's text."""
    lower, upper = text == F.lower(text), text == F.upper(text)
    marked = F.regexp_replace(text, _WORD_START, f"$0{_BREAK} ")
    titled = F.replace(F.initcap(marked), F.lit(f"{_BREAK} "), F.lit(""))
    return F.when((lower & ~upper) | (upper & ~lower & (F.char_length(text) > 3)), titled).otherwise(text)


def parse_instant(text: Column) -> Column:
    """A timestamp, null where the text is no date."""
    zoned = F.when(text.endswith("Z"), text).otherwise(F.concat(text, F.lit("Z")))
    seconds = text.try_cast("bigint")
    since_1970 = F.when(seconds.between(_FIRST_SECOND, _LAST_SECOND), F.timestamp_seconds(seconds))
    return F.when(text.rlike(_INSTANT), F.date_trunc("millisecond", zoned.try_cast("timestamp"))).when(
        text.rlike(_EPOCH), since_1970
    )


def parse_degrees(text: Column) -> Column:
    """A decimal number, null where it is none."""
    return F.when(text.rlike(_NUMBER), text.try_cast("double"))


def is_email(address: Column) -> Column:
    """Whether lower-case text is an address: dotted atoms (letters of any script: RFC 6531), `@`, a domain name."""
    return (F.char_length(address) <= LONGEST_EMAIL) & address.rlike(_EMAIL)


def is_web_address(text: Column) -> Column:
    """Whether text without white space at its ends is an http or https URL."""
    return (text.startswith("https://") | text.startswith("http://")) & ~text.contains(" ")


def to_day(instant: Column) -> Column:
    """The UTC date."""
    return F.date_from_unix_date(F.floor(F.unix_millis(instant) / _MILLISECONDS_A_DAY).cast("int"))


def count_years(born: Column, at: Column) -> Column:
    """Whole years between two dates; who was born on 29 February ages on 1 March in a common year."""
    before_birthday = (F.month(at) * 100 + F.dayofmonth(at)) < (F.month(born) * 100 + F.dayofmonth(born))
    return F.year(at) - F.year(born) - before_birthday.cast("int")


def find_age_band(age: Column) -> Column:
    """`0-17`, `18-24`, ten years each to `65-74`, `75+`."""
    return _below(age, AGE_BANDS, OLDEST_BAND)


def find_generation(born_year: Column) -> Column:
    """The generation of those born in that year."""
    return _below(born_year, GENERATIONS, NEWEST_GENERATION)


def parse_offset_minutes(offset: Column) -> Column:
    """`+4:30` as minutes east of UTC, null beyond -12:00 to +14:00."""
    hours = F.abs(F.substring_index(offset, ":", 1).try_cast("smallint").cast("int"))
    minutes = hours * 60 + F.right(offset, F.lit(2)).try_cast("int")
    east = F.when(offset.startswith("-"), -minutes).otherwise(minutes)
    return F.when(offset.rlike(_OFFSET) & east.between(-12 * 60, 14 * 60), east)


def compute_distance_km(latitude: Column, longitude: Column, to_latitude: Column, to_longitude: Column) -> Column:
    """Great-circle distance between two points in degrees, by haversine, to 100 m."""
    radians = [value * F.lit(pi / 180) for value in (latitude, longitude, to_latitude, to_longitude)]
    haversine = F.pow(F.sin((radians[2] - radians[0]) / 2), F.lit(2)) + F.cos(radians[0]) * F.cos(radians[2]) * F.pow(
        F.sin((radians[3] - radians[1]) / 2), F.lit(2)
    )
    kilometres = 2 * EARTH_RADIUS_KM * F.asin(F.when(haversine > 1, 1.0).otherwise(F.sqrt(haversine)))
    return F.floor(kilometres * 10 + 0.5).cast("double") / 10


def look_up_country(nationality: Column) -> Column:
    """A struct of the country's facts, null for what is not a nationality of the API."""
    facts = []
    for code, known in load_countries().items():
        values = {
            "name": known.name,
            "continent": known.continent,
            "sub_region": known.sub_region,
            "latitude": known.latitude,
            "longitude": known.longitude,
            "reach_km": known.reach_km,
            "calling_code": load_telephony(code).calling_code,
        }
        facts += [F.lit(code), F.struct(*(F.lit(value).alias(name) for name, value in values.items()))]
    return F.try_element_at(F.create_map(*facts), nationality)


def extract_national_number(text: Column, nationality: Column) -> Column:
    """The national significant number, `""` or null where the text is not a number of that country."""
    compact = F.translate(text, " ()-./", "")
    number = F.lit(None).cast("string")
    for code in reversed(load_countries()):
        found = F.regexp_extract(compact, _telephone_pattern(load_telephony(code)), 1)
        number = F.when(nationality == code, found).otherwise(number)
    return number


def list_violations(fields: Fields, key: Column, event_time: Column) -> list[Violation]:
    """The rules on a parsed record, in the order in which they are tried.

    `fields` holds the standard texts, and `born_at`, `registered_at`, `latitude`, `longitude`, `country`, `age`.
    """
    dates = (("dob", "born_at"), ("registered", "registered_at"))
    return [
        *(
            Violation(
                Reason.SCHEMA,
                to_dotted_path(name),
                "An object or array stands where text belongs.",
                is_structure(fields[name]),
            )
            for name in MANDATORY
        ),
        Violation(Reason.MISSING_ID, "login.uuid", "The record has no id.", fields["login__uuid"].isNull()),
        Violation(Reason.MISSING_ID, "login.uuid", "The id is not a UUID.", ~fields["login__uuid"].rlike(_UUID)),
        Violation(
            Reason.BAD_KEY,
            "key",
            "The message key is not the record's login.uuid.",
            ~F.lower(F.trim(key)).eqNullSafe(fields["login__uuid"]),
        ),
        *(
            Violation(
                Reason.MISSING_FIELD, to_dotted_path(name), "The field is absent or blank.", fields[name].isNull()
            )
            for name in MANDATORY
        ),
        Violation(
            Reason.UNKNOWN_COUNTRY,
            "nat",
            "The value is not a nationality of the Random User API.",
            fields["country"].isNull(),
        ),
        Violation(
            Reason.BAD_GENDER,
            "gender",
            "The value is neither female nor male.",
            ~fields["gender"].isin("female", "male"),
        ),
        Violation(Reason.BAD_EMAIL, "email", "The value is not an e-mail address.", ~is_email(fields["email"])),
        *(
            Violation(Reason.BAD_DATE, name, "The value is not a date in UTC.", fields[instant].isNull())
            for name, instant in dates
        ),
        *(
            Violation(
                Reason.FUTURE_DATE, name, "The date is after the record was fetched.", fields[instant] > event_time
            )
            for name, instant in dates
        ),
        Violation(
            Reason.OUT_OF_RANGE,
            "location.coordinates.latitude",
            "The latitude is beyond 90 degrees.",
            F.abs(fields["latitude"]) > 90,
        ),
        Violation(
            Reason.OUT_OF_RANGE,
            "location.coordinates.longitude",
            "The longitude is beyond 180 degrees.",
            F.abs(fields["longitude"]) > 180,
        ),
        Violation(
            Reason.OUT_OF_RANGE, "dob", f"The age would be over {OLDEST_YEARS} years.", fields["age"] > OLDEST_YEARS
        ),
        Violation(
            Reason.OUT_OF_RANGE,
            "registered",
            "The registration is before the birth.",
            fields["registered_at"] < fields["born_at"],
        ),
    ]


def to_dotted_path(name: str) -> str:
    """The dotted path of a field of `RawUser`."""
    return name.replace("__", ".")


def _below(value: Column, limits: tuple[tuple[int, str], ...], last: str) -> Column:
    result = F.lit(last)
    for limit, name in reversed(limits):
        result = F.when(value < limit, name).otherwise(result)
    return result


def _telephone_pattern(rules: Telephony) -> str:
    prefix = rf"\+{rules.calling_code}" + (f"|{rules.national_prefix}" if rules.national_prefix else "")
    kinds = "|".join(f"(?:{kind})" for kind in rules.kinds)
    return rf"^(?:{prefix})?((?=(?:{rules.general})$)(?:{kinds}))$"
