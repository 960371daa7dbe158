"""The workloads that the Kubernetes client lists, against a fake API."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest
from kubernetes.client import ApiException

from insights.clients.kubernetes import (
    Workload,
    describe_application,
    describe_pod,
    describe_unhealthy,
    is_in_cluster,
    list_workloads,
)
from insights.errors import UserError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
A_MINUTE, TEN_MINUTES = NOW - timedelta(minutes=1), NOW - timedelta(minutes=10)


def pod(
    name: str = "publisher-0",
    phase: str = "Running",
    *containers: Any,
    ready: bool | None = None,
    since: datetime = TEN_MINUTES,
    deleted: datetime | None = None,
) -> Any:
    """A pod whose condition `Ready` was set at `since`, or that has none yet and was created then."""
    conditions = [] if ready is None else [condition("Ready", ready, since)]
    status = SimpleNamespace(phase=phase, container_statuses=list(containers) or None)
    status.conditions = [*conditions, condition("PodScheduled", True, TEN_MINUTES)]
    metadata = SimpleNamespace(name=name, creation_timestamp=since, deletion_timestamp=deleted)
    return SimpleNamespace(metadata=metadata, status=status, spec=SimpleNamespace(node_name="node-1"))


def condition(kind: str, status: bool, since: datetime) -> Any:
    return SimpleNamespace(type=kind, status=str(status), last_transition_time=since)


def container(ready: bool = True, restarts: int = 0, waiting: str = "") -> Any:
    state = SimpleNamespace(waiting=SimpleNamespace(reason=waiting) if waiting else None)
    return SimpleNamespace(ready=ready, restart_count=restarts, state=state)


def application(state: str, **times: str) -> dict[str, Any]:
    metadata = {"name": "stream-users", "creationTimestamp": "2026-11-01T00:00:00Z"}
    return {"metadata": metadata, "status": {"applicationState": {"state": state}, **times}}


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
    api.applications, api.pods = [application("RUNNING")], [pod("publisher-0", "Running", container(), ready=True)]
    assert list_workloads(account) == [
        Workload("stream-users", "SparkApplication", "RUNNING", healthy=True),
        Workload("publisher-0", "Pod", "Running", healthy=True),
    ]
    assert {namespace for namespace, _ in api.requests} == {"insights"}
    assert {request["label_selector"] for _, request in api.requests} == {
        "app.kubernetes.io/part-of=user-insights,"
        "app.kubernetes.io/component notin (check-schema, airflow-task, migrations, secrets, test)"
    }
    assert all(request["_request_timeout"] == 10 for _, request in api.requests)


def test_the_check_names_unhealthy_workloads_and_nothing_outside_a_cluster(api: FakeApi, account: Path) -> None:
    api.pods = [pod("a", "Running", container(), ready=True), pod("b", "Failed", deleted=TEN_MINUTES)]
    [clause] = describe_unhealthy(account)
    assert re.fullmatch(r"Pod b is Terminating on node node-1 for \d+ s", clause)
    assert describe_unhealthy(account / "none") == []


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
        (pod("p", "Running", container(), container(restarts=2), ready=True), "Running", True, 2),
        (pod("p", "Running", container(ready=False), ready=False), "Running, not ready for 600 s", False, 0),
        (pod("p", "Running", container(), ready=False, since=A_MINUTE), "Running, not ready for 60 s", True, 0),
        (
            pod("p", "Running", container(False, 7, "CrashLoopBackOff"), ready=False),
            "CrashLoopBackOff, not ready for 600 s",
            False,
            7,
        ),
        (pod("p", "Succeeded", container(ready=False), ready=False), "Succeeded", True, 0),
        (pod("p", "Failed", ready=False), "Failed", True, 0),
        (pod("p", "Pending"), "Pending, not ready for 600 s", False, 0),
        (pod("p", "Pending", since=A_MINUTE), "Pending, not ready for 60 s", True, 0),
    ],
)
def test_a_pod_is_unhealthy_only_when_it_has_not_been_ready_for_minutes(
    reported: Any, state: str, healthy: bool, restarts: int
) -> None:
    assert describe_pod(reported, NOW) == Workload("p", "Pod", state, healthy, restarts)


def test_a_pod_on_a_lost_node_is_unhealthy_although_its_containers_were_last_seen_ready() -> None:
    """Only the node's kubelet updates container statuses and removes a deleted pod."""
    lost = pod("p", "Running", container(), ready=False)
    assert describe_pod(lost, NOW) == Workload("p", "Pod", "Running, not ready for 600 s", healthy=False)
    evicted = pod("p", "Running", container(), ready=False, deleted=TEN_MINUTES)
    state = "Terminating on node node-1 for 600 s"
    assert describe_pod(evicted, NOW) == Workload("p", "Pod", state, healthy=False)


@pytest.mark.parametrize("until", [NOW + timedelta(seconds=30), A_MINUTE])
def test_a_pod_may_take_its_time_to_end(until: datetime) -> None:
    assert describe_pod(pod("p", "Running", container(), ready=True, deleted=until), NOW).healthy


@pytest.mark.parametrize(
    ("reported", "state", "healthy"),
    [
        (application("RUNNING", lastSubmissionAttemptTime="2026-11-19T00:00:00Z"), "RUNNING", True),
        (application("SUBMITTED", lastSubmissionAttemptTime="2026-11-20T11:59:00Z"), "SUBMITTED for 60 s", True),
        (application("SUBMITTED", lastSubmissionAttemptTime="2026-11-20T11:50:00Z"), "SUBMITTED for 600 s", False),
        (
            application(
                "FAILING",
                lastSubmissionAttemptTime="2026-11-19T00:00:00Z",
                terminationTime="2026-11-20T11:59:30Z",
            ),
            "FAILING for 30 s",
            True,
        ),
    ],
)
def test_an_application_is_unhealthy_only_when_it_has_not_run_for_minutes(
    reported: dict[str, Any], state: str, healthy: bool
) -> None:
    workload = describe_application(reported, NOW)
    assert (workload.state, workload.healthy) == (state, healthy)


def test_an_application_that_the_operator_does_not_notice_is_unhealthy() -> None:
    created = {"metadata": {"name": "stream-users", "creationTimestamp": "2026-11-20T11:50:00Z"}}
    assert describe_application(created, NOW) == Workload("stream-users", "SparkApplication", "NEW for 600 s", False)


def test_the_stream_is_listed_as_the_operators_own_kind(api: FakeApi, account: Path) -> None:
    list_workloads(account)
    request = next(request for _, request in api.requests if "plural" in request)
    assert (request["group"], request["version"], request["plural"]) == (
        "sparkoperator.k8s.io",
        "v1beta2",
        "sparkapplications",
    )
