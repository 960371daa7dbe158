"""The hops of the flow as cards: how many records reached each hop, what waits for it, and whether it is healthy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from dashboard.components import formatting
from dashboard.data.answers import CachedAnswer
from dashboard.data.stalls import STALLED_AFTER, StallTracker
from insights.ledger.flow_state import OVERDUE_AFTER, FlowState
from insights.ledger.hops import Ledger, LedgerState
from insights.queries.pipeline import HopTotals
from insights.text import format_count


class Health(Enum):
    """The health of a hop, worst last. The value is the icon that is shown beside the words."""

    FINE = ":material/check_circle:"
    WAITING = ":material/pending:"
    UNKNOWN = ":material/cloud_off:"
    STALLED = ":material/hourglass_disabled:"
    BROKEN = ":material/error:"


_BY_SEVERITY = list(Health)
_SERVED_HOPS = ("read", "served", "users", "user_counts", "batches", "quarantine")
"""The ledger's hops to the tables of the stream in PostgreSQL."""


@dataclass(frozen=True, slots=True)
class HopCard:
    """A hop of the flow and the store that holds its records. `count` is None if it is unknown."""

    name: str
    place: str
    count: int | None
    unit: str
    last_activity: str
    health: Health
    status: str
    diverted: tuple[str, ...] = ()
    """Counts of records that left the flow at this hop."""


@dataclass(frozen=True, slots=True)
class FlowSnapshot:
    """The stores' answers; None for each that is unknown."""

    totals: HopTotals
    superseded: str
    """A count as text, since it is counted up to a bound."""
    flow: FlowState | None
    flow_stale: bool
    users_in_cassandra: int | None
    stalls: Mapping[str, timedelta]
    """By stage, as `find_stalls` returns them."""
    last_ledger: Ledger | None
    """The result of the last full check."""
    last_page_at: datetime | None
    """When the last page was staged."""
    now: datetime


def find_stalls(
    tracker: StallTracker, totals: CachedAnswer[HopTotals], flow: CachedAnswer[FlowState]
) -> dict[str, timedelta]:
    """Return how long each stage has made no progress while work waited for it, without stages where it is unknown."""
    if totals.value is None or flow.value is None or totals.as_of is None or flow.as_of is None or flow.stale:
        return {}
    stalls = {
        "stream": tracker.observe("stream", flow.value.unread, flow.value.last_batch, flow.as_of),
        "cassandra": OVERDUE_AFTER if flow.value.overdue else timedelta(0),
    }
    if totals.as_of <= flow.as_of:
        position = totals.value.publisher_moved_at
        stalls["publisher"] = tracker.observe("publisher", flow.value.unpublished, position, flow.as_of)
    return stalls


def build_hop_cards(snapshot: FlowSnapshot) -> list[HopCard]:
    """Build the cards in the order of the flow, from the source to the pages."""
    totals, flow = snapshot.totals, snapshot.flow
    unpublished, unread, undelivered = (flow.unpublished, flow.unread, flow.undelivered) if flow else (None, None, None)
    last_page, last_publish, last_batch = (
        formatting.format_age(moment, snapshot.now)
        for moment in (snapshot.last_page_at, totals.publisher_moved_at, totals.served_at)
    )
    return [
        HopCard(
            "Fetched",
            "from the source",
            totals.fetched,
            "records",
            f"last page: {last_page}",
            *_assess_source(snapshot),
        ),
        HopCard(
            "Staged",
            "in PostgreSQL",
            totals.staged,
            "records",
            f"last page: {last_page}",
            *_assess(snapshot, "source", 0, "page", "pages", ("staged",)),
            diverted=(format_count(totals.duplicates, "duplicate"),),
        ),
        HopCard(
            "Published",
            "to Kafka",
            totals.published,
            "records",
            f"last published: {last_publish}",
            *_assess(snapshot, "publisher", unpublished, "row", "rows", ("published",)),
        ),
        HopCard(
            "Served",
            "in PostgreSQL",
            totals.served,
            "users",
            f"last batch: {last_batch}",
            *_assess(snapshot, "stream", unread, "message", "messages", _SERVED_HOPS),
            diverted=(f"{snapshot.superseded} superseded", f"{totals.quarantined:,} in quarantine"),
        ),
        HopCard(
            "On the pages",
            "in Cassandra",
            snapshot.users_in_cassandra,
            "users",
            f"last batch: {last_batch}",
            *_assess(
                snapshot, "cassandra", undelivered, "batch", "batches", _list_cassandra_hops(snapshot.last_ledger)
            ),
        ),
    ]


def find_worst_health(cards: Sequence[HopCard]) -> Health:
    return max((card.health for card in cards), key=_BY_SEVERITY.index)


def _assess(
    snapshot: FlowSnapshot, stage: str, waiting: int | None, noun: str, plural: str, ledger_hops: Sequence[str]
) -> tuple[Health, str]:
    """Return the health of a hop and its status line."""
    if _is_broken(snapshot.last_ledger, ledger_hops):
        return Health.BROKEN, "broken at the last check"
    if waiting is None:
        return Health.UNKNOWN, "backlog unknown"
    backlog = f"{format_count(waiting, noun, plural)} {'waits' if waiting == 1 else 'wait'}"
    if snapshot.flow_stale:
        return Health.UNKNOWN, f"last known: {backlog if waiting else 'nothing waits'}"
    if not waiting:
        return Health.FINE, "nothing waits"
    stalled_for = snapshot.stalls.get(stage, timedelta(0))
    if stalled_for >= STALLED_AFTER:
        return Health.STALLED, f"{backlog}, no progress for {stalled_for // timedelta(minutes=1)} min"
    return Health.WAITING, backlog


def _assess_source(snapshot: FlowSnapshot) -> tuple[Health, str]:
    health, status = _assess(snapshot, "source", 0, "page", "pages", ("fetched",))
    resumes_at = snapshot.totals.source_resumes_at
    if health is Health.FINE and resumes_at is not None and resumes_at > snapshot.now:
        return Health.WAITING, f"the source refuses requests until {resumes_at.astimezone(UTC):%H:%M:%S} UTC"
    return health, status


def _is_broken(ledger: Ledger | None, names: Sequence[str]) -> bool:
    return ledger is not None and any(hop.state is LedgerState.BROKEN and hop.name in names for hop in ledger.hops)


def _list_cassandra_hops(ledger: Ledger | None) -> list[str]:
    """Return the ledger's hops to Cassandra, which are named after its tables."""
    other_hops = ("fetched", "staged", "published", *_SERVED_HOPS)
    return [hop.name for hop in ledger.hops if hop.name not in other_hops] if ledger else []
