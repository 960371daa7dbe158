"""Manifests from `helm template`, rendered once per set of values in a session."""

import functools
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.chart.tools import program
from tests.helpers.support import REPOSITORY

CHART = REPOSITORY / "charts" / "user-insights"
PROFILES = ("defaults", "small", "kind", "production")
REGISTRY = {"images": {"registry": "registry.test"}}
KUBERNETES_VERSION = "1.35"
API_VERSIONS = (
    "apiregistration.k8s.io/v1",  # Every cluster serves it.
    "kafka.strimzi.io/v1",
    "kafka.strimzi.io/v1/Kafka",
    "kafka.strimzi.io/v1/KafkaNodePool",
    "kafka.strimzi.io/v1/KafkaTopic",
    "kafka.strimzi.io/v1/KafkaUser",
    "postgresql.cnpg.io/v1",
    "postgresql.cnpg.io/v1/Cluster",
    "postgresql.cnpg.io/v1/Database",
    "postgresql.cnpg.io/v1/DatabaseRole",
    "postgresql.cnpg.io/v1/ScheduledBackup",
    "barmancloud.cnpg.io/v1",
    "barmancloud.cnpg.io/v1/ObjectStore",
    "k8ssandra.io/v1alpha1",
    "k8ssandra.io/v1alpha1/K8ssandraCluster",
    "medusa.k8ssandra.io/v1alpha1",
    "medusa.k8ssandra.io/v1alpha1/MedusaBackupSchedule",
    "medusa.k8ssandra.io/v1alpha1/MedusaConfiguration",
    "cert-manager.io/v1",
    "cert-manager.io/v1/Certificate",
    "cert-manager.io/v1/Issuer",
    "sparkoperator.k8s.io/v1beta2",
    "sparkoperator.k8s.io/v1beta2/SparkApplication",
    "gateway.networking.k8s.io/v1",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)
Resource = dict[str, Any]


class HelmError(Exception):
    """helm failed; the message is its standard error."""


@dataclass(frozen=True)
class Rendered:
    """The manifests as text and as parsed documents."""

    text: str
    resources: tuple[Resource, ...]

    def of(self, *kinds: str) -> list[Resource]:
        return [resource for resource in self.resources if resource["kind"] in kinds]


def values_of(profile: str) -> dict[str, Any]:
    """Return the values of a file in profiles/, none for `defaults`, with those that the chart requires."""
    file = CHART / "profiles" / f"{profile}.yaml"
    values: dict[str, Any] = {} if profile == "defaults" else yaml.safe_load(file.read_text())
    return overlaid({} if profile == "kind" else REGISTRY, values)


def render(
    values: dict[str, Any] | str = "defaults",
    release: str = "insights",
    namespace: str = "default",
    api_versions: tuple[str, ...] = API_VERSIONS,
    chart: Path = CHART,
) -> Rendered:
    """Render with values, or those of a profile, on a cluster that serves `api_versions`.

    Raises:
        HelmError: helm rejects the values.
    """
    text = render_text(values, release, namespace, api_versions, chart)
    return Rendered(text, tuple(document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document))


def render_text(
    values: dict[str, Any] | str = "defaults",
    release: str = "insights",
    namespace: str = "default",
    api_versions: tuple[str, ...] = API_VERSIONS,
    chart: Path = CHART,
) -> str:
    """As `render`, but return only the text."""
    given = values_of(values) if isinstance(values, str) else values
    return helm_template(json.dumps(given, sort_keys=True), release, namespace, api_versions, chart)


@functools.cache
def helm_template(values: str, release: str, namespace: str, api_versions: tuple[str, ...], chart: Path) -> str:
    return helm_template_again(values, release, namespace, api_versions, chart)


def helm_template_again(values: str, release: str, namespace: str, api_versions: tuple[str, ...], chart: Path) -> str:
    """As `helm_template`, without its cache."""
    command = [program("helm"), "template", release, str(chart), "--namespace", namespace]
    command += ["--kube-version", KUBERNETES_VERSION]
    command += [argument for version in api_versions for argument in ("--api-versions", version)]
    environment = os.environ | {"GOGC": "400"}  # Collecting garbage is a third of its CPU time.
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        done = subprocess.run(
            [*command, "--values", file.name], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise HelmError(done.stderr.strip())
    return done.stdout


def effective(values: dict[str, Any]) -> dict[str, Any]:
    """Return the chart's defaults with these values over them, as a template sees them."""
    return overlaid(_defaults(), values)


@functools.cache
def _defaults() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def overlaid(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `base` with the values of `over` over it, merged as Helm does."""
    both = {key: overlaid(base[key], over[key]) for key in base.keys() & over if isinstance(over[key], dict)}
    return base | over | both


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return values in which only one is set."""
    head, *rest = path
    return {head: nested(tuple(rest), value) if rest else value}
