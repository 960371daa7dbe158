"""The network policies admit every connection that a program needs, at both ends, and no other."""

from itertools import product
from typing import NamedTuple

import pytest

from tests.helpers.chart.manifests import Pod, name_of, pods
from tests.helpers.chart.network_policies import admits, may_send, passes, rules
from tests.helpers.chart.render import Rendered, effective, overlaid, render, values_of
from tests.helpers.cluster.declared_edges import COMPONENTS, EDGES, OUTSIDE


class Store(NamedTuple):
    """A store: the variable with its address, its port, and the kind and label of the pods of its operator."""

    variable: str
    port: int
    kind: str
    label: str


STORES = [
    Store("INSIGHTS_POSTGRES_HOST", 5432, "Cluster", "cnpg.io/cluster"),
    Store("INSIGHTS_KAFKA_BOOTSTRAP_SERVERS", 9093, "Kafka", "strimzi.io/cluster"),
    Store("INSIGHTS_CASSANDRA_HOSTS", 9042, "K8ssandraCluster", "cassandra.datastax.com/cluster"),
]


def has_variable(pod: Pod, variable: str) -> bool:
    return any(variable in container.environment for container in pod.containers())


def store_pods(rendered: Rendered, store: Store) -> dict[str, str] | None:
    """Return the labels of a store's pods, None if the store is external."""
    names = [one["metadata"]["name"] for one in rendered.of(store.kind)]
    return {store.label: names[0]} if names else None


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.kind)
def test_every_program_reaches_the_stores_in_its_settings(rendered: Rendered, store: Store) -> None:
    labels = store_pods(rendered, store)
    port = store.port if labels or store.kind != "Kafka" else 9092
    users = [pod for pod in pods(rendered) if has_variable(pod, store.variable)]
    assert users
    assert [pod.owner for pod in users if not may_send(rendered, pod, port, labels)] == []
    assert [pod.owner for pod in users if labels and not admits(rendered, labels, port, pod.labels)] == []


def test_spark_s_driver_and_executors_reach_each_other_and_kafka(rendered: Rendered) -> None:
    spark = [pod for pod in pods(rendered) if pod.owner.startswith("SparkApplication/")]
    for sender in spark:
        for receiver in spark:
            assert may_send(rendered, sender, 7079, receiver.labels)
            assert admits(rendered, receiver.labels, 7079, sender.labels)
        assert may_send(rendered, sender, 9093, store_pods(rendered, STORES[1]))


def test_tasks_reach_the_source_and_the_source_lets_them_in(profile: str, rendered: Rendered) -> None:
    source = next((pod for pod in pods(rendered) if pod.owner.endswith("-source")), None)
    tasks = [pod for pod in pods(rendered) if pod.labels["app.kubernetes.io/component"] == "airflow-task"]
    for task in tasks:
        port = 8084 if source else 443
        assert may_send(rendered, task, port, source.labels if source else None)
        assert source is None or admits(rendered, source.labels, port, task.labels)
    assert bool(tasks) == effective(values_of(profile))["airflow"]["enabled"]


def test_the_stream_reaches_the_object_store_of_its_checkpoint_and_only_that_port() -> None:
    for address, port in {"": 443, "http://store": 80, "http://store.minio:9000": 9000}.items():
        checkpoint = {"uri": "s3a://bucket/path", "endpointURL": address}
        rendered = render(overlaid(values_of("small"), {"stream": {"checkpoint": checkpoint}}))
        [stream] = [pod for pod in pods(rendered) if pod.owner.endswith("-stream")]
        open_ports = [one for one in (80, 443, 9000) if may_send(rendered, stream, one, None)]
        assert open_ports == [port]


def test_airflow_s_parts_reach_its_api_server(rendered: Rendered) -> None:
    parts = [
        pod
        for pod in pods(rendered)
        if pod.labels["app.kubernetes.io/component"].startswith("airflow-") and not pod.owner.startswith("CronJob/")
    ]
    [server] = [pod for pod in parts if pod.labels["app.kubernetes.io/component"] == "airflow-api-server"]
    for pod in parts:
        if pod is not server:
            assert may_send(rendered, pod, 8080, server.labels), pod.owner
            assert admits(rendered, server.labels, 8080, pod.labels), pod.owner


def test_the_dashboard_reaches_airflow(rendered: Rendered) -> None:
    [server] = [pod for pod in pods(rendered) if pod.labels["app.kubernetes.io/component"] == "airflow-api-server"]
    [dashboard] = [pod for pod in pods(rendered) if has_variable(pod, "INSIGHTS_AIRFLOW_URL")]
    assert dashboard.labels["app.kubernetes.io/component"] == "dashboard"
    assert may_send(rendered, dashboard, 8080, server.labels)
    assert admits(rendered, server.labels, 8080, dashboard.labels)


def test_without_airflow_the_dashboard_has_no_address_of_it_and_no_route_to_it() -> None:
    rendered = render(overlaid(values_of("small"), {"airflow": {"enabled": False}}))
    assert [pod.owner for pod in pods(rendered) if has_variable(pod, "INSIGHTS_AIRFLOW_URL")] == []
    [dashboard] = [pod for pod in pods(rendered) if pod.owner.endswith("-dashboard")]
    assert not may_send(rendered, dashboard, 8080, None)


def test_pods_with_a_token_reach_kubernetes_and_no_others_do(rendered: Rendered) -> None:
    for pod in pods(rendered):
        has_token = pod.spec.get("automountServiceAccountToken") is not False
        reaches = may_send(rendered, pod, 6443, None) and may_send(rendered, pod, 443, None)
        if has_token:
            assert reaches, pod.owner
        else:
            assert not may_send(rendered, pod, 6443, None), pod.owner


def test_every_pod_resolves_names(rendered: Rendered) -> None:
    for pod in pods(rendered):
        out = rules(rendered, pod.labels, "Egress") or []
        ports = {(port["protocol"], port["port"]) for rule in out if "to" not in rule for port in rule["ports"]}
        assert {("UDP", 53), ("TCP", 53)} <= ports, pod.owner


def test_visitors_reach_the_dashboard_but_no_store(rendered: Rendered) -> None:
    visitor = {"app": "ingress-controller"}
    [dashboard] = [pod for pod in pods(rendered) if pod.owner.endswith("-dashboard")]
    assert admits(rendered, dashboard.labels, 8501, visitor)
    for store in STORES:
        labels = store_pods(rendered, store)
        if labels and store.kind != "Kafka":
            assert not admits(rendered, labels, store.port, visitor), store.kind


def test_prometheus_reads_metrics_from_its_namespace_and_not_the_pages() -> None:
    spaces = {"metricsNamespaceLabels": {"name": "monitoring"}, "ingressNamespaceLabels": {"name": "ingress"}}
    rendered = render(overlaid(values_of("small"), {"networkPolicy": spaces}))
    [dashboard] = [pod for pod in pods(rendered) if pod.owner.endswith("-dashboard")]
    admitted = {
        (peer["namespaceSelector"]["matchLabels"]["name"], port["port"])
        for rule in rules(rendered, dashboard.labels, "Ingress") or []
        for peer in rule["from"]
        for port in rule["ports"]
    }
    assert admitted >= {("monitoring", 8088), ("ingress", 8501)}
    assert not admitted & {("monitoring", 8501), ("ingress", 8088)}


def test_kafka_s_listeners_authenticate_clients_over_tls(rendered: Rendered) -> None:
    for kafka in rendered.of("Kafka"):
        for listener in kafka["spec"]["kafka"]["listeners"]:
            assert listener["authentication"]["type"] in {"scram-sha-512", "tls"}, name_of(kafka)
            assert listener["tls"] is True


def test_no_policy_is_rendered_when_they_are_disabled(profile: str) -> None:
    off = render(overlaid(values_of(profile), {"networkPolicy": {"enabled": False}}))
    assert off.of("NetworkPolicy") == []


@pytest.mark.parametrize("name", EDGES)
def test_a_profile_admits_the_declared_connections_and_no_others(name: str) -> None:
    rendered, edges = render(values_of(name)), EDGES[name]
    key = "app.kubernetes.io/component"
    [labels, *_] = [pod.labels for pod in pods(rendered)]
    assert {pod.labels[key] for pod in pods(rendered)} <= set(COMPONENTS)
    members: dict[str, dict[str, str] | None] = {"visitor": {"app": "visitor"}, OUTSIDE: None, **edges.others}
    members |= {component: labels | {key: component} for component in COMPONENTS}
    wrong = [
        f"{source} -> {target}:{port}"
        for source, target, port in product(members, members, edges.ports | {7777})
        if edges.concern(source, target)
        if edges.declare(source, target, port) != _is_open(rendered, members[source], members[target], port)
    ]
    assert wrong == []


def _is_open(rendered: Rendered, source: dict[str, str] | None, target: dict[str, str] | None, port: int) -> bool:
    out = rules(rendered, source, "Egress") if source else None
    into = rules(rendered, target, "Ingress") if target else None
    return (out is None or passes(out, "to", port, target)) and (into is None or passes(into, "from", port, source))
