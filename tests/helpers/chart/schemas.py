"""JSON Schemas for kubeconform, derived from Kubernetes's OpenAPI document and from CustomResourceDefinitions.

They are closed: a field that the API server would drop silently is an error here.
"""

import contextlib
import functools
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.chart.tools import (
    CACHE,
    CERT_MANAGER,
    GATEWAY_API,
    KUBERNETES,
    PROMETHEUS_OPERATOR,
    module,
    program,
)
from tests.helpers.support import REPOSITORY

Schema = dict[str, Any]
OPERATORS_CRDS = REPOSITORY.parent / "shared" / "crds"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
TEMPLATE = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"


def kubernetes_schemas() -> Path:
    """Return the folder of the schemas of Kubernetes's built-in kinds."""
    return _made(f"kubernetes-{KUBERNETES}", lambda: _built_in(_definitions()))


def custom_schemas() -> Path:
    """Return the folder of the schemas of the operators' kinds, cert-manager's, Prometheus's and the Gateway API's."""
    if not OPERATORS_CRDS.is_dir():
        pytest.skip(f"{OPERATORS_CRDS} is absent: put the operators' CustomResourceDefinitions there.")
    folders = [
        OPERATORS_CRDS,
        module(*CERT_MANAGER) / "deploy" / "crds",
        module(*GATEWAY_API) / "config" / "crd" / "standard",
    ]
    monitoring = module(*PROMETHEUS_OPERATOR) / "example" / "prometheus-operator-crd"
    files = sorted(path for folder in folders for path in folder.glob("*.yaml"))
    files += [monitoring / f"monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "prometheusrules")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    return _made(f"custom-{digest}", lambda: (schema for path in files for schema in _custom(path)))


def is_built_in(resource: dict[str, Any]) -> bool:
    """Return whether the resource's kind is built into Kubernetes."""
    group, _, version = resource["apiVersion"].rpartition("/")
    return (kubernetes_schemas() / _file(resource["kind"], group, version)).exists()


def invalid(resources: Iterable[dict[str, Any]], schemas: Path) -> list[str]:
    """Return what kubeconform finds wrong with resources, one sentence each."""
    command = [program("kubeconform"), "-strict", "-output", "json", "-schema-location", f"{schemas}/{TEMPLATE}"]
    documents = "\n---\n".join(json.dumps(resource) for resource in resources)
    done = subprocess.run(command, input=documents, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout).get("resources", [])
    wrong = [f"{one['kind']}/{one['name']}: {one['msg']}" for one in found if one["status"] != "statusValid"]
    return wrong or ([done.stderr] if done.returncode else [])


def _made(name: str, schemas: Callable[[], Iterable[tuple[str, Schema]]]) -> Path:
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = CACHE / "schemas" / f"{name}-{made_by}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        for file, schema in schemas():
            (fresh / file).write_text(json.dumps(schema))
        with contextlib.suppress(OSError):  # Another process was faster.
            fresh.rename(folder)
    return folder


@functools.cache
def _definitions() -> dict[str, Schema]:
    path = module("k8s.io/kubernetes", KUBERNETES) / "api" / "openapi-spec" / "swagger.json"
    definitions: dict[str, Schema] = closed(json.loads(path.read_text())["definitions"])
    definitions[QUANTITY] = {"type": ["string", "number"]}
    return definitions


def _built_in(definitions: dict[str, Schema]) -> Iterator[tuple[str, Schema]]:
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            if "metadata" in definition.get("properties", {}):
                whole = {"$ref": f"#/definitions/{name}", "definitions": _needed(name, definitions)}
                yield _file(kind["kind"], kind["group"], kind["version"]), whole


def _custom(path: Path) -> Iterator[tuple[str, Schema]]:
    for crd in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
        if not crd or crd["kind"] != "CustomResourceDefinition":
            continue
        spec = crd["spec"]
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            own = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
            schema["properties"] |= own | {"metadata": {"$ref": f"#/definitions/{OBJECT_META}"}}
            schema["definitions"] = _needed(OBJECT_META, _definitions())
            yield _file(spec["names"]["kind"], spec["group"], version["name"]), schema


def _file(kind: str, group: str, version: str) -> str:
    """Return the file name as in kubeconform's template, which uses the version as the group of core kinds."""
    return f"{kind.lower()}-{group or version}-{version}.json"


def _needed(name: str, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Return a definition and all definitions that it refers to."""
    needed: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    return needed


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix("#/definitions/")
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def closed(node: Any) -> Any:
    """Return a copy in which typed objects reject unknown fields, in plain JSON Schema."""
    if isinstance(node, list):
        return [closed(child) for child in node]
    if not isinstance(node, dict):
        return node
    copy = {key: closed(child) for key, child in node.items() if key != "description" or not isinstance(child, str)}
    if node.get("x-kubernetes-int-or-string") is True or node.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    if isinstance(node.get("properties"), dict) and node.get("x-kubernetes-preserve-unknown-fields") is not True:
        copy.setdefault("additionalProperties", False)
    if copy.get("nullable") is True and isinstance(copy.get("type"), str):
        copy["type"] = [copy["type"], "null"]
    return copy
