"""References between manifests, and the Secrets that operators, the chart and the values provide."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helpers.chart.manifests import name_of
from tests.helpers.chart.render import Rendered, effective

Keys = set[str] | None
"""Keys of a Secret; None if they are not known here."""
POSTGRES_KEYS = "dbname host port user username password pgpass uri jdbc-uri fqdn-uri fqdn-jdbc-uri"


@dataclass(frozen=True)
class Reference:
    """A Secret or ConfigMap that a resource refers to, with the keys that it reads."""

    holder: str
    name: str
    keys: tuple[str, ...]


def documents(rendered: Rendered) -> Iterator[tuple[str, Any]]:
    """Yield every resource and every YAML document inside a ConfigMap, with its name."""
    for resource in rendered.resources:
        yield name_of(resource), resource
        for file, text in (resource.get("data") or {}).items() if resource["kind"] == "ConfigMap" else ():
            if file.endswith((".yaml", ".yml")):
                yield f"{name_of(resource)} {file}", yaml.safe_load(text)


def secrets(rendered: Rendered) -> list[Reference]:
    return [found for holder, document in documents(rendered) for found in _references(holder, document, "secret")]


def config_maps(rendered: Rendered) -> list[Reference]:
    return [found for holder, document in documents(rendered) for found in _references(holder, document, "configmap")]


def _references(holder: str, node: Any, kind: str, key: str = "") -> Iterator[Reference]:
    if isinstance(node, list):
        for child in node:
            yield from _references(holder, child, kind, key)
    elif isinstance(node, dict):
        name = node.get("name") or node.get("secretName")
        if key.lower().endswith((kind, f"{kind}ref", f"{kind}keyref")) and name and not node.get("optional"):
            keys = [node["key"]] if "key" in node else [item["key"] for item in node.get("items") or []]
            yield Reference(holder, name, tuple(keys))
        elif key == "tls" and kind == "secret" and "secretName" in node:
            yield Reference(holder, node["secretName"], ("tls.crt", "tls.key"))
        for child_key, child in node.items():
            yield from _references(holder, child, kind, child_key)


def known_secrets(rendered: Rendered, values: dict[str, Any]) -> dict[str, Keys]:
    """Return the Secrets that exist once the operators and the chart's hook have finished, with their keys."""
    known: dict[str, Keys] = dict.fromkeys(_existing(effective(values)))
    for made in generated_secrets(rendered):
        known[made["name"]] = set(made.get("values") or {}) | set(made.get("generate") or {})
    for resource in rendered.resources:
        name = resource["metadata"]["name"]
        match resource["kind"], resource["apiVersion"].split("/")[0]:
            case "Kafka", _:
                known[f"{name}-cluster-ca-cert"] = {"ca.crt", "ca.p12", "ca.password"}
            case "KafkaUser", _:
                known[name] = {"password", "sasl.jaas.config"}
            case "Cluster", "postgresql.cnpg.io":
                known[f"{name}-app"] = set(POSTGRES_KEYS.split())
                known[f"{name}-ca"] = {"ca.crt", "ca.key"}
            case "K8ssandraCluster", _:
                known[f"{name}-superuser"] = {"username", "password"}
            case "Certificate", _:
                known[resource["spec"]["secretName"]] = _certificate_keys(resource["spec"])
    return known


def _certificate_keys(spec: dict[str, Any]) -> set[str]:
    keystores = spec.get("keystores") or {}
    stores = {"jks": {"keystore.jks", "truststore.jks"}, "pkcs12": {"keystore.p12", "truststore.p12"}}
    made = set().union(*(stores[kind] for kind, store in keystores.items() if store.get("create")))
    return {"ca.crt", "tls.crt", "tls.key"} | made


def generated_secrets(rendered: Rendered) -> list[dict[str, Any]]:
    """Return the Secrets that the chart's hook generates once."""
    texts = [resource["data"]["secrets.yaml"] for resource in rendered.of("ConfigMap") if _lists_secrets(resource)]
    return [secret for text in texts for secret in yaml.safe_load(text) or []]


def _lists_secrets(resource: dict[str, Any]) -> bool:
    return "secrets.yaml" in (resource.get("data") or {})


def _existing(node: Any, key: str = "") -> Iterator[str]:
    """Yield the names of the existing Secrets that the values refer to."""
    if isinstance(node, dict):
        for child_key, child in node.items():
            yield from _existing(child, key if key == "existingSecrets" else child_key)
    elif isinstance(node, list):
        for child in node:
            yield from _existing(child, key)
    elif node and (key.startswith("existing") or key.endswith(("Secret", "pullSecrets"))):
        yield node
