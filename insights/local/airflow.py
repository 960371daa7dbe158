"""Airflow 3 as four processes with the LocalExecutor; its metadata is a database of the local PostgreSQL."""

import json
import os
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from insights.errors import UserError
from insights.local.http import is_answering, request_json
from insights.local.postgres import PostgresServer
from insights.local.process import Component
from insights.local.secrets import Secrets
from insights.settings import read_inherited_environment

DATABASE = "airflow"
USER = "admin"
DASHBOARD_USER = "dashboard"
ENDED = ("success", "failed")
_LATEST_RUN = "?limit=1&order_by=-run_after"


def build_airflow_environment(
    home: Path, dags: Path, postgres: PostgresServer, port: int, secrets: Secrets
) -> dict[str, str]:
    """Airflow's whole configuration. Intervals are longer than the defaults where they cost CPU while nothing runs."""
    dsn = f"postgresql+psycopg2://{postgres.user}:{quote(postgres.password)}@{postgres.host}:{postgres.port}/{DATABASE}"
    url = f"http://127.0.0.1:{port}"
    configuration = {
        ("core", "dags_folder"): dags,
        ("core", "load_examples"): False,
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): 2,
        ("core", "dags_are_paused_at_creation"): False,
        # The least role that may start a run.
        ("core", "simple_auth_manager_users"): f"{USER}:admin,{DASHBOARD_USER}:user",
        ("core", "simple_auth_manager_passwords_file"): get_passwords_file(home),
        ("core", "fernet_key"): secrets.fernet_key,
        ("core", "execution_api_server_url"): f"{url}/execution/",
        ("core", "hostname_callable"): "socket.gethostname",
        ("api", "host"): "127.0.0.1",
        ("api", "port"): port,
        ("api", "base_url"): url,
        ("api", "workers"): 1,
        ("api", "secret_key"): secrets.airflow_api_key,
        ("api_auth", "jwt_secret"): secrets.airflow_jwt_key,
        ("database", "sql_alchemy_conn"): dsn,
        ("database", "sql_alchemy_pool_size"): 3,
        ("dag_processor", "parsing_processes"): 1,
        ("dag_processor", "min_file_process_interval"): 120,
        ("dag_processor", "stale_dag_threshold"): 300,
        ("dag_processor", "bundle_refresh_check_interval"): 30,
        ("dag_processor", "print_stats_interval"): 0,
        ("scheduler", "parsing_cleanup_interval"): 300,
        # After a power cut or SIGKILL of everything the task that died is taken up again after this long.
        ("scheduler", "task_instance_heartbeat_timeout"): 60,
        ("logging", "base_log_folder"): home / "logs",
        ("logging", "dag_processor_child_process_log_directory"): home / "logs" / "dag_processor",
        ("logging", "colored_console_log"): False,
        ("usage_data_collection", "enabled"): False,
    }
    return {"AIRFLOW_HOME": str(home)} | {
        f"AIRFLOW__{section.upper()}__{key.upper()}": str(value) for (section, key), value in configuration.items()
    }


def get_passwords_file(home: Path) -> Path:
    return home / "passwords.json"


def migrate_airflow(home: Path, postgres: PostgresServer, secrets: Secrets, environment: dict[str, str]) -> None:
    """Bring the metadata to this Airflow's version; nothing to do when the last start had the same version.

    Raises:
        UserError: Airflow's migration failed.
    """
    home.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(get_passwords_file(home), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({USER: secrets.airflow_password, DASHBOARD_USER: secrets.airflow_dashboard_password}, file)
    done, installed = home / "migrated", version("apache-airflow")
    if done.exists() and done.read_text() == installed:
        return
    postgres.create_database(DATABASE)
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    result = subprocess.run(
        command, env=read_inherited_environment() | environment, capture_output=True, text=True, check=False, cwd=home
    )
    if result.returncode != 0:
        raise UserError(f"Airflow's database could not be migrated: {(result.stderr.strip().splitlines() or [''])[-1]}")
    done.write_text(installed)


class AirflowProcess(Component):
    """One of Airflow's processes; healthy when it answers, or when its heartbeat is younger than its start."""

    stop_seconds = 20.0

    def __init__(self, state_dir: Path, part: str, port: int, environment: dict[str, str]) -> None:
        self.name = f"airflow-{part}"
        super().__init__(state_dir)
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.directory = state_dir
        self._part, self._environment = part, environment
        self._started = datetime.max.replace(tzinfo=UTC)

    def ports(self) -> dict[str, int]:
        return {"INSIGHTS_AIRFLOW_PORT": self.port} if self._part == "api-server" else {}

    def environment(self) -> dict[str, str]:
        return self._environment

    def command(self) -> list[str]:
        logs = ["--skip-serve-logs"] if self._part in ("scheduler", "triggerer") else []
        return [sys.executable, "-m", "airflow", self._part, *logs]

    def prepare(self) -> None:
        self._started = datetime.now(UTC)

    def ready(self) -> bool:
        if self._part == "api-server":
            return is_answering(f"{self.url}/api/v2/version")
        part = self._part.replace("-", "_")
        health = request_json(f"{self.url}/api/v2/monitor/health")[part]
        beat = health[f"latest_{part}_heartbeat"]
        return health["status"] == "healthy" and datetime.fromisoformat(beat) >= self._started


def trigger_once(url: str, password: str, dag: str, seconds: float, wanted: Callable[[], bool], *, again: bool) -> str:
    """Trigger a DAG that never ran and is not about to, or one that ran before if it is to run `again`.

    Waits for the DAG to be parsed, while it is `wanted`. Returns what happened in a few words.

    Raises:
        UserError: the DAG does not appear in `seconds`, with its import error when it has one, or Airflow refuses.
    """
    try:
        return _run_once(url, password, dag, seconds, wanted, again=again)
    except OSError as error:
        raise UserError(
            f"Airflow at {url} did not start the DAG {dag} ({error}): see its logs, then run again."
        ) from None


def _run_once(url: str, password: str, dag: str, seconds: float, wanted: Callable[[], bool], *, again: bool) -> str:
    token, api, deadline = _token(url, password), f"{url}/api/v2", time.monotonic() + seconds
    while True:
        try:
            details = request_json(f"{api}/dags/{dag}", token=token)
            break
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise UserError(f"Airflow answered {error.code} when asked for the DAG {dag}.") from None
        errors = request_json(f"{api}/importErrors", token=token)["import_errors"]
        broken = [error for error in errors if dag in error["filename"]]
        if broken:
            raise UserError(f"The DAG {dag} cannot be imported: {broken[0]['stack_trace'].strip().splitlines()[-1]}")
        if not wanted():
            return "not wanted any more"
        if time.monotonic() > deadline:
            raise UserError(f"The DAG {dag} did not appear in Airflow in {seconds:.0f} s.")
        time.sleep(0.5)
    runs = request_json(f"{api}/dags/{dag}/dagRuns{_LATEST_RUN}", token=token)["dag_runs"]
    if runs and (not again or runs[0]["state"] not in ENDED):
        return "ran before"
    upcoming = details.get("next_dagrun_run_after")
    if not runs and upcoming and not details["is_paused"] and datetime.fromisoformat(upcoming) <= datetime.now(UTC):
        return "scheduled now"
    request_json(f"{api}/dags/{dag}/dagRuns", {"logical_date": None}, token=token)
    return "triggered"


def read_run_state(url: str, password: str, dag: str) -> str:
    """The state of the DAG's latest run, `success` or `failed` when it has ended; `queued` while there is none."""
    token = _token(url, password)
    runs = request_json(f"{url}/api/v2/dags/{dag}/dagRuns{_LATEST_RUN}", token=token)["dag_runs"]
    return str(runs[0]["state"]) if runs else "queued"


def _token(url: str, password: str) -> str:
    return str(request_json(f"{url}/auth/token", {"username": USER, "password": password})["access_token"])
