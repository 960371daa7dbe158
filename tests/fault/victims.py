"""Find the processes of a running demo, and see whether its servers answer."""

import contextlib
import re
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from insights.local.http import is_answering, request_json
from tests.fault.read_stores import StoreAddresses
from tests.helpers.demo_platform import Demo

CQL_OPTIONS = bytes.fromhex("050000000500000000")
"""A request of Cassandra's protocol, which a node answers once it serves clients."""
PROBE_SECONDS = 2
AIRFLOW_WORKERS = {
    "airflow-idle-worker": re.compile("airflow worker -- LocalExecutor: <idle>"),
    "airflow-busy-worker": re.compile("airflow worker -- LocalExecutor: (?!<idle>)"),
}
"""The titles of the scheduler's own children: when one dies, the scheduler is restarted."""
AIRFLOW_TASK = re.compile("airflow worker -- [0-9a-f-]{36}")
"""The title of a task's process, which a busy worker starts and awaits. Until it is set, it is that of the worker."""
AIRFLOW_PARTS = ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")


class RunningPlatform:
    """The processes of a demo and of the simulator beside it."""

    def __init__(self, demo: Demo, stores: StoreAddresses, find_simulator: Callable[[], int], simulator: str) -> None:
        self._demo, self._stores = demo, stores
        self._find_simulator, self._simulator = find_simulator, simulator

    def find(self, kind: str) -> int:
        """The id of a process of this kind, 0 if there is none at present."""
        match kind:
            case "simulator":
                return self._find_simulator()
            case "postgres-backend":
                return find_child(self._demo.pid("postgres"), lambda title: " idle" in title or " SELECT" in title)
            case "stream-jvm":
                return find_child(self._demo.pid("stream"), lambda title: "java" in title.partition(" ")[0])
            case "stream-python":
                return self._demo.pid("stream")
            case "airflow-task":
                return find_child(self._demo.pid("airflow-scheduler"), AIRFLOW_TASK.match)
            case "airflow-idle-worker" | "airflow-busy-worker":
                return find_child(self._demo.pid("airflow-scheduler"), AIRFLOW_WORKERS[kind].match, descendants=False)
        return self._demo.pid(kind)

    def find_main(self, kind: str) -> int:
        """The id of the process that the runner restarts if the process of this kind is killed."""
        component = get_component(kind)
        return self._find_simulator() if component == "simulator" else self._demo.pid(component)

    def is_serving(self, kind: str, since: datetime) -> bool:
        """Whether what was hit answers; for Airflow's parts, whether one has sent a heartbeat after `since`."""
        with contextlib.suppress(OSError, psycopg2.Error, KafkaException, KeyError, TypeError, ValueError):
            return self._probe(get_component(kind), since)
        return False

    def _probe(self, component: str, since: datetime) -> bool:
        match component:
            case "postgres":
                psycopg2.connect(**self._stores.postgres | {"connect_timeout": PROBE_SECONDS}).close()
                return True
            case "kafka":
                AdminClient(self._stores.kafka | {"log_level": 0}).list_topics(timeout=PROBE_SECONDS)
                return True
            case "cassandra":
                return answers_cql(self._stores.cassandra_host, self._stores.cassandra_port)
            case "simulator":
                return is_answering(f"{self._simulator}/healthz", PROBE_SECONDS)
            case "dashboard":
                return is_answering(self._demo.address("dashboard")["url"] + "/_stcore/health", PROBE_SECONDS)
            case "publisher" | "stream":
                return is_answering(self._demo.address(component)["url"] + "/readyz", PROBE_SECONDS)
            case "airflow-api-server":
                return is_answering(self._demo.address("airflow")["url"] + "/api/v2/version", PROBE_SECONDS)
        return self._has_heartbeat(component.removeprefix("airflow-").replace("-", "_"), since)

    def _has_heartbeat(self, part: str, since: datetime) -> bool:
        url = self._demo.address("airflow")["url"] + "/api/v2/monitor/health"
        health: dict[str, Any] = request_json(url, timeout_seconds=PROBE_SECONDS)[part]
        return datetime.fromisoformat(health[f"latest_{part}_heartbeat"]) > since


def get_component(kind: str) -> str:
    """The component that a kind of process belongs to."""
    if kind in ("airflow-task", *AIRFLOW_WORKERS):
        return "airflow-scheduler"
    if kind.startswith("stream-"):
        return "stream"
    return "postgres" if kind == "postgres-backend" else kind


def find_child(pid: int, matches: Callable[[str], object], *, descendants: bool = True) -> int:
    """The newest descendant, or else child, of a process whose command line matches, 0 if there is none."""
    if not pid:
        return 0
    found: list[tuple[float, int]] = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=descendants):
            with contextlib.suppress(psutil.Error):
                if matches(" ".join(child.cmdline())):
                    found.append((child.create_time(), child.pid))
    return max(found, default=(0, 0))[1]


def answers_cql(host: str, port: int) -> bool:
    with socket.create_connection((host, port), PROBE_SECONDS) as connection:
        connection.settimeout(PROBE_SECONDS)
        connection.sendall(CQL_OPTIONS)
        return len(connection.recv(9)) == 9


def wait_recovered(
    platform: RunningPlatform, kind: str, main: int, replaced: bool, is_too_late: Callable[[], bool]
) -> float | None:
    """The seconds until what was hit answers, in a new process if it is `replaced`; None once it is too late."""
    started, since = time.monotonic(), datetime.now(UTC)
    while not is_too_late():
        if (not replaced or platform.find_main(kind) not in (0, main)) and platform.is_serving(kind, since):
            return time.monotonic() - started
        time.sleep(0.2)
    return None
