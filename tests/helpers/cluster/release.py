"""A Helm release of the chart in a namespace with stores, and the operations of its users."""

import json
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from insights.local.http import request_json
from tests.helpers.cluster.kubectl import Kubernetes
from tests.helpers.support import eventually

CHART = "charts/user-insights"
SMALL = ("--values", f"{CHART}/profiles/small.yaml", "--set", "images.preloaded=true")
INSTALL_SECONDS = 900
LEDGER_PROGRAM = """
import json
from insights.ledger.check import check_ledger
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings, load

ledger = check_ledger(StoreSettings(load(PostgresSettings), load(KafkaSettings), load(CassandraSettings)), 200)
assert ledger.closed, "; ".join(f"{hop.name}: {hop.sentence}" for hop in ledger.open_hops())
print(json.dumps({hop.name: hop.left for hop in ledger.hops}))
"""
REDRIVE_PROGRAM = """
from insights.clients.airflow import trigger_run
from insights.settings import AirflowSettings, load

print(trigger_run(load(AirflowSettings), "redrive_quarantine", {"reason": "MISSING_ID"}))
"""
PAGE_PROGRAM = """
from streamlit.testing.v1 import AppTest

page = AppTest.from_file("dashboard/views/overview.py", default_timeout=90).run()
print("\\n".join(element.value for kind in (page.error, page.warning, page.exception) for element in kind))
"""


@dataclass(frozen=True)
class Release:
    """A release; its objects are named `<name>-user-insights-...`."""

    kubernetes: Kubernetes
    name: str = "insights"

    @property
    def fullname(self) -> str:
        return f"{self.name}-user-insights"

    def install(self, *arguments: str) -> str:
        """Install or upgrade, and wait until everything is ready."""
        wait = ("--wait", "--wait-for-jobs", "--timeout", f"{INSTALL_SECONDS}s")
        return self.kubernetes.helm("upgrade", "--install", self.name, CHART, *SMALL, *wait, *arguments)

    def test(self) -> str:
        """Run `helm test`, which checks the ledger inside the cluster."""
        return self.kubernetes.helm("test", self.name, "--timeout", "300s", "--logs")

    def ledger(self) -> dict[str, int]:
        """Return the left side of each hop of the closed ledger, from the dashboard's pod, which reaches all stores."""
        counts: dict[str, int] = json.loads(self._in_the_dashboard(LEDGER_PROGRAM))
        return counts

    def redrive(self) -> str:
        """Start a re-drive with the dashboard's login to Airflow. Returns the run's id."""
        return self._in_the_dashboard(REDRIVE_PROGRAM).strip()

    def page_warnings(self) -> str:
        """Return what the dashboard's first page warns of."""
        return self._in_the_dashboard(PAGE_PROGRAM)

    @contextmanager
    def airflow(self) -> Iterator["Airflow"]:
        """Provide Airflow's API, logged in as the administrator."""
        with self.kubernetes.forwarded(f"service/{self.fullname}-airflow-api-server", 8080) as port:
            password = self.kubernetes.secret(f"{self.fullname}-airflow-admin", "password")
            yield Airflow(f"http://127.0.0.1:{port}", password)

    def _in_the_dashboard(self, program: str) -> str:
        pod = self.kubernetes.pods("dashboard", self.name)[0]["metadata"]["name"]
        return self.kubernetes.kubectl("exec", pod, "--container", "dashboard", "--", "python", "-c", program)

    def ready(self, component: str) -> bool:
        pods = self.kubernetes.pods(component, self.name)
        return bool(pods) and all(
            status["ready"] for pod in pods for status in pod["status"].get("containerStatuses", [{"ready": False}])
        )


@dataclass(frozen=True)
class Airflow:
    """A client of Airflow's API."""

    url: str
    password: str

    def ingest(self, pages: int, page_size: int) -> str:
        """Start a run that fetches pages. Returns the run's id."""
        return self.trigger("ingest_users", pages=pages, page_size=page_size)

    def trigger(self, dag: str, **parameters: int) -> str:
        """Start a run as soon as Airflow has parsed the DAG. Returns the run's id."""
        body = {"logical_date": None, "conf": parameters}
        run = eventually(
            lambda: self.request(f"dags/{dag}/dagRuns", body), 240, "Airflow has not parsed the DAG", pause=2
        )
        return str(run["dag_run_id"])

    def state(self, run: str, dag: str = "ingest_users") -> str:
        return str(self.request(f"dags/{dag}/dagRuns/{run}").get("state", ""))

    def log(self, run: str, task: str) -> str:
        """Return the log of a task's first attempt."""
        return json.dumps(self.request(f"dags/ingest_users/dagRuns/{run}/taskInstances/{task}/logs/1"))

    def request(self, path: str, body: object = None) -> dict[str, Any]:
        """Return the decoded response; empty while Airflow does not answer."""
        try:
            login = {"username": "admin", "password": self.password}
            token = request_json(f"{self.url}/auth/token", login)["access_token"]
            return request_json(f"{self.url}/api/v2/{path}", body, token)
        except (urllib.error.HTTPError, OSError):
            return {}
