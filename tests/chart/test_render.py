"""The manifests of every profile, as the API server sees them."""

import json
import re
from collections import Counter

from tests.helpers.chart.manifests import name_of, pods
from tests.helpers.chart.references import documents
from tests.helpers.chart.render import API_VERSIONS, CHART, Rendered, helm_template_again, render, values_of
from tests.helpers.chart.schemas import custom_schemas, invalid, is_built_in, kubernetes_schemas

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|FERNET|PRIVATE|CREDENTIAL|ACCESS_KEY")
LONG_NAMES = {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "ServiceAccount"}
LOGIN_IN_ADDRESS = re.compile(r"\w+://[^\s/@:]*:[^\s/@$]+@")


def test_rendering_twice_gives_the_same_manifests(profile: str, rendered: Rendered) -> None:
    values = json.dumps(values_of(profile), sort_keys=True)
    assert helm_template_again(values, "insights", "default", API_VERSIONS, CHART) == rendered.text


def test_the_manifests_are_the_same_without_a_cluster(profile: str, rendered: Rendered) -> None:
    assert render(profile, api_versions=()).text == rendered.text


def test_built_in_kinds_have_only_known_fields(rendered: Rendered) -> None:
    within = [document for _, document in documents(rendered) if isinstance(document, dict) and "kind" in document]
    assert invalid(filter(is_built_in, within), kubernetes_schemas()) == []


def test_custom_resources_have_only_fields_of_their_definitions(rendered: Rendered) -> None:
    own = [resource for resource in rendered.resources if not is_built_in(resource)]
    assert invalid(own, custom_schemas()) == []


def test_pod_templates_in_spark_applications_have_only_known_fields(rendered: Rendered) -> None:
    templates = [
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": role},
            "template": spec["spec"][role]["template"],
        }
        for spec in rendered.of("SparkApplication")
        for role in ("driver", "executor")
        if "template" in spec["spec"][role]
    ]
    assert invalid(templates, kubernetes_schemas()) == []


def test_no_secret_is_in_the_manifests(rendered: Rendered) -> None:
    assert [name_of(secret) for secret in rendered.of("Secret") if secret.get("data") or secret.get("stringData")] == []
    assert LOGIN_IN_ADDRESS.findall(rendered.text) == []
    literal = [
        f"{pod.owner} {container.name} {name}"
        for pod in pods(rendered)
        for container in pod.containers()
        for name, variable in container.environment.items()
        if SECRET_NAME.search(name) and not str(variable.get("value", "/")).startswith(("/", "$("))
    ]
    assert literal == []


def test_no_resource_is_rendered_twice(rendered: Rendered) -> None:
    counts = Counter((one["apiVersion"], name_of(one)) for one in rendered.resources)
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_container_has_a_variable_a_port_or_a_mount_twice(rendered: Rendered) -> None:
    twice = []
    for pod in pods(rendered):
        for container in pod.containers():
            names = [f"variable {variable['name']}" for variable in container.spec.get("env") or []]
            names += [f"port {port['containerPort']}" for port in container.spec.get("ports") or []]
            names += [f"mount {mount['mountPath']}" for mount in container.spec.get("volumeMounts") or []]
            twice += [f"{pod.owner} {container.name} {name}" for name, count in Counter(names).items() if count > 1]
    assert twice == []


def test_every_mount_has_a_volume_and_every_volume_a_mount(rendered: Rendered) -> None:
    for pod in pods(rendered):
        volumes = Counter(volume["name"] for volume in pod.spec.get("volumes") or [])
        mounts = {mount["name"] for container in pod.containers() for mount in container.spec.get("volumeMounts") or []}
        if pod.owner.startswith("SparkApplication/"):
            assert mounts <= set(volumes), pod.owner
        else:
            assert (pod.owner, mounts) == (pod.owner, set(volumes))
        assert max(volumes.values(), default=1) == 1, pod.owner


def test_no_number_is_written_with_an_exponent(rendered: Rendered) -> None:
    assert re.findall(r".*\b\d(?:\.\d+)?e\+\d+\b.*", rendered.text) == []


def test_a_release_stays_in_its_namespace(profile: str) -> None:
    elsewhere = render(profile, namespace="elsewhere")
    inside = {resource["metadata"].get("namespace", "elsewhere") for resource in elsewhere.resources}
    assert inside == {"elsewhere"}
    assert re.findall(r".*\.default(?:\.svc|:\d).*", elsewhere.text) == []


def test_two_releases_side_by_side_share_no_name(profile: str, rendered: Rendered) -> None:
    other = render(profile, release="other")
    assert {name_of(one) for one in rendered.resources} & {name_of(one) for one in other.resources} == set()


def test_the_longest_release_name_gives_valid_names(profile: str) -> None:
    longest = render(profile, release="r" * 53)
    names = [(one["kind"], one["metadata"]["name"]) for one in longest.resources]
    assert [name for _, name in names if not NAME.fullmatch(name)] == []
    assert [name for kind, name in names if len(name) > (253 if kind in LONG_NAMES else 63)] == []
    labels = {value for one in longest.resources for value in (one["metadata"].get("labels") or {}).values()}
    assert [value for value in labels if len(value) > 63] == []
