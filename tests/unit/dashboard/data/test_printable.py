"""Untrusted text: nothing in it is hidden or moves what is beside it, and JSON is indented but otherwise unchanged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.data.printable import escape_invisible, indent_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_control_characters_are_shown_as_escapes():
    assert escape_invisible("a\x1b[31mred\x07\u202eb\u2028c\n") == r"a\x1b[31mred\x07\u202eb\u2028c\n"
    assert escape_invisible("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert escape_invisible("Zoë 美咲 – 100%") == "Zoë 美咲 – 100%"


@given(JSON)
def test_json_is_indented_as_python_indents_it(value):
    text = json.dumps(value, ensure_ascii=False)
    assert indent_json(text) == json.dumps(value, ensure_ascii=False, indent=2)


def test_numbers_escapes_and_repeated_names_stay_as_they_are():
    assert indent_json('{"a": 1.10, "a": "\\u0041"}') == '{\n  "a": 1.10,\n  "a": "\\u0041"\n}'


@pytest.mark.parametrize("text", ["", "not JSON {", "[1, 2", "[" * 100_000])
def test_other_text_stays_as_it_is(text):
    assert indent_json(text) == text
