"""The DAGs without a server: they import in an empty environment, and have the expected tasks and parameters."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.support import REPOSITORY

DAGS = REPOSITORY / "dags"
NAMES = ("check_data_flow", "ingest_users", "prune_staging", "redrive_quarantine")
DESCRIBE = """
import importlib.util, json, socket, sys
from pathlib import Path

def refuse(*_):
    raise AssertionError("a DAG opened a connection at import")
socket.socket.connect = socket.socket.connect_ex = refuse

from airflow.sdk import DAG
described = {}
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    spec.loader.exec_module(module)
    dag = getattr(module, path.stem)()
    described[dag.dag_id] = {
        "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "params": dict(dag.params),
        "tasks": {t.task_id: [sorted(t.downstream_task_ids), t.retries, type(t).__name__] for t in dag.tasks},
        "notices": [repr(t.on_failure_callback) for t in dag.tasks],
        "stores": sorted({"cassandra", "psycopg2", "confluent_kafka", "pyspark"} & (set(sys.modules) - before)),
    }
print(json.dumps(described))
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAGs as a process without settings and network imports them."""
    environment = {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "PYTHONPATH": str(DAGS.parent),
        "PATH": os.environ["PATH"],
    }
    result = subprocess.run(
        [sys.executable, "-c", DESCRIBE, str(DAGS)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    described: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return described


def test_every_dag_imports_without_settings_network_or_store_drivers(dags: dict[str, Any]) -> None:
    assert tuple(sorted(dags)) == NAMES
    assert [dag["stores"] for dag in dags.values()] == [[], [], [], []]


def test_every_failed_task_is_reported(dags: dict[str, Any]) -> None:
    notices = [names for dag in dags.values() for names in dag["notices"]]
    assert [notice for notice in notices if "send_failure_notice" not in notice] == []
    assert len(notices) >= len(NAMES)


def test_every_entry_point_stays_short() -> None:
    assert {path.name: lines for path in DAGS.glob("*.py") if (lines := len(path.read_text().splitlines())) > 60} == {}


def test_ingest_runs_every_ten_minutes_one_run_at_a_time_with_retries(dags: dict[str, Any]) -> None:
    ingest = dags["ingest_users"]
    assert (ingest["schedule"], ingest["catchup"], ingest["max_active_runs"]) == ("*/10 * * * *", False, 1)
    downstream, retries, kind = ingest["tasks"]["stage"]
    assert (downstream, retries, kind) == ([], 3, "DecoratedMappedOperator")
    assert ingest["tasks"]["plan"][0] == ["stage"]


def test_ingest_offers_its_parameters(dags: dict[str, Any]) -> None:
    assert set(dags["ingest_users"]["params"]) == {"pages", "page_size", "nationalities", "gender"}


def test_the_check_examines_topic_and_stream_before_the_ledger(dags: dict[str, Any]) -> None:
    assert set(dags["check_data_flow"]["params"]) == {"wait_seconds", "full"}
    tasks = dags["check_data_flow"]["tasks"]
    assert {name: downstream for name, (downstream, _, _) in tasks.items()} == {
        "topic": ["ledger"],
        "stream": ["ledger"],
        "ledger": [],
    }
    # An outage of a store is not a loss.
    assert {retries for _, retries, _ in tasks.values()} == {3}


def test_the_redrive_is_triggered_by_hand_only(dags: dict[str, Any]) -> None:
    redrive = dags["redrive_quarantine"]
    assert redrive["schedule"] is None
    assert set(redrive["params"]) == {"reason", "ids", "patch", "limit", "force"}
