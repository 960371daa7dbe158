"""Delivery of batches to real stores without Spark, and what must hold of both stores afterwards."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import pyarrow as pa
from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection

from insights.clients.layouts import MARK_SERVED
from insights.ledger.digest import build_digest_sql, build_image_sql, build_texts_digest_sql
from insights.ledger.table_digests import PROFILES, list_compared_columns
from insights.model.batch import BATCH_DIGESTED
from insights.model.quarantine import QuarantineRecord, Refusal
from insights.model.reasons import Reason
from insights.model.user import DIMENSIONS
from insights.settings import CassandraSettings
from insights.sinks import delivery
from insights.sinks import postgres as store
from insights.sinks.accepted_rows import encode_rows
from insights.sinks.batch_contents import BatchContents
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.executor_writes import write_range
from insights.sinks.user_ranges import ALL_USERS, UserRange, split_users
from tests.helpers import dimension_oracle
from tests.helpers.accepted_users import table, user
from tests.helpers.stream_process import assert_cassandra_equals, read_postgres_counts, read_postgres_users

TOPIC = "users.raw"
Row = dict[str, Any]
_CHANGED_ROWS = f"""
    SELECT user_id::text FROM analytics.users
    WHERE digest IS DISTINCT FROM {build_digest_sql(build_image_sql(list_compared_columns(PROFILES)))}
    UNION ALL SELECT query_id || batch_id FROM analytics.batches
    WHERE digest IS DISTINCT FROM {build_texts_digest_sql(*BATCH_DIGESTED)}
"""


class CrashError(Exception):
    """The process ends here."""


class RealStores:
    """Both stores. With `crash_after`, the process ends after so many uses of PostgreSQL."""

    def __init__(self, connection: PgConnection, session: Session) -> None:
        self.connection, self.crash_after = connection, -1
        self._session, self._writer = session, CassandraWriter(session, in_flight=8, batch_rows=30)

    def with_postgres(self, work: Callable[[PgConnection], Any]) -> Any:
        if self.crash_after == 0:
            raise CrashError
        self.crash_after -= 1
        return work(self.connection)

    def connect_cassandra(self) -> tuple[Session, CassandraWriter]:
        return self._session, self._writer

    def write_users(
        self, seqs: Sequence[int] | None, rows: int, *, users: UserRange = ALL_USERS, skip_refused: bool
    ) -> Mapping[str, Refusal]:
        refused: dict[str, Refusal] = {}
        for part in split_users(min(2, max(1, rows)), users):
            refused |= write_range(self, seqs, part, skip_refused=skip_refused)
        return refused


def identify(number: int, query: str = "query") -> store.MicroBatchId:
    offsets = {TOPIC: {"0": [number * 1000, number * 1000 + 1000]}}
    return store.MicroBatchId(query, number, offsets, datetime.now(UTC))


def make_user(number: int, version: int, **fields: Any) -> Row:
    """Version `version` of user `number`; its event is named after both."""
    uid = UUID(int=(number % 16 << 124) + number + 1)
    plain = {"country_code": "DE", "city": "Köln", "title": None}
    return user(random.Random(number), uid, 10**15 + 10 * version, f"{number}{version:03d}", **plain | fields)


def place(number: int, rows: Iterable[Row]) -> list[Row]:
    """The rows as the messages of batch `number`."""
    return [{"origin": f"{TOPIC}/0/{number * 1000 + n}"} | row for n, row in enumerate(rows)]


def deliver(stores: RealStores, number: int, rows: list[Row], query: str = "query") -> store.MergeResult:
    """Deliver a batch to both stores and mark it as delivered."""
    accepted = table(rows)
    batch = BatchContents(
        identify(number, query), encode_rows(accepted), [], lambda refusals: _make_records(accepted, refusals)
    )
    merged = delivery.write_cassandra(stores, batch, delivery.merge(stores, batch))
    stores.with_postgres(lambda connection: store.mark_delivered(connection, batch.id))
    return merged


def count_as_delivered(stores: RealStores, number: int, rows: list[Row], mark: str = MARK_SERVED) -> None:
    """Merge a batch and mark it as delivered, although Cassandra has nothing of it."""
    accepted = encode_rows(table(place(number, rows)))
    delivery.merge(stores, BatchContents(identify(number), accepted, [], lambda _: []))
    with stores.connection, stores.connection.cursor() as cursor:
        cursor.execute(f"UPDATE analytics.batches SET {mark} WHERE batch_id = %s", (number,))


def read_places(connection: PgConnection) -> dict[str, set[str]]:
    """Where each event is: served, superseded, open in quarantine."""
    queries = {
        "served": "SELECT event_id FROM analytics.users",
        "superseded": "SELECT event_id FROM analytics.superseded",
        "quarantined": "SELECT event_id FROM quarantine.records WHERE resolved_at IS NULL",
    }
    places = {}
    with connection, connection.cursor() as cursor:
        for name, query in queries.items():
            cursor.execute(query)
            places[name] = {event for (event,) in cursor}
    return places


def assert_ledger_closes(connection: PgConnection, cassandra: CassandraSettings, events: set[str]) -> None:
    """Assert that every event is in one place, counts are exact, and Cassandra equals PostgreSQL."""
    places = read_places(connection)
    assert Counter(event for place in places.values() for event in place) == Counter(events)
    users = read_postgres_users(connection)
    counts = read_postgres_counts(connection)
    exact = Counter((name, dimension_oracle.value(row, name)) for row in users.values() for name in DIMENSIONS)
    assert counts == {key: count for key, count in exact.items() if key[1] is not None}
    assert_cassandra_equals(cassandra, users, counts)
    with connection, connection.cursor() as cursor:
        cursor.execute(_CHANGED_ROWS)
        assert cursor.fetchall() == [], "a row has the digest of other content"


def _make_records(accepted: pa.Table, refusals: Mapping[str, Refusal]) -> list[list[QuarantineRecord]]:
    records = [
        QuarantineRecord(
            origin=row["origin"],
            event_id=row["event_id"],
            reason=Reason.SINK_REFUSED,
            field=refusal.store,
            detail=refusal.detail,
            key=str(UUID(row["user_id"])),
            batch_id=row["batch_id"],
            version=refusal.version,
            event_time=row["event_time"],
            redrives=0,
            size=2,
            sha256=sha256(b"{}").hexdigest(),
            payload=b"{}",
        )
        for row in accepted.to_pylist()
        if (refusal := refusals.get(row["origin"]))
    ]
    return [records] if records else []
