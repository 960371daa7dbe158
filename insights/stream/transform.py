"""Transform messages of the raw topic into users and quarantine records: columns only, no session and no I/O.

The value is parsed once. Spark's parser alone accepts three kinds of bad JSON, which are rejected as follows:
 * Text after the end of the value: the value is parsed inside an object and validated inside an array, and no such text
   passes both.
 * A repeated key in one object: the validation (`try_parse_json`) rejects it.
 * An object or array in a text field: `from_json` copies it as JSON text, and `try_parse_json` keeps its type.
"""

from collections.abc import Mapping
from dataclasses import fields

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.message import BATCH_ID, EVENT_ID, EVENT_ID_FORMAT, EVENT_TIME, REDRIVES, VERSION
from insights.model.quarantine import QuarantineRecord, Refusal
from insights.model.reasons import MAX_DEPTH, Reason
from insights.model.schema import ACCEPTED_FIELDS, USER_FIELDS, build_raw_spark_ddl
from insights.model.user import MANDATORY, to_dotted_path
from insights.stream import letter_case, rules, telephone, texts
from insights.stream.rules import RuleCheck

MAX_VALUE_BYTES = 1_048_588
"""Kafka's default of `max.message.bytes`. A larger value is rejected without being parsed."""
SPARK_CONF = {"spark.sql.codegen.hugeMethodLimit": "8000", "spark.sql.ansi.enabled": "false"}
"""Settings that the session needs. HotSpot never compiles a method of more than 8,000 bytes, and the rules generated as
one stage exceed that. Above this limit Spark generates smaller methods instead, which saved a third of the CPU time.
In ANSI mode, an unforeseen overflow would end the stream."""
QUARANTINED_FIELDS = tuple(field.name for field in fields(QuarantineRecord))

_REJECTION = "rejection"
_CORRUPT = "corrupt"
_WRAPPED = f"record STRUCT<{build_raw_spark_ddl()}>, {_CORRUPT} STRING"
_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _CORRUPT,
    "allowNonNumericNumbers": "false",
    "allowSingleQuotes": "false",
    "maxNestingDepth": str(MAX_DEPTH + 1),  # The record is wrapped in an object.
}
_FREE_TEXTS = (
    "name__title",
    "name__first",
    "name__last",
    "location__street",
    "location__city",
    "location__state",
    "location__postcode",
    "location__timezone__description",
    "email",
    "login__username",
    "phone",
    "cell",
    "picture__large",
)
"""The fields of a user that may hold any text."""
_MAX_KEY_BYTES = 1000
"""What is kept of a key; that of a user id is shorter."""
_BATCH_ID_FORMAT = r"""[^\x00\n\ufffd"'`{}\[\]]{1,500}"""
"""Without the quotes and brackets of JSON, so that a part of a record is not taken for one."""
_VERSION_FORMAT = "[0-9]{1,18}"
"""Microseconds up to the year 33658, so that adding one to a version never overflows."""
_LAST_MILLISECOND = 253_402_300_799_999


def transform_messages(messages: DataFrame, max_value_bytes: int = MAX_VALUE_BYTES) -> DataFrame:
    """Transform rows of the Kafka source, read with `includeHeaders`, one to one.

    The result has the fields of `User`, those of `QuarantineRecord`, and `rejection`: the rule that the message breaks,
    or null. Persist it before taking more than one selection from it.
    """
    envelopes = _read_envelope(messages, max_value_bytes)
    return _build_user(_derive_values(_cleanse(_parse_value(envelopes))))


def select_outcomes(transformed: DataFrame, max_payload_bytes: int) -> DataFrame:
    """Select what became of each message, in two structs of which one is null.

    `accepted` is the user, in the columns of `schema.build_spark_ddl`, followed by `origin` and `unversioned`. The
    version of a message that is `unversioned` is only its timestamp; the merge orders such messages by offset.
    `rejected` has the fields of `select_rejected`, without a payload larger than `max_payload_bytes`.
    """
    is_accepted = F.col(_REJECTION).isNull()
    columns = _get_quarantine_columns()
    columns["payload"] = F.when(F.octet_length("value") <= max_payload_bytes, F.col("value"))
    return transformed.select(
        _pack(is_accepted, {name: F.col(name) for name in ACCEPTED_FIELDS}).alias("accepted"),
        _pack(~is_accepted, columns).alias("rejected"),
    )


def select_rejected(transformed: DataFrame) -> DataFrame:
    """Select the rejected records, in the fields of `QuarantineRecord`, which removes credentials from the payload."""
    columns = [column.alias(name) for name, column in _get_quarantine_columns().items()]
    return transformed.where(F.col(_REJECTION).isNotNull()).select(*columns)


def select_refused(transformed: DataFrame, refusals: Mapping[str, Refusal]) -> DataFrame:
    """Select the accepted records that a sink refuses, given by origin, like rejected records with `SINK_REFUSED`.

    The field names the store; the key is the user id, and the version the one that the record had in the store.
    """
    rows = [(origin, *refusal) for origin, refusal in refusals.items()]
    schema = "origin STRING, store STRING, words STRING, stored_version BIGINT"
    refused = transformed.join(F.broadcast(transformed.sparkSession.createDataFrame(rows, schema)), "origin")
    rejection = F.struct(
        F.lit(Reason.SINK_REFUSED.value).alias("reason"), F.col("store").alias("field"), F.col("words").alias("detail")
    )
    return select_rejected(
        refused.withColumns({_REJECTION: rejection, "version": F.col("stored_version"), "key": F.col("user_id")})
    )


def _pack(present: Column, columns: Mapping[str, Column]) -> Column:
    """Return a struct of the columns, or null if not `present`. PyArrow requires that its fields may be null too."""
    return F.when(present, F.struct(*(F.when(present, column).alias(name) for name, column in columns.items())))


def _get_quarantine_columns() -> dict[str, Column]:
    columns = {
        "reason": F.col("rejection.reason"),
        "field": F.col("rejection.field"),
        "detail": F.col("rejection.detail"),
        "sha256": F.coalesce(F.col("sha256"), F.sha2(F.coalesce(F.col("value"), F.lit(b"")), 256)),
        "payload": F.col("value"),
    }
    return {name: columns.get(name, F.col(name)) for name in QUARANTINED_FIELDS}


def _read_envelope(messages: DataFrame, max_value_bytes: int) -> DataFrame:
    """Read coordinates and headers, ignoring malformed headers, and apply the rules on the bytes of the value."""
    origin = F.concat_ws("/", "topic", "partition", "offset")
    key, value = F.substr("key", F.lit(1), F.lit(_MAX_KEY_BYTES)), F.col("value")
    too_large = rules.is_too_large(value, max_value_bytes)
    version = _read_header(VERSION, _VERSION_FORMAT).try_cast("bigint")
    event_time = _read_header(EVENT_TIME, "[0-9]{1,15}").try_cast("bigint")
    return messages.select(
        origin.alias("origin"),
        F.coalesce(_read_header(EVENT_ID, EVENT_ID_FORMAT), origin).alias("event_id"),
        F.replace(F.make_valid_utf8(key.cast("string")), F.lit("\0"), F.lit("\ufffd")).alias("key"),
        rules.mask_secret(_read_header(BATCH_ID, _BATCH_ID_FORMAT)).alias("batch_id"),
        F.coalesce(version, F.unix_millis("timestamp") * 1000).alias("version"),
        version.isNull().alias("unversioned"),
        F.when(event_time <= _LAST_MILLISECOND, F.timestamp_millis(event_time))
        .otherwise(F.date_trunc("millisecond", "timestamp"))
        .alias("event_time"),
        F.coalesce(_read_header(REDRIVES, "[0-9]{1,4}").try_cast("int"), F.lit(0)).alias("redrives"),
        # Every later step copies the value.
        F.when(~too_large, value).alias("value"),
        F.coalesce(F.octet_length(value), F.lit(0)).alias("size"),
        F.when(too_large, F.sha2(value, 256)).alias("sha256"),
        _find_first(rules.list_value_checks(value, max_value_bytes)).alias("unreadable"),
    )


def _read_header(name: str, pattern: str) -> Column:
    """Return the text of the first header of this name, null if there is none or it does not match the pattern."""
    text = F.get("headers.value", F.array_position("headers.key", name) - 1).cast("string")
    return F.when(text.rlike(rf"^(?:{pattern})(?![\s\S])"), text)


def _parse_value(messages: DataFrame) -> DataFrame:
    """Parse the value, unless a rule has rejected it, and apply the rules on its shape."""
    text, readable = F.col("value").cast("string"), F.col("unreadable").isNull()
    wrapped = F.from_json(F.concat(F.lit('{"record":'), text, F.lit("}")), _WRAPPED, _OPTIONS)
    parsed = messages.withColumn("json", F.when(readable, wrapped)).withColumn(
        "variant",
        F.when(
            F.col("json.record").isNotNull() & F.col(f"json.{_CORRUPT}").isNull(),
            F.try_parse_json(F.concat(F.lit("["), text, F.lit("]"))),
        ),
    )
    checks = rules.list_shape_checks(F.col("variant"), F.col("json.record"), F.col(f"json.{_CORRUPT}"))
    return parsed.withColumn("unreadable", F.coalesce("unreadable", _find_first(checks)))


def _cleanse(messages: DataFrame) -> DataFrame:
    """Add the columns of `RawUser`: the raw fields as text, cleansed and case-normalised."""
    frame = _read_texts(messages)
    frame = frame.withColumn("together", F.concat_ws("/", *rules.RAW_FIELDS))
    frame = frame.withColumn("untidy", texts.needs_tidying(F.col("together")))
    frame = frame.withColumn("invisible", F.col("untidy") & texts.may_be_invisible(F.col("together"))).drop("together")
    frame = frame.withColumns(
        {
            name: F.trim(F.when(F.col("untidy"), texts.tidy(F.col(name), F.col("invisible"))).otherwise(F.col(name)))
            for name in rules.RAW_FIELDS
        }
    ).drop("untidy", "invisible")
    frame = frame.withColumns({name: texts.drop_blank(F.col(name)) for name in rules.RAW_FIELDS})
    frame = _mask_secrets(frame).withColumns(rules.standardise(_get_columns(frame)))
    return letter_case.capitalise_texts(frame)


def _mask_secrets(frame: DataFrame) -> DataFrame:
    """Cut off the texts that name a credential, as the source client does."""
    url_without_scheme = F.substr("picture__large", F.lit(len("https://")))
    together = F.concat_ws("/", *_FREE_TEXTS[:-1], url_without_scheme)
    frame = frame.withColumn("names_secret", rules.names_secret(together))
    masked = {
        name: F.when(F.col("names_secret"), rules.mask_secret(F.col(name))).otherwise(F.col(name))
        for name in _FREE_TEXTS
    }
    return frame.withColumns(masked).drop("names_secret")


def _read_texts(messages: DataFrame) -> DataFrame:
    """Add the raw fields as text, and in `structure` the first mandatory one that is an object or array."""
    variant = F.col("variant")
    read = {name: F.col(f"json.record.{to_dotted_path(name)}") for name in rules.RAW_FIELDS}
    structures = {name: texts.is_structure(text, variant, to_dotted_path(name)) for name, text in read.items()}
    for name in ("dob", "registered"):
        read[name], structures[name] = texts.extract_date(read[name], variant, name)
    read["login__uuid"] = rules.normalise_uuid(read["login__uuid"])
    present = {name: text if name in MANDATORY else F.when(~structures[name], text) for name, text in read.items()}
    present["location__street"] = texts.extract_street(read["location__street"], variant)
    first = F.coalesce(*(F.when(structures[name], to_dotted_path(name)) for name in MANDATORY))
    return messages.withColumns(present | {"structure": first}).drop("json", "variant")


def _derive_values(messages: DataFrame) -> DataFrame:
    """Add the numbers, instants, dates and country facts derived from the texts."""
    messages = telephone.read_dialled(messages, ("phone", "cell"))
    field = _get_columns(messages)
    parsed = messages.withColumns(
        {
            "born_at": rules.parse_instant(field["dob"]),
            "registered_at": rules.parse_instant(field["registered"]),
            "latitude": rules.parse_degrees(field["location__coordinates__latitude"]),
            "longitude": rules.parse_degrees(field["location__coordinates__longitude"]),
            "facts": rules.look_up_country(field["nat"]),
            "phone_number": telephone.extract_national_number(field["phone_dialled"], field["nat"]),
            "cell_number": telephone.extract_national_number(field["cell_dialled"], field["nat"]),
        }
    )
    return parsed.withColumns(
        {
            "born_on": rules.to_day(F.col("born_at")),
            "registered_on": rules.to_day(F.col("registered_at")),
            "age": rules.count_years(rules.to_day(F.col("born_at")), rules.to_day(F.col("event_time"))),
            "distance_km": rules.compute_distance_km(
                F.col("latitude"), F.col("longitude"), F.col("facts.latitude"), F.col("facts.longitude")
            ),
        }
    )


def _build_user(messages: DataFrame) -> DataFrame:
    """Select the fields of `User` and of `QuarantineRecord`, and the first rule that the message breaks."""
    field = _get_columns(messages) | {"country": F.col("facts")}
    checks = rules.list_record_checks(field, field["key"], field["event_time"])
    place = F.concat_ws(" ", "location__postcode", "location__city")
    user = {
        "user_id": F.col("login__uuid"),
        "title": F.col("name__title"),
        "first_name": F.col("name__first"),
        "last_name": F.col("name__last"),
        "full_name": F.concat_ws(" ", "name__first", "name__last"),
        "username": F.col("login__username"),
        "email_domain": F.substring_index("email", "@", -1),
        **_format_telephone("phone"),
        **_format_telephone("cell"),
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
        "unversioned",
        "key",
        "redrives",
        "value",
        "size",
        "sha256",
        _prevent_pushdown(F.coalesce("unreadable", _find_first(checks))).alias(_REJECTION),
    )


def _format_telephone(name: str) -> dict[str, Column]:
    """Return `phone` or `cell`, in E.164 if it is valid, and whether it is."""
    number = F.col(f"{name}_number")
    valid = F.coalesce(number != "", F.lit(False))
    international = F.concat(F.lit("+"), F.col("facts.calling_code"), number)
    return {name: F.when(valid, international).otherwise(F.col(name)), f"{name}_valid": valid}


def _find_first(checks: list[RuleCheck]) -> Column:
    """Return a struct of the first rule that is broken, null if none is."""
    first = F.lit(None)
    for check in reversed(checks):
        rejection = F.struct(
            F.lit(check.rule.reason.value).alias("reason"),
            F.lit(check.field).alias("field"),
            F.lit(check.detail).alias("detail"),
        )
        first = F.when(check.broken, rejection).otherwise(first)
    return first


def _prevent_pushdown(column: Column) -> Column:
    """Return the same column in a form that the optimiser considers non-deterministic.

    Otherwise a filter on it would be pushed below every projection and repeat their work for each reference.
    """
    return F.when(F.spark_partition_id() >= 0, column)


def _get_columns(frame: DataFrame) -> dict[str, Column]:
    return {name: F.col(name) for name in frame.columns}
