"""Count the served users again, where a row removed or changed by hand has left the incremental counts wrong."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import psycopg2
import psycopg2.extras
import pyarrow as pa
from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections
from insights.clients.sql import fetch_row
from insights.errors import UserError
from insights.ledger.counts import Counts, read_cassandra_counts
from insights.model.schema import build_user_counts_sql
from insights.model.user import DIMENSIONS
from insights.queries.pipeline import RECOUNT
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.postgres import allocate_seq, lock_merges

_COUNTS = f"""
    SELECT dimension, value, c.count, coalesce(u.count, 0)
    FROM analytics.user_counts AS c
    FULL JOIN ({build_user_counts_sql("analytics.users")}) AS u USING (dimension, value)
"""
_KEEP = """
    INSERT INTO analytics.user_counts (dimension, value, count, seq) VALUES %s
    ON CONFLICT (dimension, value) DO UPDATE SET count = excluded.count, seq = excluded.seq
"""
_NOTE = """
    INSERT INTO analytics.batches
        (query_id, batch_id, seq, offsets, read, accepted, rejected, inserted, updated, started_at)
    VALUES (%s, 0, %s, '{}', 0, 0, 0, 0, 0, now())
    ON CONFLICT (query_id, batch_id) DO UPDATE
        SET seq = excluded.seq, started_at = now(), merged_at = now(), served_at = NULL
"""
_TYPES = pa.schema({"dimension": pa.string(), "value": pa.string(), "count": pa.int64(), "seq": pa.int64()})


class CountComparison(NamedTuple):
    """A count as the stores keep it (None: they have none) and as it is."""

    dimension: str
    value: str
    postgres: int | None
    cassandra: int | None
    exact: int

    @property
    def known(self) -> bool:
        """Whether it has ever counted a user; if not, only Cassandra knows it."""
        return self.postgres is not None or self.exact > 0

    @property
    def wrong(self) -> bool:
        return (self.postgres or 0) != self.exact or (self.cassandra or 0) != self.exact


def find_wrong_counts(postgres: PostgresSettings, cassandra: CassandraSettings) -> list[CountComparison]:
    """The counts that a recount would change; in Cassandra, also those that a batch on its way will.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with (
        connections.open_cassandra(cassandra) as session,
        closing(connections.connect_postgres(postgres, "recount")) as connection,
    ):
        served = _served(session)
        with connection, connection.cursor() as cursor:
            return [count for count in _counts(cursor, served) if count.wrong]


def recount(postgres: PostgresSettings, cassandra: CassandraSettings, stream: StreamSettings) -> list[CountComparison]:
    """Set every count in both stores to the number of served users; returns those that were wrong.

    Between two merges of the stream, and written to Cassandra as of then: counts of an earlier merge lose against
    these, and of a later one win, in whatever order they arrive.

    Raises:
        UserError: a store cannot be reached, read or written; to try again does no harm.
    """
    with (
        connections.open_cassandra(cassandra) as session,
        closing(connections.connect_postgres(postgres, "recount")) as connection,
    ):
        served = _served(session)
        seq, counts = recount_postgres(connection, served)
        known = [count for count in counts if count.known]
        unknown = [count for count in counts if not count.known]
        writer = CassandraWriter(session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)
        try:
            writer.upsert("user_counts", ("dimension", "value", "count"), _table(known, seq), "seq")
            writer.delete("user_counts", _table(unknown, seq).drop_columns("count"), "seq")
        except connections.CASSANDRA_ERRORS as error:
            raise UserError(
                f"The counts in PostgreSQL are exact, but Cassandra did not take them ({error});"
                " check that it runs and run `insights recount` again."
            ) from error
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE analytics.batches SET served_at = now() WHERE seq = %s", (seq,))
        return [count for count in counts if count.wrong]


def count_new_dimensions(postgres: PostgresSettings, cassandra: CassandraSettings, stream: StreamSettings) -> list[str]:
    """Recount if a dimension is not counted yet, as after an upgrade that brings one; returns those that were not.

    To be called while no stream merges: the merges of a stream that does not know the dimension would not be counted.

    Raises:
        UserError: a store cannot be reached, read or written.
    """
    with closing(connections.connect_postgres(postgres, "recount")) as connection, connection.cursor() as cursor:
        new = _new_dimensions(cursor)
    if new:
        recount(postgres, cassandra, stream)
    return new


def recount_postgres(connection: PgConnection, served: Counts) -> tuple[int, list[CountComparison]]:
    """Count in one transaction that no merge interleaves; returns its place among the merges, and every count.

    `served` are Cassandra's counts, read before.
    """
    with connection, connection.cursor() as cursor:
        lock_merges(cursor)
        counts, seq = _counts(cursor, served), allocate_seq(cursor)
        kept = [(*count[:2], count.exact, seq) for count in counts if count.known]
        if kept:
            psycopg2.extras.execute_values(cursor, _KEEP, kept)
        cursor.execute(_NOTE, (RECOUNT, seq))
        return seq, counts


def _new_dimensions(cursor: PgCursor) -> list[str]:
    with _migrated():
        cursor.execute(
            "SELECT EXISTS (SELECT FROM analytics.users), array(SELECT DISTINCT dimension FROM analytics.user_counts)"
        )
    users, counted = fetch_row(cursor)
    return [name for name in DIMENSIONS if name not in counted] if users else []


def _counts(cursor: PgCursor, served: Counts) -> list[CountComparison]:
    with _migrated():
        cursor.execute(_COUNTS)
    kept = {(dimension, value): (count, exact) for dimension, value, count, exact in cursor}
    return [
        CountComparison(dimension, value, count, served.get((dimension, value)), exact)
        for dimension, value in sorted(kept.keys() | served.keys())
        for count, exact in [kept.get((dimension, value), (None, 0))]
    ]


def _served(session: Session) -> Counts:
    try:
        return read_cassandra_counts(session)
    except connections.CASSANDRA_ERRORS as error:
        raise UserError(f"Cassandra's counts cannot be read ({error}); check that it runs and try again.") from error


@contextmanager
def _migrated() -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.UndefinedTable as error:
        raise UserError(f"PostgreSQL has no counts ({str(error).splitlines()[0]}); run `insights migrate`.") from error


def _table(counts: list[CountComparison], seq: int) -> pa.Table:
    rows = [{"dimension": c.dimension, "value": c.value, "count": c.exact, "seq": seq} for c in counts]
    return pa.Table.from_pylist(rows, schema=_TYPES)
