"""What the ledger says about one equation, without a store."""

import json
from datetime import UTC, datetime

from insights.ledger.digest import digest_image, split_cells
from insights.ledger.hops import Hop, Ledger, LedgerState, evaluate_hop


def judged(**sides: object) -> Hop:
    return evaluate_hop("served", "published = served", holds="2 = 2.", **sides)  # type: ignore[arg-type]


def ledger(*hops: Hop) -> Ledger:
    return Ledger(hops, datetime(2026, 1, 1, tzinfo=UTC), 0.5)


def test_equal_sides_close_and_say_what_they_hold() -> None:
    closed = judged(left=2, right=2)
    assert closed.equal
    assert closed.sentence == "2 = 2."


def test_records_on_their_way_are_no_loss() -> None:
    late = judged(left=5, right=3, pending=2)
    assert late.state is LedgerState.IN_FLIGHT
    assert not late.equal
    assert "2 of 5" in late.sentence


def test_a_lost_record_breaks_a_hop_that_also_waits_and_is_named() -> None:
    lost = judged(left=5, right=2, pending=2, missing=["17"])
    assert lost.state is LedgerState.BROKEN
    assert "17" in lost.sentence


def test_a_gained_and_a_lost_record_do_not_cancel_out() -> None:
    assert judged(left=2, right=2, missing=["1"], extra=["9"]).state is LedgerState.BROKEN


def test_sides_that_differ_without_a_name_are_broken() -> None:
    assert judged(left=3, right=2).state is LedgerState.BROKEN


def test_the_worst_hop_decides_the_ledger_and_is_told_first() -> None:
    closed, late, lost = judged(left=1, right=1), judged(left=2, right=1, pending=1), judged(left=2, right=1)
    assert ledger(closed).closed
    assert ledger(closed, late).state is LedgerState.IN_FLIGHT
    assert ledger(closed, late, lost).state is LedgerState.BROKEN
    assert ledger(closed, late, lost).open_hops() == (lost, late)


def test_the_ledger_is_plain_json() -> None:
    content = json.loads(json.dumps(ledger(judged(left=3, right=2, missing=["7"])).as_json()))
    assert (content["state"], content["closed"], content["hops"][0]["missing"]) == ("broken", False, ["7"])


def test_an_image_tells_null_from_empty() -> None:
    null, empty = b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"
    assert split_cells(null + empty + b"\x00\x00\x00\x01a") == [None, b"", b"a"]
    assert digest_image(null) != digest_image(empty)
