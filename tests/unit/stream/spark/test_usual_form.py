"""A message has the same outcome in the usual form, which a regular expression reads, and in any other spelling."""

import json
from dataclasses import asdict

import orjson
import pytest
from pyspark.sql import functions as F

from insights.model.countries import load_countries
from insights.simulator.people import Crowd, generate_people
from insights.source.envelope import PageRequest, unpack_page
from insights.stream import usual_form
from insights.stream.text_fields import RAW_FIELDS
from tests.helpers.raw_users import message, user

RECORD = user(picture={name: f"https://randomuser.me/{name}.jpg" for name in ("large", "medium", "thumbnail")})
USUAL = orjson.dumps(RECORD).decode()
PATHS = (
    *("gender", "name__title", "name__first", "name__last", "location__street", "location__street__number"),
    *("location__street__name", "location__city", "location__state", "location__country", "location__postcode"),
    *("location__coordinates__latitude", "location__timezone__offset", "location__timezone__description", "email"),
    *("login", "login__uuid", "login__username", "dob", "dob__date", "dob__age", "registered__date", "phone", "cell"),
    *("id", "id__name", "picture__large", "picture__medium", "nat"),
)
VALUES: tuple[object, ...] = (
    *("", " ", " x", "x ", "a  b", "a|b", "a/ b", "[x]", "{x}", '{"date":"1984-02-29T10:11:12Z"}', 'a"b', "a\\b"),
    *("a\nb", "a\u007fb", "a\u0085b", "\u200b", "\u3164", "e\u0301", "\U0001f600", "MARIA", "maria", "x: password=1"),
    *(0, -1, 7, 12345678901234567890, 1.5, True, None, [], {}, ["x"], {"a": 1}),
)
REPLACED = (
    ("", ""),
    ('"nat":"FR"', '"nat":"FR","nat":"DE"'),
    ('"nat":"FR"', '"nat":"FR","nat2":"DE"'),
    ('"nat":"FR"', '"nat":"FR",'),
    ('"nat":"FR"}', '"nat":"FR"}}'),
    ('"nat":"FR"}', '"nat":"FR"'),
    ('"nat":"FR"}', '"nat":"FR"}\n'),
    ('"number":12', '"number":012'),
    ('"number":12', '"number":-0'),
    ('"number":12', '"number":1e1'),
    ('"number":12', '"number":12,"number":12'),
    ("Lyon", "Ly\x01on"),
    ("Lyon", "Ly\\u006fn"),
    ("Lyon", "Ly\\u0000n"),
    ("Lyon", "Lyon\x00"),
    ("Lyon", "Ly\x7fon"),
    ("la Paix", "la Paix  "),
    ('"first":"Élise","last":"de Vries"', '"last":"de Vries","first":"Élise"'),
    ('"first":"Élise"', '"first":"Élise" '),
)


def read_outcome(outcome):
    spelled = ("event_id", "origin", "size", "payload", "sha256")
    return type(outcome), {name: value for name, value in asdict(outcome).items() if name not in spelled}


@pytest.fixture(scope="module")
def marked(spark):
    """Return a function that returns whether each of the values is in the usual form, and its texts."""

    def mark(values):
        frame = spark.createDataFrame([(value,) for value in values], "value STRING").coalesce(1)
        text = usual_form.mark_texts(F.col("value"))
        rows = frame.select((text != F.col("value")).alias("usual"), usual_form.split_texts(text).alias("texts"))
        return [(row["usual"], row["texts"]) for row in rows.collect()]

    return mark


def test_the_outcome_does_not_depend_on_the_spelling(process):
    changed = [orjson.dumps(RECORD)]
    for path in PATHS:
        for value in VALUES:
            record = json.loads(USUAL)
            *parents, leaf = path.split("__")
            node = record
            for parent in parents:
                node = node[parent]
            node[leaf] = value
            changed.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode())
    messages = [message(value, offset) for offset, value in enumerate(changed)]
    others = [message(b" " + value, len(changed) + offset) for offset, value in enumerate(changed)]
    outcomes = process(messages + others)
    different = [
        (value, ours, theirs)
        for value, ours, theirs in zip(changed, outcomes[: len(changed)], outcomes[len(changed) :], strict=True)
        if read_outcome(ours) != read_outcome(theirs)
    ]
    assert different[:3] == []


def test_a_message_that_is_nearly_in_the_usual_form_is_read_as_json(process):
    values = [USUAL.replace(old, new).encode() if old else USUAL.encode() for old, new in REPLACED]
    outcomes = process([message(value, offset) for offset, value in enumerate(values)])
    others = process([message(b" " + value, offset) for offset, value in enumerate(values)])
    assert list(map(read_outcome, outcomes)) == list(map(read_outcome, others))


def test_only_the_exact_form_is_usual(marked):
    [(first, texts), *rest] = marked([USUAL.replace(old, new) if old else USUAL for old, new in REPLACED])
    assert first
    assert set(texts[:-1]) >= {"12 Rue de la Paix", "69001", "1984-02-29T10:11:12.345Z", "FR"}
    assert len(texts) == len(RAW_FIELDS) + 1
    assert [REPLACED[position + 1] for position, (usual, _) in enumerate(rest) if usual] == [
        ("Lyon", "Ly\x7fon"),
        ("la Paix", "la Paix  "),
    ]


def test_a_text_that_looks_like_marked_texts_is_not_in_the_usual_form(process):
    [outcome] = process([message(b"\0".join([b"x"] * 22))])
    assert outcome.field == "value"


@pytest.mark.parametrize("version", ["1.3", "1.4"])
def test_what_the_source_client_makes_of_an_answer_is_in_the_usual_form(marked, version):
    """Otherwise every message would take the way of JSON, at three times the cost."""
    people = list(generate_people(Crowd(version, "s", 1, tuple(load_countries())), 300))
    answer = {"results": people, "info": {"seed": "s", "results": 300, "page": 1, "version": version}}
    records = unpack_page(orjson.dumps(answer), PageRequest("s", 1, 300)).records
    assert len(records) == 300
    assert [
        record for record, (usual, _) in zip(records, marked([r.decode() for r in records]), strict=True) if not usual
    ] == []
