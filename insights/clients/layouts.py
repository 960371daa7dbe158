"""Batches that were delivered to Cassandra, but are not known to be in every table of this layout.

After a rollback, the former release writes its own tables only. What it delivered is then missing in those of the
release that is installed next. A restore of Cassandra takes batches out of every table (`cassandra_restores`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.model.schema import LAYOUT

MARK_SERVED = f"served_at = now(), layout = {LAYOUT}"
"""What an UPDATE of `analytics.batches` sets of a batch that is in every table of this layout."""
_ELSEWHERE = f"served_at IS NOT NULL AND layout IS DISTINCT FROM {LAYOUT} AND offsets <> '{{}}'"
_SELECT_KNOWN = f"""
    SELECT EXISTS (
        SELECT FROM analytics.batches AS earlier JOIN analytics.batches AS first ON first.seq = %s
        WHERE earlier.layout = {LAYOUT} AND CASE WHEN first.batch_id = 0 THEN earlier.seq < first.seq
            ELSE (earlier.query_id, earlier.batch_id) = (first.query_id, first.batch_id - 1) END
    )
"""


class ForeignDeliveries(NamedTuple):
    """Such batches: the number of accepted records, by sequence number.

    `complete`: the batch before the first of them is recorded and was delivered to this layout. Otherwise retention may
    have deleted others.
    """

    batches: dict[int, int]
    complete: bool


def has_foreign_deliveries(cursor: PgCursor) -> bool:
    """Whether there is such a batch, so that Cassandra's tables lack rows until the stream starts."""
    cursor.execute(f"SELECT EXISTS (SELECT FROM analytics.batches WHERE {_ELSEWHERE})")
    return bool(fetch_row(cursor)[0])


def list_foreign_deliveries(cursor: PgCursor) -> ForeignDeliveries:
    """All such batches, in the order of their merges."""
    cursor.execute(f"SELECT seq, accepted FROM analytics.batches WHERE {_ELSEWHERE} ORDER BY seq")
    batches = dict(cursor.fetchall())
    if not batches:
        return ForeignDeliveries({}, complete=True)
    cursor.execute(_SELECT_KNOWN, (next(iter(batches)),))
    return ForeignDeliveries(batches, complete=bool(fetch_row(cursor)[0]))


def mark_layout(cursor: PgCursor, seqs: Iterable[int]) -> None:
    """Record that these batches are in every table of this layout."""
    cursor.execute("UPDATE analytics.batches SET layout = %s WHERE seq = ANY(%s)", (LAYOUT, list(seqs)))
