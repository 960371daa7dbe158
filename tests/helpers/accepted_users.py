"""Random accepted users for tests, as rows of the table that the sinks write."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa

from insights.sinks.accepted_rows import AcceptedRows, encode_rows
from insights.sinks.user_rows import ACCEPTED_SCHEMA

FETCHED = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
NASTY = ("", '"', ",", "\\N", "\\.", "a\nb", "a\r\n", "O'Brien", "Ünal", "\u0627\u0645\u06cc\u0631", "\U0001f600", "\t")


def user(random_: random.Random, user_id: UUID, version: int, event_id: str, **fields: Any) -> dict[str, Any]:
    """Return a random user; `fields` override single values."""
    registered = datetime(random_.choice([2009, 2020]), random_.choice([2, 11]), random_.randint(1, 3), tzinfo=UTC)
    country = random_.choice(["DE", "IR", "US"])
    row = {
        "user_id": str(user_id),
        "version": version,
        "event_id": event_id,
        "event_time": FETCHED + timedelta(milliseconds=random_.randrange(10**6)),
        "batch_id": random_.choice([None, "page-1"]),
        "gender": random_.choice(["female", "male"]),
        "title": random_.choice([None, *NASTY]),
        "first_name": random_.choice(NASTY),
        "last_name": random_.choice(NASTY),
        "full_name": random_.choice(NASTY),
        "username": random_.choice([None, *NASTY]),
        "email": f"{version}@example.com",
        "email_domain": random_.choice(["example.com", "example.org"]),
        "phone": random_.choice([None, "+4930123456"]),
        "phone_valid": random_.random() < 0.5,
        "cell": None,
        "cell_valid": False,
        "street": random_.choice([None, "8929 Valwood Pkwy"]),
        "city": random_.choice([None, *NASTY]),
        "state": None,
        "postcode": random_.choice([None, "01234", "K1A 0B1"]),
        "address": random_.choice(NASTY),
        "country_code": country,
        "country": {"DE": "Germany", "IR": "Iran", "US": "United States"}[country],
        "continent": "Europe",
        "sub_region": "Western Europe",
        "latitude": random_.choice([None, -90.0, random_.uniform(-90, 90)]),
        "longitude": random_.choice([None, 1e-7, random_.uniform(-180, 180)]),
        "distance_km": random_.choice([None, random_.uniform(0, 20000)]),
        "location_plausible": random_.choice([None, True, False]),
        "timezone": random_.choice([None, "Kabul"]),
        "utc_offset_minutes": random_.choice([None, -210, 0, 330]),
        "born_at": datetime(1931, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        "age": random_.randint(5, 94),
        "age_band": random_.choice(["18-24", "75+"]),
        "generation": random_.choice(["Silent", "Gen Z"]),
        "registered_at": registered,
        "registered_year": registered.year,
        "registered_month": registered.strftime("%Y-%m"),
        "tenure_days": (FETCHED - registered).days,
        "picture_url": None,
    }
    return row | fields


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return the rows as the table of accepted users of a batch; each has a version unless it is `unversioned`."""
    messages = [{"origin": f"users.raw/0/{n}", "unversioned": False} | row for n, row in enumerate(rows)]
    return pa.Table.from_pylist(messages, schema=ACCEPTED_SCHEMA)


def encode(rows: Sequence[dict[str, Any]]) -> AcceptedRows:
    """Return the rows of `table` as the merge takes them."""
    return encode_rows(table(rows))
