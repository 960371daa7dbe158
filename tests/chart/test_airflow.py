"""Airflow's pods: how users get their passwords, on which node logs are written, and what an older Airflow refuses."""

import pytest

from tests.helpers.chart.manifests import Pod, pods, selects
from tests.helpers.chart.render import CHART, Rendered, overlaid, render, values_of

LOGGING = {"airflow-api-server", "airflow-triggerer", "airflow-task", "airflow-cleanup"}


def component(pod: Pod) -> str:
    return pod.labels["app.kubernetes.io/component"]


def of(rendered: Rendered, name: str) -> Pod:
    [pod] = [pod for pod in pods(rendered) if component(pod) == name]
    return pod


def test_no_password_is_on_a_command_line(rendered: Rendered) -> None:
    secret = {
        f"$({name})"
        for pod in pods(rendered)
        for container in pod.containers()
        for name, variable in container.environment.items()
        if "valueFrom" in variable
    }
    for pod in pods(rendered):
        for container in pod.containers():
            words = [*container.spec.get("command", []), *container.spec.get("args", [])]
            assert [word for word in words for name in secret if name in word] == [], pod.owner


def test_one_container_creates_both_users_with_passwords_from_their_secrets() -> None:
    [container] = [one for one in of(render(), "airflow-scheduler").containers() if one.name == "create-users"]
    assert container.spec["command"] == ["python", "/etc/airflow/users.py", "admin", "dashboard"]
    for name in ("ADMIN", "DASHBOARD"):
        reference = container.environment[f"AIRFLOW_{name}_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": f"insights-user-insights-airflow-{name.lower()}", "key": "password"}


def test_pods_that_share_a_volume_of_one_node_run_on_one_node() -> None:
    rendered = render()
    mounting = [pod for pod in pods(rendered) if any(volume["name"] == "logs" for volume in pod.spec["volumes"])]
    assert {component(pod) for pod in mounting} == LOGGING
    for pod in mounting:
        [term] = pod.spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        # The first pod is placed only because it matches its own rule.
        assert {component(one) for one in pods(rendered) if selects(term["labelSelector"], one.labels)} == LOGGING


@pytest.mark.parametrize("logs", [{"accessMode": "ReadWriteMany"}, {"persistent": False}])
def test_pods_without_such_a_volume_run_anywhere(logs: dict[str, object]) -> None:
    rendered = render(overlaid(values_of("defaults"), {"airflow": {"logs": logs}}))
    assert [pod.owner for pod in pods(rendered) if "affinity" in pod.spec] == []


def test_the_pods_that_write_or_show_logs_reach_the_store_that_keeps_them() -> None:
    logs = {"persistent": False, "s3": {"folder": "s3://b/logs", "existingSecret": "store", "ports": [9000]}}
    rendered = render(overlaid(values_of("defaults"), {"airflow": {"logs": logs}}))
    users = {
        component(pod)
        for pod in pods(rendered)
        for container in pod.containers()
        if container.environment.get("AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER", {}).get("value") == "s3://b/logs"
        and container.environment["AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID"]["value"] == "logs_s3"
        and container.environment["AIRFLOW_CONN_LOGS_S3"]["valueFrom"]["secretKeyRef"]["name"] == "store"
    }
    reached = {"airflow-api-server", "airflow-triggerer", "airflow-task"}
    assert users == reached | {"airflow-cleanup"}
    [policy] = [one for one in rendered.of("NetworkPolicy") if one["metadata"]["name"].endswith("-to-logs")]
    selected = {component(pod) for pod in pods(rendered) if selects(policy["spec"]["podSelector"], pod.labels)}
    assert selected == reached
    assert policy["spec"]["egress"] == [{"ports": [{"protocol": "TCP", "port": 9000}]}]
    [scheduler] = [pod for pod in pods(rendered) if component(pod) == "airflow-scheduler"]
    settings = scheduler.containers()[-1].environment
    assert settings["AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS_ON_FAILURE"]["value"] == "True"


def test_a_store_of_logs_without_a_secret_is_reached_by_the_identity_of_the_pods() -> None:
    rendered = render(overlaid(values_of("defaults"), {"airflow": {"logs": {"s3": {"folder": "s3://b/logs"}}}}))
    [server] = [pod for pod in pods(rendered) if component(pod) == "airflow-api-server"]
    settings = server.containers()[-1].environment
    assert settings["AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID"]["value"] == ""
    assert "AIRFLOW_CONN_LOGS_S3" not in settings


def test_an_older_airflow_checks_the_schema_before_it_replaces_a_newer_one(rendered: Rendered) -> None:
    [job] = [one for one in rendered.of("Job") if one["metadata"]["name"].endswith("-check-schema")]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade,pre-rollback"
    assert job["spec"]["backoffLimit"] == 0
    pod = of(rendered, "check-schema")
    [container] = pod.containers()
    python, option, program = container.spec["command"]
    assert (python, option) == ("python", "-c")
    assert program.strip() == (CHART / "files/airflow/check_schema.py").read_text().strip()
    # In a GitOps tool, the hook runs before the first installation too.
    assert container.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]["valueFrom"]["secretKeyRef"]["optional"] is True
    [authorities] = [volume for volume in pod.spec["volumes"] if volume["name"] == "authorities"]
    assert all(source["secret"]["optional"] for source in authorities["projected"]["sources"])


def test_tasks_and_the_dag_processor_can_report_failures() -> None:
    notify = {"existingSecret": "notices", "ports": [443, 587]}
    ingress = {"enabled": True, "host": "airflow.test", "tlsSecret": "t"}
    rendered = render(overlaid(values_of("defaults"), {"airflow": {"notify": notify, "ingress": ingress}}))
    reporting = {
        component(pod)
        for pod in pods(rendered)
        for container in pod.containers()
        if container.environment.get("AIRFLOW_CONN_APPRISE_DEFAULT")
        == {
            "name": "AIRFLOW_CONN_APPRISE_DEFAULT",
            "valueFrom": {"secretKeyRef": {"name": "notices", "key": "connection"}},
        }
    }
    [policy] = [one for one in rendered.of("NetworkPolicy") if one["metadata"]["name"].endswith("-to-notify")]
    allowed = {component(pod) for pod in pods(rendered) if selects(policy["spec"]["podSelector"], pod.labels)}
    linking = {
        component(pod)
        for pod in pods(rendered)
        for container in pod.containers()
        if (container.environment.get("AIRFLOW__API__BASE_URL") or {}).get("value") == "https://airflow.test"
    }
    assert reporting == allowed == linking == {"airflow-task", "airflow-dag-processor"}
    assert [port["port"] for port in policy["spec"]["egress"][0]["ports"]] == [443, 587]


def test_airflow_waits_for_its_database_before_commands_that_fail_without_it(rendered: Rendered) -> None:
    names = {"airflow-scheduler", "airflow-api-server", "airflow-dag-processor", "airflow-triggerer"}
    found = [pod for pod in pods(rendered) if component(pod) in names]
    assert found
    for pod in found:
        wait = pod.containers()[0]
        assert wait.spec["command"][:2] == ["python", "/etc/airflow/wait_for_database.py"], pod.owner
        assert {"name": "files", "mountPath": "/etc/airflow", "readOnly": True} in wait.spec["volumeMounts"]
        assert "files" in {volume["name"] for volume in pod.spec["volumes"]}
        assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in wait.environment
