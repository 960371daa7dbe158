"""The connections to the stores while a server is down."""

import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from insights.clients import connections
from insights.errors import NotReadyError, UserError
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks import stores as module
from insights.sinks.stores import StoreConnections, StoreConnectionSettings


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> StoreConnections:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return StoreConnections(StoreConnectionSettings(StreamSettings(), PostgresSettings(), CassandraSettings()))


def script_connections(monkeypatch: pytest.MonkeyPatch, *answers: Connection | Exception) -> None:
    remaining = iter(answers)

    def connect(*_: Any) -> Connection:
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(connections, "connect_postgres", connect)


def fail_on(connection: Connection) -> Callable[[Any], str]:
    def work(used: Any) -> str:
        if used is connection:
            raise psycopg2.OperationalError("server closed the connection")
        return "done"

    return work


def test_a_merge_survives_a_server_that_restarts(stores: StoreConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, restored = Connection(), Connection()
    script_connections(monkeypatch, lost, NotReadyError("starting up"), NotReadyError("starting up"), restored)
    assert stores.with_postgres(fail_on(lost)) == "done"
    assert (lost.closed, restored.closed) == (True, False)


def test_a_server_that_stays_down_fails_the_batch_with_its_error(
    stores: StoreConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OUTAGE_SECONDS", 0.0)
    script_connections(monkeypatch, *[NotReadyError("PostgreSQL is away")] * 10)
    with pytest.raises(NotReadyError, match="PostgreSQL is away"):
        stores.with_postgres(lambda _: None)


def test_an_error_that_a_user_must_act_on_is_raised_at_once(
    stores: StoreConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: Any) -> None:
        raise UserError("PostgreSQL has lost micro-batch 3")

    script_connections(monkeypatch, Connection())
    with pytest.raises(UserError, match="has lost micro-batch 3"):
        stores.with_postgres(work)


def test_an_error_about_the_rows_is_raised_at_once_although_psycopg2_calls_it_operational(
    stores: StoreConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection()
    script_connections(monkeypatch, connection)
    error = psycopg2.errors.lookup("54000")("index row size 3040 exceeds btree version 4 maximum 2704")
    assert isinstance(error, psycopg2.OperationalError)
    error.__setstate__({"pgcode": "54000"})
    attempts = []

    def work(_: Any) -> None:
        attempts.append(1)
        raise error

    with pytest.raises(psycopg2.OperationalError):
        stores.with_postgres(work)
    assert (len(attempts), connection.closed) == (1, False)
