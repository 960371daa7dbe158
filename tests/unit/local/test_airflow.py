import os
import signal
import sys
import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message

import pytest

from insights.errors import NotReadyError, UserError
from insights.local import airflow
from insights.local.airflow import AirflowScheduler, migrate_airflow, read_run_state, trigger_once
from insights.local.postgres import PostgresServer
from insights.local.secrets import Secrets
from tests.helpers.support import eventually

URL = "http://airflow"


class Api:
    """Answers Airflow's REST requests from its attributes; `triggered` collects the bodies of new runs."""

    def __init__(self):
        self.dag = {"is_paused": False, "next_dagrun_run_after": None}
        self.missing, self.runs, self.errors, self.triggered = 0, [], [], []

    def __call__(self, url, body=None, token=None):
        path = url.removeprefix(URL)
        if path == "/auth/token":
            return {"access_token": "ticket"} if body == {"username": "admin", "password": "secret"} else {}
        assert token == "ticket"
        if path == "/api/v2/importErrors":
            return {"import_errors": self.errors}
        if path == "/api/v2/dags/ingest_users":
            if self.missing:
                self.missing -= 1
                raise urllib.error.HTTPError(url, 404, "no such DAG", Message(), None)
            return self.dag
        if body is None:
            return {"dag_runs": [{"state": state} for state in self.runs]}
        self.triggered.append(body)
        return {}


@pytest.fixture
def api(monkeypatch):
    fake = Api()
    monkeypatch.setattr(airflow, "request_json", fake)
    return fake


def trigger(seconds=30.0, is_wanted=lambda: True, again=False):
    return trigger_once(URL, "secret", "ingest_users", seconds, is_wanted, again=again)


def test_a_dag_that_never_ran_is_triggered_once_it_is_parsed(api):
    api.missing = 1
    assert trigger() == "triggered"
    assert api.triggered == [{"logical_date": None}]


def test_a_dag_that_ran_before_is_left_alone(api):
    api.runs = ["success"]
    assert trigger() == "ran before"
    assert api.triggered == []


def test_a_dag_that_ran_before_runs_again_on_demand_unless_it_still_runs(api):
    api.runs = ["running"]
    assert trigger(again=True) == "ran before"
    assert api.triggered == []
    api.runs = ["failed"]
    assert trigger(again=True) == "triggered"
    assert len(api.triggered) == 1


def test_a_dag_whose_scheduled_run_is_due_is_left_to_the_scheduler(api):
    api.dag["next_dagrun_run_after"] = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    assert trigger() == "scheduled now"
    api.dag["is_paused"] = True
    assert trigger() == "triggered"
    api.dag |= {"is_paused": False, "next_dagrun_run_after": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}
    assert trigger() == "triggered"


def test_a_dag_that_cannot_be_imported_is_reported_with_its_error(api):
    api.missing = 9
    api.errors = [
        {"filename": "ingest_users.py", "stack_trace": "Traceback\n  ...\nModuleNotFoundError: No module x\n"}
    ]
    with pytest.raises(UserError, match="ingest_users cannot be imported: ModuleNotFoundError: No module x"):
        trigger()


def test_a_dag_that_does_not_appear_in_time_is_reported(api):
    api.missing = 9
    with pytest.raises(UserError, match="ingest_users did not appear in Airflow within 0 s"):
        trigger(0.0)


def test_the_latest_runs_state_is_queued_while_there_is_none(api):
    assert read_run_state(URL, "secret", "ingest_users") == "queued"
    api.runs = ["success"]
    assert read_run_state(URL, "secret", "ingest_users") == "success"


def test_waiting_for_a_dag_ends_when_the_platform_stops(api):
    api.missing = 9
    assert trigger(is_wanted=lambda: False) == "cancelled"


def test_an_airflow_that_does_not_answer_is_reported_in_one_sentence(monkeypatch):
    def time_out(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(airflow, "request_json", time_out)
    with pytest.raises(UserError, match=r"http://airflow did not start the DAG ingest_users \(timed out\)"):
        trigger()


@pytest.mark.parametrize(
    "error", [TimeoutError("timed out"), urllib.error.HTTPError(URL, 503, "not yet", Message(), None)]
)
def test_an_airflow_that_does_not_answer_may_be_asked_again(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(airflow, "request_json", fail)
    with pytest.raises(NotReadyError, match="Airflow at http://airflow did not start the DAG ingest_users"):
        trigger()


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("print('sqlalchemy.exc.OperationalError: refused', 'gone', sep=chr(10)); exit(1)", NotReadyError, "gone"),
        ("exit('no such revision')", UserError, "no such revision"),
        ("exit(3)", UserError, "exit code 3"),
    ],
)
def test_a_migration_is_repeated_after_an_outage_only(tmp_path, monkeypatch, code, kind, reason):
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(PostgresServer, "create_database", lambda *_: None)
    secrets = Secrets.load_or_create(tmp_path / "secrets.json")
    with pytest.raises(UserError, match=f"could not be migrated: {reason}") as raised:
        migrate_airflow(tmp_path / "airflow", PostgresServer(tmp_path), secrets, {})
    assert raised.type is kind
    assert not (tmp_path / "airflow" / "migrated").exists()


FORK_WORKERS = """
import os, subprocess, sys, time
subprocess.run([sys.executable, "-c", "pass"])
def fork():
    child = os.fork()
    if not child:
        time.sleep(60)
    return child
first, second = fork(), fork()
open("forked", "w").write(str(first))
while os.path.exists("forked"):
    time.sleep(0.01)
os.waitpid(first, 0)
fork()
open("forked_again", "w").close()
time.sleep(60)
"""


class ForkingScheduler(AirflowScheduler):
    def command(self):
        return [sys.executable, "-c", FORK_WORKERS, "airflow"]


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler with two workers, which forks a third when the file `forked` is removed and the first has ended."""
    scheduler = ForkingScheduler(tmp_path, "scheduler", 1, {})
    scheduler.start()
    eventually(lambda: (tmp_path / "forked").exists() and (tmp_path / "forked").read_text(), 10)
    yield scheduler
    scheduler.stop()


def answer_heartbeat(monkeypatch, status):
    sent = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = {"scheduler": {"status": status, "latest_scheduler_heartbeat": sent}}
    monkeypatch.setattr(airflow, "request_json", lambda _: answer)


def test_a_scheduler_without_one_of_its_workers_has_a_fault(scheduler, tmp_path, monkeypatch):
    answer_heartbeat(monkeypatch, "healthy")
    scheduler.wait_ready(10)
    assert scheduler.find_fault() == ""
    os.kill(int((tmp_path / "forked").read_text()), signal.SIGKILL)
    assert eventually(scheduler.find_fault, 10) == "1 of its 2 workers died"


def test_a_worker_that_was_replaced_before_the_scheduler_was_ready_is_a_fault(scheduler, tmp_path, monkeypatch):
    answer_heartbeat(monkeypatch, "unhealthy")
    assert not scheduler.ready()
    os.kill(int((tmp_path / "forked").read_text()), signal.SIGKILL)
    (tmp_path / "forked").unlink()
    eventually((tmp_path / "forked_again").exists, 10)
    answer_heartbeat(monkeypatch, "healthy")
    scheduler.wait_ready(10)
    assert scheduler.find_fault() == "1 of its 2 workers died"


def test_a_scheduler_without_workers_has_a_fault(tmp_path, monkeypatch):
    answer_heartbeat(monkeypatch, "healthy")
    scheduler = AirflowScheduler(tmp_path, "scheduler", 1, {})
    scheduler.prepare()
    assert scheduler.ready()
    assert scheduler.find_fault() == "2 of its 2 workers died"
