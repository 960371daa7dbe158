"""The hops of the user tables: Cassandra against PostgreSQL by count and content, naming the rows that differ."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import zip_longest
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from cassandra import InvalidRequest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, Session
from cassandra.protocol import ProtocolException
from cassandra.query import SimpleStatement, tuple_factory
from psycopg2.extensions import cursor as PgCursor

from insights.ledger.digest import (
    BUCKETS,
    build_bucket_sql,
    build_cells_sql,
    build_digest_sql,
    build_image_sql,
    find_bucket,
    split_cells,
    strip_id_bucket,
    unpack_image,
)
from insights.ledger.hops import MAX_NAMED_IDS, Hop, evaluate_hop, list_uncovered
from insights.ledger.in_flight import InFlightRows
from insights.model.digest import digest_bytes
from insights.model.schema import CASSANDRA_TABLES, PACKED_COLUMNS
from insights.text import format_count

PROFILES = "user_profiles_by_id"
TABLES = (PROFILES, "user_summaries_by_country", "user_summaries_by_month")
_ID_BUCKET = "id_bucket"
MAX_COMPARED_ROWS = 1_000_000
"""Rows of buckets in flight that are compared one by one, which bounds the memory of a check."""
_UNCOVERED_BY_REFILL = "the content, until the stream has filled Cassandra from PostgreSQL"
_PAGE_ROWS = 5000
USER_ID = slice(4, 20)
"""The position of `user_id`, always the first column, in an image."""


_COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_COPY_HEADER_BYTES = len(_COPY_SIGNATURE) + 8
_COPY_COUNT_BYTES = 2
_FIRST_64_BITS = Struct(">q").unpack_from
"""As `digest_bytes` does, which is too slow for every row."""


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
    """The columns that are compared, `user_id` first, then the fields of the table's packed column.

    `id_bucket` is not among them, so that the image of a profile is that of the user in PostgreSQL.
    """
    _, *columns = list_read_columns(table)
    fields = (field for column in columns for field in PACKED_COLUMNS.get(column, (column,)))
    return ["user_id", *(field for field in fields if field != _ID_BUCKET)]


def list_read_columns(table: str) -> list[str]:
    """The columns of Cassandra's table that have these, `user_id` first, then the packed column."""
    columns = CASSANDRA_TABLES[table][1]
    packed = [name for name in columns if name in PACKED_COLUMNS]
    return ["user_id", *packed, *(name for name in columns if name not in ("user_id", *packed))]


def complete_image(table: str, image: bytes) -> bytes:
    """The image of the compared columns, from that of the columns that are read.

    It has another cell, which nothing equals, if the row is in another partition than that of its user.
    """
    if table == PROFILES:
        image = strip_id_bucket(image)
    fields = _PACKED_FIELDS[table]
    return unpack_image(image, fields) if fields else image


_PACKED_FIELDS = {table: len(PACKED_COLUMNS.get(list_read_columns(table)[1], ())) for table in CASSANDRA_TABLES}


def digest_postgres(cursor: PgCursor, table: str) -> TableDigest:
    """The digest that `table` should have, computed from the rows of `analytics.users`."""
    digester = _Digester()
    query = f"SELECT {build_cells_sql(list_compared_columns(table))} FROM analytics.users"
    cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", _CopiedImages(digester.add))
    return digester.finish()


def digest_cassandra(session: Session, table: str) -> TableDigest:
    """The digest that `table` has in Cassandra."""
    digester = _Digester()
    for image in read_images(session, table):
        digester.add(image)
    return digester.finish()


class _Digester:
    """Adds up the digests of rows by bucket."""

    def __init__(self) -> None:
        self._rows, self._buckets = 0, _make_buckets()

    def add(self, image: bytes) -> None:
        """Add a row."""
        self._rows += 1
        self._buckets[image[4] << 10 | image[5] << 2 | image[6] >> 6] ^= _FIRST_64_BITS(sha256(image).digest())[0]

    def finish(self) -> TableDigest:
        """The digest of the rows that were added."""
        return TableDigest(self._rows, self._buckets)


class _CopiedImages:
    """A file for COPY in binary format, of which libpq writes one row at a time: a count of cells, then their image."""

    def __init__(self, add: Callable[[bytes], None]) -> None:
        self._add = add

    def write(self, row: bytes) -> None:
        """Add the image of a row. The first one follows the header, the last write is the trailer."""
        if row.startswith(_COPY_SIGNATURE):
            row = row[_COPY_HEADER_BYTES:]
        if len(row) > _COPY_COUNT_BYTES:
            self._add(row[_COPY_COUNT_BYTES:])


def compare_table(
    cursor: PgCursor, session: Session, table: str, left: TableDigest, right: TableDigest, in_flight: InFlightRows
) -> Hop:
    """Compare the digests of a table, and read the rows of differing buckets again to name what differs.

    The first buckets without rows in flight are read, since each names a row, and those with rows in flight, since a
    batch in flight need not explain all that differs there.
    """
    equation = f"Cassandra {table} = PostgreSQL"
    if in_flight.refilling and left.rows > right.rows:
        pending = left.rows - right.rows
        return evaluate_hop(
            table, equation, left.rows, right.rows, pending=pending, holds="", uncovered=_UNCOVERED_BY_REFILL
        )
    differing = [number for number in range(BUCKETS) if left.buckets[number] != right.buckets[number]]
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
    # A value that was written before a field was added to its type ends earlier.
    pairs = zip_longest([*names, _ID_BUCKET], split_cells(left), split_cells(right))
    return list(dict.fromkeys(name for name, left_cell, right_cell in pairs if left_cell != right_cell))


def read_images(
    session: Session, table: str, columns: Sequence[str] = (), where: str = "", parameters: Sequence[object] = ()
) -> Iterator[bytes]:
    """The image of every row of a table in Cassandra, by default of the compared columns.

    The session returns images (`ImageProtocol`).
    """
    query = f"SELECT ({', '.join(columns or list_read_columns(table))}) FROM {table} {where}"
    statement = SimpleStatement(query, fetch_size=_PAGE_ROWS)
    for (image,) in session.execute(statement, parameters or None, execution_profile=make_profile(session)):
        yield image if columns else complete_image(table, image)


def read_page(
    session: Session, table: str, columns: Sequence[str], position: str | None, rows: int
) -> tuple[list[bytes], str | None]:
    """About `rows` images from a position on, in the order of tokens, and the position after them; None at the end.

    A position that this version of Cassandra does not know counts as the beginning.
    """
    statement = SimpleStatement(f"SELECT {', '.join(columns)} FROM {table}", fetch_size=min(rows, _PAGE_ROWS))
    profile, images = make_profile(session), list[bytes]()
    state = bytes.fromhex(position) if position else None
    while True:
        try:
            page = session.execute(statement, execution_profile=profile, paging_state=state)
        except (InvalidRequest, ProtocolException):
            if state is None:
                raise
            state = None
            continue
        images += [image for (image,) in page.current_rows]
        state = page.paging_state
        if state is None or len(images) >= rows:
            return images, state.hex() if state else None


def make_profile(session: Session) -> ExecutionProfile:
    """The session's execution profile for rows that are images."""
    return session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
