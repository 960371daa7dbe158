"""The exporter measures real stores, and a real Prometheus fires the chart's alerts on it and clears them."""

import math
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from insights.ledger.check import check_ledger
from insights.model.message import make_page_trace
from insights.probes import ProbeServer
from insights.settings import to_environment
from insights.sinks.latencies import BucketOfUsers
from insights.sinks.micro_batch import DeliveredBatch
from insights.stream.executors import ExecutorState
from insights.stream.metrics import StreamMetrics
from scripts.grafana_dashboards import DASHBOARDS
from tests.helpers import publisher_process
from tests.helpers.dashboard_process import run_dashboard
from tests.helpers.idle_flow import IdleFlow
from tests.helpers.page_text import read_page
from tests.helpers.prometheus_server import Prometheus, run_prometheus
from tests.helpers.recorded_metrics import serve_recorded_metrics
from tests.helpers.support import REPOSITORY, eventually, free_port


@contextmanager
def run_exporter(flow: IdleFlow, port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    own = {"INSIGHTS_EXPORTER_HTTP_PORT": str(port), "INSIGHTS_EXPORTER_INTERVAL_SECONDS": "1"}
    process = subprocess.Popen(
        [sys.executable, "jobs/export_metrics.py"],
        cwd=REPOSITORY,
        env=os.environ | to_environment(flow.stores.postgres, flow.stores.kafka) | own | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_metrics(port: int) -> dict[str, float]:
    """The metrics by name and label value; empty while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        " ".join([sample.name.removeprefix("insights_flow_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def wait_until_measured(port: int) -> dict[str, float]:
    eventually(lambda: "records served" in read_metrics(port), 60, "the exporter has measured nothing")
    return read_metrics(port)


def test_the_exporter_says_what_the_stores_hold(flow: IdleFlow) -> None:
    ledger = check_ledger(flow.stores)
    port = free_port()
    with run_exporter(flow, port) as process:
        metrics = wait_until_measured(port)
        served = {hop.name: hop.left for hop in ledger.hops}["users"]
        assert metrics["records served"] == served > 0
        assert [metrics[name] for name in ("unpublished_rows", "unread_messages", "undelivered_batches")] == [0, 0, 0]
        assert metrics["ledger_state closed"] == 1
        assert metrics["checked_timestamp_seconds"] == pytest.approx(ledger.checked_at.timestamp(), abs=0.01)
        assert metrics["fully_checked_timestamp_seconds"] == metrics["checked_timestamp_seconds"]
        process.terminate()
        assert process.wait(30) == 0


def test_without_kafka_the_rest_is_still_measured(flow: IdleFlow) -> None:
    port = free_port()
    with run_exporter(flow, port, INSIGHTS_KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"):
        metrics = wait_until_measured(port)
        assert math.isnan(metrics["unread_messages"])
        assert metrics["measurement_failures_total kafka"] >= 1


@pytest.mark.timeout(600)
def test_alerts_fire_and_clear_when_the_thing_happens(flow: IdleFlow, tmp_path: Path) -> None:
    ports = {"exporter": free_port(), "publisher": free_port()}
    flow.sql("UPDATE staging.batches SET staged_at = now()")
    with run_prometheus(tmp_path, ports) as prometheus:
        prometheus.wait_until_firing("UserInsightsFlowUnmeasured")
        with run_exporter(flow, ports["exporter"]):
            prometheus.wait_until_clear("UserInsightsFlowUnmeasured")

            prometheus.wait_until_firing("UserInsightsPublisherWithoutLeader")
            job = publisher_process.run_job(flow.stores.postgres, flow.stores.kafka, http_port=ports["publisher"])
            with job:
                prometheus.wait_until_clear("UserInsightsPublisherWithoutLeader")
            prometheus.wait_until_firing("UserInsightsPublisherWithoutLeader")

            prometheus.wait_until_firing("UserInsightsCheckStale")
            assert check_ledger(flow.stores).closed
            prometheus.wait_until_clear("UserInsightsCheckStale")

            flow.sql("UPDATE analytics.user_counts SET count = count + 1")
            assert not check_ledger(flow.stores).closed
            prometheus.wait_until_firing("UserInsightsLedgerBroken")
            flow.sql("UPDATE analytics.user_counts SET count = count - 1")
            assert check_ledger(flow.stores).closed
            prometheus.wait_until_clear("UserInsightsLedgerBroken")

            flow.sql("UPDATE staging.batches SET staged_at = now() - interval '1 hour'")
            prometheus.wait_until_firing("UserInsightsIngestLate")
            flow.sql("UPDATE staging.batches SET staged_at = now()")
            prometheus.wait_until_clear("UserInsightsIngestLate")

            flow.sql("UPDATE analytics.batches SET served_at = NULL, merged_at = now() - interval '1 hour'")
            prometheus.wait_until_firing("UserInsightsDeliveryOverdue")
            flow.sql("UPDATE analytics.batches SET served_at = now()")
            prometheus.wait_until_clear("UserInsightsDeliveryOverdue")


def serve_stream_metrics() -> ProbeServer:
    """The stream's metrics after a micro-batch; a stream itself would take a minute to start."""
    metrics = StreamMetrics()
    latencies = [BucketOfUsers(0, 9, 3.6, 0.4, "seed/1")]
    metrics.record_batch(DeliveredBatch(1, accepted=9, rejected=1, seconds={"postgres": 0.1}, latencies=latencies))
    metrics.record_executors([ExecutorState("1", 4, 1, 20, 3, 4.5, 0.5, 600, 700, 8000, 9000)])
    offsets = {"users.raw": {"0": 10}}
    metrics.record_progress(
        {
            "inputRowsPerSecond": 1.0,
            "processedRowsPerSecond": 2.0,
            "durationMs": {"triggerExecution": 900},
            "sources": [{"endOffset": offsets, "latestOffset": offsets}],
        }
    )
    checks = {"healthz": metrics.check_liveness, "readyz": metrics.check_readiness}
    return ProbeServer("127.0.0.1", 0, "INSIGHTS_STREAM_HTTP_PORT", metrics.registry, **checks)


def every_query_has_data(prometheus: Prometheus, queries: set[str]) -> bool:
    missing = [query for query in sorted(queries) if not prometheus.has_data(query)]
    assert not missing, missing
    return True


def list_queries(dashboard: str) -> set[str]:
    _, rows = DASHBOARDS[dashboard]
    return {query for panels in rows.values() for one in panels for query in one.queries.values()}


def test_every_panel_of_the_stores_has_data_where_their_operators_serve_it(tmp_path: Path) -> None:
    with serve_recorded_metrics() as address, run_prometheus(tmp_path, {}, address) as prometheus:
        eventually(lambda: every_query_has_data(prometheus, list_queries("stores")), 60, "a panel has no data")


@pytest.mark.timeout(600)
def test_every_panel_of_the_flow_has_data(flow: IdleFlow, tmp_path: Path) -> None:
    assert check_ledger(flow.stores).closed
    queries = list_queries("flow")
    with closing(serve_stream_metrics()) as stream:
        names = ("exporter", "publisher", "dashboard")
        ports = {name: free_port() for name in names} | {"stream": stream.port}
        job = publisher_process.run_job(flow.stores.postgres, flow.stores.kafka, http_port=ports["publisher"])
        metrics = {"INSIGHTS_DASHBOARD_METRICS_PORT": str(ports["dashboard"])}
        with (
            job,
            run_exporter(flow, ports["exporter"]),
            run_dashboard(flow.stores, tmp_path / "dashboard.log", **metrics) as pages,
            run_prometheus(tmp_path, ports) as prometheus,
        ):
            read_page(int(pages.rpartition(":")[2]))
            eventually(lambda: every_query_has_data(prometheus, queries), 90, "a panel has no data")
            expected = {make_page_trace("seed/1")[0]}
            eventually(lambda: prometheus.list_traces("insights_stream_latency_seconds_bucket") == expected, 30)
