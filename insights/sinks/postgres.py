"""The merge of a micro-batch into PostgreSQL: users, exact counts, quarantine and the batch's row, in one transaction.

Everything is decided here, from the versions; what Cassandra gets afterwards is read off the result.
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

from insights.clients import quarantine_table
from insights.clients.sql import fetch_row
from insights.model.quarantine import QuarantineRecord
from insights.model.schema import (
    USER_FIELDS,
    build_dimension_values_sql,
    build_sql_columns,
    build_user_counts_sql,
    list_dimension_fields,
)

Offsets = dict[str, dict[str, list[int]]]
"""Per topic and partition: the first offset of the batch, and the one after its last."""
Portions = Iterable[Sequence[QuarantineRecord]]
"""Refused records, a bounded number at a time."""

_FIELDS = ", ".join(USER_FIELDS)
_FRACTIONS = [percent / 100 for percent in range(101)]
_KEPT = tuple(dict.fromkeys((*list_dimension_fields(), "registered_at")))
"""What the replaced row of a user counted for, and where Cassandra had it."""

_TYPES = {name: definition.removesuffix(" NOT NULL") for name, definition in build_sql_columns().items()}
_TEMPORARY = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (n integer, {", ".join(f"{k} {v}" for k, v in _TYPES.items())})
        ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS touched (
        n integer, user_id uuid, event_id text, version bigint, wins boolean, same boolean,
        old_event_id text, old_version bigint, {", ".join(f"old_{name} {_TYPES[name]}" for name in _KEPT)}
    ) ON COMMIT DELETE ROWS;
"""

# One row per user of the batch: its newest row here against the row that is served.
_TOUCH = f"""
    INSERT INTO touched
    SELECT i.n, i.user_id, newest.event_id, newest.version, newest.wins,
        ROW({", ".join(f"u.{name}" for name in USER_FIELDS)}) IS NOT DISTINCT FROM
        ROW({", ".join(f"i.{name}" for name in USER_FIELDS)}),
        u.event_id, u.version, {", ".join(f"u.{name}" for name in _KEPT)}
    FROM (SELECT DISTINCT ON (user_id) n FROM incoming ORDER BY user_id, version DESC, event_id) AS first
    JOIN incoming AS i USING (n)
    LEFT JOIN analytics.users AS u ON u.user_id = i.user_id
    CROSS JOIN LATERAL (SELECT u.user_id IS NULL OR i.version > u.version AS wins) AS verdict
    CROSS JOIN LATERAL (
        SELECT wins, CASE WHEN wins THEN i.event_id ELSE u.event_id END AS event_id,
            greatest(i.version, u.version) AS version
    ) AS newest
"""
# A batch that stopped short of Cassandra may be judged again by other rules: what was merged of it stands.
_KEPT_ROWS = f"""
    SELECT {", ".join(f"u.{name}::text" if name == "user_id" else f"u.{name}" for name in USER_FIELDS)}
    FROM touched AS t JOIN incoming AS i USING (n) JOIN analytics.users AS u ON u.user_id = i.user_id
    WHERE NOT t.wins AND NOT t.same AND i.version = u.version
"""
_UPSERT = f"""
    INSERT INTO analytics.users ({_FIELDS}, seq)
    SELECT {", ".join(f"i.{name}" for name in USER_FIELDS)}, %(seq)s
    FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins
    ON CONFLICT (user_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in (*USER_FIELDS, "seq"))}
    WHERE excluded.version > analytics.users.version
"""
# A count that would fall below zero was wrong before: it is taken from the table.
_COUNT = f"""
    WITH gained AS (SELECT i.* FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins),
    lost AS (
        SELECT {", ".join(f"old_{name} AS {name}" for name in list_dimension_fields())}
        FROM touched WHERE wins AND old_event_id IS NOT NULL
    ),
    moves AS (
        SELECT dimension, value, sum(change) AS change FROM (
            SELECT dimension, value, 1 AS change FROM ({build_dimension_values_sql("gained")}) AS g
            UNION ALL SELECT dimension, value, -1 FROM ({build_dimension_values_sql("lost")}) AS l
        ) AS changes GROUP BY dimension, value HAVING sum(change) <> 0
    ),
    counts AS (
        SELECT m.dimension, m.value, coalesce(c.count, 0) + m.change AS count
        FROM moves AS m LEFT JOIN analytics.user_counts AS c USING (dimension, value)
    )
    INSERT INTO analytics.user_counts (dimension, value, count, seq)
    SELECT dimension, value, CASE WHEN count >= 0 THEN count ELSE coalesce((
        SELECT u.count FROM ({build_user_counts_sql("analytics.users")}) AS u
        WHERE u.dimension = counts.dimension AND u.value = counts.value
    ), 0) END, %(seq)s
    FROM counts
    ON CONFLICT (dimension, value) DO UPDATE SET count = excluded.count, seq = excluded.seq
"""
_SUPERSEDE = """
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
_REINSTATE = """
    DELETE FROM analytics.superseded AS s USING touched AS t
    WHERE t.wins AND t.old_event_id IS NOT NULL AND s.event_id = t.event_id AND s.user_id = t.user_id
"""
_MOVE = """
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
_RESOLVE = """
    UPDATE quarantine.records AS r SET resolved_at = now(), resolved_by = %(resolver)s
    FROM (
        SELECT DISTINCT event_id FROM incoming
        UNION SELECT event_id FROM analytics.users WHERE event_id = ANY(%(refused)s)
        UNION SELECT event_id FROM analytics.superseded WHERE event_id = ANY(%(refused)s)
    ) AS served
    WHERE r.event_id = served.event_id AND r.resolved_at IS NULL
"""
_WON = """
    SELECT count(*) FILTER (WHERE t.old_event_id IS NULL), count(*),
        percentile_disc(%s) WITHIN GROUP (ORDER BY i.event_time) FILTER (WHERE t.old_event_id IS NULL)
    FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins
"""
# Batches of an earlier checkpoint that stopped short of Cassandra: this query has read all they had again. So did a
# recount: its counts went with the next batch.
_SERVED = """
    WITH served AS (
        UPDATE analytics.batches SET served_at = now() WHERE query_id = %(query)s AND batch_id = %(batch)s
        RETURNING offsets, seq
    )
    UPDATE analytics.batches AS b SET served_at = now() FROM served
    WHERE b.served_at IS NULL AND b.query_id <> %(query)s AND b.seq < served.seq AND NOT EXISTS (
        SELECT FROM jsonb_each(b.offsets) AS t(topic, partitions), jsonb_each(t.partitions) AS p(partition, span)
        WHERE (p.span ->> 1)::bigint > coalesce((served.offsets -> t.topic -> p.partition ->> 1)::bigint, 0)
    )
"""


@dataclass(frozen=True, slots=True)
class MicroBatchId:
    """A micro-batch as Spark's checkpoint knows it. A batch seen again has the same offsets."""

    query_id: str
    number: int
    offsets: Offsets
    started_at: datetime


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge decided."""

    current: np.ndarray
    """Positions in the accepted table of the rows that are now served, ascending: one per user at most."""
    kept: pa.Table
    """Rows that are served as an earlier version of the rules made them of the same messages, like the accepted."""
    rejected: int
    """Refused records of the batch."""


def merge_batch(connection: PgConnection, batch: MicroBatchId, accepted: pa.Table, rejected: Portions) -> MergeResult:
    """Merge a batch in one transaction and commit it.

    `accepted` has the record's columns in order. A batch that is in `analytics.batches` with the same offsets changes
    nothing. Merges at the same time wait for each other.
    """
    with connection, connection.cursor() as cursor:
        lock_merges(cursor)
        cursor.execute(_TEMPORARY)
        _copy(cursor, accepted)
        cursor.execute(_TOUCH)
        refused = _merged_before(cursor, batch)
        if refused is None:
            refused = _apply(cursor, batch, accepted.num_rows, rejected)
        cursor.execute("SELECT n FROM touched WHERE wins OR same ORDER BY n")
        current = np.fromiter((n for (n,) in cursor), np.int64)
        kept = _read(cursor, _KEPT_ROWS, accepted.select(USER_FIELDS).schema)
    return MergeResult(current, kept, refused)


def lock_merges(cursor: PgCursor) -> None:
    """Wait for the merge that runs, and let none begin before the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('insights.merge', 0))")


def allocate_seq(cursor: PgCursor) -> int:
    """The place of this transaction among the merges, all of which it excludes; microseconds."""
    cursor.execute("""
        SELECT greatest(coalesce(max(seq), 0) + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
        FROM analytics.batches""")
    return int(fetch_row(cursor)[0])


def read_undelivered_counts(connection: PgConnection) -> pa.Table:
    """The counts (dimension, value, count, seq) that merges changed which Cassandra is not known to have."""
    query = """
        SELECT dimension, value, count, seq FROM analytics.user_counts
        WHERE seq IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)"""
    types = {"dimension": pa.string(), "value": pa.string(), "count": pa.int64(), "seq": pa.int64()}
    with connection, connection.cursor() as cursor:
        return _read(cursor, query, pa.schema(types))


def read_undelivered_moves(connection: PgConnection) -> pa.Table:
    """Old keys (user_id, version, country_code, registered_month, registered_at) that Cassandra may still have.

    The country or the month is null where the row of that table did not move.
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
        return _read(cursor, query, pa.schema(types))


def mark_delivered(connection: PgConnection, batch: MicroBatchId) -> None:
    """Note that every sink has the batch."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_SERVED, {"query": batch.query_id, "batch": batch.number})


def _copy(cursor: PgCursor, accepted: pa.Table) -> None:
    if not accepted.num_rows:
        return
    numbered = accepted.select(USER_FIELDS).add_column(0, "n", pa.array(np.arange(accepted.num_rows, dtype=np.int32)))
    text = io.BytesIO()
    pyarrow.csv.write_csv(numbered, text, pyarrow.csv.WriteOptions(include_header=False))
    text.seek(0)
    cursor.copy_expert(f"COPY incoming (n, {_FIELDS}) FROM STDIN (FORMAT csv)", text, size=1 << 18)


def _merged_before(cursor: PgCursor, batch: MicroBatchId) -> int | None:
    """How many records the batch refused when it was merged; None if it was not."""
    cursor.execute(
        "SELECT offsets, rejected FROM analytics.batches WHERE query_id = %s AND batch_id = %s",
        (batch.query_id, batch.number),
    )
    found = cursor.fetchone()
    return found[1] if found is not None and found[0] == batch.offsets else None


def _take_over(cursor: PgCursor, batch: MicroBatchId, seq: int) -> None:
    """A number that comes again with other offsets replaces a batch, and owes Cassandra what that one did."""
    cursor.execute(
        "SELECT seq FROM analytics.batches WHERE query_id = %s AND batch_id = %s AND served_at IS NULL",
        (batch.query_id, batch.number),
    )
    for (replaced,) in cursor.fetchall():
        for table in ("users", "user_counts", "moved"):
            cursor.execute(f"UPDATE analytics.{table} SET seq = %s WHERE seq = %s", (seq, replaced))


def _apply(cursor: PgCursor, batch: MicroBatchId, accepted: int, rejected: Portions) -> int:
    seq = allocate_seq(cursor)
    _take_over(cursor, batch, seq)
    cursor.execute(_WON, (_FRACTIONS,))
    inserted, written, event_times = fetch_row(cursor)
    if accepted:
        for statement in (_UPSERT, _COUNT, _SUPERSEDE, _REINSTATE, _MOVE):
            cursor.execute(statement, {"seq": seq})
    refused: list[str] = []
    for records in rejected:
        quarantine_table.insert_records(cursor, records)
        refused += [record.event_id for record in records]
    cursor.execute(_RESOLVE, {"resolver": f"stream {batch.query_id}/{batch.number}", "refused": refused})
    row = {
        "query_id": batch.query_id,
        "batch_id": batch.number,
        "seq": seq,
        "offsets": psycopg2.extras.Json(batch.offsets),
        "read": accepted + len(refused),
        "accepted": accepted,
        "rejected": len(refused),
        "inserted": inserted,
        "updated": written - inserted,
        "started_at": batch.started_at,
        "served_at": None,
        "event_times": event_times,
    }
    changes = ", ".join(f"{name} = excluded.{name}" for name in row)
    psycopg2.extras.execute_values(
        cursor,
        f"INSERT INTO analytics.batches ({', '.join(row)}) VALUES %s"
        f" ON CONFLICT (query_id, batch_id) DO UPDATE SET {changes}, merged_at = now()",
        [tuple(row.values())],
    )
    return len(refused)


def _read(cursor: PgCursor, query: str, schema: pa.Schema) -> pa.Table:
    cursor.execute(query)
    rows: Iterable[tuple[Any, ...]] = cursor.fetchall()
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(column, field.type) for field, column in zip(schema, columns, strict=True)], schema)
