"""Waiting for a store that is not ready, but not after an error that waiting does not fix."""

import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from insights.clients.retry import retry_until_ready
from insights.errors import NotReadyError, RefusedError, UserError
from insights.migrations.wait import require_cassandra, require_kafka, require_postgres, retry_login_refusal
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, to_environment
from jobs import migrate
from tests.helpers.support import REPOSITORY, free_port


class Store:
    """Fails with each of these errors once, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("insights.clients.retry._PAUSE_SECONDS", 0.001)
    caplog.set_level(logging.INFO, logger="insights")


def test_a_store_that_is_not_ready_is_retried_and_each_cause_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    absent, starting = NotReadyError("no answer"), NotReadyError("it starts")
    assert retry_until_ready("Store", Store(absent, absent, starting), time.monotonic() + 60) == "done"
    assert caplog.messages == ["waiting for Store: no answer", "waiting for Store: it starts", "Store is ready"]


def test_a_login_that_an_operator_is_still_creating_is_waited_for() -> None:
    store = Store(RefusedError("no such role"), RefusedError("no such role"))
    assert retry_until_ready("Store", partial(retry_login_refusal, store), time.monotonic() + 60) == "done"
    assert store.calls == 3


def test_a_store_that_is_ready_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert retry_until_ready("Store", Store(), time.monotonic()) == "done"
    assert caplog.messages == []


@pytest.mark.parametrize("error", [RefusedError("not you"), UserError("an invalid file")])
def test_an_error_that_waiting_does_not_fix_is_raised_at_once(error: UserError) -> None:
    store = Store(error)
    with pytest.raises(type(error), match=str(error)):
        retry_until_ready("Store", store, time.monotonic() + 60)
    assert store.calls == 1


def test_after_the_deadline_the_last_cause_is_raised() -> None:
    store = Store(*[NotReadyError("no answer")] * 100_000)
    with pytest.raises(NotReadyError, match="no answer"):
        retry_until_ready("Store", store, time.monotonic() + 0.05)
    assert store.calls > 1


def test_a_server_that_does_not_answer_is_not_ready() -> None:
    port = free_port()
    with pytest.raises(NotReadyError, match=rf"PostgreSQL at 127\.0\.0\.1:{port} "):
        require_postgres(PostgresSettings(port=port))
    with pytest.raises(NotReadyError, match=rf"No Cassandra node of 127\.0\.0\.1 port {port} "):
        require_cassandra(CassandraSettings(port=port))
    with pytest.raises(NotReadyError, match=r"None of Cassandra's host names nowhere\.invalid resolves"):
        require_cassandra(CassandraSettings(hosts="nowhere.invalid"))
    with pytest.raises(NotReadyError, match=rf"Kafka at 127\.0\.0\.1:{port} does not answer"):
        require_kafka(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), timeout_seconds=0.5)


def test_topics_are_waited_for_and_created_but_not_migrated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["migrate.py", "--store", "kafka"])
    with pytest.raises(SystemExit):
        migrate.main()
    assert "--store kafka needs --wait" in capsys.readouterr().err


def test_the_waiting_job_ends_on_the_signal_that_stops_a_pod() -> None:
    environment = os.environ | to_environment(PostgresSettings(port=free_port())) | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "jobs/migrate.py", "--wait", "60", "--store", "postgres"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "waiting for PostgreSQL" in process.stderr.readline()
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
