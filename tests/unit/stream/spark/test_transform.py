"""Poison messages between good ones: each is rejected once for its own reason, and its neighbours are accepted."""

import hashlib
import json
import uuid
from dataclasses import fields
from datetime import UTC, datetime

import pyspark.errors.utils
import pytest
from pyspark.sql import functions as F

from insights.model import schema
from insights.model.message import RawMessage
from insights.model.quarantine import QuarantineRecord, Refusal
from insights.model.reasons import MAX_LENGTHS, Reason, Rule
from insights.model.redaction import redact
from insights.model.user import User, to_dotted_path
from insights.stream import transform
from tests.helpers.oracle import Message
from tests.helpers.raw_users import UUID, message, user, user_1_1, user_1_2

TIMESTAMP = 1_795_248_000_123


def text(**changes):
    return json.dumps(user(**changes), ensure_ascii=False)


def raw(value: str) -> bytes:
    return value.encode()


GOOD = text()
WITHOUT_END = GOOD[:-1]

POISON: dict[str, tuple[Message, Reason, str]] = {
    "a tombstone": (Message(None, UUID.encode()), Reason.SCHEMA, "value"),
    "an empty value": (message(b""), Reason.SCHEMA, "value"),
    "white space": (message(b" \n\t "), Reason.SCHEMA, "value"),
    "not JSON": (message(b"<html>502</html>"), Reason.SCHEMA, "value"),
    "a truncated object": (message(raw(WITHOUT_END)), Reason.SCHEMA, "value"),
    "an array with a user": (message(raw(f"[{GOOD}]")), Reason.SCHEMA, "value"),
    "an empty array": (message(b"[]"), Reason.SCHEMA, "value"),
    "a string": (message(b'"user"'), Reason.SCHEMA, "value"),
    "a number": (message(b"42"), Reason.SCHEMA, "value"),
    "null": (message(b"null"), Reason.SCHEMA, "value"),
    "garbage after the object": (message(raw(GOOD + " x")), Reason.SCHEMA, "value"),
    "two objects": (message(raw(GOOD + GOOD)), Reason.SCHEMA, "value"),
    "a closing bracket too many": (message(raw(GOOD + "]")), Reason.SCHEMA, "value"),
    "a closing brace too many": (message(raw(GOOD + "}")), Reason.SCHEMA, "value"),
    "another member after the object": (message(raw(GOOD + ',"x":1')), Reason.SCHEMA, "value"),
    "another element after the object": (message(raw(GOOD + ",{}")), Reason.SCHEMA, "value"),
    "the parser's own wrapper closed": (message(raw(GOOD + '},"x":{"y":1')), Reason.SCHEMA, "value"),
    "the check's own wrapper closed": (message(raw(GOOD + "],[1")), Reason.SCHEMA, "value"),
    "a trailing comma": (message(raw(WITHOUT_END + ",}")), Reason.SCHEMA, "value"),
    "single quotes": (message(b"{'gender':'female'}"), Reason.SCHEMA, "value"),
    "NaN": (message(raw(WITHOUT_END + ',"x":NaN}')), Reason.SCHEMA, "value"),
    "Infinity": (message(raw(WITHOUT_END + ',"x":-Infinity}')), Reason.SCHEMA, "value"),
    "a comment": (message(raw("/**/" + GOOD)), Reason.SCHEMA, "value"),
    "a byte order mark": (message(b"\xef\xbb\xbf" + raw(GOOD)), Reason.SCHEMA, "value"),
    "a key twice": (message(raw(WITHOUT_END + ',"gender":"male"}')), Reason.SCHEMA, "value"),
    "a nested key twice": (message(raw(WITHOUT_END + ',"x":{"a":1,"a":2}}')), Reason.SCHEMA, "value"),
    "a key twice, once escaped": (message(raw(WITHOUT_END + ',"gend\\u0065r":"male"}')), Reason.SCHEMA, "value"),
    "text for an object": (message(user(name="Ada Lovelace")), Reason.SCHEMA, "value"),
    "a number for an object": (message(user(login=5)), Reason.SCHEMA, "value"),
    "an array for an object": (message(user(location=[])), Reason.SCHEMA, "value"),
    "an object for a name": (message(user(name__first={"a": 1})), Reason.SCHEMA, "name.first"),
    "an array for a gender": (message(user(gender=["female"])), Reason.SCHEMA, "gender"),
    "an array for a date": (message(user(dob=[1984])), Reason.SCHEMA, "dob"),
    "10,000 arrays": (message(b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), Reason.SCHEMA, "value"),
    "10,000 objects": (message(b'{"x":' * 10_000 + b"1" + b"}" * 10_000), Reason.SCHEMA, "value"),
    "10,000 arrays in a field": (message(b'{"dob":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), Reason.SCHEMA, "value"),
    "an endless number": (message(b'{"x":' + b"9" * 100_000 + b"}"), Reason.SCHEMA, "value"),
    "10 MB": (message(b'{"x":"' + b"a" * 10_000_000 + b'"}'), Reason.TOO_LARGE, "value"),
    "10 MB of brackets": (message(b"[" * 10_000_000), Reason.TOO_LARGE, "value"),
    "a byte that is not UTF-8": (message(b'{"gender":"\xff"}'), Reason.ENCODING, "value"),
    "a surrogate encoded as UTF-8": (message(b'{"gender":"\xed\xa0\x80"}'), Reason.ENCODING, "value"),
    "an overlong slash": (message(b'{"gender":"\xc0\xaf"}'), Reason.ENCODING, "value"),
    "UTF-16": (message(GOOD.encode("utf-16-le")), Reason.ENCODING, "value"),
    "U+0000 as a byte": (message(raw(GOOD.replace("Lyon", "Ly\0on"))), Reason.ENCODING, "value"),
    "U+0000 as an escape": (message(raw(GOOD.replace("Lyon", "Ly\\u0000on"))), Reason.ENCODING, "value"),
    "U+0000 after a backslash": (message(raw(GOOD.replace("Lyon", "Ly\\\\\\u0000on"))), Reason.ENCODING, "value"),
    "a high surrogate alone": (message(raw(GOOD.replace("Lyon", "Ly\\ud83don"))), Reason.ENCODING, "value"),
    "a low surrogate alone": (message(raw(GOOD.replace("Lyon", "Ly\\uDE00on"))), Reason.ENCODING, "value"),
    "surrogates the wrong way round": (message(raw(GOOD.replace("Lyon", "\\ude00\\ud83d"))), Reason.ENCODING, "value"),
    "a pair with a backslash between": (
        message(raw(GOOD.replace("Lyon", "\\ud83d\\\\\\ude00"))),
        Reason.ENCODING,
        "value",
    ),
    "one low surrogate too many": (
        message(raw(GOOD.replace("Lyon", "\\ud83d\\ude00\\ude00"))),
        Reason.ENCODING,
        "value",
    ),
    "no id": (message(user_1_1(), key="0"), Reason.MISSING_ID, "login.uuid"),
    "no login": (message(user(login=...)), Reason.MISSING_ID, "login.uuid"),
    "an empty object": (message(b"{}"), Reason.MISSING_ID, "login.uuid"),
    "an id that is no UUID": (message(user(login__uuid="42")), Reason.MISSING_ID, "login.uuid"),
    "no key": (message(user(), key=None), Reason.BAD_KEY, "key"),
    "an empty key": (message(user(), key=""), Reason.BAD_KEY, "key"),
    "another user's key": (message(user(), key=UUID.replace("2", "3")), Reason.BAD_KEY, "key"),
    "a long key": (message(user(), key="é" * 600), Reason.BAD_KEY, "key"),
    "a key of arbitrary bytes": (Message(raw(GOOD), b"\xff\x00\xfe"), Reason.BAD_KEY, "key"),
    "a blank name": (message(user(name__first=" \u00a0\u3000")), Reason.MISSING_FIELD, "name.first"),
    "no e-mail": (message(user(email=...)), Reason.MISSING_FIELD, "email"),
    "a date without its date": (message(user(dob={"age": 3})), Reason.MISSING_FIELD, "dob"),
    "a nationality of bricks": (message(user(nat="LEGO")), Reason.UNKNOWN_COUNTRY, "nat"),
    "a third gender": (message(user(gender="other")), Reason.BAD_GENDER, "gender"),
    "an e-mail with a space": (message(user(email="a b@example.com")), Reason.BAD_EMAIL, "email"),
    "an e-mail of a megabyte": (message(user(email="a." * 500_000 + "@b.c")), Reason.TOO_LONG, "email"),
    **{
        f"a long {path}": (message(user(**{path: "x" * 3000})), Reason.TOO_LONG, to_dotted_path(path))
        for path in MAX_LENGTHS
    },
    "the 30th of February": (message(user(dob={"date": "1984-02-30T00:00:00Z"})), Reason.BAD_DATE, "dob"),
    "a birth at 2^63": (message(user(dob=2**63)), Reason.BAD_DATE, "dob"),
    "a registration in milliseconds": (message(user(registered=1_392_563_875_000)), Reason.BAD_DATE, "registered"),
    "born tomorrow": (message(user(dob={"date": "2999-01-01T00:00:00Z"})), Reason.FUTURE_DATE, "dob"),
    "registered tomorrow": (message(user(registered=253_402_300_799)), Reason.FUTURE_DATE, "registered"),
    "latitude 91": (
        message(user(location__coordinates__latitude="91")),
        Reason.OUT_OF_RANGE,
        "location.coordinates.latitude",
    ),
    "longitude -180.1": (
        message(user(location__coordinates__longitude=-180.1)),
        Reason.OUT_OF_RANGE,
        "location.coordinates.longitude",
    ),
    "born in 1800": (message(user(dob={"date": "1800-01-01T00:00:00Z"})), Reason.OUT_OF_RANGE, "dob"),
    "registered before birth": (message(user(registered=0)), Reason.OUT_OF_RANGE, "registered"),
}


@pytest.fixture(scope="module")
def outcomes(process):
    """Return the outcomes of all poison messages, each with a good message before and after it."""
    messages = []
    for number, (poison, _, _) in enumerate(POISON.values()):
        messages += [message(user(), 2 * number), poison.__class__(**_to_dict(poison) | {"offset": 2 * number + 1})]
    messages.append(message(user(), 2 * len(POISON)))
    return process(messages)


def _to_dict(item):
    return {field.name: getattr(item, field.name) for field in fields(item)}


@pytest.mark.parametrize("name", POISON)
def test_a_poisonous_message_is_rejected_for_its_own_reason(outcomes, name):
    poison, reason, field = POISON[name]
    outcome = outcomes[2 * list(POISON).index(name) + 1]
    assert isinstance(outcome, QuarantineRecord)
    assert (outcome.reason, outcome.field) == (reason, field)
    assert 0 < len(outcome.detail) <= 200
    value = poison.value or b""
    assert (outcome.size, outcome.sha256) == (len(value), hashlib.sha256(value).hexdigest())
    payload = None if poison.value is None or reason is Reason.TOO_LARGE else redact(value)
    assert outcome.payload == payload


def test_every_rule_of_the_catalogue_rejects_a_poisonous_message_with_its_own_detail(outcomes):
    details = {outcome.detail for outcome in outcomes if isinstance(outcome, QuarantineRecord)}
    limits = {to_dotted_path(path): length for path, length in MAX_LENGTHS.items()}
    assert details == {
        rule.detail.format(limit=limits.get(field, transform.MAX_VALUE_BYTES))
        for rule in Rule
        if rule is not Rule.REFUSED_BY_SINK
        for field in rule.fields
    }


def test_the_neighbours_of_poison_are_accepted(outcomes):
    neighbours = outcomes[::2]
    assert len(neighbours) == len(POISON) + 1
    assert all(isinstance(outcome, User) for outcome in neighbours)


def test_a_detail_quotes_no_value(outcomes):
    details = {outcome.detail for outcome in outcomes if isinstance(outcome, QuarantineRecord)}
    assert not [detail for detail in details if "Lyon" in detail or "@" in detail or UUID in detail]


def test_a_long_key_is_cut_off(outcomes):
    assert outcomes[2 * list(POISON).index("a long key") + 1].key == "é" * 500


def test_a_key_that_is_not_text_is_stored_as_text_that_every_store_accepts(outcomes):
    outcome = outcomes[2 * list(POISON).index("a key of arbitrary bytes") + 1]
    assert outcome.key == "\ufffd\ufffd\ufffd"


SECRET = user(nat="LEGO", id={"name": "SN", "value": "492236833202"})
SECRET["login"] |= {"password": "hunter2", "salt": "s", "md5": "m", "sha1": "x", "sha256": "y"}
HEADERS = RawMessage(
    "123", uuid.UUID(UUID), b"", "ingest/1", 1_795_248_000_000_077, datetime(2026, 11, 21, 8, tzinfo=UTC), redrives=2
)
MALFORMED = (
    ("event_id", b"x"),
    ("version", b"abc"),
    ("event_time", b"9" * 15),
    ("redrives", b"-1"),
    ("batch_id", b"\xff"),
)
ABSURD = (("version", b"%d" % (2**63 - 1)), ("event_time", b"1" * 16), ("event_id", None), ("batch_id", b"a\x00b"))
ENDED = (
    ("event_id", b"5\n"),
    ("version", b"7\n"),
    ("event_time", b"8\n"),
    ("redrives", b"1\n"),
    ("batch_id", b"a\n"),
)
OTHERS = {
    "with credentials": message(SECRET, 1),
    "with headers": message(user(), 2, headers=tuple(HEADERS.headers())),
    "rejected with headers": message(user(nat="XX"), 3, headers=tuple(HEADERS.headers())),
    "with malformed headers": message(user(), 5004, headers=MALFORMED, timestamp=TIMESTAMP),
    "with absurd headers": message(user(), 5005, headers=ABSURD, timestamp=TIMESTAMP),
    "with line ends after headers": message(user(), 5007, headers=ENDED, timestamp=TIMESTAMP),
    "without headers": message(user(), 5006, timestamp=TIMESTAMP),
    "with an escaped pair": message(raw(GOOD.replace("Lyon", "Ly\\ud83d\\ude00on")), 9),
    "with an escaped backslash": message(raw(GOOD.replace("Lyon", "Ly\\\\u0000on")), 10),
    "of API 1.2": message(user_1_2(), 7),
    "of API 1.1": message(user_1_1(), 8),
}


@pytest.fixture(scope="module")
def others(process):
    return dict(zip(OTHERS, process(list(OTHERS.values())), strict=True))


def test_credentials_and_the_national_id_are_removed_from_a_rejected_payload(others):
    payload = json.loads(others["with credentials"].payload)
    assert payload["id"] is None
    assert {name for name, value in payload["login"].items() if value is not None} == {"uuid", "username"}


@pytest.mark.parametrize(
    ("name", "city"), [("with an escaped pair", "Ly\U0001f600on"), ("with an escaped backslash", "Ly\\u0000on")]
)
def test_an_escape_that_is_text_is_accepted(others, name, city):
    assert others[name].city == city


def test_headers_identify_the_event(others):
    for outcome in (others["with headers"], others["rejected with headers"]):
        assert (outcome.event_id, outcome.batch_id) == ("123", "ingest/1")
        assert (outcome.version, outcome.event_time) == (HEADERS.version, HEADERS.event_time)
    assert others["rejected with headers"].redrives == 2


@pytest.mark.parametrize(
    "name", ["with malformed headers", "with absurd headers", "with line ends after headers", "without headers"]
)
def test_a_message_without_usable_headers_is_identified_by_its_coordinates(others, name):
    outcome, offset = others[name], OTHERS[name].offset
    assert isinstance(outcome, User)
    assert (outcome.event_id, outcome.batch_id) == (f"users.raw/0/{offset}", None)
    assert outcome.version == TIMESTAMP * 1000
    assert outcome.event_time == datetime(2026, 11, 21, 8, 0, 0, 123_000, tzinfo=UTC)


def test_an_accepted_record_that_a_sink_refuses_is_selected_like_a_rejected_one(planned_transform, messages_frame):
    secret = user(login__password="hunter2")
    transformed = planned_transform.apply(
        messages_frame([message(user(), 1), message(secret, 2, key=f" {UUID.upper()}"), message(user(), 3)])
    )
    refusals = {"users.raw/0/2": Refusal("Cassandra", "{words} of the store", 77)}
    [row] = transform.select_refused(transformed, refusals).toArrow().to_pylist()
    record = QuarantineRecord(**row)
    assert (record.origin, record.reason, record.field) == ("users.raw/0/2", Reason.SINK_REFUSED, "Cassandra")
    assert (record.detail, record.version, record.key) == ("{words} of the store", 77, UUID)
    assert record.size == len(json.dumps(secret, ensure_ascii=False).encode())
    assert json.loads(record.payload or b"")["login"] == {"uuid": UUID, "username": "bluefox12", "password": None}


def test_answers_of_api_1_2_are_accepted_and_those_of_1_1_have_no_id(others):
    older = others["of API 1.2"]
    assert isinstance(older, User)
    assert (older.first_name, older.last_name, older.street) == ("Jean-Marie", "O'Brien", "6894 Windsor Road")
    assert (older.city, older.state) == ("Aix-en-Provence", "Bouches-du-Rhône")
    assert others["of API 1.1"].reason is Reason.MISSING_ID


def test_the_selections_have_the_columns_of_their_contract(spark, transformed_template):
    accepted = transform.select_outcomes(transformed_template, 1).select("accepted.*")
    user_types = spark.createDataFrame([], schema.build_spark_ddl()).dtypes
    assert accepted.dtypes == [*user_types, ("origin", "string"), ("unversioned", "boolean")]
    names = [field.name for field in fields(QuarantineRecord)]
    types = dict.fromkeys(names, "string") | {
        "version": "bigint",
        "event_time": "timestamp",
        "redrives": "int",
        "size": "int",
        "payload": "binary",
    }
    for rejected in (
        transform.select_outcomes(transformed_template, 1).select("rejected.*"),
        transform.select_rejected(transformed_template),
    ):
        assert rejected.dtypes == list(types.items())


def test_an_outcome_has_no_larger_payload_than_asked_for(planned_transform, messages_frame):
    values = [b"x" * size for size in (10, 11)]
    transformed = planned_transform.apply(
        messages_frame([message(value, offset) for offset, value in enumerate(values)])
    )
    rejected = transform.select_outcomes(transformed, 10).select("rejected.*").toArrow().to_pylist()
    assert [(row["size"], row["payload"]) for row in rejected] == [(10, values[0]), (11, None)]
    assert [row["payload"] for row in transform.select_rejected(transformed).toArrow().to_pylist()] == values


@pytest.mark.parametrize("side", [lambda frame: transform.select_outcomes(frame, 4096), transform.select_rejected])
def test_the_value_is_parsed_once_and_the_texts_are_capitalised_once(spark, transformed_template, side):
    spark.conf.set("spark.sql.debug.maxToStringFields", 1000)
    plan = side(transformed_template)._jdf.queryExecution().executedPlan().toString()
    assert plan.count("from_json(") == 1
    assert plan.count("initcap(") == 1
    assert plan.count("parseJson,") + plan.count("parseJson(") == 1


def test_the_jvm_is_not_told_where_a_column_is_written(spark, monkeypatch):
    def fail(_):
        raise AssertionError("PySpark looks for the line of a column")

    monkeypatch.setattr(pyspark.errors.utils, "_capture_call_site", fail)
    assert spark.range(1).select((F.col("id") + 1).alias("next")).columns == ["next"]
