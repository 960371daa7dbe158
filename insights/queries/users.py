"""What the dashboard reads of the users, from Cassandra: never a row a user."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from cassandra.cluster import Session

from insights.model.schema import BUCKETS, USER_FIELDS

ARRIVALS_KEPT = timedelta(days=7)
"""The time to live of `latest_arrivals`."""
LOOK_BACK_HOURS = (3, 24, int(ARRIVALS_KEPT / timedelta(hours=1)))
"""Arrivals are looked for in the last hours first, further back only where those hold too few."""

MOST_PARTITIONS = 400
"""That one sample of places reads: all buckets of the API's 21 nationalities, fewer of each of more countries."""

_ARRIVAL = "event_time, user_id, full_name, gender, age, country_code, country, city"

_COUNTS = "SELECT value, count FROM {}.user_counts WHERE dimension = ?"

_prepared: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""Statements by the session that prepared them, for as long as that lives."""


class Arrival(NamedTuple):
    """A user who arrived lately."""

    event_time: datetime
    user_id: UUID
    full_name: str
    gender: str
    age: int
    country_code: str
    country: str
    city: str | None


class SampledPlace(NamedTuple):
    """Where a sampled user lives, in degrees."""

    country_code: str
    city: str | None
    latitude: float
    longitude: float
    location_plausible: bool | None


def read_counts(session: Session, dimension: str) -> dict[str, int]:
    """Users per value of one of `record.DIMENSIONS` of one field; values without users left out."""
    rows = execute(session, _COUNTS.format(session.keyspace), dimension)
    return {row.value: row.count for row in rows if row.count}


def read_cross_counts(session: Session, dimension: str, first: str | None = None) -> dict[tuple[str | None, ...], int]:
    """Users per values of a dimension of several fields, those without users left out.

    `first` limits it to one value of the first field, whose counts lie together.
    """
    if first is None:
        rows = execute(session, _COUNTS.format(session.keyspace), dimension)
    else:
        begins = json.dumps([first], ensure_ascii=False)[:-1] + ", "
        query = f"{_COUNTS.format(session.keyspace)} AND value >= ? AND value < ?"
        rows = execute(session, query, dimension, begins, begins[:-1] + "!")
    return _crossed(rows)


def read_cross_counts_since(session: Session, dimension: str, first: str) -> dict[tuple[str | None, ...], int]:
    """The same, of the values whose first field is `first` or sorts behind it."""
    query = f"{_COUNTS.format(session.keyspace)} AND value >= ?"
    return _crossed(execute(session, query, dimension, json.dumps([first], ensure_ascii=False)[:-1]))


def list_latest_arrivals(session: Session, limit: int) -> list[Arrival]:
    """The newest arrivals of the last `ARRIVALS_KEPT`, newest first."""
    now = datetime.now(UTC)
    found: list[Arrival] = []
    begin = 0
    for end in LOOK_BACK_HOURS:
        hours = [(now - timedelta(hours=back)).strftime("%Y-%m-%dT%H") for back in range(begin, end)]
        rows = execute(
            session,
            f"SELECT {_ARRIVAL} FROM {session.keyspace}.latest_arrivals WHERE hour IN ? PER PARTITION LIMIT ?",
            hours,
            limit,
        )
        found += [Arrival(*row) for row in rows]
        if len(found) >= limit:
            break
        begin = end
    return sorted(found, key=lambda arrival: arrival.event_time, reverse=True)[:limit]


def fetch_user(session: Session, user_id: UUID) -> dict[str, Any] | None:
    """Every column of a user."""
    columns = ", ".join(USER_FIELDS)
    row = execute(session, f"SELECT {columns} FROM {session.keyspace}.users_by_id WHERE user_id = ?", user_id).one()
    return dict(row._asdict()) if row else None


def sample_places(session: Session, country_codes: Sequence[str], per_bucket: int) -> list[SampledPlace]:
    """At most `per_bucket` users with coordinates, the latest registered, of each of the `BUCKETS` of each country.

    Which bucket a user is in is chance: where the buckets of all countries are more than `MOST_PARTITIONS`, an equal
    share of each country's is read.
    """
    countries = list(country_codes)[:MOST_PARTITIONS]
    if not countries:
        return []
    buckets = list(range(min(BUCKETS, MOST_PARTITIONS // len(countries))))
    rows = execute(
        session,
        f"SELECT country_code, city, latitude, longitude, location_plausible FROM {session.keyspace}.users_by_country"
        " WHERE country_code IN ? AND bucket IN ? PER PARTITION LIMIT ?",
        countries,
        buckets,
        per_bucket,
    )
    return [SampledPlace(*row) for row in rows if row.latitude is not None and row.longitude is not None]


def execute(session: Session, cql: str, *values: object) -> Any:
    """The rows of a prepared statement, whose tables are to be qualified: the server warns of others."""
    prepared = _prepared.setdefault(session, {})
    if cql not in prepared:
        prepared[cql] = session.prepare(cql)
    return session.execute(prepared[cql], values)


def _crossed(rows: Any) -> dict[tuple[str | None, ...], int]:
    return {tuple(json.loads(row.value)): row.count for row in rows if row.count}
