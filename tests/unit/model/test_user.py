"""Keys, field types and credentials of the record."""

import re
from uuid import UUID

import pytest

from insights.model.credentials import CREDENTIAL_FIELDS, redact
from insights.model.schema import DERIVED_FROM, list_dimension_fields
from insights.model.user import (
    DIMENSIONS,
    MANDATORY,
    RECORD_NAMESPACE,
    RawUser,
    User,
    derive_record_key,
    read_field_types,
)

ID = "2d5afd5e-a598-469f-9933-4edba18bcefb"


@pytest.mark.parametrize("text", [ID, ID.upper(), f" {ID}\n"])
def test_a_record_with_a_uuid_is_staged_under_it(text):
    assert derive_record_key(text, lambda: "{}") == UUID(ID)


@pytest.mark.parametrize("login_uuid", [None, "", "42", 42, ["x"], ID[:-1]])
def test_a_record_without_a_uuid_is_staged_under_its_content(login_uuid):
    key = derive_record_key(login_uuid, lambda: '{"a":1}')
    assert key.version == 5
    assert key == derive_record_key(None, lambda: '{"a":1}')
    assert key != derive_record_key(None, lambda: '{"a":2}')
    assert key != RECORD_NAMESPACE


def test_mandatory_fields_and_dimensions_are_fields_of_the_record():
    assert set(MANDATORY) <= set(read_field_types(RawUser))
    types = read_field_types(User)
    assert set(list_dimension_fields()) <= set(types)
    counted_alone = [DERIVED_FROM.get(names[0], names[0]) for names in DIMENSIONS.values() if len(names) == 1]
    assert not any(types[name][1] for name in counted_alone)


def test_no_field_of_a_record_is_a_credential():
    leaves = {path.rpartition("__")[2] for path in read_field_types(RawUser)}
    assert not leaves & set(CREDENTIAL_FIELDS)
    assert "id__value" not in read_field_types(RawUser)


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


def test_redacting_huge_or_hostile_text_terminates():
    hostile = b'"password":"' + rb"\\" * 200_000 + b'"'
    assert len(redact(hostile)) <= len(hostile)
    assert not re.search(rb'"salt":"[^n]', redact(b'{"salt":"' + b"a" * 1_000_000))
