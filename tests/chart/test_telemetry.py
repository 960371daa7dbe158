"""Spans leave the publisher, the stream and Airflow's tasks, lineage leaves Airflow, and nothing does by default."""

import json

import pytest

from tests.helpers.chart.manifests import pods
from tests.helpers.chart.network_policies import may_send
from tests.helpers.chart.render import Rendered, overlaid, render, values_of

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
TRACED = {"publisher", "stream", "airflow-task"}
METERED = {"airflow-api-server", "airflow-dag-processor", "airflow-scheduler", "airflow-triggerer"}
SENDERS = TRACED | METERED
COLLECTOR = {"app": "collector"}
TRANSPORT = "AIRFLOW__OPENLINEAGE__TRANSPORT"
SWITCH = "AIRFLOW__METRICS__OTEL_ON"
JOB = "insights-user-insights-airflow"


def with_collector(profile: str, endpoint: str = "http://collector.observability:4318", secret: str = "") -> Rendered:
    over = {"telemetry": {"otlp": {"endpoint": endpoint, "existingSecret": secret}}}
    return render(overlaid(values_of(profile), over))


def list_senders(rendered: Rendered, port: int, labels: dict[str, str] | None) -> set[str]:
    """The components that may connect to the port of pods with these labels; None stands for an address outside."""
    return {
        pod.labels["app.kubernetes.io/component"] for pod in pods(rendered) if may_send(rendered, pod, port, labels)
    }


def list_present(rendered: Rendered, components: set[str]) -> set[str]:
    """Those of the components that the release has: not every profile runs the triggerer."""
    return components & {pod.labels["app.kubernetes.io/component"] for pod in pods(rendered)}


def read_variable(rendered: Rendered, name: str) -> dict[str, object]:
    """The variable as each component that has it declares it."""
    return {
        pod.labels["app.kubernetes.io/component"]: container.environment[name]
        for pod in pods(rendered)
        for container in pod.containers()
        if name in container.environment
    }


def test_no_program_has_an_endpoint_by_default(rendered: Rendered) -> None:
    assert read_variable(rendered, ENDPOINT) == read_variable(rendered, HEADERS) == {}
    assert read_variable(rendered, TRANSPORT) == {}
    names = [one["metadata"]["name"] for one in rendered.of("NetworkPolicy")]
    assert not any(name.endswith(("-to-collector", "-to-lineage")) for name in names)


@pytest.mark.parametrize("profile", ["defaults", "kind"])
def test_each_program_that_makes_spans_or_metrics_has_the_endpoint_and_reaches_it(profile: str) -> None:
    rendered = with_collector(profile, secret="token")
    endpoint = {"name": ENDPOINT, "value": "http://collector.observability:4318"}
    headers = {"name": HEADERS, "valueFrom": {"secretKeyRef": {"name": "token", "key": "headers"}}}
    assert read_variable(rendered, ENDPOINT) == dict.fromkeys(list_present(rendered, SENDERS), endpoint)
    assert read_variable(rendered, HEADERS) == dict.fromkeys(list_present(rendered, SENDERS), headers)
    assert list_senders(rendered, 4318, COLLECTOR) == list_present(rendered, SENDERS)


def test_airflows_own_processes_send_metrics_and_its_tasks_and_commands_do_not() -> None:
    rendered = with_collector("defaults")
    assert read_variable(rendered, SWITCH) == {name: {"name": SWITCH, "value": "True"} for name in METERED}
    [scheduler] = [pod for pod in pods(rendered) if pod.labels["app.kubernetes.io/component"] == "airflow-scheduler"]
    assert [container.name for container in scheduler.containers() if SWITCH in container.environment] == ["scheduler"]


def test_the_metrics_of_airflow_name_their_release_and_pod() -> None:
    rendered = with_collector("defaults")
    names = {"service.namespace": "default", "service.instance.id": "$(POD_NAME)"}
    attributes = ",".join(f"{name}={value}" for name, value in names.items())
    for variable, value in {"OTEL_SERVICE_NAME": JOB, "OTEL_RESOURCE_ATTRIBUTES": attributes}.items():
        assert read_variable(rendered, variable) == {name: {"name": variable, "value": value} for name in METERED}


def test_airflows_metrics_can_be_switched_off() -> None:
    over = {"telemetry": {"otlp": {"endpoint": "http://collector:4318"}}, "airflow": {"config": {SWITCH: "False"}}}
    switches = read_variable(render(overlaid(values_of("defaults"), over)), SWITCH)
    assert {json.dumps(one) for one in switches.values()} == {json.dumps({"name": SWITCH, "value": "False"})}


@pytest.mark.parametrize(
    ("endpoint", "port"), [("https://otlp.example.org/otlp", 443), ("http://otlp.example.org", 80)]
)
def test_the_port_of_a_collector_outside_follows_from_its_url(endpoint: str, port: int) -> None:
    rendered = with_collector("small", endpoint)
    others = list_senders(render("small"), port, None)
    assert list_senders(rendered, port, None) == others | list_present(rendered, SENDERS)


def test_a_collector_in_the_cluster_is_reached_beside_addresses_outside() -> None:
    values = {
        "telemetry": {"otlp": {"endpoint": "http://collector.observability:4318"}},
        "networkPolicy": {"externalCidrs": ["10.7.0.0/16"]},
    }
    rendered = render(overlaid(values_of("defaults"), values))
    assert list_senders(rendered, 4318, COLLECTOR) == list_senders(rendered, 4318, None) == SENDERS


def test_airflow_sends_its_lineage_from_a_thread_and_without_source_code() -> None:
    rendered = render(overlaid(values_of("defaults"), {"lineage": {"url": "http://marquez.observability:5000"}}))
    transports = read_variable(rendered, TRANSPORT)
    assert {"airflow-api-server", "airflow-scheduler", "airflow-task"} <= set(transports)
    [transport] = {json.dumps(one) for one in transports.values()}
    assert json.loads(json.loads(transport)["value"]) == {
        "type": "http",
        "url": "http://marquez.observability:5000",
        "timeout": 2,
        "retry": {"total": 1},
    }
    for name, value in {
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "insights-user-insights",
        "AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD": "True",
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "3",
        "AIRFLOW__OPENLINEAGE__EMISSION_POLICY": '[{"scope": {}, "controls": {"include_source_code": false}}]',
    }.items():
        assert read_variable(rendered, name) == {sender: {"name": name, "value": value} for sender in transports}
    senders = {"airflow-api-server", "airflow-scheduler", "airflow-task"}
    assert list_senders(rendered, 5000, COLLECTOR) == senders
