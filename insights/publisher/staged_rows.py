"""Read the staged rows beyond the cursor, in commit order, stopping at the snapshot horizon."""

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

from insights.clients.page_totals import PAGE_TOTALS
from insights.clients.sql import fetch_row
from insights.model.message import RawMessage
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.publisher.message_size import compute_wire_size, fits_topic

BATCH_BYTES = 32 * 1024 * 1024
"""A batch ends early when its payloads reach this size."""
_FETCH_ROWS = 250

# All transactions below the snapshot's xmin have ended, so no row can appear behind the cursor later. Rows of an older
# epoch (before a logical restore) were all written by transactions that have ended.
NEXT_ROWS = """
    SELECT epoch, xact_id::text::bigint, id, user_key::text, batch_id, version,
           (extract(epoch FROM event_time) * 1000)::bigint,
           CASE WHEN octet_length(payload::text) <= %(limit)s THEN payload::text END
    FROM staging.users WHERE (epoch, xact_id, id) > (%(epoch)s, %(xact_id)s::xid8, %(id)s)
    AND (epoch, xact_id) < (%(current)s, pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY users.epoch, users.xact_id, users.id LIMIT %(rows)s
"""


class CommitPosition(NamedTuple):
    """A position in commit order."""

    epoch: int
    xact_id: int
    id: int


@dataclass(slots=True)
class StagedBatch:
    """Rows in commit order up to `end`: `messages`, and `rejected` records, which are too large for the topic."""

    end: CommitPosition
    messages: list[RawMessage] = field(default_factory=list)
    rejected: list[QuarantineRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.messages) + len(self.rejected)

    def iterate_batch_ids(self) -> Iterator[str | None]:
        """The batch id of each row."""
        yield from (message.batch_id for message in self.messages)
        yield from (record.batch_id for record in self.rejected)


def read_batch(
    connection: PgConnection, current_epoch: int, after: CommitPosition, max_rows: int, max_message_bytes: int
) -> StagedBatch:
    """Read up to `max_rows` rows, and about `BATCH_BYTES`, beyond `after`. `connection` is in autocommit mode.

    Messages of more than `max_message_bytes` are rejected. A payload larger than that is not fetched.
    """
    batch, payload_bytes = StagedBatch(after), 0
    with connection.cursor() as cursor:
        register_type(BYTES, cursor)
        unfetched = []
        for epoch, xact_id, id_, key, batch_id, version, milliseconds, payload in _fetch_rows(
            cursor, current_epoch, after, max_rows, max_message_bytes
        ):
            batch.end = CommitPosition(epoch, xact_id, id_)
            message = RawMessage(
                str(id_), UUID(key.decode()), payload or b"", batch_id.decode(), version, _to_datetime(milliseconds)
            )
            if payload is None:
                unfetched.append((batch.end, message))
            elif fits_topic(message, max_message_bytes):
                batch.messages.append(message)
                payload_bytes += len(payload)
            else:
                batch.rejected.append(_reject_fetched(message, max_message_bytes))
            if payload_bytes >= BATCH_BYTES:
                break
        batch.rejected += [
            _reject_unfetched(cursor, position, message, max_message_bytes) for position, message in unfetched
        ]
        cursor.execute("COMMIT")
    return batch


def prepare_connection(connection: PgConnection) -> None:
    """Subscribe `connection` to notifications of staged pages, and have it read batches by index.

    Without statistics, as on a new day's partition, the planner prefers to sort all unpublished rows. With 700,000 rows
    in 15 partitions, a batch of 5,000 then took 3.7 s instead of 0.03 s by index.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET enable_sort = off")
        cursor.execute("LISTEN insights_staged")


def has_rows_beyond(connection: PgConnection, after: CommitPosition) -> bool:
    """Whether committed rows beyond `after` exist; those that `read_batch` leaves out wait for an older transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM staging.users WHERE (epoch, xact_id, id) > (%s, %s::xid8, %s))",
            (after.epoch, str(after.xact_id), after.id),
        )
        return bool(fetch_row(cursor)[0])


class OpenTransaction(NamedTuple):
    """A transaction that has written; a prepared transaction has no process id."""

    pid: int | None
    application: str
    age_seconds: float


def find_oldest_writer(connection: PgConnection) -> OpenTransaction | None:
    """The oldest transaction in the server that has written and has not ended, for which newer rows wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT l.pid, coalesce(a.application_name, ''), coalesce(extract(epoch FROM now() - a.xact_start), 0)::float
            FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
            WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
            ORDER BY age(l.transactionid) DESC LIMIT 1
            """
        )
        row = cursor.fetchone()
        return OpenTransaction(*row) if row else None


def count_lag(connection: PgConnection, name: str) -> int:
    """The number of rows beyond the cursor, computed from totals, so that the cost does not depend on it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT staged FROM {PAGE_TOTALS} AS pages)"
            " - (SELECT coalesce(sum(published), 0) FROM staging.publisher WHERE name = %s)",
            (name,),
        )
        return max(0, int(fetch_row(cursor)[0]))


def reject_too_large(message: RawMessage, size: int, digest: str, detail: str) -> QuarantineRecord:
    """Make the quarantine record of a row that is too large."""
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


def _fetch_rows(
    cursor: PgCursor, current_epoch: int, after: CommitPosition, max_rows: int, max_message_bytes: int
) -> Iterator[Any]:
    cursor.execute("BEGIN READ ONLY")
    cursor.execute(
        f"DECLARE staged NO SCROLL CURSOR FOR {NEXT_ROWS}",
        {
            "current": current_epoch,
            "epoch": after.epoch,
            "xact_id": str(after.xact_id),
            "id": after.id,
            "limit": max_message_bytes,
            "rows": max_rows,
        },
    )
    while True:
        cursor.execute(f"FETCH FORWARD {_FETCH_ROWS} FROM staged")
        rows = cursor.fetchall()
        yield from rows
        if len(rows) < _FETCH_ROWS:
            return


@lru_cache(maxsize=64)
def _to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def _reject_fetched(message: RawMessage, limit: int) -> QuarantineRecord:
    detail = f"{compute_wire_size(message)} bytes with key and headers exceed the topic's limit of {limit}"
    return reject_too_large(message, len(message.value), sha256(message.value).hexdigest(), detail)


def _reject_unfetched(cursor: PgCursor, position: CommitPosition, message: RawMessage, limit: int) -> QuarantineRecord:
    cursor.execute(
        """
        SELECT octet_length(payload::text), encode(sha256(convert_to(payload::text, 'UTF8')), 'hex')
        FROM staging.users WHERE (epoch, xact_id, id) = (%s, %s::xid8, %s)
        """,
        (position.epoch, str(position.xact_id), position.id),
    )
    size, digest = fetch_row(cursor)
    detail = f"the value's {size} bytes alone exceed the topic's limit of {limit}"
    return reject_too_large(message, size, digest.decode(), detail)
