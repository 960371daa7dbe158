"""Browsing users: filters, pages, the card, files."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from insights.queries import search
from tests.helpers.app_pages import HOSTILE, PAGES, get_table, open_page, read_text


def list_names(app: AppTest) -> list[str]:
    return [str(name) for name in get_table(app, "registered_at")["full_name"]]


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def open_with_filters(**parameters: str) -> AppTest:
    app = AppTest.from_file(str(PAGES / "explore.py"), default_timeout=30)
    app.query_params.update(parameters)
    app.run()
    assert not app.exception
    return app


def test_pages_follow_each_other_and_say_which_users_they_show(fakes):
    app = open_page("explore")
    assert list_names(app) == [user.full_name for user in fakes.users[:50]]
    assert "1 to 50" in read_text(app)
    assert "of 100 users" in read_text(app)
    press(app, "Next")
    assert list_names(app) == [user.full_name for user in fakes.users[50:]]
    assert "51 to 100" in read_text(app)
    assert next(button for button in app.button if button.label == "Next").disabled
    press(app, "Previous")
    assert list_names(app) == [user.full_name for user in fakes.users[:50]]


def test_filters_narrow_the_table_and_return_to_the_first_page(fakes):
    app = press(open_page("explore"), "Next")
    app.selectbox(key="country").select("FR").run()
    assert list_names(app) == [user.full_name for user in fakes.users if user.country_code == "FR"]
    assert "1 to 30" in read_text(app)
    app.selectbox(key="gender").select("male").run()
    assert list_names(app) == [
        user.full_name for user in fakes.users if (user.country_code, user.gender) == ("FR", "male")
    ]


def test_a_shared_address_opens_with_its_filters():
    app = open_with_filters(country="France", gender="female", age="25-34")
    assert [app.selectbox(key=key).value for key in ("country", "gender", "age")] == ["FR", "female", "25-34"]


@pytest.mark.parametrize("key", ["country", "gender", "age", "from", "until"])
@pytest.mark.parametrize("value", ["", HOSTILE, "' OR 1=1", "9" * 5000, "DE\0"])
def test_an_invalid_value_in_the_address_is_ignored(fakes, key, value):
    app = open_with_filters(**{key: value})
    assert app.selectbox(key=key).value is None
    assert len(list_names(app)) == 50
    assert len(fakes.users) == 100


def test_what_matches_is_counted_exactly_or_at_least(fakes):
    fakes.users = [user._replace(country_code="FR", gender="male") for user in fakes.users]
    app = open_with_filters(country="France", gender="male")
    assert "of at least 51 users" in read_text(app)
    press(app, "Next")
    assert "of 100 users" in read_text(app)


def test_filters_that_no_user_matches_say_so(fakes):
    fakes.users = [user._replace(country_code="FR") for user in fakes.users]
    app = open_with_filters(country="Germany")
    assert "No user matches these filters" in read_text(app)
    assert not app.dataframe
    app = open_with_filters(**{"from": "2020-03", "until": "2020-01"})
    assert "2020-03 is after 2020-01: swap the two months" in read_text(app)


def test_a_page_that_ends_early_says_how_far_back_it_searched(fakes, monkeypatch):
    short = search.UserPage(
        tuple(fakes.users[:2]), search.KeysetCursor(fakes.users[2].registered_at, None), fakes.users[2].registered_at
    )
    monkeypatch.setattr(search, "fetch_page", lambda *_: short)
    monkeypatch.setattr(search, "count_users", lambda *_: None)
    app = open_page("explore")
    assert "1 to 2" in read_text(app)
    assert "of at least 2 users" in read_text(app)
    assert f"back to {fakes.users[2].registered_at:%Y-%m}" in read_text(app)


def select_row(app: AppTest, row: int | None) -> AppTest:
    frame: Any = app.dataframe[0]
    app.session_state[frame.key] = {"selection": {"rows": [] if row is None else [row], "columns": [], "cells": []}}
    return app.run()


def read_html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def test_the_card_of_the_selected_user_is_shown_as_text_until_it_is_deselected():
    app = select_row(open_page("explore"), 3)
    assert "No. 3<" in read_html(app)
    assert "&lt;script&gt;" in read_html(app)
    assert "<script>" not in read_html(app)
    assert read_html(select_row(app, None)) == ""


def test_the_card_stays_with_its_user_when_the_rows_change(fakes):
    app = select_row(open_page("explore"), 3)
    newer = fakes.users[0]._replace(
        registered_at=fakes.users[0].registered_at.replace(year=2999), user_id=fakes.users[0].user_id
    )
    fakes.users = [newer, *fakes.users[2:]]
    app.run()
    assert "No. 3<" in read_html(app)
    press(app, "Next")
    assert read_html(app) == ""


def test_a_file_is_prepared_on_request_and_dropped_with_other_filters(fakes):
    app = open_page("explore")
    assert not app.get("download_button")
    press(app, "Prepare CSV")
    assert [button.proto.label for button in app.get("download_button")] == ["Save users.csv"]
    assert "100 users, 0." in read_text(app)
    app.selectbox(key="country").select("FR").run()
    assert not app.get("download_button")
    press(app, "Prepare Parquet")
    assert [button.proto.label for button in app.get("download_button")] == ["Save users_FR.parquet"]
    assert len(fakes.users) == 100


def test_a_file_that_cannot_be_prepared_is_an_error_message(fakes):
    app = open_page("explore")
    fakes.down = {"Cassandra"}
    press(app, "Prepare CSV")
    assert not app.get("download_button")
    assert app.error[0].value


def test_the_page_keeps_its_users_marked_stale_while_cassandra_is_down(fakes):
    app = open_page("explore")
    fakes.down = {"Cassandra"}
    app.run()
    assert not app.exception
    assert "Stale: Cassandra does not answer" in read_text(app)
    assert len(list_names(app)) == 50


def test_filters_chosen_while_cassandra_is_down_have_no_answer_yet(fakes):
    app = open_page("explore")
    fakes.down = {"Cassandra"}
    app.selectbox(key="country").select("FR").run()
    assert not app.exception
    assert "nobody chose them before Cassandra went down" in read_text(app)
    assert not app.dataframe
    fakes.down = set()
    app.run()
    assert "1 to 30" in read_text(app)


def test_without_users_the_page_says_what_to_do(fakes):
    fakes.counts = {}
    assert "No users yet" in read_text(open_page("explore"))
