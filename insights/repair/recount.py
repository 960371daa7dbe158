"""The recount: corrects the incremental counts of users, for example after rows were changed by hand."""

from collections.abc import Callable, Iterator, Set
from contextlib import closing, contextmanager, nullcontext
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
from insights.ledger.in_flight import InFlightRows
from insights.model.batch import RECOUNT
from insights.model.schema import build_user_counts_sql
from insights.model.user import DIMENSIONS
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks.cassandra import CassandraWriter
from insights.text import format_count

KeptAndExact = dict[tuple[str, str], tuple[int | None, int]]
"""PostgreSQL's count, None if it keeps none, and the exact count, by (dimension, value)."""

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
    """A count as each store keeps it (None if it keeps none), and the exact count.

    `in_flight`: whether a batch that Cassandra may not have yet has changed it.
    """

    dimension: str
    value: str
    postgres: int | None
    cassandra: int | None
    exact: int
    in_flight: bool

    @property
    def known(self) -> bool:
        """Whether PostgreSQL has the count or should have it; otherwise only Cassandra has it."""
        return self.postgres is not None or self.exact > 0

    @property
    def wrong(self) -> bool:
        """Whether a store disagrees with the exact count; a missing count is treated as zero.

        Cassandra's count is not wrong while it is in flight.
        """
        return (self.postgres or 0) != self.exact or (not self.in_flight and (self.cassandra or 0) != self.exact)


def find_wrong_counts(postgres: PostgresSettings, cassandra: CassandraSettings) -> list[CountComparison]:
    """The counts that a recount would correct. The stream may keep merging.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with (
        connections.open_cassandra(cassandra) as session,
        closing(connections.connect_postgres(postgres, "recount")) as connection,
    ):
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            in_flight = InFlightRows(cursor, _read_last_batch(cursor), lambda: _open_cursor(postgres))
            kept_and_exact = _select_kept_and_exact(cursor)
            cassandra_counts = _read_cassandra_counts(session)
            counts = _compare_counts(kept_and_exact, cassandra_counts, in_flight.list_counts())
        return [count for count in counts if count.wrong]


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
        seq, counts = recount_postgres(connection, lambda: _read_cassandra_counts(session))
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


def recount_postgres(
    connection: PgConnection, read_cassandra_counts: Callable[[], Counts]
) -> tuple[int, list[CountComparison]]:
    """Correct PostgreSQL's counts in one transaction that holds the merge lock.

    Cassandra's counts are read under the lock too, so that only batches merged before can be in flight. Returns the
    sequence number of the recount, and the comparison of every count.
    """
    with connection, connection.cursor() as cursor:
        lock_merges(cursor)
        in_flight = InFlightRows(cursor, _read_last_batch(cursor), lambda: nullcontext(cursor)).list_counts()
        counts = _compare_counts(_select_kept_and_exact(cursor), read_cassandra_counts(), in_flight)
        seq = allocate_seq(cursor)
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


def _read_last_batch(cursor: PgCursor) -> int:
    with _explain_missing_table():
        cursor.execute("SELECT coalesce(max(seq), 0) FROM analytics.batches")
    return int(fetch_row(cursor)[0])


def _select_kept_and_exact(cursor: PgCursor) -> KeptAndExact:
    with _explain_missing_table():
        cursor.execute(_SELECT_KEPT_AND_EXACT_COUNTS)
    counts: KeptAndExact = {(dimension, value): (kept, exact) for dimension, value, kept, exact in cursor}
    kept = sum(1 for kept, _ in counts.values() if kept)
    if kept and not any(exact for _, exact in counts.values()):
        raise UserError(
            f"PostgreSQL has no users, but {format_count(kept, 'count')}, which a recount would set to zero: restore"
            " the users with `insights replay` first. Nothing was changed."
        )
    return counts


def _compare_counts(
    kept_and_exact: KeptAndExact, cassandra_counts: Counts, in_flight: Set[tuple[str, str]]
) -> list[CountComparison]:
    return [
        CountComparison(*key, kept, cassandra_counts.get(key), exact, key in in_flight)
        for key in sorted(kept_and_exact.keys() | cassandra_counts.keys())
        for kept, exact in [kept_and_exact.get(key, (None, 0))]
    ]


@contextmanager
def _open_cursor(postgres: PostgresSettings) -> Iterator[PgCursor]:
    with closing(connections.connect_postgres(postgres, "recount")) as connection, connection.cursor() as cursor:
        yield cursor


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
