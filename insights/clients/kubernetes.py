"""The Kubernetes API from inside a pod: the pod's namespace and the workloads of the release."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from insights.errors import UserError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SPARK_APPLICATIONS = {"group": "sparkoperator.k8s.io", "version": "v1beta2", "plural": "sparkapplications"}
# Excludes the pods of tasks and Jobs: one that is starting, or failed and was retried, is not a fault.
_LABEL_SELECTOR = (
    "app.kubernetes.io/part-of=user-insights,"
    "app.kubernetes.io/component notin (check-schema, airflow-task, migrations, secrets, test)"
)
LASTING = timedelta(minutes=5)
"""How long a workload may be unavailable: a rollout or a drain ends sooner, and Kubernetes leaves the pods of a node
that does not answer alone for as long."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod or a SparkApplication, its state, and whether it is healthy: available, or not yet missed for long."""

    name: str
    kind: str
    state: str
    healthy: bool
    restarts: int = 0


def is_in_cluster(account: Path = ACCOUNT) -> bool:
    """Whether this process runs in a pod with a service account token."""
    return (account / "token").exists()


def connect(account: Path = ACCOUNT) -> str:
    """Log in to the API server with the pod's service account. Returns the pod's namespace.

    Raises:
        UserError: this process does not run in a pod with a service account token.
    """
    from kubernetes import config

    try:
        config.load_incluster_config()
        return (account / "namespace").read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise UserError(
            f"This process does not run in a pod with a service account token ({error}); run it in the cluster with"
            " automountServiceAccountToken: true."
        ) from error


def list_workloads(account: Path = ACCOUNT) -> list[Workload]:
    """The SparkApplications and the long-running pods of the platform in this pod's namespace.

    Raises:
        UserError: the API server denies the request or does not answer.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    namespace = connect(account)
    try:
        applications = _list_applications(client.CustomObjectsApi(), namespace, client.ApiException)
        pods = (
            client.CoreV1Api().list_namespaced_pod(namespace, label_selector=_LABEL_SELECTOR, _request_timeout=10).items
        )
    except (client.ApiException, HTTPError) as error:
        raise UserError(
            f"Kubernetes did not list the pods of namespace {namespace}"
            f" ({getattr(error, 'reason', error)}); check the service account's role."
        ) from error
    now = datetime.now(UTC)
    return [*(describe_application(one, now) for one in applications), *(describe_pod(one, now) for one in pods)]


def describe_unhealthy(account: Path = ACCOUNT) -> list[str]:
    """A clause about each unhealthy workload; none outside a cluster.

    Raises:
        UserError: the API server denies the request or does not answer.
    """
    workloads = list_workloads(account) if is_in_cluster(account) else []
    return [f"{workload.kind} {workload.name} is {workload.state}" for workload in workloads if not workload.healthy]


def describe_application(application: dict[str, Any], now: datetime) -> Workload:
    """A SparkApplication, healthy while it runs and for `LASTING` after it was submitted or ended."""
    metadata, status = application["metadata"], application.get("status", {})
    state = status.get("applicationState", {}).get("state") or "NEW"
    times = (metadata.get("creationTimestamp"), status.get("lastSubmissionAttemptTime"), status.get("terminationTime"))
    since = max((datetime.fromisoformat(time) for time in times if time), default=now)
    if state == "RUNNING":
        return Workload(metadata["name"], "SparkApplication", state, healthy=True)
    return Workload(metadata["name"], "SparkApplication", _add_duration(state, now - since), now - since < LASTING)


def describe_pod(pod: Any, now: datetime) -> Workload:
    """A `V1Pod`, healthy while it is ready or has ended, and for `LASTING` after it ceased to be ready.

    A pod that has failed is not a fault: it was evicted, and its controller replaces it. One that should have been gone
    for `LASTING` is on a node that does not answer.
    """
    statuses = pod.status.container_statuses or []
    restarts = sum(status.restart_count for status in statuses)
    state, since = _find_pod_fault(pod, statuses)
    if since is None or since > now:
        return Workload(pod.metadata.name, "Pod", state, healthy=True, restarts=restarts)
    return Workload(pod.metadata.name, "Pod", _add_duration(state, now - since), now - since < LASTING, restarts)


def _find_pod_fault(pod: Any, statuses: list[Any]) -> tuple[str, datetime | None]:
    """The pod's state, and since when it has been unavailable or overdue; None if it is ready or has ended."""
    if pod.metadata.deletion_timestamp:
        return f"Terminating on node {pod.spec.node_name}", pod.metadata.deletion_timestamp
    ready = next((one for one in pod.status.conditions or [] if one.type == "Ready"), None)
    if pod.status.phase in ("Succeeded", "Failed") or (ready and ready.status == "True"):
        return pod.status.phase, None
    waiting = [status.state.waiting.reason for status in statuses if status.state and status.state.waiting]
    since = ready.last_transition_time if ready else pod.metadata.creation_timestamp
    return f"{waiting[0] if waiting else pod.status.phase}, not ready", since


def _add_duration(state: str, duration: timedelta) -> str:
    return f"{state} for {max(0, round(duration.total_seconds()))} s"


def _list_applications(api: Any, namespace: str, api_error: type[Any]) -> list[dict[str, Any]]:
    """The SparkApplications; none if the Spark operator is not installed, as the stream then runs as a Deployment."""
    try:
        applications: dict[str, Any] = api.list_namespaced_custom_object(
            **_SPARK_APPLICATIONS, namespace=namespace, label_selector=_LABEL_SELECTOR, _request_timeout=10
        )
    except api_error as error:
        if error.status == 404:
            return []
        raise
    return list(applications["items"])
