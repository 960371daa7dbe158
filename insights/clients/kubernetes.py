"""The Kubernetes API from inside a pod: the pod's namespace and the workloads of the release."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insights.errors import UserError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SPARK_APPLICATIONS = {"group": "sparkoperator.k8s.io", "version": "v1beta2", "plural": "sparkapplications"}
# Excludes the pods of tasks and Jobs: one that is starting, or failed and was retried, is not a fault.
_LABEL_SELECTOR = (
    "app.kubernetes.io/part-of=user-insights,"
    "app.kubernetes.io/component notin (airflow-task, migrations, secrets, test)"
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod or a SparkApplication, the state that Kubernetes reports, and whether it is healthy."""

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
    return [*map(describe_application, applications), *map(describe_pod, pods)]


def describe_application(application: dict[str, Any]) -> Workload:
    """A SparkApplication, healthy while it runs."""
    state = application.get("status", {}).get("applicationState", {}).get("state") or "NEW"
    return Workload(application["metadata"]["name"], "SparkApplication", state, state == "RUNNING")


def describe_pod(pod: Any) -> Workload:
    """A `V1Pod`, healthy if it succeeded or all its containers are ready."""
    statuses = pod.status.container_statuses or []
    healthy = pod.status.phase == "Succeeded" or (bool(statuses) and all(status.ready for status in statuses))
    waiting = [status.state.waiting.reason for status in statuses if status.state and status.state.waiting]
    restarts = sum(status.restart_count for status in statuses)
    return Workload(pod.metadata.name, "Pod", waiting[0] if waiting else pod.status.phase, healthy, restarts)


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
