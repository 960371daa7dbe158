"""The counts of users against a sum over hashes of what each user is counted by, which is kept per digest bucket.

A merge changes the sums of a few buckets, which are computed again. The sum of all must be that of the counts, weighted
by their numbers: so counts that no longer fit the users show without a recount.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from zlib import crc32

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.ledger.counts import Counts, drop_zeros
from insights.ledger.digest import BUCKETS, build_bucket_sql
from insights.ledger.record_ranges import RANGE_ROWS
from insights.ledger.suspicion import require
from insights.ledger.verified import Walk
from insights.model.schema import DERIVED_FROM, DERIVED_SQL
from insights.model.user import DIMENSIONS

CREATE_SCRATCH_TABLES = "CREATE TEMP TABLE counted_bucket (bucket integer PRIMARY KEY, counted numeric);"
_INSERT_CHANGED = """
    INSERT INTO analytics.verified_counts SELECT bucket, counted FROM counted_bucket WHERE counted IS NOT NULL
"""
RECORD_CHANGED = (
    "DELETE FROM analytics.verified_counts AS v USING counted_bucket AS c WHERE c.bucket = v.bucket",
    _INSERT_CHANGED,
)
"""Statements that record the sums in `counted_bucket`."""
RECORD_ALL = ("DELETE FROM analytics.verified_counts", _INSERT_CHANGED)
"""Statements that replace all recorded sums by those in `counted_bucket`."""
_BUCKET_BITS = 32 - (BUCKETS.bit_length() - 1)
_NULL = r"'\x01'"
_FULL_SCAN_BUCKETS = BUCKETS // 8
"""From this many buckets on, all users are read instead of the users of each bucket by index."""


def _hash(dimension: str, fields: Sequence[str]) -> str:
    """The hash of a dimension's value, of which a field is null only if the others are not."""
    value = str(crc32(dimension.encode()))
    for field in fields:
        value = f"hashtextextended({field if len(fields) == 1 else f'coalesce({field}, {_NULL})'}, {value})"
    return f"coalesce({value} >> 16, 0)"


def _build_field(name: str) -> str:
    return f"({DERIVED_SQL[name].format(DERIVED_FROM[name]) if name in DERIVED_SQL else name})::text"


_COUNTED = " + ".join(_hash(name, list(map(_build_field, fields))) for name, fields in DIMENSIONS.items())
COUNTED_BUCKETS = f"SELECT {build_bucket_sql()} AS bucket, sum({_COUNTED}) AS counted FROM analytics.users"
"""The sums by bucket, to be grouped by 1."""
_HASH_BY_DIMENSION = " ".join(
    f"WHEN '{name}' THEN {_hash(name, ('one', 'other')[: len(fields)])}" for name, fields in DIMENSIONS.items()
)


def check_counts(cursor: PgCursor, counts: Counts, seq: int, walk: Walk) -> None:
    """Compare PostgreSQL's `counts` with the users of the snapshot, and the next buckets with what is recorded.

    Leaves in `counted_bucket` the sums of the buckets that merges after `seq` have changed, null for those that no
    longer have users.

    Raises:
        SuspicionError: something is wrong.
    """
    _refresh_buckets(cursor, seq)
    cursor.execute("""
        SELECT coalesce((SELECT sum(counted) FROM analytics.verified_counts), 0)
            - coalesce((SELECT sum(v.counted) FROM analytics.verified_counts AS v JOIN counted_bucket USING (bucket)),
                0)
            + coalesce((SELECT sum(counted) FROM counted_bucket), 0)""")
    (counted,) = fetch_row(cursor)
    require(counted == _digest_counts(cursor, counts), "the counts of users are not those of the users")
    _scrub_buckets(cursor, walk)


def fill_buckets(cursor: PgCursor) -> None:
    """Compute the sums of all buckets, in `counted_bucket`."""
    cursor.execute(f"INSERT INTO counted_bucket {COUNTED_BUCKETS} GROUP BY 1")


def _refresh_buckets(cursor: PgCursor, seq: int) -> None:
    cursor.execute(
        f"SELECT {build_bucket_sql()} FROM analytics.users WHERE seq > %(seq)s"
        f" UNION SELECT {build_bucket_sql()} FROM analytics.moved WHERE seq > %(seq)s",
        {"seq": seq},
    )
    buckets = [bucket for (bucket,) in cursor.fetchall()]
    cursor.execute("DELETE FROM counted_bucket")
    if len(buckets) < _FULL_SCAN_BUCKETS:
        # As a subquery for each bucket, PostgreSQL 18 skips through the index on (seq, user_id), once per batch.
        query = f"""
            SELECT b.number, sum({_COUNTED}) FILTER (WHERE user_id IS NOT NULL)
            FROM unnest(%(buckets)s::integer[], %(first)s::uuid[], %(last)s::uuid[]) AS b(number, first, last)
            LEFT JOIN analytics.users ON user_id BETWEEN b.first AND b.last GROUP BY 1"""
    else:
        query = f"""
            SELECT b.number, counted FROM unnest(%(buckets)s::integer[]) AS b(number)
            LEFT JOIN ({COUNTED_BUCKETS} GROUP BY 1) AS c ON c.bucket = b.number"""
    cursor.execute(
        f"INSERT INTO counted_bucket {query}",
        {
            "buckets": buckets,
            "first": [find_first_id(bucket) for bucket in buckets],
            "last": [find_last_id(bucket) for bucket in buckets],
        },
    )
    cursor.execute("ANALYZE counted_bucket")


def _scrub_buckets(cursor: PgCursor, walk: Walk) -> None:
    first = 0 if walk.position is None else int(walk.position) + 1
    cursor.execute(
        f"SELECT {build_bucket_sql()} FROM analytics.users WHERE user_id >= %s ORDER BY user_id OFFSET %s LIMIT 1",
        (find_first_id(first), RANGE_ROWS),
    )
    row = cursor.fetchone()
    last = row[0] if row else BUCKETS - 1
    cursor.execute(
        f"""
        SELECT count(*)
        FROM ({COUNTED_BUCKETS} WHERE user_id BETWEEN %(first_id)s AND %(last_id)s GROUP BY 1) AS u
        FULL JOIN (
            SELECT bucket, CASE WHEN c.bucket IS NULL THEN v.counted ELSE c.counted END AS counted
            FROM analytics.verified_counts AS v FULL JOIN counted_bucket AS c USING (bucket)
            WHERE bucket BETWEEN %(first)s AND %(last)s
        ) AS k USING (bucket)
        WHERE u.counted IS DISTINCT FROM k.counted
        """,
        {"first_id": find_first_id(first), "last_id": find_last_id(last), "first": first, "last": last},
    )
    require(fetch_row(cursor) == (0,), "users are not as they were counted")
    walk.advance(last if last < BUCKETS - 1 else None)


def _digest_counts(cursor: PgCursor, counts: Counts) -> Decimal:
    """The sum over the hashes of counted values, weighted by their counts.

    Raises:
        SuspicionError: a count is not of a value that users can have.
    """
    rows = []
    for (dimension, value), count in drop_zeros(counts).items():
        fields = _split_value(dimension, value)
        require(fields, "a count is not of a dimension's value")
        rows.append((dimension, value, *fields, *[None] * (2 - len(fields)), count))
    columns = list(zip(*rows, strict=True)) or [()] * 5
    cursor.execute(
        f"""
        SELECT coalesce(sum(count * (CASE dimension {_HASH_BY_DIMENSION} END)::numeric), 0),
            count(*) FILTER (WHERE value NOT IN (coalesce(one, ''), json_build_array(one, other)::text))
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
            AS c(dimension, value, one, other, count)
        """,
        [list(column) for column in columns],
    )
    digest, unusual = fetch_row(cursor)
    require(not unusual, "a count is not of a dimension's value")
    return Decimal(digest)


def _split_value(dimension: str, value: str) -> tuple[str | None, ...]:
    """The fields of a counted value; none if no user can have it."""
    fields = DIMENSIONS.get(dimension, ())
    if len(fields) < 2:
        return (value,) * len(fields)
    try:
        parsed = json.loads(value)
    except ValueError:
        return ()
    valid = isinstance(parsed, list) and len(parsed) == len(fields)
    return tuple(parsed) if valid and all(isinstance(one, str | None) for one in parsed) else ()


def find_first_id(bucket: int) -> str:
    """The lowest user id of a digest bucket."""
    return f"{bucket << _BUCKET_BITS:08x}{'0' * 24}"


def find_last_id(bucket: int) -> str:
    """The highest user id of a digest bucket."""
    return f"{((bucket + 1) << _BUCKET_BITS) - 1:08x}{'f' * 24}"
