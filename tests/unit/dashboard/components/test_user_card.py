"""The card of a user: nothing is left out, and everything is text."""

from datetime import UTC, datetime
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.components.user_card import GROUPS, render_user_card
from insights.model.user import User, read_field_types
from tests.helpers.app_pages import HOSTILE


class Tags(HTMLParser):
    """The tags of an HTML text, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style"}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_every_field_of_a_user_is_shown_once():
    shown = [field for fields in GROUPS.values() for field in fields]
    assert sorted(shown) == sorted(read_field_types(User))


@settings(deadline=None)
@given(st.text() | st.just(HOSTILE))
def test_any_text_is_shown_as_that_text_and_adds_no_tag(text):
    plain, hostile = (
        Tags(render_user_card({})),
        Tags(render_user_card({"full_name": text, "picture_url": text, "email": text})),
    )
    assert hostile.tags == plain.tags
    assert not text or "".join(hostile.words).count(text) >= 3


def test_values_are_formatted_for_people():
    found = Tags(
        render_user_card({"born_at": datetime(1999, 5, 1, tzinfo=UTC), "phone_valid": False, "age": 7, "city": None})
    ).words
    assert "1999-05-01 00:00:00 UTC" in found
    assert found.count("no") == 1
    assert "7" in found
    assert "–" in found
