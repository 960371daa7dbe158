"""Ranges of staged records, by id: each record is staged as it was, and has arrived or is on its way.

How many keys each page has is verified by a sum over hashes of the keys' pages: kept per range, and compared with the
totals of all pages. So no page needs all of its keys at once.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.ledger.digest import build_texts_digest_sql
from insights.ledger.flow_state import BEYOND_CURSOR, PUBLISHER
from insights.ledger.record_sql import STORED_DIGEST, build_landed_sql, build_rejected_sql
from insights.ledger.suspicion import Compared, require
from insights.ledger.verified import Walk
from insights.model.batch import PAGE_DIGESTED

RANGE_ROWS = 8000
"""Rows of verified history that each walk compares again in one check."""
SETTLED_AFTER = timedelta(minutes=10)
"""Records staged this long ago become history: no transaction that stages records is open as long."""
BEFORE_ALL, AFTER_ALL = -(1 << 63), (1 << 63) - 1

_PAGE_HASH = "(hashtextextended({}, 0) >> 16)"
CREATE_SCRATCH_TABLES = """
    CREATE TEMP TABLE checked_record (
        id bigint, page text, keyed boolean, kept boolean, pruned boolean, rejected boolean, changed boolean,
        beyond boolean, quarantined boolean, landed boolean, unread boolean, settled boolean
    );
    CREATE TEMP TABLE settled_range (last_id bigint, keys bigint, pages numeric);
"""
RECORD_ALL = (
    "DELETE FROM analytics.verified_records",
    "INSERT INTO analytics.verified_records SELECT last_id, keys, pages FROM settled_range",
)
"""Statements that replace the recorded ranges by those in `settled_range`."""
_FILL_SETTLED = f"""
    INSERT INTO settled_range
    SELECT max(id), count(*), sum({_PAGE_HASH.format("batch_id")})
    FROM (
        SELECT id, batch_id, row_number() OVER (ORDER BY id) - 1 AS number FROM staging.user_keys AS k
        WHERE id <= (
            SELECT max(id) FROM staging.user_keys JOIN staging.batches USING (batch_id)
            WHERE staged_at < now() - %(settled_after)s
        )
        AND id < coalesce((
            SELECT min(event_id::bigint) FROM staged_event AS s
            WHERE NOT EXISTS (SELECT FROM landed_event AS l WHERE l.event_id = s.event_id)
        ), %(beyond)s)
    ) AS settled GROUP BY number / %(rows)s
"""
# The days are given so that every partition is read by the index on (staged_on, id).
CHECK_RANGE = f"""
    DELETE FROM checked_record;
    INSERT INTO checked_record
    SELECT id, page, keyed, kept, pruned, {build_rejected_sql("r.id::text")}, changed, beyond,
        EXISTS (SELECT FROM quarantine.records AS q WHERE q.event_id = r.id::text), {build_landed_sql("r.id::text")},
        t.unread,
        EXISTS (SELECT FROM staging.batches AS b WHERE b.batch_id = r.page AND b.staged_at < now() - %(settled_after)s)
    FROM (
        SELECT coalesce(k.id, u.id) AS id, k.batch_id AS page, k.id IS NOT NULL AS keyed, u.id IS NOT NULL AS kept,
            EXISTS (SELECT FROM staging.pruned AS p WHERE p.staged_on = k.staged_on) AS pruned,
            coalesce({STORED_DIGEST} <> u.digest, false) AS changed, coalesce({BEYOND_CURSOR}, false) AS beyond
        FROM (SELECT * FROM staging.users WHERE staged_on = ANY(%(days)s::date[]) AND id > %(after)s AND id <= %(last)s)
            AS u
        FULL JOIN (SELECT * FROM staging.user_keys WHERE id > %(after)s AND id <= %(last)s) AS k ON k.id = u.id
        CROSS JOIN {PUBLISHER}
    ) AS r
    LEFT JOIN topic_event AS t ON t.event_id = r.id::text;
    ANALYZE checked_record;
"""
_DAYS = """
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'staging.users'::regclass
"""
_WAITS = "(beyond AND unread IS NULL AND NOT quarantined OR coalesce(unread, false))"


class RecordRange(NamedTuple):
    """A range of ids up to `last_id`, with the number of its keys and the sum over their pages' hashes."""

    last_id: int
    keys: int
    pages: int


class RecordTail(NamedTuple):
    """The records after the ranges: how many of them are in flight, and the ranges that they become."""

    ranges: list[RecordRange]
    replaces_last: bool
    """Whether the first of the ranges takes the place of the last one before."""


def read_ranges(cursor: PgCursor) -> list[RecordRange]:
    """The recorded ranges, in order."""
    cursor.execute("SELECT last_id, keys, pages FROM analytics.verified_records ORDER BY last_id")
    return [RecordRange(*row) for row in cursor.fetchall()]


def check_tail(cursor: PgCursor, topic: str, ranges: Sequence[RecordRange], compared: Compared) -> RecordTail:
    """Check the records after the ranges, and the totals of all pages. The topic's tail must be in `topic_event`.

    Raises:
        SuspicionError: something is wrong.
    """
    after = ranges[-1].last_id if ranges else BEFORE_ALL
    tail = _check_range(cursor, topic, after, AFTER_ALL, compared)
    cursor.execute(
        f"SELECT coalesce(sum((staged + quarantined)::numeric * {_PAGE_HASH.format('batch_id')}), 0),"
        f" count(*) FILTER (WHERE digest <> {build_texts_digest_sql(*PAGE_DIGESTED)}) FROM staging.batches"
    )
    pages, changed = fetch_row(cursor)
    require(not changed, "a page was changed")
    require(pages == tail.pages + sum(one.pages for one in ranges), "pages do not have the keys that they staged")
    last = ranges[-1] if ranges and ranges[-1].keys < RANGE_ROWS else None
    cursor.execute(
        f"""
        WITH settled AS (
            SELECT id, page, row_number() OVER (ORDER BY id) - 1 + %(offset)s AS number FROM checked_record
            WHERE id <= (SELECT max(id) FROM checked_record WHERE settled)
            AND id < coalesce((SELECT min(id) FROM checked_record WHERE NOT landed), %(beyond)s)
        )
        SELECT max(id), count(*), sum({_PAGE_HASH.format("page")}) FROM settled
        GROUP BY number / %(rows)s ORDER BY 1
        """,
        {"rows": RANGE_ROWS, "beyond": AFTER_ALL, "offset": last.keys if last else 0},
    )
    added = [RecordRange(*row) for row in cursor.fetchall()]
    if added and last and added[0].keys + last.keys <= RANGE_ROWS:
        first = added[0]
        merged = RecordRange(first.last_id, last.keys + first.keys, last.pages + first.pages)
        return RecordTail([merged, *added[1:]], True)
    return RecordTail(added, False)


def scrub_range(cursor: PgCursor, topic: str, ranges: Sequence[RecordRange], walk: Walk, compared: Compared) -> None:
    """Check the next of the ranges again.

    Raises:
        SuspicionError: something is wrong.
    """
    position = BEFORE_ALL if walk.position is None else int(walk.position)
    following = [one for one in ranges if one.last_id > position]
    if following:
        after = max((one.last_id for one in ranges if one.last_id <= position), default=BEFORE_ALL)
        found = _check_range(cursor, topic, after, following[0].last_id, compared)
        require(found[1:] == following[0][1:], "records of a page are gone, or new")
    walk.advance(following[0].last_id if len(following) > 1 else None)


def fill_settled_ranges(cursor: PgCursor) -> None:
    """Divide all records into ranges, in `settled_range`. The scratch tables of a full check must be filled."""
    cursor.execute(_FILL_SETTLED, {"rows": RANGE_ROWS, "settled_after": SETTLED_AFTER, "beyond": AFTER_ALL})


def build_changes(ranges: Sequence[RecordRange], tail: RecordTail) -> tuple[str, ...]:
    """Statements that add the tail to the recorded ranges."""
    statements = []
    if tail.replaces_last:
        statements.append(f"DELETE FROM analytics.verified_records WHERE last_id = {ranges[-1].last_id}")
    for one in tail.ranges:
        statements.append(f"INSERT INTO analytics.verified_records VALUES ({one.last_id}, {one.keys}, {one.pages})")
    return tuple(statements)


def list_days(cursor: PgCursor) -> list[date]:
    """The days that have a partition of staged rows, by which a query reads each by its index."""
    cursor.execute(_DAYS)
    return [day for (day,) in cursor.fetchall()]


def _check_range(cursor: PgCursor, topic: str, after: int, last: int, compared: Compared) -> RecordRange:
    parameters = {"topic": topic, "after": after, "last": last, "days": list_days(cursor)}
    cursor.execute(CHECK_RANGE, parameters | {"settled_after": SETTLED_AFTER})
    cursor.execute(f"""
        SELECT count(*) FILTER (WHERE keyed), coalesce(sum({_PAGE_HASH.format("page")}), 0),
            count(*) FILTER (WHERE NOT keyed OR CASE WHEN pruned THEN kept ELSE kept = rejected END),
            count(*) FILTER (WHERE changed), count(*) FILTER (WHERE NOT landed AND NOT {_WAITS}),
            count(*) FILTER (WHERE NOT landed)
        FROM checked_record""")
    keys, pages, unstaged, changed, lost, pending = fetch_row(cursor)
    require(not unstaged, "a key and its staged row do not agree")
    require(not changed, "a staged row was changed")
    require(not lost, "a staged record has not arrived")
    compared.add(keys, pending)
    return RecordRange(last, keys, pages)
