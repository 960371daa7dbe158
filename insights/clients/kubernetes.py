"""The Kubernetes API as a pod reaches it: this pod's namespace, and the workloads of the release."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insights.errors import UserError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SPARK = {"group": "sparkoperator.k8s.io", "version": "v1beta2", "plural": "sparkapplications"}
# Without the pods of tasks and Jobs, which come and go: one that is starting, or failed and was repeated, is no fault.
_OURS = (
    "app.kubernetes.io/part-of=user-insights,"
    "app.kubernetes.io/component notin (airflow-task, migrations, secrets, test)"
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod or an application, its state in Kubernetes' words, and whether that is well."""

    name: str
    kind: str
    state: str
    well: bool
    restarts: int = 0


def is_in_cluster(account: Path = ACCOUNT) -> bool:
    """Whether this process is a pod that may ask its API server."""
    return (account / "token").exists()


def connect(account: Path = ACCOUNT) -> str:
    """Log in to the API server with the pod's service account. Returns the pod's namespace.

    Raises:
        UserError: this process is not a pod with a service account's token.
    """
    from kubernetes import config

    try:
        config.load_incluster_config()
        return (account / "namespace").read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise UserError(
            f"This is no pod with a service account's token ({error}); run it in the cluster, with"
            " automountServiceAccountToken."
        ) from error


def list_workloads(account: Path = ACCOUNT) -> list[Workload]:
    """The stream's SparkApplications and our lasting pods, in this pod's namespace.

    Raises:
        UserError: the API server refuses or does not answer.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    namespace = connect(account)
    try:
        applications = _applications(client.CustomObjectsApi(), namespace, client.ApiException)
        pods = client.CoreV1Api().list_namespaced_pod(namespace, label_selector=_OURS, _request_timeout=10).items
    except (client.ApiException, HTTPError) as error:
        raise UserError(
            f"Kubernetes does not show the pods of namespace {namespace}"
            f" ({getattr(error, 'reason', error)}); check the service account's role."
        ) from error
    return [*map(describe_application, applications), *map(describe_pod, pods)]


def describe_application(application: dict[str, Any]) -> Workload:
    state = application.get("status", {}).get("applicationState", {}).get("state") or "NEW"
    return Workload(application["metadata"]["name"], "SparkApplication", state, state == "RUNNING")


def describe_pod(pod: Any) -> Workload:
    statuses = pod.status.container_statuses or []
    ready = pod.status.phase == "Succeeded" or (bool(statuses) and all(status.ready for status in statuses))
    waiting = [status.state.waiting.reason for status in statuses if status.state and status.state.waiting]
    restarts = sum(status.restart_count for status in statuses)
    return Workload(pod.metadata.name, "Pod", waiting[0] if waiting else pod.status.phase, ready, restarts)


def _applications(api: Any, namespace: str, refused: type[Any]) -> list[dict[str, Any]]:
    """None where the Spark operator is not installed: the stream then is one of our pods."""
    try:
        found: dict[str, Any] = api.list_namespaced_custom_object(
            **_SPARK, namespace=namespace, label_selector=_OURS, _request_timeout=10
        )
    except refused as error:
        if error.status == 404:
            return []
        raise
    return list(found["items"])
