"""The hops: what each says, and when a stage is called stalled."""

from datetime import timedelta

import pytest

from dashboard.components import flow_diagram, hops
from dashboard.components.hops import Health, HopCard
from dashboard.data.answers import CachedAnswer
from dashboard.data.stalls import PATIENCE, StallTracker
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import Hop as LedgerHop
from insights.ledger.hops import Ledger, LedgerState
from insights.queries.pipeline import HopTotals
from tests.helpers.fake_stores import NOW

FACTS = HopTotals(1130, 5, 1125, 1100, 25, NOW, NOW)
STILL = FlowState(unpublished=0, unread=0, undelivered=0, overdue=0, last_batch=3)
WAITING = FlowState(unpublished=1, unread=2, undelivered=0, overdue=0, last_batch=3)
TABLES = "fetched staged published served user_counts users_by_id"


def seen(flow: FlowState | None = STILL, stuck=None, checked=None, stale=False) -> hops.FlowSnapshot:
    return hops.FlowSnapshot(FACTS, "0", flow, stale, 1100, stuck or {}, checked, NOW, NOW)


def broken(name: str) -> Ledger:
    states = {hop: LedgerState.BROKEN if hop == name else LedgerState.CLOSED for hop in TABLES.split()}
    found = [LedgerHop(hop, "", 1, 1, 0, (), (), (), state, "") for hop, state in states.items()]
    return Ledger(tuple(found), NOW, 1.0)


def look(stalls: StallTracker, flow: FlowState, seconds: int, moved: int = 0) -> dict[str, timedelta]:
    """What is stuck, as looked at after so many seconds; the publisher moved at `moved`."""
    facts = FACTS._replace(publisher_moved_at=NOW + timedelta(seconds=moved))
    at = NOW + timedelta(seconds=seconds)
    return hops.find_stalls(stalls, CachedAnswer(facts, at), CachedAnswer(flow, at))


def test_a_flow_without_work_is_fine():
    assert hops.find_worst_health(hops.build_hop_cards(seen())) is Health.FINE


def test_what_waits_is_at_the_hop_that_it_waits_for():
    found = {hop.name: (hop.health, hop.word) for hop in hops.build_hop_cards(seen(WAITING))}
    assert found["Published"] == (Health.WAITS, "1 row waits")
    assert found["Served"] == (Health.WAITS, "2 messages wait")
    assert found["On the pages"] == (Health.FINE, "nothing waits")


def test_a_stage_is_stalled_when_it_does_not_move_for_long():
    stalls = StallTracker()
    assert look(stalls, WAITING, 0)["stream"] == timedelta(0)
    found = hops.build_hop_cards(seen(WAITING, look(stalls, WAITING, 180)))
    assert found[3].word == "2 messages wait, nothing moved for 3 min"
    assert hops.find_worst_health(found) is Health.STALLED
    assert (
        hops.find_worst_health(hops.build_hop_cards(seen(WAITING, {"stream": PATIENCE - timedelta(seconds=1)})))
        is Health.WAITS
    )


@pytest.mark.parametrize(
    ("between", "moved"), [(STILL, 0), (FlowState(1, 2, 0, 0, last_batch=4), 60)], ids=["without work", "moved"]
)
def test_a_stage_that_moved_or_had_no_work_since_is_not_stalled(between, moved):
    stalls = StallTracker()
    look(stalls, WAITING, 0)
    look(stalls, between, 60, moved)
    found = look(stalls, WAITING, 150, moved)
    assert found["stream"] < PATIENCE
    assert found["publisher"] < PATIENCE


def test_a_batch_that_is_overdue_stalls_cassandra_at_once():
    found = look(StallTracker(), FlowState(0, 0, 1, overdue=1, last_batch=3), 0)
    assert found["cassandra"] >= PATIENCE


def test_stale_answers_do_not_tell_a_stall():
    at = NOW
    assert hops.find_stalls(StallTracker(), CachedAnswer(FACTS, at), CachedAnswer(WAITING, at, stale=True)) == {}
    late = hops.find_stalls(StallTracker(), CachedAnswer(FACTS, at + timedelta(seconds=1)), CachedAnswer(WAITING, at))
    assert "publisher" not in late


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("fetched", "Fetched"),
        ("staged", "Staged"),
        ("published", "Published"),
        ("served", "Served"),
        ("user_counts", "Served"),
        ("users_by_id", "On the pages"),
    ],
)
def test_a_hop_that_the_check_found_broken_is_marked_where_it_is(name, place):
    found = hops.build_hop_cards(seen(checked=broken(name)))
    assert [hop.name for hop in found if hop.health is Health.BROKEN] == [place]


def test_what_is_not_known_is_not_called_fine():
    assert hops.find_worst_health(hops.build_hop_cards(seen(None))) is Health.UNKNOWN
    assert hops.find_worst_health(hops.build_hop_cards(seen(STILL, stale=True))) is Health.UNKNOWN


def test_the_picture_says_health_in_words_and_icons_and_escapes_text():
    drawn = flow_diagram.render_flow([HopCard("<b>", "<i>", None, "<u>", "<s>", Health.STALLED, "<p>", ("<a>",))])
    body = drawn.split("</style>")[1]
    assert not any(tag in body for tag in ("<b>", "<i>", "<u>", "<s>", "<p>", "<a>"))
    assert body.count("&lt;") == 6
    assert "hourglass_disabled" in body
    assert "unknown" in body
