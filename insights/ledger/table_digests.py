"""The hops of the user tables: Cassandra against PostgreSQL by count and content, naming the rows that differ."""

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
    find_bucket,
    split_cells,
)
from insights.ledger.hops import MAX_NAMED_IDS, Hop, evaluate_hop, list_uncovered
from insights.ledger.in_flight import InFlightRows
from insights.model.digest import digest_bytes
from insights.model.schema import CASSANDRA_TABLES
from insights.text import format_count

TABLES = ("users_by_id", "users_by_country", "users_by_registration_month")
MAX_COMPARED_ROWS = 1_000_000
"""Rows of buckets in flight that are compared one by one, which bounds the memory of a check."""
_PAGE_ROWS = 5000
USER_ID = slice(4, 20)
"""The position of `user_id`, always the first column, in an image."""


class TableDigest(NamedTuple):
    """The number of rows of a table, and the digest of each of its `BUCKETS`."""

    rows: int
    buckets: "array[int]"


class TableDifferences(NamedTuple):
    """The first users whose rows differ, and the number of users whose rows differ because they are in flight."""

    missing: list[str]
    extra: list[str]
    changed: list[str]
    in_flight: int

    @property
    def named(self) -> bool:
        """Whether any user is named."""
        return bool(self.missing or self.extra or self.changed)


def list_compared_columns(table: str) -> list[str]:
    """The columns that are compared, `user_id` first."""
    return ["user_id", *(name for name in CASSANDRA_TABLES[table][1] if name != "user_id")]


def digest_postgres(cursor: PgCursor, table: str) -> TableDigest:
    """The digest that `table` should have, computed by PostgreSQL from `analytics.users`."""
    digest = build_digest_sql(build_image_sql(list_compared_columns(table)))
    cursor.execute(f"SELECT {build_bucket_sql()}, count(*), bit_xor({digest}) FROM analytics.users GROUP BY 1")
    rows, buckets = 0, _make_buckets()
    for number, count, total in cursor.fetchall():
        rows += count
        buckets[number] = total
    return TableDigest(rows, buckets)


def digest_cassandra(session: Session, table: str) -> TableDigest:
    """The digest that `table` has in Cassandra."""
    rows, buckets = 0, _make_buckets()
    for image in read_images(session, table):
        rows += 1
        buckets[find_bucket(image[USER_ID])] ^= digest_bytes(image)
    return TableDigest(rows, buckets)


def compare_table(
    cursor: PgCursor, session: Session, table: str, left: TableDigest, right: TableDigest, in_flight: InFlightRows
) -> Hop:
    """Compare the digests of a table, and read the rows of differing buckets again to name what differs.

    The first buckets without rows in flight are read, since each names a row, and those with rows in flight, since a
    batch in flight need not explain all that differs there.
    """
    differing = [number for number in range(BUCKETS) if left.buckets[number] != right.buckets[number]]
    equation = f"Cassandra {table} = PostgreSQL"
    differences, uncovered = TableDifferences([], [], [], 0), ""
    if differing:
        unexplained = [number for number in differing if number not in in_flight.buckets]
        explained = [number for number in differing if number in in_flight.buckets]
        compared = explained[: MAX_COMPARED_ROWS * BUCKETS // max(1, left.rows, right.rows)]
        buckets = unexplained[:MAX_NAMED_IDS] + compared
        differences = _find_differences(cursor, session, table, buckets, in_flight)
        uncovered = list_uncovered(
            (len(explained) - len(compared), "digest bucket with rows in flight", "digest buckets with rows in flight")
        )
        if not differences.named:
            pending = max(1, differences.in_flight)
            return evaluate_hop(
                table, equation, left.rows, left.rows - pending, pending=pending, holds="", uncovered=uncovered
            )
    return evaluate_hop(
        table,
        equation,
        left.rows,
        right.rows,
        missing=differences.missing,
        extra=differences.extra,
        changed=differences.changed,
        holds=f"{format_count(left.rows, 'row has', 'rows have')} the same content in both stores.",
        uncovered=uncovered,
    )


def _make_buckets() -> "array[int]":
    return array("q", bytes(8 * BUCKETS))


def _find_differences(
    cursor: PgCursor, session: Session, table: str, buckets: Sequence[int], in_flight: InFlightRows
) -> TableDifferences:
    """Compare the rows of these buckets by their digests, so that memory holds only the rows that differ."""
    digest = build_digest_sql(build_image_sql(list_compared_columns(table)))
    cursor.execute(
        f"SELECT uuid_send(user_id), {digest} FROM analytics.users WHERE {build_bucket_sql()} = ANY(%s)",
        (list(buckets),),
    )
    expected = {bytes(user_id): value for user_id, value in cursor.fetchall()}
    equal: set[bytes] = set()
    different: dict[bytes, bytes] = {}
    compared = frozenset(buckets)
    for image in read_images(session, table):
        user_id = image[USER_ID]
        if find_bucket(user_id) in compared:
            if expected.get(user_id) == digest_bytes(image):
                equal.add(user_id)
            else:
                different.setdefault(user_id, image)
    differing = expected.keys() - equal | different.keys()
    users_in_flight = in_flight.select_users(differing)
    wrong = sorted(differing - users_in_flight)
    missing = [str(UUID(bytes=user_id)) for user_id in wrong if user_id not in equal and user_id not in different]
    extra = [str(UUID(bytes=user_id)) for user_id in wrong if user_id in equal or user_id not in expected]
    changed = [user_id for user_id in wrong if user_id in different and user_id in expected and user_id not in equal]
    described = describe_changed(cursor, table, {user_id: different[user_id] for user_id in changed[:MAX_NAMED_IDS]})
    return TableDifferences(missing[:MAX_NAMED_IDS], extra[:MAX_NAMED_IDS], described, len(users_in_flight))


def describe_changed(cursor: PgCursor, table: str, images: dict[bytes, bytes]) -> list[str]:
    """The users of Cassandra's `images`, each with the columns that differ from PostgreSQL's."""
    names = list_compared_columns(table)
    cursor.execute(
        f"SELECT {build_image_sql(names)} FROM analytics.users WHERE user_id = ANY(%s::uuid[]) ORDER BY user_id",
        ([user_id.hex() for user_id in images],),
    )
    descriptions = []
    for (view,) in cursor.fetchall():
        expected = bytes(view)
        user_id = expected[USER_ID]
        columns = _list_changed_columns(names, expected, images[user_id])
        descriptions.append(f"{UUID(bytes=user_id)} ({', '.join(columns)})")
    return descriptions


def _list_changed_columns(names: Sequence[str], left: bytes, right: bytes) -> list[str]:
    pairs = zip(names, split_cells(left), split_cells(right), strict=True)
    return [name for name, left_cell, right_cell in pairs if left_cell != right_cell]


def read_images(session: Session, table: str, columns: Sequence[str] = ()) -> Iterator[bytes]:
    """The image of every row of a table in Cassandra, by default of the compared columns.

    The session returns images (`ImageProtocol`).
    """
    query = f"SELECT {', '.join(columns or list_compared_columns(table))} FROM {table}"
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
    for (image,) in session.execute(SimpleStatement(query, fetch_size=_PAGE_ROWS), execution_profile=profile):
        yield image
