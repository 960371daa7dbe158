"""Airflow 3 as four processes with the LocalExecutor and its metadata in the local PostgreSQL."""

import json
import os
import sys
import time
import urllib.error
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from insights.environment import read_inherited_environment
from insights.errors import NotReadyError, UserError
from insights.local.http import is_answering, request_json
from insights.local.postgres import PostgresServer
from insights.local.process import Component, list_children, read_process_start, run_program
from insights.local.secrets import Secrets

DATABASE = "airflow"
USER = "admin"
DASHBOARD_USER = "dashboard"
ENDED = ("success", "failed")
WORKERS = 2
"""Processes of the LocalExecutor, which the scheduler forks when it starts."""
_LATEST_RUN = "?limit=1&order_by=-run_after"


def build_airflow_environment(
    home: Path, dags: Path, postgres: PostgresServer, port: int, secrets: Secrets
) -> dict[str, str]:
    """Airflow's whole configuration. Intervals that cost CPU on an idle platform are longer than the defaults."""
    dsn = f"postgresql+psycopg2://{postgres.user}:{quote(postgres.password)}@{postgres.host}:{postgres.port}/{DATABASE}"
    url = f"http://127.0.0.1:{port}"
    configuration = {
        ("core", "dags_folder"): dags,
        ("core", "load_examples"): False,
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): WORKERS,
        ("core", "dags_are_paused_at_creation"): False,
        # `user` is the least privileged role that may trigger a run.
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
        # A task that died with the scheduler, by a power cut or SIGKILL, is rescheduled after this many seconds.
        ("scheduler", "task_instance_heartbeat_timeout"): 60,
        ("scheduler", "orphaned_tasks_check_interval"): 30,
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
    """Write the passwords file, and migrate the metadata unless the last start used this version of Airflow.

    Raises:
        NotReadyError: the database did not answer.
        UserError: Airflow's migration failed.
    """
    home.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(get_passwords_file(home), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({USER: secrets.airflow_password, DASHBOARD_USER: secrets.airflow_dashboard_password}, file)
    marker, installed = home / "migrated", version("apache-airflow")
    if marker.exists() and marker.read_text() == installed:
        return
    postgres.create_database(DATABASE)
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    exit_code, output = run_program(command, read_inherited_environment() | environment, home)
    if exit_code != 0:
        lines = output.strip().splitlines() or [f"exit code {exit_code}"]
        is_outage = any("OperationalError" in line for line in lines)
        kind = NotReadyError if is_outage else UserError
        raise kind(f"Airflow's database could not be migrated: {lines[-1]}")
    marker.write_text(installed)


class AirflowProcess(Component):
    """One of Airflow's processes. It is ready when it answers, or when it has sent a heartbeat since its start."""

    stop_seconds = 20.0
    exits_without_stores = True

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
        heartbeat = datetime.fromisoformat(health[f"latest_{part}_heartbeat"])
        return health["status"] == "healthy" and heartbeat >= self._started


class AirflowScheduler(AirflowProcess):
    """The scheduler, which has to be restarted when a worker of its LocalExecutor has died.

    An idle worker holds the lock of the executor's queue. If it is killed, no other worker gets a task any more, and
    the tasks stay `queued` for good, although the scheduler's heartbeats go on.
    """

    def prepare(self) -> None:
        super().prepare()
        self._workers: dict[int, str | None] = {}

    def ready(self) -> bool:
        for pid in list_children(self.pid, "airflow"):
            self._workers.setdefault(pid, read_process_start(pid))
        return super().ready()

    def find_fault(self) -> str:
        alive = sum(bool(started) and read_process_start(pid) == started for pid, started in self._workers.items())
        missing = max(WORKERS, len(self._workers)) - alive
        return f"{missing} of its {WORKERS} workers died" if missing else ""


def trigger_once(
    url: str, password: str, dag: str, seconds: float, is_wanted: Callable[[], bool], *, again: bool
) -> str:
    """Trigger a DAG that has never run and has no run due, or, with `again`, one whose latest run has ended.

    Waits up to `seconds` until the DAG is parsed, or until `is_wanted` returns false. Returns the outcome in words.

    Raises:
        NotReadyError: Airflow does not answer.
        UserError: the DAG has an import error, does not appear in time, or Airflow rejects the request.
    """
    try:
        return _trigger_once(url, password, dag, seconds, is_wanted, again=again)
    except OSError as error:
        raise NotReadyError(
            f"Airflow at {url} did not start the DAG {dag} ({error}): see Airflow's logs, then try again."
        ) from None


def _trigger_once(
    url: str, password: str, dag: str, seconds: float, is_wanted: Callable[[], bool], *, again: bool
) -> str:
    token, api, deadline = _request_token(url, password), f"{url}/api/v2", time.monotonic() + seconds
    while True:
        try:
            details = request_json(f"{api}/dags/{dag}", token=token)
            break
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise
            if error.code != 404:
                raise UserError(f"Airflow answered {error.code} to a request for the DAG {dag}.") from None
        errors = request_json(f"{api}/importErrors", token=token)["import_errors"]
        own_errors = [error for error in errors if dag in error["filename"]]
        if own_errors:
            raise UserError(
                f"The DAG {dag} cannot be imported: {own_errors[0]['stack_trace'].strip().splitlines()[-1]}"
            )
        if not is_wanted():
            return "cancelled"
        if time.monotonic() > deadline:
            raise UserError(f"The DAG {dag} did not appear in Airflow within {seconds:.0f} s.")
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
    """The state of the DAG's latest run: one of `ENDED` once it has ended, `queued` while there is no run."""
    token = _request_token(url, password)
    runs = request_json(f"{url}/api/v2/dags/{dag}/dagRuns{_LATEST_RUN}", token=token)["dag_runs"]
    return str(runs[0]["state"]) if runs else "queued"


def _request_token(url: str, password: str) -> str:
    return str(request_json(f"{url}/auth/token", {"username": USER, "password": password})["access_token"])
