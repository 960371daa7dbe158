"""Pods and containers of rendered manifests, whichever kind of resource contains them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helpers.chart.render import Rendered, Resource

SERVERS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Container:
    """A container of a pod; `serves` is true if it runs as long as the pod and needs probes."""

    name: str
    spec: dict[str, Any]
    serves: bool

    @property
    def environment(self) -> dict[str, dict[str, Any]]:
        return {variable["name"]: variable for variable in self.spec.get("env", [])}


@dataclass(frozen=True)
class Pod:
    """A pod template and the resource that contains it."""

    owner: str
    metadata: dict[str, Any]
    spec: dict[str, Any]
    serves: bool

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.get("labels") or {}

    def containers(self) -> list[Container]:
        first = [
            Container(container["name"], container, self.serves and container.get("restartPolicy") == "Always")
            for container in self.spec.get("initContainers", [])
        ]
        return first + [Container(spec["name"], spec, self.serves) for spec in self.spec["containers"]]


def name_of(resource: Resource) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


def pods(rendered: Rendered) -> list[Pod]:
    """Return every pod of the platform that the manifests lead to."""
    return [pod for resource in rendered.resources for pod in _pods_of(resource)]


def _pods_of(resource: Resource) -> Iterator[Pod]:
    owner, kind = name_of(resource), resource["kind"]
    if kind == "Pod":
        yield Pod(owner, resource["metadata"], resource["spec"], False)
    elif kind in (*SERVERS, "Job"):
        template = resource["spec"]["template"]
        yield Pod(owner, template.get("metadata", {}), template["spec"], kind in SERVERS)
    elif kind == "CronJob":
        template = resource["spec"]["jobTemplate"]["spec"]["template"]
        yield Pod(owner, template.get("metadata", {}), template["spec"], False)
    elif kind == "SparkApplication":
        for role in ("driver", "executor"):
            yield _spark_pod(f"{owner} {role}", resource["spec"], resource["spec"][role])
    elif kind == "ConfigMap":
        for file, text in (resource.get("data") or {}).items():
            if file.endswith((".yaml", ".yml")):
                document = yaml.safe_load(text)
                if isinstance(document, dict) and document.get("kind") == "Pod":
                    yield Pod(f"{owner} {file}", document.get("metadata", {}), document["spec"], False)


def _spark_pod(owner: str, application: dict[str, Any], role: dict[str, Any]) -> Pod:
    """Return the pod that the operator and Spark create for a role; its memory is heap plus overhead."""
    container: dict[str, Any] = {
        key: role[key] for key in ("env", "envFrom", "securityContext", "volumeMounts", "lifecycle") if key in role
    }
    memory = {"memory": f"{role['memory']}+{role['memoryOverhead']}"}
    requests = {"cpu": role.get("coreRequest", role.get("cores"))} | memory
    container |= {"name": "spark", "image": role.get("image", application["image"])}
    container |= {"imagePullPolicy": role.get("imagePullPolicy", application["imagePullPolicy"])}
    container |= {"resources": {"requests": requests, "limits": memory}}
    base = (role.get("template") or {}).get("spec") or {}
    spec = base | {
        "securityContext": role.get("podSecurityContext") or base.get("securityContext") or {},
        "serviceAccountName": role.get("serviceAccount"),
        "volumes": [*application.get("volumes", []), *base.get("volumes", [])],
        "initContainers": [*role.get("initContainers", []), *base.get("initContainers", [])],
    }
    ours: dict[str, Any] = next(iter(base.get("containers", [])), {})
    spec["containers"] = [ours | container, *role.get("sidecars", [])]
    metadata = {"labels": role.get("labels") or {}, "annotations": role.get("annotations") or {}}
    return Pod(owner, metadata, spec, False)


def selects(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Return whether a label selector matches the labels; an empty one matches everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or [])


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"unknown operator {expression['operator']}")
