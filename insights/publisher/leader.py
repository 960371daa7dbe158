"""Leader election and the publisher's cursor: one publisher leads at a time, and only it advances the cursor."""

import logging
from collections.abc import Sequence

from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients import quarantine_table
from insights.clients.sql import fetch_row
from insights.model.quarantine import QuarantineRecord
from insights.publisher.staged_rows import CommitPosition

_log = logging.getLogger(__name__)


class FencedError(Exception):
    """Another publisher has become the leader in the meantime."""


class LeaderCursor:
    """A row of `staging.publisher`, named after the topic, accessed through a connection in autocommit mode.

    Leadership is an advisory lock of the database session, which ends with the connection. The fencing token stops a
    leader that has lost the lock without noticing.
    """

    def __init__(self, connection: PgConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._fence = 0
        self.position = CommitPosition(0, 0, 0)
        self.epoch = 0

    def try_acquire(self) -> bool:
        """Become the leader if there is none: take the lock, increment the fencing token and read the position."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_lock(hashtextextended('staging.publisher/' || %s, 0))", (self._name,)
            )
            if not fetch_row(cursor)[0]:
                return False
            cursor.execute(
                """
                INSERT INTO staging.publisher AS p (name, fence) VALUES (%s, 1)
                ON CONFLICT (name) DO UPDATE SET fence = p.fence + 1
                RETURNING fence, epoch, xact_id::text::bigint, id, staging.current_epoch()
                """,
                (self._name,),
            )
            self._fence, *position, self.epoch = fetch_row(cursor)
            self.position = CommitPosition(*position)
        failpoints.reach("publish.fence_raised")
        _log.info("leading from %s, fence %d", tuple(self.position), self._fence)
        return True

    def describe_leader(self) -> str:
        """The database session that holds the lock, in words."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT pid, usename, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
                WHERE locktype = 'advisory' AND granted AND database = datid AND datname = current_database()
                    AND (classid::bigint << 32 | objid::bigint) = hashtextextended('staging.publisher/' || %s, 0)
                """,
                (self._name,),
            )
            row = cursor.fetchone()
        return f"the session {row[0]} of {row[1]!r}, application {row[2]!r}" if row else "a session that ends"

    def release(self) -> None:
        """Give up leadership, so that another publisher can take over at once."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")

    def advance(self, end: CommitPosition, rows: int, rejected: Sequence[QuarantineRecord]) -> None:
        """Advance the cursor by `rows` rows to `end`, and quarantine the rejected ones, in one transaction.

        All other rows must have been acknowledged by the broker.

        Raises:
            FencedError: another publisher leads; nothing was changed.
        """
        with self._connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                """
                UPDATE staging.publisher
                SET epoch = %s, xact_id = %s::xid8, id = %s, moved_at = clock_timestamp(),
                    published = published + %s, quarantined = quarantined + %s
                WHERE name = %s AND fence = %s
                """,
                (end.epoch, str(end.xact_id), end.id, rows, len(rejected), self._name, self._fence),
            )
            if cursor.rowcount != 1:
                cursor.execute("ROLLBACK")
                raise FencedError(f"another publisher of {self._name} has taken over; standing by")
            if rejected:
                quarantine_table.insert_records(cursor, rejected)
            failpoints.reach("publish.cursor_moved")
            cursor.execute("COMMIT")
        failpoints.reach("publish.cursor_committed")
        self.position = end
