"""The hops of contents: rows of PostgreSQL against the digests that were recorded when they were written."""

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.ledger.digest import (
    build_bucket_sql,
    build_cells_digest_sql,
    build_digest_sql,
    build_image_sql,
    build_texts_digest_sql,
)
from insights.ledger.hops import MAX_NAMED_IDS, Hop, evaluate_hop, list_uncovered
from insights.ledger.table_digests import PROFILES, TableDigest, list_compared_columns
from insights.model.batch import BATCH_DIGESTED, RECOUNT
from insights.text import format_count

MERGED_WITHOUT_DIGEST = "EXISTS (SELECT FROM analytics.batches AS b WHERE b.seq = u.seq AND b.digest IS NULL)"
"""After a rollback, a stream that records no digests updates a user and leaves the former digest."""
_MISSING_BATCHES = """
    SELECT query_id || '/' || batch_id + 1 FROM (
        SELECT query_id, batch_id, served_at, lead(batch_id) OVER (PARTITION BY query_id ORDER BY batch_id) AS next
        FROM analytics.batches
    ) AS b WHERE next > batch_id + 1 AND served_at IS NOT NULL ORDER BY query_id, batch_id LIMIT %s
"""
"""Retention deletes the oldest batches of a query, but keeps undelivered ones."""
_RECORD_TEXTS = (
    *("origin", "event_id", "reason", "field", "detail", "key", "batch_id", "version"),
    *("(extract(epoch FROM event_time) * 1000)::bigint", "redrives", "size", "sha256"),
)
RECORD_DIGEST = build_cells_digest_sql(*(f"convert_to(({text})::text, 'UTF8')" for text in _RECORD_TEXTS), "payload")
"""`QuarantineRecord.digest` of a row of `quarantine.records`."""


def check_users(cursor: PgCursor, stored: TableDigest) -> Hop:
    """Check that the rows of `analytics.users` are as they were merged.

    `stored` is the digest of their present content, which `digest_postgres` computes for `PROFILES`.
    """
    cursor.execute(
        f"SELECT {build_bucket_sql()}, coalesce(bit_xor(digest), 0), count(*) - count(digest)"
        " FROM analytics.users GROUP BY 1"
    )
    suspicious, unrecorded = [], 0
    for bucket, recorded, missing in cursor.fetchall():
        unrecorded += missing
        if recorded != stored.buckets[bucket]:
            suspicious.append(bucket)
    changed = []
    if suspicious:
        digest = build_digest_sql(build_image_sql(list_compared_columns(PROFILES)))
        cursor.execute(
            f"SELECT user_id FROM analytics.users AS u WHERE {build_bucket_sql()} = ANY(%s) AND digest <> {digest}"
            f" AND NOT {MERGED_WITHOUT_DIGEST} ORDER BY user_id LIMIT %s",
            (suspicious, MAX_NAMED_IDS),
        )
        changed = [str(user_id) for (user_id,) in cursor.fetchall()]
    return evaluate_hop(
        "users",
        "users = as merged",
        stored.rows,
        stored.rows,
        changed=changed,
        holds=f"{format_count(stored.rows, 'user has', 'users have')} the content that the stream merged.",
        uncovered=list_uncovered(
            (unrecorded, "user merged before digests were recorded", "users merged before digests were recorded")
        ),
    )


def check_batches(cursor: PgCursor) -> Hop:
    """Check that every batch of each query has its row in `analytics.batches`, as it was written."""
    cursor.execute("SELECT count(*), count(*) - count(digest) FROM analytics.batches WHERE query_id <> %s", (RECOUNT,))
    batches, unrecorded = fetch_row(cursor)
    cursor.execute(_MISSING_BATCHES, (MAX_NAMED_IDS,))
    missing = [name for (name,) in cursor.fetchall()]
    cursor.execute(
        "SELECT query_id || '/' || batch_id FROM analytics.batches"
        f" WHERE digest <> {build_texts_digest_sql(*BATCH_DIGESTED)} ORDER BY seq LIMIT %s",
        (MAX_NAMED_IDS,),
    )
    uncovered = list_uncovered(
        (unrecorded, "batch merged before digests were recorded", "batches merged before digests were recorded")
    )
    return evaluate_hop(
        "batches",
        "batches = as merged",
        batches + len(missing),
        batches,
        missing=missing,
        changed=[name for (name,) in cursor.fetchall()],
        holds=f"{format_count(batches, 'batch has', 'batches have')} the totals of their merge.",
        uncovered="; ".join(filter(None, (uncovered, "the instants of batches"))),
    )


def check_quarantine(cursor: PgCursor) -> Hop:
    """Check that the rows of `quarantine.records` are as they were written."""
    cursor.execute("SELECT count(*), count(*) - count(digest) FROM quarantine.records")
    records, unrecorded = fetch_row(cursor)
    cursor.execute(
        f"SELECT origin FROM quarantine.records WHERE digest <> {RECORD_DIGEST} ORDER BY origin LIMIT %s",
        (MAX_NAMED_IDS,),
    )
    changed = [origin for (origin,) in cursor.fetchall()]
    uncovered = list_uncovered(
        (unrecorded, "record written before digests were recorded", "records written before digests were recorded")
    )
    return evaluate_hop(
        "quarantine",
        "quarantine = as rejected",
        records,
        records,
        changed=changed,
        holds=f"{format_count(records, 'record has', 'records have')} the content that was rejected.",
        uncovered="; ".join(filter(None, (uncovered, "resolved records that were deleted"))),
    )
