"""The dashboard's user in a real Airflow with the chart's user management: it may start re-drives and no other run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from insights.clients import airflow as airflow_api
from insights.clients.airflow import list_last_runs, trigger_run
from insights.errors import UserError
from insights.local.http import is_answering
from insights.settings import AirflowSettings
from tests.helpers import airflow_home
from tests.helpers.support import REPOSITORY, eventually, free_port

DASHBOARD_USER = REPOSITORY / "charts/user-insights/files/airflow/dashboard_user.py"
REDRIVE = "redrive_quarantine"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow with a database of its own, the DAGs, and the dashboard's user, whose password was set twice."""
    environment = airflow_home.make_environment(
        tmp_path_factory.mktemp("airflow"),
        AIRFLOW__CORE__AUTH_MANAGER="airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        AIRFLOW__API__SECRET_KEY="api",
        AIRFLOW__API_AUTH__JWT_SECRET="a secret of at least sixty-four characters, as HS512 requires of a key",
        NO_PROXY="127.0.0.1",
    )
    for command in (("db", "migrate"), ("dags", "reserialize")):
        airflow_home.run_python(environment, "-m", "airflow", *command)
    airflow_home.run_python(environment | {"AIRFLOW_DASHBOARD_PASSWORD": "former"}, str(DASHBOARD_USER), "dashboard")
    airflow_home.run_python(environment | {"AIRFLOW_DASHBOARD_PASSWORD": "secret"}, str(DASHBOARD_USER), "dashboard")
    return environment


@pytest.fixture(scope="module")
def airflow(environment: dict[str, str]) -> Iterator[AirflowSettings]:
    """The dashboard's settings for the running API server."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", Path(environment["AIRFLOW_HOME"]) / "api-server.log"
    command = [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen([*command, "--workers", "1"], env=environment, stdout=output, stderr=output)

    def is_serving() -> bool:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            return is_answering(f"{url}/api/v2/version")
        except OSError:
            return False

    try:
        eventually(is_serving, 180, f"Airflow does not answer, see {log}", pause=0.5)
        yield AirflowSettings(url=url, username="dashboard", password=SecretStr("secret"), timeout_seconds=60)
    finally:
        server.terminate()
        server.wait(30)


def test_the_dashboards_user_starts_a_redrive_and_lists_it(airflow: AirflowSettings) -> None:
    started = trigger_run(airflow, REDRIVE, {"reason": "BAD_EMAIL"})
    [run] = list_last_runs(airflow, REDRIVE, 5)
    assert (run.run_id, run.state, run.run_type, run.conf["reason"]) == (
        started,
        "queued",
        "manual",
        "BAD_EMAIL",
    )
    assert (run.started_at, run.ended_at) == (None, None)


def test_an_unknown_reason_is_rejected_with_airflows_own_message(airflow: AirflowSettings) -> None:
    with pytest.raises(UserError, match=r"did not start runs of redrive_quarantine: it answered 400, .*NO_REASON"):
        trigger_run(airflow, REDRIVE, {"reason": "NO_REASON"})


def test_the_dashboards_user_lists_the_runs_of_the_ingest_and_cannot_start_one(airflow: AirflowSettings) -> None:
    assert list_last_runs(airflow, "ingest_users", 5) == []
    with pytest.raises(UserError, match="does not allow 'dashboard' to start runs of ingest_users"):
        trigger_run(airflow, "ingest_users", {})
    assert list_last_runs(airflow, "ingest_users", 5) == []


def test_a_dag_that_does_not_exist_is_reported(airflow: AirflowSettings) -> None:
    with pytest.raises(UserError, match="has no DAG none"):
        list_last_runs(airflow, "none", 5)


def test_the_password_that_was_set_last_is_valid(airflow: AirflowSettings) -> None:
    former = airflow.model_copy(update={"password": SecretStr("former")})
    with pytest.raises(UserError, match="refused the login of 'dashboard': check INSIGHTS_AIRFLOW_USERNAME"):
        list_last_runs(former, REDRIVE, 1)


def test_a_token_that_airflow_cannot_read_is_replaced(airflow: AirflowSettings) -> None:
    list_last_runs(airflow, REDRIVE, 1)
    airflow_api._tokens[airflow] = "no.such.token"
    assert list_last_runs(airflow, REDRIVE, 1)
    assert airflow_api._tokens[airflow] != "no.such.token"
