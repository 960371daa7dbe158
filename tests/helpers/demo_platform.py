"""The platform on this machine as a user starts it: `make demo` in a process of its own."""

import json
import os
import re
import signal
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from pydantic import SecretStr

from insights.local.airflow import DASHBOARD_USER
from insights.local.http import request_json
from insights.settings import AirflowSettings
from tests.helpers.support import REPOSITORY, SHORT_LIVED, eventually, free_port

INSIGHTS = REPOSITORY / ".venv" / "bin" / "insights"
PORTS = (
    "AIRFLOW",
    "DASHBOARD",
    "DASHBOARD_METRICS",
    "SIMULATOR",
    "PUBLISHER_HTTP",
    "STREAM_HTTP",
    "EXPORTER_HTTP",
    "PROMETHEUS",
    "POSTGRES",
    "KAFKA",
    "KAFKA_CONTROLLER",
    "CASSANDRA",
    "CASSANDRA_STORAGE",
)
START_SECONDS = 900
CANNOT_CHECK = 2
RUNNING_MESSAGE = "Everything is running"


@dataclass
class Demo:
    """A demo with its own state directory, ports and log."""

    home: Path
    environment: dict[str, str] = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    _addresses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = {f"INSIGHTS_{name}_PORT": str(free_port()) for name in PORTS}
        settings = {"INSIGHTS_HOME": str(self.home), "COLUMNS": "200", "JAVA_TOOL_OPTIONS": SHORT_LIVED}
        self.environment = {**os.environ, **ports, **settings}

    @property
    def log(self) -> Path:
        return self.home.parent / "demo.log"

    def make(self, *variables: str) -> subprocess.Popen[bytes]:
        """Start `make demo` with these variables, without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["make", "demo", *variables],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start(self, *variables: str) -> None:
        """Start `make demo` with these variables and wait until everything is running."""
        before = self.log.stat().st_size if self.log.exists() else 0
        process = self.make(*variables)

        def running() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the demo ended with {process.returncode}:\n{self.tail()}")
            return RUNNING_MESSAGE.encode() in self.log.read_bytes()[before:]

        eventually(running, START_SECONDS, f"the demo did not start, see {self.log}")

    def stop(self) -> None:
        """Send Ctrl-C as a terminal does, to make and its children, and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(120)

    def kill(self) -> None:
        """Kill make and its children, which have no time to stop the servers."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def insights(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `insights` beside the demo."""
        return subprocess.run(
            [INSIGHTS, *arguments], cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False
        )

    def ledger(self, wait: int = 240) -> dict[str, Any]:
        """The closed ledger as JSON types; fails with the open hops otherwise. Waits for servers that are restarted."""

        def check() -> subprocess.CompletedProcess[str] | None:
            result = self.insights("check", "--json", "--wait", str(wait))
            return None if result.returncode == CANNOT_CHECK else result

        result = eventually(check, 120, "the ledger cannot be checked")
        assert result is not None
        assert result.returncode == 0, f"the ledger does not close:\n{result.stdout}{result.stderr}\n{self.tail()}"
        parsed: dict[str, Any] = json.loads(result.stdout)
        return parsed

    def hop(self, name: str) -> int:
        """The left side of a hop of the closed ledger."""
        return next(int(hop["left"]) for hop in self.ledger()["hops"] if hop["name"] == name)

    def address(self, name: str) -> dict[str, Any]:
        """A server's address from `insights status`, cached because restarts do not change it."""
        if not self._addresses:
            servers = json.loads(self.insights("status", "--json").stdout)["servers"]
            self._addresses = {server["name"]: server for server in servers}
        return self._addresses[name]

    def ingest(self, pages: int, page_size: int) -> str:
        """Trigger the ingest through Airflow's API as soon as that answers, and return the run's id."""
        conf = {"logical_date": None, "conf": {"pages": pages, "page_size": page_size}}
        run = eventually(
            lambda: self._request_airflow("dags/ingest_users/dagRuns", conf), 120, "Airflow does not answer"
        )
        return str(run["dag_run_id"])

    def run_state(self, run: str) -> str:
        """`queued`, `running`, `success` or `failed`; empty while Airflow does not answer."""
        return str(self._request_airflow(f"dags/ingest_users/dagRuns/{run}").get("state", ""))

    def clear_run(self, run: str) -> None:
        """Let Airflow try the failed tasks of a run again."""
        body = {"dry_run": False, "only_failed": True}
        eventually(
            lambda: self._request_airflow(f"dags/ingest_users/dagRuns/{run}/clear", body),
            120,
            "Airflow does not answer",
        )

    def airflow(self) -> AirflowSettings:
        """The dashboard's login to Airflow."""
        password = SecretStr(json.loads((self.home / "secrets.json").read_text())["airflow_dashboard_password"])
        return AirflowSettings(url=self.address("airflow")["url"], username=DASHBOARD_USER, password=password)

    def pid(self, name: str) -> int:
        """A component's process id, 0 while it has none."""
        try:
            pid = int(json.loads((self.home / "run" / f"{name}.json").read_text())["pid"])
        except (FileNotFoundError, ValueError):
            return 0
        return pid if psutil.pid_exists(pid) else 0

    def list_processes(self) -> list[str]:
        """The command lines of the processes that belong to this demo."""
        command_lines = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("INSIGHTS_HOME") == str(self.home) and process.pid != os.getpid():
                    command_lines.append(" ".join(process.cmdline()))
            except (psutil.Error, OSError):
                continue
        return command_lines

    def tail(self) -> str:
        """The end of the demo's log, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.log.read_text()[-6000:])

    def fetched(self) -> int:
        """The number of records fetched so far."""
        return int(self.query("SELECT coalesce(sum(fetched), 0) FROM staging.batches")[0][0])

    def staged(self) -> int:
        """The number of rows staged so far."""
        return int(self.query("SELECT count(*) FROM staging.user_keys")[0][0])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the platform's PostgreSQL."""
        server = self.address("postgres")
        with (
            closing(
                psycopg2.connect(
                    host=server["host"],
                    port=server["port"],
                    dbname=server["database"],
                    user=server["user"],
                    password=server["password"],
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())

    def _request_airflow(self, path: str, body: object = None) -> dict[str, Any]:
        """Airflow's answer; empty while it or its database is being restarted."""
        server = self.address("airflow")
        login = {"username": server["user"], "password": server["password"]}
        try:
            token = request_json(f"{server['url']}/auth/token", login)["access_token"]
            return request_json(f"{server['url']}/api/v2/{path}", body, token)
        except OSError:
            return {}
