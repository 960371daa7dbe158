"""Where Cassandra may differ from a snapshot of PostgreSQL: in what a batch wrote that was on its way meanwhile."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from psycopg2.extensions import cursor as PgCursor

from insights.ledger.digest import build_bucket_sql
from insights.ledger.flow_state import PATIENCE, FlowState


class InFlightRows:
    """What was written by a batch that Cassandra was not known to have at the snapshot, or that was merged after it.

    `cursor` reads the snapshot, of which `flow` is the flow; `now` opens a cursor that reads what is there now. Ask
    after Cassandra was read. A batch that is overdue is not on its way: what it lacks is lost.
    """

    def __init__(self, cursor: PgCursor, flow: FlowState, now: Callable[[], AbstractContextManager[Any]]) -> None:
        self._cursor, self._last_batch, self._now = cursor, flow.last_batch, now
        cursor.execute(
            "SELECT seq FROM analytics.batches WHERE served_at IS NULL AND merged_at >= now() - %s", (PATIENCE,)
        )
        self._waiting = [seq for (seq,) in cursor.fetchall()]

    @cached_property
    def buckets(self) -> frozenset[int]:
        """The digest buckets of the late rows, as of the first time that this is asked."""
        return frozenset(
            bucket for (bucket,) in self._rows(f"SELECT DISTINCT {build_bucket_sql()} FROM analytics.users WHERE")
        )

    def users(self, user_ids: Collection[bytes]) -> set[bytes]:
        """Those of the users whose row is late."""
        query = "SELECT uuid_send(user_id) FROM analytics.users WHERE user_id = ANY(%(ids)s::uuid[]) AND"
        return {bytes(user_id) for (user_id,) in self._rows(query, [user_id.hex() for user_id in user_ids])}

    def counts(self) -> set[tuple[str, str]]:
        """(dimension, value) of the late counts."""
        return set(self._rows("SELECT dimension, value FROM analytics.user_counts WHERE"))

    def _rows(self, query: str, ids: Collection[str] = ()) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        values = {"ids": list(ids), "waiting": self._waiting, "last": self._last_batch}
        if self._waiting:
            self._cursor.execute(f"{query} seq = ANY(%(waiting)s)", values)
            rows += self._cursor.fetchall()
        with self._now() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM analytics.batches WHERE seq > %(last)s)", values)
            if cursor.fetchone()[0]:
                cursor.execute(f"{query} seq > %(last)s", values)
                rows += cursor.fetchall()
        return rows
