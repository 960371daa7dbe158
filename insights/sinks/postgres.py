"""Merge a micro-batch into PostgreSQL: users, exact counts, quarantine and the batch's row, in one transaction.

The merge decides by version which records win; what is written to Cassandra afterwards follows from its result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg2.extras
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients import quarantine_table
from insights.clients.merge_order import allocate_seq, lock_merges
from insights.clients.sql import fetch_row
from insights.clients.stream_position import has_batch, read_position
from insights.errors import UserError
from insights.model.batch import digest_batch
from insights.model.quarantine import QuarantineRecord, Refusal
from insights.sinks import merge_statements as statements
from insights.sinks.accepted_rows import AcceptedRows
from insights.sinks.latencies import BucketOfUsers, MarkedBatch, summarize_latencies
from insights.sinks.refused_rows import SkippedRows, raise_versions, skip_refused
from insights.sinks.row_digests import digest_users
from insights.sinks.user_rows import read_table
from insights.sinks.version_order import order_unversioned

_SELECT_COUNTS = "SELECT dimension, value, count, seq FROM analytics.user_counts"
_COUNTS_SCHEMA = pa.schema({"dimension": pa.string(), "value": pa.string(), "count": pa.int64(), "seq": pa.int64()})

_LOST = (
    "it was restored to an earlier time, or a replica took over that lacked transactions. Restart the stream: it reads"
    " the topic again from where PostgreSQL is."
)
Offsets = dict[str, dict[str, list[int]]]
"""By topic and partition: the first offset of a batch and its end offset."""
RejectedPortions = Iterable[Sequence[QuarantineRecord]]
"""Rejected records, a bounded number at a time."""


@dataclass(frozen=True, slots=True)
class MicroBatchId:
    """The identity of a micro-batch in Spark's checkpoint. A repeated batch has the same offsets."""

    query_id: str
    number: int
    offsets: Offsets
    started_at: datetime


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A merged batch: its sequence number, by which the users that it wrote last are found, and its records."""

    seq: int
    accepted: int
    rejected: int
    refusals: Mapping[str, Refusal]
    """The records that a sink has refused, by origin; they count as rejected."""


def merge_batch(
    connection: PgConnection,
    batch: MicroBatchId,
    accepted: AcceptedRows,
    rejected: RejectedPortions,
    refused: RejectedPortions = (),
) -> MergeResult:
    """Merge a batch in one transaction and commit it.

    A batch that `analytics.batches` has with the same offsets changes nothing. Concurrent merges serialise on an
    advisory lock.

    Args:
        connection: its transaction is committed, or rolled back if an error is raised.
        batch: identifies a repetition.
        accepted: the records that keep every rule.
        rejected: the records that a rule rejects.
        refused: those of the accepted records that PostgreSQL refuses.

    Raises:
        UserError: PostgreSQL has lost the batch before, which was merged.
    """
    with connection, connection.cursor() as cursor:
        stage_rows(cursor, accepted)
        for records in refused:
            quarantine_table.insert_records(cursor, records, replace=True)
        skipped = skip_refused(cursor)
        merged = _find_merged(cursor, batch) or _apply_batch(cursor, batch, accepted, rejected, skipped)
        failpoints.reach("merge.batch_recorded")
    failpoints.reach("merge.committed")
    return MergeResult(*merged, skipped.refusals)


def stage_rows(cursor: PgCursor, accepted: AcceptedRows) -> None:
    """Take the merge lock and copy the rows to the temporary table `incoming`."""
    lock_merges(cursor)
    cursor.execute(statements.CREATE_TEMPORARY_TABLES)
    accepted.copy(cursor)


def order_rows(cursor: PgCursor, accepted: AcceptedRows) -> None:
    """Set the versions of those rows of `incoming`, copied from `accepted`, that have none of their own."""
    if accepted.unversioned:
        order_unversioned(cursor)
        _digest_again(cursor, accepted)


def raise_rows(cursor: PgCursor, accepted: AcceptedRows) -> None:
    """Raise the versions of those rows of `incoming` that Cassandra would hide behind rows that it refused."""
    if raise_versions(cursor):
        _digest_again(cursor, accepted)


def compare_with_stored(cursor: PgCursor) -> None:
    """Fill the temporary table `touched`: for each user of `incoming`, its newest row and the stored one."""
    cursor.execute(statements.COMPARE_WITH_STORED)


def write_winners(cursor: PgCursor, seq: int) -> None:
    """Store the rows of `touched` that win, adjust the counts, and record which events and keys they replace."""
    for statement in statements.WRITE_WINNERS:
        cursor.execute(statement, {"seq": seq})


def read_undelivered_counts(connection: PgConnection) -> pa.Table:
    """The counts (dimension, value, count, seq) last changed by undelivered batches."""
    undelivered = "WHERE seq IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)"
    return read_table(connection, f"{_SELECT_COUNTS} {undelivered}", {}, _COUNTS_SCHEMA)


def read_counts(connection: PgConnection) -> pa.Table:
    """All counts, in the same columns."""
    return read_table(connection, _SELECT_COUNTS, {}, _COUNTS_SCHEMA)


def mark_delivered(connection: PgConnection, batch: MicroBatchId) -> list[BucketOfUsers]:
    """Record that every sink has the batch.

    Returns the latencies of the users that this delivers: none if the batch was marked before.

    Raises:
        UserError: PostgreSQL has lost the batch.
    """
    with connection, connection.cursor() as cursor:
        _require_merged(cursor, batch.query_id, batch.number)
        cursor.execute(statements.MARK_DELIVERED, {"query": batch.query_id, "batch": batch.number})
        latencies = summarize_latencies(cursor, map(MarkedBatch._make, cursor.fetchall()))
    failpoints.reach("batch.marked")
    return latencies


def resolve_quarantined(cursor: PgCursor, batch: MicroBatchId, event_ids: Sequence[str]) -> None:
    """Resolve the quarantined records of the events of `incoming`, and those of `event_ids` that are stored."""
    cursor.execute(
        statements.RESOLVE_QUARANTINED,
        {"resolver": f"stream {batch.query_id}/{batch.number}", "rejected": list(event_ids)},
    )


def _digest_again(cursor: PgCursor, accepted: AcceptedRows) -> None:
    """Set the digests of the rows of `incoming` that have none because their versions changed."""
    cursor.execute("SELECT n, version FROM incoming WHERE digest IS NULL")
    changed = cursor.fetchall()
    if not changed:
        return
    numbers, versions = (pa.array([row[column] for row in changed], pa.int64()) for column in (0, 1))
    rows = accepted.numbered.take(pc.index_in(numbers, accepted.numbered["n"]))
    rows = rows.set_column(rows.schema.get_field_index("version"), "version", versions)
    psycopg2.extras.execute_values(
        cursor,
        "UPDATE incoming AS i SET digest = d.digest FROM (VALUES %s) AS d(n, digest) WHERE i.n = d.n",
        list(zip(numbers.to_pylist(), digest_users(rows).to_pylist(), strict=True)),
        page_size=10_000,
    )


def _find_merged(cursor: PgCursor, batch: MicroBatchId) -> tuple[int, int, int] | None:
    """The sequence number and the numbers of accepted and rejected records of a batch that has been merged before."""
    cursor.execute(
        "SELECT offsets, seq, accepted, rejected FROM analytics.batches WHERE query_id = %s AND batch_id = %s",
        (batch.query_id, batch.number),
    )
    row = cursor.fetchone()
    return (row[1], row[2], row[3]) if row is not None and row[0] == batch.offsets else None


def _require_predecessor(cursor: PgCursor, batch: MicroBatchId) -> None:
    """Spark runs a batch only after the one before it was merged.

    Raises:
        UserError: PostgreSQL does not have the batch before, or what a new query is to go on from.
    """
    if batch.number:
        _require_merged(cursor, batch.query_id, batch.number - 1)
        return
    for topic, partitions in batch.offsets.items():
        merged = read_position(cursor, topic).offsets
        if any(start > merged.get(int(partition), 0) for partition, (start, _) in partitions.items()):
            raise UserError(f"PostgreSQL has lost batches of {topic} before the first one of a new checkpoint: {_LOST}")


def _require_merged(cursor: PgCursor, query_id: str, number: int) -> None:
    if not has_batch(cursor, query_id, number):
        raise UserError(f"PostgreSQL has lost micro-batch {number}, which was merged: {_LOST}")


def inherit_unfinished_writes(cursor: PgCursor, batch: MicroBatchId, seq: int) -> None:
    """Give the unfinished Cassandra writes of the batch with this id a new sequence number."""
    cursor.execute(
        "SELECT seq FROM analytics.batches WHERE query_id = %s AND batch_id = %s AND served_at IS NULL",
        (batch.query_id, batch.number),
    )
    for (replaced_seq,) in cursor.fetchall():
        for table in ("users", "user_counts", "moved"):
            cursor.execute(f"UPDATE analytics.{table} SET seq = %s WHERE seq = %s", (seq, replaced_seq))


def _apply_batch(
    cursor: PgCursor, batch: MicroBatchId, rows: AcceptedRows, rejected: RejectedPortions, skipped: SkippedRows
) -> tuple[int, int, int]:
    """Write a batch that has not been merged before. Returns the same numbers as `_find_merged`."""
    _require_predecessor(cursor, batch)
    raise_rows(cursor, rows)
    order_rows(cursor, rows)
    compare_with_stored(cursor)
    seq, accepted = allocate_seq(cursor), len(rows) - len(skipped.refusals)
    inherit_unfinished_writes(cursor, batch, seq)  # A batch id may be reused with other offsets.
    cursor.execute(statements.SUMMARIZE_WINNERS, (statements.FRACTIONS,))
    inserted, written, event_times = fetch_row(cursor)
    if accepted:
        write_winners(cursor, seq)
        failpoints.reach("merge.users_written")
    if written < accepted or skipped.user_ids:
        cursor.execute(statements.DELIVER_AGAIN, {"seq": seq, "skipped": skipped.user_ids})
    rejected_ids = list(skipped.event_ids)
    for records in rejected:
        quarantine_table.insert_records(cursor, records)
        rejected_ids += [record.event_id for record in records]
    resolve_quarantined(cursor, batch, rejected_ids)
    row = {
        "query_id": batch.query_id,
        "batch_id": batch.number,
        "seq": seq,
        "offsets": batch.offsets,
        "read": accepted + len(rejected_ids),
        "accepted": accepted,
        "rejected": len(rejected_ids),
        "inserted": inserted,
        "updated": written - inserted,
        "started_at": batch.started_at,
        "served_at": None,
        "layout": None,
        "event_times": event_times,
    }
    row |= {"digest": digest_batch(row), "offsets": psycopg2.extras.Json(batch.offsets)}
    changes = ", ".join(f"{name} = excluded.{name}" for name in row)
    psycopg2.extras.execute_values(
        cursor,
        f"INSERT INTO analytics.batches ({', '.join(row)}) VALUES %s"
        f" ON CONFLICT (query_id, batch_id) DO UPDATE SET {changes}, merged_at = now()",
        [tuple(row.values())],
    )
    return seq, accepted, len(rejected_ids)
