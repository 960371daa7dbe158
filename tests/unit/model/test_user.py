"""Keys and field types of the record."""

from uuid import UUID

import pytest

from insights.model.credentials import is_secret
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
    assert not [path for path in read_field_types(RawUser) if any(map(is_secret, path.split("__")))]
