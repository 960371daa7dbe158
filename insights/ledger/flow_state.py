"""What is still on its way: staged but unpublished, published but unread, merged but not yet in Cassandra."""

from dataclasses import dataclass
from datetime import timedelta

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row

PATIENCE = timedelta(minutes=5)
"""A batch takes seconds, and a stream that died in it begins with it when it starts again."""
Watermarks = dict[int, tuple[int, int]]

BEYOND_CURSOR = "(u.epoch, u.xact_id, u.id) > (p.epoch, p.xact_id, p.id)"
PUBLISHER = """
    (SELECT coalesce(max(epoch), 0) AS epoch, coalesce(max(xact_id), '0'::xid8) AS xact_id, coalesce(max(id), 0) AS id
     FROM staging.publisher WHERE name = %(topic)s) AS p
"""


@dataclass(frozen=True, slots=True)
class FlowState:
    """Records between two stages."""

    unpublished: int
    """Staged rows beyond the publisher's cursor."""
    unread: int
    """Messages that no merged batch of the stream has read."""
    unserved: int
    """Merged batches that are not known to be in Cassandra."""
    overdue: int
    """Of these, the ones merged longer than `PATIENCE` ago: a stream that runs would have them there."""
    last_batch: int
    """The newest merged batch's sequence number; 0 before the first."""

    @property
    def idle(self) -> bool:
        return not (self.unpublished or self.unread or self.unserved)

    def sentence(self) -> str:
        """What the flow waits for, for people."""
        waits = [
            (self.unpublished, "staged row waits", "staged rows wait", "the publisher"),
            (self.unread, "message waits", "messages wait", "the stream"),
            (self.unserved, "batch waits", "batches wait", "Cassandra"),
        ]
        told = [f"{count:,} {one if count == 1 else many} for {whom}" for count, one, many, whom in waits if count]
        return ", ".join(told) or "nothing is in flight"


def read_stream_offsets(cursor: PgCursor, topic: str) -> dict[int, int]:
    """Per partition, the offset up to which merged batches have read.

    The last batch of a query names every partition, so that the others need not be read, however many they are.
    """
    cursor.execute(
        """
        WITH RECURSIVE query AS (
            SELECT min(query_id) AS id FROM analytics.batches
            UNION ALL SELECT (SELECT min(query_id) FROM analytics.batches WHERE query_id > id) FROM query
            WHERE id IS NOT NULL
        )
        SELECT read.partition::integer, max((read.span->>1)::bigint)
        FROM query,
            LATERAL (SELECT offsets FROM analytics.batches WHERE query_id = id ORDER BY batch_id DESC LIMIT 1) AS last,
            jsonb_each(last.offsets -> %s) AS read(partition, span)
        GROUP BY 1
        """,
        (topic,),
    )
    return dict(cursor.fetchall())


def measure_flow_state(cursor: PgCursor, topic: str, watermarks: Watermarks) -> FlowState:
    """Count what is in flight, as the cursor's snapshot sees it."""
    cursor.execute(
        f"SELECT count(*) FROM staging.users AS u CROSS JOIN {PUBLISHER} WHERE {BEYOND_CURSOR}", {"topic": topic}
    )
    unpublished = fetch_row(cursor)[0]
    # Each half by its index: together they would read every batch there ever was.
    cursor.execute(
        "SELECT count(*), count(*) FILTER (WHERE merged_at < now() - %s),"
        " (SELECT coalesce(max(seq), 0) FROM analytics.batches) FROM analytics.batches WHERE served_at IS NULL",
        (PATIENCE,),
    )
    unserved, overdue, last_batch = fetch_row(cursor)
    until = read_stream_offsets(cursor, topic)
    unread = sum(max(0, high - max(low, until.get(partition, 0))) for partition, (low, high) in watermarks.items())
    return FlowState(unpublished, unread, unserved, overdue, last_batch)
