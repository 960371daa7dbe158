"""The one-machine platform as a visitor starts it: `make demo` in a process of its own."""

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
from tests.helpers.support import REPOSITORY, eventually, free_port

INSIGHTS = REPOSITORY / ".venv" / "bin" / "insights"
PORTS = (
    "AIRFLOW",
    "DASHBOARD",
    "SIMULATOR",
    "PUBLISHER_HTTP",
    "STREAM_HTTP",
    "POSTGRES",
    "KAFKA",
    "KAFKA_CONTROLLER",
    "CASSANDRA",
    "CASSANDRA_STORAGE",
)
START_SECONDS = 900
CANNOT_CHECK = 2
EVERYTHING_RUNS = "Everything runs"


@dataclass
class Demo:
    """A demo with its own state directory, ports and log."""

    home: Path
    environment: dict[str, str] = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    _addresses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = {f"INSIGHTS_{name}_PORT": str(free_port()) for name in PORTS}
        self.environment = {**os.environ, **ports, "INSIGHTS_HOME": str(self.home), "COLUMNS": "200"}

    @property
    def log(self) -> Path:
        return self.home.parent / "demo.log"

    def make(self, *variables: str) -> subprocess.Popen[bytes]:
        """Begin `make demo` with these variables."""
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

    def start(self) -> None:
        """Begin `make demo` and wait until everything runs."""
        before = self.log.stat().st_size if self.log.exists() else 0
        process = self.make()

        def running() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the demo ended with {process.returncode}:\n{self.tail()}")
            return EVERYTHING_RUNS.encode() in self.log.read_bytes()[before:]

        eventually(running, START_SECONDS, f"the demo did not start, see {self.log}")

    def stop(self) -> None:
        """Ctrl-C, as a terminal sends it to make and its children."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(120)

    def kill(self) -> None:
        """SIGKILL to make and to what it started, which has no time to stop the servers."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def insights(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line beside the demo."""
        return subprocess.run(
            [INSIGHTS, *arguments], cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False
        )

    def ledger(self, wait: int = 240) -> dict[str, Any]:
        """The ledger, closed; fails with the open hops otherwise. Waits for a server that is being started again."""

        def checked() -> subprocess.CompletedProcess[str] | None:
            result = self.insights("check", "--json", "--wait", str(wait))
            return None if result.returncode == CANNOT_CHECK else result

        result = eventually(checked, 120, "the ledger cannot be checked")
        assert result is not None
        assert result.returncode == 0, f"the ledger does not close:\n{result.stdout}{result.stderr}\n{self.tail()}"
        parsed: dict[str, Any] = json.loads(result.stdout)
        return parsed

    def hop(self, name: str) -> int:
        """The left side of one hop of the closed ledger."""
        return next(int(hop["left"]) for hop in self.ledger()["hops"] if hop["name"] == name)

    def address(self, name: str) -> dict[str, Any]:
        """What `insights status` said of one server when first asked: no start of this demo changes it."""
        if not self._addresses:
            servers = json.loads(self.insights("status", "--json").stdout)["servers"]
            self._addresses = {server["name"]: server for server in servers}
        return self._addresses[name]

    def ingest(self, pages: int, page_size: int) -> str:
        """Start a run of the DAG through Airflow's API, once that answers; returns its id."""
        conf = {"logical_date": None, "conf": {"pages": pages, "page_size": page_size}}
        run = eventually(lambda: self._airflow("dags/ingest_users/dagRuns", conf), 120, "Airflow does not answer")
        return str(run["dag_run_id"])

    def run_state(self, run: str) -> str:
        """`queued`, `running`, `success` or `failed`; nothing while Airflow does not answer."""
        return str(self._airflow(f"dags/ingest_users/dagRuns/{run}").get("state", ""))

    def airflow(self) -> AirflowSettings:
        """Airflow, as the dashboard logs in to it."""
        password = SecretStr(json.loads((self.home / "secrets.json").read_text())["airflow_dashboard_password"])
        return AirflowSettings(url=self.address("airflow")["url"], username=DASHBOARD_USER, password=password)

    def pid(self, name: str) -> int:
        """The process of a component, 0 while there is none."""
        try:
            pid = int(json.loads((self.home / "run" / f"{name}.json").read_text())["pid"])
        except (FileNotFoundError, ValueError):
            return 0
        return pid if psutil.pid_exists(pid) else 0

    def left_behind(self) -> list[str]:
        """Command lines of processes that belong to this demo."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("INSIGHTS_HOME") == str(self.home) and process.pid != os.getpid():
                    found.append(" ".join(process.cmdline()))
            except (psutil.Error, OSError):
                continue
        return found

    def tail(self) -> str:
        """The end of the demo's log, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.log.read_text()[-6000:])

    def fetched(self) -> int:
        """Records of all fetched pages now."""
        return int(self.query("SELECT coalesce(sum(fetched), 0) FROM staging.batches")[0][0])

    def staged(self) -> int:
        """Rows in staging now."""
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

    def _airflow(self, path: str, body: object = None) -> dict[str, Any]:
        """Airflow's answer, empty while it or its database is being started again."""
        server = self.address("airflow")
        login = {"username": server["user"], "password": server["password"]}
        try:
            token = request_json(f"{server['url']}/auth/token", login)["access_token"]
            return request_json(f"{server['url']}/api/v2/{path}", body, token)
        except OSError:
            return {}
