import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message

import pytest

from insights.errors import UserError
from insights.local import airflow
from insights.local.airflow import read_run_state, trigger_once

URL = "http://airflow"


class Api:
    """Answers Airflow's REST requests from what a test put in; `triggered` has the bodies of new runs."""

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


def run(seconds=30.0, wanted=lambda: True, again=False):
    return trigger_once(URL, "secret", "ingest_users", seconds, wanted, again=again)


def test_a_dag_that_never_ran_is_triggered_once_it_is_parsed(api):
    api.missing = 1
    assert run() == "triggered"
    assert api.triggered == [{"logical_date": None}]


def test_a_dag_that_ran_before_is_left_alone(api):
    api.runs = ["success"]
    assert run() == "ran before"
    assert api.triggered == []


def test_a_dag_that_ran_before_runs_again_on_demand_unless_it_still_runs(api):
    api.runs = ["running"]
    assert run(again=True) == "ran before"
    assert api.triggered == []
    api.runs = ["failed"]
    assert run(again=True) == "triggered"
    assert len(api.triggered) == 1


def test_a_dag_whose_scheduled_run_is_due_is_left_to_the_scheduler(api):
    api.dag["next_dagrun_run_after"] = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    assert run() == "scheduled now"
    api.dag["is_paused"] = True
    assert run() == "triggered"
    api.dag |= {"is_paused": False, "next_dagrun_run_after": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}
    assert run() == "triggered"


def test_a_dag_that_cannot_be_imported_is_told_by_its_error(api):
    api.missing = 9
    api.errors = [
        {"filename": "ingest_users.py", "stack_trace": "Traceback\n  ...\nModuleNotFoundError: No module x\n"}
    ]
    with pytest.raises(UserError, match="ingest_users cannot be imported: ModuleNotFoundError: No module x"):
        run()


def test_a_dag_that_does_not_appear_is_told_after_the_time(api):
    api.missing = 9
    with pytest.raises(UserError, match="ingest_users did not appear in Airflow in 0 s"):
        run(0.0)


def test_the_latest_runs_state_is_queued_while_there_is_none(api):
    assert read_run_state(URL, "secret", "ingest_users") == "queued"
    api.runs = ["success"]
    assert read_run_state(URL, "secret", "ingest_users") == "success"


def test_waiting_for_a_dag_ends_when_the_platform_stops(api):
    api.missing = 9
    assert run(wanted=lambda: False) == "not wanted any more"


def test_an_airflow_that_does_not_answer_is_told_in_a_sentence(monkeypatch):
    def late(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(airflow, "request_json", late)
    with pytest.raises(UserError, match=r"http://airflow did not start the DAG ingest_users \(timed out\)"):
        run()
