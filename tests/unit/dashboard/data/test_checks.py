"""The full check: one at a time for all visitors, its last result kept."""

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
    """A check that lasts until it is told to end, with a result or an error."""

    def __init__(self) -> None:
        self.begun = 0
        self.end = Event()
        self.outcome: Ledger | Exception = CLOSED

    def check(self, _: StoreSettings) -> Ledger:
        self.begun += 1
        assert self.end.wait(30)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def slow(monkeypatch) -> Iterator[SlowLedger]:
    st.cache_resource.clear()
    slow = SlowLedger()
    monkeypatch.setattr(ledger_check, "check_ledger", slow.check)
    yield slow
    slow.end.set()
    ended()
    st.cache_resource.clear()


def ended() -> None:
    eventually(lambda: not checks.is_running(), 30, "the check did not end")


def test_a_check_runs_beside_the_page_and_its_result_is_kept(slow):
    assert (checks.get_last_ledger(), checks.is_running(), checks.get_started_at()) == (None, False, None)
    checks.start_check()
    assert checks.is_running()
    assert checks.get_started_at() is not None
    assert checks.get_last_ledger() is None
    slow.end.set()
    ended()
    assert checks.get_last_ledger() is CLOSED


def test_a_second_visitor_does_not_start_a_second_check(slow):
    checks.start_check()
    eventually(lambda: slow.begun == 1, 30, "the check did not begin")
    checks.start_check()
    slow.end.set()
    ended()
    assert slow.begun == 1
    checks.start_check()
    ended()
    assert slow.begun == 2


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("Kafka is away; start it."), "Kafka is away; start it."),
        (RuntimeError("secret"), "The check ended without a result; the dashboard's log says why."),
    ],
)
def test_a_check_without_a_result_says_why_and_leaves_the_result_before_it(slow, error, sentence):
    slow.end.set()
    checks.start_check()
    ended()
    slow.outcome = error
    checks.start_check()
    ended()
    assert checks.get_last_failure() == sentence
    assert checks.get_last_ledger() is CLOSED
    slow.outcome = CLOSED
    checks.start_check()
    ended()
    assert checks.get_last_failure() is None
