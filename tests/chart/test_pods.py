"""What every pod of the platform has, whichever kind of resource contains it."""

from tests.helpers.chart.manifests import Pod, name_of, pods, selects
from tests.helpers.chart.pod_security import violations
from tests.helpers.chart.render import Rendered, Resource, overlaid, render, values_of

LABELS = {"part-of", "name", "instance", "component"}
IMAGES = {name: {"repository": f"ours/{name}"} for name in ("airflow", "publisher", "spark", "dashboard")}


def lacks_labels(labels: dict[str, str]) -> bool:
    ours = {label: labels.get(f"app.kubernetes.io/{label}") for label in LABELS}
    return ours["part-of"] != "user-insights" or ours["instance"] != "insights" or not all(ours.values())


def test_every_resource_and_every_pod_has_the_platform_s_labels(rendered: Rendered) -> None:
    held = {name_of(one): one["metadata"].get("labels") or {} for one in rendered.resources}
    held |= {pod.owner + " pod": pod.labels for pod in pods(rendered)}
    assert [holder for holder, labels in held.items() if lacks_labels(labels)] == []


def test_pod_security_admission_accepts_every_pod_in_a_restricted_namespace(rendered: Rendered) -> None:
    assert [text for pod in pods(rendered) for text in violations(pod)] == []


def test_every_container_has_a_read_only_root_and_a_writable_tmp(rendered: Rendered) -> None:
    lacking = []
    for pod in pods(rendered):
        empty = {volume["name"] for volume in pod.spec.get("volumes") or [] if "emptyDir" in volume}
        for container in pod.containers():
            mounts = {mount["mountPath"]: mount["name"] for mount in container.spec.get("volumeMounts") or []}
            read_only = (container.spec.get("securityContext") or {}).get("readOnlyRootFilesystem")
            if read_only is not True or mounts.get("/tmp") not in empty:
                lacking.append(f"{pod.owner} {container.name}")
    assert lacking == []


def test_every_pod_has_a_numeric_user(rendered: Rendered) -> None:
    users = {pod.owner: (pod.spec.get("securityContext") or {}).get("runAsUser") for pod in pods(rendered)}
    assert {owner: user for owner, user in users.items() if user not in (185, 10001)} == {}


def test_every_container_requests_cpu_and_memory_and_limits_memory(rendered: Rendered) -> None:
    lacking = []
    for pod in pods(rendered):
        for container in pod.containers():
            resources = container.spec.get("resources") or {}
            requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
            if not requests.get("cpu") or not requests.get("memory") or not limits.get("memory"):
                lacking.append(f"{pod.owner} {container.name}")
    assert lacking == []


def test_every_server_has_liveness_and_readiness_probes(rendered: Rendered) -> None:
    servers = [
        (pod, container)
        for pod in pods(rendered)
        for container in pod.containers()
        if container.serves and container.name != "toolbox"  # It sleeps until somebody runs a command in it.
    ]
    lacking = [
        f"{pod.owner} {container.name} {probe}"
        for pod, container in servers
        for probe in ("livenessProbe", "readinessProbe")
        if probe not in container.spec and not (probe == "readinessProbe" and pod.owner.startswith("SparkApplication/"))
    ]
    assert servers
    assert lacking == []


def test_only_tasks_get_the_headers_of_the_api_from_its_secret() -> None:
    rendered = render(overlaid(values_of("defaults"), {"source": {"existingSecret": "api-key"}}))
    held = {
        pod.owner: variable["valueFrom"]
        for pod in pods(rendered)
        for container in pod.containers()
        for variable in container.spec.get("env") or []
        if variable["name"] == "INSIGHTS_SOURCE_HEADERS"
    }
    assert held
    assert all("airflow" in owner for owner in held)
    assert list(held.values()) == [{"secretKeyRef": {"name": "api-key", "key": "headers"}}] * len(held)


def test_spark_s_driver_has_no_readiness_probe(rendered: Rendered) -> None:
    """Its name resolves only once its pod is ready, and executors need the name before the first micro-batch."""
    for spec in rendered.of("SparkApplication"):
        driver = spec["spec"]["driver"]["template"]["spec"]["containers"][0]
        assert "readinessProbe" not in driver
        assert spec["spec"]["sparkConf"]["spark.kubernetes.allocation.driver.readinessTimeout"] == "60s"


def test_every_probe_uses_a_named_port_of_its_container(rendered: Rendered) -> None:
    for pod in pods(rendered):
        for container in pod.containers():
            ports = {port.get("name") for port in container.spec.get("ports") or []}
            probes = [probe for key, probe in container.spec.items() if key.endswith("Probe")]
            probed = {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe}
            named = {port for port in probed if isinstance(port, str)}
            assert named <= ports, f"{pod.owner} {container.name}"


def test_every_container_reports_its_last_log_lines(rendered: Rendered) -> None:
    silent = [
        f"{pod.owner} {container.name}"
        for pod in pods(rendered)
        if not pod.owner.endswith(" executor")
        for container in pod.containers()
        if container.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError"
    ]
    assert silent == []


def test_only_pods_that_use_the_kubernetes_api_get_a_token(rendered: Rendered) -> None:
    bound = {
        subject["name"]
        for binding in rendered.of("RoleBinding", "ClusterRoleBinding")
        for subject in binding.get("subjects") or []
    }
    wrong = []
    for pod in pods(rendered):
        mounts = pod.spec.get("automountServiceAccountToken")
        needs = pod.spec.get("serviceAccountName") in bound
        if mounts is not (None if needs and pod.owner.startswith("SparkApplication/") else needs):
            wrong.append(f"{pod.owner}: automountServiceAccountToken {mounts}, bound to a role: {needs}")
    assert wrong == []


def test_every_image_comes_from_the_values(profile: str) -> None:
    images = {"registry": "registry.test/", "tag": "v9", **IMAGES}
    ours = {f"registry.test/{image['repository']}:v9" for image in IMAGES.values()}
    rendered = render(overlaid(values_of(profile), {"images": images}))
    other = {
        f"{pod.owner} {container.name} {container.spec['image']}"
        for pod in pods(rendered)
        for container in pod.containers()
        if container.spec["image"] not in ours
    }
    assert other == set()
    assert "user-insights/" not in "".join(line for line in rendered.text.splitlines() if "image" in line)


def policies_of(pod: Pod, rendered: Rendered) -> list[Resource]:
    policies = rendered.of("NetworkPolicy")
    return [policy for policy in policies if selects(policy["spec"].get("podSelector"), pod.labels)]


def test_every_pod_has_policies_for_both_directions(rendered: Rendered) -> None:
    for pod in pods(rendered):
        policies = policies_of(pod, rendered)
        closed = {kind for policy in policies for kind in policy["spec"].get("policyTypes", [])}
        assert closed == {"Ingress", "Egress"}, pod.owner
        edges = [policy for policy in policies if policy["spec"].get("ingress") or policy["spec"].get("egress")]
        assert edges, f"{pod.owner} may connect to nothing"


def test_every_peer_of_a_policy_selects_pods(rendered: Rendered) -> None:
    ours = [pod.labels for pod in pods(rendered)] + [one["metadata"]["labels"] for one in rendered.resources]
    for policy in rendered.of("NetworkPolicy"):
        for rule in [*(policy["spec"].get("ingress") or []), *(policy["spec"].get("egress") or [])]:
            for peer in [*(rule.get("from") or []), *(rule.get("to") or [])]:
                selector = peer.get("podSelector") or {}
                part = {
                    key: value for key, value in (selector.get("matchLabels") or {}).items() if key.startswith("app.")
                }
                if part and "namespaceSelector" not in peer:
                    assert any(selects({"matchLabels": part}, labels) for labels in ours), name_of(policy)
