"""The rules of the stream in plain Python and in pandas, simplified, for Spark's two kinds of Python UDFs.

They leave out: bytes that are not UTF-8, repeated keys and what follows the JSON value; Unicode normalisation and
invisible characters; letter case by language; credentials inside texts; telephone numbers by country, which are only
stripped of punctuation; the distance's plausibility by country; and the reason of a rejection.
"""

import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from insights.model.age_bands import AGE_BANDS, OLDEST_BAND
from insights.model.countries import Country, load_countries
from insights.stream.rules import GENERATIONS, NEWEST_GENERATION

FIELDS = {
    "user_id": "STRING",
    "version": "BIGINT",
    "event_id": "STRING",
    **dict.fromkeys(("gender", "title", "first_name", "last_name", "full_name", "username", "email"), "STRING"),
    **dict.fromkeys(("email_domain", "phone", "cell", "street", "city", "state", "postcode", "address"), "STRING"),
    **dict.fromkeys(("country_code", "country", "continent", "sub_region"), "STRING"),
    **dict.fromkeys(("latitude", "longitude", "distance_km"), "DOUBLE"),
    "timezone": "STRING",
    "born_at": "TIMESTAMP",
    "age": "INT",
    "age_band": "STRING",
    "generation": "STRING",
    "registered_at": "TIMESTAMP",
    "registered_year": "INT",
    "registered_month": "STRING",
    "tenure_days": "INT",
    "picture_url": "STRING",
}
"""The fields of a user and their types in Spark, in the order of `clean_row`."""
DDL = ", ".join(f"{name} {kind}" for name, kind in FIELDS.items())
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def clean_row(value: bytes, version: int, event_id: str, now: datetime) -> tuple[Any, ...] | None:
    """The fields of a user, or None if the record is rejected."""
    try:
        record = json.loads(value)
        country = load_countries()[record["nat"].strip().upper()]
        born, registered = (_parse_time(record[name]["date"]) for name in ("dob", "registered"))
        email = record["email"].strip().lower()
        user_id = record["login"]["uuid"].strip().lower()
        place = record["location"]
        first, last = (record["name"][name].strip() for name in ("first", "last"))
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    if not (_UUID.fullmatch(user_id) and first and last and "@" in email and born < registered <= now):
        return None
    latitude, longitude = (float(place["coordinates"][name]) for name in ("latitude", "longitude"))
    street = f"{place['street']['number']} {place['street']['name']}"
    postcode = str(place["postcode"])
    age = now.year - born.year - ((now.month, now.day) < (born.month, born.day))
    address = ", ".join((street, f"{postcode} {place['city']}", place["state"], country.name))
    return (
        user_id,
        version,
        event_id,
        record["gender"].strip().lower(),
        record["name"]["title"],
        first,
        last,
        f"{first} {last}",
        record["login"]["username"],
        email,
        email.rpartition("@")[2],
        re.sub("[^0-9+]", "", record["phone"]),
        re.sub("[^0-9+]", "", record["cell"]),
        street,
        place["city"],
        place["state"],
        postcode,
        address,
        country.code,
        country.name,
        country.continent,
        country.sub_region,
        latitude,
        longitude,
        compute_distance(latitude, longitude, country),
        place["timezone"]["description"],
        born,
        age,
        _find_band(age),
        _find_generation(born.year),
        registered,
        registered.year,
        f"{registered:%Y-%m}",
        (now - registered).days,
        record["picture"]["large"],
    )


def clean_rows(values: Iterable[bytes], versions: pd.Series, event_ids: pd.Series, now: datetime) -> pd.DataFrame:
    """The same for many records, by operations on columns wherever pandas has them; a rejected one has a null id."""
    records = pd.json_normalize([json.loads(value) for value in values])
    frame = pd.DataFrame({"user_id": records["login.uuid"].str.strip().str.lower()})
    frame["version"], frame["event_id"] = versions, event_ids
    frame["gender"] = records["gender"].str.strip().str.lower()
    frame["title"] = records["name.title"]
    frame["first_name"], frame["last_name"] = records["name.first"].str.strip(), records["name.last"].str.strip()
    frame["full_name"] = frame["first_name"] + " " + frame["last_name"]
    frame["username"] = records["login.username"]
    frame["email"] = records["email"].str.strip().str.lower()
    frame["email_domain"] = frame["email"].str.rpartition("@")[2]
    for name in ("phone", "cell"):
        frame[name] = records[name].str.replace("[^0-9+]", "", regex=True)
    frame["street"] = records["location.street.number"].astype(str) + " " + records["location.street.name"]
    frame["city"], frame["state"] = records["location.city"], records["location.state"]
    frame["postcode"] = records["location.postcode"].astype(str)
    codes = records["nat"].str.strip().str.upper()
    names = ("name", "continent", "sub_region")
    facts = {code: {name: getattr(country, name) for name in names} for code, country in load_countries().items()}
    found = pd.DataFrame.from_dict(facts, orient="index").reindex(codes).reset_index(drop=True)
    frame["address"] = (
        frame["street"] + ", " + frame["postcode"] + " " + frame["city"] + ", " + frame["state"] + ", " + found["name"]
    )
    frame["country_code"] = codes
    frame["country"], frame["continent"], frame["sub_region"] = found["name"], found["continent"], found["sub_region"]
    frame["latitude"] = records["location.coordinates.latitude"].astype(float)
    frame["longitude"] = records["location.coordinates.longitude"].astype(float)
    frame["distance_km"] = [
        compute_distance(latitude, longitude, load_countries()[code])
        for latitude, longitude, code in zip(frame["latitude"], frame["longitude"], codes, strict=True)
    ]
    frame["timezone"] = records["location.timezone.description"]
    born, registered = (pd.to_datetime(records[f"{name}.date"], utc=True) for name in ("dob", "registered"))
    frame["born_at"] = born
    before = (born.dt.month > now.month) | ((born.dt.month == now.month) & (born.dt.day > now.day))
    frame["age"] = now.year - born.dt.year - before
    frame["age_band"] = frame["age"].map(_find_band)
    frame["generation"] = born.dt.year.map(_find_generation)
    frame["registered_at"], frame["registered_year"] = registered, registered.dt.year
    frame["registered_month"] = registered.dt.strftime("%Y-%m")
    frame["tenure_days"] = (now - registered).dt.days
    frame["picture_url"] = records["picture.large"]
    valid = frame["user_id"].str.fullmatch(_UUID) & frame["email"].str.contains("@") & (born < registered)
    frame.loc[~valid, "user_id"] = None
    return frame[list(FIELDS)]


def compute_distance(latitude: float, longitude: float, country: Country) -> float:
    """The great-circle distance to the country's centroid in kilometres."""
    a, b = math.radians(latitude), math.radians(country.latitude)
    half = math.sin((a - b) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(longitude - country.longitude) / 2) ** 2
    return 2 * 6371.0 * math.asin(math.sqrt(half))


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _find_band(age: int) -> str:
    return next((name for limit, name in AGE_BANDS if age < limit), OLDEST_BAND)


def _find_generation(year: int) -> str:
    return next((name for limit, name in GENERATIONS if year < limit), NEWEST_GENERATION)
