"""The growth of countries by month."""

from datetime import UTC, datetime

from dashboard.data import growth
from dashboard.data.growth import CountryGrowth


def test_months_are_shifted_across_years():
    assert [growth.shift_month("2026-01", by) for by in (-1, 0, 11, -25)] == [
        "2025-12",
        "2026-01",
        "2026-12",
        "2023-12",
    ]
    assert growth.list_months("2026-01", 3) == ["2025-11", "2025-12", "2026-01"]
    assert growth.format_month("2026-01") == "January 2026"


def test_the_last_complete_month_is_the_one_before_the_current_one():
    assert growth.find_last_complete_month(datetime(2026, 1, 31, 23, tzinfo=UTC)) == "2025-12"


def test_the_newest_month_is_never_the_current_one():
    assert growth.find_newest_month({"2025-10": 1, "2025-11": 1, "2026-01": 9}, "2025-12") == "2025-11"
    assert growth.find_newest_month({"2026-01": 9}, "2025-12") is None


def test_growth_counts_the_month_the_month_before_and_all_earlier_users():
    month_countries: growth.MonthCountry = {
        ("2025-12", "DE"): 4,
        ("2026-01", "DE"): 6,
        ("2026-02", "DE"): 50,
        ("2025-12", "FR"): 5,
        ("2026-01", "FR"): 20,
        ("2026-01", None): 3,
    }
    computed = growth.compute_growth(month_countries, {"DE": 100, "FR": 45, "IE": 7}, "2026-01")
    assert computed == [CountryGrowth("FR", 20, 5, 25), CountryGrowth("DE", 6, 4, 44), CountryGrowth("IE", 0, 0, 7)]
    assert (computed[0].percent, computed[0].change) == (80, 300)
    assert computed[2].change is None


def test_growth_from_nothing_has_no_percentage():
    assert growth.compute_growth({("2026-01", "DE"): 6}, {"DE": 6}, "2026-01")[0].percent is None


def test_the_fastest_country_has_the_highest_percentage_among_those_with_earlier_users():
    slow, fast, new = CountryGrowth("DE", 9, 0, 100), CountryGrowth("FR", 3, 0, 10), CountryGrowth("IE", 50, 0, 0)
    assert growth.find_fastest([new, slow, fast]) is fast
    assert growth.find_fastest([new]) is None
