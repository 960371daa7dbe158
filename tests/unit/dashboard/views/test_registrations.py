"""When the users registered."""

import pytest

from tests.helpers.app_pages import count_figures, get_table, list_alts, open_page, read_text


def test_every_figure_has_a_text_alternative():
    assert list_alts(open_page("registrations")) == [
        "Line chart of registrations by month from January 2020 to March 2020: March 2020 60, January 2020 40.",
        "Bar chart of registrations by year: 2020 100.",
        "Bar chart of registrations by weekday: Monday 90, Sunday 10.",
        "Heat map of registrations by year and generation: Gen Z in 2020 100.",
    ]


def test_growth_by_country_covers_the_newest_month_with_registrations():
    germany, france = get_table(open_page("registrations"), "percent").to_dict("records")
    assert (germany["country"], germany["users"], germany["before"]) == ("Germany", 40, 0)
    assert germany["percent"] == pytest.approx(100 * 40 / 30)
    assert list(germany["line"][-3:]) == [30, 0, 40]
    assert len(germany["line"]) == 24
    assert france["percent"] == pytest.approx(200)


def test_the_current_month_alone_has_no_growth(fakes):
    fakes.counts = fakes.counts | {"registered_month": {"9999-01": 1}}
    app = open_page("registrations")
    assert "Growth by country" not in read_text(app)
    assert count_figures(app) == 4


def test_without_users_there_is_a_message_and_no_figure(fakes):
    fakes.counts = {}
    app = open_page("registrations")
    assert count_figures(app) == 0
    assert "No users yet" in read_text(app)
