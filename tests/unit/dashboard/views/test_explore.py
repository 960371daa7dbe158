"""Users one by one: filters, pages, the card, files."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from insights.queries import search
from tests.helpers.app_pages import HOSTILE, PAGES, opened, said, table


def names(app: AppTest) -> list[str]:
    return [str(name) for name in table(app, "registered_at")["full_name"]]


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def with_address(**parameters: str) -> AppTest:
    app = AppTest.from_file(str(PAGES / "explore.py"), default_timeout=30)
    app.query_params.update(parameters)
    app.run()
    assert not app.exception
    return app


def test_pages_follow_each_other_and_say_which_users_they_show(fakes):
    app = opened("explore")
    assert names(app) == [user.full_name for user in fakes.found[:50]]
    assert "1 to 50" in said(app)
    assert "of 100 users" in said(app)
    press(app, "Next")
    assert names(app) == [user.full_name for user in fakes.found[50:]]
    assert "51 to 100" in said(app)
    assert next(button for button in app.button if button.label == "Next").disabled
    press(app, "Previous")
    assert names(app) == [user.full_name for user in fakes.found[:50]]


def test_filters_narrow_the_table_and_begin_anew(fakes):
    app = press(opened("explore"), "Next")
    app.selectbox(key="country").select("FR").run()
    assert names(app) == [user.full_name for user in fakes.found if user.country_code == "FR"]
    assert "1 to 30" in said(app)
    app.selectbox(key="gender").select("male").run()
    assert names(app) == [user.full_name for user in fakes.found if (user.country_code, user.gender) == ("FR", "male")]


def test_a_shared_address_opens_with_its_filters():
    app = with_address(country="France", gender="female", age="25-34")
    assert [app.selectbox(key=key).value for key in ("country", "gender", "age")] == ["FR", "female", "25-34"]


@pytest.mark.parametrize("key", ["country", "gender", "age", "from", "until"])
@pytest.mark.parametrize("value", ["", HOSTILE, "' OR 1=1", "9" * 5000, "DE\0"])
def test_an_address_that_names_no_choice_is_as_if_it_named_none(fakes, key, value):
    app = with_address(**{key: value})
    assert app.selectbox(key=key).value is None
    assert len(names(app)) == 50
    assert len(fakes.found) == 100


def test_what_matches_is_counted_exactly_or_at_least(fakes):
    fakes.found = [user._replace(country_code="FR", gender="male") for user in fakes.found]
    app = with_address(country="France", gender="male")
    assert "of at least 51 users" in said(app)
    press(app, "Next")
    assert "of 100 users" in said(app)


def test_filters_that_no_user_matches_say_so(fakes):
    fakes.found = [user._replace(country_code="FR") for user in fakes.found]
    app = with_address(country="Germany")
    assert "No user matches these filters" in said(app)
    assert not app.dataframe
    app = with_address(**{"from": "2020-03", "until": "2020-01"})
    assert "No month is from 2020-03 until 2020-01" in said(app)


def test_a_page_that_ends_early_says_how_far_back_it_looked(fakes, monkeypatch):
    short = search.UserPage(
        tuple(fakes.found[:2]), search.KeysetCursor(fakes.found[2].registered_at, None), fakes.found[2].registered_at
    )
    monkeypatch.setattr(search, "fetch_page", lambda *_: short)
    monkeypatch.setattr(search, "count_users", lambda *_: None)
    app = opened("explore")
    assert "1 to 2" in said(app)
    assert "of at least 2 users" in said(app)
    assert f"back to {fakes.found[2].registered_at:%Y-%m}" in said(app)


def selected(app: AppTest, row: int | None) -> AppTest:
    frame: Any = app.dataframe[0]
    app.session_state[frame.key] = {"selection": {"rows": [] if row is None else [row], "columns": [], "cells": []}}
    return app.run()


def shown_html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def test_the_card_of_the_selected_user_is_shown_as_text_until_it_is_deselected():
    app = selected(opened("explore"), 3)
    assert "No. 3<" in shown_html(app)
    assert "&lt;script&gt;" in shown_html(app)
    assert "<script>" not in shown_html(app)
    assert shown_html(selected(app, None)) == ""


def test_the_card_stays_with_its_user_when_the_rows_change(fakes):
    app = selected(opened("explore"), 3)
    newer = fakes.found[0]._replace(
        registered_at=fakes.found[0].registered_at.replace(year=2999), user_id=fakes.found[0].user_id
    )
    fakes.found = [newer, *fakes.found[2:]]
    app.run()
    assert "No. 3<" in shown_html(app)
    press(app, "Next")
    assert shown_html(app) == ""


def test_a_file_is_read_when_asked_for_and_dropped_with_other_filters(fakes):
    app = opened("explore")
    assert not app.get("download_button")
    press(app, "Prepare CSV")
    assert [button.proto.label for button in app.get("download_button")] == ["Save users.csv"]
    assert "100 users, 0." in said(app)
    app.selectbox(key="country").select("FR").run()
    assert not app.get("download_button")
    press(app, "Prepare Parquet")
    assert [button.proto.label for button in app.get("download_button")] == ["Save users_FR.parquet"]
    assert len(fakes.found) == 100


def test_a_file_that_cannot_be_read_is_a_sentence(fakes):
    app = opened("explore")
    fakes.down = {"Cassandra"}
    press(app, "Prepare CSV")
    assert not app.get("download_button")
    assert app.error[0].value


def test_the_page_keeps_its_users_with_a_mark_while_cassandra_is_down(fakes):
    app = opened("explore")
    fakes.down = {"Cassandra"}
    app.run()
    assert not app.exception
    assert "Stale: Cassandra does not answer" in said(app)
    assert len(names(app)) == 50


def test_filters_chosen_while_cassandra_is_down_have_no_answer_yet(fakes):
    app = opened("explore")
    fakes.down = {"Cassandra"}
    app.selectbox(key="country").select("FR").run()
    assert not app.exception
    assert "were not asked for before Cassandra went away" in said(app)
    assert not app.dataframe
    fakes.down = set()
    app.run()
    assert "1 to 30" in said(app)


def test_without_users_the_page_says_what_to_do(fakes):
    fakes.counts = {}
    assert "No users yet" in said(opened("explore"))
