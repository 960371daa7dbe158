"""The countries of the API's nationalities: names, regions, where they lie, how their telephone numbers are written.

`countries.csv` holds the ISO 3166-1 codes and short names (without the formal part: "Iran"), the United Nations M49
continent and sub-region, the centroid in degrees, and the reach: the kilometres from the centroid to the farthest of
the country's extreme points (north, south, west, east, of the territory its people are listed in: the Canary Islands
and Hawaii count, overseas departments do not), rounded up to the next 50.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from phonenumbers import PhoneMetadata


@dataclass(frozen=True, slots=True)
class Country:
    """One nationality of the API. Degrees and kilometres."""

    code: str
    alpha3: str
    name: str
    continent: str
    sub_region: str
    latitude: float
    longitude: float
    reach_km: float


@dataclass(frozen=True, slots=True)
class Telephony:
    """How a country writes telephone numbers, from libphonenumber's metadata. The patterns match a national number."""

    calling_code: str
    national_prefix: str | None
    general: str
    kinds: tuple[str, ...]
    """Fixed lines, mobiles and every other kind of number; some countries give several kinds one pattern."""


@cache
def load_countries() -> dict[str, Country]:
    """All of them, by ISO 3166-1 alpha-2 code."""
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


def load_telephony(code: str) -> Telephony:
    """The rules of the country with this ISO 3166-1 alpha-2 code."""
    metadata: Any = PhoneMetadata.metadata_for_region(code)
    kinds = [
        getattr(metadata, kind).national_number_pattern
        for kind in (
            "fixed_line",
            "mobile",
            "toll_free",
            "premium_rate",
            "shared_cost",
            "personal_number",
            "voip",
            "pager",
            "uan",
            "voicemail",
        )
        if getattr(metadata, kind) is not None
    ]
    return Telephony(
        calling_code=str(metadata.country_code),
        national_prefix=metadata.national_prefix,
        general=metadata.general_desc.national_number_pattern,
        kinds=tuple(dict.fromkeys(kind for kind in kinds if kind)),
    )
