"""Cassandra's record of the last delivered batch, by which the stream finds that Cassandra was restored."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients import cassandra_restores, refill_record
from insights.clients.connections import CASSANDRA_ERRORS
from insights.errors import UserError
from insights.sinks.cassandra import repeat_through_outage
from insights.sinks.stores import Stores
from insights.text import format_count

_log = logging.getLogger(__name__)


class DeliveryRecord:
    """The record, and what this stream has written to it."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._writer = f"stream {uuid4()}"
        self._mark = 0
        self._last = 0
        """Set after it is written and read before the record is, since two threads compare them."""

    def find_restore(self) -> None:
        """Let `refill_cassandra` write the batches again that Cassandra lacks because it was restored.

        `begin` has to follow, after what is missing is written.

        Raises:
            UserError: these batches are not all recorded any more, or a store cannot be reached.
        """
        self._begin_writing()
        session, _ = self._stores.connect_cassandra()
        seq = self._stores.with_postgres(lambda connection: _find_restored_seq(connection, session))
        if seq is None or not refill_record.is_filled(session):
            return
        forgotten = self._stores.with_postgres(lambda connection: _forget_deliveries(connection, seq))
        if not forgotten:
            raise UserError(
                f"Cassandra was restored to the time of batch {seq}, and PostgreSQL does not have the record of every"
                " batch since then any more: stop the stream, drop the keyspace"
                f" {session.keyspace}, run the migrations and start the stream, which fills it."
            )
        _log.warning(
            "Cassandra was restored to the time of batch %d: %s, from an hour before it on, are written again",
            seq,
            format_count(forgotten, "batch", "batches"),
        )

    def begin(self) -> None:
        """Record the last batch of those that PostgreSQL knows to be in Cassandra.

        Raises:
            UserError: Cassandra was restored to an earlier time after `find_restore`.
        """
        self._record(int(self._stores.with_postgres(_read_last_delivered)))

    @contextmanager
    def delivering(self, seq: int) -> Iterator[None]:
        """Record at the end of the `with` block the batch that it writes to Cassandra.

        Raises:
            UserError: Cassandra was restored to an earlier time while the stream ran.
        """
        repeat_through_outage(self._require_last)
        repeat_through_outage(self._begin_writing)
        yield
        repeat_through_outage(lambda: self._record(max(self._last, seq)))

    def check(self) -> None:
        """Compare the record with what was written to it. A node that does not answer is left to the next batch.

        Raises:
            UserError: Cassandra was restored to an earlier time while the stream ran.
        """
        try:
            self._require_last()
        except CASSANDRA_ERRORS:
            return

    def _begin_writing(self) -> None:
        session, _ = self._stores.connect_cassandra()
        mark = time.time_ns()
        refill_record.mark_writing(session, self._writer, mark)
        self._mark = mark

    def _record(self, last: int) -> None:
        """Record a batch. To be repeated as a whole: Cassandra may be restored before a failed write is repeated."""
        session, _ = self._stores.connect_cassandra()
        if refill_record.read_mark(session, self._writer) != self._mark:
            raise UserError(
                f"Cassandra was restored to an earlier time while the stream wrote to it, up to batch {last}: start"
                " the stream again, which writes what Cassandra lacks."
            )
        refill_record.record_delivered_seq(session, last)
        self._last = last

    def _require_last(self) -> None:
        session, _ = self._stores.connect_cassandra()
        last = self._last
        seq = refill_record.read_delivered_seq(session)
        if seq is None or seq < last:
            raise UserError(
                f"Cassandra was restored to the time of batch {seq or 0}, after {last} had been delivered: start the"
                " stream again, which writes what Cassandra lacks."
            )


def _find_restored_seq(connection: PgConnection, session: Session) -> int | None:
    with connection, connection.cursor() as cursor:
        return cassandra_restores.find_restored_seq(cursor, session)


def _read_last_delivered(connection: PgConnection) -> int:
    with connection, connection.cursor() as cursor:
        return cassandra_restores.read_last_delivered(cursor)


def _forget_deliveries(connection: PgConnection, seq: int) -> int:
    with connection, connection.cursor() as cursor:
        forgotten = cassandra_restores.forget_deliveries(cursor, seq)
    failpoints.reach("restore.recorded")
    return forgotten
