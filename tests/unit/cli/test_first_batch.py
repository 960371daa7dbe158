"""Following the first batch: delivered, stuck, never fetched, failed, and with unreachable stores."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from insights.cli import first_batch
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import Hop, Ledger, evaluate_hop
from insights.ledger.totals import FlowTotals
from insights.settings import StoreSettings

CLOSED = evaluate_hop("served", "published = served", 2, 2, holds="2 published = 2 served.")
IN_FLIGHT = evaluate_hop("served", "published = served", 2, 1, pending=1, holds="")
LOST = evaluate_hop("served", "published = served", 2, 1, missing=["17"], holds="")
PATIENCE_SECONDS = 300.0
UNREACHABLE = UserError("PostgreSQL is out of reach; start it.")


class Time:
    """A clock that only `sleep` advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def totals(fetched: int, unread: int = 0) -> FlowTotals:
    return FlowTotals(
        fetched,
        fetched,
        fetched,
        fetched - unread,
        fetched - unread,
        0,
        FlowState(unpublished=0, unread=unread, undelivered=0, overdue=0, last_batch=1),
    )


def ledger(*hops: Hop) -> Ledger:
    return Ledger(hops, datetime(2026, 1, 1, tzinfo=UTC), 0.1)


def repeat_last(answers: list[Any]) -> Callable[..., Any]:
    """A function that returns, or raises, the answers in turn, then repeats the last."""
    remaining: Iterator[Any] = iter(answers[:-1])

    def answer(*_: Any) -> Any:
        result = next(remaining, answers[-1])
        if isinstance(result, Exception):
            raise result
        return result

    return answer


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(first_batch, "time", clock)
    return clock


def watch(
    monkeypatch: pytest.MonkeyPatch,
    progress: list[Any],
    ledgers: list[Any],
    ingesting: list[Any],
    *,
    terminal: bool = False,
) -> tuple[int, str]:
    """The exit code, and what was printed."""
    monkeypatch.setattr(ledger_check, "read_totals", repeat_last(progress))
    monkeypatch.setattr(ledger_check, "check_ledger", repeat_last(ledgers))
    output = io.StringIO()
    console = Console(file=output, width=160, force_terminal=terminal, highlight=False)
    nowhere: Any = None
    busy = repeat_last(ingesting)
    code = first_batch.watch_first_batch(console, StoreSettings(nowhere, nowhere, nowhere), busy, PATIENCE_SECONDS)
    return code, output.getvalue()


@pytest.mark.usefixtures("time")
def test_it_waits_for_the_ingest_and_for_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = [totals(0), totals(1, unread=1), totals(1), totals(2, unread=1), totals(2)]
    code, text = watch(monkeypatch, progress, [ledger(IN_FLIGHT), ledger(CLOSED)], [True, True, True, False])
    assert code == 0
    assert "Ledger closed" in text
    counts = [line.partition(" fetched")[0] for line in text.splitlines() if " fetched > " in line]
    assert counts == ["0", "1", "1", "2", "2"]


@pytest.mark.usefixtures("time")
def test_a_terminal_shows_the_ledger_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = watch(monkeypatch, [totals(2)], [ledger(CLOSED)], [False], terminal=True)
    assert code == 0
    assert "Ledger closed" in text


@pytest.mark.usefixtures("time")
def test_a_broken_ledger_names_the_hop_and_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = watch(monkeypatch, [totals(2)], [ledger(LOST)], [False])
    assert code == 1
    assert "The ledger does not close at served" in text
    assert "Missing: 17" in text


def test_a_store_that_is_unreachable_for_a_while_is_waited_for(monkeypatch: pytest.MonkeyPatch, time: Time) -> None:
    code, _ = watch(
        monkeypatch, [UNREACHABLE, totals(2), UNREACHABLE, totals(2)], [UNREACHABLE, ledger(CLOSED)], [False]
    )
    assert code == 0
    assert time.now < PATIENCE_SECONDS


def test_a_store_that_stays_unreachable_is_reported_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch, time: Time
) -> None:
    with pytest.raises(UserError, match="PostgreSQL is out of reach"):
        watch(monkeypatch, [UNREACHABLE], [ledger(CLOSED)], [True])
    assert time.now > PATIENCE_SECONDS


def test_a_flow_that_is_stuck_ends_with_the_open_hop(monkeypatch: pytest.MonkeyPatch, time: Time) -> None:
    code, text = watch(monkeypatch, [totals(2, unread=1)], [ledger(IN_FLIGHT)], [False])
    assert code == 1
    assert "in flight" in text
    assert time.now > PATIENCE_SECONDS


def test_changing_counts_reset_the_timeout(monkeypatch: pytest.MonkeyPatch, time: Time) -> None:
    slow = [totals(1, unread=1)] * 200 + [totals(2, unread=1)] * 200 + [totals(3)]
    code, _ = watch(monkeypatch, slow, [ledger(CLOSED)], [False])
    assert code == 0
    assert time.now > PATIENCE_SECONDS


@pytest.mark.usefixtures("time")
def test_an_ingest_that_fetched_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = watch(monkeypatch, [totals(0)], [ledger(CLOSED)], [True])
    assert code == 1
    assert "No page was fetched" in text


@pytest.mark.usefixtures("time")
def test_a_failed_ingest_ends_the_watch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="The run of ingest_users failed"):
        watch(monkeypatch, [totals(1)], [ledger(CLOSED)], [True, UserError("The run of ingest_users failed.")])
