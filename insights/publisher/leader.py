"""Leadership and the cursor: one publisher at a time, and only the leader moves the cursor."""

import logging
from collections.abc import Sequence

from psycopg2.extensions import connection as PgConnection

from insights.clients import quarantine_table
from insights.clients.sql import fetch_row
from insights.model.quarantine import QuarantineRecord
from insights.publisher.staged_rows import CommitPosition

_log = logging.getLogger(__name__)


class FencedError(Exception):
    """Another publisher has taken over since this one became the leader."""


class LeaderCursor:
    """The row of `staging.publisher` named after the topic, through one connection in autocommit mode.

    The lock belongs to the database session: it ends with the connection. The fence refuses a leader whose lock was
    lost without its knowing.
    """

    def __init__(self, connection: PgConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._fence = 0
        self.position = CommitPosition(0, 0, 0)
        self.epoch = 0

    def acquire(self) -> bool:
        """Become the leader if there is none: lock, raise the fence, learn the position."""
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
        _log.info("leading from %s, fence %d", tuple(self.position), self._fence)
        return True

    def release(self) -> None:
        """Let another publisher lead at once."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")

    def move(self, end: CommitPosition, rows: int, refused: Sequence[QuarantineRecord]) -> None:
        """Move past `rows` rows up to `end`, and record `refused`, in one transaction. The others are acknowledged.

        Raises:
            FencedError: another publisher leads now; nothing has changed.
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
                (end.epoch, str(end.xact_id), end.id, rows, len(refused), self._name, self._fence),
            )
            if cursor.rowcount != 1:
                cursor.execute("ROLLBACK")
                raise FencedError(f"another publisher of {self._name} has taken over; standing by")
            if refused:
                quarantine_table.insert_records(cursor, refused)
            cursor.execute("COMMIT")
        self.position = end
