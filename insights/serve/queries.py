"""What the dashboard reads: never a row a user. Quarantine is counted, by an index of what is open."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from insights.schema import BUCKETS, USER_FIELDS

RECOUNT = "recount"
"""The recount's query in `analytics.batches`: as a batch, it is known to be in Cassandra or sent with the next one."""
ARRIVALS_KEPT = timedelta(days=7)
"""The time to live of `latest_arrivals`."""
LOOK_BACK_HOURS = (3, 24, int(ARRIVALS_KEPT / timedelta(hours=1)))
"""Arrivals are looked for in the last hours first, further back only where those hold too few."""

MOST_PARTITIONS = 400
"""That one sample of places reads: all buckets of the API's 21 nationalities, fewer of each of more countries."""

_ARRIVAL = "event_time, user_id, full_name, gender, age, country_code, country, city"

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


class Registered(NamedTuple):
    """A user of a country or month."""

    registered_at: datetime
    user_id: UUID
    full_name: str
    gender: str
    age: int
    country_code: str


class Place(NamedTuple):
    """Where a sampled user lives, in degrees."""

    country_code: str
    city: str | None
    latitude: float
    longitude: float
    location_plausible: bool | None


class Batch(NamedTuple):
    """A micro-batch of the stream."""

    batch_id: int
    """Its number since the checkpoint began."""
    started_at: datetime
    merged_at: datetime
    served_at: datetime | None
    read: int
    accepted: int
    rejected: int
    inserted: int
    updated: int


class Refused(NamedTuple):
    """A record in quarantine."""

    quarantined_at: datetime
    reason: str
    field: str
    detail: str
    origin: str
    redrives: int
    size: int


class FlowFacts(NamedTuple):
    """Totals of each hop, as the stores keep them; the ledger proves them."""

    fetched: int
    duplicates: int
    published: int
    served: int
    quarantined: int
    publisher_moved_at: datetime | None
    served_at: datetime | None
    """When the stream's last batch was in Cassandra."""


def counts(session: Any, dimension: str) -> dict[str, int]:
    """Users per value of one of `record.DIMENSIONS`; values without users left out."""
    rows = _read(session, f"SELECT value, count FROM {session.keyspace}.user_counts WHERE dimension = ?", dimension)
    return {row.value: row.count for row in rows if row.count}


def latest(session: Any, limit: int) -> list[Arrival]:
    """The newest arrivals of the last `ARRIVALS_KEPT`, newest first."""
    now = datetime.now(UTC)
    found: list[Arrival] = []
    begin = 0
    for end in LOOK_BACK_HOURS:
        hours = [(now - timedelta(hours=back)).strftime("%Y-%m-%dT%H") for back in range(begin, end)]
        rows = _read(
            session,
            f"SELECT {_ARRIVAL} FROM {session.keyspace}.latest_arrivals WHERE hour IN ? PER PARTITION LIMIT ?",
            hours, limit,
        )  # fmt: skip
        found += [Arrival(*row) for row in rows]
        if len(found) >= limit:
            break
        begin = end
    return sorted(found, key=lambda arrival: arrival.event_time, reverse=True)[:limit]


def by_country(session: Any, country_code: str, limit: int) -> list[Registered]:
    """The latest registered users of a country, latest first."""
    return _registered(session, "users_by_country", "country_code", country_code, limit)


def by_month(session: Any, month: str, limit: int) -> list[Registered]:
    """The latest registered users of a month (`YYYY-MM`), latest first."""
    return _registered(session, "users_by_registration_month", "registered_month", month, limit)


def user(session: Any, user_id: UUID) -> dict[str, Any] | None:
    """Every column of a user."""
    columns = ", ".join(USER_FIELDS)
    row = _read(session, f"SELECT {columns} FROM {session.keyspace}.users_by_id WHERE user_id = ?", user_id).one()
    return dict(row._asdict()) if row else None


def geo_sample(session: Any, country_codes: Sequence[str], per_bucket: int) -> list[Place]:
    """At most `per_bucket` users with coordinates, the latest registered, of each of the `BUCKETS` of each country.

    Which bucket a user is in is chance: where the buckets of all countries are more than `MOST_PARTITIONS`, an equal
    share of each country's is read.
    """
    countries = list(country_codes)[:MOST_PARTITIONS]
    if not countries:
        return []
    buckets = list(range(min(BUCKETS, MOST_PARTITIONS // len(countries))))
    rows = _read(
        session,
        f"SELECT country_code, city, latitude, longitude, location_plausible FROM {session.keyspace}.users_by_country"
        " WHERE country_code IN ? AND bucket IN ? PER PARTITION LIMIT ?",
        countries, buckets, per_bucket,
    )  # fmt: skip
    return [Place(*row) for row in rows if row.latitude is not None and row.longitude is not None]


def last_batches(cursor: Any, limit: int) -> list[Batch]:
    """The newest micro-batches, newest first; recounts, which read nothing, are none."""
    cursor.execute(
        f"SELECT {', '.join(Batch._fields)} FROM analytics.batches WHERE query_id <> %s ORDER BY seq DESC LIMIT %s",
        (RECOUNT, limit),
    )
    return [Batch(*row) for row in cursor.fetchall()]


def open_quarantine(cursor: Any) -> dict[str, int]:
    """Records in quarantine per reason, a record refused again counted once."""
    cursor.execute(
        "SELECT reason, count(DISTINCT event_id) FROM quarantine.records WHERE resolved_at IS NULL GROUP BY reason"
    )
    return dict(cursor.fetchall())


def quarantine_samples(cursor: Any, reason: str, limit: int) -> list[Refused]:
    """The latest open records of a reason, latest first."""
    cursor.execute(
        f"SELECT {', '.join(Refused._fields)} FROM quarantine.records"
        " WHERE reason = %s AND resolved_at IS NULL ORDER BY quarantined_at DESC LIMIT %s",
        (reason, limit),
    )
    return [Refused(*row) for row in cursor.fetchall()]


def flow_facts(cursor: Any, topic: str) -> FlowFacts:
    """Totals that cost O(pages + groups + refused) to read; `topic` is the publisher's."""
    cursor.execute(
        """
        SELECT fetched, duplicates, published, served, quarantined, publisher_moved_at, served_at
        FROM (SELECT coalesce(sum(fetched), 0)::bigint AS fetched,
                     coalesce(sum(duplicates), 0)::bigint AS duplicates FROM staging.batches) AS b,
             (SELECT coalesce(sum(published), 0)::bigint AS published, max(moved_at) AS publisher_moved_at
              FROM staging.publisher WHERE name = %(topic)s AND published > 0) AS p,
             (SELECT coalesce(sum(count), 0)::bigint AS served
              FROM analytics.user_counts WHERE dimension = 'gender') AS u,
             (SELECT count(DISTINCT event_id) AS quarantined FROM quarantine.records WHERE resolved_at IS NULL) AS q,
             (SELECT (SELECT served_at FROM analytics.batches WHERE served_at IS NOT NULL ORDER BY seq DESC LIMIT 1)
              AS served_at) AS s
        """,
        {"topic": topic},
    )
    return FlowFacts(*cursor.fetchone())


def _registered(session: Any, table: str, key: str, value: str, limit: int) -> list[Registered]:
    rows = _read(
        session,
        f"SELECT {', '.join(Registered._fields)} FROM {session.keyspace}.{table}"
        f" WHERE {key} = ? AND bucket IN ? PER PARTITION LIMIT ?",
        value, list(range(BUCKETS)), limit,
    )  # fmt: skip
    users = [Registered(*row) for row in rows]
    return sorted(users, key=lambda found: (found.registered_at, found.user_id), reverse=True)[:limit]


def _read(session: Any, cql: str, *values: object) -> Any:
    """The rows of a prepared statement, whose tables are to be qualified: the server warns of others."""
    prepared = _prepared.setdefault(session, {})
    if cql not in prepared:
        prepared[cql] = session.prepare(cql)
    return session.execute(prepared[cql], values)
