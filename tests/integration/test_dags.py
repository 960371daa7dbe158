"""The DAGs on real servers, run with Airflow's `dag.test()` in a process of its own."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.ledger.topic import RawTopic
from insights.model.message import make_page_trace
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, to_environment
from insights.simulator import create_app
from insights.simulator.quota import Quota
from tests.helpers import airflow_home
from tests.helpers.otlp_collector import collecting
from tests.helpers.simulator_server import serving
from tests.helpers.support import free_port

RUN = """
import json, sys
from airflow.sdk import timezone
name, logical_date, conf = sys.argv[1:]
module = __import__(name)
run = getattr(module, name)().test(logical_date=timezone.parse(logical_date), run_conf=json.loads(conf))
print("STATE", run.state.value if hasattr(run.state, "value") else run.state)
"""
DATE = "2026-11-20T12:00:00Z"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an Airflow with a new database."""
    environment = airflow_home.make_environment(tmp_path_factory.mktemp("airflow"))
    airflow_home.run_python(environment, "-m", "airflow", "db", "migrate")
    return environment


@pytest.fixture
def environment(
    airflow: dict[str, str], postgres: PostgresSettings, kafka: KafkaSettings, cassandra: CassandraSettings
) -> Iterator[dict[str, str]]:
    connection = {"extra": {"bootstrap.servers": kafka.bootstrap_servers}}
    with serving(create_app()) as address:
        yield {
            **airflow,
            **to_environment(postgres, kafka, cassandra),
            "INSIGHTS_SOURCE_URL": f"{address}/api/1.4/",
            "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(connection),
        }


def run(
    environment: dict[str, str], dag: str, logical_date: str = DATE, script: str = RUN, **params: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, dag, logical_date, json.dumps(params)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def read_staged(connection: Any) -> list[tuple[str, str]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT batch_id, user_key::text FROM staging.users ORDER BY 1, 2")
        return list(cursor.fetchall())


def test_a_run_stages_its_pages_and_a_repeated_run_of_its_date_stages_nothing_new(
    environment: dict[str, str], connection: Any
) -> None:
    first = run(environment, "ingest_users", pages=7, page_size=10)
    assert "STATE success" in first.stdout, first.stdout[-3000:]
    rows = read_staged(connection)
    assert len(rows) == 70
    assert len({batch_id for batch_id, _ in rows}) == 7

    assert "STATE success" in run(environment, "ingest_users", pages=7, page_size=10).stdout
    assert read_staged(connection) == rows

    assert "STATE success" in run(environment, "ingest_users", "2026-11-20T12:10:00Z", pages=1, page_size=10).stdout
    assert len(read_staged(connection)) == 80


def test_a_task_sends_a_span_of_each_page(environment: dict[str, str], connection: Any) -> None:
    before = {batch_id for batch_id, _ in read_staged(connection)}
    with collecting() as collector:
        traced = environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address}
        done = run(traced, "ingest_users", "2026-11-20T14:00:00Z", pages=6, page_size=10)
        assert "STATE success" in done.stdout, done.stdout[-3000:]
        spans = collector.wait(6)
    pages = {batch_id for batch_id, _ in read_staged(connection)} - before
    assert {(span.trace_id, span.span_id) for span in spans} == {make_page_trace(page) for page in pages}
    assert {(span.service, span.name) for span in spans} == {("insights-ingest", "ingest page")}


PATCHED = """
import insights.ingest.pace, insights.ingest.pages
insights.ingest.pace.PROBE_SECONDS, insights.ingest.pages.MAX_SLEEP_SECONDS = 0.5, 0
"""


class RefusingQuota(Quota):
    """A period of 30 rows ends at the second request that it refuses, whatever the speed of the machine."""

    def __init__(self) -> None:
        self.refused = 0
        super().__init__(30, 2, lambda: float(self.refused))

    def take(self, address: str, rows: int) -> bool:
        taken = super().take(address, rows)
        self.refused += not taken
        return taken


def test_a_run_waits_for_the_quota_of_its_source_and_shows_no_key(environment: dict[str, str], connection: Any) -> None:
    before = len(read_staged(connection))
    quota = RefusingQuota()
    with serving(create_app(quota=quota)) as address:
        keyed = environment | {
            "INSIGHTS_SOURCE_URL": f"{address.replace('//', '//someone:c4nary@')}/api/1.4/?key=c4nary",
            "INSIGHTS_SOURCE_HEADERS": "X-Api-Key: c4nary",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        }
        done = run(keyed, "ingest_users", "2026-11-20T13:00:00Z", script=PATCHED + RUN, pages=8, page_size=10)
    assert "STATE success" in done.stdout, done.stdout[-3000:]
    assert quota.refused >= 2
    assert "marking task as UP_FOR_RESCHEDULE" in done.stdout + done.stderr
    assert "c4nary" not in done.stdout + done.stderr
    assert len(read_staged(connection)) == before + 80


def test_a_run_without_a_page_size_has_that_of_the_settings(environment: dict[str, str], connection: Any) -> None:
    before = len(read_staged(connection))
    configured = environment | {"INSIGHTS_SOURCE_PAGE_SIZE": "12"}
    done = run(configured, "ingest_users", "2026-11-20T12:20:00Z", pages=2)
    assert "STATE success" in done.stdout, done.stdout[-3000:]
    assert len(read_staged(connection)) == before + 24


def test_the_check_succeeds_if_the_stores_agree_and_otherwise_fails_with_the_name_of_the_hop(
    environment: dict[str, str], connection: Any
) -> None:
    closed = run(environment, "check_data_flow", wait_seconds=0)
    assert "STATE success" in closed.stdout, closed.stdout[-3000:]
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO analytics.user_counts VALUES ('gender', 'female', 3, 1)")
    broken = run(environment, "check_data_flow", "2026-11-20T12:30:00Z", wait_seconds=0)
    assert "STATE failed" in broken.stdout
    assert "user_counts: " in broken.stdout + broken.stderr


class LineageServer(BaseHTTPRequestHandler):
    """Keeps the events of OpenLineage that it receives."""

    received: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def emit_to(address: str) -> dict[str, str]:
    """What the chart sets for a lineage server."""
    return {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "http", "url": address, "timeout": 2, "retry": {"total": 1}}
        ),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "user-insights",
        "AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD": "True",
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "3",
        "AIRFLOW__OPENLINEAGE__EMISSION_POLICY": '[{"scope": {}, "controls": {"include_source_code": false}}]',
    }


def test_a_run_emits_its_lineage(environment: dict[str, str], postgres: PostgresSettings) -> None:
    with HTTPServer(("127.0.0.1", 0), LineageServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        emitting = environment | emit_to(f"http://127.0.0.1:{server.server_port}")
        done = run(emitting, "ingest_users", "2026-11-20T15:00:00Z", pages=1, page_size=10)
        server.shutdown()
    assert "STATE success" in done.stdout, done.stdout[-3000:]
    events = [(event["eventType"], event["job"]["name"]) for event in LineageServer.received]
    assert {("START", "ingest_users.stage"), ("COMPLETE", "ingest_users.stage"), ("COMPLETE", "ingest_users")} <= set(
        events
    )
    assert {event["job"]["namespace"] for event in LineageServer.received} == {"user-insights"}
    [staged] = [event for event in LineageServer.received if event.get("outputs")]
    assert (staged["eventType"], staged["job"]["name"]) == ("COMPLETE", "ingest_users.stage")
    [table] = staged["outputs"]
    assert table["namespace"] == f"postgres://{postgres.host}:{postgres.port}"
    assert table["name"] == f"{postgres.dbname}.staging.users"
    assert "PageIngest" not in json.dumps(LineageServer.received)


def test_a_run_does_not_need_the_lineage_server(environment: dict[str, str], connection: Any) -> None:
    emitting = environment | emit_to(f"http://127.0.0.1:{free_port()}")
    done = run(emitting, "ingest_users", "2026-11-20T15:10:00Z", pages=1, page_size=10)
    assert "STATE success" in done.stdout, done.stdout[-3000:]
    assert len(read_staged(connection)) == 10


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    received: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()


def test_a_failed_task_is_reported_to_the_addresses_of_the_connection(
    environment: dict[str, str], connection: Any
) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO analytics.user_counts VALUES ('gender', 'female', 3, 1)")
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"config": {"path": f"json://127.0.0.1:{server.server_port}/", "tag": "all"}}
        notified = environment | {
            "AIRFLOW_CONN_APPRISE_DEFAULT": json.dumps({"conn_type": "apprise", "extra": extra}),
            "AIRFLOW__API__BASE_URL": "https://airflow.test",
        }
        failed = run(notified, "check_data_flow", "2026-11-20T12:50:00Z", wait_seconds=0)
        server.shutdown()
    assert "STATE failed" in failed.stdout
    [notice] = Webhook.received
    assert (notice["title"], notice["type"]) == ("User Insights: check_data_flow failed", "failure")
    assert notice["message"].startswith("Task ledger of run ")
    assert "user_counts: " in notice["message"]
    assert "\nhttps://airflow.test/dags/check_data_flow/runs/" in notice["message"]

    silent = run(environment, "check_data_flow", "2026-11-20T13:00:00Z", wait_seconds=0)
    assert "STATE failed" in silent.stdout
    assert "No notice was sent" in silent.stdout + silent.stderr


def test_a_redrive_publishes_the_corrected_record_through_the_providers_hook(
    environment: dict[str, str], connection: Any, kafka: KafkaSettings
) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantine.records (origin, event_id, reason, field, detail, version, event_time, size,"
            " sha256, payload) VALUES ('raw/0/1', '1', 'BAD_EMAIL', 'email', '', 1, now(), 2, 'x', '{}')"
        )
    redriven = run(environment, "redrive_quarantine", reason="BAD_EMAIL", patch={"email": "a@example.com"})
    assert "STATE success" in redriven.stdout, redriven.stdout[-3000:]
    with closing(RawTopic(kafka)) as topic:
        watermarks = read_watermarks(get_admin(kafka), kafka.raw_topic)
        assert [event.event_id for event in topic.events(watermarks)] == ["1"]

    again = run(environment, "redrive_quarantine", "2026-11-20T12:40:00Z", reason="BAD_EMAIL")
    assert "STATE failed" in again.stdout
    assert "the stream has not decided about it yet" in again.stdout + again.stderr
