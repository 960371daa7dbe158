"""What a batch's steps do while a server is away."""

import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from insights.clients import connections
from insights.errors import UserError
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings
from insights.sinks.micro_batch import POSTGRES_ATTEMPTS, MicroBatchSink, TransformOutputs


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> MicroBatchSink:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    verdicts = TransformOutputs(lambda frame: frame, lambda frame: frame)
    return MicroBatchSink(
        verdicts, StreamSettings(), PostgresSettings(), CassandraSettings(), KafkaSettings(), lambda _: None
    )


def connecting(monkeypatch: pytest.MonkeyPatch, *answers: Connection | Exception) -> None:
    left = iter(answers)

    def connect(*_: Any) -> Connection:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(connections, "connect_postgres", connect)


def lost(connection: Connection) -> Callable[[Any], str]:
    def work(given: Any) -> str:
        if given is connection:
            raise psycopg2.OperationalError("server closed the connection")
        return "done"

    return work


def test_a_merge_outlives_a_server_that_goes_and_lets_nobody_in_for_a_while(
    server: MicroBatchSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, back = Connection(), Connection()
    connecting(monkeypatch, gone, UserError("starting up"), UserError("starting up"), back)
    assert server._in_postgres(lost(gone)) == "done"
    assert (gone.closed, back.closed) == (True, False)


def test_a_server_that_stays_away_ends_the_batch_with_its_sentence(
    server: MicroBatchSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting(monkeypatch, *[UserError("PostgreSQL is away")] * POSTGRES_ATTEMPTS)
    with pytest.raises(UserError, match="PostgreSQL is away"):
        server._in_postgres(lambda _: None)
