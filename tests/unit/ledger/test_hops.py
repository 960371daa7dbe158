"""The evaluation of an equation, without a store."""

import json
from datetime import UTC, datetime

from insights.ledger.digest import split_cells
from insights.ledger.hops import Hop, Ledger, LedgerState, evaluate_hop, list_uncovered
from insights.model.digest import digest_bytes


def evaluate(**sides: object) -> Hop:
    return evaluate_hop("served", "published = served", holds="2 = 2.", **sides)  # type: ignore[arg-type]


def ledger(*hops: Hop) -> Ledger:
    return Ledger(hops, datetime(2026, 1, 1, tzinfo=UTC), 0.5)


def test_equal_sides_close_with_their_sentence() -> None:
    closed = evaluate(left=2, right=2)
    assert closed.equal
    assert closed.sentence == "2 = 2."


def test_records_in_flight_are_not_lost() -> None:
    in_flight = evaluate(left=5, right=3, pending=2)
    assert in_flight.state is LedgerState.IN_FLIGHT
    assert not in_flight.equal
    assert in_flight.sentence == "2 of 5 records are in flight."
    assert evaluate(left=1, right=0, pending=1).sentence == "1 of 1 record is in flight."


def test_a_lost_record_is_named_and_breaks_a_hop_with_records_in_flight() -> None:
    lost = evaluate(left=5, right=2, pending=2, missing=["17"])
    assert lost.state is LedgerState.BROKEN
    assert lost.sentence == "published = served does not hold: 5 against 4. Missing: 17."
    named = evaluate(left=5, right=2, pending=2, missing=["17"], remedy="A replay helps.", uncovered="1 row")
    assert named.sentence == (
        "published = served does not hold: 5 against 4. Missing: 17. A replay helps. Not covered: 1 row."
    )


def test_a_sentence_names_a_few_records_of_each_kind_and_separates_thousands() -> None:
    broken = evaluate(left=1234, right=1230, missing="abcd", changed=["x (city)"])
    assert broken.sentence == (
        "published = served does not hold: 1,234 against 1,230. Missing: a, b, c and more. Changed: x (city)."
    )


def test_a_gained_and_a_lost_record_do_not_cancel_out() -> None:
    assert evaluate(left=2, right=2, missing=["1"], extra=["9"]).state is LedgerState.BROKEN


def test_sides_that_differ_without_named_records_are_broken() -> None:
    assert evaluate(left=3, right=2).state is LedgerState.BROKEN


def test_the_worst_hop_decides_the_ledger_and_comes_first() -> None:
    closed, in_flight, lost = evaluate(left=1, right=1), evaluate(left=2, right=1, pending=1), evaluate(left=2, right=1)
    assert ledger(closed).closed
    assert ledger(closed, in_flight).state is LedgerState.IN_FLIGHT
    assert ledger(closed, in_flight, lost).state is LedgerState.BROKEN
    assert ledger(closed, in_flight, lost).open_hops() == (lost, in_flight)


def test_the_ledger_is_plain_json() -> None:
    content = json.loads(json.dumps(ledger(evaluate(left=3, right=2, missing=["7"])).as_json()))
    assert (content["state"], content["closed"], content["hops"][0]["missing"]) == ("broken", False, ["7"])


def test_an_image_distinguishes_null_from_empty() -> None:
    null, empty = b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"
    assert split_cells(null + empty + b"\x00\x00\x00\x01a") == [None, b"", b"a"]
    assert digest_bytes(null) != digest_bytes(empty)


def test_a_sentence_ends_with_what_the_comparison_leaves_out() -> None:
    assert evaluate(left=2, right=2, uncovered="1 dropped row").sentence == "2 = 2. Not covered: 1 dropped row."
    assert evaluate(left=2, right=2).uncovered == ""
    parts = ((0, "page", "pages"), (1234, "row", "rows"), (1, "bucket", "buckets"))
    assert list_uncovered(*parts) == "1,234 rows; 1 bucket"
