"""The hops Cassandra = PostgreSQL: every user table by count and by content, naming the rows that differ."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import SimpleStatement, tuple_factory

from insights.ledger.hop import NAMED, Hop, hop
from insights.ledger.image import BUCKETS, bucket, cells, digest, sql_bucket, sql_digest, sql_image
from insights.schema import CASSANDRA_TABLES

TABLES = ("users_by_id", "users_by_country", "users_by_registration_month")
_PAGE_ROWS = 5000
_USER_ID = slice(4, 20)
"""Where `user_id`, always the first column asked for, lies in an image."""

Digest = list[tuple[int, int]]
"""Per bucket: (rows, sum of their digests)."""


def columns(table: str) -> list[str]:
    """The columns compared, `user_id` first."""
    return ["user_id", *(name for name in CASSANDRA_TABLES[table][1] if name != "user_id")]


def postgres_digest(cursor: Any, table: str) -> Digest:
    """The digest of what `table` should hold, computed by PostgreSQL over `analytics.users`."""
    cursor.execute(f"""
        SELECT {sql_bucket()}, count(*), sum({sql_digest(sql_image(columns(table)))})
        FROM analytics.users GROUP BY 1""")
    found = [(0, 0)] * BUCKETS
    for number, count, total in cursor.fetchall():
        found[number] = (count, int(total))
    return found


def cassandra_digest(session: Any, table: str) -> Digest:
    """The digest of what `table` holds."""
    counts, totals = [0] * BUCKETS, [0] * BUCKETS
    for image in _images(session, table):
        number = bucket(image[_USER_ID])
        counts[number] += 1
        totals[number] += digest(image)
    return list(zip(counts, totals, strict=True))


def compare(cursor: Any, session: Any, table: str, left: Digest, right: Digest, late: bool) -> Hop:
    """Judge one table from both digests; reads the rows of differing buckets again to name what differs.

    `late`: Cassandra may not have caught up with the snapshot yet; a difference is then in flight.
    """
    differing = [number for number in range(BUCKETS) if left[number] != right[number]]
    total_left, total_right = (sum(count for count, _ in side) for side in (left, right))
    equation = f"Cassandra {table} = PostgreSQL"
    missing: list[str] = []
    extra: list[str] = []
    changed: list[str] = []
    if differing:
        missing, extra, changed = _differences(cursor, session, table, differing[:NAMED])
        if late or not (missing or extra or changed):
            behind = max(1, abs(total_left - total_right))
            return hop(table, equation, total_left, total_left - behind, pending=behind, holds="")
    return hop(
        table, equation, total_left, total_right, missing=missing, extra=extra, changed=changed,
        holds=f"{total_left:,} rows with the same content in both stores.",
    )  # fmt: skip


def _differences(
    cursor: Any, session: Any, table: str, buckets: Sequence[int]
) -> tuple[list[str], list[str], list[str]]:
    names = columns(table)
    cursor.execute(f"SELECT {sql_image(names)} FROM analytics.users WHERE {sql_bucket()} = ANY(%s)", (list(buckets),))
    expected = {image[_USER_ID]: image for (view,) in cursor.fetchall() for image in [bytes(view)]}
    found: dict[bytes, list[bytes]] = defaultdict(list)
    wanted = frozenset(buckets)
    for image in _images(session, table):
        if bucket(image[_USER_ID]) in wanted:
            found[image[_USER_ID]].append(image)
    missing: list[str] = []
    extra: list[str] = []
    changed: list[str] = []
    for user_id in sorted(expected.keys() | found.keys()):
        name, wished, images = str(UUID(bytes=user_id)), expected.get(user_id), found.get(user_id, [])
        if wished is None:
            extra.append(name)
        elif not images:
            missing.append(name)
        elif len(images) > 1 and wished in images:
            extra.append(name)
        elif wished not in images:
            changed.append(f"{name} ({', '.join(_changed_columns(names, wished, images[0]))})")
    return missing[:NAMED], extra[:NAMED], changed[:NAMED]


def _changed_columns(names: Sequence[str], left: bytes, right: bytes) -> list[str]:
    pairs = zip(names, cells(left), cells(right), strict=True)
    return [name for name, expected, found in pairs if expected != found]


def _images(session: Any, table: str) -> Iterator[bytes]:
    query = f"SELECT {', '.join(columns(table))} FROM {table}"
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
    for (image,) in session.execute(SimpleStatement(query, fetch_size=_PAGE_ROWS), execution_profile=profile):
        yield image
