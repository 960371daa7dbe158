"""The keys under which a page's records are staged."""

import json

import pytest

from insights.staging.load import _keyed


def record(login_uuid: object, **fields: object) -> bytes:
    return json.dumps({"login": {"uuid": login_uuid}, **fields}).encode()


@pytest.mark.parametrize("login_uuid", [None, "", "LEGO", 7, ["x"]])
def test_records_with_the_same_malformed_id_are_different_records(login_uuid: object) -> None:
    first, second = record(login_uuid, email="a@example.com"), record(login_uuid, email="b@example.com")
    assert sorted(_keyed([first, second, first]).values()) == sorted([first, second])


def test_a_number_of_thousands_of_digits_stops_no_page() -> None:
    records = [b'{"dob": %s}' % (b"7" * 5000), b'{"dob": %s}' % (b"8" * 5000)]
    assert len(_keyed(records)) == 2
