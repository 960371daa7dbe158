"""Where the users live."""

import pytest

from tests.unit.pages.support import figures, opened, said, table


def test_the_maps_say_what_the_sample_is():
    app = opened("geography")
    assert figures(app) == 2
    assert "A sample: 2 of 100 users" in said(app)


def test_the_table_of_countries_is_ordered_by_users_and_adds_up():
    countries = table(opened("geography"), "share")
    assert list(countries["country"]) == ["Germany", "France"]
    assert list(countries["users"]) == [70, 30]
    assert countries["share"].sum() == pytest.approx(100)
