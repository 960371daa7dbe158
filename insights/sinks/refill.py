"""Fill Cassandra from PostgreSQL: after an upgrade that adds a table, or where Cassandra has lost its keyspace."""

import logging
from collections.abc import Callable

from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients import refill_record
from insights.clients.sql import fetch_row
from insights.model.schema import ARRIVALS_KEPT
from insights.sinks import postgres, user_tables
from insights.sinks.delivery import write_arrivals
from insights.sinks.stores import Stores
from insights.sinks.user_ranges import split_users
from insights.text import format_count

PORTION_ROWS = 200_000
"""Users between two reports of progress: about a minute's work of two cores."""
ARRIVALS_BATCHES = 100
"""Batches whose arrivals are in memory at a time."""
_log = logging.getLogger(__name__)


def refill_cassandra(stores: Stores, report_progress: Callable[[], None]) -> int:
    """Write every user and count of PostgreSQL, and the latest arrivals, to a keyspace that was never filled.

    Everything is written with the timestamps that it already has, so that a repetition changes nothing. No stream may
    be merging at the same time: what an older one merges would miss the new tables.

    Returns the number of users that PostgreSQL had; 0 if nothing was to be done.

    Raises:
        UserError: a store cannot be reached.
    """
    session, writer = stores.connect_cassandra()

    def report() -> None:
        refill_record.mark_progress(session)
        report_progress()

    if refill_record.is_filled(session):
        return 0
    rows = int(stores.with_postgres(_count_users))
    if rows:
        refill_record.mark_progress(session)
        _log.info("writing %s to Cassandra's tables, which were not filled yet", format_count(rows, "user"))
        refused: set[object] = set(user_tables.write_counts(writer, stores.with_postgres(postgres.read_counts)))
        portions = -(-rows // PORTION_ROWS)
        for number, users in enumerate(split_users(portions), 1):
            refused |= set(stores.write_users(None, -(-rows // portions), users=users, skip_refused=True))
            report()
            _log.info("wrote %d of %d portions", number, portions)
        for seqs in stores.with_postgres(_list_recent_batches):
            write_arrivals(stores, seqs)
            report()
        if refused:
            _log.error("Cassandra refuses rows that it took before: %s", refused)
    failpoints.reach("refill.written")
    refill_record.mark_filled(session)
    failpoints.reach("refill.marked")
    return rows


def _list_recent_batches(connection: PgConnection) -> list[list[int]]:
    """The sequence numbers of the batches whose arrivals are kept, `ARRIVALS_BATCHES` at a time."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq FROM analytics.batches WHERE merged_at > now() - %s AND offsets <> '{}' ORDER BY seq",
            (ARRIVALS_KEPT,),
        )
        seqs = [int(seq) for (seq,) in cursor.fetchall()]
    return [seqs[start : start + ARRIVALS_BATCHES] for start in range(0, len(seqs), ARRIVALS_BATCHES)]


def _count_users(connection: PgConnection) -> int:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics.users")
        return int(fetch_row(cursor)[0])
