"""Batches that were merged into PostgreSQL, never reached Cassandra, and that no query will repeat."""

import logging
from contextlib import closing
from datetime import datetime
from uuid import UUID

import pyarrow as pa
from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients import connections
from insights.model.schema import USER_FIELDS
from insights.model.user import User, read_field_types
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks import postgres
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.user_tables import write_batch

_log = logging.getLogger(__name__)
_ARROW = {
    UUID: pa.string(),
    str: pa.string(),
    int: pa.int32(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", "UTC"),
}
_COLUMNS = ", ".join(f"{name}::text" if name == "user_id" else name for name in USER_FIELDS)


def build_user_schema() -> pa.Schema:
    """The Arrow schema of the users of a batch: the fields of `User`, in order."""
    return pa.schema(
        [
            pa.field(name, pa.int64() if name == "version" else _ARROW[kind], nullable=optional)
            for name, (kind, optional) in read_field_types(User).items()
        ]
    )


def deliver_orphans(
    stream: StreamSettings, postgres_settings: PostgresSettings, cassandra: CassandraSettings, before_seq: int
) -> int:
    """Write the undelivered batches before a sequence number from PostgreSQL to Cassandra. Returns their number.

    The stream must have stopped repeating them. Their copies on the quarantine topic are not written: the table has
    the records.

    Raises:
        UserError: a store cannot be reached.
    """
    with closing(connections.connect_postgres(postgres_settings, "stream")) as connection:
        orphans, users = _read_orphans(connection, before_seq)
        if not orphans:
            return 0
        moves, counts = postgres.read_undelivered_moves(connection), postgres.read_undelivered_counts(connection)
        with connections.open_cassandra(cassandra) as session:
            writer = CassandraWriter(
                session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows
            )
            if refused := write_batch(writer, users, counts, moves, skip_refused=True):
                _log.error("Cassandra refuses rows of such batches and keeps what it has of them: %s", refused)
        failpoints.reach("orphans.written")
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE analytics.batches SET served_at = now() WHERE seq = ANY(%s)", (orphans,))
        failpoints.reach("orphans.marked")
    return len(orphans)


def _read_orphans(connection: PgConnection, before_seq: int) -> tuple[list[int], pa.Table]:
    """The sequence numbers of the batches, and the users that they wrote last. A recount is not among them: it has no
    offsets, and its counts reach Cassandra with the next batch."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq FROM analytics.batches WHERE served_at IS NULL AND seq < %s AND offsets <> '{}'",
            (before_seq,),
        )
        orphans = [seq for (seq,) in cursor.fetchall()]
        if not orphans:
            return [], build_user_schema().empty_table()
        cursor.execute(f"SELECT {_COLUMNS} FROM analytics.users WHERE seq = ANY(%s)", (orphans,))
        return orphans, postgres.fetch_table(cursor, build_user_schema())
