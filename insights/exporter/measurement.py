"""One measurement of the flow, as the stores describe it at that instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks
from insights.ledger.flow_state import FlowState, measure_flow_state
from insights.ledger.history import RecordedCheck, read_last_check
from insights.queries.pipeline import (
    HopTotals,
    LatencyPercentiles,
    count_open_quarantine,
    measure_latency,
    read_hop_totals,
)

LATENCY_MINUTES = 5
REJECTED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the stores say about the flow. Instants are None, and mappings empty, before there is anything."""

    totals: HopTotals
    in_flight: FlowState
    staged_at: datetime | None
    """When the newest page was staged."""
    newest_record: datetime | None
    """The time of the newest record on the pages: when its page was fetched."""
    latency: LatencyPercentiles | None
    """Of the users delivered within `LATENCY_MINUTES`."""
    quarantined: Mapping[str, int]
    """Open records in quarantine by reason."""
    rejected: Mapping[str, int]
    """Records rejected within `REJECTED_WITHIN` by reason, those resolved since included."""
    check: RecordedCheck | None


def measure(cursor: PgCursor, topic: str, watermarks: Watermarks) -> Measurement:
    """Measure the flow in the cursor's snapshot; `watermarks` are those of the raw topic.

    Costs O(what is new since the last check + groups + records in quarantine), however many users there are.

    Raises:
        psycopg2.Error: PostgreSQL cannot be read.
    """
    cursor.execute("SELECT max(staged_at) FROM staging.batches")
    (staged_at,) = fetch_row(cursor)
    cursor.execute(
        "SELECT event_times[101] FROM analytics.batches"
        " WHERE served_at IS NOT NULL AND event_times IS NOT NULL ORDER BY seq DESC LIMIT 1"
    )
    (newest_record,) = cursor.fetchone() or (None,)
    cursor.execute(
        "SELECT reason, count(*) FROM quarantine.records WHERE quarantined_at >= now() - %s GROUP BY reason",
        (REJECTED_WITHIN,),
    )
    rejected = dict(cursor.fetchall())
    return Measurement(
        totals=read_hop_totals(cursor, topic),
        in_flight=measure_flow_state(cursor, topic, watermarks),
        staged_at=staged_at,
        newest_record=newest_record,
        latency=measure_latency(cursor, LATENCY_MINUTES),
        quarantined=count_open_quarantine(cursor),
        rejected=rejected,
        check=read_last_check(cursor),
    )
