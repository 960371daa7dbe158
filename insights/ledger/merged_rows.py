"""Merged users: their rows are as merged, and Cassandra has them under the right keys.

What Cassandra has besides is found by reading its keys in the order of its tokens.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import PreparedStatement
from psycopg2.extensions import cursor as PgCursor

from insights.ledger.contents import MERGED_WITHOUT_DIGEST
from insights.ledger.digest import build_digest_sql, build_image_sql
from insights.ledger.in_flight import InFlightRows
from insights.ledger.record_ranges import RANGE_ROWS
from insights.ledger.record_sql import build_known_sql
from insights.ledger.suspicion import Compared, require
from insights.ledger.table_digests import (
    PROFILES,
    TABLES,
    USER_ID,
    complete_image,
    list_compared_columns,
    list_read_columns,
    make_profile,
    read_page,
)
from insights.ledger.verified import Walk
from insights.model.digest import digest_bytes
from insights.model.schema import find_id_bucket, split_primary_key

SCRUBBED_USERS = 4000
"""Users that one check looks up again in every table of Cassandra."""
_CHUNK_ROWS = 10_000
_KEYS_PER_STATEMENT = 100
_CONCURRENT_STATEMENTS = 32

_WHERE = "<the range>"
"""Stands in the query for the condition that selects a range."""
_DIGESTS = ", ".join(
    f"{build_digest_sql(build_image_sql(list_compared_columns(table)))} AS {table}_digest" for table in TABLES
)
_SELECT_ROWS = f"""
    SELECT user_id, country_code, registered_month, registered_at, {", ".join(f"{t}_digest" for t in TABLES)},
        digest <> {PROFILES}_digest AND NOT {MERGED_WITHOUT_DIGEST}, {build_known_sql("u.event_id")}
    FROM (SELECT user_id::text, seq, country_code, registered_month, registered_at, event_id, digest, {_DIGESTS}
          FROM analytics.users WHERE {_WHERE}) AS u
"""
_BEFORE_ALL = str(UUID(int=0))


class _Row(NamedTuple):
    """A merged user: the keys of its rows in Cassandra, and the digests that they should have."""

    user_id: str
    country_code: str
    registered_month: str
    registered_at: Any
    digests: Mapping[str, int]

    @property
    def bucket(self) -> int:
        return int(self.user_id[0], 16)

    @property
    def id_bucket(self) -> int:
        return find_id_bucket(UUID(self.user_id))


class MergedRows:
    """The merged users of the cursor's snapshot, compared with Cassandra.

    Args:
        cursor: reads the snapshot.
        session: returns images (`ImageProtocol`).
        in_flight: the rows in which Cassandra may differ from the snapshot.
    """

    def __init__(self, cursor: PgCursor, session: Session, in_flight: InFlightRows) -> None:
        self._cursor, self._session, self._in_flight = cursor, session, in_flight
        self._profile = make_profile(session)
        self._statements: dict[str, PreparedStatement] = {}

    def check_new(self, seq: int, compared: Mapping[str, Compared]) -> None:
        """Check the users merged after `seq`.

        Raises:
            SuspicionError: something is wrong.
        """
        query = _SELECT_ROWS.replace(_WHERE, "seq > %(seq)s")
        self._cursor.execute(f"DECLARE merged_rows NO SCROLL CURSOR FOR {query}", {"seq": seq})
        while rows := self._fetch(f"FETCH FORWARD {_CHUNK_ROWS} FROM merged_rows"):
            self._compare(rows, compared)
        self._cursor.execute("CLOSE merged_rows")

    def scrub(self, walk: Walk, compared: Mapping[str, Compared]) -> None:
        """Check the next users again, in the order of their ids: they share partitions of Cassandra's tables.

        Raises:
            SuspicionError: something is wrong.
        """
        where = "user_id > %(after)s::uuid ORDER BY analytics.users.user_id LIMIT %(rows)s"
        parameters = {"after": walk.position or _BEFORE_ALL, "rows": SCRUBBED_USERS}
        rows = self._fetch(_SELECT_ROWS.replace(_WHERE, where), parameters)
        for start in range(0, len(rows), _CHUNK_ROWS):
            self._compare(rows[start : start + _CHUNK_ROWS], compared)
        walk.advance(rows[-1].user_id if len(rows) == SCRUBBED_USERS else None)

    def scrub_keys(self, table: str, walk: Walk) -> None:
        """Check the keys of the next rows of a table in Cassandra.

        Raises:
            SuspicionError: a row is not that of a user.
        """
        partition_key, clustering_columns = split_primary_key(table)
        columns = list(dict.fromkeys(("user_id", *partition_key, *clustering_columns)))
        images, position = read_page(self._session, table, columns, walk.position, RANGE_ROWS)
        self._compare_keys(columns, images)
        walk.advance(position)

    def _fetch(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[_Row]:
        self._cursor.execute(query, parameters)
        rows = []
        for user_id, country, month, registered_at, *digests, changed, known in self._cursor.fetchall():
            require(not changed, "a merged user was changed")
            require(known, "a merged user is not that of a staged record")
            rows.append(_Row(user_id, country, month, registered_at, dict(zip(TABLES, digests, strict=True))))
        return rows

    def _compare(self, rows: Sequence[_Row], compared: Mapping[str, Compared]) -> None:
        compared["users"].add(len(rows))
        for table in TABLES:
            expected = {UUID(row.user_id).bytes: row.digests[table] for row in rows}
            for image in self._look_up(table, rows):
                user_id = image[USER_ID]
                if expected.get(user_id) == digest_bytes(image):
                    del expected[user_id]
            compared[table].add(len(rows), self._require_in_flight(expected, f"{table} lacks a merged user"))

    def _compare_keys(self, columns: Sequence[str], images: Sequence[bytes]) -> None:
        self._cursor.execute(
            f"SELECT {build_image_sql(columns)} FROM analytics.users WHERE user_id = ANY(%s::uuid[])",
            ([image[USER_ID].hex() for image in images],),
        )
        known = {bytes(image) for (image,) in self._cursor.fetchall()}
        self._require_in_flight({image[USER_ID] for image in images if image not in known}, "a key is not of a user")

    def _require_in_flight(self, differing: Collection[bytes], what: str) -> int:
        if not differing:
            return 0
        in_flight = self._in_flight.select_users(differing)
        require(len(in_flight) == len(differing), what)
        return len(in_flight)

    def _look_up(self, table: str, rows: Sequence[_Row]) -> Iterator[bytes]:
        """The images that a table has under the keys of these users."""
        for found in execute_concurrent_with_args(
            self._session,
            self._prepare(table),
            list(_list_arguments(table, rows)),
            concurrency=_CONCURRENT_STATEMENTS,
            results_generator=True,
            execution_profile=self._profile,
        ):
            for (image,) in found.result_or_exc:
                yield complete_image(table, image)

    def _prepare(self, table: str) -> PreparedStatement:
        if table not in self._statements:
            partition_key, clustering_columns = split_primary_key(table)
            where = " AND ".join([*(f"{key} = ?" for key in partition_key), f"({', '.join(clustering_columns)}) IN ?"])
            columns = ", ".join(list_read_columns(table))
            self._statements[table] = self._session.prepare(f"SELECT {columns} FROM {table} WHERE {where}")
        return self._statements[table]


def _list_arguments(table: str, rows: Sequence[_Row]) -> Iterator[tuple[Any, ...]]:
    """The arguments of the table's statement that select the rows of these users, a bounded number at a time."""
    partition_key, clustering_columns = split_primary_key(table)

    def partition(row: _Row) -> tuple[Any, ...]:
        return tuple(getattr(row, key) for key in partition_key)

    def find_place(row: _Row) -> tuple[Any, ...]:
        return tuple(UUID(row.user_id) if key == "user_id" else getattr(row, key) for key in clustering_columns)

    for keys, group in groupby(sorted(rows, key=partition), key=partition):
        for part in _split([find_place(row) for row in group]):
            yield (*keys, part)


def _split(keys: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(keys), _KEYS_PER_STATEMENT):
        yield keys[start : start + _KEYS_PER_STATEMENT]
