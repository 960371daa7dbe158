"""The dashboard's queries on Cassandra. Each reads a bounded number of rows, and none scans a table."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from cassandra.cluster import Session

from insights.model.schema import ARRIVALS_KEPT, BUCKETS, find_id_bucket

LOOK_BACK_HOURS = (3, 24, int(ARRIVALS_KEPT / timedelta(hours=1)))
"""Arrivals are read from the last hours first, and from earlier ones only if those hold too few."""

MAX_PARTITIONS = 400
"""Partitions per statement: all buckets of the API's 21 nationalities, or fewer buckets of each of more countries."""

_ARRIVAL_COLUMNS = "event_time, user_id, full_name, gender, age, country_code, country, city"

_SELECT_COUNTS = "SELECT value, count FROM {}.user_counts WHERE dimension = ?"

_prepared: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
"""Prepared statements by session; they are dropped with it."""


class Arrival(NamedTuple):
    """A user of the table `latest_arrivals`."""

    event_time: datetime
    user_id: UUID
    full_name: str
    gender: str
    age: int
    country_code: str
    country: str
    city: str | None


class SampledPlace(NamedTuple):
    """Where a sampled user lives; coordinates in degrees."""

    country_code: str
    city: str | None
    latitude: float
    longitude: float
    location_plausible: bool | None


def read_counts(session: Session, dimension: str) -> dict[str, int]:
    """Users per value of a dimension of one field (`user.DIMENSIONS`), values without users left out."""
    rows = execute(session, _SELECT_COUNTS.format(session.keyspace), dimension)
    return {row.value: row.count for row in rows if row.count}


def read_cross_counts(session: Session, dimension: str, first: str | None = None) -> dict[tuple[str | None, ...], int]:
    """Users per tuple of values of a dimension of several fields, tuples without users left out.

    `first` restricts the result to one value of the first field, whose counts are adjacent in the partition.
    """
    if first is None:
        rows = execute(session, _SELECT_COUNTS.format(session.keyspace), dimension)
    else:
        prefix = json.dumps([first], ensure_ascii=False)[:-1] + ", "
        query = f"{_SELECT_COUNTS.format(session.keyspace)} AND value >= ? AND value < ?"
        rows = execute(session, query, dimension, prefix, prefix[:-1] + "!")
    return _parse_cross_counts(rows)


def read_cross_counts_since(session: Session, dimension: str, first: str) -> dict[tuple[str | None, ...], int]:
    """Like `read_cross_counts`, for the tuples whose first value is `first` or sorts after it."""
    query = f"{_SELECT_COUNTS.format(session.keyspace)} AND value >= ?"
    return _parse_cross_counts(execute(session, query, dimension, json.dumps([first], ensure_ascii=False)[:-1]))


def list_latest_arrivals(session: Session, limit: int) -> list[Arrival]:
    """The newest arrivals of the last `ARRIVALS_KEPT`, newest first."""
    now = datetime.now(UTC)
    arrivals: list[Arrival] = []
    start = 0
    for end in LOOK_BACK_HOURS:
        hours = [(now - timedelta(hours=age)).strftime("%Y-%m-%dT%H") for age in range(start, end)]
        rows = execute(
            session,
            f"SELECT {_ARRIVAL_COLUMNS} FROM {session.keyspace}.latest_arrivals WHERE hour IN ? PER PARTITION LIMIT ?",
            hours,
            limit,
        )
        arrivals += [Arrival(*row) for row in rows]
        if len(arrivals) >= limit:
            break
        start = end
    return sorted(arrivals, key=lambda arrival: arrival.event_time, reverse=True)[:limit]


def fetch_user(session: Session, user_id: UUID) -> dict[str, Any] | None:
    """Every field of a user; None if there is no such user."""
    query = f"SELECT user_id, profile FROM {session.keyspace}.user_profiles_by_id WHERE id_bucket = ? AND user_id = ?"
    row = execute(session, query, find_id_bucket(user_id), user_id).one()
    return {"user_id": row.user_id, **row.profile._asdict()} if row and row.profile else None


def sample_places(session: Session, country_codes: Sequence[str], per_bucket: int) -> list[SampledPlace]:
    """Sample where users live: the `per_bucket` latest registered users of each bucket of each country.

    Users without coordinates are left out. The bucket of a user is random: if the countries have more than
    `MAX_PARTITIONS` buckets together, the sample reads an equal number of buckets of each.
    """
    countries = list(country_codes)[:MAX_PARTITIONS]
    if not countries:
        return []
    buckets = list(range(min(BUCKETS, MAX_PARTITIONS // len(countries))))
    rows = execute(
        session,
        "SELECT country_code, summary.city AS city, summary.latitude AS latitude, summary.longitude AS longitude,"
        f" summary.location_plausible AS location_plausible FROM {session.keyspace}.user_summaries_by_country"
        " WHERE country_code IN ? AND bucket IN ? PER PARTITION LIMIT ?",
        countries,
        buckets,
        per_bucket,
    )
    return [SampledPlace(*row) for row in rows if row.latitude is not None and row.longitude is not None]


def execute(session: Session, cql: str, *values: object) -> Any:
    """Execute a statement that is prepared once per session.

    Its tables must be qualified with the keyspace: the server warns of prepared statements that rely on `USE`.
    """
    prepared = _prepared.setdefault(session, {})
    if cql not in prepared:
        prepared[cql] = session.prepare(cql)
    return session.execute(prepared[cql], values)


def _parse_cross_counts(rows: Any) -> dict[tuple[str | None, ...], int]:
    return {tuple(json.loads(row.value)): row.count for row in rows if row.count}
