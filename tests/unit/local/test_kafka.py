"""Kafka's properties file."""

import pytest

from insights.local.kafka import escape_property


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("/home/a b/data", "/home/a b/data"),
        ("/Ünï dír", "/\\u00dcn\\u00ef d\\u00edr"),
        ("/😀", "/\\ud83d\\ude00"),
        ("C:\\data", "C:\\\\data"),
    ],
)
def test_a_property_is_ascii_with_the_escapes_that_java_reads(value: str, escaped: str) -> None:
    assert escape_property(value) == escaped
