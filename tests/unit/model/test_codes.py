"""Codes are compared by code points and ASCII case, and a UUID has one spelling."""

from uuid import UUID

import pytest

from insights.model import invisible
from insights.model.codes import lower_ascii, normalise_uuid, upper_ascii
from insights.model.user import derive_record_key
from tests.helpers.text_cases import CODES, UUID_SPELLINGS

UUID_TEXT = "5b0c2a52-9e4e-4c5b-8a6b-0d8f3f8e2a11"


@pytest.mark.parametrize(("text", "canonical"), UUID_SPELLINGS.items())
def test_each_spelling_of_a_uuid_has_one_canonical_form(text, canonical):
    assert normalise_uuid(text) == canonical
    key = derive_record_key(text, lambda: "{}")
    assert key == (UUID(canonical) if canonical else derive_record_key(None, lambda: "{}"))


@pytest.mark.parametrize("ranges", [invisible.BLANKS, invisible.REMOVED, invisible.JOINERS, invisible.SELECTORS])
def test_what_shows_nothing_around_a_uuid_is_ignored(ranges):
    for character in (chr(code) for first, last in ranges for code in range(first, last + 1)):
        assert normalise_uuid(f"{character}{UUID_TEXT}{character}") == UUID_TEXT, f"U+{ord(character):04X}"
        assert normalise_uuid(f"{UUID_TEXT[:4]}{character}{UUID_TEXT[4:]}") is None


def test_a_long_text_is_no_uuid():
    assert normalise_uuid(" " * 1_000_000 + "x") is None


@pytest.mark.parametrize(("text", "cases"), CODES.items())
def test_only_ascii_letters_change_their_case(text, cases):
    assert (lower_ascii(text), upper_ascii(text)) == cases
