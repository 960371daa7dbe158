"""Generated users in chunks of columns, the same in every run, and their counts by dimension.

They form at least as many groups as the API's users: 21 nationalities, 243 months of registration, and `CITIES` cities
per country.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import prod
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from insights.model.age_bands import AGE_BANDS, BAND_NAMES
from insights.model.countries import load_countries
from insights.model.user import DIMENSIONS
from insights.simulator.formats import list_nationalities
from insights.simulator.places import load_lists
from insights.sinks.user_rows import build_user_schema
from insights.stream.rules import GENERATIONS, NEWEST_GENERATION

REGISTERED_FROM, REGISTERED_UNTIL = datetime(2002, 3, 21, tzinfo=UTC), datetime(2022, 5, 23, tzinfo=UTC)
CHUNK = 100_000
CITIES = 400
"""Cities per country; `country_city` is the dimension with the most values."""
YOUNGEST, OLDEST = 23, 82
"""The range of the API's ages."""
FETCHED_YEAR = 2026
_DAYS = [REGISTERED_FROM + timedelta(days=n) for n in range((REGISTERED_UNTIL - REGISTERED_FROM).days)]
USERS = build_user_schema()
_DAY_MILLISECONDS = 86_400_000
_FIRST_DAY = int(REGISTERED_FROM.timestamp() * 1000) // _DAY_MILLISECONDS * _DAY_MILLISECONDS
_COUNTRIES = list_nationalities("1.4")
_CITY_NAMES = [load_lists(code).cities for code in _COUNTRIES]

LABELS: dict[str, list[str]] = {
    "country_code": list(_COUNTRIES),
    "gender": ["female", "male"],
    "age_band": list(BAND_NAMES),
    "generation": [*(name for _, name in GENERATIONS), NEWEST_GENERATION],
    "registered_year": sorted({str(day.year) for day in _DAYS}),
    "registered_month": sorted({f"{day:%Y-%m}" for day in _DAYS}),
    "registered_weekday": [str(day) for day in range(1, 8)],
    "email_domain": ["example.com"],
    "city": [f"{names[n % len(names)]} {n // len(names) + 1}" for names in _CITY_NAMES for n in range(CITIES)],
}
"""The values of each counted field. A user has the index of its value."""
_FIRST_NAMES = [
    name for code in _COUNTRIES for names in (load_lists(code).female, load_lists(code).male) for name in names
]
_LAST_NAMES = [name for code in _COUNTRIES for name in load_lists(code).last]
_FIRSTS, _LASTS = (len(names) // len(_COUNTRIES) for names in (_FIRST_NAMES, _LAST_NAMES))
_OF_DAY = {
    "registered_year": np.array([LABELS["registered_year"].index(str(day.year)) for day in _DAYS]),
    "registered_month": np.array([LABELS["registered_month"].index(f"{day:%Y-%m}") for day in _DAYS]),
    "registered_weekday": np.array([day.isoweekday() - 1 for day in _DAYS]),
}


class Chunk:
    """The users `first` to `first + count - 1`. Their counted fields are generated at once, the others by `rows`."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count
        self._generator = np.random.default_rng([1, first])
        country, gender, age, self._day = (
            self._generator.integers(low, high, CHUNK)[:count]
            for low, high in ((0, len(_COUNTRIES)), (0, 2), (YOUNGEST, OLDEST + 1), (0, len(_DAYS)))
        )
        self.age = age
        self.codes = {
            "country_code": country,
            "gender": gender,
            "age_band": np.searchsorted([limit for limit, _ in AGE_BANDS], age, "right"),
            "generation": np.searchsorted([limit for limit, _ in GENERATIONS], FETCHED_YEAR - age, "right"),
            "email_domain": np.zeros(count, np.int64),
            "city": country * CITIES + self._generator.integers(0, CITIES, CHUNK)[:count],
        } | {field: codes[self._day] for field, codes in _OF_DAY.items()}

    def rows(self) -> pa.Table:
        """The columns of the tables by country and by month, and of the latest arrivals except their times."""
        codes, generator, country = self.codes, self._generator, self.codes["country_code"]
        numbers = np.arange(self.first, self.first + self.count)
        texts = {field: _take(labels, codes[field]) for field, labels in LABELS.items()}
        centres = np.array(
            [(country.latitude, country.longitude) for country in map(load_countries().get, _COUNTRIES) if country]
        )
        offset = generator.normal(0, 2, (CHUNK, 2))[: self.count]
        latitude, longitude = (centres[country] + offset).T
        first = _take(_FIRST_NAMES, country * _FIRSTS + codes["gender"] * (_FIRSTS // 2) + numbers % (_FIRSTS // 2))
        last = _take(_LAST_NAMES, country * _LASTS + numbers // 7 % _LASTS)
        registered = (
            _FIRST_DAY + self._day * _DAY_MILLISECONDS + generator.integers(0, _DAY_MILLISECONDS, CHUNK)[: self.count]
        )
        identifiers = generator.bytes(16 * CHUNK)
        user_ids = pa.array(
            [str(UUID(bytes=identifiers[at : at + 16], version=4)) for at in range(0, 16 * self.count, 16)]
        )
        columns: dict[str, Any] = texts | {
            "user_id": user_ids,
            "version": pa.array(numbers + 1_000_000),
            "registered_at": pa.array(registered).cast(pa.timestamp("ms", "UTC")),
            "full_name": pc.binary_join_element_wise(first, last, " "),
            "email": pc.binary_join_element_wise("user", pa.array(numbers).cast(pa.string()), "@example.com", ""),
            "age": pa.array(self.age.astype(np.int32)),
            "country": _take([load_countries()[code].name for code in _COUNTRIES], country),
            "state": pa.nulls(self.count, pa.string()),
            "latitude": pa.array(np.clip(latitude, -90, 90)),
            "longitude": pa.array(np.clip(longitude, -180, 180)),
            "location_plausible": pa.array(np.abs(offset[:, 0]) < 4),
            "tenure_days": pa.array((len(_DAYS) - self._day).astype(np.int32)),
        }
        return pa.table(columns)

    def accepted(self) -> pa.Table:
        """All fields of the users, as accepted messages of the topic `generated`, from offset `first` on.

        The users are complete, but what no table and no page looks at is the same for many of them.
        """
        rows = self.rows()
        count, numbers = self.count, np.arange(self.first, self.first + self.count)
        texts = pa.array(numbers).cast(pa.string())
        origins = pc.binary_join_element_wise("generated/0", texts, "/")
        born = pc.subtract(rows["registered_at"], pa.scalar(timedelta(days=9000), pa.duration("ms")))
        country = [load_countries()[code] for code in _COUNTRIES]

        def repeat(value: Any) -> pa.Array:
            return pa.array([value] * count)

        columns = {name: rows[name] for name in rows.column_names} | {
            "registered_year": rows["registered_year"].cast(pa.int32()),
            "event_id": origins,
            "event_time": pa.array(np.full(count, 1_780_000_000_000), pa.timestamp("ms", "UTC")),
            "batch_id": pc.binary_join_element_wise(
                "5eed000000000000/", pc.divide(pa.array(numbers), 5000).cast(pa.string()), ""
            ),
            "title": repeat("Ms"),
            "first_name": pc.list_element(pc.split_pattern(rows["full_name"], " ", max_splits=1), 0),
            "last_name": pc.list_element(pc.split_pattern(rows["full_name"], " ", max_splits=1), 1),
            "username": pc.binary_join_element_wise("orangeduck", texts, ""),
            "phone": pc.binary_join_element_wise("+4930", texts, ""),
            "phone_valid": repeat(True),
            "cell": pc.binary_join_element_wise("+49151", texts, ""),
            "cell_valid": repeat(True),
            "street": pc.binary_join_element_wise(texts, "Valwood Parkway", " "),
            "postcode": texts,
            "address": pc.binary_join_element_wise(texts, "Valwood Parkway,", texts, rows["city"], " "),
            "continent": _take([one.continent for one in country], self.codes["country_code"]),
            "sub_region": _take([one.sub_region for one in country], self.codes["country_code"]),
            "distance_km": pa.array(numbers % 9000 / 10),
            "timezone": repeat("Bangkok, Hanoi, Jakarta"),
            "utc_offset_minutes": pa.array(np.full(count, 420, np.int32)),
            "born_at": born,
            "picture_url": pc.binary_join_element_wise("https://example.com/api/portraits/", texts, ".jpg", ""),
        }
        users = pa.table([columns[field.name].cast(field.type) for field in USERS], USERS)
        return users.append_column("origin", origins).append_column("unversioned", repeat(False))


def generate_chunks(users: int, first: int = 0) -> Iterator[Chunk]:
    """The users `first`, a multiple of `CHUNK`, to `users - 1`."""
    for start in range(first, users, CHUNK):
        yield Chunk(start, min(CHUNK, users - start))


def count_users(users: int) -> dict[str, dict[str, int]]:
    """The first `users` users per value of each dimension."""
    shapes = {name: tuple(len(LABELS[field]) for field in fields) for name, fields in DIMENSIONS.items()}
    totals = {name: np.zeros(prod(shape), np.int64) for name, shape in shapes.items()}
    for chunk in generate_chunks(users):
        for name, fields in DIMENSIONS.items():
            indexes = np.ravel_multi_index([chunk.codes[field] for field in fields], shapes[name])
            totals[name] += np.bincount(indexes, minlength=len(totals[name]))
    return {
        name: {_format_value(name, int(index), shapes[name]): int(numbers[index]) for index in np.flatnonzero(numbers)}
        for name, numbers in totals.items()
    }


def _format_value(dimension: str, index: int, shape: tuple[int, ...]) -> str:
    fields = DIMENSIONS[dimension]
    texts = [LABELS[field][code] for field, code in zip(fields, np.unravel_index(index, shape), strict=True)]
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def _take(labels: list[str], codes: NDArray[np.int64]) -> pa.Array:
    return pa.array(labels).take(pa.array(codes))
