"""Values that cannot work are rejected before anything is created, with a sentence that names value and remedy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.helpers.chart.render import API_VERSIONS, CHART, HelmError, overlaid, render, values_of

FAIL = re.compile(r'\bfail \(?(?:printf )?"((?:[^"\\]|\\.)*)"')
NEEDS_A_CLUSTER = ("The Secret %q is not in namespace", "Namespace %s already has a CassandraDatacenter")
"""Failures that need a cluster, which `helm template` does not have."""
SMALL, DEFAULTS = values_of("small"), values_of("defaults")
STORE = "postgres.backup.destinationPath=s3://b/p, postgres.backup.existingSecret=s"


class Case(NamedTuple):
    """Values over a profile's, and what the error message says."""

    values: str
    says: str
    base: dict[str, Any] = SMALL
    unknown_api: str = ""


def values_from(text: str) -> dict[str, Any]:
    """Return `a.b=1, c=x` as nested values, each parsed as YAML."""
    values: dict[str, Any] = {}
    for assignment in filter(None, text.split(", ")):
        path, value = assignment.split("=", 1)
        nested = yaml.safe_load(value)
        for part in reversed(path.split(".")):
            nested = {part: nested}
        values = overlaid(values, nested)
    return values


TYPOS = [
    Case("publisher.replica=1", r"'/publisher': additional properties 'replica' not allowed"),
    Case("publishers={}", r"additional properties 'publishers' not allowed"),
    Case("publisher.replicas=two", r"'/publisher/replicas': got string, want integer"),
    Case("stream.runner=spark", r"'/stream/runner': value must be one of 'sparkOperator', 'deployment'"),
    Case("publisher.resources.request={}", r"'/publisher/resources': additional properties 'request' not allowed"),
]
CONTRADICTIONS = [
    Case(
        "images.registry=''",
        r"images\.registry is empty, so nodes cannot pull user-insights/publisher:\S+: build and push",
    ),
    Case(
        "images.registry='', images.preloaded=true, images.pullPolicy=Always",
        "images.preloaded is true but images.pullPolicy is Always",
    ),
    Case("kafka.external.bootstrapServers=''", "kafka.external.bootstrapServers is empty: set it"),
    Case("kafka.external.enabled=false", 'kafka.external.bootstrapServers is "kafka:9092" but'),
    Case("kafka.external.securityProtocol=SASL_SSL", "kafka.external.existingSecret is empty: name the Secret"),
    Case("postgres.external.host=''", "postgres.external.host is empty: set it"),
    Case("postgres.external.enabled=false", 'postgres.external.host is "postgres" but'),
    Case("postgres.external.existingSecret=''", "postgres.external.existingSecret is empty: name the Secret"),
    Case("postgres.external.sslmode=verify-full", "postgres.external.caSecret is empty: name the Secret"),
    Case("cassandra.external.hosts=''", "cassandra.external.hosts is empty: set it"),
    Case("cassandra.external.enabled=false", 'cassandra.external.hosts is "cassandra" but'),
    Case("airflow.dashboardUser.username=admin", 'dashboardUser.username is "admin", as is airflow.admin.username'),
    Case("kafka.topics.minInSyncReplicas=2", r"which exceeds kafka.topics.replicas \(1\)"),
    Case("kafka.topics.replicas=3", r"which exceeds kafka.brokers.replicas \(1\)", DEFAULTS),
    Case("postgres.synchronousReplicas=1", "postgres.synchronousReplicas is 1 but postgres.instances is 1", DEFAULTS),
    Case("postgres.backup.enabled=true", "also set postgres.backup.destinationPath, and", DEFAULTS),
    Case("postgres.recovery.enabled=true", "postgres.recovery.enabled is true: also set", DEFAULTS),
    Case(
        f"postgres.recovery.enabled=true, {STORE}",
        "postgres.recovery.enabled and postgres.external.enabled are both true",
    ),
    Case(
        f"postgres.recovery.enabled=true, postgres.backup.enabled=true, {STORE}",
        "must not archive to the folder that it is recovered from; set another",
        DEFAULTS,
    ),
    Case(
        f"postgres.recovery.enabled=true, postgres.backup.enabled=true, {STORE},"
        " postgres.recovery.serverName=insights-user-insights-postgres",
        'both mean "insights-user-insights-postgres"',
        DEFAULTS,
    ),
    Case("cassandra.replicationFactor=3", r"which exceeds cassandra.size \(1\)", DEFAULTS),
    Case("cassandra.backup.enabled=true", "name the MedusaConfiguration", DEFAULTS),
    Case("cassandra.softPodAntiAffinity=true", "request and limit both CPU and memory: add what", DEFAULTS),
    Case(
        "cassandra.tls.enabled=false, cassandra.tls.internode=required",
        'cassandra.tls.internode is "required" but cassandra.tls.enabled is false',
        DEFAULTS,
    ),
    Case(f"fullnameOverride={'n' * 41}", "has 41 characters"),
    Case(
        f"cassandra.datacenter={'d' * 40}",
        "characters too long: shorten fullnameOverride, cassandra.datacenter",
        DEFAULTS,
    ),
    Case("airflow.config.AIRFLOW__CORE__FERNET_KEY=x", "AIRFLOW__CORE__FERNET_KEY, which is secret: put it"),
    Case("airflow.config.parallelism=x", '"parallelism", which is not an Airflow setting: write it'),
    Case("source.simulator.enabled=false", "there is nothing to fetch from"),
    Case("lineage.url=marquez:5000", 'lineage.url is "marquez:5000": set it to a URL'),
    Case(
        "lineage.url='http://marquez:5000', airflow.enabled=false",
        'lineage.url is "http://marquez:5000" but airflow.enabled is false',
    ),
    Case("telemetry.otlp.endpoint=collector:4318", 'telemetry.otlp.endpoint is "collector:4318": set it to a URL'),
    Case(
        "telemetry.otlp.existingSecret=s", 'telemetry.otlp.existingSecret is "s" but telemetry.otlp.endpoint is empty'
    ),
    Case("airflow.existingDatabaseSecret=''", "set airflow.existingDatabaseSecret"),
    Case("stream.executor.dynamicAllocation.enabled=true", "which has no executors"),
    Case("dashboard.httpRoute.enabled=true", "httpRoute.enabled is true for insights.localhost .* name the Gateway"),
    Case("airflow.httpRoute.enabled=true", "httpRoute.enabled is true for airflow.localhost .* name the Gateway"),
    Case(
        "dashboard.autoscaling.enabled=true, dashboard.autoscaling.minReplicas=9",
        r"minReplicas is 9, which exceeds dashboard.autoscaling.maxReplicas \(5\)",
    ),
    Case(
        "monitoring.enabled=true, monitoring.alerts.disabled=[Stale]",
        'monitoring.alerts.disabled names "Stale", which is not an alert',
    ),
    Case("dashboard.auth.allowAnonymous=false", "dashboard.ingress.enabled is true: set the mode to oidc or proxy"),
    Case(
        "dashboard.httpRoute.enabled=true, dashboard.httpRoute.gateway=g",
        "dashboard.httpRoute.enabled is true: set the mode",
        DEFAULTS,
    ),
    Case("dashboard.auth.mode=oidc", "dashboard.auth.mode is oidc, which lets nobody in without a login"),
    Case("dashboard.auth.viewers=[ann@example.org]", "is none, which identifies no visitor", DEFAULTS),
    Case("dashboard.auth.mode=proxy", "dashboard.auth.viewers is empty but dashboard.auth.mode is proxy", DEFAULTS),
    Case("dashboard.auth.mode=oidc, dashboard.auth.viewers=['*']", "name the Secret with secrets.toml", DEFAULTS),
    Case(
        "dashboard.auth.mode=proxy, dashboard.auth.viewers=['*']",
        "name the Secret whose secret the proxy sends",
        DEFAULTS,
    ),
]
MISSING_OPERATORS = [
    Case("", "kafka.strimzi.io/v1/Kafka of Strimzi.* is not defined in this cluster", DEFAULTS, "kafka.strimzi.io/"),
    Case(
        "",
        "postgresql.cnpg.io/v1/.* of CloudNativePG.* is not defined in this cluster",
        DEFAULTS,
        "postgresql.cnpg.io/",
    ),
    Case("", "k8ssandra.io/v1alpha1/K8ssandraCluster.* is not defined in this cluster", DEFAULTS, "k8ssandra.io/"),
    Case("", "cert-manager.io/v1/Certificate.* is not defined in this cluster", DEFAULTS, "cert-manager.io/"),
    Case(
        "",
        "sparkoperator.k8s.io/v1beta2/SparkApplication.* is not defined in this cluster",
        DEFAULTS,
        "sparkoperator.k8s.io/",
    ),
    Case(
        "monitoring.enabled=true",
        "monitoring.coreos.com/v1/PodMonitor of the Prometheus operator.* is not defined in this cluster",
        unknown_api="monitoring.coreos.com/",
    ),
    Case(
        "dashboard.httpRoute.enabled=true, dashboard.httpRoute.gateway=public",
        "gateway.networking.k8s.io/v1/HTTPRoute.* is not defined in this cluster",
        unknown_api="gateway.networking.k8s.io/",
    ),
]


def rejection(case: Case) -> str:
    known = [one for one in API_VERSIONS if not case.unknown_api or not one.startswith(case.unknown_api)]
    with pytest.raises(HelmError) as rejected:
        render(overlaid(case.base, values_from(case.values)), api_versions=tuple(known))
    return str(rejected.value)


@pytest.mark.parametrize("case", TYPOS, ids=lambda case: case.values)
def test_an_unknown_value_is_rejected_by_name(case: Case) -> None:
    assert re.search(case.says, rejection(case))


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=lambda case: case.values[:60])
def test_contradictory_values_are_rejected_with_one_sentence(case: Case) -> None:
    sentence = rejection(case)
    assert re.search(case.says, sentence)
    assert sentence.splitlines()[0].endswith(".")


@pytest.mark.parametrize("case", MISSING_OPERATORS, ids=lambda case: case.unknown_api)
def test_a_missing_operator_is_named_with_the_remedy(case: Case) -> None:
    sentence = rejection(case).splitlines()[0]
    assert re.search(case.says, sentence)
    assert re.search(r"install .*, or set [\w.]+=\w+\.$", sentence)


def test_a_profile_with_external_stores_needs_no_operator() -> None:
    assert render("small", api_versions=API_VERSIONS[:1]).resources


def test_operators_can_be_required_where_there_is_no_cluster_to_ask() -> None:
    with pytest.raises(HelmError, match="is not defined in this cluster"):
        render(overlaid(DEFAULTS, {"requireCrds": True}), api_versions=())


def test_operators_need_not_be_there() -> None:
    assert render(overlaid(DEFAULTS, {"requireCrds": False}), api_versions=API_VERSIONS[:1]).resources


def test_every_failure_in_the_templates_is_tested_here() -> None:
    rejections = [rejection(case) for case in [*CONTRADICTIONS, *MISSING_OPERATORS]]
    untested = [
        text
        for path in (CHART / "templates").rglob("*.[ty]*")
        for text in failures(path)
        if not any(re.search(pattern(text), said) for said in rejections)
    ]
    assert [text for text in untested if not text.startswith(NEEDS_A_CLUSTER)] == []


def failures(template: Path) -> Iterator[str]:
    yield from (found.replace('\\"', '"') for found in FAIL.findall(template.read_text()))


def pattern(text: str) -> str:
    return re.sub(r"%[a-z]", ".*", re.sub(r"([\\.()\[\]+*?^$|{}])", r"\\\1", text))
