"""Fill Cassandra from PostgreSQL: after an upgrade that adds a table, or where Cassandra has lost its keyspace.

After a rollback that was followed by an upgrade, only the batches are written that the former release delivered, and
after a restore of Cassandra, only those that it lacks.
"""

import logging
from collections.abc import Callable, Collection

from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients import refill_record
from insights.clients.layouts import ForeignDeliveries, list_foreign_deliveries, mark_layout
from insights.clients.sql import fetch_row
from insights.model.schema import ARRIVALS_KEPT
from insights.sinks import postgres, user_tables
from insights.sinks.delivery import write_arrivals
from insights.sinks.stores import Stores
from insights.sinks.user_ranges import split_users
from insights.text import format_count

PORTION_ROWS = 200_000
"""Users between two reports of progress: about a minute's work of two cores."""
PORTION_BATCHES = 100
"""Batches whose arrivals are in memory at a time."""
_log = logging.getLogger(__name__)


def refill_cassandra(stores: Stores, report_progress: Callable[[], None]) -> int:
    """Write what Cassandra's tables lack because no stream has written it to them.

    That is every user and count of PostgreSQL, and the latest arrivals, if the keyspace was never filled, or if batches
    may have been delivered to another layout that are not recorded any more. Otherwise it is the users and moves of the
    recorded ones. Everything is written with the timestamps that it already has, so that a repetition changes nothing.
    No stream may be merging at the same time.

    Returns the number of users that PostgreSQL had; 0 if not all of them were to be written.

    Raises:
        UserError: a store cannot be reached.
    """
    session, _ = stores.connect_cassandra()
    foreign: ForeignDeliveries = stores.with_postgres(_list_foreign_deliveries)
    filled = refill_record.is_filled(session)
    if not foreign.batches and filled:
        return 0

    def report() -> None:
        refill_record.mark_progress(session)
        report_progress()

    if filled and foreign.complete:
        _deliver_again(stores, foreign, report_progress)
        return 0
    rows = int(stores.with_postgres(_count_users))
    if rows:
        refill_record.mark_progress(session)
        _log.info("writing %s to Cassandra's tables, which lack some or all of them", format_count(rows, "user"))
        refused = _write_counts(stores)
        portions = -(-rows // PORTION_ROWS)
        for number, users in enumerate(split_users(portions), 1):
            refused |= set(stores.write_users(None, -(-rows // portions), users=users, skip_refused=True))
            report()
            _log.info("wrote %d of %d portions", number, portions)
        for seqs in _split(stores.with_postgres(_list_recent_batches)):
            write_arrivals(stores, seqs)
            report()
        # The keyspace may have rows of users who moved in these batches, under their old keys.
        for seqs in _split(list(foreign.batches)) if filled else ():
            refused |= _write_users(stores, foreign, seqs)
            report()
        _report_refused(refused)
    _mark_layout(stores, foreign)
    refill_record.mark_filled(session)
    failpoints.reach("refill.marked")
    return rows


def _write_counts(stores: Stores) -> set[object]:
    """Write all counts. Returns those that are refused."""
    counts = stores.with_postgres(postgres.read_counts)
    _, writer = stores.connect_cassandra()
    return set(user_tables.write_counts(writer, counts))


def _deliver_again(stores: Stores, foreign: ForeignDeliveries, report: Callable[[], None]) -> None:
    """Write the users and moves of the batches that may be missing, after the counts."""
    batches = format_count(len(foreign.batches), "batch", "batches")
    _log.info("writing the users of %s, which Cassandra's tables may lack", batches)
    refused = _write_counts(stores)
    for seqs in _split(list(foreign.batches)):
        refused |= _write_users(stores, foreign, seqs)
        write_arrivals(stores, seqs)
        report()
    _report_refused(refused)
    _mark_layout(stores, foreign)


def _write_users(stores: Stores, foreign: ForeignDeliveries, seqs: list[int]) -> set[object]:
    """Write the users and moves of these batches. Returns those that are refused."""
    return set(stores.write_users(seqs, sum(foreign.batches[seq] for seq in seqs), skip_refused=True))


def _mark_layout(stores: Stores, foreign: ForeignDeliveries) -> None:
    failpoints.reach("refill.written")

    def mark(connection: PgConnection) -> None:
        with connection, connection.cursor() as cursor:
            mark_layout(cursor, foreign.batches)
        failpoints.reach("refill.layout_marked")

    stores.with_postgres(mark)


def _report_refused(refused: Collection[object]) -> None:
    if refused:
        _log.error("Cassandra refuses rows that it took before: %s", refused)


def _split(seqs: list[int]) -> list[list[int]]:
    return [seqs[start : start + PORTION_BATCHES] for start in range(0, len(seqs), PORTION_BATCHES)]


def _list_foreign_deliveries(connection: PgConnection) -> ForeignDeliveries:
    with connection, connection.cursor() as cursor:
        return list_foreign_deliveries(cursor)


def _list_recent_batches(connection: PgConnection) -> list[int]:
    """The sequence numbers of the batches whose arrivals are kept."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq FROM analytics.batches WHERE merged_at > now() - %s AND offsets <> '{}' ORDER BY seq",
            (ARRIVALS_KEPT,),
        )
        return [int(seq) for (seq,) in cursor.fetchall()]


def _count_users(connection: PgConnection) -> int:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics.users")
        return int(fetch_row(cursor)[0])
