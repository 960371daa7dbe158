"""The hops: the text of each card, and when a stage counts as stalled."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dashboard.components import flow_diagram, hops
from dashboard.components.hops import Health, HopCard
from dashboard.data.answers import CachedAnswer
from dashboard.data.stalls import STALLED_AFTER, StallTracker
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import Hop as LedgerHop
from insights.ledger.hops import Ledger, LedgerState
from insights.queries.pipeline import HopTotals
from tests.helpers.fake_stores import NOW

TOTALS = HopTotals(1130, 1125, 5, 1125, 1100, 25, NOW, NOW)
IDLE = FlowState(unpublished=0, unread=0, undelivered=0, overdue=0, last_batch=3)
WAITING = FlowState(unpublished=1, unread=2, undelivered=0, overdue=0, last_batch=3)
LEDGER_HOPS = "fetched staged published read served user_counts user_profiles_by_id"


def make_snapshot(flow: FlowState | None = IDLE, stalls=None, ledger=None, stale=False) -> hops.FlowSnapshot:
    return hops.FlowSnapshot(TOTALS, "0", flow, stale, 1100, stalls or {}, ledger, NOW, NOW)


def break_hop(name: str) -> Ledger:
    states = {hop: LedgerState.BROKEN if hop == name else LedgerState.CLOSED for hop in LEDGER_HOPS.split()}
    ledger_hops = [LedgerHop(hop, "", 1, 1, 0, (), (), (), state, "") for hop, state in states.items()]
    return Ledger(tuple(ledger_hops), NOW, 1.0)


def find_stalls(tracker: StallTracker, flow: FlowState, seconds: int, moved: int = 0) -> dict[str, timedelta]:
    """Return the stalls as observed after `seconds`; the publisher last moved at `moved`."""
    totals = TOTALS._replace(publisher_moved_at=NOW + timedelta(seconds=moved))
    at = NOW + timedelta(seconds=seconds)
    return hops.find_stalls(tracker, CachedAnswer(totals, at), CachedAnswer(flow, at))


def test_an_idle_flow_is_fine():
    assert hops.find_worst_health(hops.build_hop_cards(make_snapshot())) is Health.FINE


def test_a_backlog_is_shown_at_the_hop_it_waits_for():
    found = {hop.name: (hop.health, hop.status) for hop in hops.build_hop_cards(make_snapshot(WAITING))}
    assert found["Published"] == (Health.WAITING, "1 row waits")
    assert found["Served"] == (Health.WAITING, "2 messages wait")
    assert found["On the pages"] == (Health.FINE, "nothing waits")


def test_a_source_that_refuses_requests_is_shown_until_it_takes_them_again():
    snapshot = make_snapshot()
    waiting = replace(snapshot, totals=TOTALS._replace(source_resumes_at=NOW + timedelta(minutes=5)))
    [card] = [card for card in hops.build_hop_cards(waiting) if card.name == "Fetched"]
    assert card.health is Health.WAITING
    assert card.status == f"the source refuses requests until {NOW + timedelta(minutes=5):%H:%M:%S} UTC"
    over = replace(snapshot, totals=TOTALS._replace(source_resumes_at=NOW))
    assert hops.build_hop_cards(over) == hops.build_hop_cards(snapshot)


def test_a_stage_that_makes_no_progress_for_long_is_stalled():
    tracker = StallTracker()
    assert find_stalls(tracker, WAITING, 0)["stream"] == timedelta(0)
    found = hops.build_hop_cards(make_snapshot(WAITING, find_stalls(tracker, WAITING, 180)))
    assert found[3].status == "2 messages wait, no progress for 3 min"
    assert hops.find_worst_health(found) is Health.STALLED
    assert (
        hops.find_worst_health(
            hops.build_hop_cards(make_snapshot(WAITING, {"stream": STALLED_AFTER - timedelta(seconds=1)}))
        )
        is Health.WAITING
    )


@pytest.mark.parametrize(
    ("between", "moved"), [(IDLE, 0), (FlowState(1, 2, 0, 0, last_batch=4), 60)], ids=["without work", "moved"]
)
def test_a_stage_that_moved_or_had_no_work_since_is_not_stalled(between, moved):
    tracker = StallTracker()
    find_stalls(tracker, WAITING, 0)
    find_stalls(tracker, between, 60, moved)
    found = find_stalls(tracker, WAITING, 150, moved)
    assert found["stream"] < STALLED_AFTER
    assert found["publisher"] < STALLED_AFTER


def test_a_batch_that_is_overdue_stalls_cassandra_at_once():
    found = find_stalls(StallTracker(), FlowState(0, 0, 1, overdue=1, last_batch=3), 0)
    assert found["cassandra"] >= STALLED_AFTER


def test_stale_answers_do_not_show_a_stall():
    at = NOW
    assert hops.find_stalls(StallTracker(), CachedAnswer(TOTALS, at), CachedAnswer(WAITING, at, stale=True)) == {}
    newer_totals = hops.find_stalls(
        StallTracker(), CachedAnswer(TOTALS, at + timedelta(seconds=1)), CachedAnswer(WAITING, at)
    )
    assert "publisher" not in newer_totals


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("fetched", "Fetched"),
        ("staged", "Staged"),
        ("published", "Published"),
        ("read", "Served"),
        ("served", "Served"),
        ("user_counts", "Served"),
        ("user_profiles_by_id", "On the pages"),
    ],
)
def test_a_hop_that_the_check_found_broken_is_marked_on_its_card(name, card):
    found = hops.build_hop_cards(make_snapshot(ledger=break_hop(name)))
    assert [hop.name for hop in found if hop.health is Health.BROKEN] == [card]


def test_an_unknown_state_is_not_fine():
    assert hops.find_worst_health(hops.build_hop_cards(make_snapshot(None))) is Health.UNKNOWN
    assert hops.find_worst_health(hops.build_hop_cards(make_snapshot(IDLE, stale=True))) is Health.UNKNOWN


def test_the_diagram_states_health_in_words_and_icons_and_escapes_text():
    drawn = flow_diagram.render_flow([HopCard("<b>", "<i>", None, "<u>", "<s>", Health.STALLED, "<p>", ("<a>",))])
    body = drawn.split("</style>")[1]
    assert not any(tag in body for tag in ("<b>", "<i>", "<u>", "<s>", "<p>", "<a>"))
    assert body.count("&lt;") == 6
    assert "hourglass_disabled" in body
    assert "unknown" in body
