"""The rows in which Cassandra may differ from a snapshot of PostgreSQL, because their batch is in flight."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.ledger.digest import build_bucket_sql
from insights.ledger.flow_state import OVERDUE_AFTER


class InFlightRows:
    """Rows written by batches that were undelivered at the snapshot or were merged after it.

    Query it only after Cassandra has been read. Overdue batches are not in flight: their missing rows are lost.

    Args:
        cursor: reads the snapshot.
        last_batch: the sequence number of the newest batch merged in the snapshot.
        open_cursor: opens a cursor that reads the current state.
        refilling: whether Cassandra is being filled, so that any row may be missing there.
    """

    def __init__(
        self,
        cursor: PgCursor,
        last_batch: int,
        open_cursor: Callable[[], AbstractContextManager[PgCursor]],
        *,
        refilling: bool = False,
    ) -> None:
        self._cursor, self._last_batch, self._open_cursor = cursor, last_batch, open_cursor
        self.refilling = refilling
        cursor.execute(
            "SELECT seq FROM analytics.batches WHERE served_at IS NULL AND merged_at >= now() - %s", (OVERDUE_AFTER,)
        )
        self.undelivered = [seq for (seq,) in cursor.fetchall()]
        """The sequence numbers of the batches that were undelivered, but not overdue, at the snapshot."""

    @cached_property
    def buckets(self) -> frozenset[int]:
        """The digest buckets of the rows in flight, as of the first access."""
        return frozenset(
            bucket for (bucket,) in self._select(f"SELECT DISTINCT {build_bucket_sql()} FROM analytics.users WHERE")
        )

    def select_users(self, user_ids: Collection[bytes]) -> set[bytes]:
        """The users among `user_ids` whose row is in flight."""
        query = "SELECT uuid_send(user_id) FROM analytics.users WHERE user_id = ANY(%(ids)s::uuid[]) AND"
        return {bytes(user_id) for (user_id,) in self._select(query, [user_id.hex() for user_id in user_ids])}

    def list_counts(self) -> set[tuple[str, str]]:
        """(dimension, value) of the counts in flight."""
        query = "SELECT dimension, value FROM analytics.user_counts"
        if self.refilling:
            self._cursor.execute(query)
            return set(self._cursor.fetchall())
        return set(self._select(f"{query} WHERE"))

    def _select(self, query: str, ids: Collection[str] = ()) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        values = {"ids": list(ids), "undelivered": self.undelivered, "last": self._last_batch}
        if self.undelivered:
            self._cursor.execute(f"{query} seq = ANY(%(undelivered)s)", values)
            rows += self._cursor.fetchall()
        with self._open_cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM analytics.batches WHERE seq > %(last)s)", values)
            if fetch_row(cursor)[0]:
                cursor.execute(f"{query} seq > %(last)s", values)
                rows += cursor.fetchall()
        return rows
