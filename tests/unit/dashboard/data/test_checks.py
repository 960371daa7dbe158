"""The full check: one at a time for all visitors, and its last result is kept."""

from collections.abc import Iterator
from threading import Event

import pytest
import streamlit as st

from dashboard.data import checks
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.hops import Ledger
from insights.settings import StoreSettings
from tests.helpers.fake_stores import NOW
from tests.helpers.support import eventually

CLOSED = Ledger((), NOW, 0.5)


class SlowLedger:
    """A check that lasts until `end` is set, and then has `outcome`: a result or an error."""

    def __init__(self) -> None:
        self.started = 0
        self.end = Event()
        self.outcome: Ledger | Exception = CLOSED

    def check(self, _: StoreSettings) -> Ledger:
        self.started += 1
        assert self.end.wait(30)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def ledger(monkeypatch) -> Iterator[SlowLedger]:
    st.cache_resource.clear()
    ledger = SlowLedger()
    monkeypatch.setattr(ledger_check, "check_ledger", ledger.check)
    yield ledger
    ledger.end.set()
    wait_until_ended()
    st.cache_resource.clear()


def wait_until_ended() -> None:
    eventually(lambda: not checks.is_running(), 30, "the check did not end")


def test_a_check_runs_in_the_background_and_its_result_is_kept(ledger):
    assert (checks.get_last_ledger(), checks.is_running(), checks.get_started_at()) == (None, False, None)
    checks.start_check()
    assert checks.is_running()
    assert checks.get_started_at() is not None
    assert checks.get_last_ledger() is None
    ledger.end.set()
    wait_until_ended()
    assert checks.get_last_ledger() is CLOSED


def test_a_second_visitor_does_not_start_a_second_check(ledger):
    checks.start_check()
    eventually(lambda: ledger.started == 1, 30, "the check did not start")
    checks.start_check()
    ledger.end.set()
    wait_until_ended()
    assert ledger.started == 1
    checks.start_check()
    wait_until_ended()
    assert ledger.started == 2


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("Kafka is away; start it."), "Kafka is away; start it."),
        (RuntimeError("secret"), "The check ended without a result; see the dashboard's log."),
    ],
)
def test_a_check_without_a_result_says_why_and_keeps_the_previous_result(ledger, error, sentence):
    ledger.end.set()
    checks.start_check()
    wait_until_ended()
    ledger.outcome = error
    checks.start_check()
    wait_until_ended()
    assert checks.get_last_failure() == sentence
    assert checks.get_last_ledger() is CLOSED
    ledger.outcome = CLOSED
    checks.start_check()
    wait_until_ended()
    assert checks.get_last_failure() is None
