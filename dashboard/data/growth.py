"""Which country grew by how much in a month."""

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
    """In the calendar month before."""
    earlier: int
    """All who had registered before the month."""

    @property
    def percent(self) -> float | None:
        """Of the earlier ones; none where there were none."""
        return 100 * self.users / self.earlier if self.earlier else None

    @property
    def change(self) -> float | None:
        """Against the month before, in percent; none where nobody registered then."""
        return 100 * (self.users / self.month_before - 1) if self.month_before else None


def find_last_complete_month(now: datetime) -> str:
    """The calendar month before the running one, `YYYY-MM`."""
    return shift_month(f"{now:%Y-%m}", -1)


def find_newest_month(months: Counts, latest: str) -> str | None:
    """The newest month with a registration that is not after `latest`."""
    return max((month for month in months if month <= latest), default=None)


def shift_month(month: str, months: int) -> str:
    """`2026-01` shifted by -1 is `2025-12`."""
    number = int(month[:4]) * 12 + int(month[5:7]) - 1 + months
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def list_months(last: str, months: int) -> list[str]:
    """So many months up to `last`, oldest first."""
    return [shift_month(last, back) for back in range(1 - months, 1)]


def format_month(month: str) -> str:
    """`October 2026`."""
    return f"{date(int(month[:4]), int(month[5:7]), 1):%B %Y}"


def compute_growth(crossed: MonthCountry, countries: Counts, month: str) -> list[CountryGrowth]:
    """Of every country, the most new users first.

    `crossed` holds the month before `month` and every later one; `countries` all users by country.
    """
    before = shift_month(month, -1)
    since = dict.fromkeys(countries, 0)
    for (registered, code), users in crossed.items():
        if code in since and registered is not None and registered >= month:
            since[code] += users
    grown = [
        CountryGrowth(code, crossed.get((month, code), 0), crossed.get((before, code), 0), max(0, total - since[code]))
        for code, total in countries.items()
    ]
    return sorted(grown, key=lambda country: (-country.users, country.country_code))


def find_fastest(grown: Sequence[CountryGrowth]) -> CountryGrowth | None:
    """The country with the highest percentage; none while none had users earlier."""
    return max(
        (country for country in grown if country.earlier),
        key=lambda country: country.users / country.earlier,
        default=None,
    )
