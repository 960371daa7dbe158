"""The value for which a record was rejected, as the Quarantine page shows it."""

import pytest

from dashboard.data.rejected_value import SHOWN_CHARACTERS, show_rejected_value

RECORD = (
    '{"email": "at.example", "name": {"first": "Zoë\\u202e"}, "dob": {"date": "1990-02-30", "age": null}, "phone": ""}'
)


@pytest.mark.parametrize(
    ("payload", "field", "shown"),
    [
        (RECORD, "email", '"at.example"'),
        (RECORD, "name.first", '"Zoë\\u202e"'),
        (RECORD, "dob", '{"date": "1990-02-30", "age": null}'),
        (RECORD, "phone", '""'),
        (RECORD, "dob.age", "null"),
        (RECORD, "location.city", None),
        (RECORD, "email.domain", None),
        ("[1, 2]", "email", None),
        ("[1, 2]", "value", "[1, 2]"),
        ("{broken\x00", "email", "{broken\\x00"),
        ('{"email": "\\ud800"}', "email", '"\\ud800"'),
    ],
)
def test_the_field_of_the_payload_is_shown_as_json(payload: str, field: str, shown: str | None) -> None:
    assert show_rejected_value(payload.encode(), field) == shown


def test_a_payload_that_was_not_kept_has_no_value() -> None:
    assert show_rejected_value(None, "email") is None


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    assert show_rejected_value(b'{"email": "\xff"}', "value") == '{"email": "\\xff"}'


def test_a_long_value_is_shortened() -> None:
    shown = show_rejected_value(b'{"email": "%s"}' % (b"x" * 500), "email")
    assert shown == f'"{"x" * (SHOWN_CHARACTERS - 2)}…'
