"""The recount: corrects the incremental counts of users, for example after rows were changed by hand."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import psycopg2
import psycopg2.extras
import pyarrow as pa
from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients import connections
from insights.clients.merge_order import allocate_seq, lock_merges
from insights.clients.sql import fetch_row
from insights.errors import UserError
from insights.ledger.counts import Counts, read_cassandra_counts
from insights.model.schema import build_user_counts_sql
from insights.model.user import DIMENSIONS
from insights.queries.pipeline import RECOUNT
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks.cassandra import CassandraWriter

_SELECT_KEPT_AND_EXACT_COUNTS = f"""
    SELECT dimension, value, c.count, coalesce(u.count, 0)
    FROM analytics.user_counts AS c
    FULL JOIN ({build_user_counts_sql("analytics.users")}) AS u USING (dimension, value)
"""
_UPSERT_COUNTS = """
    INSERT INTO analytics.user_counts (dimension, value, count, seq) VALUES %s
    ON CONFLICT (dimension, value) DO UPDATE SET count = excluded.count, seq = excluded.seq
"""
_RECORD_RECOUNT = """
    INSERT INTO analytics.batches
        (query_id, batch_id, seq, offsets, read, accepted, rejected, inserted, updated, started_at)
    VALUES (%s, 0, %s, '{}', 0, 0, 0, 0, 0, now())
    ON CONFLICT (query_id, batch_id) DO UPDATE
        SET seq = excluded.seq, started_at = now(), merged_at = now(), served_at = NULL
"""
_SCHEMA = pa.schema({"dimension": pa.string(), "value": pa.string(), "count": pa.int64(), "seq": pa.int64()})


class CountComparison(NamedTuple):
    """A count as each store keeps it (None if it keeps none), and the exact count."""

    dimension: str
    value: str
    postgres: int | None
    cassandra: int | None
    exact: int

    @property
    def known(self) -> bool:
        """Whether PostgreSQL has the count or should have it; otherwise only Cassandra has it."""
        return self.postgres is not None or self.exact > 0

    @property
    def wrong(self) -> bool:
        """Whether a store disagrees with the exact count; a missing count is treated as zero."""
        return (self.postgres or 0) != self.exact or (self.cassandra or 0) != self.exact


def find_wrong_counts(postgres: PostgresSettings, cassandra: CassandraSettings) -> list[CountComparison]:
    """The counts that a recount would correct. In Cassandra these include the counts of batches in flight.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with (
        connections.open_cassandra(cassandra) as session,
        closing(connections.connect_postgres(postgres, "recount")) as connection,
    ):
        cassandra_counts = _read_cassandra_counts(session)
        with connection, connection.cursor() as cursor:
            return [count for count in _compare_counts(cursor, cassandra_counts) if count.wrong]


def recount(postgres: PostgresSettings, cassandra: CassandraSettings, stream: StreamSettings) -> list[CountComparison]:
    """Set every count in both stores to the exact number of users. Returns the counts that were wrong.

    The recount serialises with the merges of the stream. Its write timestamp in Cassandra is its sequence number, so
    that it overrides the counts of earlier merges but not those of later ones, in whatever order they arrive.

    Raises:
        UserError: a store cannot be reached, read or written. Running the recount again is safe.
    """
    with (
        connections.open_cassandra(cassandra) as session,
        closing(connections.connect_postgres(postgres, "recount")) as connection,
    ):
        cassandra_counts = _read_cassandra_counts(session)
        seq, counts = recount_postgres(connection, cassandra_counts)
        known = [count for count in counts if count.known]
        unknown = [count for count in counts if not count.known]
        writer = CassandraWriter(session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)
        try:
            writer.upsert("user_counts", ("dimension", "value", "count"), _to_table(known, seq), "seq")
            failpoints.reach("recount.counts_written")
            writer.delete("user_counts", _to_table(unknown, seq).drop_columns("count"), "seq")
            failpoints.reach("recount.counts_deleted")
        except connections.CASSANDRA_ERRORS as error:
            raise UserError(
                f"The counts in PostgreSQL are exact, but they could not be written to Cassandra ({error});"
                " make sure that it is running and run `insights recount` again."
            ) from error
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE analytics.batches SET served_at = now() WHERE seq = %s", (seq,))
        failpoints.reach("recount.marked")
        return [count for count in counts if count.wrong]


def count_new_dimensions(postgres: PostgresSettings, cassandra: CassandraSettings, stream: StreamSettings) -> list[str]:
    """Recount if a dimension has no counts yet, as after an upgrade that adds one. Returns the new dimensions.

    No stream may be merging at the same time: one without the new dimension would not count by it.

    Raises:
        UserError: a store cannot be reached, read or written.
    """
    with closing(connections.connect_postgres(postgres, "recount")) as connection, connection.cursor() as cursor:
        new = _find_new_dimensions(cursor)
    if new:
        recount(postgres, cassandra, stream)
    return new


def recount_postgres(connection: PgConnection, cassandra_counts: Counts) -> tuple[int, list[CountComparison]]:
    """Correct PostgreSQL's counts in one transaction that holds the merge lock.

    Returns the sequence number of the recount, and the comparison of every count. `cassandra_counts` were read before.
    """
    with connection, connection.cursor() as cursor:
        lock_merges(cursor)
        counts, seq = _compare_counts(cursor, cassandra_counts), allocate_seq(cursor)
        rows = [(count.dimension, count.value, count.exact, seq) for count in counts if count.known]
        if rows:
            psycopg2.extras.execute_values(cursor, _UPSERT_COUNTS, rows)
        cursor.execute(_RECORD_RECOUNT, (RECOUNT, seq))
    failpoints.reach("recount.merged")
    return seq, counts


def _find_new_dimensions(cursor: PgCursor) -> list[str]:
    with _explain_missing_table():
        cursor.execute(
            "SELECT EXISTS (SELECT FROM analytics.users), array(SELECT DISTINCT dimension FROM analytics.user_counts)"
        )
    has_users, counted = fetch_row(cursor)
    return [name for name in DIMENSIONS if name not in counted] if has_users else []


def _compare_counts(cursor: PgCursor, cassandra_counts: Counts) -> list[CountComparison]:
    with _explain_missing_table():
        cursor.execute(_SELECT_KEPT_AND_EXACT_COUNTS)
    postgres_counts = {(dimension, value): (kept, exact) for dimension, value, kept, exact in cursor}
    return [
        CountComparison(dimension, value, kept, cassandra_counts.get((dimension, value)), exact)
        for dimension, value in sorted(postgres_counts.keys() | cassandra_counts.keys())
        for kept, exact in [postgres_counts.get((dimension, value), (None, 0))]
    ]


def _read_cassandra_counts(session: Session) -> Counts:
    try:
        return read_cassandra_counts(session)
    except connections.CASSANDRA_ERRORS as error:
        raise UserError(
            f"Cassandra's counts cannot be read ({error}); make sure that it is running and try again."
        ) from error


@contextmanager
def _explain_missing_table() -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.UndefinedTable as error:
        raise UserError(f"PostgreSQL has no counts ({str(error).splitlines()[0]}); run `insights migrate`.") from error


def _to_table(counts: list[CountComparison], seq: int) -> pa.Table:
    rows = [{"dimension": c.dimension, "value": c.value, "count": c.exact, "seq": seq} for c in counts]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)
