"""Take the rows that a store refuses out of a batch: find them before the merge, or withdraw them after it.

PostgreSQL refuses before anything is written: the rows are found in a transaction that is rolled back. Cassandra
refuses after PostgreSQL has merged the batch: the merge of these rows is then undone. Each refused record goes to
quarantine, and the newest earlier row of its user is stored again, as a newer version.
"""

from collections.abc import Mapping, Sequence

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients import quarantine_table
from insights.clients.merge_order import allocate_seq
from insights.clients.sql import fetch_row
from insights.model.batch import BATCH_DIGESTED, digest_batch
from insights.model.quarantine import Refusal
from insights.model.schema import build_dimension_values_sql
from insights.sinks import merge_statements as statements
from insights.sinks import postgres
from insights.sinks.accepted_rows import encode_rows
from insights.sinks.bisection import find_refused
from insights.sinks.refused_rows import CountKey, skip_refused
from insights.sinks.store_errors import is_postgres_refusal, quote_store
from insights.sinks.user_rows import ACCEPTED_SCHEMA

_KEEP_NEWEST = f"DELETE FROM incoming WHERE n NOT IN ({statements.SELECT_NEWEST_INCOMING})"
# A user for whom no earlier row was stored disappears; n is null.
_TOUCH_WITHDRAWN = f"""
    INSERT INTO touched
    SELECT NULL::bigint, u.user_id, u.event_id, u.version, true, u.event_id, u.version,
        {", ".join(f"u.{name}" for name in statements.REPLACED_COLUMNS)}
    FROM analytics.users AS u
    WHERE u.user_id = ANY(%(users)s::uuid[]) AND u.origin = ANY(%(origins)s)
"""
_FINISH = (
    # What replaced an earlier row is in quarantine and not superseded.
    "DELETE FROM analytics.superseded WHERE event_id = ANY(%(events)s) AND user_id = ANY(%(users)s::uuid[])",
    "DELETE FROM analytics.users AS u USING touched AS t WHERE t.n IS NULL AND u.user_id = t.user_id",
    # Cassandra may have the refused row in some of its tables.
    statements.build_moves_insert("""
    SELECT user_id, old_version, %(seq)s, old_country_code, old_registered_month, old_registered_at
    FROM touched WHERE n IS NULL
    """),
)
_SELECT_COUNTED_USERS = f"""
    WITH merged AS (
        SELECT * FROM analytics.users
        WHERE seq = (SELECT seq FROM analytics.batches WHERE query_id = %(query)s AND batch_id = %(batch)s)
    )
    SELECT origin, version, dimension, value
    FROM ({build_dimension_values_sql("merged", "merged.origin, merged.version, ")}) AS counted
    JOIN unnest(%(dimensions)s::text[], %(values)s::text[]) AS refused(dimension, value) USING (dimension, value)
"""


def find_refused_rows(connection: PgConnection, accepted: pa.Table) -> dict[int, str]:
    """The rows of `accepted` that PostgreSQL refuses, by index, with its words. Changes nothing.

    Raises:
        psycopg2.Error: an error that is not about the rows.
    """
    try:
        with connection.cursor() as cursor:
            postgres.stage_rows(cursor, encode_rows(accepted.slice(0, 0)))
            seq = allocate_seq(cursor)
            return _merge_what_fits(cursor, accepted, seq)
    finally:
        connection.rollback()


def find_counted_users(
    connection: PgConnection, batch: postgres.MicroBatchId, counts: Mapping[CountKey, str]
) -> dict[str, Refusal]:
    """The rows of a merged batch that contribute to the refused counts, by origin, with the words about the count."""
    with connection, connection.cursor() as cursor:
        keys = {"dimensions": [key.dimension for key in counts], "values": [key.value for key in counts]}
        cursor.execute(_SELECT_COUNTED_USERS, _name_batch(batch) | keys)
        return {
            origin: Refusal("Cassandra", counts[CountKey(dimension, value)], version)
            for origin, version, dimension, value in cursor.fetchall()
        }


def withdraw(
    connection: PgConnection,
    batch: postgres.MicroBatchId,
    candidates: pa.Table,
    refused: pa.Table,
    records: postgres.RejectedPortions,
) -> None:
    """Undo the merge of the rows of `batch` that Cassandra refuses, in one transaction, and quarantine them.

    Args:
        connection: its transaction is committed, or rolled back if an error is raised.
        batch: is merged and not delivered.
        candidates: other rows of the same users, newest first, with the columns of `ACCEPTED_FIELDS`. The newest of
            each user that PostgreSQL takes is stored again; the others stay superseded.
        refused: the refused rows.
        records: the refused rows as quarantine records.
    """
    names = {"users": refused["user_id"], "origins": refused["origin"], "events": refused["event_id"]}
    parameters = {name: column.to_pylist() for name, column in names.items()} | _name_batch(batch)
    with connection, connection.cursor() as cursor:
        postgres.stage_rows(cursor, encode_rows(candidates.slice(0, 0)))
        for portion in records:
            quarantine_table.insert_records(cursor, portion, replace=True)
        seq = allocate_seq(cursor)
        postgres.inherit_unfinished_writes(cursor, batch, seq)
        _merge_what_fits(cursor, candidates, seq)
        cursor.execute(_TOUCH_WITHDRAWN, parameters)
        postgres.write_winners(cursor, seq)
        for statement in _FINISH:
            cursor.execute(statement, parameters | {"seq": seq})
        _update_batch(cursor, batch, seq, refused.num_rows)
        postgres.resolve_quarantined(cursor, batch, parameters["events"])
    failpoints.reach("withdraw.committed")


def select_candidates(
    accepted: pa.Table, user_ids: Sequence[str], refused: Sequence[str], delivered: pa.Table
) -> pa.Table:
    """The rows of these users that may be stored in place of refused ones, newest first.

    These are the rows of `accepted` whose origins are not `refused`, and the rows that were `delivered` before: those
    of `User` in Cassandra.
    """
    of_users = pc.is_in(accepted["user_id"], pa.array(user_ids, pa.string()))
    taken = pc.invert(pc.is_in(accepted["origin"], pa.array(refused, pa.string())))
    others = accepted.filter(pc.and_(of_users, taken))
    earlier = delivered.append_column("origin", pa.nulls(delivered.num_rows, pa.string()))
    earlier = earlier.append_column("unversioned", pa.array([False] * delivered.num_rows, pa.bool_()))
    return pa.concat_tables([others, earlier.cast(ACCEPTED_SCHEMA)]).sort_by([("version", "descending")])


def _update_batch(cursor: PgCursor, batch: postgres.MicroBatchId, seq: int, refused: int) -> None:
    """Count `refused` records as rejected, and the batch as undelivered, under a new sequence number."""
    cursor.execute("SELECT count(*) FROM touched WHERE n IS NULL")
    (withdrawn,) = fetch_row(cursor)
    columns, where = ", ".join(BATCH_DIGESTED), "query_id = %(query)s AND batch_id = %(batch)s"
    cursor.execute(f"SELECT {columns} FROM analytics.batches WHERE {where}", _name_batch(batch))
    row = dict(zip(BATCH_DIGESTED, fetch_row(cursor), strict=True))
    row |= {
        "seq": seq,
        "accepted": row["accepted"] - refused,
        "rejected": row["rejected"] + refused,
        "inserted": max(0, row["inserted"] - withdrawn),
    }
    cursor.execute(
        f"""
        UPDATE analytics.batches SET seq = %(seq)s, accepted = %(accepted)s, rejected = %(rejected)s,
            inserted = %(inserted)s, digest = %(digest)s, served_at = NULL, layout = NULL
        WHERE {where}
        """,
        row | _name_batch(batch) | {"digest": digest_batch(row)},
    )


def _merge_what_fits(cursor: PgCursor, rows: pa.Table, seq: int) -> dict[int, str]:
    """Merge the rows in the caller's transaction, except those that PostgreSQL refuses. Returns these by index."""
    return find_refused(range(rows.num_rows), lambda part: _try_merge(cursor, rows.slice(part.start, len(part)), seq))


def _try_merge(cursor: PgCursor, rows: pa.Table, seq: int) -> str | None:
    """Merge the rows on top of those of earlier calls. Returns PostgreSQL's words if it refuses any of them."""
    encoded = encode_rows(rows)
    cursor.execute("SAVEPOINT part")
    try:
        postgres.stage_rows(cursor, encoded)
        skip_refused(cursor)
        postgres.order_rows(cursor, encoded)
        cursor.execute(_KEEP_NEWEST)
        postgres.raise_rows(cursor, encoded)
        postgres.compare_with_stored(cursor)
        postgres.write_winners(cursor, seq)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; DELETE FROM incoming; DELETE FROM touched; RELEASE part")
    except psycopg2.Error as error:
        if not is_postgres_refusal(error):
            raise
        cursor.execute("ROLLBACK TO part")
        return quote_store(error)
    return None


def _name_batch(batch: postgres.MicroBatchId) -> dict[str, object]:
    return {"query": batch.query_id, "batch": batch.number}
