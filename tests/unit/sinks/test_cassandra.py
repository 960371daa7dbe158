"""The writer with a driver that answers late, fails, or reports a request twice."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from cassandra import InvalidRequest, OperationTimedOut
from cassandra.cluster import NoHostAvailable

from insights.sinks import cassandra as module
from insights.sinks.cassandra import CassandraWriter, map_replica_sets

ROWS = pa.table({"value": pa.array([f"{n:04d}" for n in range(100)]), "version": pa.array(range(100), pa.int64())})


class Session:
    """A driver session that answers a request with `answer(number)`: None for success, or an error."""

    keyspace = "k"

    def __init__(self, answer: Callable[[int], Exception | None], delayed: bool = False) -> None:
        self.cluster = SimpleNamespace(
            profile_manager=SimpleNamespace(default=SimpleNamespace()), metadata=SimpleNamespace(token_map=None)
        )
        self.bodies: list[bytes] = []
        self.in_flight = self.most_in_flight = 0
        self._answer, self._delayed, self._lock = answer, delayed, threading.Lock()

    def prepare(self, _: str) -> Any:
        kinds = [SimpleNamespace(type=SimpleNamespace(typename=name)) for name in ("varchar", "bigint")]
        return SimpleNamespace(column_metadata=kinds, query_id=b"id", routing_key_indexes=[0])

    def execute_async(self, batch: Any) -> Any:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(bytes(batch._statements_and_parameters.body))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return SimpleNamespace(add_callbacks=lambda succeed, fail: self._reply(number, succeed, fail))

    def _reply(self, number: int, succeed: Callable[[Any], None], fail: Callable[[Exception], None]) -> None:
        def reply() -> None:
            with self._lock:
                self.in_flight -= 1
            error = self._answer(number)
            if error is None:
                succeed(None)
            else:
                fail(error)
                fail(error)

        if self._delayed:
            threading.Timer(0.002, reply).start()
        else:
            reply()


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0)


def write(session: Session) -> int:
    return CassandraWriter(session, in_flight=3, batch_rows=10).upsert("t", ["value"], ROWS, "version")


def test_every_row_is_sent_once_in_batches_with_a_bounded_number_in_flight() -> None:
    session = Session(lambda _: None, delayed=True)
    assert write(session) == 100
    sent = b"".join(session.bodies)
    assert [sent.count(f"{n:04d}".encode()) for n in range(100)] == [1] * 100
    assert len(session.bodies) == 10
    assert session.most_in_flight <= 3


def test_rows_of_one_partition_go_together() -> None:
    session = Session(lambda _: None)
    mixed = pa.table({"value": ["left", "right"] * 20, "version": pa.array(range(40), pa.int64())})
    assert CassandraWriter(session, in_flight=3, batch_rows=10).upsert("t", ["value"], mixed, "version") == 40
    assert [(body.count(b"left"), body.count(b"right")) for body in session.bodies] == [(10, 0)] * 2 + [(0, 10)] * 2


def test_only_what_timed_out_is_sent_again() -> None:
    session = Session(lambda number: OperationTimedOut() if number in (2, 5) else None, delayed=True)
    assert write(session) == 100
    assert sorted(session.bodies[10:]) == sorted([session.bodies[2], session.bodies[5]])


@pytest.mark.parametrize("error", [OperationTimedOut(), NoHostAvailable("away", {})])
def test_an_error_that_remains_is_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(module, "MAX_BACKOFF_SECONDS", 8.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append))
    session = Session(lambda number: error if number == 2 or number >= 10 else None)
    with pytest.raises(type(error)):
        write(session)
    assert len(session.bodies) == 10 + len(pauses) - 1
    assert pauses[:5] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert module.OUTAGE_SECONDS <= sum(pauses) < module.OUTAGE_SECONDS + 8.0


@pytest.mark.parametrize("error", [OperationTimedOut(), NoHostAvailable("away", {})])
def test_a_node_that_comes_back_within_the_outage_that_is_waited_for_gets_every_row(error: Exception) -> None:
    session = Session(lambda number: error if 2 <= number < 60 else None)
    assert write(session) == 100
    sent = b"".join(body for number, body in enumerate(session.bodies) if not 2 <= number < 60)
    assert [sent.count(f"{n:04d}".encode()) for n in range(100)] == [1] * 100


def test_a_statement_is_prepared_again_after_an_outage_but_not_after_a_rejection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(lambda _: None)
    prepare, errors = session.prepare, [NoHostAvailable("away", {}), OperationTimedOut()]

    def fail_first(cql: str) -> Any:
        if errors:
            raise errors.pop()
        return prepare(cql)

    monkeypatch.setattr(session, "prepare", fail_first)
    assert write(session) == 100
    errors[:] = [InvalidRequest("no such table")]
    with pytest.raises(InvalidRequest):
        write(session)


def test_an_invalid_statement_is_raised_at_once() -> None:
    session = Session(lambda _: InvalidRequest("no such table"))
    with pytest.raises(InvalidRequest):
        write(session)
    assert len(session.bodies) == 1


def test_ranges_with_the_same_replicas_have_the_same_number() -> None:
    nodes = {1: "ab", 2: "ba", 3: "bc"}
    ring = [SimpleNamespace(value=value) for value in nodes]
    token_map = SimpleNamespace(
        ring=ring, get_replicas=lambda _, token: [SimpleNamespace(endpoint=name) for name in nodes[token.value]]
    )
    tokens, replicas = map_replica_sets(SimpleNamespace(token_map=token_map), "k")
    assert tokens.tolist() == [1, 2, 3]
    assert replicas.tolist() == [0, 0, 1]
