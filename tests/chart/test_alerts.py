"""Each alert fires when its condition has lasted, not before, and clears; each has a runbook."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.chart.manifests import pods, selects
from tests.helpers.chart.promtool import Scenario, check, find_wrong, list_rules
from tests.helpers.chart.render import Rendered, overlaid, render, values_of
from tests.helpers.support import REPOSITORY

RUNBOOKS = REPOSITORY / "docs" / "runbooks"
MONITORED = overlaid(values_of("production"), {"postgres": {"synchronousReplicas": 1}})
JOB = 'job="default/insights-user-insights"'
STORE = 'job="default/insights-user-insights-{}"'


def flow(name: str, labels: str = "") -> str:
    return f"insights_flow_{name}{{{JOB}{labels}}}"


def stream(name: str, labels: str = "") -> str:
    return f"insights_stream_{name}{{{JOB}{labels}}}"


def dashboard(name: str, labels: str = "") -> str:
    return f"insights_dashboard_{name}{{{JOB}{labels}}}"


def of_store(store: str, name: str, labels: str = "") -> str:
    return f"{name}{{{STORE.format(store)}{labels}}}"


DEPLOYMENT = '{namespace="default", deployment="insights-user-insights-publisher"}'
STATEFUL_SET = '{namespace="default", statefulset="insights-user-insights-cassandra-dc1-r1-sts"}'
VOLUME = '{namespace="default", persistentvolumeclaim="data"}'

# Timestamps: promtool's clock starts at 0, so a series of `0x40 2400x20` is 40 minutes without and then one with news.
SCENARIOS = {
    "UserInsightsDataStale": Scenario({flow("newest_record_timestamp_seconds"): "0x40 2400x20"}, 36, 42),
    "UserInsightsLedgerBroken": Scenario({flow("ledger_state", ', state="broken"'): "0x4 1x4 0x9"}, 5, 10),
    "UserInsightsCheckStale": Scenario({flow("checked_timestamp_seconds"): "0x125 7500x20"}, 121, 127),
    "UserInsightsFlowUnmeasured": Scenario({flow("measured_timestamp_seconds"): "0x10 660x2 720x9"}, 8, 12),
    "UserInsightsIngestLate": Scenario({flow("staged_timestamp_seconds"): "0x40 2400x20"}, 36, 42),
    "UserInsightsPublisherWithoutLeader": Scenario(
        {
            f"insights_publisher_leader{{{JOB}, pod='{pod}'}}": values
            for pod, values in (("a", "1x4 0x5 1x9"), ("b", "0x20"))
        },
        7,
        11,
    ),
    "UserInsightsPublisherGateHeld": Scenario(
        {f"insights_publisher_gate_wait_seconds{{{JOB}}}": "0x4 61x5 0x9"}, 7, 11
    ),
    "UserInsightsPublisherLagGrowing": Scenario({flow("unpublished_rows"): "10001+100x25 0x30"}, 11, 27),
    "UserInsightsStreamLagGrowing": Scenario({flow("unread_messages"): "50001+100x25 0x30"}, 11, 27),
    "UserInsightsStreamNotProgressing": Scenario(
        {flow("unread_messages"): "5x20 0x9", flow("delivered_timestamp_seconds"): "0x30"}, 11, 22
    ),
    # A driver reports until minute 9. Others start from minute 20 on, each for two minutes, and end without a report.
    "UserInsightsStreamDown": Scenario(
        {
            stream("reported_timestamp_seconds", ', pod="first"'): "0+60x9 _x50",
            stream("reported_timestamp_seconds", ', pod="next"'): "_x20 0x2 _x5 0x2 _x30",
            stream("reported_timestamp_seconds", ', pod="last"'): "_x40 0x2 2580+60x20",
        },
        25,
        44,
    ),
    "UserInsightsDeliveryOverdue": Scenario({flow("overdue_batches"): "0x4 1x5 0x9"}, 7, 11),
    "UserInsightsBatchesSlowerThanArrivals": Scenario(
        {
            stream("input_rows_per_second"): "100x30 10x60",
            stream("processed_rows_per_second"): "90x90",
            flow("unread_messages"): "5x90",
        },
        15,
        45,
    ),
    "UserInsightsQuarantineRate": Scenario(
        {
            stream("records_total", ', verdict="accepted"'): "0+90x90",
            stream("records_total", ', verdict="rejected"'): "0+10x30 300x60",
        },
        16,
        46,
    ),
    "UserInsightsQuarantineBurst": Scenario(
        {flow("rejected_records", ', reason="INVALID_EMAIL"'): "0x4 1001x5 0x9"}, 5, 11
    ),
    "UserInsightsDashboardErrors": Scenario({dashboard("errors_total"): "0x4 1x30"}, 5, 16),
    # Half of the queries of both stores fail. From minute 20 to 40, all of one store do, and then none.
    "UserInsightsDashboardQueriesFailing": Scenario(
        {
            dashboard("queries_total", f', store="{store}", outcome="{outcome}"'): values
            for store, outcome, values in (
                ("Cassandra", "answered", "0+9x90"),
                ("Cassandra", "failed", "0+9x90"),
                ("PostgreSQL", "answered", "0+9x20 180x20 189+9x40"),
                ("PostgreSQL", "failed", "0+9x40 360x40"),
            )
        },
        31,
        46,
    ),
    "UserInsightsPodNotReady": Scenario(
        {
            f"kube_deployment_status_replicas_available{DEPLOYMENT}": "2x4 1x15 2x9",
            f"kube_deployment_spec_replicas{DEPLOYMENT}": "2x30",
        },
        15,
        21,
    ),
    "UserInsightsDiskFillingUp": Scenario(
        {
            f"kubelet_volume_stats_available_bytes{VOLUME}": "390-1x120 390x90",
            f"kubelet_volume_stats_capacity_bytes{VOLUME}": "1000x300",
        },
        61,
        211,
    ),
    "UserInsightsCertificateExpires": Scenario(
        {'certmanager_certificate_expiration_timestamp_seconds{exported_namespace="default"}': "1000000x90 9000000x9"},
        60,
        92,
    ),
    "UserInsightsKafkaUnderReplicated": Scenario(
        {of_store("kafka", "kafka_server_replicamanager_underreplicatedpartitions"): "0x4 2x15 0x9"}, 15, 21
    ),
    "UserInsightsPostgresReplicaLag": Scenario(
        {of_store("postgres", "cnpg_pg_replication_lag"): "0x4 61x9 0x9"}, 10, 15
    ),
    "UserInsightsPostgresNoSynchronousReplica": Scenario(
        {
            of_store("postgres", "cnpg_collector_sync_replicas", ', value="observed"'): "1x4 0x5 1x9",
            of_store("postgres", "cnpg_collector_sync_replicas", ', value="expected"'): "1x30",
        },
        7,
        11,
    ),
    "UserInsightsWalArchiveFailing": Scenario(
        {
            of_store("postgres", "cnpg_pg_stat_archiver_last_failed_time"): "0x4 300x30",
            of_store("postgres", "cnpg_pg_stat_archiver_last_archived_time"): "200x24 1500x9",
        },
        20,
        26,
    ),
    "UserInsightsBackupTooOld": Scenario(
        {of_store("postgres", "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp"): ("-129601x70 4200x9")},
        60,
        72,
    ),
    "UserInsightsCassandraNodeDown": Scenario(
        {
            f"kube_statefulset_status_replicas_ready{STATEFUL_SET}": "1x4 0x9 1x9",
            f"kube_statefulset_replicas{STATEFUL_SET}": "1x30",
        },
        10,
        15,
    ),
    "UserInsightsCassandraCompactionsPending": Scenario(
        {of_store("cassandra", "org_apache_cassandra_metrics_compaction_pending_tasks"): "0x4 101x35 0x9"}, 35, 41
    ),
}


@pytest.fixture(scope="module")
def monitored() -> Rendered:
    return render(MONITORED)


def test_the_rules_are_valid(monitored: Rendered, tmp_path: Path) -> None:
    assert check(monitored, tmp_path) == ""


def test_every_alert_has_a_scenario(monitored: Rendered) -> None:
    assert [rule["alert"] for rule in list_rules(monitored)] == list(SCENARIOS)


@pytest.mark.parametrize("alert", SCENARIOS)
def test_an_alert_fires_in_time_and_clears(monitored: Rendered, alert: str, tmp_path: Path) -> None:
    assert find_wrong(monitored, {alert: SCENARIOS[alert]}, tmp_path) == ""


def test_a_stream_that_never_ran_is_down(monitored: Rendered, tmp_path: Path) -> None:
    series = {stream("reported_timestamp_seconds"): "_x30 1800+60x10"}
    assert find_wrong(monitored, {"UserInsightsStreamDown": Scenario(series, 10, 31)}, tmp_path) == ""


def test_a_deployment_without_a_replica_is_not_ready(monitored: Rendered, tmp_path: Path) -> None:
    series = {
        f"kube_deployment_status_replicas_available{DEPLOYMENT}": "2x4 0x15 2x9",
        f"kube_deployment_spec_replicas{DEPLOYMENT}": "2x4 0x15 2x9",
    }
    assert find_wrong(monitored, {"UserInsightsPodNotReady": Scenario(series, 15, 21)}, tmp_path) == ""


def test_every_alert_has_a_runbook_with_the_same_parts(monitored: Rendered) -> None:
    alerts = {rule["alert"] for rule in list_rules(monitored)}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == alerts | {"README"}
    for alert in alerts:
        lines = (RUNBOOKS / f"{alert}.md").read_text().splitlines()
        headings = [line for line in lines if line.startswith("#")]
        assert headings == [f"# {alert}", "## Meaning", "## Impact", "## Look", "## Do"]
        assert f"| [{alert}]({alert}.md) |" in (RUNBOOKS / "README.md").read_text()


def test_an_alert_names_its_release_severity_and_runbook() -> None:
    alerts = {"runbookUrl": "https://example.org/runbooks/", "disabled": ["UserInsightsDataStale"]}
    rules = list_rules(render(overlaid(MONITORED, {"monitoring": {"alerts": alerts}}), namespace="insights-ns"))
    assert "UserInsightsDataStale" not in [rule["alert"] for rule in rules]
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert (rule["labels"]["release"], rule["labels"]["release_namespace"]) == ("insights", "insights-ns")
        assert rule["annotations"]["runbook_url"] == f"https://example.org/runbooks/{rule['alert']}.md"
        assert "$namespace" not in rule["expr"]
        assert 'namespace="insights-ns"' in rule["expr"] or 'job="insights-ns/insights-user-insights' in rule["expr"]


def test_alerts_on_stores_come_with_the_stores() -> None:
    alone = list_rules(render(overlaid(values_of("small"), {"monitoring": {"enabled": True}})))
    names = [rule["alert"] for rule in alone]
    assert [name for name in names if "Cassandra" in name or "Postgres" in name or "Kafka" in name] == []
    assert "UserInsightsLedgerBroken" in names


def list_scraped_ports(rendered: Rendered, monitor: dict[str, Any]) -> dict[str, list[int]]:
    """The ports of the pods that a PodMonitor selects and does not drop, by component."""
    scraped: dict[str, list[int]] = {}
    for pod in pods(rendered):
        component = pod.labels.get("app.kubernetes.io/component", "")
        if not selects(monitor["selector"], pod.labels):
            continue
        ports = {port["name"]: port["containerPort"] for one in pod.containers() for port in one.spec.get("ports", [])}
        for endpoint in monitor["podMetricsEndpoints"]:
            dropped = {rule["regex"] for rule in endpoint.get("relabelings", []) if rule["action"] == "drop"}
            if endpoint["port"] in ports and component not in dropped:
                scraped.setdefault(component, []).append(ports[endpoint["port"]])
    return scraped


def test_what_prometheus_scrapes_is_what_the_pods_serve(monitored: Rendered) -> None:
    monitors = {one["metadata"]["name"]: one["spec"] for one in monitored.of("PodMonitor")}
    assert set(monitors) == {f"insights-user-insights{end}" for end in ("", "-postgres", "-kafka", "-cassandra")}
    assert list_scraped_ports(monitored, monitors["insights-user-insights"]) == {
        "publisher": [8085],
        "stream": [8086],
        "exporter": [8087],
        "dashboard": [8088],
    }


@pytest.mark.parametrize("enabled", [True, False])
def test_pods_are_annotated_for_prometheus_only_without_its_operator(enabled: bool) -> None:
    rendered = render(overlaid(values_of("kind"), {"monitoring": {"enabled": enabled}}))
    annotated = {
        pod.labels["app.kubernetes.io/component"]: pod.metadata["annotations"]["prometheus.io/port"]
        for pod in pods(rendered)
        if "prometheus.io/port" in (pod.metadata.get("annotations") or {})
    }
    assert annotated == ({} if enabled else {"publisher": "8085", "stream": "8086", "dashboard": "8088"})
    assert ("prometheus.io/scrape" in rendered.text) is not enabled
    assert bool(rendered.of("PodMonitor", "PrometheusRule")) is enabled
