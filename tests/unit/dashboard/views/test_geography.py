"""Where the users live."""

import pytest

from tests.helpers.app_pages import HOSTILE, count_figures, get_table, list_alts, open_page, read_text


def test_the_maps_say_what_the_sample_is():
    app = open_page("geography")
    assert list_alts(app)[1] == "World map of the coordinates of 2 sampled users, 1 of them near their country."
    assert "A sample: 2 of 100 users" in read_text(app)


def test_the_world_is_drawn_by_region_and_the_largest_country_by_city():
    app = open_page("geography")
    assert list_alts(app)[2:] == [
        "Bar chart of users by region: Western Europe 100.",
        "Bar chart of users by city in Germany: Ulm 70.",
    ]


def test_a_region_leads_to_its_countries_and_a_country_to_its_cities():
    app = open_page("geography")
    assert app.selectbox(key="region").options == ["World", "Europe", "Europe · Western Europe"]
    app.selectbox(key="region").select("Europe").run()
    assert "Bar chart of users by country in Europe: Germany 70, France 30." in list_alts(app)
    assert "Users in Europe: 100 of 100." in read_text(app)
    app.selectbox(key="country").select("FR").run()
    assert not app.exception
    assert list_alts(app)[-1] == "Bar chart of users by city in France: Nantes 20, not given 10."


def test_a_region_offers_its_own_countries_only(fakes):
    fakes.counts = fakes.counts | {"country_code": {"DE": 70, "US": 30}}
    app = open_page("geography")
    app.selectbox(key="region").select("Americas").run()
    assert app.selectbox(key="country").options == ["United States"]


def test_the_caption_counts_the_cities_that_are_not_shown(fakes):
    cities: dict[tuple[str | None, ...], int] = {("DE", f"{HOSTILE} {number:02}"): 100 - number for number in range(27)}
    cities["DE", None] = 7
    fakes.cross_counts = fakes.cross_counts | {"country_city": cities}
    app = open_page("geography")
    assert (
        "The 25 cities in Germany with the most users. Not shown: 2 cities with 149 users. Without a city: 7 users."
    ) in read_text(app)


def test_the_table_of_countries_is_ordered_by_users_and_adds_up():
    countries = get_table(open_page("geography"), "share")
    assert list(countries["country"]) == ["Germany", "France"]
    assert list(countries["users"]) == [70, 30]
    assert countries["share"].sum() == pytest.approx(100)


def test_without_users_there_is_a_message_and_no_figure(fakes):
    fakes.counts = {}
    app = open_page("geography")
    assert count_figures(app) == 0
    assert "No users yet" in read_text(app)
