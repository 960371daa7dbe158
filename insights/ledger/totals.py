"""Running totals of the flow, cheap to read. They are not verified: `check` does that."""

from dataclasses import dataclass

from psycopg2.extensions import cursor as PgCursor

from insights.clients.page_totals import PAGE_TOTALS
from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks
from insights.ledger.flow_state import FlowState, measure_flow_state


@dataclass(frozen=True, slots=True)
class FlowTotals:
    """The number of records that each hop has processed so far."""

    fetched: int
    staged: int
    published: int
    read: int
    served: int
    quarantined: int
    flow: FlowState

    @property
    def idle(self) -> bool:
        return self.flow.idle

    def counts(self) -> dict[str, int]:
        """The totals by name, in the order of the flow."""
        return {
            name: getattr(self, name) for name in ("fetched", "staged", "published", "read", "served", "quarantined")
        }


def read_flow_totals(cursor: PgCursor, topic: str, watermarks: Watermarks) -> FlowTotals:
    """The totals in the snapshot of the cursor: sums over batches, without a scan of the records."""
    cursor.execute(f"""
        SELECT fetched, staged,
               (SELECT coalesce(sum(read), 0) FROM analytics.batches)
               + (SELECT coalesce(sum(read), 0) FROM analytics.pruned_batches),
               (SELECT coalesce(sum(count), 0) FROM analytics.user_counts WHERE dimension = 'gender'),
               (SELECT count(*) FROM quarantine.records WHERE resolved_at IS NULL)
        FROM {PAGE_TOTALS} AS pages""")
    fetched, staged, read, served, quarantined = (int(value) for value in fetch_row(cursor))
    published = sum(high for _, high in watermarks.values())
    return FlowTotals(
        fetched, staged, published, read, served, quarantined, measure_flow_state(cursor, topic, watermarks)
    )
