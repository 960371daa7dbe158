"""Each component waits for the stores that it uses before it starts, and holds the logins of no other."""

from itertools import pairwise

import pytest

from tests.helpers.chart.manifests import Container, Pod, pods
from tests.helpers.chart.network_policies import may_send
from tests.helpers.chart.render import Rendered, render

ALL = {"postgres", "kafka", "cassandra"}
USES = {
    "publisher": {"postgres", "kafka"},
    "exporter": {"postgres", "kafka"},
    **dict.fromkeys(("stream", "dashboard", "airflow-task", "test", "toolbox"), ALL),
}
"""The stores that a component uses; Airflow's own database is not one of them."""
WAITS = {
    **dict.fromkeys(("publisher", "exporter", "toolbox"), frozenset({"postgres"})),
    **dict.fromkeys(("stream", "test"), ALL),
}
"""Those without which it cannot start. A publisher reports a broker that does not answer in its readiness."""


def component(pod: Pod) -> str:
    return pod.labels["app.kubernetes.io/component"]


def running(rendered: Rendered) -> list[Pod]:
    """Return the pods that the components run in; the migrations prepare the stores."""
    return [
        pod
        for pod in pods(rendered)
        if component(pod) not in {"airflow-cleanup", "check-schema", "migrations", "secrets", "stream-executor"}
    ]


def logins(container: Container) -> set[str]:
    return {store for store in ALL if f"INSIGHTS_{store.upper()}_{address(store)}" in container.environment}


def address(store: str) -> str:
    return {"postgres": "HOST", "kafka": "BOOTSTRAP_SERVERS", "cassandra": "HOSTS"}[store]


def waited_for(container: Container) -> set[str]:
    return {after for before, after in pairwise(container.spec.get("command", [])) if before == "--store"}


def test_a_component_waits_only_for_stores_without_which_it_cannot_start(rendered: Rendered) -> None:
    for pod in running(rendered):
        waits = [one for one in pod.containers() if "--wait" in one.spec.get("command", []) and one.name != "check"]
        found = set().union(*(waited_for(one) for one in waits))
        assert found == WAITS.get(component(pod), set()), pod.owner
        for one in waits:
            assert logins(one) == found, pod.owner


def test_a_pod_has_the_logins_of_the_stores_that_it_uses_and_no_others(rendered: Rendered) -> None:
    for pod in running(rendered):
        held = set().union(*(logins(one) for one in pod.containers()))
        assert held == USES.get(component(pod), set()), pod.owner


@pytest.mark.parametrize("name", ["publisher", "stream"])
def test_a_wait_logs_in_as_the_component_itself(rendered: Rendered, name: str) -> None:
    pod = next(pod for pod in running(rendered) if component(pod) == name)
    logins = [
        {key: value for key, value in one.environment.items() if key.endswith(("_USERNAME", "_USER", "_PASSWORD"))}
        for one in pod.containers()
        if one.name in {"wait-for-schema", name, "spark"}
    ]
    waiting, working = logins
    assert waiting
    assert waiting.items() <= working.items()


def test_only_the_certificates_of_these_stores_are_mounted() -> None:
    for pod in running(render("kind")):
        volumes = [volume for volume in pod.spec.get("volumes") or [] if volume["name"] == "authorities"]
        mounted = {
            item["path"]
            for one in volumes
            for source in one["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        used = USES.get(component(pod), set()) | ({"postgres"} if component(pod).startswith("airflow-") else set())
        assert mounted == {f"{store}.crt" for store in used}, pod.owner


def test_a_pod_cannot_reach_a_store_of_the_chart_that_it_does_not_use() -> None:
    rendered = render("kind")
    [cassandra] = rendered.of("K8ssandraCluster")
    labels = {"cassandra.datastax.com/cluster": cassandra["metadata"]["name"]}
    reaching = {component(pod) for pod in running(rendered) if may_send(rendered, pod, 9042, labels)}
    assert reaching == {name for name, stores in USES.items() if "cassandra" in stores}
