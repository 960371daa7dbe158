"""Codes are compared by code points and ASCII case, and a UUID has one spelling."""

from uuid import UUID

import pytest

from insights.model.codes import lower_ascii, normalise_uuid, upper_ascii
from insights.model.user import derive_record_key
from tests.helpers.text_cases import CODES, UUID_SPELLINGS


@pytest.mark.parametrize(("text", "canonical"), UUID_SPELLINGS.items())
def test_each_spelling_of_a_uuid_has_one_canonical_form(text, canonical):
    assert normalise_uuid(text) == canonical
    key = derive_record_key(text, lambda: "{}")
    assert key == (UUID(canonical) if canonical else derive_record_key(None, lambda: "{}"))


def test_a_long_text_is_no_uuid():
    assert normalise_uuid(" " * 1_000_000 + "x") is None


@pytest.mark.parametrize(("text", "cases"), CODES.items())
def test_only_ascii_letters_change_their_case(text, cases):
    assert (lower_ascii(text), upper_ascii(text)) == cases
