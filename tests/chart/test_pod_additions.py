"""What `pods` adds reaches every pod of a component, and `pods.all` every pod of the platform."""

from typing import Any

import pytest

from tests.helpers.chart.manifests import Pod, pods
from tests.helpers.chart.render import HelmError, Rendered, overlaid, render, values_of
from tests.helpers.chart.schemas import invalid, is_built_in, kubernetes_schemas

ADDED: dict[str, Any] = {
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "envFrom": [{"secretRef": {"name": "extra"}}],
    "volumes": [{"name": "extra", "configMap": {"name": "extra"}}],
    "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    "labels": {"team": "data", "app.kubernetes.io/component": "other"},
    "annotations": {"owner": "data"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
    "priorityClassName": "important",
}
EVERYTHING = {"airflow": {"triggerer": {"enabled": True}}, "monitoring": {"enabled": True}}


@pytest.fixture(scope="module", params=["small", "kind"])
def extended(request: pytest.FixtureRequest) -> Rendered:
    return render(overlaid(values_of(request.param), EVERYTHING | {"pods": {"all": ADDED}}))


def field(pod: Pod, rendered: Rendered, name: str) -> Any:
    """A field of the pod's specification, which a SparkApplication has in its own place."""
    if not pod.owner.startswith("SparkApplication/"):
        return pod.spec.get(name)
    [application] = rendered.of("SparkApplication")
    role = application["spec"][pod.owner.split()[-1]]
    return role.get(name) or pod.spec.get(name)


def test_every_pod_has_what_is_added_to_all(extended: Rendered) -> None:
    for pod in pods(extended):
        assert field(pod, extended, "nodeSelector")["disk"] == "ssd", pod.owner
        assert ADDED["tolerations"][0] in field(pod, extended, "tolerations"), pod.owner
        assert "nodeAffinity" in field(pod, extended, "affinity"), pod.owner
        assert field(pod, extended, "topologySpreadConstraints") == ADDED["topologySpreadConstraints"], pod.owner
        assert field(pod, extended, "priorityClassName") == "important", pod.owner
        assert pod.labels["team"] == "data", pod.owner
        assert pod.metadata["annotations"]["owner"] == "data", pod.owner
        assert ADDED["volumes"][0] in pod.spec["volumes"], pod.owner


def test_every_container_has_what_is_added_to_all(extended: Rendered) -> None:
    for pod in pods(extended):
        for container in pod.containers():
            where = f"{pod.owner} {container.name}"
            assert container.environment["HTTPS_PROXY"]["value"] == "http://proxy:3128", where
            assert container.spec["envFrom"] == ADDED["envFrom"], where
            assert ADDED["volumeMounts"][0] in container.spec["volumeMounts"], where


def test_the_labels_that_select_pods_stay(extended: Rendered) -> None:
    assert [pod.owner for pod in pods(extended) if pod.labels["app.kubernetes.io/component"] == "other"] == []


def test_extended_pods_have_only_known_fields(extended: Rendered) -> None:
    assert invalid(filter(is_built_in, extended.resources), kubernetes_schemas()) == []


def test_what_a_component_adds_takes_precedence_and_reaches_no_other() -> None:
    both = {
        "all": {"priorityClassName": "low", "env": [{"name": "A", "value": "all"}], "labels": {"a": "all", "b": "all"}},
        "publisher": {
            "priorityClassName": "high",
            "env": [{"name": "A", "value": "own"}, {"name": "INSIGHTS_PUBLISHER_BATCH_ROWS", "value": "7"}],
            "labels": {"a": "own"},
        },
    }
    rendered = render(overlaid(values_of("small"), {"pods": both}))
    found = {pod.labels["app.kubernetes.io/component"]: pod for pod in pods(rendered)}
    publisher, dashboard = found["publisher"], found["dashboard"]
    assert (publisher.spec["priorityClassName"], dashboard.spec["priorityClassName"]) == ("high", "low")
    assert (publisher.labels["a"], publisher.labels["b"], dashboard.labels["a"]) == ("own", "all", "all")
    [container] = [one for one in publisher.containers() if one.name == "publisher"]
    values = [(one["name"], one.get("value")) for one in container.spec["env"]]
    assert [value for name, value in values if name == "A"] == ["own"]
    assert [value for name, value in values if name == "INSIGHTS_PUBLISHER_BATCH_ROWS"] == ["7"]
    assert "INSIGHTS_PUBLISHER_BATCH_ROWS" not in dashboard.containers()[0].environment


def test_the_pods_that_share_airflow_s_log_volume_stay_together() -> None:
    rendered = render(overlaid(values_of("small"), {"pods": {"all": {"affinity": ADDED["affinity"]}}}))
    [server] = [pod for pod in pods(rendered) if pod.labels["app.kubernetes.io/component"] == "airflow-api-server"]
    assert {"nodeAffinity", "podAffinity"} <= set(server.spec["affinity"])


@pytest.mark.parametrize("pods", [{"publisher": {"enviroment": []}}, {"publishers": {}}])
def test_an_unknown_addition_is_rejected_by_name(pods: dict[str, Any]) -> None:
    with pytest.raises(HelmError, match=r"additional properties '(enviroment|publishers)' not allowed"):
        render(overlaid(values_of("small"), {"pods": pods}))


def test_a_cluster_may_assign_the_ids_of_users() -> None:
    rendered = render(overlaid(values_of("kind"), {"fixedUserIds": False}))
    contexts = [pod.spec["securityContext"] for pod in pods(rendered)]
    assert [context for context in contexts if {"runAsUser", "runAsGroup", "fsGroup"} & set(context)] == []
    assert all(context["runAsNonRoot"] for context in contexts)


def test_every_pod_of_the_platform_has_the_annotations_of_all_pods() -> None:
    annotated = render(overlaid(values_of("defaults"), overlaid(EVERYTHING, {"podAnnotations": {"owner": "data"}})))
    assert [
        pod.owner for pod in pods(annotated) if (pod.metadata.get("annotations") or {}).get("owner") != "data"
    ] == []


@pytest.mark.parametrize("profile", ["small", "kind"])
def test_every_deployment_has_the_annotations_of_all_deployments(profile: str) -> None:
    values = overlaid(values_of(profile), overlaid(EVERYTHING, {"deploymentAnnotations": {"reload": "true"}}))
    deployments = render(values).of("Deployment")
    annotations = {one["metadata"]["name"]: one["metadata"].get("annotations") for one in deployments}
    assert set(map(str, annotations.values())) == {"{'reload': 'true'}"}, annotations
