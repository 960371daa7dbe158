"""Secrets are removed from raw values, however their keys are spelled and whether or not the value is JSON."""

import json
import re
from datetime import UTC, datetime
from random import Random

import pytest

from insights.model.credentials import CREDENTIAL_FIELDS, is_secret, mask_text
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.redaction import redact
from tests.helpers.hidden_secrets import find_canaries, hide_secret
from tests.helpers.text_cases import MASKED_TEXTS


@pytest.mark.parametrize("name", CREDENTIAL_FIELDS)
@pytest.mark.parametrize(
    "secret",
    [
        '"hunter2"',
        r'"a\"b\\"',
        '"é"',
        '"open',
        "12345",
        "hunter2",
        r'"\u0041"',
        '{"a":"b}c","d":["e"]}',
        '["a]",{"b":"c"}]',
    ],
    ids=lambda text: text,
)
def test_a_credential_is_masked_whether_or_not_the_json_parses(name, secret):
    value = f'{{"username":"x","{name}" : {secret}'.encode()
    masked = redact(value)
    assert masked == f'{{"username":"x","{name}" : null'.encode()


def test_the_national_id_is_masked_and_every_other_byte_stays():
    value = b'{"id":{"name":"NINO","value":"PA 88"},"nat":"GB","x":"\xff\x00"}'
    assert redact(value) == b'{"id":null,"nat":"GB","x":"\xff\x00"}'


@pytest.mark.parametrize(
    "national_id", ['"PA 88"', "88", '{"name":"N}O","value":"PA 88"}', '{"value":{"v":"PA 88"}}', "[88]"]
)
def test_the_national_id_is_masked_in_any_shape(national_id):
    assert redact(f'{{"id": {national_id}, "nat":"GB"}}'.encode()) == b'{"id": null, "nat":"GB"}'


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Password", True),
        ("SALT", True),
        (" pass word\u200b", True),
        ("login.password", True),
        ("newPassword", True),
        ("SHA-256", True),
        ("ID", True),
        (" id ", True),
        ("user_id", False),
        ("uuid", False),
        ("username", False),
        ("salty", False),
        ("basalt", False),
        ("sha", False),
        ("\u017falt", False),
        ("\uff50assword", False),
        ("password" + " " * 100_000, True),
        ("p" * 100_000, False),
    ],
    ids=lambda case: str(case)[:20],
)
def test_a_key_is_compared_by_its_ascii_letters_and_digits(name, secret):
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        (rb'{"pass\u0077ord":"hunter2","x":1.50}', rb'{"pass\u0077ord":null,"x":1.50}'),
        (b'{"Salt" : {"a":["hunter2",{"b}":1}]}, "x":1}', b'{"Salt" : null, "x":1}'),
        (b'{"password":"a","password":"b"}', b'{"password":null,"password":null}'),
        (rb'{"x":"see {\"password\":\"hunter2\"} there"}', rb'{"x":"see {\"password\":null"}'),
        (b"{'login':{'password':'hunter2','x':1}}", b"{'login':{'password':null,'x':1}}"),
        (b"{password: hunter2, x: 1}", b"{password: null, x: 1}"),
        (b'{"password" => "hunter2", "x":1', b'{"password" => null, "x":1'),
        (b'{"password" "hunter2", "x":1', b'{"password" null, "x":1'),
        (b'{"password":"ab"hunter2","x":1}', b'{"password":null,"x":1}'),
        (b'{"password":"a"hunter2"b "}', b'{"password":null}'),
        (b'{"password":{"a":"hunter2"},"x":2} x', b'{"password":null,"x":2} x'),
        (b'{"password":{"a":"hunter2"y},"x":2}', b'{"password":null'),
        (b'{"x":1,"passw', b'{"x":1,"passw'),
        (b'word":"hunter2","x":1}', b"null"),
        (b'{"b":"hunter2"},"x":1}', b"null"),
        (b"password=hunter2&x=1", b"password=null"),
        (b"<password>hunter2</password>", b"<password>null"),
        ('{"password":"hunter2"}'.encode("utf-16-le"), '{"password":'.encode("utf-16-le") + b"null"),
        (rb'{"pass\u0077ord":"hunter2"}'.decode().encode("utf-16-le"), rb'{"pass\u0077ord":null}'),
        (b'{"salty":"lake","user_id":7,"note":"no secret"}', b'{"salty":"lake","user_id":7,"note":"no secret"}'),
        (b'{"city":"Ly\xffon","note":"password"', b'{"city":"Ly\xffon","note":"password"'),
        (b"not JSON at all", b"not JSON at all"),
        (b"", b""),
    ],
    ids=lambda value: value[:24].decode("iso-8859-1"),
)
def test_a_secret_ends_where_its_value_ends(value, redacted):
    assert redact(value) == redacted


@pytest.mark.parametrize(("text", "masked"), MASKED_TEXTS.items())
def test_a_text_is_cut_off_after_the_key_of_a_secret(text, masked):
    assert mask_text(text) == masked


def test_no_hidden_secret_survives():
    random = Random(13)
    for number in range(3000):
        hidden = hide_secret(random, f"{number:032x}")
        assert not find_canaries(redact(hidden.value)), hidden


def test_a_redacted_json_value_remains_json():
    random = Random(14)
    for number in range(500):
        value = hide_secret(random, f"{number:032x}").value
        try:
            json.loads(value.decode())
        except (ValueError, RecursionError):
            continue
        json.loads(redact(value))


def test_redacting_huge_or_hostile_text_terminates():
    hostile = b'"password":"' + rb"\\" * 200_000 + b'"'
    assert len(redact(hostile)) <= len(hostile)
    assert not re.search(rb'"salt":"[^n]', redact(b'{"salt":"' + b"a" * 1_000_000))


def test_a_quarantine_record_holds_no_secret():
    value = b'{"login":{"Password":"hunter2"}}'
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    text = value.decode()
    record = QuarantineRecord("t/0/1", "1", Reason.SCHEMA, "value", "", text, text, 1, moment, 0, 9, "", value)
    assert "hunter2" not in f"{record} {record.headers()}"
    assert record.payload == b'{"login":{"Password":null}}'


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("2d5afd5e-a598-469f-9933-4edba18bcefb", "2d5afd5e-a598-469f-9933-4edba18bcefb"),
        ("O'Brien: 7", "O'Brien: 7"),
        ('word":"hunter2"', "null"),
        ('{"a":"hunter2"}}, "location": {"city": {"Lyon', "null"),
        ("word':'hunter2', 'x':1", "null"),
        ("\ufffd\ufffd", "\ufffd\ufffd"),
    ],
)
def test_a_message_key_that_is_a_part_of_a_record_is_withheld(key, kept):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    record = QuarantineRecord("t/0/1", "1", Reason.SCHEMA, "value", "", key, key, 1, moment, 0, 9, "", b"{}")
    assert (record.key, record.batch_id) == (kept, kept)
