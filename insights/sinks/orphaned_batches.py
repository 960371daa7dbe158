"""Batches that were merged into PostgreSQL, never reached Cassandra, and that no query will repeat."""

import logging
from collections.abc import Callable, Sequence

from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients.layouts import MARK_SERVED
from insights.sinks.delivery import write_merged
from insights.sinks.latencies import BucketOfUsers, MarkedBatch, summarize_latencies
from insights.sinks.stores import Stores

_log = logging.getLogger(__name__)


def deliver_orphans(
    stores: Stores, before_seq: int, record_latencies: Callable[[Sequence[BucketOfUsers]], None]
) -> int:
    """Write the undelivered batches before a sequence number from PostgreSQL to Cassandra. Returns their number.

    The stream must have stopped repeating them. Their copies on the quarantine topic are not written: the table has
    the records. `record_latencies` is called with the latencies of their users.

    Raises:
        UserError: a store cannot be reached.
    """
    orphans = stores.with_postgres(lambda connection: _list_orphans(connection, before_seq))
    if not orphans:
        return 0
    seqs = list(orphans)
    if refused := write_merged(stores, seqs, sum(orphans.values()), skip_refused=True):
        _log.error("Cassandra refuses rows of such batches and keeps what it has of them: %s", refused)
    failpoints.reach("orphans.written")
    record_latencies(stores.with_postgres(lambda connection: _mark_delivered(connection, seqs)))
    return len(orphans)


def _list_orphans(connection: PgConnection, before_seq: int) -> dict[int, int]:
    """The number of accepted records of each such batch, by sequence number.

    A recount is not among them: it has no offsets, and its counts reach Cassandra with the next batch.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, accepted FROM analytics.batches WHERE served_at IS NULL AND seq < %s AND offsets <> '{}'",
            (before_seq,),
        )
        return dict(cursor.fetchall())


def _mark_delivered(connection: PgConnection, seqs: list[int]) -> list[BucketOfUsers]:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE analytics.batches SET {MARK_SERVED} WHERE seq = ANY(%s) AND served_at IS NULL"
            " RETURNING seq, inserted, served_at, event_times",
            (seqs,),
        )
        latencies = summarize_latencies(cursor, map(MarkedBatch._make, cursor.fetchall()))
    failpoints.reach("orphans.marked")
    return latencies
