"""The keys under which a page's records are staged."""

import json
from uuid import UUID

import pytest

from insights.staging.load import _index_by_key


def make_record(login_uuid: object, **fields: object) -> bytes:
    return json.dumps({"login": {"uuid": login_uuid}, **fields}).encode()


@pytest.mark.parametrize("login_uuid", [None, "", "LEGO", 7, ["x"]])
def test_records_with_the_same_malformed_id_are_different_records(login_uuid: object) -> None:
    first, second = make_record(login_uuid, email="a@example.com"), make_record(login_uuid, email="b@example.com")
    assert sorted(_index_by_key([first, second, first]).values()) == sorted([first, second])


def test_a_number_of_thousands_of_digits_does_not_fail_the_page() -> None:
    records = [b'{"dob": %s}' % (b"7" * 5000), b'{"dob": %s}' % (b"8" * 5000)]
    assert len(_index_by_key(records)) == 2


@pytest.mark.parametrize("login_uuid", [None, 7, "x", "{2D5AFD5E-A598-469F-9933-4EDBA18BCEFB}"])
def test_white_space_between_values_does_not_change_the_key(login_uuid: object) -> None:
    record = {"dob": 1.5, "login": {"uuid": login_uuid}, "age": 7}
    spellings = [json.dumps(record, separators=separators).encode() for separators in ((",", ":"), (" , ", " : "))]
    assert list(_index_by_key(spellings).values()) == spellings[:1]


def test_two_spellings_of_a_uuid_are_one_user() -> None:
    first = make_record("2d5afd5e-a598-469f-9933-4edba18bcefb")
    records = _index_by_key([first, make_record("{2D5AFD5E-A598-469F-9933-4EDBA18BCEFB}")])
    assert records == {"2d5afd5e-a598-469f-9933-4edba18bcefb": first}


@pytest.mark.parametrize("member", [b'"gender":"x","gender":"y"', b'"note":[{"a":{},"a":""}]'])
def test_a_record_that_repeats_a_key_does_not_claim_the_key_of_its_user(member: bytes) -> None:
    uuid = "2d5afd5e-a598-469f-9933-4edba18bcefb"
    repeated = b'{"login":{"uuid":"%s"},%s}' % (uuid.encode(), member)
    records = _index_by_key([repeated, make_record(uuid), repeated])
    assert len(records) == 2
    assert records[uuid] == make_record(uuid)
    assert {UUID(key).version for key in records} == {4, 5}
