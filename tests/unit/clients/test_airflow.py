"""The client of Airflow's API against a fake that answers as Airflow does, or as another server would."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from insights.clients import airflow as airflow_api
from insights.clients.airflow import DagRun, list_last_runs, trigger_run
from insights.errors import UserError
from insights.settings import AirflowSettings, load
from tests.helpers.airflow_server import DAG, RUN, Answer, FakeAirflow, serve_airflow
from tests.helpers.support import free_port


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    airflow_api._tokens.clear()
    with serve_airflow() as fake:
        yield fake


def settings(airflow: FakeAirflow, **changes: Any) -> AirflowSettings:
    return AirflowSettings(**{"url": airflow.address, "password": SecretStr("secret"), **changes})


def test_runs_are_listed_in_airflows_order(airflow: FakeAirflow) -> None:
    scheduled = RUN | {
        "dag_run_id": "scheduled__0",
        "state": "success",
        "run_type": "scheduled",
        "start_date": None,
        "end_date": "2026-11-21T17:00:00Z",
        "conf": None,
    }
    airflow.runs.append(scheduled)
    assert list_last_runs(settings(airflow), DAG, 5) == [
        DagRun(
            "manual__1",
            "running",
            "manual",
            datetime(2026, 11, 21, 18, 0, 0, 123000, UTC),
            None,
            {"reason": "BAD_EMAIL"},
        ),
        DagRun("scheduled__0", "success", "scheduled", None, datetime(2026, 11, 21, 17, tzinfo=UTC), {}),
    ]
    assert airflow.requested[-1] == f"/api/v2/dags/{DAG}/dagRuns?limit=5&order_by=-run_after"


def test_a_run_is_started_now_with_its_configuration_and_its_id_is_returned(airflow: FakeAirflow) -> None:
    configured = settings(airflow, url=airflow.address + "/base/")
    assert trigger_run(configured, DAG, {"reason": "BAD_EMAIL"}, "by Ann") == "manual__2"
    assert airflow.triggered == [{"logical_date": None, "conf": {"reason": "BAD_EMAIL"}, "note": "by Ann"}]


def test_a_token_is_reused_until_it_is_rejected(airflow: FakeAirflow) -> None:
    configured = settings(airflow)
    for _ in range(3):
        list_last_runs(configured, DAG, 1)
    assert airflow.logins == 1
    airflow.valid_token = "another"
    assert list_last_runs(configured, DAG, 1)
    assert airflow.logins == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_run_is_started_once_after_a_new_login_if_the_token_was_old(airflow: FakeAirflow, status: int) -> None:
    """Airflow answers 401 to a token that has expired, 403 to one that was signed with another key."""
    configured = settings(airflow)
    list_last_runs(configured, DAG, 1)
    airflow.valid_token, airflow.rejection_status = "another", status
    assert trigger_run(configured, DAG, {}) == "manual__2"
    assert len(airflow.triggered) == 1
    assert airflow.logins == 2


def test_a_login_of_netrc_is_never_sent(airflow: FakeAirflow, monkeypatch, tmp_path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    list_last_runs(settings(airflow), DAG, 1)
    assert airflow.authorizations == ["Bearer token 1"]


def test_a_refused_login_is_reported_with_its_variables_and_without_the_password(airflow: FakeAirflow) -> None:
    with pytest.raises(UserError) as raised:
        list_last_runs(settings(airflow, password=SecretStr("hunter2")), DAG, 1)
    assert str(raised.value) == (
        f"Airflow at {airflow.address} refused the login of 'dashboard': check INSIGHTS_AIRFLOW_USERNAME and"
        " INSIGHTS_AIRFLOW_PASSWORD."
    )
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_login_without_the_permission_is_reported(airflow: FakeAirflow) -> None:
    airflow.allowed = False
    with pytest.raises(
        UserError, match="does not allow 'dashboard' to start runs of redrive_quarantine: grant it a role"
    ):
        trigger_run(settings(airflow), DAG, {})
    assert airflow.logins == 1


def test_a_dag_that_does_not_exist_is_reported(airflow: FakeAirflow) -> None:
    with pytest.raises(
        UserError, match=f"Airflow at {airflow.address} has no DAG a%/b: wait until Airflow has parsed it"
    ):
        list_last_runs(settings(airflow), "a%/b", 1)
    assert airflow.requested[-1].startswith("/api/v2/dags/a%25%2Fb/dagRuns")


@pytest.mark.parametrize("endpoint", ["/auth/token", f"/api/v2/dags/{DAG}/dagRuns"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, "<html>Welcome</html>"), "does not answer as the API of Airflow 3"),
        ((200, "[]"), "does not answer as the API of Airflow 3"),
        ((200, '{"dag_runs": [{"state": 1}]}'), "does not answer as the API of Airflow 3"),
        ((302, ""), "does not answer as the API of Airflow 3"),
        ((404, "<html>nothing here</html>"), "does not answer as the API of Airflow 3"),
        ((503, "<html>Bad Gateway</html>"), "it answered 503"),
        ((500, '{"detail": "Unknown   error\\n at x"}'), "it answered 500, Unknown error at x"),
    ],
)
def test_an_unusable_answer_is_reported_in_one_sentence(
    airflow: FakeAirflow, endpoint: str, answer: Answer, message: str
) -> None:
    airflow.overrides[endpoint] = lambda: answer
    for call in (lambda: list_last_runs(settings(airflow), DAG, 1), lambda: trigger_run(settings(airflow), DAG, {})):
        with pytest.raises(UserError, match=message) as raised:
            call()
        assert airflow.address in str(raised.value)
        assert "\n" not in str(raised.value)
    assert "/elsewhere" not in airflow.requested


def test_the_detail_of_a_rejected_start_is_shortened(airflow: FakeAirflow) -> None:
    airflow.overrides[f"/api/v2/dags/{DAG}/dagRuns"] = lambda: (
        400,
        json.dumps({"detail": "no such param " + "x" * 900}),
    )
    with pytest.raises(
        UserError, match="did not start runs of redrive_quarantine: it answered 400, no such param xx"
    ) as raised:
        trigger_run(settings(airflow), DAG, {})
    assert len(str(raised.value)) < 400


def test_a_timeout_is_reported_and_that_the_run_may_have_been_started(airflow: FakeAirflow) -> None:
    list_last_runs(settings(airflow, timeout_seconds=0.2), DAG, 1)
    gate = threading.Event()
    airflow.overrides[f"/api/v2/dags/{DAG}/dagRuns"] = lambda: (gate.wait(20), (200, "{}"))[1]
    try:
        with pytest.raises(
            UserError, match=r"did not answer the request to list runs of redrive_quarantine within 0\.2 s: check"
        ):
            list_last_runs(settings(airflow, timeout_seconds=0.2), DAG, 1)
        with pytest.raises(
            UserError, match=r"to start runs of redrive_quarantine within 0\.2 s; the run may have been started never"
        ):
            trigger_run(settings(airflow, timeout_seconds=0.2), DAG, {})
    finally:
        gate.set()


def test_an_airflow_that_does_not_answer_is_named_by_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        UserError, match=f"Airflow at {url} does not answer .ConnectionError.: check that its API server"
    ):
        trigger_run(AirflowSettings(url=url), DAG, {})


def test_an_airflow_that_is_not_configured_gets_no_request() -> None:
    with pytest.raises(UserError, match="The address of Airflow is not set: set INSIGHTS_AIRFLOW_URL"):
        list_last_runs(AirflowSettings(), DAG, 1)


def test_an_address_without_a_scheme_is_rejected_by_its_variable(monkeypatch) -> None:
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "localhost:8080")
    with pytest.raises(UserError, match="INSIGHTS_AIRFLOW_URL is 'localhost:8080'"):
        load(AirflowSettings)
