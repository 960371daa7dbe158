"""Messages of the raw topic in, served users and refused records out: columns only, no session and no I/O.

The value is parsed once. Spark alone would let three kinds of bad JSON through, so:
 * the value is parsed inside an object and checked inside an array, which between them no text after its end survives;
 * the check (`try_parse_json`) also refuses a key that stands twice in one object;
 * an object or array in a field of text is copied there as JSON, which the rules look at (`rules.is_structure`).
"""

from dataclasses import fields

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.credentials import CREDENTIAL_MASK, CREDENTIAL_PATTERN
from insights.model.message import BATCH_ID, EVENT_ID, EVENT_ID_FORMAT, EVENT_TIME, REDRIVES, VERSION
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.schema import USER_FIELDS, build_raw_spark_ddl
from insights.stream import rules
from insights.stream.rules import Violation

LARGEST_VALUE = 1_048_588
"""Kafka's own default of `max.message.bytes`; a value larger than the topic takes is refused unread."""
SPARK_CONF = {"spark.sql.codegen.hugeMethodLimit": "8000", "spark.sql.ansi.enabled": "false"}
"""What a session should set. HotSpot never compiles a method of more than 8,000 bytes, and the rules as one stage make
such methods: above this limit Spark splits the code instead, which took a third off the CPU time. In ANSI mode an
overflow that nobody foresaw would end the stream."""
QUARANTINED_FIELDS = tuple(field.name for field in fields(QuarantineRecord))

_REFUSED = "refused"
_CORRUPT = "corrupt"
_WRAPPED = f"record STRUCT<{build_raw_spark_ddl()}>, {_CORRUPT} STRING"
_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _CORRUPT,
    "allowNonNumericNumbers": "false",
    "allowSingleQuotes": "false",
}
_BAD_ESCAPE = (
    r"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)
_VERSION_FORMAT = "[0-9]{1,18}"
"""Microseconds until the year 33658: a version to which one can always be added."""
_LAST_MILLISECOND = 253_402_300_799_999


def transform_messages(messages: DataFrame, largest_value: int = LARGEST_VALUE) -> DataFrame:
    """Every Kafka source row, read with `includeHeaders`, once: the user's fields, what quarantine needs, and
    `refused`, null or the rule it broke. Keep this frame to take both `select_accepted` and `select_rejected` from it.
    """
    return _verdict(_typed(_standard(_parsed(_envelope(messages, largest_value)))))


def select_accepted(judged: DataFrame) -> DataFrame:
    """The users among judged messages, as `schema.spark_ddl` has them."""
    return judged.where(F.col(_REFUSED).isNull()).select(*USER_FIELDS)


def select_rejected(judged: DataFrame) -> DataFrame:
    """The refused among judged messages, as `quarantine.Quarantined` has them, payload without credentials."""
    value = F.coalesce(F.col("value"), F.lit(b""))
    masked = F.regexp_replace(F.decode(F.col("value"), "ISO-8859-1"), CREDENTIAL_PATTERN, CREDENTIAL_MASK)
    columns = {
        "reason": F.col("refused.reason"),
        "field": F.col("refused.field"),
        "detail": F.col("refused.detail"),
        "size": F.octet_length(value),
        "sha256": F.sha2(value, 256),
        "payload": F.when(F.col("refused.reason") != Reason.TOO_LARGE.value, F.encode(masked, "ISO-8859-1")),
    }
    refused = judged.where(F.col(_REFUSED).isNotNull())
    return refused.select(*(columns.get(name, F.col(name)).alias(name) for name in QUARANTINED_FIELDS))


def _envelope(messages: DataFrame, largest_value: int) -> DataFrame:
    """Where the message stands, what its headers say (a malformed one says nothing), and whether its bytes are text."""
    origin = F.concat_ws("/", "topic", "partition", "offset")
    milliseconds = F.unix_millis("timestamp")
    text = F.col("value").cast("string")
    escapes = F.replace(text, F.lit("\\\\"), F.lit("  "))
    bad_escape = text.contains("\\u") & escapes.rlike(_BAD_ESCAPE)
    event_time = _header(EVENT_TIME, "[0-9]{1,15}").try_cast("bigint")
    refusal = _first(
        [
            Violation(
                Reason.TOO_LARGE,
                "value",
                f"The value is larger than {largest_value} bytes.",
                F.octet_length("value") > largest_value,
            ),
            Violation(Reason.ENCODING, "value", "The value is not UTF-8.", ~F.is_valid_utf8(text)),
            Violation(Reason.ENCODING, "value", "The value holds U+0000.", text.contains("\0")),
            Violation(
                Reason.ENCODING, "value", "The value holds U+0000 or half a surrogate pair as an escape.", bad_escape
            ),
            Violation(Reason.SCHEMA, "value", "The message has no value (a tombstone).", F.col("value").isNull()),
        ]
    )
    return messages.select(
        origin.alias("origin"),
        F.coalesce(_header(EVENT_ID, EVENT_ID_FORMAT), origin).alias("event_id"),
        F.replace(F.make_valid_utf8(F.col("key").cast("string")), F.lit("\0"), F.lit("\ufffd")).alias("key"),
        _header(BATCH_ID, r"[^\x00\n\ufffd]{1,500}").alias("batch_id"),
        F.coalesce(
            _header(VERSION, _VERSION_FORMAT).try_cast("bigint"), milliseconds * 1000 + F.col("offset") % 1000
        ).alias("version"),
        F.when(event_time <= _LAST_MILLISECOND, F.timestamp_millis(event_time))
        .otherwise(F.date_trunc("millisecond", "timestamp"))
        .alias("event_time"),
        F.coalesce(_header(REDRIVES, "[0-9]{1,4}").try_cast("int"), F.lit(0)).alias("redrives"),
        "value",
        refusal.alias("unreadable"),
    )


def _header(name: str, pattern: str) -> Column:
    """The text of the first header of this name, null where there is none or the pattern is not the whole of it."""
    text = F.get("headers.value", F.array_position("headers.key", name) - 1).cast("string")
    return F.when(text.rlike(rf"^(?:{pattern})(?![\s\S])"), text)


def _parsed(messages: DataFrame) -> DataFrame:
    text = F.col("value").cast("string")
    wrapped = F.from_json(F.concat(F.lit('{"record":'), text, F.lit("}")), _WRAPPED, _OPTIONS)
    parsed = messages.withColumn("json", F.when(F.col("unreadable").isNull(), wrapped))
    well_formed = F.col("json.record").isNotNull() & F.col(f"json.{_CORRUPT}").isNull()
    unique = F.try_parse_json(F.concat(F.lit("["), text, F.lit("]"))).isNotNull()
    shape = Violation(
        Reason.SCHEMA, "value", "The value is not one JSON object of the record's shape.", ~(well_formed & unique)
    )
    return parsed.withColumn("unreadable", F.coalesce("unreadable", _first([shape])))


def _standard(messages: DataFrame) -> DataFrame:
    """The raw fields as text, cleansed and in their letter case, as the columns of `RawUser`."""
    raw = {name: F.col(f"json.record.{rules.to_dotted_path(name)}") for name in rules.RAW_FIELDS}
    raw["location__street"] = rules.extract_street(raw["location__street"])
    raw["dob"], raw["registered"] = rules.extract_date(raw["dob"]), rules.extract_date(raw["registered"])
    frame = messages.withColumns(raw).drop("json")
    frame = frame.withColumn("untidy", rules.needs_tidying(F.concat_ws("/", *rules.RAW_FIELDS)))
    frame = frame.withColumns(
        {name: F.trim(F.when(F.col("untidy"), rules.tidy(F.col(name))).otherwise(F.col(name))) for name in raw}
    ).drop("untidy")
    frame = frame.withColumns({name: rules.drop_blank(name, F.col(name)) for name in raw})
    return frame.withColumns(rules.standardise(_columns(frame)))


def _typed(messages: DataFrame) -> DataFrame:
    """Texts with a meaning become numbers, instants and what the country says."""
    field = _columns(messages)
    first = messages.withColumns(
        {
            "born_at": rules.parse_instant(field["dob"]),
            "registered_at": rules.parse_instant(field["registered"]),
            "latitude": rules.parse_degrees(field["location__coordinates__latitude"]),
            "longitude": rules.parse_degrees(field["location__coordinates__longitude"]),
            "facts": rules.look_up_country(field["nat"]),
            "phone_number": rules.extract_national_number(field["phone"], field["nat"]),
            "cell_number": rules.extract_national_number(field["cell"], field["nat"]),
        }
    )
    return first.withColumns(
        {
            "born_on": rules.to_day(F.col("born_at")),
            "registered_on": rules.to_day(F.col("registered_at")),
            "age": rules.count_years(rules.to_day(F.col("born_at")), rules.to_day(F.col("event_time"))),
            "distance_km": rules.compute_distance_km(
                F.col("latitude"), F.col("longitude"), F.col("facts.latitude"), F.col("facts.longitude")
            ),
        }
    )


def _verdict(messages: DataFrame) -> DataFrame:
    """The columns of `User` and of `Quarantined`, with the verdict."""
    field = _columns(messages) | {"country": F.col("facts")}
    broken = rules.list_violations(field, field["key"], field["event_time"])
    place = F.concat_ws(" ", "location__postcode", "location__city")
    user = {
        "user_id": F.col("login__uuid"),
        "title": F.col("name__title"),
        "first_name": F.col("name__first"),
        "last_name": F.col("name__last"),
        "full_name": F.concat_ws(" ", "name__first", "name__last"),
        "username": F.col("login__username"),
        "email_domain": F.substring_index("email", "@", -1),
        **_telephone("phone"),
        **_telephone("cell"),
        "street": F.col("location__street"),
        "city": F.col("location__city"),
        "state": F.col("location__state"),
        "postcode": F.col("location__postcode"),
        "address": F.concat_ws(", ", "location__street", F.when(place != "", place), "location__state", "facts.name"),
        "country_code": F.col("nat"),
        "country": F.col("facts.name"),
        "continent": F.col("facts.continent"),
        "sub_region": F.col("facts.sub_region"),
        "location_plausible": F.col("distance_km") <= F.col("facts.reach_km"),
        "timezone": F.col("location__timezone__description"),
        "utc_offset_minutes": rules.parse_offset_minutes(field["location__timezone__offset"]),
        "age_band": rules.find_age_band(field["age"]),
        "generation": rules.find_generation(F.year("born_on")),
        "registered_year": F.year("registered_on"),
        "registered_month": F.substring(F.col("registered_on").cast("string"), 1, 7),
        "tenure_days": F.floor((F.unix_millis("event_time") - F.unix_millis("registered_at")) / 86_400_000).cast("int"),
        "picture_url": F.when(rules.is_web_address(F.col("picture__large")), F.col("picture__large")),
    }
    return messages.select(
        *(user.get(name, F.col(name)).alias(name) for name in USER_FIELDS),
        "origin",
        "key",
        "redrives",
        "value",
        _barrier(F.coalesce("unreadable", _first(broken))).alias(_REFUSED),
    )


def _telephone(name: str) -> dict[str, Column]:
    number = F.col(f"{name}_number")
    valid = F.coalesce(number != "", F.lit(False))
    international = F.concat(F.lit("+"), F.col("facts.calling_code"), number)
    return {name: F.when(valid, international).otherwise(F.col(name)), f"{name}_valid": valid}


def _first(tried: list[Violation]) -> Column:
    """A struct of the first rule that is broken, null when none is."""
    verdict = F.lit(None)
    for rule in reversed(tried):
        refusal = F.struct(
            F.lit(rule.reason.value).alias("reason"),
            F.lit(rule.field).alias("field"),
            F.lit(rule.detail).alias("detail"),
        )
        verdict = F.when(rule.broken, refusal).otherwise(verdict)
    return verdict


def _barrier(column: Column) -> Column:
    """The same column, as one that the optimiser takes for non-deterministic.

    Else a filter on it would move below every projection, and the work of all of them with it, once per reference.
    """
    return F.when(F.spark_partition_id() >= 0, column)


def _columns(frame: DataFrame) -> dict[str, Column]:
    return {name: F.col(name) for name in frame.columns}
