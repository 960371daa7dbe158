"""Transform messages of the raw topic into users and quarantine records: columns only, no session and no I/O.

A value in the usual form is read by `usual_form`, any other is parsed as JSON, once. Spark's parser alone accepts three
kinds of bad JSON, which are rejected as follows:
 * Text after the end of the value: the value is parsed inside an object and validated inside an array, and no such text
   passes both.
 * A repeated key in one object: the validation (`try_parse_json`) rejects it.
 * An object or array in a text field: `from_json` copies it as JSON text, and `try_parse_json` keeps its type.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.message import BATCH_ID, EVENT_ID, EVENT_ID_FORMAT, EVENT_TIME, REDRIVES, VERSION
from insights.model.quarantine import QuarantineRecord, Refusal
from insights.model.reasons import MAX_DEPTH, Reason
from insights.model.schema import ACCEPTED_FIELDS, build_raw_spark_ddl
from insights.model.user import MANDATORY, to_dotted_path
from insights.stream import letter_case, rules, telephone, texts, usual_form
from insights.stream.rules import RuleCheck
from insights.stream.text_fields import RAW_FIELDS, change_texts, read_texts, replace_texts

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

    The result is for `select_outcomes`, `select_rejected` and `select_refused`: the structs `message`, `user`, and
    `rejection`, the rule that the message breaks, of which one of the last two is null. Persist it before taking more
    than one selection from it.
    """
    envelopes = _read_envelope(messages, max_value_bytes)
    return _build_user(_derive_values(_cleanse(_parse_value(envelopes, max_value_bytes))))


def select_outcomes(transformed: DataFrame, max_payload_bytes: int) -> DataFrame:
    """Select what became of each message, in two structs of which one is null.

    `accepted` is the user, in the columns of `schema.build_spark_ddl`, followed by `origin` and `unversioned`. The
    version of a message that is `unversioned` is only its timestamp; the merge orders such messages by offset.
    `rejected` has the fields of `select_rejected`, without a payload larger than `max_payload_bytes`.
    """
    columns = _get_quarantine_columns()
    columns["payload"] = F.when(F.octet_length("value") <= max_payload_bytes, F.col("value"))
    return transformed.select(
        F.col("user").alias("accepted"), _pack(F.col(_REJECTION).isNotNull(), columns).alias("rejected")
    )


def select_rejected(transformed: DataFrame) -> DataFrame:
    """Select the rejected records, in the fields of `QuarantineRecord`, which removes credentials from the payload."""
    return _select_quarantine(transformed.where(F.col(_REJECTION).isNotNull()), {})


def select_refused(transformed: DataFrame, refusals: Mapping[str, Refusal]) -> DataFrame:
    """Select the accepted records that a sink refuses, given by origin, like rejected records with `SINK_REFUSED`.

    The field names the store; the key is the user id, and the version the one that the record had in the store.
    """
    rows = [(origin, *refusal) for origin, refusal in refusals.items()]
    schema = "origin STRING, store STRING, words STRING, stored_version BIGINT"
    refused = F.broadcast(transformed.sparkSession.createDataFrame(rows, schema))
    return _select_quarantine(
        transformed.join(refused, F.col("message.origin") == F.col("origin")),
        {
            "reason": F.lit(Reason.SINK_REFUSED.value),
            "field": F.col("store"),
            "detail": F.col("words"),
            "version": F.col("stored_version"),
            "key": F.col("user.user_id"),
        },
    )


def _select_quarantine(transformed: DataFrame, changed: dict[str, Column]) -> DataFrame:
    columns = _get_quarantine_columns() | changed
    return transformed.select(*(column.alias(name) for name, column in columns.items()))


def _pack(present: Column, columns: Mapping[str, Column]) -> Column:
    """Return a struct of the columns, or null if not `present`. PyArrow requires that its fields may be null too."""
    return F.when(present, F.struct(*(F.when(present, column).alias(name) for name, column in columns.items())))


def _get_quarantine_columns() -> dict[str, Column]:
    columns = {
        "reason": F.col("rejection.reason"),
        "field": F.col("rejection.field"),
        "detail": F.col("rejection.detail"),
        "sha256": F.coalesce(F.col("message.sha256"), F.sha2(F.coalesce(F.col("value"), F.lit(b"")), 256)),
        "payload": F.col("value"),
    }
    return {name: columns.get(name, F.col(f"message.{name}")) for name in QUARANTINED_FIELDS}


def _read_envelope(messages: DataFrame, max_value_bytes: int) -> DataFrame:
    """Read coordinates and headers into the struct `message`, ignoring malformed headers."""
    origin = F.concat_ws("/", "topic", "partition", "offset")
    key, value = F.substr("key", F.lit(1), F.lit(_MAX_KEY_BYTES)), F.col("value")
    version = _read_number(VERSION, _VERSION_FORMAT, "bigint")
    event_time = _read_number(EVENT_TIME, "[0-9]{1,15}", "bigint")
    fields = {
        "origin": origin,
        "event_id": F.coalesce(_read_header(EVENT_ID, EVENT_ID_FORMAT), origin),
        "key": F.replace(F.make_valid_utf8(key.cast("string")), F.lit("\0"), F.lit("\ufffd")),
        "batch_id": rules.mask_secret(_read_header(BATCH_ID, _BATCH_ID_FORMAT)),
        "version": F.coalesce(version, F.unix_millis("timestamp") * 1000),
        "unversioned": version.isNull(),
        "event_time": F.when(event_time <= _LAST_MILLISECOND, F.timestamp_millis(event_time)).otherwise(
            F.date_trunc("millisecond", "timestamp")
        ),
        "redrives": F.coalesce(_read_number(REDRIVES, "[0-9]{1,4}", "int"), F.lit(0)),
        "size": F.coalesce(F.octet_length(value), F.lit(0)),
        "sha256": F.when(rules.is_too_large(value, max_value_bytes), F.sha2(value, 256)),
    }
    return messages.select(F.struct(*(column.alias(name) for name, column in fields.items())).alias("message"), value)


def _read_header(name: str, pattern: str) -> Column:
    """Return the text of the first header of this name, null if there is none or it does not match the pattern."""
    text = _find_header(name)
    return F.when(text.rlike(rf"^(?:{pattern})(?![\s\S])"), text)


def _read_number(name: str, pattern: str, kind: str) -> Column:
    """Return the number in the first header of this name, null if there is none or it does not match the pattern."""
    return F.regexp_extract(_find_header(name), rf"^(?:{pattern})(?![\s\S])", 0).try_cast(kind)


def _find_header(name: str) -> Column:
    return F.get("headers.value", F.array_position("headers.key", name) - 1).cast("string")


def _parse_value(messages: DataFrame, max_value_bytes: int) -> DataFrame:
    """Parse the value into the struct `texts`, and apply the rules on its bytes and its shape.

    A message in the usual form breaks none of these rules.
    """
    value, text = F.col("value"), F.col("value").cast("string")
    too_large = rules.is_too_large(value, max_value_bytes)
    frame = messages.withColumn("marked", F.when(~too_large & F.is_valid_utf8(text), usual_form.mark_texts(text)))
    is_usual = F.coalesce(F.col("marked") != text, F.lit(False))
    unreadable = F.when(~is_usual, _find_first(rules.list_value_checks(value, max_value_bytes)))
    frame = frame.withColumns(
        {
            "unreadable": unreadable,
            "usual": F.when(is_usual, usual_form.split_texts(F.col("marked"))),
            "value": F.when(~too_large, value),  # Every later step copies it.
        }
    ).drop("marked")
    return _read_texts(_parse_json(frame))


def _parse_json(messages: DataFrame) -> DataFrame:
    """Parse values that are not in the usual form, unless a rule has rejected them."""
    text, unread = F.col("value").cast("string"), F.col("usual").isNull() & F.col("unreadable").isNull()
    wrapped = F.from_json(F.concat(F.lit('{"record":'), text, F.lit("}")), _WRAPPED, _OPTIONS)
    frame = messages.withColumn("json", F.when(unread, wrapped)).withColumn(
        "variant",
        F.when(
            F.col("json.record").isNotNull() & F.col(f"json.{_CORRUPT}").isNull(),
            F.try_parse_json(F.concat(F.lit("["), text, F.lit("]"))),
        ),
    )
    checks = rules.list_shape_checks(F.col("variant"), F.col("json.record"), F.col(f"json.{_CORRUPT}"))
    return frame.withColumn("unreadable", F.when(unread, _find_first(checks)).otherwise(F.col("unreadable")))


def _read_texts(messages: DataFrame) -> DataFrame:
    """Add the struct `texts`, and in `structure` the first mandatory field that is an object or array."""
    variant = F.col("variant")
    read = {name: F.col(f"json.record.{to_dotted_path(name)}") for name in RAW_FIELDS}
    structures = {name: texts.is_structure(text, variant, to_dotted_path(name)) for name, text in read.items()}
    for name in ("dob", "registered"):
        read[name], structures[name] = texts.extract_date(read[name], variant, name)
    present = {name: text if name in MANDATORY else F.when(~structures[name], text) for name, text in read.items()}
    present["location__street"] = texts.extract_street(read["location__street"], variant)
    usual = F.col("usual").isNotNull()
    first = F.coalesce(*(F.when(structures[name], to_dotted_path(name)) for name in MANDATORY))
    fields = F.when(usual, _make_texts(usual_form.name_texts(F.col("usual")))).otherwise(_make_texts(present))
    columns = {"texts": fields, "structure": F.when(~usual, first), "is_usual": usual}
    return messages.withColumns(columns).drop("json", "variant", "usual")


def _make_texts(field: Mapping[str, Column]) -> Column:
    columns = dict(field) | {"login__uuid": rules.normalise_uuid(field["login__uuid"])}
    return F.struct(*(columns[name].alias(name) for name in RAW_FIELDS))


def _cleanse(messages: DataFrame) -> DataFrame:
    """Cleanse the texts, cut off those that name a credential as the source client does, and normalise their case."""
    needs_tidying = texts.needs_tidying(read_texts().values(), F.col("is_usual"))
    frame = change_texts(messages, needs_tidying, RAW_FIELDS, texts.tidy, texts.drop_blank).drop("is_usual")
    names_secret = rules.names_secret(_join_free_texts())
    frame = change_texts(frame, names_secret, _FREE_TEXTS, rules.mask_secret)
    return letter_case.capitalise_texts(_standardise(frame))


def _join_free_texts() -> Column:
    field = read_texts()
    url_without_scheme = F.substr(field["picture__large"], F.lit(len("https://")))
    return F.concat_ws("/", *(field[name] for name in _FREE_TEXTS[:-1]), url_without_scheme)


def _standardise(frame: DataFrame) -> DataFrame:
    field = read_texts()
    standard = rules.standardise(field)
    differs = reduce(or_, (column != field[name] for name, column in standard.items()))
    return replace_texts(frame, differs, standard)


def _derive_values(messages: DataFrame) -> DataFrame:
    """Add the numbers, instants, dates and country facts derived from the texts."""
    messages = telephone.read_dialled(messages, {name: f"texts.{name}" for name in ("phone", "cell")})
    field = read_texts()
    parsed = messages.withColumns(
        {
            "born_at": rules.parse_instant(field["dob"]),
            "registered_at": rules.parse_instant(field["registered"]),
            "latitude": rules.parse_degrees(field["location__coordinates__latitude"]),
            "longitude": rules.parse_degrees(field["location__coordinates__longitude"]),
            "facts": rules.look_up_country(field["nat"]),
            "phone_number": telephone.extract_national_number(F.col("phone_dialled"), field["nat"]),
            "cell_number": telephone.extract_national_number(F.col("cell_dialled"), field["nat"]),
        }
    ).drop("phone_dialled", "cell_dialled")
    return parsed.withColumns(
        {
            "born_on": rules.to_day(F.col("born_at")),
            "registered_on": rules.to_day(F.col("registered_at")),
            "age": rules.count_years(rules.to_day(F.col("born_at")), rules.to_day(F.col("message.event_time"))),
            "distance_km": rules.compute_distance_km(
                F.col("latitude"), F.col("longitude"), F.col("facts.latitude"), F.col("facts.longitude")
            ),
        }
    )


def _build_user(messages: DataFrame) -> DataFrame:
    """Add the first rule that the message breaks, and the struct `user` if it breaks none."""
    field = read_texts()
    derived = {name: F.col(name) for name in ("structure", "born_at", "registered_at", "latitude", "longitude", "age")}
    checks = rules.list_record_checks(
        field | derived | {"country": F.col("facts")}, F.col("message.key"), F.col("message.event_time")
    )
    frame = messages.withColumn(_REJECTION, _prevent_pushdown(F.coalesce("unreadable", _find_first(checks)))).drop(
        "unreadable", "structure"
    )
    place = F.concat_ws(" ", field["location__postcode"], field["location__city"])
    user = {
        "user_id": field["login__uuid"],
        "title": field["name__title"],
        "first_name": field["name__first"],
        "last_name": field["name__last"],
        "full_name": F.concat_ws(" ", field["name__first"], field["name__last"]),
        "username": field["login__username"],
        "email_domain": F.substring_index(field["email"], "@", -1),
        **_format_telephone("phone"),
        **_format_telephone("cell"),
        "street": field["location__street"],
        "city": field["location__city"],
        "state": field["location__state"],
        "postcode": field["location__postcode"],
        "address": F.concat_ws(
            ", ", field["location__street"], F.when(place != "", place), field["location__state"], "facts.name"
        ),
        "country_code": field["nat"],
        "country": F.col("facts.name"),
        "continent": F.col("facts.continent"),
        "sub_region": F.col("facts.sub_region"),
        "location_plausible": F.col("distance_km") <= F.col("facts.reach_km"),
        "timezone": field["location__timezone__description"],
        "utc_offset_minutes": rules.parse_offset_minutes(field["location__timezone__offset"]),
        "age_band": rules.find_age_band(F.col("age")),
        "generation": rules.find_generation(F.year("born_on")),
        "registered_year": F.year("registered_on"),
        "registered_month": F.substring(F.col("registered_on").cast("string"), 1, 7),
        "tenure_days": F.floor(
            (F.unix_millis("message.event_time") - F.unix_millis("registered_at")) / 86_400_000
        ).cast("int"),
        "picture_url": F.when(rules.is_web_address(field["picture__large"]), field["picture__large"]),
    }
    for name in ("version", "event_id", "event_time", "batch_id", "origin", "unversioned"):
        user[name] = F.col(f"message.{name}")
    columns = {name: user.get(name, field.get(name, F.col(name))) for name in ACCEPTED_FIELDS}
    accepted = _pack(F.col(_REJECTION).isNull(), columns)
    return frame.select("message", "value", accepted.alias("user"), _REJECTION)


def _format_telephone(name: str) -> dict[str, Column]:
    """Return `phone` or `cell`, in E.164 if it is valid, and whether it is."""
    number = F.col(f"{name}_number")
    valid = F.coalesce(number != "", F.lit(False))
    international = F.concat(F.lit("+"), F.col("facts.calling_code"), number)
    return {name: F.when(valid, international).otherwise(F.col(f"texts.{name}")), f"{name}_valid": valid}


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
