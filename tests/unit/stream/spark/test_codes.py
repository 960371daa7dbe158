"""Codes, UUIDs and secrets in texts mean the same to Spark as to Python, whatever the locale of the JVM."""

import json
from collections.abc import Iterator
from random import Random

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from insights.model import invisible
from insights.model.credentials import mask_text
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import MAX_DEPTH
from insights.model.user import User
from insights.stream import rules
from tests.helpers.hidden_secrets import find_canaries, hide_secret
from tests.helpers.oracle import Message
from tests.helpers.raw_users import UUID, message, user
from tests.helpers.text_cases import CODES, MASKED_TEXTS, UUID_SPELLINGS


@pytest.fixture(params=["en-US", "tr-TR"])
def locale(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[str]:
    """The default locale of the JVM for the time of a test."""
    locales = spark._jvm.java.util.Locale
    before = locales.getDefault()
    locales.setDefault(locales.forLanguageTag(request.param))
    yield request.param
    locales.setDefault(before)


def apply(spark: SparkSession, column: Column, texts: list[str]) -> list[str]:
    frame = spark.createDataFrame([(text,) for text in texts], "text STRING")
    return [row.result for row in frame.select(column.alias("result")).collect()]


@pytest.mark.usefixtures("locale")
def test_only_ascii_letters_change_their_case(spark):
    lower = apply(spark, rules.lower_ascii(F.col("text")), list(CODES))
    upper = apply(spark, rules.upper_ascii(F.col("text")), list(CODES))
    assert list(zip(lower, upper, strict=True)) == list(CODES.values())


@pytest.mark.usefixtures("locale")
def test_each_spelling_of_a_uuid_has_one_canonical_form(spark):
    found = apply(spark, rules.normalise_uuid(F.col("text")), list(UUID_SPELLINGS))
    assert found == [canonical or text for text, canonical in UUID_SPELLINGS.items()]


def test_what_shows_nothing_around_a_uuid_is_ignored(spark):
    ranges = (*invisible.BLANKS, *invisible.REMOVED, *invisible.JOINERS, *invisible.SELECTORS)
    edges = [chr(code) for first, last in ranges for code in range(first, last + 1)]
    found = apply(spark, rules.normalise_uuid(F.col("text")), [f"{edge}{UUID.upper()}{edge}" for edge in edges])
    assert dict(zip(edges, found, strict=True)) == dict.fromkeys(edges, UUID)


@pytest.mark.usefixtures("locale")
def test_a_text_is_cut_off_after_the_key_of_a_secret(spark):
    texts = [*MASKED_TEXTS, *(hide_secret(Random(number), "x").value.decode("iso-8859-1") for number in range(1000))]
    assert apply(spark, rules.mask_secret(F.col("text")), texts) == [mask_text(text) for text in texts]
    named = apply(spark, rules.names_secret(F.col("text")), texts)
    assert all(name for name, text in zip(named, texts, strict=True) if mask_text(text) != text)


@pytest.mark.usefixtures("locale")
def test_codes_of_a_record_are_compared_in_one_way_in_every_locale(process):
    records = [
        user(gender="FEMALE", nat="fr", email="ELISE@EXAMPLE.COM"),
        user(nat="IR"),
        user(nat="ir"),
        user(nat="\u0131r"),
        user(nat="\u0130R"),
        user(gender="fema\u017fe"),
        user(gender="\uff46emale"),
        user(GENDER="male"),
        user(gender=..., GENDER="male"),
    ]
    outcomes = process([message(record, number) for number, record in enumerate(records)])
    assert [
        (found.gender, found.country_code) if isinstance(found, User) else f"{found.reason} {found.field}"
        for found in outcomes
    ] == [
        ("female", "FR"),
        ("female", "IR"),
        ("female", "IR"),
        "UNKNOWN_COUNTRY nat",
        "UNKNOWN_COUNTRY nat",
        "BAD_GENDER gender",
        "BAD_GENDER gender",
        ("female", "FR"),
        "MISSING_FIELD gender",
    ]
    assert outcomes[0].email == "elise@example.com"


def test_every_spelling_of_an_id_and_of_a_key_is_the_same_user(process):
    spelled = [(text, canonical) for text, canonical in UUID_SPELLINGS.items() if "\0" not in text]
    ids = process([message(user(login__uuid=text), number) for number, (text, _) in enumerate(spelled)])
    keys = process([message(user(), number, key=text) for number, (text, _) in enumerate(spelled)])
    for (text, canonical), by_id, by_key in zip(spelled, ids, keys, strict=True):
        expected = ("MISSING_ID", "BAD_KEY") if canonical is None else (UUID, UUID)
        assert (
            tuple(str(found.user_id) if isinstance(found, User) else found.reason for found in (by_id, by_key))
            == expected
        ), text


REPEATED = {
    "gender": '"gender": "female", ',
    "a field that is not read": '"cell": "1", ',
    "an escaped key": '"n\\u0061t": "FR", ',
}


@pytest.mark.parametrize("member", REPEATED.values(), ids=list(REPEATED))
def test_a_record_that_repeats_a_key_is_rejected(process, member):
    text = (message(user()).value or b"").decode()
    [found] = process([message(f"{{{member}{text[1:]}".encode())])
    assert (found.reason, found.field) == ("SCHEMA", "value")


@pytest.mark.parametrize("field", ["unknown", "cell"])
def test_a_record_of_more_levels_than_a_page_may_have_is_rejected(process, field):
    levels = range(MAX_DEPTH - 1, MAX_DEPTH + 9)
    records = [user(**{field: json.loads("[" * (level - 1) + "]" * (level - 1))}) for level in levels]
    outcomes = process([message(record, number) for number, record in enumerate(records)])
    assert [isinstance(found, User) for found in outcomes] == [level <= MAX_DEPTH for level in levels]
    assert {(found.reason, found.field) for found in outcomes[2:]} == {("SCHEMA", "value")}


def test_no_hidden_secret_is_in_a_user_or_in_quarantine(process):
    random = Random(16)
    hidden = [hide_secret(random, UUID) for _ in range(1500)]
    outcomes = process([Message(item.value, UUID.encode(), offset=number) for number, item in enumerate(hidden)])
    for item, found in zip(hidden, outcomes, strict=True):
        assert not find_canaries(str(found).encode()), item
    kinds = {type(found) for found in outcomes}
    assert kinds == {User, QuarantineRecord}


def test_a_header_that_is_a_part_of_a_record_is_ignored(process):
    header = ("batch_id", b'ret":"hunter2","x":1}')
    found, rejected = process([message(user(), 0, headers=(header,)), message(b"{}", 1, headers=(header,))])
    assert found.batch_id is rejected.batch_id is None


def test_a_header_that_holds_a_secret_is_cut_off(process):
    header = ("batch_id", b"page 1, password=hunter2")
    found, rejected = process([message(user(), 0, headers=(header,)), message(b"{}", 1, headers=(header,))])
    assert found.batch_id == rejected.batch_id == "page 1, password=null"
