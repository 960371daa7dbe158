"""The hops Cassandra = PostgreSQL: every user table by count and by content, naming the rows that differ."""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from cassandra.query import SimpleStatement, tuple_factory
from psycopg2.extensions import cursor as PgCursor

from insights.ledger.digest import (
    BUCKETS,
    build_bucket_sql,
    build_digest_sql,
    build_image_sql,
    digest_image,
    find_bucket,
    split_cells,
)
from insights.ledger.hops import NAMED, Hop, evaluate_hop
from insights.ledger.in_flight import InFlightRows
from insights.model.schema import CASSANDRA_TABLES

TABLES = ("users_by_id", "users_by_country", "users_by_registration_month")
_PAGE_ROWS = 5000
_USER_ID = slice(4, 20)
"""Where `user_id`, always the first column asked for, lies in an image."""


class TableDigest(NamedTuple):
    """What a table holds, in brief."""

    rows: int
    buckets: "array[int]"


class TableDifferences(NamedTuple):
    """Users whose rows differ, the first by name; and how many differ whose rows may."""

    missing: list[str]
    extra: list[str]
    changed: list[str]
    late: int

    @property
    def named(self) -> bool:
        return bool(self.missing or self.extra or self.changed)


def list_compared_columns(table: str) -> list[str]:
    """The columns compared, `user_id` first."""
    return ["user_id", *(name for name in CASSANDRA_TABLES[table][1] if name != "user_id")]


def digest_postgres(cursor: PgCursor, table: str) -> TableDigest:
    """The digest of what `table` should hold, computed by PostgreSQL over `analytics.users`."""
    digest = build_digest_sql(build_image_sql(list_compared_columns(table)))
    cursor.execute(f"SELECT {build_bucket_sql()}, count(*), bit_xor({digest}) FROM analytics.users GROUP BY 1")
    rows, buckets = 0, _no_digests()
    for number, count, total in cursor.fetchall():
        rows += count
        buckets[number] = total
    return TableDigest(rows, buckets)


def digest_cassandra(session: Session, table: str) -> TableDigest:
    """The digest of what `table` holds."""
    rows, buckets = 0, _no_digests()
    for image in _images(session, table):
        rows += 1
        buckets[find_bucket(image[_USER_ID])] ^= digest_image(image)
    return TableDigest(rows, buckets)


def compare_table(
    cursor: PgCursor, session: Session, table: str, left: TableDigest, right: TableDigest, late: InFlightRows
) -> Hop:
    """Judge one table from both digests; reads the rows of differing buckets again to name what differs.

    A difference in a late row is in flight. Buckets without one are looked at first: what differs there is no
    batch's doing.
    """
    differing = [number for number in range(BUCKETS) if left.buckets[number] != right.buckets[number]]
    equation = f"Cassandra {table} = PostgreSQL"
    found = TableDifferences([], [], [], 0)
    if differing:
        apart = [number for number in differing if number not in late.buckets]
        if apart:
            found = _differences(cursor, session, table, apart[:NAMED], late)
        if not found.named:
            found = _differences(cursor, session, table, differing, late)
        if not found.named:
            behind = max(1, found.late)
            return evaluate_hop(table, equation, left.rows, left.rows - behind, pending=behind, holds="")
    return evaluate_hop(
        table,
        equation,
        left.rows,
        right.rows,
        missing=found.missing,
        extra=found.extra,
        changed=found.changed,
        holds=f"{left.rows:,} rows with the same content in both stores.",
    )


def _no_digests() -> "array[int]":
    return array("q", bytes(8 * BUCKETS))


def _differences(
    cursor: PgCursor, session: Session, table: str, buckets: Sequence[int], late: InFlightRows
) -> TableDifferences:
    """Compare the rows of these buckets by their digests, so that memory holds no row that is the same."""
    digest = build_digest_sql(build_image_sql(list_compared_columns(table)))
    cursor.execute(
        f"SELECT uuid_send(user_id), {digest} FROM analytics.users WHERE {build_bucket_sql()} = ANY(%s)",
        (list(buckets),),
    )
    expected = {bytes(user_id): value for user_id, value in cursor.fetchall()}
    equal: set[bytes] = set()
    others: dict[bytes, bytes] = {}
    wanted = frozenset(buckets)
    for image in _images(session, table):
        user_id = image[_USER_ID]
        if find_bucket(user_id) in wanted:
            if expected.get(user_id) == digest_image(image):
                equal.add(user_id)
            else:
                others.setdefault(user_id, image)
    differing = expected.keys() - equal | others.keys()
    late_users = late.users(differing)
    lost = sorted(differing - late_users)
    missing = [str(UUID(bytes=user_id)) for user_id in lost if user_id not in equal and user_id not in others]
    extra = [str(UUID(bytes=user_id)) for user_id in lost if user_id in equal or user_id not in expected]
    changed = [user_id for user_id in lost if user_id in others and user_id in expected and user_id not in equal]
    named = _changed(cursor, table, {user_id: others[user_id] for user_id in changed[:NAMED]})
    return TableDifferences(missing[:NAMED], extra[:NAMED], named, len(late_users))


def _changed(cursor: PgCursor, table: str, images: dict[bytes, bytes]) -> list[str]:
    """The users of the images, each with the columns that are not as in PostgreSQL."""
    names = list_compared_columns(table)
    cursor.execute(
        f"SELECT {build_image_sql(names)} FROM analytics.users WHERE user_id = ANY(%s::uuid[]) ORDER BY user_id",
        ([user_id.hex() for user_id in images],),
    )
    told = []
    for (view,) in cursor.fetchall():
        expected = bytes(view)
        user_id = expected[_USER_ID]
        told.append(f"{UUID(bytes=user_id)} ({', '.join(_changed_columns(names, expected, images[user_id]))})")
    return told


def _changed_columns(names: Sequence[str], left: bytes, right: bytes) -> list[str]:
    pairs = zip(names, split_cells(left), split_cells(right), strict=True)
    return [name for name, expected, found in pairs if expected != found]


def _images(session: Session, table: str) -> Iterator[bytes]:
    query = f"SELECT {', '.join(list_compared_columns(table))} FROM {table}"
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
    for (image,) in session.execute(SimpleStatement(query, fetch_size=_PAGE_ROWS), execution_profile=profile):
        yield image
