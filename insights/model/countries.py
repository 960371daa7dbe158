"""The countries of the API's nationalities: names, regions and positions.

`countries.csv` has the ISO 3166-1 codes and short names (without the formal part: "Iran"), the United Nations M49
continent and sub-region, the centroid in degrees, and the reach: the distance in kilometres from the centroid to the
farthest of the country's northernmost, southernmost, westernmost and easternmost points, rounded up to a multiple of
50. The Canary Islands and Hawaii count as part of their countries, overseas departments do not.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Country:
    """One nationality of the API. Positions are in degrees, `reach_km` in kilometres."""

    code: str
    alpha3: str
    name: str
    continent: str
    sub_region: str
    latitude: float
    longitude: float
    reach_km: float


@cache
def load_countries() -> dict[str, Country]:
    """Load all countries, by ISO 3166-1 alpha-2 code."""
    with files("insights.model").joinpath("countries.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        row["code"]: Country(
            code=row["code"],
            alpha3=row["alpha3"],
            name=row["name"],
            continent=row["continent"],
            sub_region=row["sub_region"],
            latitude=float(row["latitude"]),
            longitude=float(row["longitude"]),
            reach_km=float(row["reach_km"]),
        )
        for row in rows
    }
