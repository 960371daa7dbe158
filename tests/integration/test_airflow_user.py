"""The chart's scripts for Airflow, on a real one: the users, of whom the dashboard's may only start re-drives, and the
check of the schema.
"""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from insights.clients import airflow as airflow_api
from insights.clients.airflow import list_last_runs, trigger_run
from insights.errors import UserError
from insights.local.http import is_answering
from insights.local.postgres import PostgresServer
from insights.settings import AirflowSettings, PostgresSettings
from tests.helpers import airflow_home, fresh_stores
from tests.helpers.staged_pages import run_sql
from tests.helpers.support import REPOSITORY, eventually, free_port

FILES = REPOSITORY / "charts/user-insights/files/airflow"
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
REDRIVE = "redrive_quarantine"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[PostgresSettings]:
    with fresh_stores.create_database(postgres_server) as settings:
        yield settings


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, database: PostgresSettings) -> dict[str, str]:
    """An Airflow with a database of its own, the DAGs, and users, who were created by two processes at once."""
    login = f"{database.user}:{quote(database.password.get_secret_value())}"
    environment = airflow_home.make_environment(
        tmp_path_factory.mktemp("airflow"),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"postgresql://{login}@{database.host}:{database.port}/{database.dbname}",
        AIRFLOW__CORE__AUTH_MANAGER="airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        AIRFLOW__API__SECRET_KEY="api",
        AIRFLOW__API_AUTH__JWT_SECRET="a secret of at least sixty-four characters, as HS512 requires of a key",
        NO_PROXY="127.0.0.1",
    )
    for command in (("db", "migrate"), ("dags", "reserialize")):
        airflow_home.run_python(environment, "-m", "airflow", *command)
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(create_users, environment), ("former", "former")))
    create_users(environment, "secret")
    return environment


def create_users(environment: dict[str, str], password: str) -> None:
    passwords = {"AIRFLOW_ADMIN_PASSWORD": password, "AIRFLOW_DASHBOARD_PASSWORD": password}
    airflow_home.run_python(environment | passwords, str(FILES / "users.py"), "admin", "dashboard")


def check_schema(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FILES / "check_schema.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


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


def test_an_administrator_who_exists_keeps_the_password(airflow: AirflowSettings) -> None:
    administrator = airflow.model_copy(update={"username": "admin", "password": SecretStr("former")})
    assert list_last_runs(administrator, "ingest_users", 1) == []
    with pytest.raises(UserError, match="refused the login of 'admin'"):
        list_last_runs(administrator.model_copy(update={"password": SecretStr("secret")}), "ingest_users", 1)


def test_a_schema_of_a_newer_airflow_is_refused_and_any_other_is_accepted(
    environment: dict[str, str], database: PostgresSettings
) -> None:
    assert check_schema(environment).returncode == 0
    for table in ("alembic_version", "alembic_version_fab"):
        [(version,)] = run_sql(database, f"SELECT version_num FROM {table}")
        run_sql(database, f"UPDATE {table} SET version_num = 'ffffffffffff'")
        refused = check_schema(environment)
        run_sql(database, f"UPDATE {table} SET version_num = %s", version)
        assert refused.returncode == 1
        assert "the schema ffffffffffff of a newer Airflow" in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("uri", ["", "postgresql://airflow:secret@127.0.0.1:1/airflow"])
def test_a_database_that_does_not_exist_or_answer_stops_no_upgrade(environment: dict[str, str], uri: str) -> None:
    assert check_schema(environment | {DATABASE: uri}).returncode == 0


def test_a_start_waits_for_the_database(environment: dict[str, str], postgres_server: PostgresServer) -> None:
    wait = [sys.executable, str(FILES / "wait_for_database.py")]
    late = environment | {DATABASE: environment[DATABASE].rpartition("/")[0] + "/created_late"}
    given_up = subprocess.run([*wait, "0"], env=late, capture_output=True, text=True, check=False)
    assert given_up.returncode == 1
    assert "The metadata database has not answered for 0 s: " in given_up.stderr
    with subprocess.Popen([*wait, "60"], env=late, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert "Waiting for the metadata database: " in waiting.stdout.readline()
        assert waiting.poll() is None
        postgres_server.create_database("created_late")
        assert waiting.wait(60) == 0


def test_a_token_that_airflow_cannot_read_is_replaced(airflow: AirflowSettings) -> None:
    list_last_runs(airflow, REDRIVE, 1)
    airflow_api._tokens[airflow] = "no.such.token"
    assert list_last_runs(airflow, REDRIVE, 1)
    assert airflow_api._tokens[airflow] != "no.such.token"
