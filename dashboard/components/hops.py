"""The hops of the flow as the page tells them: how many records reached each, what waits for it, is it well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from dashboard.components import formatting
from dashboard.data.answers import CachedAnswer
from dashboard.data.stalls import PATIENCE, StallTracker
from insights.ledger.flow_state import PATIENCE as OVERDUE
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import Ledger, LedgerState
from insights.queries.pipeline import HopTotals


class Health(Enum):
    """Of a hop, the worst last; the value is the icon that says so beside the words."""

    FINE = ":material/check_circle:"
    WAITS = ":material/pending:"
    UNKNOWN = ":material/cloud_off:"
    STALLED = ":material/hourglass_disabled:"
    BROKEN = ":material/error:"


_ORDER = list(Health)


@dataclass(frozen=True, slots=True)
class HopCard:
    """A place where records are. `count` is none where it is not known."""

    name: str
    place: str
    count: int | None
    unit: str
    moved: str
    """When it moved last."""
    health: Health
    word: str
    beside: tuple[str, ...] = ()
    """Records that took another way out."""


@dataclass(frozen=True, slots=True)
class FlowSnapshot:
    """What the stores answered; none where one did not."""

    facts: HopTotals
    superseded: str
    """In words, as it is counted up to a bound."""
    flow: FlowState | None
    flow_stale: bool
    in_cassandra: int | None
    stuck: Mapping[str, timedelta]
    """As `find_stalls` tells."""
    checked: Ledger | None
    """The last full check."""
    landed_at: datetime | None
    """When the last page was staged."""
    at: datetime


def find_stalls(
    stalls: StallTracker, facts: CachedAnswer[HopTotals], flow: CachedAnswer[FlowState]
) -> dict[str, timedelta]:
    """How long each stage has not moved while something waited for it; none where that cannot be told."""
    if facts.value is None or flow.value is None or facts.as_of is None or flow.as_of is None or flow.stale:
        return {}
    found = {
        "stream": stalls.look("stream", flow.value.unread, flow.value.last_batch, flow.as_of),
        "cassandra": OVERDUE if flow.value.overdue else timedelta(0),
    }
    if facts.as_of <= flow.as_of:
        moved = facts.value.publisher_moved_at
        found["publisher"] = stalls.look("publisher", flow.value.unpublished, moved, flow.as_of)
    return found


def build_hop_cards(seen: FlowSnapshot) -> list[HopCard]:
    """From the source to the page."""
    facts, flow = seen.facts, seen.flow
    unpublished, unread, undelivered = (flow.unpublished, flow.unread, flow.undelivered) if flow else (None, None, None)
    landed, moved, served = (
        formatting.format_age(moment, seen.at) for moment in (seen.landed_at, facts.publisher_moved_at, facts.served_at)
    )
    return [
        HopCard(
            "Fetched",
            "from the source",
            facts.fetched,
            "records",
            f"last page {landed}",
            *_waits(seen, "source", 0, "page", ("fetched",)),
        ),
        HopCard(
            "Staged",
            "in PostgreSQL",
            facts.fetched - facts.duplicates,
            "records",
            f"last page {landed}",
            *_waits(seen, "source", 0, "page", ("staged",)),
            beside=(f"{facts.duplicates:,} duplicates",),
        ),
        HopCard(
            "Published",
            "to Kafka",
            facts.published,
            "records",
            f"last moved {moved}",
            *_waits(seen, "publisher", unpublished, "row", ("published",)),
        ),
        HopCard(
            "Served",
            "in PostgreSQL",
            facts.served,
            "users",
            f"last batch {served}",
            *_waits(seen, "stream", unread, "message", ("served", "user_counts")),
            beside=(f"{seen.superseded} superseded", f"{facts.quarantined:,} in quarantine"),
        ),
        HopCard(
            "On the pages",
            "in Cassandra",
            seen.in_cassandra,
            "users",
            f"last batch {served}",
            *_waits(seen, "cassandra", undelivered, "batch", _cassandra_hops(seen.checked)),
        ),
    ]


def find_worst_health(found: Sequence[HopCard]) -> Health:
    return max((hop.health for hop in found), key=_ORDER.index)


def _waits(
    seen: FlowSnapshot, stage: str, waiting: int | None, what: str, checked: Sequence[str]
) -> tuple[Health, str]:
    if broken := _broken(seen.checked, checked):
        return broken
    if waiting is None:
        return Health.UNKNOWN, "what waits is not known"
    words = f"{waiting:,} {_plural(what, waiting)} {'waits' if waiting == 1 else 'wait'}"
    if seen.flow_stale:
        return Health.UNKNOWN, f"last known: {words if waiting else 'nothing waits'}"
    if not waiting:
        return Health.FINE, "nothing waits"
    stuck = seen.stuck.get(stage, timedelta(0))
    if stuck >= PATIENCE:
        return Health.STALLED, f"{words}, nothing moved for {stuck // timedelta(minutes=1)} min"
    return Health.WAITS, words


def _broken(ledger: Ledger | None, names: Sequence[str]) -> tuple[Health, str] | None:
    if ledger and any(hop.state is LedgerState.BROKEN and hop.name in names for hop in ledger.hops):
        return Health.BROKEN, "broken at the last check"
    return None


def _cassandra_hops(ledger: Ledger | None) -> list[str]:
    """The check names the hops to Cassandra after its tables."""
    before = ("fetched", "staged", "published", "served", "user_counts")
    return [hop.name for hop in ledger.hops if hop.name not in before] if ledger else []


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}es" if word.endswith("ch") else f"{word}s"
