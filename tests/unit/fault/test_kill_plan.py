"""The plan of kills repeats with its seed and reaches every process; the reader beside it sees rows go back."""

import threading
from collections import Counter

import psycopg2
import pytest
from cassandra import InvalidRequest

from tests.fault.checker import Anomaly
from tests.fault.concurrent_reader import ConcurrentReader, VersionWatch
from tests.fault.kill_plan import KINDS, MAX_GAP_SECONDS, PAUSE_SECONDS, plan_kills
from tests.fault.kill_run import Recovery, summarise
from tests.fault.read_stores import StoreAddresses


def test_a_seed_determines_the_plan() -> None:
    assert plan_kills(7, 50) == plan_kills(7, 50)
    assert plan_kills(7, 50) != plan_kills(8, 50)
    assert plan_kills(7, 50)[:12] == plan_kills(7, 12)


def test_every_kind_has_its_turn_before_any_has_its_next() -> None:
    plan = plan_kills(1, 10 * len(KINDS))
    assert Counter(kill.kind for kill in plan) == dict.fromkeys(KINDS, 10)
    assert {kill.kind for kill in plan[: len(KINDS)]} == set(KINDS)


def test_gaps_and_pauses_are_within_their_bounds() -> None:
    plan = plan_kills(3, 400)
    assert all(0 <= kill.gap <= MAX_GAP_SECONDS for kill in plan)
    assert {bool(kill.pause) for kill in plan} == {True, False}
    assert all(PAUSE_SECONDS[0] <= kill.pause <= PAUSE_SECONDS[1] for kill in plan if kill.pause)


def test_a_row_that_goes_back_or_disappears_is_seen() -> None:
    watch = VersionWatch("postgres")
    assert watch.note({"a": 1, "b": 1}) == []
    assert watch.note({"a": 2, "b": 1, "c": 5}) == []
    assert watch.note({"a": 1, "c": 5}) == [
        Anomaly("lost-write", "postgres", "b", "was read before"),
        Anomaly("nonmonotonic", "postgres", "a", "2, then 1"),
    ]
    assert watch.reads == 3


@pytest.mark.parametrize("refusal", [psycopg2.errors.UndefinedColumn(), InvalidRequest()])
def test_a_query_that_a_store_refuses_is_no_outage(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    asked = threading.Event()

    def refuse(_: ConcurrentReader) -> None:
        asked.set()
        raise refusal

    def stay(reader: ConcurrentReader) -> None:
        reader._stop.wait()

    monkeypatch.setattr(ConcurrentReader, "_read_postgres", refuse)
    monkeypatch.setattr(ConcurrentReader, "_read_cassandra", stay)
    with pytest.raises(type(refusal)), ConcurrentReader(StoreAddresses({}, {}, "127.0.0.1", 9042)):
        assert asked.wait(10)


def test_recoveries_are_summarised_by_kind_and_signal() -> None:
    recoveries = [Recovery("kafka", "SIGKILL", 1, seconds) for seconds in (10.0, 30.0, 12.0)]
    recoveries.append(Recovery("dashboard", "SIGSTOP", 2, None))
    _, *lines = summarise(recoveries)
    assert [line.split() for line in lines] == [
        ["dashboard", "SIGSTOP", "1", "inf", "inf"],
        ["kafka", "SIGKILL", "3", "12.0", "30.0"],
    ]
