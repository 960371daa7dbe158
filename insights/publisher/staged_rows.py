"""What is staged beyond the cursor: rows that no later commit can precede, as messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2.extensions import BYTES, register_type
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.model.message import RawMessage
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.publisher.message_size import compute_wire_size, fits_topic

BATCH_BYTES = 32 * 1024 * 1024
"""A batch ends early when its payloads reach this."""
_FETCH_ROWS = 250

# Transactions below the snapshot's xmin have ended: what they wrote is visible now or never, so nothing can appear
# behind the cursor. The rows of an older epoch (before a logical restore) are all from ended transactions.
NEXT_ROWS = """
    SELECT epoch, xact_id::text::bigint, id, user_key::text, batch_id, version,
           (extract(epoch FROM event_time) * 1000)::bigint,
           CASE WHEN octet_length(payload::text) <= %(limit)s THEN payload::text END
    FROM staging.users WHERE (epoch, xact_id, id) > (%(epoch)s, %(xact_id)s::xid8, %(id)s)
    AND (epoch, xact_id) < (%(current)s, pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY users.epoch, users.xact_id, users.id LIMIT %(rows)s
"""


class CommitPosition(NamedTuple):
    """A place in commit order."""

    epoch: int
    xact_id: int
    id: int


@dataclass(slots=True)
class StagedBatch:
    """Rows in commit order, up to `end`; `refused` are those that the topic cannot take."""

    end: CommitPosition
    messages: list[RawMessage] = field(default_factory=list)
    refused: list[QuarantineRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.messages) + len(self.refused)


def read_batch(
    connection: PgConnection, current_epoch: int, after: CommitPosition, limit_rows: int, limit_message: int
) -> StagedBatch:
    """The next rows after `after`. A message above `limit_message` bytes is refused; if its value alone is, that stays
    in the database.

    `connection` must be in autocommit mode.
    """
    batch, size = StagedBatch(after), 0
    with connection.cursor() as cursor:
        register_type(BYTES, cursor)
        large = []
        for epoch, xact_id, id_, key, batch_id, version, milliseconds, payload in _fetch(
            cursor, current_epoch, after, limit_rows, limit_message
        ):
            batch.end = CommitPosition(epoch, xact_id, id_)
            message = RawMessage(
                str(id_), UUID(key.decode()), payload or b"", batch_id.decode(), version, _instant(milliseconds)
            )
            if payload is None:
                large.append((batch.end, message))
            elif fits_topic(message, limit_message):
                batch.messages.append(message)
                size += len(payload)
            else:
                batch.refused.append(_refusal(message, limit_message))
            if size >= BATCH_BYTES:
                break
        batch.refused += [_stored_refusal(cursor, position, message, limit_message) for position, message in large]
        cursor.execute("COMMIT")
    return batch


def prepare_connection(connection: PgConnection) -> None:
    """Have `connection` notified of every staged page, and read batches by index.

    Without statistics, as on a new day's partition, the planner would rather sort all that waits: of 700,000 rows in 15
    partitions a batch of 5,000 took 3.7 s, by index 0.03 s.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET enable_sort = off")
        cursor.execute("LISTEN insights_staged")


def has_gated_rows(connection: PgConnection, after: CommitPosition) -> bool:
    """Whether committed rows beyond `after` wait for an older transaction to end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM staging.users WHERE (epoch, xact_id, id) > (%s, %s::xid8, %s))",
            (after.epoch, str(after.xact_id), after.id),
        )
        return bool(fetch_row(cursor)[0])


def find_oldest_writer(connection: PgConnection) -> tuple[int | None, str, float] | None:
    """The transaction that rows wait for: process id (none if prepared), application name, its age in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT l.pid, coalesce(a.application_name, ''), coalesce(extract(epoch FROM now() - a.xact_start), 0)::float
            FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
            WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
            ORDER BY age(l.transactionid) DESC LIMIT 1
            """
        )
        return cursor.fetchone()  # type: ignore[no-any-return]


def count_lag(connection: PgConnection, name: str) -> int:
    """Rows that the cursor has not passed, from the totals of pages: costs O(pages), not O(rows)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT coalesce(sum(staged), 0) FROM staging.batches)"
            " - (SELECT coalesce(sum(published), 0) FROM staging.publisher WHERE name = %s)",
            (name,),
        )
        return max(0, int(fetch_row(cursor)[0]))


def reject_too_large(message: RawMessage, size: int, digest: str, detail: str) -> QuarantineRecord:
    """The quarantine record of a row that is too large."""
    return QuarantineRecord(
        origin=f"staging/{message.event_id}",
        event_id=message.event_id,
        reason=Reason.TOO_LARGE,
        field="",
        detail=detail,
        key=str(message.key),
        batch_id=message.batch_id,
        version=message.version,
        event_time=message.event_time,
        redrives=message.redrives,
        size=size,
        sha256=digest,
        payload=None,
    )


def _fetch(cursor: PgCursor, current: int, after: CommitPosition, limit_rows: int, limit_message: int) -> Iterator[Any]:
    cursor.execute("BEGIN READ ONLY")
    cursor.execute(
        f"DECLARE staged NO SCROLL CURSOR FOR {NEXT_ROWS}",
        {
            "current": current,
            "epoch": after.epoch,
            "xact_id": str(after.xact_id),
            "id": after.id,
            "limit": limit_message,
            "rows": limit_rows,
        },
    )
    while True:
        cursor.execute(f"FETCH FORWARD {_FETCH_ROWS} FROM staged")
        rows = cursor.fetchall()
        yield from rows
        if len(rows) < _FETCH_ROWS:
            return


@lru_cache(maxsize=64)
def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def _refusal(message: RawMessage, limit: int) -> QuarantineRecord:
    detail = f"{compute_wire_size(message)} bytes with key and headers exceed the topic's {limit}"
    return reject_too_large(message, len(message.value), sha256(message.value).hexdigest(), detail)


def _stored_refusal(cursor: PgCursor, position: CommitPosition, message: RawMessage, limit: int) -> QuarantineRecord:
    cursor.execute(
        """
        SELECT octet_length(payload::text), encode(sha256(convert_to(payload::text, 'UTF8')), 'hex')
        FROM staging.users WHERE (epoch, xact_id, id) = (%s, %s::xid8, %s)
        """,
        (position.epoch, str(position.xact_id), position.id),
    )
    size, digest = fetch_row(cursor)
    detail = f"the value's {size} bytes alone exceed the topic's {limit}"
    return reject_too_large(message, size, digest.decode(), detail)
