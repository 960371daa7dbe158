"""How the pages and Airflow are reached from outside, and how the pages scale."""

import pytest

from tests.helpers.chart.manifests import pods
from tests.helpers.chart.network_policies import admits
from tests.helpers.chart.render import overlaid, render, values_of
from tests.helpers.chart.schemas import custom_schemas, invalid, kubernetes_schemas


def test_a_gateway_reaches_the_dashboard_and_airflow() -> None:
    routes = {
        name: {
            "httpRoute": {"enabled": True, "gateway": "public", "gatewayNamespace": "gateways", "host": f"{name}.test"}
        }
        for name in ("dashboard", "airflow")
    }
    rendered = render(
        overlaid(values_of("small"), routes | {"airflow": routes["airflow"] | {"ingress": {"enabled": False}}})
    )
    found = {one["metadata"]["name"]: one["spec"] for one in rendered.of("HTTPRoute")}
    assert {name: spec["hostnames"] for name, spec in found.items()} == {
        "insights-user-insights-dashboard": ["dashboard.test"],
        "insights-user-insights-airflow-api-server": ["airflow.test"],
    }
    assert invalid(rendered.of("HTTPRoute"), custom_schemas()) == []
    services = {one["metadata"]["name"]: one["spec"]["ports"] for one in rendered.of("Service")}
    for name, spec in found.items():
        [backend] = spec["rules"][0]["backendRefs"]
        assert backend["name"] == name
        assert backend["port"] in [port["port"] for port in services[name]]
    [server] = [pod for pod in pods(rendered) if pod.labels["app.kubernetes.io/component"] == "airflow-api-server"]
    assert admits(rendered, server.labels, 8080, {"app": "gateway"})
    assert "--proxy-headers" in server.containers()[-1].spec["command"]


def test_the_cluster_may_choose_the_number_of_dashboards() -> None:
    scaled = render(overlaid(values_of("small"), {"dashboard": {"autoscaling": {"enabled": True}}}))
    [autoscaler] = scaled.of("HorizontalPodAutoscaler")
    target = autoscaler["spec"]["scaleTargetRef"]["name"]
    [dashboard] = [one for one in scaled.of("Deployment") if one["metadata"]["name"] == target]
    assert target == "insights-user-insights-dashboard"
    assert "replicas" not in dashboard["spec"], "an upgrade would undo what the autoscaler decided"
    assert invalid([autoscaler], kubernetes_schemas()) == []
    assert target in [one["metadata"]["name"] for one in scaled.of("PodDisruptionBudget")]


@pytest.mark.parametrize("component", ["dashboard", "airflow"])
def test_an_ingress_and_a_route_have_all_host_names(component: str) -> None:
    hosts = {"host": "a.test", "otherHosts": ["b.test", "c.test"]}
    exposed = {
        "ingress": hosts | {"enabled": True, "tlsSecret": "t"},
        "httpRoute": hosts | {"enabled": True, "gateway": "g"},
    }
    rendered = render(overlaid(values_of("small"), {component: exposed}))
    [ingress] = [one for one in rendered.of("Ingress") if component in one["metadata"]["name"]]
    [route] = rendered.of("HTTPRoute")
    names = ["a.test", "b.test", "c.test"]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == names
    assert ingress["spec"]["tls"] == [{"secretName": "t", "hosts": names}]
    assert route["spec"]["hostnames"] == names
