"""What is in flight: staged but unpublished, published but unread, merged but undelivered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks, read_position
from insights.text import format_count

OVERDUE_AFTER = timedelta(minutes=5)
"""How long a merged batch may stay undelivered: a batch takes seconds, and a restarted stream repeats its last one."""

BEYOND_CURSOR = "(u.epoch, u.xact_id, u.id) > (p.epoch, p.xact_id, p.id)"
PUBLISHER = """
    (SELECT coalesce(max(epoch), 0) AS epoch, coalesce(max(xact_id), '0'::xid8) AS xact_id, coalesce(max(id), 0) AS id
     FROM staging.publisher WHERE name = %(topic)s) AS p
"""


@dataclass(frozen=True, slots=True)
class FlowState:
    """What is in flight between the stages."""

    unpublished: int
    """Staged rows beyond the publisher's cursor."""
    unread: int
    """Messages that no merged batch has read: the lag of the stream."""
    undelivered: int
    """Merged batches that are not marked as delivered."""
    overdue: int
    """Undelivered batches merged more than `OVERDUE_AFTER` ago: a running stream would have delivered them."""
    last_batch: int
    """Sequence number of the newest merged batch; 0 before the first."""

    @property
    def idle(self) -> bool:
        return not (self.unpublished or self.unread or self.undelivered)

    def sentence(self) -> str:
        """What is in flight, as a clause without a full stop."""
        stages = [
            (self.unpublished, "staged row waits", "staged rows wait", "the publisher"),
            (self.unread, "message waits", "messages wait", "the stream"),
            (self.undelivered, "batch waits", "batches wait", "Cassandra"),
        ]
        waits = [f"{format_count(count, one, many)} for {stage}" for count, one, many, stage in stages if count]
        return ", ".join(waits) or "nothing is in flight"


def read_stream_offsets(cursor: PgCursor, topic: str) -> Mapping[int, int]:
    """The end offset of the merged batches, by partition."""
    return read_position(cursor, topic).offsets


def measure_flow_state(cursor: PgCursor, topic: str, watermarks: Watermarks) -> FlowState:
    """Count what is in flight in the cursor's snapshot."""
    cursor.execute(
        f"SELECT count(*) FROM staging.users AS u CROSS JOIN {PUBLISHER} WHERE {BEYOND_CURSOR}", {"topic": topic}
    )
    unpublished = fetch_row(cursor)[0]
    # A subquery, so that each part uses its own index and none reads every batch.
    cursor.execute(
        "SELECT count(*), count(*) FILTER (WHERE merged_at < now() - %s),"
        " (SELECT coalesce(max(seq), 0) FROM analytics.batches) FROM analytics.batches WHERE served_at IS NULL",
        (OVERDUE_AFTER,),
    )
    undelivered, overdue, last_batch = fetch_row(cursor)
    stream_offsets = read_stream_offsets(cursor, topic)
    unread = sum(
        max(0, high - max(low, stream_offsets.get(partition, 0))) for partition, (low, high) in watermarks.items()
    )
    return FlowState(unpublished, unread, undelivered, overdue, last_batch)
