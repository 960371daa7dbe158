"""When the users registered."""

import pytest

from tests.helpers.app_pages import alts, figures, opened, said, table


def test_the_figures_say_in_words_what_they_show():
    assert alts(opened("registrations")) == [
        "Line of registrations by month from January 2020 to March 2020: March 2020 60, January 2020 40.",
        "Bars of registrations by year: 2020 100.",
        "Bars of registrations by weekday: Monday 90, Sunday 10.",
        "Heat map of registrations by year and generation: Gen Z in 2020 100.",
    ]


def test_growth_by_country_is_of_the_newest_month_with_registrations():
    germany, france = table(opened("registrations"), "percent").to_dict("records")
    assert (germany["country"], germany["users"], germany["before"]) == ("Germany", 40, 0)
    assert germany["percent"] == pytest.approx(100 * 40 / 30)
    assert list(germany["line"][-3:]) == [30, 0, 40]
    assert len(germany["line"]) == 24
    assert france["percent"] == pytest.approx(200)


def test_a_running_month_alone_has_no_growth(fakes):
    fakes.counts = fakes.counts | {"registered_month": {"9999-01": 1}}
    app = opened("registrations")
    assert "Growth by country" not in said(app)
    assert figures(app) == 4


def test_without_users_there_is_a_sentence_and_no_figure(fakes):
    fakes.counts = {}
    app = opened("registrations")
    assert figures(app) == 0
    assert "No users yet" in said(app)
