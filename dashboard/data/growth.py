"""How many users each country gained in a month, and how fast it grew."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

Counts = Mapping[str, int]
MonthCountry = Mapping[tuple[str | None, ...], int]
"""Users by month of registration (`YYYY-MM`) and country."""


class CountryGrowth(NamedTuple):
    """Users of a country who registered in a month."""

    country_code: str
    users: int
    month_before: int
    """Users who registered in the calendar month before."""
    earlier: int
    """Users who registered at any time before the month."""

    @property
    def percent(self) -> float | None:
        """The month's users as a percentage of the earlier ones; None if there were none."""
        return 100 * self.users / self.earlier if self.earlier else None

    @property
    def change(self) -> float | None:
        """The change from the month before, in percent; None if nobody registered then."""
        return 100 * (self.users / self.month_before - 1) if self.month_before else None


def find_last_complete_month(now: datetime) -> str:
    """Return the calendar month before the current one, as `YYYY-MM`."""
    return shift_month(f"{now:%Y-%m}", -1)


def find_newest_month(months: Counts, latest: str) -> str | None:
    """Return the newest month that has registrations and is not after `latest`."""
    return max((month for month in months if month <= latest), default=None)


def shift_month(month: str, months: int) -> str:
    """Add `months` to a month: `2026-01` shifted by -1 is `2025-12`."""
    number = int(month[:4]) * 12 + int(month[5:7]) - 1 + months
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def list_months(last: str, months: int) -> list[str]:
    """Return the `months` months that end with `last`, oldest first."""
    return [shift_month(last, back) for back in range(1 - months, 1)]


def format_month(month: str) -> str:
    """Return `October 2026` for `2026-10`."""
    return f"{date(int(month[:4]), int(month[5:7]), 1):%B %Y}"


def compute_growth(month_countries: MonthCountry, countries: Counts, month: str) -> list[CountryGrowth]:
    """Compute the growth of every country in `month`, most new users first.

    `month_countries` holds the month before `month` and all later ones; `countries` holds all users by country.
    """
    before = shift_month(month, -1)
    since = dict.fromkeys(countries, 0)
    for (registered, code), users in month_countries.items():
        if code in since and registered is not None and registered >= month:
            since[code] += users
    growth = [
        CountryGrowth(
            code,
            month_countries.get((month, code), 0),
            month_countries.get((before, code), 0),
            max(0, total - since[code]),
        )
        for code, total in countries.items()
    ]
    return sorted(growth, key=lambda country: (-country.users, country.country_code))


def find_fastest(growth: Sequence[CountryGrowth]) -> CountryGrowth | None:
    """Return the country with the highest percentage, None if no country had earlier users."""
    return max(
        (country for country in growth if country.earlier),
        key=lambda country: country.users / country.earlier,
        default=None,
    )
