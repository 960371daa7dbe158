"""Where the users live."""

import pytest

from tests.helpers.app_pages import HOSTILE, alts, figures, opened, said, table


def test_the_maps_say_what_the_sample_is():
    app = opened("geography")
    assert alts(app)[1] == "World map of the coordinates of 2 sampled users, 1 of them near their country."
    assert "A sample: 2 of 100 users" in said(app)


def test_the_world_is_drawn_by_region_and_the_largest_country_by_city():
    app = opened("geography")
    assert alts(app)[2:] == [
        "Bars of users by region: Western Europe 100.",
        "Bars of users by city of Germany: Ulm 70.",
    ]


def test_a_region_leads_to_its_countries_and_a_country_to_its_cities():
    app = opened("geography")
    assert app.selectbox(key="region").options == ["World", "Europe", "Europe · Western Europe"]
    app.selectbox(key="region").select("Europe").run()
    assert "Bars of users by country in Europe: Germany 70, France 30." in alts(app)
    assert "100 of 100 users live in Europe" in said(app)
    app.selectbox(key="country").select("FR").run()
    assert not app.exception
    assert alts(app)[-1] == "Bars of users by city of France: Nantes 20, not given 10."


def test_a_region_offers_its_own_countries_only(fakes):
    fakes.counts = fakes.counts | {"country_code": {"DE": 70, "US": 30}}
    app = opened("geography")
    app.selectbox(key="region").select("Americas").run()
    assert app.selectbox(key="country").options == ["United States"]


def test_cities_beyond_the_first_are_counted_in_words(fakes):
    cities: dict[tuple[str | None, ...], int] = {("DE", f"{HOSTILE} {number:02}"): 100 - number for number in range(27)}
    cities["DE", None] = 7
    fakes.crossed = fakes.crossed | {"country_city": cities}
    app = opened("geography")
    assert "The 25 cities of Germany with most users and 2 others with 149 users; 7 users have no city" in said(app)


def test_the_table_of_countries_is_ordered_by_users_and_adds_up():
    countries = table(opened("geography"), "share")
    assert list(countries["country"]) == ["Germany", "France"]
    assert list(countries["users"]) == [70, 30]
    assert countries["share"].sum() == pytest.approx(100)


def test_without_users_there_is_a_sentence_and_no_figure(fakes):
    fakes.counts = {}
    app = opened("geography")
    assert figures(app) == 0
    assert "No users yet" in said(app)
