"""The workloads that the Kubernetes client lists, against a fake API."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest
from kubernetes.client import ApiException

from insights.clients.kubernetes import Workload, describe_application, describe_pod, is_in_cluster, list_workloads
from insights.errors import UserError


def pod(name: str = "publisher-0", phase: str = "Running", *containers: Any) -> Any:
    status = SimpleNamespace(phase=phase, container_statuses=list(containers) or None)
    return SimpleNamespace(metadata=SimpleNamespace(name=name), status=status)


def container(ready: bool = True, restarts: int = 0, waiting: str = "") -> Any:
    state = SimpleNamespace(waiting=SimpleNamespace(reason=waiting) if waiting else None)
    return SimpleNamespace(ready=ready, restart_count=restarts, state=state)


def application(state: str) -> dict[str, Any]:
    return {"metadata": {"name": "stream-users"}, "status": {"applicationState": {"state": state}}}


class FakeApi:
    """The pods and applications of the cluster, or the error that the API raises, and the requests it received."""

    def __init__(self) -> None:
        self.pods: list[Any] = []
        self.applications: list[dict[str, Any]] | ApiException = []
        self.pod_error: Exception | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def list_namespaced_pod(self, namespace: str, **request: Any) -> Any:
        self.requests.append((namespace, request))
        if self.pod_error:
            raise self.pod_error
        return SimpleNamespace(items=self.pods)

    def list_namespaced_custom_object(self, namespace: str, **request: Any) -> dict[str, Any]:
        self.requests.append((namespace, request))
        if isinstance(self.applications, ApiException):
            raise self.applications
        return {"items": self.applications}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(kubernetes.config, "load_incluster_config", lambda: None)
    monkeypatch.setattr(kubernetes.client, "CoreV1Api", lambda: fake)
    monkeypatch.setattr(kubernetes.client, "CustomObjectsApi", lambda: fake)
    return fake


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The service account that Kubernetes mounts into a pod."""
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("insights\n")
    return tmp_path


def test_a_process_is_in_a_cluster_when_it_has_a_token(account: Path) -> None:
    assert is_in_cluster(account)
    assert not is_in_cluster(account / "none")


def test_applications_and_long_running_pods_of_this_namespace_are_listed(api: FakeApi, account: Path) -> None:
    api.applications, api.pods = [application("RUNNING")], [pod("publisher-0", "Running", container())]
    assert list_workloads(account) == [
        Workload("stream-users", "SparkApplication", "RUNNING", healthy=True),
        Workload("publisher-0", "Pod", "Running", healthy=True),
    ]
    assert {namespace for namespace, _ in api.requests} == {"insights"}
    assert {request["label_selector"] for _, request in api.requests} == {
        "app.kubernetes.io/part-of=user-insights,"
        "app.kubernetes.io/component notin (airflow-task, migrations, secrets, test)"
    }
    assert all(request["_request_timeout"] == 10 for _, request in api.requests)


def test_a_cluster_without_the_spark_operator_has_pods_only(api: FakeApi, account: Path) -> None:
    api.applications, api.pods = ApiException(status=404, reason="Not Found"), [pod()]
    assert [workload.kind for workload in list_workloads(account)] == ["Pod"]


def test_a_denied_request_is_reported_in_a_sentence(api: FakeApi, account: Path) -> None:
    api.pod_error = ApiException(status=403, reason="Forbidden")
    with pytest.raises(UserError, match=r"pods of namespace insights \(Forbidden\); check the service account's role"):
        list_workloads(account)
    api.pod_error, api.applications = None, ApiException(status=403, reason="Forbidden")
    with pytest.raises(UserError, match="Forbidden"):
        list_workloads(account)


@pytest.mark.parametrize(
    ("reported", "state", "healthy", "restarts"),
    [
        (pod("p", "Running", container(), container(restarts=2)), "Running", True, 2),
        (pod("p", "Running", container(), container(ready=False)), "Running", False, 0),
        (pod("p", "Running", container(False, 7, "CrashLoopBackOff")), "CrashLoopBackOff", False, 7),
        (pod("p", "Succeeded", container(ready=False)), "Succeeded", True, 0),
        (pod("p", "Pending"), "Pending", False, 0),
    ],
)
def test_a_pod_is_healthy_if_it_succeeded_or_every_container_is_ready(
    reported: Any, state: str, healthy: bool, restarts: int
) -> None:
    assert describe_pod(reported) == Workload("p", "Pod", state, healthy, restarts)


@pytest.mark.parametrize(
    ("state", "healthy"), [("RUNNING", True), ("FAILED", False), ("SUBMITTED", False), ("", False)]
)
def test_an_application_is_healthy_while_it_runs(state: str, healthy: bool) -> None:
    workload = describe_application(application(state))
    assert (workload.healthy, workload.state) == (healthy, state or "NEW")


def test_an_application_without_a_status_is_new() -> None:
    assert describe_application({"metadata": {"name": "stream-users"}}).state == "NEW"


def test_the_stream_is_listed_as_the_operators_own_kind(api: FakeApi, account: Path) -> None:
    list_workloads(account)
    request = next(request for _, request in api.requests if "plural" in request)
    assert (request["group"], request["version"], request["plural"]) == (
        "sparkoperator.k8s.io",
        "v1beta2",
        "sparkapplications",
    )
