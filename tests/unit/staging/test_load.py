"""The keys under which a page's records are staged."""

import json

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
