"""The order of merges into PostgreSQL: the lock on which they serialise, and their sequence numbers."""

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row


def lock_merges(cursor: PgCursor) -> None:
    """Acquire the advisory lock on which merges serialise, until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('insights.merge', 0))")


def allocate_seq(cursor: PgCursor) -> int:
    """Allocate the sequence number of this transaction, in microseconds; it must hold the lock of `lock_merges`."""
    cursor.execute("""
        SELECT greatest(
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
            (SELECT max(seq) + 1 FROM analytics.batches),
            (SELECT max(seq) + 1 FROM analytics.starting_offsets)
        )""")
    return int(fetch_row(cursor)[0])
