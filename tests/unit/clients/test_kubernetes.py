"""What Kubernetes is asked and what its answers mean, by a hand-written API."""

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


class Api:
    """Kubernetes: what it holds, or the error with which it refuses; `asked` has the questions."""

    def __init__(self) -> None:
        self.pods: list[Any] = []
        self.applications: list[dict[str, Any]] | ApiException = []
        self.refuses: Exception | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def list_namespaced_pod(self, namespace: str, **asked: Any) -> Any:
        self.asked.append((namespace, asked))
        if self.refuses:
            raise self.refuses
        return SimpleNamespace(items=self.pods)

    def list_namespaced_custom_object(self, namespace: str, **asked: Any) -> dict[str, Any]:
        self.asked.append((namespace, asked))
        if isinstance(self.applications, ApiException):
            raise self.applications
        return {"items": self.applications}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    fake = Api()
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


def test_applications_and_lasting_pods_of_this_namespace_are_listed(api: Api, account: Path) -> None:
    api.applications, api.pods = [application("RUNNING")], [pod("publisher-0", "Running", container())]
    assert list_workloads(account) == [
        Workload("stream-users", "SparkApplication", "RUNNING", well=True),
        Workload("publisher-0", "Pod", "Running", well=True),
    ]
    assert {namespace for namespace, _ in api.asked} == {"insights"}
    assert {asked["label_selector"] for _, asked in api.asked} == {
        "app.kubernetes.io/part-of=user-insights,"
        "app.kubernetes.io/component notin (airflow-task, migrations, secrets, test)"
    }
    assert all(asked["_request_timeout"] == 10 for _, asked in api.asked)


def test_a_cluster_without_the_spark_operator_has_pods_only(api: Api, account: Path) -> None:
    api.applications, api.pods = ApiException(status=404, reason="Not Found"), [pod()]
    assert [workload.kind for workload in list_workloads(account)] == ["Pod"]


def test_a_refusal_is_a_sentence(api: Api, account: Path) -> None:
    api.refuses = ApiException(status=403, reason="Forbidden")
    with pytest.raises(UserError, match=r"pods of namespace insights \(Forbidden\); check the service account's role"):
        list_workloads(account)
    api.refuses, api.applications = None, ApiException(status=403, reason="Forbidden")
    with pytest.raises(UserError, match="Forbidden"):
        list_workloads(account)


@pytest.mark.parametrize(
    ("found", "state", "well", "restarts"),
    [
        (pod("p", "Running", container(), container(restarts=2)), "Running", True, 2),
        (pod("p", "Running", container(), container(ready=False)), "Running", False, 0),
        (pod("p", "Running", container(False, 7, "CrashLoopBackOff")), "CrashLoopBackOff", False, 7),
        (pod("p", "Succeeded", container(ready=False)), "Succeeded", True, 0),
        (pod("p", "Pending"), "Pending", False, 0),
    ],
)
def test_a_pod_is_well_when_it_succeeded_or_every_container_is_ready(
    found: Any, state: str, well: bool, restarts: int
) -> None:
    assert describe_pod(found) == Workload("p", "Pod", state, well, restarts)


@pytest.mark.parametrize(("state", "well"), [("RUNNING", True), ("FAILED", False), ("SUBMITTED", False), ("", False)])
def test_an_application_is_well_when_it_runs(state: str, well: bool) -> None:
    found = describe_application(application(state))
    assert (found.well, found.state) == (well, state or "NEW")


def test_an_application_without_a_status_is_new() -> None:
    assert describe_application({"metadata": {"name": "stream-users"}}).state == "NEW"


def test_the_stream_is_looked_for_under_the_operators_own_kind(api: Api, account: Path) -> None:
    list_workloads(account)
    asked = next(asked for _, asked in api.asked if "plural" in asked)
    assert (asked["group"], asked["version"], asked["plural"]) == (
        "sparkoperator.k8s.io",
        "v1beta2",
        "sparkapplications",
    )
