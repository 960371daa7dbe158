"""Merge a micro-batch into PostgreSQL: users, exact counts, quarantine and the batch's row, in one transaction.

The merge decides by version which records win; what is written to Cassandra afterwards follows from its result.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import psycopg2.extras
import pyarrow as pa
import pyarrow.csv
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients import quarantine_table
from insights.clients.merge_order import allocate_seq, lock_merges
from insights.clients.sql import fetch_row
from insights.model.batch import digest_batch
from insights.model.quarantine import QuarantineRecord
from insights.model.schema import (
    USER_FIELDS,
    build_dimension_values_sql,
    build_sql_columns,
    build_user_counts_sql,
    list_dimension_fields,
)
from insights.sinks.row_digests import digest_users

Offsets = dict[str, dict[str, list[int]]]
"""By topic and partition: the first offset of a batch and its end offset."""
RejectedPortions = Iterable[Sequence[QuarantineRecord]]
"""Rejected records, a bounded number at a time."""

_USER_COLUMNS = ", ".join(USER_FIELDS)
_FRACTIONS = [percent / 100 for percent in range(101)]
_REPLACED_COLUMNS = tuple(dict.fromkeys((*list_dimension_fields(), "registered_at")))
"""The columns of a replaced row that determine its counts and its keys in Cassandra."""

_COLUMN_TYPES = {name: definition.removesuffix(" NOT NULL") for name, definition in build_sql_columns().items()}
_CREATE_TEMPORARY_TABLES = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
        n integer, digest bigint, {", ".join(f"{k} {v}" for k, v in _COLUMN_TYPES.items())}
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS touched (
        n integer, user_id uuid, event_id text, version bigint, wins boolean, same boolean,
        old_event_id text, old_version bigint,
        {", ".join(f"old_{name} {_COLUMN_TYPES[name]}" for name in _REPLACED_COLUMNS)}
    ) ON COMMIT DELETE ROWS;
"""

# For each user of the batch, compares the newest incoming row with the stored one.
_COMPARE_WITH_STORED = f"""
    INSERT INTO touched
    SELECT i.n, i.user_id, newest.event_id, newest.version, newest.wins,
        ROW({", ".join(f"u.{name}" for name in USER_FIELDS)}) IS NOT DISTINCT FROM
        ROW({", ".join(f"i.{name}" for name in USER_FIELDS)}),
        u.event_id, u.version, {", ".join(f"u.{name}" for name in _REPLACED_COLUMNS)}
    FROM (SELECT DISTINCT ON (user_id) n FROM incoming ORDER BY user_id, version DESC, event_id COLLATE "C") AS latest
    JOIN incoming AS i USING (n)
    LEFT JOIN analytics.users AS u ON u.user_id = i.user_id
    CROSS JOIN LATERAL (SELECT u.user_id IS NULL OR i.version > u.version AS wins) AS comparison
    CROSS JOIN LATERAL (
        SELECT wins, CASE WHEN wins THEN i.event_id ELSE u.event_id END AS event_id,
            greatest(i.version, u.version) AS version
    ) AS newest
"""
# An upgrade may change the rules between the merge of a batch and its delivery: the merged rows remain valid.
_SELECT_STORED_ROWS = f"""
    SELECT {", ".join(f"u.{name}::text" if name == "user_id" else f"u.{name}" for name in USER_FIELDS)}
    FROM touched AS t JOIN incoming AS i USING (n) JOIN analytics.users AS u ON u.user_id = i.user_id
    WHERE NOT t.wins AND NOT t.same AND i.version = u.version
"""
_UPSERT_USERS = f"""
    INSERT INTO analytics.users ({_USER_COLUMNS}, digest, seq)
    SELECT {", ".join(f"i.{name}" for name in USER_FIELDS)}, i.digest, %(seq)s
    FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins
    ON CONFLICT (user_id) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in USER_FIELDS)}, digest = excluded.digest, seq = excluded.seq
    WHERE excluded.version > analytics.users.version
"""
# A count that would fall below zero was already wrong: it is recomputed from the table.
_UPDATE_COUNTS = f"""
    WITH gained AS (SELECT i.* FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins),
    lost AS (
        SELECT {", ".join(f"old_{name} AS {name}" for name in list_dimension_fields())}
        FROM touched WHERE wins AND old_event_id IS NOT NULL
    ),
    changes AS (
        SELECT dimension, value, sum(change) AS change FROM (
            SELECT dimension, value, 1 AS change FROM ({build_dimension_values_sql("gained")}) AS g
            UNION ALL SELECT dimension, value, -1 FROM ({build_dimension_values_sql("lost")}) AS l
        ) AS gained_and_lost GROUP BY dimension, value HAVING sum(change) <> 0
    ),
    counts AS (
        SELECT m.dimension, m.value, coalesce(c.count, 0) + m.change AS count
        FROM changes AS m LEFT JOIN analytics.user_counts AS c USING (dimension, value)
    )
    INSERT INTO analytics.user_counts (dimension, value, count, seq)
    SELECT dimension, value, CASE WHEN count >= 0 THEN count ELSE coalesce((
        SELECT u.count FROM ({build_user_counts_sql("analytics.users")}) AS u
        WHERE u.dimension = counts.dimension AND u.value = counts.value
    ), 0) END, %(seq)s
    FROM counts
    ON CONFLICT (dimension, value) DO UPDATE SET count = excluded.count, seq = excluded.seq
"""
_INSERT_SUPERSEDED = """
    INSERT INTO analytics.superseded (event_id, user_id, version, superseded_by, seq)
    SELECT DISTINCT ON (e.event_id, user_id) e.event_id, user_id, e.version, t.event_id, %(seq)s
    FROM (
        SELECT event_id, user_id, version FROM incoming
        UNION ALL SELECT old_event_id, user_id, old_version FROM touched WHERE wins AND old_event_id IS NOT NULL
    ) AS e JOIN touched AS t USING (user_id)
    WHERE e.event_id <> t.event_id
    ORDER BY e.event_id, user_id, e.version DESC
    ON CONFLICT DO NOTHING
"""
_DELETE_REINSTATED = """
    DELETE FROM analytics.superseded AS s USING touched AS t
    WHERE t.wins AND t.old_event_id IS NOT NULL AND s.event_id = t.event_id AND s.user_id = t.user_id
"""
_INSERT_MOVES = """
    INSERT INTO analytics.moved (user_id, version, seq, country_code, registered_month, registered_at)
    SELECT i.user_id, i.version, %(seq)s,
        CASE WHEN (i.country_code, i.registered_at) IS DISTINCT FROM (old_country_code, old_registered_at)
            THEN old_country_code END,
        CASE WHEN (i.registered_month, i.registered_at) IS DISTINCT FROM (old_registered_month, old_registered_at)
            THEN old_registered_month END,
        old_registered_at
    FROM incoming AS i JOIN touched AS t USING (n)
    WHERE t.wins AND old_event_id IS NOT NULL
        AND (i.country_code, i.registered_month, i.registered_at)
        IS DISTINCT FROM (old_country_code, old_registered_month, old_registered_at)
    ON CONFLICT (user_id, version) DO UPDATE SET seq = excluded.seq, country_code = excluded.country_code,
        registered_month = excluded.registered_month, registered_at = excluded.registered_at
"""
_RESOLVE_QUARANTINED = """
    UPDATE quarantine.records AS r SET resolved_at = now(), resolved_by = %(resolver)s
    FROM (
        SELECT DISTINCT event_id FROM incoming
        UNION SELECT event_id FROM analytics.users WHERE event_id = ANY(%(rejected)s)
        UNION SELECT event_id FROM analytics.superseded WHERE event_id = ANY(%(rejected)s)
    ) AS landed
    WHERE r.event_id = landed.event_id AND r.resolved_at IS NULL
"""
_SUMMARIZE_WINNERS = """
    SELECT count(*) FILTER (WHERE t.old_event_id IS NULL), count(*),
        percentile_disc(%s) WITHIN GROUP (ORDER BY i.event_time) FILTER (WHERE t.old_event_id IS NULL)
    FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins
"""
# Also marks the undelivered batches of an earlier checkpoint whose offsets this query has read again, and undelivered
# recounts, whose counts were written to Cassandra with this batch.
_MARK_DELIVERED = """
    WITH delivered AS (
        UPDATE analytics.batches SET served_at = now() WHERE query_id = %(query)s AND batch_id = %(batch)s
        RETURNING offsets, seq
    )
    UPDATE analytics.batches AS b SET served_at = now() FROM delivered
    WHERE b.served_at IS NULL AND b.query_id <> %(query)s AND b.seq < delivered.seq AND NOT EXISTS (
        SELECT FROM jsonb_each(b.offsets) AS t(topic, partitions), jsonb_each(t.partitions) AS p(partition, span)
        WHERE (p.span ->> 1)::bigint > coalesce((delivered.offsets -> t.topic -> p.partition ->> 1)::bigint, 0)
    )
"""


@dataclass(frozen=True, slots=True)
class MicroBatchId:
    """The identity of a micro-batch in Spark's checkpoint. A repeated batch has the same offsets."""

    query_id: str
    number: int
    offsets: Offsets
    started_at: datetime


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The rows of a batch that belong in Cassandra, and the number of its rejected records."""

    current: np.ndarray
    """Indices into the accepted table of the rows that are now stored, ascending: at most one per user."""
    stored: pa.Table
    """Stored rows that an earlier version of the rules derived from the same messages; columns as in `accepted`."""
    rejected: int


def merge_batch(
    connection: PgConnection, batch: MicroBatchId, accepted: pa.Table, rejected: RejectedPortions
) -> MergeResult:
    """Merge a batch in one transaction and commit it.

    `accepted` has the columns of `User`. A batch that `analytics.batches` has with the same offsets changes nothing.
    Concurrent merges serialise on an advisory lock.
    """
    with connection, connection.cursor() as cursor:
        lock_merges(cursor)
        cursor.execute(_CREATE_TEMPORARY_TABLES)
        _copy_accepted(cursor, accepted)
        cursor.execute(_COMPARE_WITH_STORED)
        rejected_count = _find_merged(cursor, batch)
        if rejected_count is None:
            rejected_count = _apply_batch(cursor, batch, accepted.num_rows, rejected)
        cursor.execute("SELECT n FROM touched WHERE wins OR same ORDER BY n")
        current = np.fromiter((n for (n,) in cursor), np.int64)
        cursor.execute(_SELECT_STORED_ROWS)
        stored = fetch_table(cursor, accepted.select(USER_FIELDS).schema)
        failpoints.reach("merge.batch_recorded")
    failpoints.reach("merge.committed")
    return MergeResult(current, stored, rejected_count)


def read_undelivered_counts(connection: PgConnection) -> pa.Table:
    """The counts (dimension, value, count, seq) last changed by undelivered batches."""
    query = """
        SELECT dimension, value, count, seq FROM analytics.user_counts
        WHERE seq IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)"""
    types = {"dimension": pa.string(), "value": pa.string(), "count": pa.int64(), "seq": pa.int64()}
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return fetch_table(cursor, pa.schema(types))


def read_undelivered_moves(connection: PgConnection) -> pa.Table:
    """Old keys (user_id, version, country_code, registered_month, registered_at) that undelivered batches left behind.

    The country is null if the user's row in `users_by_country` did not move; likewise the month.
    """
    query = """
        SELECT user_id::text, version, country_code, registered_month, registered_at FROM analytics.moved
        WHERE seq IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)"""
    types = {
        "user_id": pa.string(),
        "version": pa.int64(),
        "country_code": pa.string(),
        "registered_month": pa.string(),
        "registered_at": pa.timestamp("us", "UTC"),
    }
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return fetch_table(cursor, pa.schema(types))


def mark_delivered(connection: PgConnection, batch: MicroBatchId) -> None:
    """Record that every sink has the batch."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_MARK_DELIVERED, {"query": batch.query_id, "batch": batch.number})
    failpoints.reach("batch.marked")


def _copy_accepted(cursor: PgCursor, accepted: pa.Table) -> None:
    if not accepted.num_rows:
        return
    numbers = pa.array(np.arange(accepted.num_rows, dtype=np.int32))
    numbered = accepted.select(USER_FIELDS).add_column(0, "digest", digest_users(accepted)).add_column(0, "n", numbers)
    text = io.BytesIO()
    pyarrow.csv.write_csv(numbered, text, pyarrow.csv.WriteOptions(include_header=False))
    text.seek(0)
    cursor.copy_expert(f"COPY incoming (n, digest, {_USER_COLUMNS}) FROM STDIN (FORMAT csv)", text, size=1 << 18)


def _find_merged(cursor: PgCursor, batch: MicroBatchId) -> int | None:
    """The number of rejected records, if the batch has been merged before; otherwise None."""
    cursor.execute(
        "SELECT offsets, rejected FROM analytics.batches WHERE query_id = %s AND batch_id = %s",
        (batch.query_id, batch.number),
    )
    row = cursor.fetchone()
    return row[1] if row is not None and row[0] == batch.offsets else None


def _inherit_unfinished_writes(cursor: PgCursor, batch: MicroBatchId, seq: int) -> None:
    """A batch id reused with other offsets inherits the unfinished Cassandra writes of the batch it replaces."""
    cursor.execute(
        "SELECT seq FROM analytics.batches WHERE query_id = %s AND batch_id = %s AND served_at IS NULL",
        (batch.query_id, batch.number),
    )
    for (replaced_seq,) in cursor.fetchall():
        for table in ("users", "user_counts", "moved"):
            cursor.execute(f"UPDATE analytics.{table} SET seq = %s WHERE seq = %s", (seq, replaced_seq))


def _apply_batch(cursor: PgCursor, batch: MicroBatchId, accepted: int, rejected: RejectedPortions) -> int:
    """Write a batch that has not been merged before. Returns the number of rejected records."""
    seq = allocate_seq(cursor)
    _inherit_unfinished_writes(cursor, batch, seq)
    cursor.execute(_SUMMARIZE_WINNERS, (_FRACTIONS,))
    inserted, written, event_times = fetch_row(cursor)
    if accepted:
        for statement in (_UPSERT_USERS, _UPDATE_COUNTS, _INSERT_SUPERSEDED, _DELETE_REINSTATED, _INSERT_MOVES):
            cursor.execute(statement, {"seq": seq})
        failpoints.reach("merge.users_written")
    rejected_ids: list[str] = []
    for records in rejected:
        quarantine_table.insert_records(cursor, records)
        rejected_ids += [record.event_id for record in records]
    cursor.execute(
        _RESOLVE_QUARANTINED, {"resolver": f"stream {batch.query_id}/{batch.number}", "rejected": rejected_ids}
    )
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
    return len(rejected_ids)


def fetch_table(cursor: PgCursor, schema: pa.Schema) -> pa.Table:
    """Fetch the rows of the cursor's statement as a table."""
    rows: Iterable[tuple[Any, ...]] = cursor.fetchall()
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(column, field.type) for field, column in zip(schema, columns, strict=True)], schema)
